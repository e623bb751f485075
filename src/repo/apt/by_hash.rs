//! The second name of an index: `…/by-hash/SHA256/<digits>` beside the plain one.
//!
//! Under its plain name an index changes; under its hash it never does, so a client that read one
//! release file never meets another one's index. Patches of indices (`Packages.diff/…`) have a fixed
//! name each and are listed by the patch index.

use super::checksum::{parse_hex, to_hex};
use super::release::{Hashes, Listed};

/// The hash that a by-hash path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// Proves nothing; old clients ask for it.
    Md5([u8; 16]),
    /// Proves nothing; old clients ask for it.
    Sha1([u8; 20]),
    /// What apt asks for where the release file lists SHA-256.
    Sha256([u8; 32]),
    /// What apt asks for where the release file lists SHA-512.
    Sha512([u8; 64]),
}

/// A by-hash path taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByHash<'a> {
    /// The folder that holds the index under its plain name; empty for the root, no slash at its end.
    pub directory: &'a str,
    /// What the index hashes to.
    pub hash: Hash,
}

/// Takes a by-hash path apart; `None` when it is none. Upper-case digits are not accepted: no archive
/// publishes under them.
#[must_use]
pub fn parse(path: &str) -> Option<ByHash<'_>> {
    let (rest, digits) = path.rsplit_once('/')?;
    let (rest, algorithm) = rest.rsplit_once('/')?;
    let directory = match rest.strip_suffix("by-hash")? {
        "" => "",
        above => above.strip_suffix('/')?,
    };
    if digits.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return None;
    }
    let digits = digits.as_bytes();
    let hash = match algorithm {
        "MD5Sum" => Hash::Md5(parse_hex(digits)?),
        "SHA1" => Hash::Sha1(parse_hex(digits)?),
        "SHA256" => Hash::Sha256(parse_hex(digits)?),
        "SHA512" => Hash::Sha512(parse_hex(digits)?),
        _ => return None,
    };
    Some(ByHash { directory, hash })
}

/// Where a listed index may be published by its hash, relative to the same folder as its plain path:
/// first by the strongest that is known of it, as apt asks.
pub fn paths_of(index: &Listed) -> impl Iterator<Item = String> {
    let directory = folder(index.path.as_str());
    let slash = if directory.is_empty() { "" } else { "/" };
    let (sha256, sha512) = match &index.hashes {
        Hashes::Sha256(sha256) => (Some(sha256), None),
        Hashes::Sha512(sha512) => (None, Some(sha512)),
        Hashes::Both(sha256, sha512) => (Some(sha256), Some(sha512)),
    };
    let sha512 = sha512.map(|sha512| format!("SHA512/{}", to_hex(sha512.as_slice())));
    let sha256 = sha256.map(|sha256| format!("SHA256/{sha256}"));
    sha512.into_iter().chain(sha256).map(move |name| format!("{directory}{slash}by-hash/{name}"))
}

/// The folder a path is in, without a slash at its end; empty for the root.
#[must_use]
pub fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::release::Release;
    use super::*;

    const RELEASE: &str = "Date: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 Contents\n";

    fn only_path(listed: &Listed) -> String {
        paths_of(listed).next().unwrap()
    }

    #[test]
    fn both_names_lead_to_the_same_entry() {
        let release = Release::parse(RELEASE.as_bytes()).unwrap();
        for listed in release.files() {
            let path = only_path(listed);
            let by_hash = parse(&path).unwrap();
            assert_eq!(by_hash.directory, folder(listed.path.as_str()));
            assert_eq!(release.find_by_hash(&by_hash), Some(listed));
        }
        let packages = release.find("main/binary-amd64/Packages").unwrap();
        let elsewhere = only_path(packages).replace("main", "universe");
        assert_eq!(release.find_by_hash(&parse(&elsewhere).unwrap()), None);
        let other = only_path(packages).replace("e3b0", "e3b1");
        assert_eq!(release.find_by_hash(&parse(&other).unwrap()), None);
    }

    #[test]
    fn every_algorithm_of_its_length_only() {
        for (name, digits) in [("MD5Sum", 32), ("SHA1", 40), ("SHA256", 64), ("SHA512", 128)] {
            for (count, good) in [(digits, true), (digits - 1, false), (digits + 2, false)] {
                let path = format!("main/i18n/by-hash/{name}/{}", "a".repeat(count));
                assert_eq!(parse(&path).is_some(), good, "{path}");
            }
        }
        let digits = "a".repeat(64);
        for path in [
            format!("by-hash/SHA256/{}", "A".repeat(64)),
            format!("xby-hash/SHA256/{digits}"),
            format!("by-hash/SHA3/{digits}"),
            format!("SHA256/{digits}"),
            format!("by-hash/SHA256/{digits}/"),
        ] {
            assert_eq!(parse(&path), None, "{path}");
        }
        assert_eq!(parse(&format!("by-hash/SHA256/{digits}")).unwrap().directory, "");
    }

    proptest! {
        #[test]
        fn arbitrary_paths_never_panic(path in "(by-hash|SHA256|/|é|[a-f0-9]{0,64}){0,8}") {
            let _ = parse(&path);
        }
    }
}
