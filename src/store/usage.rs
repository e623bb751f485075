//! How full the store is.

use std::sync::atomic::Ordering;

use super::shared::Shared;

/// A snapshot; all figures in bytes unless named otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// All stored objects.
    pub bytes: u64,
    /// How many objects that is.
    pub objects: u64,
    /// Most that may be stored, if there is a limit.
    pub limit: Option<u64>,
    /// Free on the file system; 0 when it would not say.
    pub free: u64,
    /// Of the stored bytes, those that eviction must leave alone.
    pub held_bytes: u64,
    /// What must stay free there.
    pub min_free: u64,
    /// Evicted since the store was made.
    pub evicted_bytes: u64,
    /// Unfinished transfers.
    pub unfinished_bytes: u64,
    /// The last attempt to store something found no room.
    pub full: bool,
}

pub(super) fn usage(shared: &Shared) -> Usage {
    let (counts, limits) = (&shared.counts, shared.limits());
    Usage {
        bytes: counts.bytes.load(Ordering::Relaxed),
        objects: counts.objects.load(Ordering::Relaxed),
        limit: limits.max_size,
        free: shared.free().unwrap_or(0),
        held_bytes: counts.held.load(Ordering::Relaxed),
        min_free: limits.min_free,
        evicted_bytes: counts.evicted.load(Ordering::Relaxed),
        unfinished_bytes: counts.unfinished.load(Ordering::Relaxed),
        full: counts.full.load(Ordering::Relaxed),
    }
}
