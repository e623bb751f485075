//! An apt of the tests' own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub const DEBIAN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/keyrings/debian-archive-keyring.gpg");
pub const UBUNTU: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/keyrings/ubuntu-archive-keyring.gpg");

/// An apt with lists of its own. While it exists no other test, in this process or another, updates them.
pub struct Apt {
    root: PathBuf,
    _lock: File,
}

impl Apt {
    /// Suites of Debian and Ubuntu, updated lately.
    pub fn new() -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("apt-oracle");
        for folder in ["lists/partial", "archives/partial", "preferences"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        let lock = File::create(root.join("lock")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "the other holder is a test of this file, which ends")]
        lock.lock().unwrap();
        fs::write(root.join("status"), "").unwrap();
        let debian = "http://deb.debian.org/debian";
        let security = "http://deb.debian.org/debian-security";
        let sources = format!(
            "deb [signed-by={DEBIAN}] {debian} bookworm main\n\
             deb [signed-by={DEBIAN}] {debian} bookworm-updates main\n\
             deb-src [signed-by={DEBIAN}] {debian} bookworm-updates main\n\
             deb [signed-by={DEBIAN}] {security} bookworm-security main\n\
             deb-src [signed-by={DEBIAN}] {security} bookworm-security main\n\
             deb [arch=amd64 signed-by={UBUNTU}] http://archive.ubuntu.com/ubuntu noble main\n"
        );
        fs::write(root.join("sources.list"), sources).unwrap();
        let at = root.display();
        let configuration = format!(
            "Dir::State::lists \"{at}/lists\";\nDir::State::status \"{at}/status\";\n\
             Dir::Cache \"{at}\";\nDir::Etc::sourcelist \"{at}/sources.list\";\n\
             Dir::Etc::sourceparts \"-\";\nDir::Etc::preferencesparts \"{at}/preferences\";\n\
             Acquire::GzipIndexes \"true\";\nAcquire::Languages \"none\";\n\
             Acquire::CompressionTypes::Order:: \"xz\";\n\
             Acquire::IndexTargets::deb::Packages::KeepCompressedAs \"xz\";\n\
             Acquire::IndexTargets::deb-src::Sources::KeepCompressedAs \"xz\";\n\
             Debug::NoLocking \"true\";\nAPT::Sandbox::User \"root\";\n"
        );
        fs::write(root.join("apt.conf"), configuration).unwrap();
        let apt = Self { root, _lock: lock };
        // One update serves all tests of a run, and of those that follow within the hour.
        let updated = apt.root.join("updated");
        let age = fs::metadata(&updated).and_then(|stamp| stamp.modified()).map(|time| time.elapsed());
        if !age.is_ok_and(|age| age.is_ok_and(|age| age < Duration::from_hours(1))) {
            apt.run("apt-get", &["-q", "update"]);
            fs::write(&updated, "").unwrap();
        }
        apt
    }

    /// The folder with its sources, lists and caches.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .env("APT_CONFIG", self.root.join("apt.conf"))
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Every index that apt has: file, path below its suite, kind of source, release file.
    pub fn indices(&self) -> Vec<(PathBuf, String, String)> {
        let format = "$(FILENAME)|$(METAKEY)|$(RELEASE)";
        let text = self.run("apt-get", &["indextargets", "--format", format]);
        let mut indices = Vec::new();
        for line in text.lines() {
            let [file, path, release] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
            if path.contains("/binary-") || path.contains("/source/") {
                indices.push((file.into(), path.to_owned(), release.to_owned()));
            }
        }
        assert!(indices.len() >= 5, "{text}");
        indices
    }

    /// The content of an index as apt unpacks it.
    pub fn unpacked(&self, file: &Path) -> String {
        self.run("/usr/lib/apt/apt-helper", &["cat-file", file.to_str().unwrap()])
    }

    pub fn release_files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.root.join("lists")).unwrap().map(|entry| entry.unwrap().path());
        let files: Vec<_> = files.filter(|path| path.to_str().unwrap().ends_with("_InRelease")).collect();
        assert_eq!(files.len(), 4);
        files
    }
}
