//! What kind of thing stands at a path, told from the path alone.
//!
//! The layout is that of Debian archives (wiki.debian.org/DebianRepository/Format), which every apt
//! repository follows: release files and indices below `dists/<suite>/`, packages below `pool/`. Flat
//! repositories put all of them into one folder, so names count more than folders here, and the
//! archive's root (what stands before `dists/` or `pool/`) may be any number of folders deep.

use crate::digest::Digest;
use crate::repo_path::RepoPath;

use super::config::{Config, Kind};
use super::document;

/// How what stands at a path may be kept and when it must be checked again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathClass {
    /// `…/by-hash/SHA256/<hex>`: the path itself tells the hash of the bytes.
    ByHash(Digest),
    /// Never changes under this name: a package, a source archive, a file named by another hash.
    Immutable,
    /// `InRelease`, `Release`, `Release.gpg`, a checksum list, their like: the head of a suite.
    Release,
    /// A plain-named index of a suite (`Packages.xz`, `Translation-en`, `Contents-amd64.gz` …).
    Index,
    /// Anything else: cached as its own headers say (RFC 9111).
    Other,
}

/// Endings of files that are published once under a name with a version in it.
const PACKAGE_ENDINGS: [&str; 5] = [".deb", ".udeb", ".ddeb", ".dsc", ".diff.gz"];

/// First parts of the names of indices, as they stand in flat repositories outside `dists/`.
const INDEX_NAMES: [&str; 4] = ["Packages", "Sources", "Contents", "Translation-"];

impl PathClass {
    /// The class of `path` in a repository of this kind.
    #[must_use]
    pub fn of(config: &Config, path: &RepoPath) -> Self {
        match config.kind {
            Kind::Apt | Kind::Files if document::head(config, path).is_some() => Self::Release,
            Kind::Apt => Self::in_archive(path),
            Kind::Files | Kind::Http => Self::Other,
        }
    }

    fn in_archive(path: &RepoPath) -> Self {
        let name = path.file_name();
        if name.is_empty() {
            return Self::Other;
        }
        // No hash ends like this, so the most frequent question comes first.
        if is_package(name) {
            return Self::Immutable;
        }
        if let Some(class) = by_hash(path) {
            return class;
        }
        if has_folder(path, "pool") {
            return Self::Immutable;
        }
        let named_index = INDEX_NAMES.iter().any(|index| name.starts_with(index));
        if named_index || has_folder(path, "dists") { Self::Index } else { Self::Other }
    }

    /// Whether a copy never needs to be checked against upstream again.
    #[must_use]
    pub const fn is_immutable(self) -> bool {
        matches!(self, Self::ByHash(_) | Self::Immutable)
    }

    /// Whether this belongs to a suite's release file and what it lists.
    #[must_use]
    pub const fn is_of_suite(self) -> bool {
        matches!(self, Self::Release | Self::Index)
    }

    /// The hash that the bytes must have, when the path alone tells it.
    #[must_use]
    pub const fn expected(self) -> Option<Digest> {
        match self {
            Self::ByHash(digest) => Some(digest),
            _ => None,
        }
    }
}

/// The folder of the suite that a release file or index belongs to: `dists/noble` for anything below
/// it, or the file's own folder in a flat repository. Names with slashes (`dists/stable/updates`)
/// give the first folder only, which is enough to find what changes together.
#[must_use]
pub fn suite_folder(path: &RepoPath) -> &str {
    let text = path.as_str();
    let dists = if text.starts_with("dists/") { Some(0) } else { text.find("/dists/").map(|at| at + 1) };
    if let Some(suite) = dists.map(|at| at + "dists/".len()) {
        return match text[suite..].find('/') {
            Some(end) => &text[..suite + end],
            None => text,
        };
    }
    text.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn has_folder(path: &RepoPath, folder: &str) -> bool {
    path.as_str().split('/').any(|segment| segment == folder)
}

fn is_package(name: &str) -> bool {
    PACKAGE_ENDINGS.iter().any(|ending| name.ends_with(ending))
        || name.contains(".orig.tar.")
        || name.contains(".debian.tar.")
}

fn by_hash(path: &RepoPath) -> Option<PathClass> {
    let (folder, name) = path.as_str().rsplit_once('/')?;
    let (folder, algorithm) = folder.rsplit_once('/')?;
    if !folder.ends_with("/by-hash") && folder != "by-hash" {
        return None;
    }
    let hexadecimal = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    match algorithm {
        "SHA256" => name.parse().ok().map(PathClass::ByHash),
        "SHA512" if hexadecimal && name.len() == 128 => Some(PathClass::Immutable),
        "SHA1" if hexadecimal && name.len() == 40 => Some(PathClass::Immutable),
        "MD5Sum" if hexadecimal && name.len() == 32 => Some(PathClass::Immutable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("dists/noble/InRelease", PathClass::Release)]
    #[case("dists/noble/Release.gpg", PathClass::Release)]
    #[case("owner/name/ubuntu/dists/noble/InRelease", PathClass::Release)]
    #[case("Release", PathClass::Release)]
    #[case("dists/noble/main/binary-amd64/Packages.xz", PathClass::Index)]
    #[case("dists/noble/main/binary-amd64/Release", PathClass::Release)]
    #[case("dists/noble/main/dep11/icons-48x48.tar.gz", PathClass::Index)]
    #[case("dists/noble/main/cnf/Commands-amd64.xz", PathClass::Index)]
    #[case("cuda/Packages.gz", PathClass::Index)]
    #[case("cuda/libcuda_1_amd64.deb", PathClass::Immutable)]
    #[case("pool/main/n/nano/nano_7.2-1_amd64.deb", PathClass::Immutable)]
    #[case("dists/noble/main/dist-upgrader-all/current/noble.tar.gz", PathClass::Release)]
    #[case("pool/main/n/nano/nano_7.2.orig.tar.xz", PathClass::Immutable)]
    #[case("pool/main/n/nano/nano_7.2.orig.tar.xz.asc", PathClass::Immutable)]
    #[case("ls-lR.gz", PathClass::Other)]
    #[case("changelogs/meta-release-lts", PathClass::Other)]
    #[case("dists/", PathClass::Other)]
    #[case("", PathClass::Other)]
    fn paths_tell_their_class(#[case] path: &str, #[case] class: PathClass) {
        assert_eq!(PathClass::of(&Config::example(Kind::Apt), &RepoPath::parse(path).unwrap()), class);
        assert_eq!(
            PathClass::of(&Config::example(Kind::Http), &RepoPath::parse(path).unwrap()),
            PathClass::Other
        );
    }

    #[test]
    fn by_hash_tells_the_digest() {
        let digest = Digest::of(b"x");
        let path = format!("dists/noble/main/binary-amd64/by-hash/SHA256/{digest}");
        let class = PathClass::of(&Config::example(Kind::Apt), &RepoPath::parse(&path).unwrap());
        assert_eq!(class, PathClass::ByHash(digest));
        assert_eq!(class.expected(), Some(digest));
        let broken = RepoPath::parse(&path[..path.len() - 1]).unwrap();
        assert_eq!(PathClass::of(&Config::example(Kind::Apt), &broken), PathClass::Index);
    }

    #[rstest]
    #[case("dists/noble/InRelease", "dists/noble")]
    #[case("dists/noble/main/binary-amd64/Packages", "dists/noble")]
    #[case("a/b/ubuntu/dists/noble/Release", "a/b/ubuntu/dists/noble")]
    #[case("cuda/Packages", "cuda")]
    #[case("Packages", "")]
    fn suites_have_folders(#[case] path: &str, #[case] folder: &str) {
        assert_eq!(suite_folder(&RepoPath::parse(path).unwrap()), folder);
    }
}
