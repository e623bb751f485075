//! What is published: packages of every case, and the signed suite that lists them.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::content::{Content, hex};
use crate::support::repository::Key;

/// Files of one case: their common name, how many, and the sizes that they take in turn, in bytes.
#[derive(Debug, Clone)]
pub struct Files {
    pub name: String,
    pub count: usize,
    pub sizes: Vec<u64>,
}

impl Files {
    pub fn new(name: impl Into<String>, count: usize, sizes: &[u64]) -> Self {
        Self { name: name.into(), count, sizes: sizes.to_vec() }
    }

    /// Path and size of each. The path begins with a slash.
    pub fn list(&self) -> impl Iterator<Item = (String, u64)> + '_ {
        (0..self.count).map(|number| {
            let path = format!("/pool/main/{}/{}_{number}_amd64.deb", self.name, self.name);
            (path, self.sizes[number % self.sizes.len()])
        })
    }

    /// The first of them.
    pub fn first(&self, count: usize) -> Self {
        Self { count: count.min(self.count), ..self.clone() }
    }

    pub fn bytes(&self) -> u64 {
        self.list().map(|(_, size)| size).sum()
    }
}

/// The release file of the suite.
pub const IN_RELEASE: &str = "/dists/bench/InRelease";
/// Its one index.
pub const PACKAGES: &str = "/dists/bench/main/binary-amd64/Packages";

/// Everything that the origin has, by path.
pub struct Archive {
    pub content: Content,
    /// Sizes of the packages.
    pub packages: HashMap<String, u64>,
    /// The suite's own files.
    pub texts: HashMap<String, Vec<u8>>,
    pub keyring: Vec<u8>,
}

impl Archive {
    /// Publishes files in a suite whose release file is signed.
    pub fn publish(all: &[Files]) -> Self {
        let (content, key) = (Content::new(), Key::generate("Benchmark"));
        let packages: HashMap<_, _> = all.iter().flat_map(Files::list).collect();
        let mut index = String::new();
        for (number, (path, size)) in packages.iter().enumerate() {
            let (name, hash) = (path.trim_start_matches('/'), content.sha256(path, *size));
            let _ = write!(
                index,
                "Package: p{number}\nVersion: 1\nArchitecture: amd64\nFilename: {name}\nSize: {size}\nSHA256: {hash}\n\n"
            );
        }
        let mut archive = Self { content, packages, texts: HashMap::new(), keyring: key.keyring() };
        archive.list("bench", &[("main/binary-amd64/Packages", index.into_bytes())], &key, 0);
        archive
    }

    /// Publishes a suite with these indices; `day` is the date of its release file, counted from a Saturday.
    pub fn list(&mut self, suite: &str, indices: &[(&str, Vec<u8>)], key: &Key, day: u64) {
        let date =
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_717_200_000 + day * 86_400);
        let date = httpdate::fmt_http_date(date).replace("GMT", "UTC");
        let mut release = format!("Suite: {suite}\nCodename: {suite}\nDate: {date}\nSHA256:\n");
        for (name, bytes) in indices {
            let _ = writeln!(release, " {} {} {name}", hex(&Sha256::digest(bytes)), bytes.len());
        }
        for (name, bytes) in indices {
            self.texts.insert(format!("/dists/{suite}/{name}"), bytes.clone());
        }
        self.texts.insert(format!("/dists/{suite}/InRelease"), key.clearsign(&release));
    }

    /// Signs the suite of the files with another key.
    pub fn resign(&mut self, key: &Key) {
        if let Some(index) = self.texts.get(PACKAGES).cloned() {
            self.list("bench", &[("main/binary-amd64/Packages", index)], key, 0);
        }
        self.keyring = key.keyring();
    }

    /// Size of what stands at a path.
    pub fn size(&self, path: &str) -> Option<u64> {
        self.packages.get(path).copied().or_else(|| self.texts.get(path).map(|text| text.len() as u64))
    }

    /// Whether `bytes` are what stands at `position` of what is published at a path.
    pub fn is(&self, path: &str, position: u64, bytes: &[u8]) -> bool {
        if !self.texts.contains_key(path) {
            return self.content.is(path, position, bytes);
        }
        self.piece(path, position, bytes.len()) == bytes
    }

    /// The longest stretch from `position` that lies in one piece, up to `length`.
    pub fn piece(&self, path: &str, position: u64, length: usize) -> &[u8] {
        match self.texts.get(path) {
            Some(text) => {
                let at = usize::try_from(position).unwrap_or(usize::MAX).min(text.len());
                &text[at..text.len().min(at + length)]
            }
            None => self.content.piece(path, position, length),
        }
    }

    /// Writes files below `root`, for a server that serves plain ones.
    pub fn write(&self, root: &Path, files: &Files) -> anyhow::Result<()> {
        for (path, size) in files.list() {
            let file = root.join(path.trim_start_matches('/'));
            if std::fs::metadata(&file).is_ok_and(|found| found.len() == size) {
                continue;
            }
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut out = std::fs::File::create(&file)?;
            let mut failed = None;
            self.content.each(&path, size, |piece| {
                failed = failed.take().or(std::io::Write::write_all(&mut out, piece).err());
            });
            failed.map_or(Ok(()), Err)?;
        }
        Ok(())
    }
}
