//! What an index lists: packages, sources, or patches of an index, each with size and hash.
//!
//! [`read`] goes once over an unpacked index and hands every [`Item`] to a visitor; nothing is kept, so
//! an index of any length costs one stanza of memory. Items that could not be verified, or would lie
//! outside of the archive, are passed over and counted, so that one odd package does not take the others
//! with it.

use std::borrow::Cow;
use std::io::Read;

use super::checksum::{Checksum, parse_hex};
use super::compression::Compression;
use super::deb822::{ReadError, Reader, Stanza, lines, words};
use super::release::{MAX_SIZE, parse_size};
use crate::digest::Digest;
use crate::repo_path::RepoPath;

/// Most items that one index may list. Debian's unstable has 70,000 packages and 120,000 source files.
pub const MAX_ITEMS: u64 = 4_000_000;

/// Which files an index lists. Others (translations, contents, icons) list none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IndexKind {
    /// `Packages`: paths are relative to the archive's root.
    Packages,
    /// `Sources`: paths are relative to the archive's root.
    Sources,
    /// `Packages.diff/Index` and its like: paths are relative to the index's own folder.
    Patches,
}

impl IndexKind {
    /// Tells from the plain path of an index what it lists, and how it is packed.
    #[must_use]
    pub fn of(path: &str) -> Option<(Self, Compression)> {
        let (compression, stem) = Compression::of(path);
        let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        let kind = match name {
            "Packages" => Self::Packages,
            "Sources" => Self::Sources,
            "Index" if folder.rsplit('.').next() == Some("diff") => Self::Patches,
            _ => return None,
        };
        Some((kind, compression))
    }
}

/// One file that an index lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item<'a> {
    /// Where it is published, as [`RepoPath`] would have it; [`IndexKind`] says relative to what.
    pub path: Cow<'a, str>,
    /// In bytes.
    pub size: u64,
    /// The strongest hash given.
    pub checksum: Checksum,
    /// The package's name; empty for patches.
    pub package: &'a str,
    /// The package's version; empty for patches.
    pub version: &'a str,
    /// The package's architecture; `source` for sources, empty for patches.
    pub architecture: &'a str,
}

/// How much an index held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Items handed to the visitor.
    pub items: u64,
    /// Items passed over: no strong hash, no size, or a path that is none.
    pub skipped: u64,
}

/// Why an index could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The input failed, could not be unpacked, or is no index.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// More items than [`MAX_ITEMS`].
    #[error("the index lists more than {MAX_ITEMS} files")]
    TooMany,
}

/// Reads an unpacked index (see [`unpack`](super::compression::unpack)) and shows each item to `visit`.
///
/// # Errors
/// [`IndexError`]; what was visited before stays visited.
pub fn read(
    kind: IndexKind,
    input: impl Read,
    mut visit: impl FnMut(&Item<'_>),
) -> Result<Count, IndexError> {
    let mut reader = Reader::new(input);
    let mut count = Count::default();
    while let Some(stanza) = reader.next_stanza()? {
        let mut take = |item: Option<Item<'_>>| match item {
            Some(item) => {
                count.items += 1;
                visit(&item);
            }
            None => count.skipped += 1,
        };
        match kind {
            IndexKind::Packages => take(package(stanza)),
            IndexKind::Sources => source(stanza, &mut take),
            IndexKind::Patches => patches(stanza, &mut take),
        }
        if count.items + count.skipped > MAX_ITEMS {
            return Err(IndexError::TooMany);
        }
    }
    Ok(count)
}

/// The package that a stanza of `Packages` describes, if its file could be verified.
pub(crate) fn package(stanza: Stanza<'_>) -> Option<Item<'_>> {
    let (mut path, mut size, mut sha256, mut sha512) = (None, None, None, None);
    let (mut package, mut version, mut architecture) = (None, None, None);
    // One walk over the fields: asking for seven by name would be seven.
    for field in stanza.fields() {
        let target = match field.name.len() {
            8 if field.is("Filename") => &mut path,
            4 if field.is("Size") => &mut size,
            6 if field.is("SHA256") => &mut sha256,
            6 if field.is("SHA512") => &mut sha512,
            7 if field.is("Package") => &mut package,
            7 if field.is("Version") => &mut version,
            12 if field.is("Architecture") => &mut architecture,
            _ => continue,
        };
        target.get_or_insert(field.value);
    }
    Some(Item {
        path: clean(path?)?,
        size: bounded(size?)?,
        checksum: strongest(sha256, sha512)?,
        package: text(package),
        version: text(version),
        architecture: text(architecture),
    })
}

fn source<'a>(stanza: Stanza<'a>, take: &mut impl FnMut(Option<Item<'_>>)) {
    let (mut package, mut version, mut folder) = (None, None, None);
    let (mut files, mut sha256, mut sha512) = (None, None, None);
    for field in stanza.fields() {
        let target: &mut Option<&'a [u8]> = match field.name.len() {
            7 if field.is("Package") => &mut package,
            7 if field.is("Version") => &mut version,
            9 if field.is("Directory") => &mut folder,
            5 if field.is("Files") => &mut files,
            16 if field.is("Checksums-Sha256") => &mut sha256,
            16 if field.is("Checksums-Sha512") => &mut sha512,
            _ => continue,
        };
        target.get_or_insert(field.value);
    }
    let folder = match folder {
        None | Some(b"." | b"") => Some(Cow::Borrowed("")),
        Some(folder) => clean(folder),
    };
    let list = sha256.or(sha512).or(files).unwrap_or_default();
    for line in lines(list) {
        let item = || {
            let (hash, size, name) = entry(line)?;
            let (hash256, hash512) = match (sha256, sha512) {
                (Some(_), _) => (Some(hash), None),
                (None, Some(_)) => (None, Some(hash)),
                // What only MD5 knows cannot be verified.
                (None, None) => return None,
            };
            // A file of a source lies beside its description, so its name has no slash.
            let name = clean(name).filter(|name| !name.contains('/'))?;
            let path = match folder.as_deref()? {
                "" => name,
                folder => Cow::Owned(format!("{}/{name}", folder.trim_end_matches('/'))),
            };
            Some(Item {
                path,
                size: bounded(size)?,
                checksum: strongest(hash256, hash512)?,
                package: text(package),
                version: text(version),
                architecture: "source",
            })
        };
        take(item());
    }
}

fn patches(stanza: Stanza<'_>, take: &mut impl FnMut(Option<Item<'_>>)) {
    // `-Patches` lists the patches unpacked, which nobody downloads.
    for line in stanza.field("SHA256-Download").into_iter().flat_map(lines) {
        let item = || {
            let (hash, size, name) = entry(line)?;
            Some(Item {
                path: clean(name).filter(|name| !name.contains('/'))?,
                size: bounded(size)?,
                checksum: strongest(Some(hash), None)?,
                package: "",
                version: "",
                architecture: "",
            })
        };
        take(item());
    }
}

/// Hash, size and name of a line in a list.
fn entry(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut words = words(line);
    Some((words.next()?, words.next()?, words.next()?))
}

fn strongest(sha256: Option<&[u8]>, sha512: Option<&[u8]>) -> Option<Checksum> {
    if let Some(sha256) = sha256 {
        return Some(Checksum::Sha256(Digest::from_bytes(parse_hex(sha256)?)));
    }
    Some(Checksum::from_sha512(&parse_hex(sha512?)?))
}

fn bounded(size: &[u8]) -> Option<u64> {
    parse_size(size).filter(|size| *size <= MAX_SIZE)
}

fn text(value: Option<&[u8]>) -> &str {
    value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default()
}

/// The path in the spelling that [`RepoPath`] has, borrowed where it has it already.
fn clean(path: &[u8]) -> Option<Cow<'_, str>> {
    let mut path = std::str::from_utf8(path).ok()?;
    while let Some(rest) = path.strip_prefix("./").or_else(|| path.strip_prefix('/')) {
        path = rest;
    }
    if path.is_empty() {
        return None;
    }
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if plain && !path.contains("//") && !path.contains("/.") && !path.starts_with('.') {
        return Some(Cow::Borrowed(path));
    }
    let path = RepoPath::from_decoded(path).ok()?;
    // `.` respelled is the root, which is no file.
    (!path.as_str().is_empty()).then(|| Cow::Owned(path.as_str().to_owned()))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
