//! The machine's real apt, in a root of its own.
//!
//! Each [`Apt`] has its own lists, archives, keyrings and sources below a temporary folder, sees an empty
//! dpkg database, and reads nothing of the machine's configuration; any number run side by side. Retries
//! and time limits are apt's own.
//!
//! ```ignore
//! let apt = Apt::new(&[Source::apt(origin.url("/ubuntu"), "noble", "main").signed_by(key.keyring())]);
//! apt.update().await.assert_ok();
//! apt.download(&["nano"]).await.assert_ok();
//! assert_eq!(apt.archives()["nano_7.2-1_amd64.deb"], sha256(&deb));
//!
//! let desktop = Apt::new(&sources).option("Acquire::http::Proxy", "http://127.0.0.1:3142");
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::repository::Package;
use super::sha256_file;

/// A root with its options.
pub struct Apt {
    root: TempDir,
    options: Vec<(String, String)>,
}

/// One line of a sources list.
#[derive(Debug, Clone)]
pub struct Source {
    base: String,
    suite: String,
    components: String,
    keyring: Option<Vec<u8>>,
    options: String,
}

impl Source {
    /// `deb BASE SUITE COMPONENTS`; a flat repository has suite `./` and no components.
    pub fn apt(base: impl Into<String>, suite: &str, components: &str) -> Self {
        Self {
            base: base.into(),
            suite: suite.to_owned(),
            components: components.to_owned(),
            keyring: None,
            options: String::new(),
        }
    }

    /// The keyring, binary or armored, that the suite must be signed by. Without one, apt knows no key at all.
    pub fn signed_by(self, keyring: impl Into<Vec<u8>>) -> Self {
        Self { keyring: Some(keyring.into()), ..self }
    }

    /// A further option of the line, as `trusted=yes` or `by-hash=no`.
    pub fn option(self, option: &str) -> Self {
        Self { options: format!("{} {option}", self.options), ..self }
    }

    fn write(&self, keyrings: &Path, number: usize) -> String {
        let mut options = self.options.clone();
        if let Some(keyring) = &self.keyring {
            // apt tells the two forms apart by the file's name.
            let kind = if keyring.starts_with(b"-----BEGIN") { "asc" } else { "gpg" };
            let file = keyrings.join(format!("{number}.{kind}"));
            fs::write(&file, keyring).expect("a keyring file");
            options += &format!(" signed-by={}", file.display());
        }
        let options = if options.is_empty() { options } else { format!("[{}] ", options.trim()) };
        format!("deb {options}{} {} {}\n", self.base, self.suite, self.components)
    }
}

/// What a run of apt-get said.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Passes a successful run on.
    ///
    /// # Panics
    /// When apt failed, with all it said. Warnings count: apt ends with 0 when a suite could not be
    /// refreshed and says so as a warning.
    pub fn assert_ok(self) -> Self {
        let complaint =
            ["W:", "E:"].iter().any(|mark| self.stderr.lines().any(|line| line.starts_with(mark)));
        assert!(
            self.code == 0 && !complaint,
            "apt-get: exit {}\n{}\n{}",
            self.code,
            self.stdout,
            self.stderr
        );
        self
    }
}

impl Apt {
    /// A fresh root with these sources.
    pub fn new(sources: &[Source]) -> Self {
        let root = TempDir::new().expect("a folder for apt");
        for folder in ["lists/partial", "archives/partial", "log", "keyrings", "empty"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder for apt");
        }
        fs::write(root.path().join("status"), "").expect("an empty dpkg database");
        let apt = Self { root, options: Vec::new() };
        apt.use_sources(sources);
        apt
    }

    /// Replaces the sources of this root; lists and archives stay.
    pub fn use_sources(&self, sources: &[Source]) {
        let keyrings = self.path("keyrings");
        let lines: String =
            sources.iter().enumerate().map(|(i, source)| source.write(&keyrings, i)).collect();
        fs::write(self.path("sources.list"), lines).expect("a sources list");
    }

    /// One more setting for all runs, as `Acquire::http::Proxy`.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `apt-get update`.
    pub async fn update(&self) -> Run {
        self.run(&["update"]).await
    }

    /// `apt-get install --download-only`: packages with all they depend on.
    pub async fn download(&self, packages: &[&str]) -> Run {
        let mut arguments = vec!["install", "--yes", "--download-only"];
        arguments.extend(packages);
        self.run(&arguments).await
    }

    /// apt-get with these arguments. Dropping the future leaves apt running to its end.
    pub async fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.command("apt-get");
        command.args(arguments);
        let output = tokio::task::spawn_blocking(move || command.output());
        let Output { status, stdout, stderr } =
            output.await.expect("no panic").expect("apt-get is installed");
        Run {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// A program of the apt family that works in this root.
    pub fn command(&self, program: &str) -> Command {
        let config = self.path("apt.conf");
        fs::write(&config, self.configuration()).expect("apt.conf");
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("TMPDIR", self.root.path())
            .env("APT_CONFIG", config)
            .stdin(Stdio::null());
        command
    }

    /// Has dpkg's database say that these are installed.
    pub fn pretend_installed(&self, packages: &[Package]) {
        let text: String = packages.iter().map(Package::status_entry).collect();
        fs::write(self.path("status"), text).expect("a dpkg database");
    }

    /// The downloaded packages: file name to SHA-256.
    pub fn archives(&self) -> BTreeMap<String, String> {
        files(&self.path("archives"))
    }

    /// The stored lists as apt names them, host and path joined by `_`: file name to SHA-256.
    pub fn lists(&self) -> BTreeMap<String, String> {
        files(&self.path("lists"))
    }

    /// Forgets the downloaded packages.
    pub fn clean(&self) {
        for name in self.archives().keys() {
            fs::remove_file(self.path("archives").join(name)).expect("a file of ours");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn configuration(&self) -> String {
        let root = self.root.path().display();
        let mut text = format!(
            "Dir::State \"{root}\";\nDir::State::lists \"lists/\";\nDir::State::status \"{root}/status\";\n\
             Dir::State::extended_states \"{root}/extended_states\";\n\
             Dir::Cache \"{root}\";\nDir::Cache::archives \"archives/\";\nDir::Log \"{root}/log\";\n\
             Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"{root}/empty\";\n\
             Dir::Etc::sourcelist \"{root}/sources.list\";\nDir::Etc::sourceparts \"{root}/empty\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"{root}/empty\";\n\
             Dir::Etc::netrc \"/dev/null\";\nDir::Etc::netrcparts \"{root}/empty\";\n\
             Dir::Etc::trusted \"/dev/null\";\nDir::Etc::trustedparts \"{root}/empty\";\n\
             APT::Architecture \"amd64\";\nAPT::Architectures {{ \"amd64\"; }};\n\
             APT::Sandbox::User \"root\";\nAPT::Install-Recommends \"false\";\n\
             Acquire::Languages \"en\";\nDebug::NoLocking \"true\";\n"
        );
        for (name, value) in &self.options {
            text += &format!("{name} \"{value}\";\n");
        }
        text
    }
}

/// Regular files directly in `folder`, without apt's lock.
fn files(folder: &Path) -> BTreeMap<String, String> {
    fs::read_dir(folder)
        .expect("a folder of ours")
        .map(|entry| entry.expect("a folder that can be listed"))
        .filter(|entry| entry.path().is_file() && entry.file_name() != "lock")
        .map(|entry| {
            let hash = sha256_file(&entry.path()).expect("a file that can be read");
            (entry.file_name().to_string_lossy().into_owned(), hash)
        })
        .collect()
}
