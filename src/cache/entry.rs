//! A stored answer held open: what a hit needs, without database or file system look-up.

use std::io::IoSliceMut;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_cache_semantics::CachePolicy;
use rustix::io::ReadWriteFlags;

use super::goal::UNVERIFIED;
use super::validators::{Validators, digest_tag, stream_tag};
use super::warmth::Warmth;
use crate::clock;
use crate::store::{Blob, EntryMeta, Seeded};

/// What describes a body to clients, as header values.
#[derive(Debug, Clone)]
pub struct Description {
    /// `ETag`.
    pub etag: Option<HeaderValue>,
    /// `Last-Modified`.
    pub last_modified: Option<HeaderValue>,
    /// `Content-Type`.
    pub content_type: Option<HeaderValue>,
}

impl Description {
    /// Writes the values down. What upstream gave for one may not be one any more; then it is left out.
    #[must_use]
    pub fn new(validators: &Validators, content_type: Option<&str>) -> Self {
        let date = clock::from_unix(validators.last_modified.max(0));
        let value = |text: &str| HeaderValue::from_str(text).ok();
        Self {
            etag: value(&validators.etag),
            last_modified: value(&httpdate::fmt_http_date(date)),
            content_type: value(content_type.unwrap_or("application/octet-stream")),
        }
    }
}

/// What is kept under one name, with its file open. It is never held under two names. Immutable but for notes
/// of what was found out about it; a new state replaces it.
#[derive(Debug)]
pub struct Entry {
    /// What the catalog says.
    pub meta: EntryMeta,
    /// The bytes.
    pub blob: Blob,
    /// What clients' conditions are compared with.
    pub validators: Validators,
    /// The same and more as clients are told, ready for every hit.
    description: Description,
    /// The head of an answer with all of it, once it was needed.
    head: Once<Box<HeaderMap>>,
    /// All of its bytes, where they are few, once they were asked for.
    short: Once<Bytes>,
    /// What of it is in the kernel's memory.
    pub warmth: Warmth,
    /// The caching rules that came with it, where they govern it (RFC 9111).
    pub policy: Option<CachePolicy>,
    /// When the bytes were last hashed, in seconds since 1970; [`NEVER`] if that is not known.
    verified_at: AtomicI64,
    /// The second in which it was last asked for, the same way.
    used_at: AtomicI64,
    /// Who asked for it last, and in which hour, mixed into a number.
    asked_by: AtomicU64,
    /// Whether a seed brought it and nobody has asked yet, or somebody has: [`WAITING`], [`USED`], or 0.
    seeded: AtomicU8,
    /// The stamp of the view whose indices listed these bytes under this name; 0 for none.
    listed_in: AtomicU64,
}

/// Set once, when it is first needed.
#[expect(clippy::disallowed_types, reason = "no process-wide variable: it belongs to its entry")]
type Once<T> = std::sync::OnceLock<T>;

/// A seed brought it, and nobody has asked for it.
const WAITING: u8 = 1;

/// A seed brought it, and somebody has asked for it.
const USED: u8 = 2;

/// What a hit owes to a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeedUse {
    /// The object would have had to be fetched now.
    First,
    /// A desktop has had it before.
    Later,
}

/// Up to this size, in bytes, an object's bytes are kept with its entry: written along with the head they cost
/// one system call, and one copy that is cheaper than the second call would be. The entries that are held open
/// are counted, so that this takes 32 MiB at most.
const SHORT: usize = 8 * 1024;

/// No time at all.
const NEVER: i64 = i64::MIN;

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
        let description = Description::new(&validators, meta.content_type.as_deref());
        let warmth = Warmth::new(meta.size);
        let seeded = match blob.seeded {
            Seeded::No => 0,
            Seeded::Waiting => WAITING,
            Seeded::Used => USED,
        };
        Self {
            meta,
            blob,
            validators,
            description,
            head: Once::default(),
            short: Once::default(),
            warmth,
            policy,
            verified_at: AtomicI64::new(NEVER),
            used_at: AtomicI64::new(NEVER),
            asked_by: AtomicU64::new(0),
            seeded: AtomicU8::new(seeded),
            listed_in: AtomicU64::new(0),
        }
    }

    /// What clients are told about it.
    #[must_use]
    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// The head of an answer with all of it, as `make` makes it the first time: most of it is the same in
    /// every hit.
    pub fn head(&self, make: impl FnOnce() -> HeaderMap) -> &HeaderMap {
        self.head.get_or_init(|| Box::new(make()))
    }

    /// All of a short object, unless the disk would have to be waited for.
    #[must_use]
    pub fn short(&self) -> Option<Bytes> {
        let size = usize::try_from(self.meta.size).ok().filter(|size| *size <= SHORT)?;
        if let Some(bytes) = self.short.get() {
            return Some(bytes.clone());
        }
        let mut bytes = vec![0; size];
        let mut space = [IoSliceMut::new(&mut bytes)];
        // Whatever fails here fails again where the file is sent, and is told there.
        let count = rustix::io::preadv2(&self.blob.file, &mut space, 0, ReadWriteFlags::NOWAIT).ok()?;
        (count == size).then(|| self.short.get_or_init(|| bytes.into()).clone())
    }

    /// Notes that it was asked for at `now` (seconds since 1970). Whether this second is a new one, of which
    /// the store should know.
    pub(super) fn note_use(&self, now: i64) -> bool {
        let new = self.used_at.load(Ordering::Relaxed) != now;
        if new {
            self.used_at.store(now, Ordering::Relaxed);
        }
        new
    }

    /// Notes who asked for it, by the hash of the address, after its use was noted. Whether that is another than
    /// last time, or another hour: two clients whose hashes collide count as one.
    pub(super) fn note_client(&self, client: u64) -> bool {
        let hour = self.used_at.load(Ordering::Relaxed).div_euclid(3600).cast_unsigned();
        let who = client ^ hour;
        let new = self.asked_by.load(Ordering::Relaxed) != who;
        if new {
            self.asked_by.store(who, Ordering::Relaxed);
        }
        new
    }

    /// Notes that a seed has just brought it.
    pub(super) fn set_seeded(&self) {
        self.seeded.store(WAITING, Ordering::Relaxed);
    }

    /// What somebody who gets it now owes to a seed; for nearly everything a look at one byte.
    pub(super) fn seed_use(&self) -> Option<SeedUse> {
        match self.seeded.load(Ordering::Relaxed) {
            WAITING if self.seeded.swap(USED, Ordering::Relaxed) == WAITING => Some(SeedUse::First),
            WAITING | USED => Some(SeedUse::Later),
            _ => None,
        }
    }

    /// Whether the indices of the view with this stamp were found to list these bytes under this name.
    pub(super) fn is_listed_in(&self, stamp: u64) -> bool {
        stamp != 0 && self.listed_in.load(Ordering::Relaxed) == stamp
    }

    /// Notes that they do, so that the next request need not look again.
    pub(super) fn note_listed(&self, stamp: u64) {
        self.listed_in.store(stamp, Ordering::Relaxed);
    }

    /// When the bytes were last found to be right (seconds since 1970), as far as this entry knows.
    pub(super) fn verified_at(&self) -> Option<i64> {
        Some(self.verified_at.load(Ordering::Relaxed)).filter(|at| *at != NEVER)
    }

    /// Notes that they were.
    pub(super) fn set_verified_at(&self, at: i64) {
        self.verified_at.store(at, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::sync::Arc;

    use super::*;
    use crate::digest::Digest;

    fn entry(length: usize) -> Entry {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; length]).unwrap();
        let (digest, size) = (Digest::of(&vec![7; length]), length as u64);
        let meta = EntryMeta {
            digest,
            size,
            etag: None,
            last_modified: None,
            content_type: None,
            fetched_at: 0,
            validated_at: 0,
            upstream: String::new(),
            policy: None,
        };
        Entry::new(meta, Blob { seeded: Seeded::No, file: Arc::new(file), size, digest })
    }

    #[test]
    fn only_the_bytes_of_short_objects_are_kept() {
        for length in [0, 1, SHORT] {
            let entry = entry(length);
            assert_eq!(entry.short().unwrap(), vec![7; length]);
            // A file that is cut now is not read again.
            entry.blob.file.set_len(0).unwrap();
            assert_eq!(entry.short().unwrap(), vec![7; length]);
        }
        assert_eq!(entry(SHORT + 1).short(), None);
        let cut = entry(10);
        cut.blob.file.set_len(9).unwrap();
        assert_eq!(cut.short(), None);
    }

    #[test]
    fn what_was_listed_counts_for_one_view() {
        let entry = entry(1);
        assert!(!entry.is_listed_in(0) && !entry.is_listed_in(1));
        entry.note_listed(1);
        assert!(entry.is_listed_in(1) && !entry.is_listed_in(2));
    }
}
