//! An apt that knows snapshots (2.7 and later), in a root of its own: the one of Debian 13.
//!
//! The root is made once by mmdebstrap through the machine's package source, and kept with the build's
//! files. Each [`SnapshotApt`] has its own lists, archives and sources below the root's `/tmp`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::apt::Run;

/// One desktop.
pub struct SnapshotApt {
    root: PathBuf,
    /// Below the root's `/tmp`.
    folder: TempDir,
    options: Vec<String>,
}

impl SnapshotApt {
    /// A desktop with one source, signed by `keyring`. Blocking: a minute for the first.
    ///
    /// # Panics
    /// When the root cannot be made, with all that mmdebstrap said.
    pub fn new(base: &str, suite: &str, keyring: &[u8]) -> Self {
        let root = root();
        let folder = TempDir::new_in(root.join("tmp")).expect("a folder in the root");
        let inside = Path::new("/tmp").join(folder.path().file_name().expect("a name"));
        for name in ["lists/partial", "archives/partial", "empty"] {
            fs::create_dir_all(folder.path().join(name)).expect("a folder in the root");
        }
        fs::write(folder.path().join("status"), "").expect("an empty dpkg database");
        fs::write(folder.path().join("archive.gpg"), keyring).expect("a keyring");
        let line = format!("deb [signed-by={}] {base} {suite} main\n", inside.join("archive.gpg").display());
        fs::write(folder.path().join("sources.list"), line).expect("a sources list");
        let place = |name: &str| inside.join(name).display().to_string();
        let options = vec![
            format!("Dir::State::lists={}", place("lists")),
            format!("Dir::State::status={}", place("status")),
            format!("Dir::Cache::archives={}", place("archives")),
            format!("Dir::Etc::sourcelist={}", place("sources.list")),
            format!("Dir::Etc::sourceparts={}", place("empty")),
            "APT::Sandbox::User=root".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        Self { root, folder, options }
    }

    /// One more setting for all runs, `name=value`.
    pub fn option(&mut self, option: &str) {
        self.options.push(option.to_owned());
    }

    /// Runs apt-get.
    pub async fn run(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new("chroot");
        command.arg(&self.root).args(["apt-get", "-q", "-y"]);
        command.args(self.options.iter().flat_map(|option| ["-o", option])).args(arguments);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output());
        let Output { status, stdout, stderr } = output.await.expect("no panic").expect("chroot");
        Run {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// The content of a downloaded package.
    pub fn archive(&self, file_name: &str) -> Vec<u8> {
        fs::read(self.folder.path().join("archives").join(file_name)).expect("a downloaded package")
    }

    /// Forgets the downloaded packages.
    pub fn clean(&self) {
        let archives = self.folder.path().join("archives");
        fs::remove_dir_all(&archives).expect("a folder");
        fs::create_dir_all(archives.join("partial")).expect("a folder");
    }
}

/// The root, made if it is not there.
fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apt-with-snapshots");
    if root.join("usr/bin/apt-get").exists() {
        return root;
    }
    // Finished under another name, so that a run that was broken off leaves nothing that looks whole.
    let making = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for a root");
    let made = making.path().join("root");
    let output = Command::new("mmdebstrap")
        .args(["--variant=apt", "--format=directory", "trixie"])
        .arg(&made)
        .stdin(Stdio::null())
        .output()
        .expect("mmdebstrap is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    if fs::rename(&made, &root).is_err() {
        assert!(root.join("usr/bin/apt-get").exists(), "another run has made it meanwhile");
    }
    root
}
