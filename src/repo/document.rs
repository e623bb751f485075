//! The files of a repository that vouch for others, and how they are signed.
//!
//! An apt archive has release files, one for each suite. A repository of kind `files` has checksum lists
//! (`SHA256SUMS`), any number in any folder. And an archive may hold single files that nothing lists but
//! their own signature: the tool that brings a desktop to the next release. All of them are kept as
//! generations, under a name that stands for the suite: the folder of a release file, or the path of a list
//! or of a signed file.

use super::apt::release::{Release, ReleaseError};
use super::config::{Config, Kind};
use super::sums::{self, SumsError};
use crate::repo_path::RepoPath;

/// The endings of a detached signature beside a list or a signed file, in the order in which they are looked
/// for: Ubuntu's, Debian's, and that of everybody else.
pub const SIGNATURE_ENDINGS: [&str; 3] = [".gpg", ".sign", ".asc"];

/// The folders above a file's own in which a list may stand that lists it.
const ABOVE: usize = 3;

/// What vouches for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// The release file of an apt suite.
    Release,
    /// A list of checksums.
    Sums,
    /// A file that its own signature vouches for, and that vouches for nothing else.
    File,
}

/// The files that announce a suite or its counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `InRelease`: the text with its signatures.
    InRelease,
    /// `Release`, a checksum list, a signed file: the text alone.
    Text,
    /// `Release.gpg`, `SHA256SUMS.gpg`: the signatures alone.
    Signature,
}

/// Why a document was refused although its signature is good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A release file.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// A checksum list.
    #[error(transparent)]
    Sums(#[from] SumsError),
}

impl Document {
    /// What stands under the name of a suite in a repository.
    #[must_use]
    pub fn of(config: &Config, suite: &RepoPath) -> Self {
        match config.kind {
            Kind::Files if is_list(config, suite.file_name()) => Self::Sums,
            Kind::Files => Self::File,
            Kind::Apt if is_upgrader(suite) => Self::File,
            Kind::Apt | Kind::Http => Self::Release,
        }
    }

    /// What the text of a document lists.
    ///
    /// # Errors
    /// [`DocumentError`] says what is wrong with the text.
    pub fn read(self, text: &[u8]) -> Result<Release, DocumentError> {
        Ok(match self {
            Self::Release => Release::parse(text)?,
            Self::Sums => Release::of_files(sums::parse(text)?),
            Self::File => Release::of_files(Vec::new()),
        })
    }

    /// Where the text of `suite` and its detached signature are published; of the signature's names any one
    /// is enough.
    #[must_use]
    pub fn places(self, suite: &RepoPath) -> (RepoPath, Vec<RepoPath>) {
        if self == Self::Release {
            return (suite.child("Release"), vec![suite.child("Release.gpg")]);
        }
        let beside = |ending: &&str| RepoPath::from_decoded(&format!("{suite}{ending}")).ok();
        (suite.clone(), SIGNATURE_ENDINGS.iter().filter_map(beside).collect())
    }
}

/// The suite, or its counterpart, that a path belongs to as a form of its document; `None` for other files.
#[must_use]
pub fn head(config: &Config, path: &RepoPath) -> Option<(RepoPath, Form)> {
    match config.kind {
        Kind::Http => None,
        Kind::Apt => {
            let form = match path.file_name() {
                "InRelease" => Form::InRelease,
                "Release" => Form::Text,
                "Release.gpg" => Form::Signature,
                _ => return beside(path, is_upgrader),
            };
            Some((RepoPath::from_decoded(path.parent()).ok()?, form))
        }
        Kind::Files => beside(path, |path| is_list(config, path.file_name())),
    }
}

/// The lists that may list the file at `path`, the most likely first: those of its own folder, then those of
/// the folders above.
#[must_use]
pub fn lists_for(config: &Config, path: &RepoPath) -> Vec<RepoPath> {
    let mut lists = Vec::new();
    let mut folder = Some(path.parent());
    for _ in 0..=ABOVE {
        let Some(here) = folder else { break };
        for name in &config.lists {
            let list = if here.is_empty() { name.to_string() } else { format!("{here}/{name}") };
            lists.extend(RepoPath::from_decoded(&list));
        }
        folder = match here.rsplit_once('/') {
            Some((above, _)) => Some(above),
            None => (!here.is_empty()).then_some(""),
        };
    }
    lists
}

fn is_list(config: &Config, name: &str) -> bool {
    config.lists.iter().any(|list| **list == *name)
}

/// `…/dist-upgrader-all/current/noble.tar.gz`: Ubuntu signs it by itself, with the archive's key, and lists it
/// nowhere.
fn is_upgrader(path: &RepoPath) -> bool {
    // Cheap first: every request to an archive comes by here.
    path.file_name().strip_suffix(".tar.gz").is_some_and(|name| !name.is_empty())
        && path.as_str().split('/').any(|folder| folder == "dist-upgrader-all")
}

/// A file that `is_signed`, or the signature beside one.
fn beside(path: &RepoPath, is_signed: impl Fn(&RepoPath) -> bool) -> Option<(RepoPath, Form)> {
    if is_signed(path) {
        return Some((path.clone(), Form::Text));
    }
    let signed = |ending: &&str| RepoPath::from_decoded(path.as_str().strip_suffix(*ending)?).ok();
    let signed = SIGNATURE_ENDINGS.iter().find_map(signed).filter(is_signed)?;
    Some((signed, Form::Signature))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn path(text: &str) -> RepoPath {
        RepoPath::parse(text).unwrap()
    }

    fn config(kind: Kind) -> Config {
        Config::example(kind)
    }

    #[rstest]
    #[case(Kind::Apt, "dists/noble/InRelease", Some(("dists/noble", Form::InRelease)))]
    #[case(Kind::Apt, "Release.gpg", Some(("", Form::Signature)))]
    #[case(Kind::Apt, "d/dist-upgrader-all/current/noble.tar.gz", Some(("d/dist-upgrader-all/current/noble.tar.gz", Form::Text)))]
    #[case(Kind::Apt, "d/dist-upgrader-all/current/noble.tar.gz.gpg", Some(("d/dist-upgrader-all/current/noble.tar.gz", Form::Signature)))]
    #[case(Kind::Apt, "d/dist-upgrader-all/current/ReleaseAnnouncement", None)]
    #[case(Kind::Apt, "pool/a.tar.gz", None)]
    #[case(Kind::Apt, "SHA256SUMS", None)]
    #[case(Kind::Files, "24.04/SHA256SUMS", Some(("24.04/SHA256SUMS", Form::Text)))]
    #[case(Kind::Files, "24.04/SHA256SUMS.gpg", Some(("24.04/SHA256SUMS", Form::Signature)))]
    #[case(Kind::Files, "SHA512SUMS.sign", Some(("SHA512SUMS", Form::Signature)))]
    #[case(Kind::Files, "24.04/a.iso", None)]
    #[case(Kind::Files, "MD5SUMS", None)]
    #[case(Kind::Http, "SHA256SUMS", None)]
    fn documents_have_names(#[case] kind: Kind, #[case] text: &str, #[case] found: Option<(&str, Form)>) {
        let head = head(&config(kind), &path(text));
        assert_eq!(head.as_ref().map(|(suite, form)| (suite.as_str(), *form)), found);
    }

    #[test]
    fn lists_are_sought_near_the_file_first() {
        let lists = lists_for(&config(Kind::Files), &path("a/b/x.iso"));
        let lists: Vec<_> = lists.iter().map(RepoPath::as_str).collect();
        let expected =
            ["a/b/SHA256SUMS", "a/b/SHA512SUMS", "a/SHA256SUMS", "a/SHA512SUMS", "SHA256SUMS", "SHA512SUMS"];
        assert_eq!(lists, expected);
        assert_eq!(lists_for(&config(Kind::Files), &path("1/2/3/4/5/x")).len(), 2 * (ABOVE + 1));
    }

    #[test]
    fn a_document_has_places() {
        let (text, signatures) = Document::Sums.places(&path("24.04/SHA256SUMS"));
        assert_eq!(text.as_str(), "24.04/SHA256SUMS");
        assert_eq!(signatures[0].as_str(), "24.04/SHA256SUMS.gpg");
        assert_eq!(Document::Release.places(&path("dists/x")).1[0].as_str(), "dists/x/Release.gpg");
    }
}
