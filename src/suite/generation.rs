//! One verified state of a suite.

use std::collections::HashSet;

use crate::digest::Digest;
use crate::repo::apt::by_hash;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::release::{Listed, Release};
use crate::repo::apt::table::Expected;
use crate::repo::document::Form;
use crate::store;

/// A generation and what its release file lists.
#[derive(Debug, Clone)]
pub struct Generation {
    /// What the catalog says.
    pub row: store::Generation,
    /// What was signed.
    pub release: Release,
    /// What clients see as `Last-Modified` of the release file, in seconds since 1970. Upstream's date,
    /// except that no generation has the date of the one before it, or an earlier one: mirrors that do not
    /// keep dates publish such, and apt asks by date alone whether there is something new.
    pub shown_date: i64,
    /// Every index that lists files, by its checksum.
    tables: HashSet<Checksum>,
}

impl Generation {
    /// A generation that follows `before`.
    #[must_use]
    pub fn new(row: store::Generation, release: Release, before: Option<&Self>) -> Self {
        let date = row.last_modified.unwrap_or(row.created_at);
        let shown_date = before.map_or(date, |before| date.max(before.shown_date + 1));
        let tables = release.indices().map(Listed::checksum).collect();
        Self { row, release, shown_date, tables }
    }

    /// The same generation with another row.
    #[must_use]
    pub fn with_row(&self, row: store::Generation) -> Self {
        Self { row, ..self.clone() }
    }

    /// Every index that lists files.
    pub(super) fn tables(&self) -> impl Iterator<Item = &Checksum> {
        self.tables.iter()
    }

    /// Whether it lists this file, and the file lists others in its turn.
    #[must_use]
    pub fn has_index(&self, index: &Checksum) -> bool {
        self.tables.contains(index)
    }

    /// The listed file with this checksum.
    #[must_use]
    pub fn listed_as(&self, checksum: &Checksum) -> Option<&Listed> {
        self.release.files().iter().find(|listed| listed.checksum() == *checksum)
    }

    /// The object of one form of the release file, if upstream published it in that form.
    #[must_use]
    pub const fn object(&self, form: Form) -> Option<Digest> {
        match form {
            Form::InRelease => self.row.in_release,
            Form::Text => self.row.release,
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
