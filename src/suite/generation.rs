//! One verified state of a suite.

use std::collections::HashSet;

use crate::digest::Digest;
use crate::repo::apt::by_hash;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::index::IndexKind;
use crate::repo::apt::release::{Listed, Release};
use crate::repo::apt::table::Expected;
use crate::store;

/// A generation and what its release file lists.
#[derive(Debug)]
pub struct Generation {
    /// What the catalog says.
    pub row: store::Generation,
    /// What was signed.
    pub release: Release,
    /// The listed files that list further files themselves.
    indices: HashSet<Digest>,
}

/// The files that announce a suite, directly in its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `InRelease`: the text with its signatures.
    InRelease,
    /// `Release`: the text alone.
    Release,
    /// `Release.gpg`: the signatures alone.
    Signature,
}

impl Form {
    /// The form that a file name means.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "InRelease" => Some(Self::InRelease),
            "Release" => Some(Self::Release),
            "Release.gpg" => Some(Self::Signature),
            _ => None,
        }
    }
}

impl Generation {
    /// Puts a row of the catalog and its release file together.
    #[must_use]
    pub fn new(row: store::Generation, release: Release) -> Self {
        let indices = release
            .files()
            .iter()
            .filter(|listed| IndexKind::of(listed.path.as_str()).is_some())
            .filter_map(|listed| listed.checksum().sha256())
            .collect();
        Self { row, release, indices }
    }

    /// Whether it lists this file, and the file lists others in its turn.
    #[must_use]
    pub fn has_index(&self, digest: &Digest) -> bool {
        self.indices.contains(digest)
    }

    /// The listed file of this hash.
    #[must_use]
    pub fn listed_as(&self, digest: &Digest) -> Option<&Listed> {
        self.release.files().iter().find(|listed| listed.checksum().sha256() == Some(*digest))
    }

    /// The object of one form of the release file, if upstream published it in that form.
    #[must_use]
    pub const fn object(&self, form: Form) -> Option<Digest> {
        match form {
            Form::InRelease => self.row.in_release,
            Form::Release => self.row.release,
            Form::Signature => self.row.release_gpg,
        }
    }

    /// The listed file that `path`, relative to the suite's folder, names: plainly or by its hash.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Listed> {
        match by_hash::parse(path) {
            Some(by_hash) => self.release.find_by_hash(&by_hash),
            None => self.release.find(path),
        }
    }

    /// What the bytes of a listed file must be.
    #[must_use]
    pub fn expected(listed: &Listed) -> Expected {
        let checksum: Checksum = listed.checksum();
        Expected { size: listed.size, checksum }
    }
}
