//! Where objects are kept and how much of the disk they may take, as plain values.

use std::path::PathBuf;
use std::time::Duration;

/// Where objects are kept, and how much of the disk they may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder that the store owns alone, absolute. Default `/var/lib/lumbung`.
    pub path: PathBuf,
    /// Most bytes that stored objects may take. Default none: the disk less `min_free` is the limit,
    /// which is right for the usual disk of its own.
    pub max_size: Option<u64>,
    /// Bytes of the file system that stay free. Default 10 GB: room for logs, an upgrade of the
    /// server itself, and for downloads that have begun when eviction starts.
    pub min_free: u64,
    /// An object that was not hashed for this long is hashed again while it is served. Default 30
    /// days: a rotting disk shows within a month, and the cost stays below one per cent.
    pub recheck: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/lumbung"),
            max_size: None,
            min_free: 10_000_000_000,
            recheck: Duration::from_hours(30 * 24),
        }
    }
}
