//! What can go wrong on the disk, in words for whoever has to mend it.
//!
//! The text of an error names what was being done and to which file; the operating system's or
//! `SQLite`'s own reason is its source. Errors are cheap to clone, because one failed batch is
//! reported to everyone who waited for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Digest;

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused; the path says where.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// A verb phrase: `open`, `rename`, …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: Arc<io::Error>,
    },
    /// The catalog could not be read or written.
    #[error("cannot {doing} in the catalog {}", path.display())]
    Catalog {
        /// A verb phrase.
        doing: &'static str,
        /// The database file.
        path: PathBuf,
        /// `SQLite`'s reason.
        source: Arc<rusqlite::Error>,
    },
    /// Somebody else has the store open.
    #[error(
        "the store {} is in use by {}; stop that one first, or talk to it over its admin address",
        path.display(), holder(*pid)
    )]
    Locked {
        /// The store's folder.
        path: PathBuf,
        /// Who holds it, when the lock file says so.
        pid: Option<u32>,
    },
    /// The store was written by a newer release.
    #[error(
        "{} has format {found}, and this release knows formats up to {known}; \
         start the newer release again, or give this one another folder",
        path.display()
    )]
    Newer {
        /// The file that holds the version.
        path: PathBuf,
        /// The version found there.
        found: String,
        /// The newest version this release can use.
        known: i64,
    },
    /// A file of the store holds something that the store did not write.
    #[error("{} is not usable: {what}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        what: &'static str,
    },
    /// The object is larger than everything the store may hold.
    #[error("an object of {size} bytes does not fit a store of at most {limit} bytes; raise max_size")]
    TooLarge {
        /// Bytes of the object.
        size: u64,
        /// Bytes the store may hold.
        limit: u64,
    },
    /// What was written does not hash to what was promised.
    #[error("the bytes hash to {found} instead of {expected}")]
    WrongDigest {
        /// What was promised.
        expected: Digest,
        /// What was written.
        found: Digest,
    },
    /// What was written is not as long as was promised.
    #[error("{found} bytes instead of {expected}")]
    WrongSize {
        /// Bytes promised.
        expected: u64,
        /// Bytes written.
        found: u64,
    },
    /// An entry was to name an object that is not here.
    #[error("there is no object {0}")]
    NoObject(Digest),
    /// There is no such generation of the suite, or of any.
    #[error("there is no generation {0}")]
    NoGeneration(i64),
    /// The generation cannot be dropped.
    #[error("generation {generation} cannot be dropped: it is {by}")]
    InUse {
        /// The generation's number.
        generation: i64,
        /// Who needs it, in words.
        by: String,
    },
    /// Too much to be stored in one piece.
    #[error("{size} bytes are too many to be stored in one piece; at most {most} may be")]
    NotSmall {
        /// Bytes given.
        size: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: path.to_owned(), source: Arc::new(source.into()) }
    }

    pub(super) fn catalog(doing: &'static str, path: &Path, source: rusqlite::Error) -> Self {
        Self::Catalog { doing, path: path.to_owned(), source: Arc::new(source) }
    }

    /// Whether the disk, a quota or the store itself had no room. The body can still be streamed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Io { source, .. } => is_full(source),
            Self::Catalog { source, .. } => source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull),
            Self::TooLarge { .. } => true,
            _ => false,
        }
    }
}

/// Whether the operating system had no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
