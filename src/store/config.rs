//! What the store is told by the configuration.

use std::path::PathBuf;
use std::time::Duration;

/// Where the store is and how large it may become.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that holds everything.
    pub path: PathBuf,
    /// Most bytes of objects to keep; absent: as many as fit beside `min_free`.
    pub max_size: Option<u64>,
    /// Bytes of the file system that stay free.
    pub min_free: u64,
    /// An object is hashed again while it is served, the first time after this long.
    pub recheck: Duration,
}
