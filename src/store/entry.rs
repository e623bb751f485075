//! What the catalog says about a published path, and handles to the bytes.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::Arc;

use super::Seeded;
use crate::digest::Digest;

/// A path of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntryKey {
    /// The repository's name.
    pub repo: Arc<str>,
    /// The decoded path, with `?query` where the repository's kind makes a query part of the name.
    pub path: Arc<str>,
}

/// What is published under an [`EntryKey`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryMeta {
    /// The object.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The upstream's validator, as it was sent.
    pub etag: Option<String>,
    /// The upstream's date, unix seconds.
    pub last_modified: Option<i64>,
    /// The upstream's media type.
    pub content_type: Option<String>,
    /// When the body was stored, unix seconds.
    pub fetched_at: i64,
    /// When an upstream last confirmed it, unix seconds.
    pub validated_at: i64,
    /// The URL it came from.
    pub upstream: String,
    /// A serialised caching policy, for kinds that have one.
    pub policy: Option<String>,
}

/// An open object. The bytes never change; they stay readable through this handle even after the
/// object was evicted.
#[derive(Debug, Clone)]
pub struct Blob {
    /// Read it with offsets; the cursor is shared.
    pub file: Arc<File>,
    /// Bytes.
    pub size: u64,
    /// Its name.
    pub digest: Digest,
    /// Whether a seed brought it, as of when it was opened.
    pub seeded: Seeded,
}

impl Blob {
    /// Reads it from its beginning. Unbuffered.
    #[must_use]
    pub fn reader(&self) -> BlobReader {
        BlobReader { file: Arc::clone(&self.file), position: 0 }
    }

    /// Whether the object was evicted or set aside since it was opened. One question to the kernel about
    /// an open file.
    #[must_use]
    pub fn is_unlinked(&self) -> bool {
        self.file.metadata().is_ok_and(|found| found.nlink() == 0)
    }
}

/// What must be known to resume an unfinished transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialMeta {
    /// Bytes of the finished object, when the upstream said so.
    pub total: Option<u64>,
    /// The upstream's validator, for `If-Range`.
    pub etag: Option<String>,
    /// The upstream's date, unix seconds.
    pub last_modified: Option<i64>,
    /// The upstream's media type.
    pub content_type: Option<String>,
    /// The URL it came from.
    pub upstream: String,
}

/// Reads an object without moving the cursor that others share.
#[derive(Debug)]
pub struct BlobReader {
    file: Arc<File>,
    position: u64,
}

impl io::Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
