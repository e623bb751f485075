//! The script is run by `sh` on scratch systems.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use super::*;

const SERVER: &str = "http://mirror.example:3142";

const UBUNTU_SOURCES: &str = "\
# See http://archive.ubuntu.com/ubuntu for help
Types: deb
URIs: http://id.archive.ubuntu.com/ubuntu/ https://archive.ubuntu.com/ubuntu
  http://mirror.elsewhere.example/ubuntu
Suites: noble noble-updates
Components: main universe
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg

Types: deb
uris:http://security.ubuntu.com:80/ubuntu//
Suites: noble-security
Components: main
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
";

const UBUNTU_REWRITTEN: &str = "\
# See http://archive.ubuntu.com/ubuntu for help
Types: deb
URIs: http://mirror.example:3142/ubuntu/ http://mirror.example:3142/ubuntu
  http://mirror.elsewhere.example/ubuntu
Suites: noble noble-updates
Components: main universe
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg

Types: deb
uris:http://mirror.example:3142/ubuntu/
Suites: noble-security
Components: main
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
";

const OTHER_LIST: &str = "\
deb [arch=amd64 signed-by=/etc/a.gpg] https://ppa.launchpadcontent.net/team/tool/ubuntu noble main # https://ppa.launchpadcontent.net/x
deb-src\thttp://archive.ubuntu.com/ubuntu\tnoble\tmain
# deb http://archive.ubuntu.com/ubuntu noble main
deb http://archive.ubuntu.com/ubuntu-ports noble main
deb http://user:secret@archive.ubuntu.com/ubuntu noble main
deb http://archive.ubuntu.com:8080/ubuntu noble main
deb http://packages.example:8080/apt/debian stable main
deb cdrom:[Ubuntu 24.04]/ noble main
deb mirror+http://archive.ubuntu.com/ubuntu noble main
deb http://notarchive.ubuntu.com.evil.example/ubuntu noble main
";

const OTHER_REWRITTEN: &str = "\
deb [arch=amd64 signed-by=/etc/a.gpg] http://mirror.example:3142/ppa/team/tool/ubuntu noble main # https://ppa.launchpadcontent.net/x
deb-src\thttp://mirror.example:3142/ubuntu\tnoble\tmain
# deb http://archive.ubuntu.com/ubuntu noble main
deb http://archive.ubuntu.com/ubuntu-ports noble main
deb http://user:secret@archive.ubuntu.com/ubuntu noble main
deb http://archive.ubuntu.com:8080/ubuntu noble main
deb http://mirror.example:3142/vendor/debian stable main
deb cdrom:[Ubuntu 24.04]/ noble main
deb mirror+http://archive.ubuntu.com/ubuntu noble main
deb http://notarchive.ubuntu.com.evil.example/ubuntu noble main
";

/// A system with apt's folders and the two files above.
struct Desktop {
    root: TempDir,
    script: String,
}

impl Desktop {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::create_dir_all(root.path().join("etc/apt/sources.list.d")).unwrap();
        fs::write(root.path().join("etc/apt/sources.list"), OTHER_LIST).unwrap();
        fs::write(root.path().join("etc/apt/sources.list.d/ubuntu.sources"), UBUNTU_SOURCES).unwrap();
        let script = client_script(&SERVER.parse().unwrap(), ClientMode::Mirror, &repos());
        Self { root, script }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let file = self.root.path().join("client.sh");
        fs::write(&file, &self.script).unwrap();
        let root = self.root.path();
        Command::new("sh").arg(&file).arg("--root").arg(root).args(arguments).output().unwrap()
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let words = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        words
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.root.path().join("etc/apt").join(name)
    }

    #[track_caller]
    fn assert_sources(&self, ubuntu: &str, other: &str) {
        assert_eq!(self.read("sources.list.d/ubuntu.sources"), ubuntu);
        assert_eq!(self.read("sources.list"), other);
    }
}

fn repos() -> Vec<ClientRepo> {
    let repo = |name: &str, locations: &[&str]| ClientRepo {
        name: name.to_owned(),
        locations: locations.iter().map(|location| location.parse().unwrap()).collect(),
    };
    vec![
        repo(
            "ubuntu",
            &[
                "http://archive.ubuntu.com/ubuntu",
                "http://*.archive.ubuntu.com/ubuntu",
                "http://security.ubuntu.com/ubuntu",
            ],
        ),
        repo("ppa", &["https://ppa.launchpadcontent.net"]),
        repo("vendor", &["http://packages.example:8080/apt"]),
    ]
}

#[test]
fn mirror_rewrites_what_is_kept_and_nothing_else() {
    let desktop = Desktop::new();
    desktop.succeed(&[]);
    desktop.assert_sources(UBUNTU_REWRITTEN, OTHER_REWRITTEN);
    assert!(no_leftovers(&desktop.path("sources.list.d")));
}

#[test]
fn a_second_run_changes_nothing_and_undo_restores_every_byte() {
    let desktop = Desktop::new();
    desktop.succeed(&["--mode", "mirror"]);
    assert!(desktop.succeed(&["--mode=mirror"]).contains("already"));
    desktop.assert_sources(UBUNTU_REWRITTEN, OTHER_REWRITTEN);
    desktop.succeed(&["--undo"]);
    desktop.assert_sources(UBUNTU_SOURCES, OTHER_LIST);
    assert!(desktop.succeed(&["--undo"]).contains("Nothing to undo"));
}

#[test]
fn a_dry_run_shows_and_changes_nothing() {
    let desktop = Desktop::new();
    let words = desktop.succeed(&["--dry-run"]);
    assert!(words.contains("mirror.example:3142/ppa/team/tool/ubuntu"), "{words}");
    desktop.assert_sources(UBUNTU_SOURCES, OTHER_LIST);
    desktop.succeed(&["--dry-run", "--mode", "proxy"]);
    assert!(!desktop.path("apt.conf.d/30lumbung").exists());
    assert!(!desktop.root.path().join("var").exists());
}

#[test]
fn proxy_leaves_sources_and_sends_https_directly() {
    let desktop = Desktop::new();
    desktop.succeed(&["--mode", "proxy"]);
    desktop.assert_sources(UBUNTU_SOURCES, OTHER_LIST);
    let written = desktop.read("apt.conf.d/30lumbung");
    assert!(written.contains("\nAcquire::http::Proxy \"http://mirror.example:3142\";\n"), "{written}");
    assert!(written.contains("\nAcquire::https::Proxy \"DIRECT\";\n"), "{written}");
    assert!(desktop.succeed(&["--mode", "proxy"]).contains("already"));
    desktop.succeed(&["--undo"]);
    assert!(!desktop.path("apt.conf.d/30lumbung").exists());
}

#[test]
fn each_mode_replaces_the_other() {
    let desktop = Desktop::new();
    desktop.succeed(&["--mode", "mirror"]);
    desktop.succeed(&["--mode", "proxy"]);
    desktop.assert_sources(UBUNTU_SOURCES, OTHER_LIST);
    desktop.succeed(&["--mode", "mirror"]);
    desktop.assert_sources(UBUNTU_REWRITTEN, OTHER_REWRITTEN);
    assert!(!desktop.path("apt.conf.d/30lumbung").exists());
}

#[test]
fn undo_keeps_what_somebody_wrote_in_between() {
    let desktop = Desktop::new();
    desktop.succeed(&[]);
    fs::write(desktop.path("sources.list"), "deb http://new.example/ x main\n").unwrap();
    let output = desktop.run(&["--undo"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("was changed after"));
    desktop.assert_sources(UBUNTU_SOURCES, OTHER_LIST);
    let kept = desktop.root.path().join("var/lib/lumbung-client/before-undo/sources.list");
    assert_eq!(fs::read_to_string(kept).unwrap(), "deb http://new.example/ x main\n");
}

#[test]
fn undo_keeps_sources_that_were_added_between_two_runs() {
    let desktop = Desktop::new();
    desktop.succeed(&[]);
    let more = format!("{OTHER_REWRITTEN}deb https://archive.ubuntu.com/ubuntu noble universe\n");
    fs::write(desktop.path("sources.list"), &more).unwrap();
    desktop.succeed(&[]);
    let rewritten = more.replace("https://archive.ubuntu.com", SERVER);
    assert_eq!(desktop.read("sources.list"), rewritten);
    desktop.succeed(&["--undo"]);
    desktop.assert_sources(UBUNTU_SOURCES, OTHER_LIST);
    let kept = desktop.root.path().join("var/lib/lumbung-client/before-undo/sources.list");
    assert_eq!(fs::read_to_string(kept).unwrap(), rewritten);
}

#[test]
fn a_proxy_file_of_somebody_else_is_left_alone() {
    let desktop = Desktop::new();
    fs::create_dir(desktop.path("apt.conf.d")).unwrap();
    fs::write(desktop.path("apt.conf.d/30lumbung"), "// mine\n").unwrap();
    assert_eq!(desktop.run(&["--mode", "proxy"]).status.code(), Some(1));
    desktop.succeed(&["--undo"]);
    assert_eq!(desktop.read("apt.conf.d/30lumbung"), "// mine\n");
}

#[test]
fn wrong_usage_and_a_system_without_apt_are_told_apart() {
    let desktop = Desktop::new();
    for arguments in [
        &["--mode", "both"][..],
        &["--server", "mirror"],
        &["--server", "http://a\";x"],
        &["--nonsense"],
        &["--mode"],
    ] {
        let output = desktop.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--help"));
    }
    fs::remove_dir_all(desktop.root.path().join("etc/apt")).unwrap();
    assert_eq!(desktop.run(&[]).status.code(), Some(1));
    desktop.assert_help();
}

impl Desktop {
    #[track_caller]
    fn assert_help(&self) {
        assert!(self.succeed(&["--help"]).contains("--mode mirror --server http://mirror.example:3142"));
    }
}

#[test]
fn nothing_filled_in_can_leave_its_quotes() {
    let repos = [ClientRepo {
        name: "x'; touch /nowhere; '".to_owned(),
        locations: vec!["http://a/b".parse().unwrap()],
    }];
    let script = client_script(&SERVER.parse().unwrap(), ClientMode::Proxy, &repos);
    assert!(script.contains(r"RULES='x'\''; touch /nowhere; '\'' a - /b'"), "{script}");
    let desktop = Desktop { script, ..Desktop::new() };
    assert!(desktop.succeed(&["--dry-run"]).contains("Acquire::http::Proxy"));
}

/// No temporary file of the script is left for apt to complain about.
fn no_leftovers(folder: &Path) -> bool {
    fs::read_dir(folder).unwrap().all(|entry| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().ends_with(".sources")
    })
}
