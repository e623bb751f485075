//! The release file of a suite: who published what and when, and the hashes of all its indices.
//!
//! [`Release::parse`] takes the text that a signature covers (or, where a repository has no signature,
//! the file as it came). It is strict where apt is – a line of a hash list that makes no sense spoils the
//! file – and where leniency would cost safety: a path that leads out of the suite, or two entries for
//! one path that disagree, refuse the whole file. MD5 and SHA-1 lists are passed over.
//!
//! Paths are relative to the folder of the release file. Entries are sorted by path; a look-up is a
//! binary search.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::fmt::rfc2822::DateTimeParser;

use super::by_hash::{ByHash, Hash};
use super::checksum::{Checksum, parse_hex};
use super::deb822::{Stanza, lines, words};
use super::index::IndexKind;
use crate::digest::Digest;
use crate::repo_path::RepoPath;

/// Longest release file, in bytes. Debian's longest has 300 KB.
pub const MAX_TEXT: usize = 16 << 20;
/// Most files that one may list. Debian's unstable lists 4,000.
pub const MAX_FILES: usize = 100_000;
/// Largest file that one may list, in bytes (1 TiB).
pub const MAX_SIZE: u64 = 1 << 40;

/// What a release file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Who publishes, `Ubuntu`.
    pub origin: Option<String>,
    /// What it is called, `Ubuntu`.
    pub label: Option<String>,
    /// The suite's name, `noble-updates` or `stable`.
    pub suite: Option<String>,
    /// The distribution's name, `noble`.
    pub codename: Option<String>,
    /// The distribution's number, `24.04`.
    pub version: Option<String>,
    /// When it was made, in seconds since 1970.
    pub date: Option<i64>,
    /// From when on apt refuses it, in seconds since 1970.
    pub valid_until: Option<i64>,
    /// Whether its indices are also published by hash.
    pub acquire_by_hash: bool,
    /// The architectures it has indices for.
    pub architectures: Vec<String>,
    /// Its components, `main` and so on.
    pub components: Vec<String>,
    /// Where its past is published: a URL pattern, or `no`.
    pub snapshots: Option<String>,
    /// Whether its packages are installed unasked.
    pub automatic: Automatic,
    /// The packages that are the same for all architectures are listed with those of each, although there is
    /// an index of them alone.
    pub lists_all_with_each: bool,
    files: Vec<Listed>,
    /// What it lists may be indices.
    of_suite: bool,
}

/// Whether packages of a suite are installed unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Automatic {
    /// As those of any suite.
    Yes,
    /// `NotAutomatic` with `ButAutomaticUpgrades`: only upgrades of what was installed from it, as backports.
    Upgrades,
    /// `NotAutomatic`: only where no other suite has them.
    No,
}

/// One file that a release file lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the release file's folder.
    pub path: RepoPath,
    /// In bytes; [`Expected::ANY_SIZE`](super::table::Expected::ANY_SIZE) where that is not told.
    pub size: u64,
    /// What it hashes to.
    pub hashes: Hashes,
}

/// The strong hashes of a file: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hashes {
    /// SHA-256 only.
    Sha256(Digest),
    /// SHA-512 only.
    Sha512(Box<[u8; 64]>),
    /// Both.
    Both(Digest, Box<[u8; 64]>),
}

/// Why a release file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Longer than [`MAX_TEXT`].
    #[error("the release file is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// It has neither a SHA-256 nor a SHA-512 list.
    #[error("the release file lists no SHA-256 and no SHA-512")]
    NoStrongHashes,
    /// A date that is none.
    #[error("the release file's {field} is not a date: {value:?}")]
    BadDate {
        /// `Date` or `Valid-Until`.
        field: &'static str,
        /// What stands there, cut short.
        value: String,
    },
    /// A line of a hash list that is not hash, size and path.
    #[error("the release file has a broken line in its {field} list: {line:?}")]
    BadLine {
        /// `SHA256` or `SHA512`.
        field: &'static str,
        /// The line, cut short.
        line: String,
    },
    /// A path that leads out of the suite's folder, or is no path.
    #[error("the release file lists a path that leads out of its suite: {0:?}")]
    BadPath(String),
    /// A file larger than [`MAX_SIZE`].
    #[error("the release file lists {0:?} with an absurd size")]
    TooLarge(String),
    /// Two entries for a path that say different things.
    #[error("the release file lists {0:?} twice, differently")]
    Conflict(String),
    /// More files than [`MAX_FILES`].
    #[error("the release file lists more than {MAX_FILES} files")]
    TooMany,
}

impl Listed {
    /// The hash that this file is checked against: SHA-256 where there is one.
    #[must_use]
    pub fn checksum(&self) -> Checksum {
        match &self.hashes {
            Hashes::Sha256(digest) | Hashes::Both(digest, _) => Checksum::Sha256(*digest),
            Hashes::Sha512(sha512) => Checksum::from_sha512(sha512),
        }
    }

    fn has(&self, hash: &Hash) -> bool {
        match (hash, &self.hashes) {
            (Hash::Sha256(bytes), Hashes::Sha256(digest) | Hashes::Both(digest, _)) => {
                digest.as_bytes() == bytes
            }
            (Hash::Sha512(bytes), Hashes::Sha512(sha512) | Hashes::Both(_, sha512)) => **sha512 == *bytes,
            _ => false,
        }
    }
}

impl Release {
    /// Reads a release file's text. Only its first stanza counts, as for apt.
    ///
    /// # Errors
    /// Says what is wrong with the file; see [`ReleaseError`].
    pub fn parse(text: &[u8]) -> Result<Self, ReleaseError> {
        if text.len() > MAX_TEXT {
            return Err(ReleaseError::TooLong);
        }
        let stanza = Stanza::first(text);
        let one = |name| stanza.field(name).map(to_text).filter(|value| !value.is_empty());
        let many = |name| {
            let value = stanza.field(name).unwrap_or_default();
            words(value).map(to_text).collect()
        };
        Ok(Self {
            origin: one("Origin"),
            label: one("Label"),
            suite: one("Suite"),
            codename: one("Codename"),
            version: one("Version"),
            date: date(stanza, "Date")?,
            valid_until: date(stanza, "Valid-Until")?,
            acquire_by_hash: stanza.field("Acquire-By-Hash").is_some_and(is_yes),
            architectures: many("Architectures"),
            components: many("Components"),
            snapshots: one("Snapshots"),
            automatic: match ["NotAutomatic", "ButAutomaticUpgrades"]
                .map(|name| stanza.field(name).is_some_and(is_yes))
            {
                [true, true] => Automatic::Upgrades,
                [true, false] => Automatic::No,
                [false, _] => Automatic::Yes,
            },
            lists_all_with_each: many("No-Support-for-Architecture-all")
                .iter()
                .any(|kind: &String| kind == "Packages"),
            files: files(stanza)?,
            of_suite: true,
        })
    }

    /// What a checksum list says: nothing but files, sorted by path, none of which is an index.
    #[must_use]
    pub fn of_files(files: Vec<Listed>) -> Self {
        Self {
            origin: None,
            label: None,
            suite: None,
            codename: None,
            version: None,
            date: None,
            valid_until: None,
            acquire_by_hash: false,
            architectures: Vec::new(),
            components: Vec::new(),
            snapshots: None,
            automatic: Automatic::Yes,
            lists_all_with_each: false,
            files,
            of_suite: false,
        }
    }

    /// The listed files that list others in their turn.
    pub fn indices(&self) -> impl Iterator<Item = &Listed> {
        self.files.iter().filter(|listed| self.of_suite && IndexKind::of(listed.path.as_str()).is_some())
    }

    /// All listed files, sorted by path.
    #[must_use]
    pub fn files(&self) -> &[Listed] {
        &self.files
    }

    /// The entry of a path relative to the release file's folder.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Listed> {
        let at = self.files.binary_search_by(|listed| listed.path.as_str().cmp(path)).ok()?;
        self.files.get(at)
    }

    /// The entry that a by-hash path means: the file directly in its folder that has this hash. Weak
    /// hashes find nothing. Of several files with the same content the first is given.
    #[must_use]
    pub fn find_by_hash(&self, by_hash: &ByHash<'_>) -> Option<&Listed> {
        let inside = |path: &str| match by_hash.directory {
            "" => true,
            directory => path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')),
        };
        // Everything below the folder starts with its name, so it stands together.
        let start = self.files.partition_point(|listed| listed.path.as_str() < by_hash.directory);
        self.files[start..]
            .iter()
            .take_while(|listed| listed.path.as_str().starts_with(by_hash.directory))
            .filter(|listed| inside(listed.path.as_str()))
            .filter(|listed| super::by_hash::folder(listed.path.as_str()) == by_hash.directory)
            .find(|listed| listed.has(&by_hash.hash))
    }

    /// Whether apt refuses this file at `now` (seconds since 1970) for its age.
    #[must_use]
    pub fn is_expired(&self, now: i64) -> bool {
        self.valid_until.is_some_and(|until| until < now)
    }
}

fn to_text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

/// What apt takes as a yes.
fn is_yes(value: &[u8]) -> bool {
    ["yes", "true", "with", "on", "enable", "1"].iter().any(|yes| value.eq_ignore_ascii_case(yes.as_bytes()))
}

/// For an error message: the beginning of what was found.
fn cut(value: &[u8]) -> String {
    to_text(&value[..value.len().min(120)])
}

/// A date as apt writes and reads it: RFC 2822, mostly with `UTC`, which that does not know.
fn date(stanza: Stanza<'_>, field: &'static str) -> Result<Option<i64>, ReleaseError> {
    let Some(value) = stanza.field(field) else { return Ok(None) };
    parse_date(value).map(Some).ok_or_else(|| ReleaseError::BadDate { field, value: cut(value) })
}

fn parse_date(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let bare = ["UTC", "GMT", "Z"].iter().find_map(|zone| text.strip_suffix(zone)?.strip_suffix(' '));
    let date = match bare {
        Some(bare) => format!("{} +0000", bare.trim_end()),
        None => text.to_owned(),
    };
    // A wrong day of the week does not make the date ambiguous; apt does not look at it either.
    let parsed = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(date).ok()?;
    Some(parsed.as_second())
}

#[derive(Default)]
struct Found {
    size: u64,
    sha256: Option<Digest>,
    sha512: Option<Box<[u8; 64]>>,
}

fn files(stanza: Stanza<'_>) -> Result<Vec<Listed>, ReleaseError> {
    let (sha256, sha512) = (stanza.field("SHA256"), stanza.field("SHA512"));
    if sha256.is_none() && sha512.is_none() {
        return Err(ReleaseError::NoStrongHashes);
    }
    let mut found: BTreeMap<&str, Found> = BTreeMap::new();
    for line in lines(sha256.unwrap_or_default()) {
        let bad = || ReleaseError::BadLine { field: "SHA256", line: cut(line) };
        let (hash, size, path) = entry(line, bad)?;
        let digest = Digest::from_bytes(parse_hex(hash).ok_or_else(bad)?);
        let file = claim(&mut found, path, size)?;
        if file.sha256.replace(digest).is_some_and(|before| before != digest) {
            return Err(ReleaseError::Conflict(path.to_owned()));
        }
    }
    for line in lines(sha512.unwrap_or_default()) {
        let bad = || ReleaseError::BadLine { field: "SHA512", line: cut(line) };
        let (hash, size, path) = entry(line, bad)?;
        let digest = Box::new(parse_hex(hash).ok_or_else(bad)?);
        let file = claim(&mut found, path, size)?;
        if file.sha512.replace(digest.clone()).is_some_and(|before| before != digest) {
            return Err(ReleaseError::Conflict(path.to_owned()));
        }
    }
    found.into_iter().map(|(path, file)| listed(path, file)).collect()
}

/// Takes a line of a hash list apart. Further words are passed over, as apt does.
fn entry(line: &[u8], bad: impl Fn() -> ReleaseError) -> Result<(&[u8], u64, &str), ReleaseError> {
    let mut words = words(line);
    let (Some(hash), Some(size), Some(path)) = (words.next(), words.next(), words.next()) else {
        return Err(bad());
    };
    let path = std::str::from_utf8(path).map_err(|_| ReleaseError::BadPath(cut(path)))?;
    // Flat repositories are often listed with a leading `./`.
    let path = path.trim_start_matches("./");
    // What `RepoPath` would respell is refused here, so that an entry is found under the path by which
    // duplicates were sought and the list was sorted.
    if path.split('/').any(|segment| matches!(segment, "" | ".")) {
        return Err(ReleaseError::BadPath(cut(path.as_bytes())));
    }
    let size = parse_size(size).ok_or_else(bad)?;
    if size > MAX_SIZE {
        return Err(ReleaseError::TooLarge(cut(path.as_bytes())));
    }
    Ok((hash, size, path))
}

/// Decimal digits and nothing else: no sign, as `str::parse` would take.
pub(super) fn parse_size(text: &[u8]) -> Option<u64> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The entry of a path, new or not, if its size agrees.
fn claim<'a, 'b>(
    found: &'a mut BTreeMap<&'b str, Found>,
    path: &'b str,
    size: u64,
) -> Result<&'a mut Found, ReleaseError> {
    let count = found.len();
    match found.entry(path) {
        Entry::Occupied(entry) if entry.get().size == size => Ok(entry.into_mut()),
        Entry::Occupied(_) => Err(ReleaseError::Conflict(cut(path.as_bytes()))),
        Entry::Vacant(_) if count >= MAX_FILES => Err(ReleaseError::TooMany),
        Entry::Vacant(entry) => Ok(entry.insert(Found { size, ..Found::default() })),
    }
}

fn listed(path: &str, file: Found) -> Result<Listed, ReleaseError> {
    let bad = || ReleaseError::BadPath(cut(path.as_bytes()));
    let hashes = match (file.sha256, file.sha512) {
        (Some(sha256), Some(sha512)) => Hashes::Both(sha256, sha512),
        (Some(sha256), None) => Hashes::Sha256(sha256),
        (None, Some(sha512)) => Hashes::Sha512(sha512),
        (None, None) => return Err(bad()),
    };
    Ok(Listed { path: RepoPath::from_decoded(path).map_err(|_| bad())?, size: file.size, hashes })
}

#[cfg(test)]
#[path = "release_tests.rs"]
mod tests;
