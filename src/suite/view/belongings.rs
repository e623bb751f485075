//! What belongs to some generations, or to no others.

use std::collections::HashSet;
use std::sync::Arc;

use super::View;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::release::Listed;
use crate::repo::apt::table::Table;
use crate::suite::Generation;

impl View {
    /// The tables of what these generations list, each with one of them that lists its index.
    pub fn tables_of(&self, generations: &[i64]) -> impl Iterator<Item = (i64, &Arc<Table>)> {
        let (wanted, _) = self.split(generations);
        self.tables.values().flatten().filter_map(move |listing| {
            let lister = wanted.iter().find(|generation| generation.has_index(&listing.index))?;
            Some((lister.row.id, &listing.table))
        })
    }

    /// Everything that the generations here list: what their indices do, and, where these are checksum lists,
    /// what they do themselves.
    pub fn every_checksum(&self) -> impl Iterator<Item = Checksum> {
        let listed = self.tables.values().flatten().filter(|listing| listing.rank < super::Rank::Nobody);
        let tables = listed.flat_map(|listing| listing.table.iter().map(|expected| expected.checksum));
        let all = self.suites.values().flat_map(|suite| std::iter::once(&suite.current).chain(&suite.older));
        tables.chain(all.flat_map(|generation| generation.release.files().iter().map(Listed::checksum)))
    }

    /// The tables of indices that these generations list and no other of this repository.
    pub fn tables_only_of(&self, generations: &[i64]) -> impl Iterator<Item = &Arc<Table>> {
        self.tables_by(generations).filter_map(|(only, table)| only.then_some(table))
    }

    /// All other tables.
    pub fn tables_not_only_of(&self, generations: &[i64]) -> impl Iterator<Item = &Arc<Table>> {
        self.tables_by(generations).filter_map(|(only, table)| (!only).then_some(table))
    }

    /// Every table, and whether only these generations list its index.
    fn tables_by(&self, generations: &[i64]) -> impl Iterator<Item = (bool, &Arc<Table>)> {
        let (these, others) = self.split(generations);
        self.tables.values().flatten().map(move |listing| {
            let lists = |generation: &&Arc<Generation>| generation.has_index(&listing.index);
            (these.iter().any(lists) && !others.iter().any(lists), &listing.table)
        })
    }

    /// The indices and release files that these generations have and no other of this repository.
    #[must_use]
    pub fn files_only_of(&self, generations: &[i64]) -> HashSet<Checksum> {
        let (these, others) = self.split(generations);
        let mut alone: HashSet<Checksum> = these.iter().flat_map(|generation| files(generation)).collect();
        for file in others.iter().flat_map(|generation| files(generation)) {
            alone.remove(&file);
        }
        alone
    }

    /// These generations, and all others.
    fn split(&self, generations: &[i64]) -> (Vec<&Arc<Generation>>, Vec<&Arc<Generation>>) {
        let all = self.suites.values().flat_map(|suite| std::iter::once(&suite.current).chain(&suite.older));
        all.partition(|generation| generations.contains(&generation.row.id))
    }
}

/// What makes up a generation beside the packages: its release file in every form, and what that lists.
fn files(generation: &Generation) -> impl Iterator<Item = Checksum> {
    let row = &generation.row;
    let forms = [Some(row.text), row.in_release, row.release, row.release_gpg];
    let indices = generation.release.files().iter().map(Listed::checksum);
    forms.into_iter().flatten().map(Checksum::Sha256).chain(indices)
}
