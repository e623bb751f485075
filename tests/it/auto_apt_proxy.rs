//! Debian's `auto-apt-proxy` finds the server.
//!
//! It looks at port 3142 of loopback addresses, which no test may take on the machine that it runs on. So the
//! server and the program get a network of their own: a namespace with nothing but a loopback interface.

use std::fs;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// Brings the interface up and starts the server; when it has logged that it listens, asks auto-apt-proxy.
/// The server is the shell's only child that stays, and is ended and waited for on every way out.
const INSIDE: &str = r#"
set -eu
ip link set lo up
: > "$SCRATCH/log"
"$LUMBUNG" serve --listen 127.0.0.1:3142 --admin 127.0.0.1:3143 --store "$SCRATCH/store" 2>> "$SCRATCH/log" &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" || true' EXIT
tail -n +1 -f --pid="$server" "$SCRATCH/log" | grep -q -m 1 'listening for administrators'
auto-apt-proxy
"#;

/// Runs a script in a network of its own, as root of it. apt is not to become another user, who is not there,
/// nor to read this machine's settings, which may have it ask auto-apt-proxy itself.
fn in_own_network(script: &str, scratch: &TempDir) -> Output {
    let (config, empty) = (scratch.path().join("apt.conf"), scratch.path().join("empty"));
    fs::create_dir_all(&empty).expect("a folder");
    let text = format!(
        "APT::Sandbox::User \"root\";\nDir::Etc::main \"/dev/null\";\nDir::Etc::parts \"{}\";\n",
        empty.display()
    );
    fs::write(&config, text).expect("apt.conf");
    Command::new("unshare")
        .args(["--net", "--map-root-user", "sh", "-c", script])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .env("TMPDIR", scratch.path())
        .env("APT_CONFIG", config)
        .env("SCRATCH", scratch.path())
        .env("LUMBUNG", env!("CARGO_BIN_EXE_lumbung"))
        .stdin(Stdio::null())
        .output()
        .expect("unshare is installed")
}

#[test]
fn auto_apt_proxy_finds_the_server() {
    let scratch = TempDir::new().expect("a folder");
    let made = in_own_network("ip link set lo up", &scratch);
    assert!(
        made.status.success(),
        "no network namespace can be made here, which this test needs: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    let output = in_own_network(INSIDE, &scratch);
    let log = fs::read_to_string(scratch.path().join("log")).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{log}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "http://127.0.0.1:3142\n", "{said}\n{log}");
}

/// The test above can fail: with nobody at the port, nothing is found.
#[test]
fn auto_apt_proxy_finds_nothing_where_nobody_listens() {
    let scratch = TempDir::new().expect("a folder");
    let output = in_own_network("ip link set lo up && auto-apt-proxy", &scratch);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
}
