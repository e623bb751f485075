//! A new machine: mmdebstrap installs a base system from a mirror into a throw-away root.
//!
//! ```ignore
//! bootstrap(&real, &nginx.url(""), None).await;       // or server.url("") where repositories are named by their roots
//! bootstrap(&real, "http://archive.example", Some(Proxy::Environment(&server.url("")))).await;
//! ```

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::real_upstream::RealUpstream;

/// How apt is told to use a proxy.
#[derive(Debug, Clone, Copy)]
pub enum Proxy<'a> {
    /// By the environment variable `http_proxy`.
    Environment(&'a str),
    /// By its own setting `Acquire::http::Proxy`.
    Setting(&'a str),
}

/// Installs the essential packages of the first suite of `real`, with all its suites as sources, from
/// `<base>/<root>`. Maintainer scripts run; the result is thrown away.
///
/// # Panics
/// When mmdebstrap fails, or apt warns, with all that was said.
pub async fn bootstrap(real: &RealUpstream, base: &str, proxy: Option<Proxy<'_>>) {
    let folder = TempDir::new().expect("a folder for mmdebstrap");
    let main = real.suites().iter().min_by_key(|suite| suite.name.len()).expect("a suite");
    let mut command = Command::new("mmdebstrap");
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .env("TMPDIR", folder.path())
        .stdin(Stdio::null())
        .args(["--variant=essential", "--format=null"]);
    match proxy {
        None => {}
        Some(Proxy::Environment(url)) => {
            command.env("http_proxy", url);
        }
        Some(Proxy::Setting(url)) => {
            command.arg(format!("--aptopt=Acquire::http::Proxy \"{url}\""));
        }
    }
    command.args([main.name.as_str(), "/dev/null"]).args(real.suites().iter().map(|suite| {
        let keyring = real.keyring(suite);
        let components = suite.components.join(" ");
        format!("deb [signed-by={}] {base}/{} {} {components}", keyring.display(), suite.root, suite.name)
    }));
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output.await.expect("no panic").expect("mmdebstrap is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    let complaint = said.lines().any(|line| line.starts_with("W: Failed") || line.starts_with("E:"));
    assert!(output.status.success() && !complaint, "{said}");
    drop(folder);
}
