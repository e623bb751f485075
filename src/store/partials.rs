//! Which files in `partial/` belong to somebody.
//!
//! A transfer's file is *live* while a [`super::Staged`] writes to it, and *parked* when that one went
//! away and left it for a later attempt. All of it is kept in memory (the rows of the catalog are
//! read once, at start), so that a miss that has nothing to resume costs no database read.

use std::collections::{HashSet, VecDeque};

use super::{EntryKey, PartialMeta};

/// Most parked transfers; the oldest make room.
const MOST: usize = 256;

/// A transfer waiting to be resumed.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) name: String,
    pub(super) key: EntryKey,
    pub(super) meta: PartialMeta,
    /// Bytes in the file.
    pub(super) length: u64,
}

/// All unfinished transfers.
#[derive(Debug, Default)]
pub(super) struct Partials {
    live: HashSet<String>,
    parked: VecDeque<Parked>,
}

impl Partials {
    /// A new file is being written.
    pub(super) fn begin(&mut self, name: &str) {
        self.live.insert(name.to_owned());
    }

    /// The file was published or removed.
    pub(super) fn end(&mut self, name: &str) {
        self.live.remove(name);
    }

    /// The file is left for later. Returns the one that must be removed to make room, if any.
    #[must_use]
    pub(super) fn park(&mut self, parked: Parked) -> Option<Parked> {
        self.live.remove(&parked.name);
        self.parked.push_back(parked);
        if self.parked.len() > MOST { self.parked.pop_front() } else { None }
    }

    /// The youngest parked transfer of a key; it is live from now on.
    pub(super) fn resume(&mut self, key: &EntryKey) -> Option<Parked> {
        let at = self.parked.iter().rposition(|parked| parked.key == *key)?;
        let parked = self.parked.remove(at)?;
        self.live.insert(parked.name.clone());
        Some(parked)
    }

    /// Bytes of all parked transfers.
    pub(super) fn parked_bytes(&self) -> u64 {
        self.parked.iter().map(|parked| parked.length).sum()
    }

    /// Takes the oldest parked transfer away, to remove it.
    pub(super) fn take_oldest(&mut self) -> Option<Parked> {
        self.parked.pop_front()
    }

    /// Whether the file is nobody's.
    pub(super) fn is_garbage(&self, name: &str) -> bool {
        !self.live.contains(name) && !self.parked.iter().any(|parked| parked.name == name)
    }

    /// Takes a parked transfer away, to remove it.
    pub(super) fn take(&mut self, name: &str) -> Option<Parked> {
        let at = self.parked.iter().position(|parked| parked.name == name)?;
        self.parked.remove(at)
    }
}
