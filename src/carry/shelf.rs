//! What the verified documents of an import list, before any of them is current here.

use std::sync::Arc;

use crate::digest::Digest;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::release::{Listed, Release};
use crate::repo::apt::table::{Expected, Table};
use crate::repo_path::RepoPath;
use crate::suite::Generation;

/// The tables of indices, and checksum lists, each with the position of its repository.
#[derive(Default)]
pub(super) struct Shelf {
    tables: Vec<(usize, Arc<str>, Arc<Table>)>,
    lists: Vec<(usize, RepoPath, Release)>,
}

impl Shelf {
    pub(super) fn add_table(&mut self, repository: usize, roots: Vec<Arc<str>>, table: Table) {
        let table = Arc::new(table);
        self.tables.extend(roots.into_iter().map(|root| (repository, root, Arc::clone(&table))));
    }

    pub(super) fn add_list(&mut self, repository: usize, list: RepoPath, release: Release) {
        self.lists.push((repository, list, release));
    }

    /// What the bytes at a path must be.
    pub(super) fn find(&self, repository: usize, path: &RepoPath) -> Option<Expected> {
        let in_table =
            self.tables.iter().filter(|(of, ..)| *of == repository).find_map(|(_, root, table)| {
                let below = path.below(root)?;
                table.find(below.as_str()).next()
            });
        in_table.or_else(|| {
            self.lists.iter().filter(|(of, ..)| *of == repository).find_map(|(_, list, release)| {
                let below = path.below(list.parent())?;
                release.find(below.as_str()).map(Generation::expected)
            })
        })
    }

    /// Everything that is listed by SHA-256.
    pub(super) fn digests(&self) -> impl Iterator<Item = (Digest, usize)> {
        let tables = self
            .tables
            .iter()
            .flat_map(|(of, _, table)| table.iter().map(|expected| (expected.checksum, *of)));
        let lists = self
            .lists
            .iter()
            .flat_map(|(of, _, release)| release.files().iter().map(Listed::checksum).map(|sum| (sum, *of)));
        tables.chain(lists).filter_map(|(checksum, of)| match checksum {
            Checksum::Sha256(digest) => Some((digest, of)),
            Checksum::Sha512(_) => None,
        })
    }
}
