//! What belongs to some generations, or to no others.

use std::sync::Arc;

use super::View;
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

    /// These generations, and all others.
    fn split(&self, generations: &[i64]) -> (Vec<&Arc<Generation>>, Vec<&Arc<Generation>>) {
        let all = self.suites.values().flat_map(|suite| std::iter::once(&suite.current).chain(&suite.older));
        all.partition(|generation| generations.contains(&generation.row.id))
    }
}
