//! Hashing what has lain on the disk, while it is served.
//!
//! The first time after start-up, and again after a configured time, a stored object is hashed before its
//! last part is given out. A small one is simply hashed first; when it turns out damaged nobody notices,
//! because it is fetched again at once. A large one streams meanwhile, like a flight that reads from the
//! disk instead of an upstream: its readers have all but the tail, and are cut when the hash is wrong.
//! Either way a damaged file is set aside and reported. Hits in between cost nothing.

use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::answer::Answer;
use super::entry::Entry;
use super::events::EventKind;
use super::failure::Failure;
use super::flight::{End, Flight, Head};
use super::lookup::Cache;
use super::validators::Validators;
use crate::digest::{Digest, Hasher};
use crate::outcome::{Class, Outcome};
use crate::repo::Resource;
use crate::store::EntryKey;

/// Objects up to this size are hashed before anything of them is sent: some milliseconds at most.
const AT_ONCE: u64 = 1024 * 1024;

/// Bytes read and hashed at a time.
const PIECE: usize = 256 * 1024;

/// The part at the end that readers do not get before the hash is known, in bytes.
const HELD_BACK: u64 = 32 * 1024;

/// Seconds.
const DAY: i64 = 24 * 3600;

/// The objects that are being hashed. The lock is held for single operations only.
#[derive(Debug, Default)]
pub(super) struct Rechecks {
    running: Mutex<HashMap<Digest, Arc<Flight>>>,
    /// How many there have been.
    count: AtomicU64,
}

impl Cache {
    /// Whether this copy may be served at `now` (seconds since 1970) without hashing it.
    pub(super) fn is_trusted(&self, entry: &Entry, now: i64) -> bool {
        let longest = self.0.parts.store.recheck().as_secs();
        let age = |at: i64| u64::try_from(now.saturating_sub(at)).unwrap_or(0);
        if entry.verified_at().is_some_and(|at| age(at) < longest) {
            return true;
        }
        // Another name of the same object may have been served meanwhile.
        match self.0.parts.store.verified_at(&entry.meta.digest) {
            Some(at) if age(at) < longest => {
                entry.set_verified_at(at);
                true
            }
            _ => false,
        }
    }

    /// Turns an answer whose bytes have not been hashed lately into one that is safe to give, or `None`
    /// when the bytes were damaged: then they are gone, and the request can be served anew.
    pub(super) async fn recheck(&self, resource: &Resource, answer: Answer) -> Option<Answer> {
        let Answer::Stored { entry, outcome, .. } = &answer else { return Some(answer) };
        if self.is_trusted(entry, self.0.parts.clock.unix()) {
            return Some(answer);
        }
        let head = Head {
            validators: self.provisional(&entry.validators),
            content_type: entry.meta.content_type.clone(),
            total: Some(entry.meta.size),
            file: Arc::clone(&entry.blob.file),
        };
        let head = Arc::new(head);
        let flight = self.start_recheck(resource, entry, &head);
        if entry.meta.size > AT_ONCE {
            let seeded = self.seed_use(entry).filter(|_| *outcome == Outcome::Hit);
            return Some(Answer::Flying { flight, head, outcome: *outcome, seeded });
        }
        match flight.ended().await {
            End::Failed(Failure::Damaged { .. }) => None,
            End::Failed(failure) => Some(Answer::Failed(failure)),
            End::Confirmed(_) | End::Committed(_) | End::Kept(..) | End::Direct(_) => Some(answer),
        }
    }

    fn start_recheck(&self, resource: &Resource, entry: &Arc<Entry>, head: &Arc<Head>) -> Arc<Flight> {
        let digest = entry.meta.digest;
        let mut running = self.0.rechecks.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = running.get(&digest) {
            return Arc::clone(flight);
        }
        let key = EntryKey { repo: Arc::clone(resource.repository.name()), path: resource.key_path() };
        let flight = Arc::new(Flight::new(key, Class::Client));
        running.insert(digest, Arc::clone(&flight));
        drop(running);
        flight.announce(Arc::clone(head), 0);
        let (cache, entry, watched) = (self.clone(), Arc::clone(entry), Arc::clone(&flight));
        self.0.parts.tasks.spawn(async move {
            let hashing = {
                let (entry, flight) = (Arc::clone(&entry), Arc::clone(&watched));
                tokio::task::spawn_blocking(move || hash(&entry, &flight))
            };
            let end = match hashing.await {
                Ok(Ok(found)) if found == digest => {
                    cache.0.parts.store.note_verified(&digest);
                    entry.set_verified_at(cache.0.parts.clock.unix());
                    watched.complete(entry.meta.size);
                    End::Confirmed(entry)
                }
                Ok(found) => cache.set_aside(&watched.key, digest, found.err()).await,
                Err(_) => End::Failed(Failure::Stopping),
            };
            cache.0.rechecks.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest);
            watched.end(end);
        });
        flight
    }

    /// Validators for bytes that may turn out wrong. A client that is cut must not resume with them and be
    /// given the rest of the right bytes, so nothing else ever answers to this tag and date; those of the
    /// right bytes are accepted meanwhile.
    fn provisional(&self, real: &Validators) -> Validators {
        let count = self.0.rechecks.count.fetch_add(1, Ordering::Relaxed);
        let now = self.0.parts.clock.unix();
        // One second before the real date is what a download from upstream may have had.
        let before = 2 + count.cast_signed().wrapping_add(now).rem_euclid(DAY);
        Validators {
            etag: format!("\"c{now:x}-{count:x}\""),
            other_etag: Some(real.etag.clone()),
            last_modified: real.last_modified - before,
            other_last_modified: Some(real.last_modified),
        }
    }

    async fn set_aside(&self, key: &EntryKey, digest: Digest, error: Option<std::io::Error>) -> End {
        self.report_damage(key, &digest, error.as_ref());
        let store = self.0.parts.store.clone();
        // Its names are forgotten with it, in memory too: the store tells the cache.
        let gone = tokio::task::spawn_blocking(move || store.set_aside(&digest)).await;
        if let Ok(Err(error)) = gone {
            return End::Failed(Failure::store(&error));
        }
        self.0.open.remove(key);
        End::Failed(Failure::Damaged { upstream: "the disk of this server".into() })
    }
}

impl Cache {
    /// Tells everybody whom it concerns that a stored object is damaged.
    pub(super) fn report_damage(&self, key: &EntryKey, digest: &Digest, error: Option<&std::io::Error>) {
        tracing::error!(repo = %key.repo, path = %key.path, object = %digest, error = error.map(tracing::field::display),
            "a stored object is damaged: it is set aside and fetched again when it is asked for");
        self.0.parts.metrics.verify_failure(&key.repo, "stored");
        let text = format!("the stored object {digest} is damaged; it was set aside");
        self.tell(EventKind::VerifyFailure, &key.repo, &key.path, &text);
    }
}

/// Hashes an object, letting readers have what has been hashed, but for the tail.
fn hash(entry: &Entry, flight: &Flight) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; PIECE.min(usize::try_from(entry.meta.size).unwrap_or(PIECE).max(1))];
    let mut position = 0;
    let shown = entry.meta.size.saturating_sub(HELD_BACK);
    loop {
        let count = entry.blob.file.read_at(&mut buffer, position)?;
        if count == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&buffer[..count]);
        position += count as u64;
        flight.advance(position.min(shown));
    }
}
