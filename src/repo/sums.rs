//! Checksum lists, as `sha256sum` and its relatives write and check them.
//!
//! ```text
//! <hex>  name        <hex> *name        SHA256 (name) = <hex>
//! ```
//!
//! Names are relative to the list's folder. Lines of MD5 and SHA-1, comments and empty lines are passed
//! over. As in a release file, a line that makes no sense spoils the list: what it leaves out would be passed
//! on unverified.

use std::collections::BTreeMap;

use super::apt::checksum::parse_hex;
use super::apt::release::{Hashes, Listed, MAX_FILES, MAX_TEXT};
use super::apt::table::Expected;
use crate::digest::Digest;
use crate::repo_path::RepoPath;

/// Why a checksum list was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// Longer than [`MAX_TEXT`].
    #[error("the checksum list is longer than {MAX_TEXT} bytes")]
    TooLong,
    /// It lists nothing by SHA-256 or SHA-512.
    #[error("the checksum list has no SHA-256 and no SHA-512")]
    NoStrongHashes,
    /// A line that is neither a checksum nor a comment.
    #[error("the checksum list has a broken line: {0:?}")]
    BadLine(String),
    /// A path that leads out of the list's folder, or is no path.
    #[error("the checksum list has a path that leads out of its folder: {0:?}")]
    BadPath(String),
    /// Two lines for a path that say different things.
    #[error("the checksum list has {0:?} twice, differently")]
    Conflict(String),
    /// More files than [`MAX_FILES`].
    #[error("the checksum list has more than {MAX_FILES} files")]
    TooMany,
}

/// Reads a list; its files, sorted by path, without sizes ([`Expected::ANY_SIZE`]).
///
/// # Errors
/// Says what is wrong with the list; see [`SumsError`].
pub fn parse(text: &[u8]) -> Result<Vec<Listed>, SumsError> {
    if text.len() > MAX_TEXT {
        return Err(SumsError::TooLong);
    }
    let mut found: BTreeMap<RepoPath, Hashes> = BTreeMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() || line.starts_with(b"#") {
            continue;
        }
        let bad = || SumsError::BadLine(cut(line));
        let (hash, name) = in_columns(line).or_else(|| tagged(line)).ok_or_else(bad)?;
        let hashes = match hash.len() {
            64 => Hashes::Sha256(Digest::from_bytes(parse_hex(hash).ok_or_else(bad)?)),
            128 => Hashes::Sha512(Box::new(parse_hex(hash).ok_or_else(bad)?)),
            // MD5, SHA-1, SHA-224 and SHA-384.
            32 | 40 | 56 | 96 if hash.iter().all(u8::is_ascii_hexdigit) => continue,
            _ => return Err(bad()),
        };
        let path = path(name)?;
        if found.len() >= MAX_FILES {
            return Err(SumsError::TooMany);
        }
        let merged = match (found.remove(&path), hashes) {
            (None, hashes) => hashes,
            (Some(before), hashes) if before == hashes => hashes,
            (Some(Hashes::Sha256(sha256)), Hashes::Sha512(sha512))
            | (Some(Hashes::Sha512(sha512)), Hashes::Sha256(sha256)) => Hashes::Both(sha256, sha512),
            (Some(Hashes::Both(sha256, sha512)), hashes)
                if hashes == Hashes::Sha256(sha256) || hashes == Hashes::Sha512(sha512.clone()) =>
            {
                Hashes::Both(sha256, sha512)
            }
            _ => return Err(SumsError::Conflict(path.as_str().to_owned())),
        };
        found.insert(path, merged);
    }
    if found.is_empty() {
        return Err(SumsError::NoStrongHashes);
    }
    let listed = |(path, hashes)| Listed { path, size: Expected::ANY_SIZE, hashes };
    Ok(found.into_iter().map(listed).collect())
}

/// `<hex>  name` or `<hex> *name`.
fn in_columns(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ')?;
    let (hash, rest) = line.split_at(end);
    let name = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    (!name.is_empty() && hash.iter().all(u8::is_ascii_hexdigit) && !hash.is_empty()).then_some((hash, name))
}

/// `SHA256 (name) = <hex>`.
fn tagged(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = &line[memchr::memmem::find(line, b" (")? + 2..];
    let end = memchr::memmem::rfind(rest, b") = ")?;
    let (name, hash) = (&rest[..end], &rest[end + 4..]);
    (!name.is_empty()).then_some((hash, name))
}

fn path(name: &[u8]) -> Result<RepoPath, SumsError> {
    let bad = || SumsError::BadPath(cut(name));
    let name = std::str::from_utf8(name).map_err(|_| bad())?;
    if name.starts_with('/') || name.ends_with('/') {
        return Err(bad());
    }
    let path = RepoPath::from_decoded(name).map_err(|_| bad())?;
    if path.as_str().is_empty() { Err(bad()) } else { Ok(path) }
}

/// For an error message: the beginning of what was found.
fn cut(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(120)]).into_owned()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const A: &str = "87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7";
    const B: &str = "0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f";

    fn paths(text: &str) -> Result<Vec<String>, SumsError> {
        parse(text.as_bytes())
            .map(|listed| listed.iter().map(|listed| listed.path.as_str().to_owned()).collect())
    }

    #[test]
    fn every_way_of_writing_is_read() {
        let text = format!("# ISO images\n{A} *b.iso\r\n{B}  ./a/c d.iso\n\nSHA256 (x (1).iso) = {A}\n");
        assert_eq!(paths(&text).unwrap(), ["a/c d.iso", "b.iso", "x (1).iso"]);
        let listed = parse(text.as_bytes()).unwrap();
        assert_eq!(listed[1].hashes, Hashes::Sha256(A.parse().unwrap()));
        assert_eq!(listed[1].size, Expected::ANY_SIZE);
    }

    #[test]
    fn weak_hashes_are_passed_over_and_strong_ones_joined() {
        let text = format!("{} *a\n{A} *a\n{A}{B} *a\n{A} *a\n", &A[..32]);
        let listed = parse(text.as_bytes()).unwrap();
        assert!(matches!(listed[0].hashes, Hashes::Both(..)), "{listed:?}");
        assert_eq!(parse(format!("{} *a\n", &A[..32]).as_bytes()), Err(SumsError::NoStrongHashes));
    }

    #[rstest]
    #[case("<html>")]
    #[case("nothing  here")]
    #[case("87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25  a")]
    #[case("87428fc522803d31065e7bce3cf03fe475096631e5e07bbd7a0fde60c4cf25c7 a")]
    fn nonsense_spoils_a_list(#[case] line: &str) {
        let text = format!("{A} *good\n{line}\n");
        assert_eq!(parse(text.as_bytes()), Err(SumsError::BadLine(line.to_owned())));
    }

    #[rstest]
    #[case("../a")]
    #[case("/etc/passwd")]
    #[case("a/../../b")]
    #[case("folder/")]
    #[case(".")]
    fn paths_stay_inside(#[case] name: &str) {
        let text = format!("{A} *{name}\n");
        assert_eq!(parse(text.as_bytes()), Err(SumsError::BadPath(name.to_owned())));
    }

    #[test]
    fn a_list_that_contradicts_itself_is_refused() {
        let text = format!("{A} *a\n{B} *./a\n");
        assert_eq!(parse(text.as_bytes()), Err(SumsError::Conflict("a".to_owned())));
    }
}
