//! The state of a repository's suites as requests see it.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::channel::Channel;
use super::generation::Generation;
use crate::digest::Digest;
use crate::repo::apt::table::{Expected, Table};
use crate::repo_path::RepoPath;
use crate::store::Check;

/// The suites of every repository, by the repository's position in the configuration.
#[derive(Debug)]
pub struct Suites {
    views: Vec<ArcSwap<View>>,
}

/// One repository's suites at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    suites: HashMap<Arc<str>, Suite>,
    /// What the indices of an archive list, by the archive's root; those of current generations first.
    tables: HashMap<Arc<str>, Vec<Listing>>,
    /// What each channel shows of each suite.
    pinned: HashMap<(Arc<str>, Arc<str>), Arc<Generation>>,
}

/// A suite that somebody here has asked for.
#[derive(Debug, Clone)]
pub struct Suite {
    /// What is served.
    pub current: Arc<Generation>,
    /// What was served before and is still reachable by hash, newest first.
    pub older: Vec<Arc<Generation>>,
    /// When upstream was last asked, and what keeps its newest state from becoming current.
    pub check: Check,
}

/// The table of one index.
#[derive(Debug, Clone)]
struct Listing {
    index: Digest,
    table: Arc<Table>,
}

impl Suites {
    /// No suites yet, for so many repositories.
    #[must_use]
    pub fn new(repositories: usize) -> Self {
        Self { views: (0..repositories).map(|_| ArcSwap::default()).collect() }
    }

    /// What requests to a repository see now.
    #[must_use]
    pub fn view(&self, repository: usize) -> arc_swap::Guard<Arc<View>> {
        self.views[repository].load()
    }

    /// Replaces what requests see by `change` of it. Changes of one repository may race; each is applied
    /// to the outcome of the other, so `change` may run more than once.
    pub fn change(&self, repository: usize, change: impl Fn(&mut View)) {
        self.views[repository].rcu(|view| {
            let mut next = View::clone(view);
            change(&mut next);
            next
        });
    }
}

impl View {
    /// The suite with this folder.
    #[must_use]
    pub fn suite(&self, folder: &str) -> Option<&Suite> {
        self.suites.get(folder)
    }

    /// Every suite, with its folder.
    pub fn suites(&self) -> impl Iterator<Item = (&Arc<str>, &Suite)> {
        self.suites.iter()
    }

    /// A retained generation of a suite.
    #[must_use]
    pub fn generation(&self, folder: &str, id: i64) -> Option<&Arc<Generation>> {
        let suite = self.suites.get(folder)?;
        std::iter::once(&suite.current).chain(&suite.older).find(|generation| generation.row.id == id)
    }

    /// The known suite that a path lies in: the one with the longest folder.
    #[must_use]
    pub fn suite_of(&self, path: &RepoPath) -> Option<(&Arc<str>, &Suite, RepoPath)> {
        folders(path.as_str()).rev().find_map(|folder| {
            let (folder, suite) = self.suites.get_key_value(folder)?;
            Some((folder, suite, path.below(folder)?))
        })
    }

    /// The generation of a suite that `channel` shows. A named channel that has not been pointed at anything
    /// shows the current one; a time before the first generation here shows that one.
    #[must_use]
    pub fn shown(&self, channel: &Channel, folder: &str) -> Option<&Arc<Generation>> {
        let suite = self.suites.get(folder)?;
        let shown = match channel {
            Channel::Live => None,
            Channel::Named(name) => {
                self.pinned.get(&(Arc::clone(name), Arc::clone(&suite.current.row.suite)))
            }
            Channel::At(time) => {
                let mut newest_first = std::iter::once(&suite.current).chain(&suite.older);
                newest_first.find(|generation| generation.row.created_at <= *time).or(suite.older.last())
            }
        };
        Some(shown.unwrap_or(&suite.current))
    }

    /// What some index of the archive lists for a path. Of several answers the newest counts.
    #[must_use]
    pub fn listed(&self, path: &RepoPath) -> Option<Expected> {
        folders(path.as_str()).rev().find_map(|root| {
            let listings = self.tables.get(root)?;
            let below = path.below(root)?;
            listings.iter().find_map(|listing| listing.table.find(below.as_str()).next())
        })
    }

    /// Whether any index of the archive at `root` has been read.
    #[must_use]
    pub fn knows_archive(&self, path: &RepoPath) -> bool {
        folders(path.as_str()).any(|root| self.tables.contains_key(root))
    }

    /// Makes `generation` current; the one before it becomes older.
    pub fn adopt(&mut self, generation: Arc<Generation>, check: Check) {
        let folder = Arc::clone(&generation.row.suite);
        let older = match self.suites.remove(&folder) {
            None => Vec::new(),
            Some(Suite { current, mut older, .. }) => {
                if current.row.id != generation.row.id {
                    older.insert(0, current);
                }
                older
            }
        };
        self.suites.insert(folder, Suite { current: generation, older, check });
    }

    /// Forgets older generations.
    pub fn drop_older(&mut self, folder: &str, gone: &[i64]) {
        if let Some(suite) = self.suites.get_mut(folder) {
            suite.older.retain(|generation| !gone.contains(&generation.row.id));
        }
    }

    /// Replaces the current generation by the same one with more forms of its release file.
    pub fn replace_current(&mut self, generation: Arc<Generation>) {
        if let Some(suite) = self.suites.get_mut(&generation.row.suite) {
            suite.current = generation;
        }
    }

    /// Notes what a check of a suite found.
    pub fn set_check(&mut self, check: Check) {
        if let Some(suite) = self.suites.get_mut(&check.suite) {
            suite.check = check;
        }
    }

    /// Points a channel at a generation, or back at the current one.
    pub fn set_pin(&mut self, channel: &Arc<str>, suite: &Arc<str>, generation: Option<Arc<Generation>>) {
        let key = (Arc::clone(channel), Arc::clone(suite));
        match generation {
            Some(generation) => self.pinned.insert(key, generation),
            None => self.pinned.remove(&key),
        };
    }

    /// Whether any channel shows this generation.
    #[must_use]
    pub fn is_pinned(&self, generation: i64) -> bool {
        self.pinned.values().any(|pinned| pinned.row.id == generation)
    }

    /// Whether the table of this index is here.
    #[must_use]
    pub fn has_table(&self, root: &str, index: &Digest) -> bool {
        self.tables.get(root).is_some_and(|listings| listings.iter().any(|listing| listing.index == *index))
    }

    /// Adds the table of an index, before those that are there: what came last is newest.
    pub fn add_table(&mut self, root: &Arc<str>, index: Digest, table: Arc<Table>) {
        if !self.has_table(root, &index) {
            self.tables.entry(Arc::clone(root)).or_default().insert(0, Listing { index, table });
        }
    }

    /// Forgets the tables of indices that `needed` does not want any more.
    pub fn retain_tables(&mut self, needed: impl Fn(&Digest) -> bool) {
        for listings in self.tables.values_mut() {
            listings.retain(|listing| needed(&listing.index));
        }
    }
}

/// Every folder above a path, from the root (`""`) down.
fn folders(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    std::iter::once("").chain(path.match_indices('/').map(|(at, _)| &path[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_the_prefixes_of_a_path() {
        let all: Vec<_> = folders("a/b/c").collect();
        assert_eq!(all, ["", "a", "a/b"]);
        assert_eq!(folders("a").collect::<Vec<_>>(), [""]);
    }
}
