//! Signed apt repositories, made in memory.
//!
//! ```ignore
//! let key = Key::generate("Ubuntu");
//! let first = Repository::new("noble")
//!     .package(Package::new("nano", "7.2-1").depends("libc6").payload_size(50_000))
//!     .package(Package::new("libc6", "2.39"))
//!     .component("universe")
//!     .package(Package::new("hello", "2.10"))
//!     .signed_by(&key);
//! first.publish().to(&origin, "/ubuntu");
//!
//! // The next generation, published as a mirror in mid-sync has it:
//! let second = first.date(day(1)).package(Package::new("nano", "7.2-2")).publish();
//! second.only(|path| path.ends_with("InRelease")).to(&origin, "/ubuntu");
//! ```
//!
//! A repository is a value: each step gives back the changed one, clones are further generations.
//! [`Publication`] holds the finished files, so that a test publishes any of them, in any order, anywhere.

mod deb;
mod key;
mod package;
mod publication;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use flate2::Compression as GzipLevel;
use liblzma::write::XzEncoder;

use crate::support::origin::DEFAULT_DATE;
use crate::support::sha256;

pub use key::Key;
pub use package::Package;
pub use publication::{File, Publication};

/// Midnight of a day, UTC; day 0 is 2024-06-01, the date of repositories that were given none.
pub fn day(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(DEFAULT_DATE + number * 86_400)
}

/// How an index is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Xz,
}

impl Compression {
    fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Xz => ".xz",
        }
    }

    fn apply(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None => bytes.to_vec(),
            Self::Gzip => deb::gzip(bytes, GzipLevel::default()),
            Self::Xz => {
                let mut encoder = XzEncoder::new(Vec::new(), 6);
                encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory takes every byte")
            }
        }
    }
}

/// A suite with its packages.
#[derive(Clone)]
pub struct Repository {
    /// `None` in a flat repository.
    suite: Option<String>,
    component: String,
    /// Components in the order they were named.
    packages: Vec<(String, Vec<Package>)>,
    architectures: Vec<String>,
    compressions: Vec<Compression>,
    by_hash: bool,
    date: SystemTime,
    valid_until: Option<SystemTime>,
    fields: Vec<(String, String)>,
    keys: Vec<Key>,
}

impl Repository {
    /// A suite below `dists/` with the component `main`: by-hash, all compressions, unsigned.
    pub fn new(suite: &str) -> Self {
        Self::of(Some(suite.to_owned()))
    }

    /// A repository without `dists/`: its indices and packages lie in one folder.
    pub fn flat() -> Self {
        Self { by_hash: false, ..Self::of(None) }
    }

    fn of(suite: Option<String>) -> Self {
        Self {
            suite,
            component: "main".to_owned(),
            packages: vec![("main".to_owned(), Vec::new())],
            architectures: vec!["amd64".to_owned()],
            compressions: vec![Compression::Xz, Compression::Gzip, Compression::None],
            by_hash: true,
            date: day(0),
            valid_until: None,
            fields: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Packages that are added from here on belong to this component.
    pub fn component(mut self, name: &str) -> Self {
        if !self.packages.iter().any(|(known, _)| known == name) {
            self.packages.push((name.to_owned(), Vec::new()));
        }
        Self { component: name.to_owned(), ..self }
    }

    /// Adds a package.
    #[expect(clippy::needless_pass_by_value, reason = "a step of a builder takes what was built for it")]
    pub fn package(mut self, package: Package) -> Self {
        for (component, packages) in &mut self.packages {
            if *component == self.component {
                packages.push(package.clone());
            }
        }
        self
    }

    /// Adds packages.
    pub fn packages(self, packages: impl IntoIterator<Item = Package>) -> Self {
        packages.into_iter().fold(self, Self::package)
    }

    /// Drops every package, for a generation with others.
    pub fn without_packages(mut self) -> Self {
        for (_, packages) in &mut self.packages {
            packages.clear();
        }
        self
    }

    /// The architectures that have indices.
    pub fn architectures(self, names: &[&str]) -> Self {
        Self { architectures: names.iter().map(|name| (*name).to_owned()).collect(), ..self }
    }

    /// Whether indices are offered, and announced, by their hash too.
    pub fn by_hash(self, offered: bool) -> Self {
        Self { by_hash: offered, ..self }
    }

    /// The compressions in which each index is offered. The release file lists it plain in any case.
    pub fn compressions(self, offered: &[Compression]) -> Self {
        Self { compressions: offered.to_vec(), ..self }
    }

    /// The date of the release file, also the `Last-Modified` of all below `dists/`.
    pub fn date(self, date: SystemTime) -> Self {
        Self { date, ..self }
    }

    /// The end of the release file's validity.
    pub fn valid_until(self, date: SystemTime) -> Self {
        Self { valid_until: Some(date), ..self }
    }

    /// A further field of the release file, as `Origin`.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Signs with this key and no other.
    pub fn signed_by(self, key: &Key) -> Self {
        Self { keys: vec![key.clone()], ..self }
    }

    /// Makes the files. An unsigned repository has a `Release` alone.
    pub fn publish(&self) -> Publication {
        let mut files = Vec::new();
        let mut indices = BTreeMap::new();
        for (component, packages) in &self.packages {
            self.add_component(component, packages, &mut files, &mut indices);
        }
        let folder = self.suite.as_ref().map_or_else(String::new, |suite| format!("dists/{suite}/"));
        let mut listed = Vec::new();
        for (name, text) in indices {
            if !self.compressions.contains(&Compression::None) {
                // Listed but not offered, as real publishers do: apt ignores an index that is not listed plain.
                listed.push((sha256(text.as_bytes()), text.len(), name.clone()));
            }
            for compression in &self.compressions {
                let path = format!("{name}{}", compression.suffix());
                let bytes = compression.apply(text.as_bytes());
                listed.push((sha256(&bytes), bytes.len(), path.clone()));
                if self.by_hash {
                    let parent =
                        path.rsplit_once('/').map_or(String::new(), |(parent, _)| format!("{parent}/"));
                    let by_hash = format!("{folder}{parent}by-hash/SHA256/{}", sha256(&bytes));
                    files.push(File::new(by_hash, bytes.clone(), self.date));
                }
                files.push(File::new(format!("{folder}{path}"), bytes, self.date));
            }
        }
        let release = self.release(&listed);
        for key in &self.keys {
            files.push(File::new(format!("{folder}Release.gpg"), key.sign(release.as_bytes()), self.date));
            files.push(File::new(format!("{folder}InRelease"), key.clearsign(&release), self.date));
        }
        files.push(File::new(format!("{folder}Release"), release.into_bytes(), self.date));
        Publication::new(files)
    }

    /// Adds the packages of a component to `files` and its indices, uncompressed, to `indices`.
    fn add_component(
        &self,
        component: &str,
        packages: &[Package],
        files: &mut Vec<File>,
        indices: &mut BTreeMap<String, String>,
    ) {
        let flat = self.suite.is_none();
        let mut entries = Vec::new();
        for package in packages {
            let path = if flat { package.file_name() } else { package.pool_path(component) };
            let deb = package.deb();
            let listed = if flat { format!("./{path}") } else { path.clone() };
            entries.push((package, package.index_entry(&listed, &deb)));
            // What lies in the pool keeps its date from generation to generation.
            files.push(File::new(path, deb, day(0)));
        }
        if flat {
            let text = indices.entry("Packages".to_owned()).or_default();
            text.extend(entries.iter().map(|(_, entry)| entry.as_str()));
            return;
        }
        for architecture in &self.architectures {
            let ours = entries.iter().filter(|(package, _)| package.belongs_to(architecture));
            let text = ours.map(|(_, entry)| entry.as_str()).collect();
            indices.insert(format!("{component}/binary-{architecture}/Packages"), text);
        }
        let texts = packages.iter().map(Package::translation_entry).collect();
        indices.insert(format!("{component}/i18n/Translation-en"), texts);
    }

    fn release(&self, indices: &[(String, usize, String)]) -> String {
        let mut text = String::new();
        let mut field = |name: &str, value: &str| text += &format!("{name}: {value}\n");
        for (name, value) in &self.fields {
            field(name, value);
        }
        if let Some(suite) = &self.suite {
            field("Suite", suite);
            field("Codename", suite);
            let components: Vec<&str> = self.packages.iter().map(|(name, _)| name.as_str()).collect();
            field("Components", &components.join(" "));
        }
        field("Architectures", &self.architectures.join(" "));
        field("Date", &release_date(self.date));
        if let Some(date) = self.valid_until {
            field("Valid-Until", &release_date(date));
        }
        if self.by_hash {
            field("Acquire-By-Hash", "yes");
        }
        text += "SHA256:\n";
        for (hash, size, path) in indices {
            text += &format!(" {hash} {size:>8} {path}\n");
        }
        text
    }
}

/// Release files write the zone as `UTC` where HTTP writes `GMT`.
fn release_date(date: SystemTime) -> String {
    httpdate::fmt_http_date(date).replace("GMT", "UTC")
}
