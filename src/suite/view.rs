//! The state of a repository's suites as requests see it.

mod belongings;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

use super::channel::Channel;
use super::generation::Generation;
use crate::digest::Digest;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::table::{Expected, PathKey, Table};
use crate::repo_path::RepoPath;
use crate::slots::Slots;
use crate::store::{self, Check};

/// The suites of every repository, by the repository's number. Repositories of one name, of which the later
/// replaces the earlier one, share theirs.
#[derive(Debug)]
pub struct Suites {
    views: Slots<Arc<ArcSwap<View>>>,
    /// The last stamp that a view was given.
    stamps: AtomicU64,
}

/// One repository's suites at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    suites: HashMap<Arc<str>, Suite>,
    /// What the indices of an archive list, by the archive's root: those of current generations first,
    /// then of older ones, then of none (yet); within each the newest first.
    tables: HashMap<Arc<str>, Vec<Listing>>,
    /// What each channel shows of each suite.
    pinned: HashMap<(Arc<str>, Arc<str>), Pinned>,
    /// The tables of the generations that a named channel shows, by the archive's root. It follows from
    /// the rest.
    shown: HashMap<Arc<str>, HashMap<Arc<str>, Vec<Listing>>>,
    /// The rest has changed since it was [arranged](View::arrange).
    changed: bool,
    stamp: u64,
}

/// What a channel points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// The generation's number.
    pub generation: i64,
    /// Since when, in seconds since 1970.
    pub since: i64,
}

/// What an index says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// What the bytes must be.
    pub expected: Expected,
    /// The index that says so.
    pub index: Checksum,
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

impl Suite {
    /// The newest generation that has this object as a form of its release file.
    #[must_use]
    pub fn with_object(&self, digest: &Digest) -> Option<&Arc<Generation>> {
        let forms = |row: &store::Generation| [row.in_release, row.release, row.release_gpg];
        let mut all = std::iter::once(&self.current).chain(&self.older);
        all.find(|generation| forms(&generation.row).contains(&Some(*digest)))
    }
}

/// The table of one index.
#[derive(Debug, Clone)]
struct Listing {
    index: Checksum,
    table: Arc<Table>,
    /// When it was read, in seconds since 1970.
    since: i64,
    rank: Rank,
}

/// Who lists the index of a table; what comes first is believed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Current,
    Older,
    /// No generation, or one that is still being completed.
    Nobody,
}

impl Suites {
    /// No repositories yet, and room for those with numbers below `bound`.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self { views: Slots::new(bound), stamps: AtomicU64::new(0) }
    }

    /// Adds a repository, which shares the suites of another one, or has none yet.
    pub fn add(&self, repository: usize, shares: Option<usize>) {
        let others = shares.and_then(|other| self.views.get(other)).cloned();
        self.views.fill(repository, others.unwrap_or_default());
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
            if next.arrange() {
                // Only a number that nobody had before: it orders nothing.
                next.stamp = self.stamps.fetch_add(1, Ordering::Relaxed) + 1;
            }
            next
        });
    }
}

impl View {
    /// A number that changes whenever what indices list, or channels show, may have changed: what was
    /// [listed](Self::listed) under it is still listed. 0 before anything is.
    #[must_use]
    pub const fn stamp(&self) -> u64 {
        self.stamp
    }

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
            Channel::Named(name) => self
                .pinned(name, &suite.current.row.suite)
                .and_then(|pinned| self.generation(folder, pinned.generation)),
            Channel::At(time) => {
                let mut newest_first = std::iter::once(&suite.current).chain(&suite.older);
                newest_first.find(|generation| generation.row.created_at <= *time).or(suite.older.last())
            }
        };
        Some(shown.unwrap_or(&suite.current))
    }

    /// The same for somebody who was last given the generation `given`: through `live` that is the one, as
    /// long as it is here.
    #[must_use]
    pub fn shown_to(&self, channel: &Channel, folder: &str, given: Option<i64>) -> Option<&Arc<Generation>> {
        let given = given.filter(|_| *channel == Channel::Live);
        given.and_then(|id| self.generation(folder, id)).or_else(|| self.shown(channel, folder))
    }

    /// What an index of the archive lists for a path. Those of the generations that `channel` shows count
    /// before all others: a vendor may have replaced a file under its name. Of several others, that of a
    /// current generation counts first, and then the newest.
    #[must_use]
    pub fn listed(&self, path: &RepoPath, channel: &Channel) -> Option<Finding> {
        folders(path.as_str()).rev().find_map(|root| {
            let all = self.tables.get(root)?;
            let key = PathKey::of(path.strip(root)?);
            let find = |listing: &Listing| {
                let expected = listing.table.find_key(key).next()?;
                Some(Finding { expected, index: listing.index })
            };
            let shown = match channel {
                // What is current comes first anyway.
                Channel::Live => None,
                Channel::Named(name) => {
                    self.shown.get(name).and_then(|shown| shown.get(root)?.iter().find_map(find))
                }
                // Rare enough to be looked for each time.
                Channel::At(_) => self.shown_of(channel, all).iter().find_map(find),
            };
            shown.or_else(|| all.iter().find_map(find))
        })
    }

    /// The package that the file at a path is, with its architecture (`nano:amd64`), and the folder of the suite
    /// that lists it.
    #[must_use]
    pub fn package_at(&self, path: &RepoPath) -> Option<(Arc<str>, Arc<str>)> {
        folders(path.as_str()).rev().find_map(|root| {
            let below = path.below(root)?;
            self.tables.get(root)?.iter().find_map(|listing| {
                listing.table.find(below.as_str()).next()?;
                let suite = Arc::clone(&self.lister(&Channel::Live, &listing.index)?.row.suite);
                Some((Arc::from(&*listing.table.package_of(below.as_str())?), suite))
            })
        })
    }

    /// The generation that lists an index: the one that `channel` shows, or else the newest of any.
    #[must_use]
    pub fn lister(&self, channel: &Channel, index: &Checksum) -> Option<&Arc<Generation>> {
        let shown = self.suites.keys().filter_map(|folder| self.shown(channel, folder));
        let current = self.suites.values().map(|suite| &suite.current);
        let older = self.suites.values().flat_map(|suite| &suite.older);
        shown.chain(current).chain(older).find(|generation| generation.has_index(index))
    }

    /// Those of the listings that belong to generations which `channel` shows.
    fn shown_of(&self, channel: &Channel, listings: &[Listing]) -> Vec<Listing> {
        let shown: Vec<_> = self.suites.keys().filter_map(|folder| self.shown(channel, folder)).collect();
        let wanted = |listing: &&Listing| shown.iter().any(|generation| generation.has_index(&listing.index));
        listings.iter().filter(wanted).cloned().collect()
    }

    /// Makes what follows from the rest, after a change.
    /// Whether anything had to be made.
    fn arrange(&mut self) -> bool {
        if !std::mem::take(&mut self.changed) {
            return false;
        }
        self.rank_tables();
        let names: HashSet<_> = self.pinned.keys().map(|(channel, _)| Arc::clone(channel)).collect();
        let tables = |channel: &Channel| {
            let shown = |(root, listings): (&Arc<str>, &Vec<Listing>)| {
                (Arc::clone(root), self.shown_of(channel, listings))
            };
            self.tables.iter().map(shown).collect()
        };
        self.shown =
            names.into_iter().map(|name| (Arc::clone(&name), tables(&Channel::Named(name)))).collect();
        true
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
        self.changed = true;
    }

    /// Forgets older generations, of whatever suite.
    pub fn drop_older(&mut self, gone: &[i64]) {
        for suite in self.suites.values_mut() {
            suite.older.retain(|generation| !gone.contains(&generation.row.id));
        }
        self.changed = true;
    }

    /// Replaces a generation by the same one with more forms of its release file.
    pub fn replace(&mut self, generation: &Arc<Generation>) {
        if let Some(suite) = self.suites.get_mut(&generation.row.suite) {
            let mut all = std::iter::once(&mut suite.current).chain(&mut suite.older);
            if let Some(same) = all.find(|known| known.row.id == generation.row.id) {
                *same = Arc::clone(generation);
            }
        }
    }

    /// Notes what a check of a suite found.
    pub fn set_check(&mut self, check: Check) {
        if let Some(suite) = self.suites.get_mut(&check.suite) {
            suite.check = check;
        }
    }

    /// Points a channel at a generation, or back at the current one.
    pub fn set_pin(&mut self, channel: &Arc<str>, suite: &Arc<str>, pinned: Option<Pinned>) {
        let key = (Arc::clone(channel), Arc::clone(suite));
        match pinned {
            Some(pinned) => self.pinned.insert(key, pinned),
            None => self.pinned.remove(&key),
        };
        self.changed = true;
    }

    /// What a channel points at.
    #[must_use]
    pub fn pinned(&self, channel: &Arc<str>, suite: &Arc<str>) -> Option<Pinned> {
        self.pinned.get(&(Arc::clone(channel), Arc::clone(suite))).copied()
    }

    /// Whether any channel shows this generation.
    #[must_use]
    pub fn is_pinned(&self, generation: i64) -> bool {
        self.pinned.values().any(|pinned| pinned.generation == generation)
    }

    /// Whether this channel points at any generation.
    #[must_use]
    pub fn is_pinned_by(&self, channel: &Arc<str>) -> bool {
        self.pinned.keys().any(|(name, _)| name == channel)
    }

    /// Whether the table of this index is here.
    #[must_use]
    pub fn has_table(&self, root: &str, index: &Checksum) -> bool {
        self.tables.get(root).is_some_and(|listings| listings.iter().any(|listing| listing.index == *index))
    }

    /// Adds the table of an index that was read at `now`.
    pub fn add_table(&mut self, root: &Arc<str>, index: Checksum, table: Arc<Table>, now: i64) {
        if !self.has_table(root, &index) {
            let listing = Listing { index, table, since: now, rank: Rank::Nobody };
            self.tables.entry(Arc::clone(root)).or_default().insert(0, listing);
            self.changed = true;
        }
    }

    /// Forgets the tables of indices that no generation lists and that were read before `before`: those
    /// read since may belong to a generation that is being completed.
    pub fn forget_tables(&mut self, before: i64) {
        for listings in self.tables.values_mut() {
            listings.retain(|listing| listing.rank < Rank::Nobody || listing.since >= before);
        }
        self.tables.retain(|_, listings| !listings.is_empty());
        self.changed = true;
    }

    /// Whether [`forget_tables`](Self::forget_tables) would change anything.
    #[must_use]
    pub fn has_tables_before(&self, before: i64) -> bool {
        let mut all = self.tables.values().flatten();
        all.any(|listing| listing.rank == Rank::Nobody && listing.since < before)
    }

    /// Sorts the tables by who lists their indices. What became current last is believed first, also
    /// where it came back to what it had before.
    fn rank_tables(&mut self) {
        let mut ranks: HashMap<Checksum, (Rank, i64)> = HashMap::new();
        for suite in self.suites.values() {
            let current = std::iter::once((Rank::Current, &suite.current));
            let all = current.chain(suite.older.iter().map(|older| (Rank::Older, older)));
            for (rank, generation) in all {
                for index in generation.tables() {
                    let new = (rank, -generation.row.id);
                    let known = ranks.entry(*index).or_insert(new);
                    *known = new.min(*known);
                }
            }
        }
        for listings in self.tables.values_mut() {
            let key = |listing: &Listing| {
                ranks.get(&listing.index).copied().unwrap_or((Rank::Nobody, -listing.since))
            };
            for listing in &mut *listings {
                listing.rank = key(listing).0;
            }
            listings.sort_by_cached_key(key);
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
    use crate::repo::apt::table::Builder;

    #[test]
    fn a_view_is_stamped_anew_when_what_is_listed_changes() {
        let suites = Suites::new(2);
        let stamp = |repository| suites.view(repository).stamp();
        assert_eq!((stamp(0), stamp(1)), (0, 0));
        let table = Arc::new(Builder::new().finish());
        let add = |repository, index| {
            let index = Checksum::Sha256(Digest::of(index));
            suites.change(repository, |view| view.add_table(&Arc::from(""), index, Arc::clone(&table), 0));
        };
        add(0, b"a");
        add(1, b"a");
        let (first, other) = (stamp(0), stamp(1));
        assert!(first != 0 && other != 0 && first != other);
        add(0, b"a");
        assert_eq!(stamp(0), first, "nothing is new");
        add(0, b"b");
        assert_ne!(stamp(0), first);
        suites.change(0, |view| view.forget_tables(1));
        assert!(![0, first, other].contains(&stamp(0)));
    }

    #[test]
    fn folders_are_the_prefixes_of_a_path() {
        let all: Vec<_> = folders("a/b/c").collect();
        assert_eq!(all, ["", "a", "a/b"]);
        assert_eq!(folders("a").collect::<Vec<_>>(), [""]);
    }
}
