//! A package of a test repository.

use sequoia_openpgp::types::HashAlgorithm;

use super::deb;
use crate::support::{noise, sha256};

/// A package to be; [`deb`](Package::deb) makes the file. The same description makes the same bytes.
#[derive(Debug, Clone)]
pub struct Package {
    name: String,
    version: String,
    architecture: String,
    fields: Vec<(String, String)>,
    description: String,
    payload: Vec<u8>,
    /// Its file's name, where it is not the usual one.
    file: Option<String>,
}

impl Package {
    /// An amd64 package with a payload of 1000 bytes.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            fields: Vec::new(),
            description: format!("test package {name}"),
            payload: noise(&format!("{name} {version}"), 1000),
            file: None,
        }
    }

    /// The same package name in another version with the same fields.
    pub fn version(self, version: &str) -> Self {
        let payload = noise(&format!("{} {version}", self.name), self.payload.len());
        Self { version: version.to_owned(), payload, ..self }
    }

    /// The architecture, or `all`.
    pub fn architecture(self, architecture: &str) -> Self {
        Self { architecture: architecture.to_owned(), ..self }
    }

    /// The whole `Depends` field.
    pub fn depends(self, on: &str) -> Self {
        self.field("Depends", on)
    }

    /// A further field of the control file.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The short description, on one line.
    pub fn description(self, text: &str) -> Self {
        Self { description: text.to_owned(), ..self }
    }

    /// About the size of the file in bytes: its payload does not compress.
    pub fn payload_size(self, bytes: usize) -> Self {
        let payload = noise(&format!("{} {}", self.name, self.version), bytes);
        self.payload(payload)
    }

    /// The content of the one file in it.
    pub fn payload(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { payload: bytes.into(), ..self }
    }

    /// Another name of its file than the usual one.
    pub fn file(self, name: &str) -> Self {
        Self { file: Some(name.to_owned()), ..self }
    }

    /// Its file's name: `nano_7.2-1_amd64.deb`, without the epoch of the version.
    pub fn file_name(&self) -> String {
        if let Some(name) = &self.file {
            return name.clone();
        }
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, version)| version);
        format!("{}_{version}_{}.deb", self.name, self.architecture)
    }

    /// Where a repository keeps it: `pool/main/n/nano/nano_7.2-1_amd64.deb`.
    pub fn pool_path(&self, component: &str) -> String {
        let letters = if self.name.starts_with("lib") { 4 } else { 1 };
        let prefix: String = self.name.chars().take(letters).collect();
        format!("pool/{component}/{prefix}/{}/{}", self.name, self.file_name())
    }

    /// The file.
    pub fn deb(&self) -> Vec<u8> {
        let control = format!("{}Description: {}\n", self.control(), self.description);
        deb::build(&self.name, &control, &self.payload)
    }

    /// Whether an index for `architecture` lists it.
    pub(super) fn belongs_to(&self, architecture: &str) -> bool {
        self.architecture == "all" || self.architecture == architecture
    }

    /// Its paragraph in `Packages`.
    pub(super) fn index_entry(&self, path: &str, deb: &[u8]) -> String {
        format!(
            "{}Filename: {path}\nSize: {}\nSHA256: {}\nDescription: {}\nDescription-md5: {}\n\n",
            self.control(),
            deb.len(),
            sha256(deb),
            self.description,
            self.description_md5(),
        )
    }

    /// Its paragraph in dpkg's database where it is installed: apt knows it again by what it says of itself.
    pub fn status_entry(&self) -> String {
        format!("{}Status: install ok installed\nDescription: {}\n\n", self.control(), self.description)
    }

    /// Its paragraph in `Translation-en`.
    pub(super) fn translation_entry(&self) -> String {
        format!(
            "Package: {}\nDescription-md5: {}\nDescription-en: {}\n .\n Made for tests.\n\n",
            self.name,
            self.description_md5(),
            self.description
        )
    }

    fn control(&self) -> String {
        let mut text = format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: Lumbung tests <tests@lumbung.example>\n\
             Installed-Size: {}\nPriority: optional\nSection: misc\n",
            self.name,
            self.version,
            self.architecture,
            self.payload.len().div_ceil(1024),
        );
        for (name, value) in &self.fields {
            text += &format!("{name}: {value}\n");
        }
        text
    }

    /// What ties a translation to a description; MD5 because the format says so.
    fn description_md5(&self) -> String {
        let mut hash = HashAlgorithm::MD5.context().expect("MD5 is built in").for_digest();
        hash.update(format!("{}\n", self.description).as_bytes());
        crate::support::hex(&hash.into_digest().expect("a digest"))
    }
}
