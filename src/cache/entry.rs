//! A stored answer held open: what a hit needs, without database or file system look-up.

use http_cache_semantics::CachePolicy;

use super::goal::UNVERIFIED;
use super::validators::{Validators, digest_tag, stream_tag};
use crate::store::{Blob, EntryMeta};

/// What is kept under one name, with its file open. Immutable; a new state replaces it.
#[derive(Debug)]
pub struct Entry {
    /// What the catalog says.
    pub meta: EntryMeta,
    /// The bytes.
    pub blob: Blob,
    /// What clients' conditions are compared with.
    pub validators: Validators,
    /// The caching rules that came with it, where they govern it (RFC 9111).
    pub policy: Option<CachePolicy>,
}

impl Entry {
    /// Whether nothing vouches for the bytes although they come from a repository where something should.
    #[must_use]
    pub fn is_unverified(&self) -> bool {
        self.meta.policy.as_deref() == Some(UNVERIFIED)
    }

    /// Puts the parts together. Caching rules that cannot be read any more count as stale.
    #[must_use]
    pub fn new(meta: EntryMeta, blob: Blob) -> Self {
        let validators = Validators {
            etag: digest_tag(&meta.digest),
            other_etag: Some(stream_tag(meta.etag.as_deref(), meta.last_modified, Some(meta.size))),
            last_modified: meta.last_modified.unwrap_or(meta.fetched_at),
            other_last_modified: None,
        };
        let policy = meta.policy.as_deref().and_then(|json| serde_json::from_str(json).ok());
        Self { meta, blob, validators, policy }
    }
}
