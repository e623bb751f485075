//! Hashing the whole store, when an administrator asks for it.
//!
//! A *scrub* goes through the objects in the order of their names, one at a time, and reads each from the
//! disk at a limited rate, so that desktops notice nothing of it. What is damaged is set aside and reported
//! as if a client had met it; with `repair` its names are then asked for, as a client would, and so fetched
//! again. One scrub runs at a time; it ends with the program. How far it is can be read meanwhile.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::answer::Answer;
use super::flight::End;
use super::lookup::Cache;
use crate::digest::{Digest, Hasher};
use crate::repo::Resource;
use crate::repo_path::RepoPath;
use crate::store::{self, Blob, EntryKey, Examined};
use crate::suite::Channel;

/// Bytes per second that a scrub reads unless told otherwise.
pub const DEFAULT_RATE: u64 = 50_000_000;

/// Bytes read and hashed at a time.
const PIECE: usize = 1024 * 1024;

/// Objects listed at a time.
const PAGE: usize = 1000;

/// Damaged objects that are described, and names of each; the others are only counted.
const MOST_DESCRIBED: usize = 1000;

/// What a scrub is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScrubOrder {
    /// Fetch damaged objects again.
    pub repair: bool,
    /// Bytes per second; [`DEFAULT_RATE`] where nothing is said.
    pub rate: Option<NonZeroU64>,
}

/// A scrub, running or ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScrubFacts {
    /// Its number since the program started, from 1.
    pub number: u64,
    /// Whether it is still going on.
    pub running: bool,
    /// Whether damaged objects are fetched again.
    pub repair: bool,
    /// Bytes per second at most.
    pub rate: u64,
    /// When it began, in seconds since 1970.
    pub started_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// Objects dealt with.
    pub objects_done: u64,
    /// Objects in the store when it began.
    pub objects_total: u64,
    /// Bytes hashed, or of objects that were gone.
    pub bytes_done: u64,
    /// Bytes in the store when it began.
    pub bytes_total: u64,
    /// How many objects were damaged.
    pub damaged_objects: u64,
    /// The first of them.
    pub damaged: Vec<DamagedObject>,
    /// Why it ended before it had seen everything.
    pub problem: Option<String>,
}

/// An object that was not what its name says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedObject {
    /// What it should hash to.
    pub digest: String,
    /// Its length, in bytes.
    pub size: u64,
    /// What was wrong.
    pub why: String,
    /// What it was published under, as `repository/path`. Empty for what only a suite's state refers to.
    pub names: Vec<String>,
    /// Whether it is here again, where that was tried.
    pub repaired: Option<bool>,
}

/// A scrub is running already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the store is being verified already")]
pub struct ScrubRunning;

/// The newest scrub. The lock is held for single operations only.
#[derive(Debug, Default)]
pub(super) struct Scrubs(Mutex<Option<ScrubFacts>>);

impl Scrubs {
    fn lock(&self) -> MutexGuard<'_, Option<ScrubFacts>> {
        // Every change is whole after one statement, so a poisoned lock is still good.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut ScrubFacts)) {
        if let Some(facts) = self.lock().as_mut() {
            change(facts);
        }
    }
}

/// Why a scrub ended early.
enum Stopped {
    Shutdown,
    Store(store::Error),
}

/// What an object turned out to be.
enum Found {
    Good,
    Gone,
    Damaged { names: Vec<EntryKey>, why: String, error: Option<std::io::Error> },
}

impl Cache {
    /// The scrub that runs, or the last one since the start.
    #[must_use]
    pub fn scrub(&self) -> Option<ScrubFacts> {
        self.0.scrubs.lock().clone()
    }

    /// How full the store is. Blocking: it asks the file system.
    #[must_use]
    pub fn usage(&self) -> store::Usage {
        self.0.parts.store.usage()
    }

    /// Begins to hash every stored object. Blocking, as [`Cache::usage`]; call it within a runtime.
    ///
    /// # Errors
    /// [`ScrubRunning`].
    pub fn start_scrub(&self, order: ScrubOrder) -> Result<ScrubFacts, ScrubRunning> {
        let usage = self.usage();
        let rate = order.rate.map_or(DEFAULT_RATE, NonZeroU64::get);
        let facts = {
            let mut newest = self.0.scrubs.lock();
            if newest.as_ref().is_some_and(|newest| newest.running) {
                return Err(ScrubRunning);
            }
            let facts = ScrubFacts {
                number: newest.as_ref().map_or(0, |newest| newest.number) + 1,
                running: true,
                repair: order.repair,
                rate,
                started_at: self.0.parts.clock.unix(),
                objects_total: usage.objects,
                bytes_total: usage.bytes,
                ..ScrubFacts::default()
            };
            newest.insert(facts).clone()
        };
        let guard = Running { cache: self.clone(), number: facts.number };
        self.0.parts.tasks.spawn(guard.run(Pace { rate, due: Instant::now() }, order.repair));
        Ok(facts)
    }

    async fn scrub_all(&self, mut pace: Pace, repair: bool) -> Result<(), Stopped> {
        let mut after = None;
        loop {
            let store = self.0.parts.store.clone();
            let listed = aside(move || store.objects_after(after, PAGE)).await?;
            let Some((last, _)) = listed.last() else { return Ok(()) };
            after = Some(*last);
            for (digest, size) in listed {
                let before = self.0.scrubs.lock().as_ref().map_or(0, |facts| facts.bytes_done);
                match self.scrub_one(digest, &mut pace).await? {
                    Found::Good => self.0.parts.store.note_verified(&digest),
                    Found::Gone => {}
                    Found::Damaged { names, why, error } => {
                        self.found_damaged(digest, size, &names, why, error.as_ref());
                        if repair {
                            self.repair(digest, &names).await?;
                        }
                    }
                }
                self.0.scrubs.change(|facts| {
                    facts.objects_done += 1;
                    facts.bytes_done = before + size;
                });
            }
        }
    }

    async fn scrub_one(&self, digest: Digest, pace: &mut Pace) -> Result<Found, Stopped> {
        let store = self.0.parts.store.clone();
        let blob = match aside(move || store.examine(&digest)).await? {
            Examined::Open(blob) => blob,
            Examined::Gone => return Ok(Found::Gone),
            Examined::Damaged(names) => {
                let why = "its file is missing or has a wrong length".to_owned();
                return Ok(Found::Damaged { names, why, error: None });
            }
        };
        // What is in memory says nothing about the disk. No more than a hint: an error changes nothing.
        let forget = |blob: &Blob| {
            let _ = rustix::fs::fadvise(&blob.file, 0, None, rustix::fs::Advice::DontNeed);
        };
        let (mut hasher, mut buffer) = (Hasher::new(), Vec::new());
        let mut position = 0;
        let (why, error) = loop {
            let file = Arc::clone(&blob.file);
            if position == 0 {
                forget(&blob);
            }
            let read = aside(move || {
                buffer.resize(PIECE, 0);
                let count = std::os::unix::fs::FileExt::read_at(&*file, &mut buffer, position);
                if let Ok(count) = count {
                    hasher.update(&buffer[..count]);
                }
                Ok((hasher, buffer, count))
            });
            let count;
            (hasher, buffer, count) = read.await?;
            match count {
                Ok(0) => {
                    forget(&blob);
                    if hasher.finish() == digest {
                        return Ok(Found::Good);
                    }
                    break ("its bytes have changed".to_owned(), None);
                }
                Ok(count) => {
                    position += count as u64;
                    self.0.scrubs.change(|facts| facts.bytes_done += count as u64);
                    let spent = pace.spend(count as u64);
                    tokio::select! {
                        () = self.0.parts.tasks.stopping() => return Err(Stopped::Shutdown),
                        () = tokio::time::sleep_until(spent) => {}
                    }
                }
                Err(error) => break (format!("it cannot be read: {error}"), Some(error)),
            }
        };
        let store = self.0.parts.store.clone();
        // `None`: evicted while it was read, or a client met the damage first and reported it.
        let names = aside(move || store.set_aside(&digest)).await?;
        Ok(names.map_or(Found::Gone, |names| Found::Damaged { names, why, error }))
    }

    fn found_damaged(
        &self,
        digest: Digest,
        size: u64,
        names: &[EntryKey],
        why: String,
        error: Option<&std::io::Error>,
    ) {
        let nameless = || EntryKey { repo: "".into(), path: digest.to_string().into() };
        self.report_damage(&names.first().cloned().unwrap_or_else(nameless), &digest, error);
        self.0.scrubs.change(|facts| {
            facts.damaged_objects += 1;
            if facts.damaged.len() < MOST_DESCRIBED {
                let names = names.iter().take(MOST_DESCRIBED);
                facts.damaged.push(DamagedObject {
                    digest: digest.to_string(),
                    size,
                    why,
                    names: names.map(|name| format!("{}/{}", name.repo, name.path)).collect(),
                    repaired: None,
                });
            }
        });
    }

    /// Asks for the names of an object that was set aside, and notes whether each was had again.
    async fn repair(&self, digest: Digest, names: &[EntryKey]) -> Result<(), Stopped> {
        let mut all = true;
        for name in names {
            let Some(resource) = self.resource_of(name) else { continue };
            all &= tokio::select! {
                () = self.0.parts.tasks.stopping() => return Err(Stopped::Shutdown),
                had = self.fetch_again(&resource) => had,
            };
        }
        let store = self.0.parts.store.clone();
        let here = aside(move || store.object(&digest)).await?.is_some();
        // Upstream may have other bytes under the name by now; then those are what is wanted.
        let asked = names.iter().any(|name| self.resource_of(name).is_some());
        let (digest, repaired) = (digest.to_string(), here || (asked && all));
        self.0.scrubs.change(|facts| {
            if let Some(last) = facts.damaged.last_mut().filter(|last| last.digest == digest) {
                last.repaired = Some(repaired);
            }
        });
        Ok(())
    }

    /// Whether the store has it in the end.
    async fn fetch_again(&self, resource: &Resource) -> bool {
        // The address of no client: what it is given is nobody's state.
        let client = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        match self.serve(resource, &Channel::Live, client, false).await {
            Answer::Stored { .. } => true,
            Answer::Flying { flight, .. } => {
                matches!(flight.ended().await, End::Committed(_) | End::Confirmed(_) | End::Kept(..))
            }
            Answer::Passed(_) | Answer::Failed(_) => false,
        }
    }

    /// What a client would ask for to get this. Names that stand for a checksum alone are asked for by
    /// nobody.
    fn resource_of(&self, name: &EntryKey) -> Option<Resource> {
        if name.path.starts_with("sha256:") || name.path.starts_with("sha512:") {
            return None;
        }
        let repository = Arc::clone(self.0.repositories().by_name(&name.repo)?);
        let as_kept = |path: &str, query: Option<&str>| {
            let path = RepoPath::from_decoded(path).ok()?;
            let resource = Resource::new(Arc::clone(&repository), path, query);
            (resource.key_path() == name.path).then_some(resource)
        };
        let split = || name.path.split_once('?').and_then(|(path, query)| as_kept(path, Some(query)));
        split().or_else(|| as_kept(&name.path, None))
    }
}

/// Marks the scrub as ended however it ends, be it by a panic.
struct Running {
    cache: Cache,
    number: u64,
}

impl Running {
    fn end(&self, problem: Option<String>) {
        let now = self.cache.0.parts.clock.unix();
        self.cache.0.scrubs.change(|facts| {
            if facts.number == self.number && facts.running {
                facts.running = false;
                facts.ended_at = Some(now);
                facts.problem = problem;
            }
        });
    }

    async fn run(self, pace: Pace, repair: bool) {
        let problem = match self.cache.scrub_all(pace, repair).await {
            Ok(()) => None,
            Err(Stopped::Shutdown) => Some("the program stopped".to_owned()),
            Err(Stopped::Store(error)) => {
                tracing::error!(%error, "the store cannot be verified");
                Some(error.to_string())
            }
        };
        self.end(problem);
        if let Some(facts) = self.cache.scrub() {
            tracing::info!(
                objects = facts.objects_done,
                bytes = facts.bytes_done,
                damaged = facts.damaged_objects,
                "verifying the store has ended"
            );
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended in order long before, but for a panic and a runtime that goes down.
        self.end(Some("it was broken off; the log may say why".to_owned()));
    }
}

/// Keeps to a rate. Time that was not used is not made up for.
#[derive(Debug)]
pub struct Pace {
    /// Bytes per second.
    rate: u64,
    due: Instant,
}

impl Pace {
    /// So many bytes a second, from now on.
    #[must_use]
    pub fn new(rate: u64) -> Self {
        Self { rate, due: Instant::now() }
    }

    /// When so many bytes more are paid for.
    pub(super) fn spend(&mut self, bytes: u64) -> Instant {
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(self.rate.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let from = self.due.max(Instant::now());
        // Only a rate of some bytes a year overflows.
        self.due = from.checked_add(cost).unwrap_or(from);
        self.due
    }
}

/// Runs what blocks on a thread for it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, store::Error> + Send + 'static,
) -> Result<T, Stopped> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Stopped::Store),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => Err(Stopped::Shutdown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_pace_is_kept_and_idle_time_is_lost() {
        let start = Instant::now();
        let mut pace = Pace { rate: 1_000_000, due: start };
        assert_eq!(pace.spend(500_000) - start, Duration::from_millis(500));
        assert_eq!(pace.spend(500_000) - start, Duration::from_secs(1));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(pace.spend(1_000_000) - start, Duration::from_secs(11));
    }
}
