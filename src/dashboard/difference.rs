//! What separates a channel from `live`: files and bytes that only one of them lists.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::cache::Cache;

/// Pairs of generations whose difference is remembered: counting takes a tenth of a second for a whole release.
const MOST: usize = 64;

/// Files that one generation lists and another does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Differences that were counted; generations never change.
#[derive(Default)]
pub(super) struct Differences(Mutex<HashMap<(i64, i64), Difference>>);

impl Differences {
    /// What generation `new` of a repository lists and `old` does not; none when no index of them is used here.
    /// Blocking.
    pub(super) fn between(&self, cache: &Cache, repo: &str, old: i64, new: i64) -> Option<Difference> {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(&(old, new)) {
            return Some(*known);
        }
        let old_files: HashSet<_> = cache.listed_files(repo, old).into_iter().collect();
        let new_files: HashSet<_> = cache.listed_files(repo, new).into_iter().collect();
        if old_files.is_empty() || new_files.is_empty() {
            return None;
        }
        let only: Vec<_> = new_files.difference(&old_files).collect();
        let difference =
            Difference { files: only.len() as u64, bytes: only.iter().map(|(_, size)| *size).sum() };
        let mut known = lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert((old, new), difference);
        Some(difference)
    }
}
