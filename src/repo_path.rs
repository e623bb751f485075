//! Where a repository publishes something, as a type that cannot leave the repository.
//!
//! A path is percent-decoded exactly once, normalised, and refused when it is anything but a plain
//! relative path. `%2b` and `+` are therefore one path, and what a client's spelling was normalised
//! to is also what goes upstream.

use std::fmt;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Longest accepted path after decoding, in bytes. Debian's longest pool paths stay below 300.
pub const MAX_LENGTH: usize = 2048;

/// What is percent-encoded on the way upstream: everything but RFC 3986's unreserved characters, the
/// separator, and the sub-delimiters that archives use literally. `+` is encoded, because object
/// stores behind some mirrors read a literal one as a space.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b':')
    .remove(b'@')
    .remove(b'=')
    .remove(b',')
    .remove(b'!');

/// A decoded, normalised, relative path: no leading slash, no empty, `.` or `..` segment, no control
/// character. (apt asks a flat repository for `./InRelease`.) The empty path is the repository's root. A trailing slash is kept.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoPath(Arc<str>);

/// Why a path was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than [`MAX_LENGTH`].
    #[error("the path is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// A `%` without two hexadecimal digits.
    #[error("the path has a broken percent-encoding")]
    BadEncoding,
    /// A slash hidden in a percent-encoding means different paths to different servers.
    #[error("the path has an encoded slash or a backslash")]
    HiddenSlash,
    /// `..` as a segment.
    #[error("the path has a .. segment")]
    DotSegment,
    /// NUL, another control character, or bytes that are not UTF-8.
    #[error("the path has a control character or is not UTF-8")]
    BadCharacter,
}

impl RepoPath {
    /// Parses a percent-encoded path as it stands in a request line, with or without leading slashes.
    /// Repeated slashes count as one, and `.` segments as nothing (RFC 3986 §5.2.4).
    ///
    /// # Errors
    /// Says which rule the path breaks; see [`PathError`].
    pub fn parse(encoded: &str) -> Result<Self, PathError> {
        // Three bytes of encoding per decoded byte at most.
        if encoded.len() > MAX_LENGTH * 3 {
            return Err(PathError::TooLong);
        }
        let bare = encoded.trim_start_matches('/');
        if encoded.len() <= MAX_LENGTH && is_plain(bare.as_bytes()) {
            return Ok(Self(Arc::from(bare)));
        }
        check_encoding(encoded.as_bytes())?;
        let decoded = percent_decode_str(encoded).decode_utf8().map_err(|_| PathError::BadCharacter)?;
        Self::from_decoded(&decoded)
    }

    /// Takes a path that is already decoded, as an index or the catalog holds it.
    ///
    /// # Errors
    /// As [`RepoPath::parse`].
    pub fn from_decoded(decoded: &str) -> Result<Self, PathError> {
        if decoded.len() > MAX_LENGTH {
            return Err(PathError::TooLong);
        }
        let bare = decoded.trim_start_matches('/');
        if is_plain(bare.as_bytes()) {
            return Ok(Self(Arc::from(bare)));
        }
        if decoded.chars().any(char::is_control) {
            return Err(PathError::BadCharacter);
        }
        if decoded.contains('\\') {
            return Err(PathError::HiddenSlash);
        }
        if decoded.split('/').any(|segment| segment == "..") {
            return Err(PathError::DotSegment);
        }
        let decoded = decoded.trim_start_matches('/');
        if !decoded.contains("//") && !decoded.split('/').any(|segment| segment == ".") {
            return Ok(Self(Arc::from(decoded)));
        }
        let mut path = String::with_capacity(decoded.len());
        for segment in decoded.split('/').filter(|segment| !matches!(*segment, "" | ".")) {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(segment);
        }
        if !path.is_empty() && (decoded.ends_with('/') || decoded.ends_with("/.")) {
            path.push('/');
        }
        Ok(Self(Arc::from(path)))
    }

    /// The repository's root.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// The decoded path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The decoded path, without a copy.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The one spelling of this path that goes upstream.
    #[must_use]
    pub fn encoded(&self) -> String {
        utf8_percent_encode(&self.0, ENCODED).to_string()
    }

    /// The part after the last slash; empty for a folder or the root.
    #[must_use]
    pub fn file_name(&self) -> &str {
        memchr::memrchr(b'/', self.0.as_bytes()).map_or(&self.0, |slash| &self.0[slash + 1..])
    }

    /// The path of something below this folder. `below` is relative and normalised, as what a [`RepoPath`]
    /// gives and what is derived from one.
    #[must_use]
    pub fn child(&self, below: &str) -> Self {
        if self.0.is_empty() {
            return Self(Arc::from(below));
        }
        Self(Arc::from(format!("{}/{below}", self.0.trim_end_matches('/'))))
    }

    /// The folder that the path lies in: what stands before the last slash; empty for the root's files.
    #[must_use]
    pub fn parent(&self) -> &str {
        memchr::memrchr(b'/', self.0.as_bytes()).map_or("", |slash| &self.0[..slash])
    }

    /// What remains below `prefix` (a path without slashes at either end; empty for the root), or
    /// `None` when this path is elsewhere.
    #[must_use]
    pub fn below(&self, prefix: &str) -> Option<Self> {
        if prefix.is_empty() {
            return Some(self.clone());
        }
        self.strip(prefix).map(|rest| Self(Arc::from(rest)))
    }

    /// The same as text, without a copy.
    #[must_use]
    pub fn strip(&self, prefix: &str) -> Option<&str> {
        if prefix.is_empty() {
            return Some(&self.0);
        }
        match self.0.strip_prefix(prefix)? {
            "" => Some(""),
            rest => rest.strip_prefix('/'),
        }
    }

    /// Splits off the first segment: `ubuntu/dists/noble` gives `ubuntu` and `dists/noble`.
    #[must_use]
    pub fn split_first(&self) -> (&str, Self) {
        match memchr::memchr(b'/', self.0.as_bytes()) {
            Some(slash) => (&self.0[..slash], Self(Arc::from(&self.0[slash + 1..]))),
            None => (&self.0, Self(Arc::from(""))),
        }
    }
}

/// Whether a path without leading slashes is already what it becomes, encoded or not: printable ASCII
/// without `%` and `\\`, no empty segment, none that begins with a dot. Nearly all paths are.
fn is_plain(path: &[u8]) -> bool {
    let begins_well = |segment: &[u8]| !matches!(segment.first(), Some(b'/' | b'.'));
    // Not ended by the first that does not fit, so that many are looked at together.
    let fits = |byte: u8| matches!(byte, b'!'..=b'~') && byte != b'%' && byte != b'\\';
    path.iter().fold(true, |all, byte| all & fits(*byte))
        && begins_well(path)
        && memchr::memchr_iter(b'/', path).all(|slash| begins_well(&path[slash + 1..]))
}

/// Every `%` starts a valid escape, and none of them hides a slash or a backslash.
fn check_encoding(encoded: &[u8]) -> Result<(), PathError> {
    let mut rest = encoded;
    while let Some(at) = memchr::memchr(b'%', rest) {
        let escape = rest.get(at + 1..at + 3).ok_or(PathError::BadEncoding)?;
        if !escape.iter().all(u8::is_ascii_hexdigit) {
            return Err(PathError::BadEncoding);
        }
        if matches!(escape, b"2f" | b"2F" | b"5c" | b"5C") {
            return Err(PathError::HiddenSlash);
        }
        rest = &rest[at + 3..];
    }
    Ok(())
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/pool/main/g/g%2b%2b/g%2B%2b_12%7ebeta_amd64.deb", "pool/main/g/g++/g++_12~beta_amd64.deb")]
    #[case("/pool/main/g/g++/g++_12~beta_amd64.deb", "pool/main/g/g++/g++_12~beta_amd64.deb")]
    #[case("//dists///noble//InRelease", "dists/noble/InRelease")]
    #[case("/dists/noble/", "dists/noble/")]
    #[case("/./InRelease", "InRelease")]
    #[case("/cuda/./%2e/Packages.gz", "cuda/Packages.gz")]
    #[case("/a/.", "a/")]
    #[case("/.", "")]
    #[case("/", "")]
    #[case("/a%20b%25c", "a b%c")]
    #[case("/..a/b..", "..a/b..")]
    fn spellings_of_one_path_are_one(#[case] encoded: &str, #[case] path: &str) {
        assert_eq!(RepoPath::parse(encoded).unwrap().as_str(), path);
    }

    #[rstest]
    #[case("/../etc/passwd", PathError::DotSegment)]
    #[case("/a/%2e%2e/b", PathError::DotSegment)]
    #[case("/a/.%2E", PathError::DotSegment)]
    #[case("/a%2fb", PathError::HiddenSlash)]
    #[case("/a%5Cb", PathError::HiddenSlash)]
    #[case("/a\\..\\b", PathError::HiddenSlash)]
    #[case("/a%00b", PathError::BadCharacter)]
    #[case("/a%0d%0aHost:x", PathError::BadCharacter)]
    #[case("/%ff%fe", PathError::BadCharacter)]
    #[case("/%c0%ae%c0%ae/", PathError::BadCharacter)]
    #[case("/%zz", PathError::BadEncoding)]
    #[case("/%2", PathError::BadEncoding)]
    fn anything_else_is_refused(#[case] encoded: &str, #[case] why: PathError) {
        assert_eq!(RepoPath::parse(encoded), Err(why));
    }

    #[test]
    fn length_is_bounded() {
        assert_eq!(RepoPath::parse(&"a".repeat(MAX_LENGTH + 1)), Err(PathError::TooLong));
        assert_eq!(RepoPath::parse(&"%61".repeat(MAX_LENGTH)).unwrap().as_str().len(), MAX_LENGTH);
    }

    #[test]
    fn decoding_happens_once() {
        assert_eq!(RepoPath::parse("/%252e%252e/x").unwrap().as_str(), "%2e%2e/x");
    }

    proptest! {
        #[test]
        fn encoding_round_trips(text in "\\PC{0,60}") {
            if let Ok(path) = RepoPath::from_decoded(&text) {
                prop_assert_eq!(RepoPath::parse(&path.encoded()).unwrap(), path);
            }
        }

        #[test]
        fn no_spelling_escapes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let text = bytes.iter().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
            if let Ok(path) = RepoPath::parse(&text) {
                prop_assert!(!path.as_str().starts_with('/'));
                prop_assert!(path.as_str().split('/').all(|segment| segment != ".." && segment != "."));
            }
        }
    }

    #[rstest]
    #[case("", true)]
    #[case("pool/main/n/nano/nano_7.2-1~a_amd64.deb", true)]
    #[case("dists/noble/", true)]
    #[case("a..b/c.", true)]
    #[case("/a", false)]
    #[case("a//b", false)]
    #[case("a/./b", false)]
    #[case("a/../b", false)]
    #[case(".hidden", false)]
    #[case("a%2bb", false)]
    #[case("a\\b", false)]
    #[case("a b", false)]
    #[case("a\tb", false)]
    #[case("ü", false)]
    fn only_what_is_normal_already_is_taken_as_it_is(#[case] path: &str, #[case] plain: bool) {
        assert_eq!(is_plain(path.as_bytes()), plain);
        if plain {
            assert_eq!(RepoPath::parse(path).unwrap().as_str(), path);
        }
    }
}
