//! What an export leaves on a disk.
//!
//! ```text
//! PATH/
//!   README.txt             what this is, for people
//!   lumbung-bundle.json    what is in it, from when, signed by whom: a [`Manifest`]
//!   SHA256SUMS             every file of it, for `sha256sum -c`
//!   <repository>/…         a mirror tree: dists/…, pool/…, with the publisher's own release files
//! ```
//!
//! The manifest is there to be read; an import believes none of it. It is written last, so that a bundle that
//! has one is whole. Exports of several seeds may share a folder: the tree is that of all, the manifest that of
//! the last.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The name of the manifest.
pub const MANIFEST: &str = "lumbung-bundle.json";
/// The name of the list of checksums.
pub const SUMS: &str = "SHA256SUMS";
/// The name of the text for people.
pub const README: &str = "README.txt";
/// The ending of a file that is not whole yet.
pub const PART: &str = ".lumbung-part";

/// Largest manifest that is read, in bytes: some 1,500,000 files.
const MOST: u64 = 256 << 20;

/// What is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format: 1.
    pub format: u32,
    /// When it was made, RFC 3339.
    pub made_at: String,
    /// By which program.
    pub made_by: String,
    /// The seed that it carries.
    pub seed: String,
    /// What the other side was supposed to have already: a generation, or when the bundle before was made.
    pub since: Option<String>,
    /// The suites.
    pub suites: Vec<ManifestSuite>,
    /// Every file.
    pub files: Vec<ManifestFile>,
}

/// A suite in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestSuite {
    /// The repository's name.
    pub repo: String,
    /// The folder of its release file.
    pub suite: String,
    /// `Date` of the release file, RFC 3339.
    pub date: Option<String>,
    /// Fingerprints of the keys that signed it.
    pub signers: Vec<String>,
}

/// A file in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Below the bundle's folder.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// Reads the manifest of a bundle: its folder, or the file itself. `None` when there is none. Blocking.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        let file = if path.is_dir() { path.join(MANIFEST) } else { path.to_owned() };
        let file = match File::open(&file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text)?;
        let manifest: Self = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if manifest.format != 1 {
            return Err(io::Error::other(format!("a newer lumbung made it (format {})", manifest.format)));
        }
        Ok(Some(manifest))
    }

    /// A sentence for people.
    #[must_use]
    pub fn words(&self) -> String {
        let bytes: u64 = self.files.iter().map(|file| file.size).sum();
        let since = self.since.as_ref().map(|since| format!(", without what {since} had"));
        format!(
            "a bundle of the seed {}, made {} by {}: {} files, {}{}",
            printable(&self.seed),
            printable(&self.made_at),
            printable(&self.made_by),
            self.files.len(),
            crate::status::bytes_in_words(bytes),
            since.map(|since| printable(&since)).unwrap_or_default()
        )
    }

    /// The hashes of its files.
    #[must_use]
    pub fn digests(&self) -> HashSet<Digest> {
        self.files.iter().filter_map(|file| file.sha256.parse().ok()).collect()
    }

    /// Writes the manifest and what stands beside it, the manifest last. Blocking.
    ///
    /// # Errors
    /// What the disk says, with the file that it says it of.
    pub fn write(&self, folder: &Path) -> Result<(), (PathBuf, io::Error)> {
        let mut sums = String::new();
        for file in &self.files {
            // A failure to write to a string does not happen.
            let _ = writeln!(sums, "{}  {}", file.sha256, file.path);
        }
        let readme = format!(
            "{}.\n\nOn the other side:  lumbung import {}\n\nEvery folder here is a mirror that any apt can read \
             (deb file:/…/<folder> <suite> <components>);\nsha256sum -c {SUMS} tells whether all of it is whole. \
             What is in it stands in {MANIFEST}.\n",
            self.words(),
            "<this folder>"
        );
        let json = serde_json::to_vec_pretty(self).map_err(|error| (folder.join(MANIFEST), error.into()))?;
        for (name, bytes) in [(README, readme.as_bytes()), (SUMS, sums.as_bytes()), (MANIFEST, &json)] {
            let path = folder.join(name);
            put(&path, bytes).map_err(|error| (path, error))?;
        }
        Ok(())
    }
}

/// Replaces a small file so that it is whole or not there.
fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let part = part_of(path);
    let mut file = File::create(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// The name that a file has until it is whole.
#[must_use]
pub fn part_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PART);
    PathBuf::from(name)
}

/// Somebody else's text, without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).take(200).collect()
}
