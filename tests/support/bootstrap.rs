//! A new machine: mmdebstrap installs a base system from a mirror into a throw-away root.
//!
//! ```ignore
//! bootstrap(&real, &nginx.url("")).await;       // or server.url("") where repositories are named by their roots
//! ```

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::real_upstream::RealUpstream;

/// Installs the essential packages of the first suite of `real`, with all its suites as sources, from
/// `<base>/<root>`. Maintainer scripts run; the result is thrown away.
///
/// # Panics
/// When mmdebstrap fails, with all it said.
pub async fn bootstrap(real: &RealUpstream, base: &str) {
    let folder = TempDir::new().expect("a folder for mmdebstrap");
    let main = real.suites().iter().min_by_key(|suite| suite.name.len()).expect("a suite");
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--variant=essential", "--format=null"])
        .args([main.name.as_str(), "/dev/null"])
        .args(real.suites().iter().map(|suite| {
            let keyring = real.keyring(suite);
            let components = suite.components.join(" ");
            format!("deb [signed-by={}] {base}/{} {} {components}", keyring.display(), suite.root, suite.name)
        }))
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("mmdebstrap is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    drop(folder);
}
