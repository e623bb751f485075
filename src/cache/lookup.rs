//! The cache itself: look-up, joining, starting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache as Memory;

use super::answer::{Answer, Freshness};
use super::entry::Entry;
use super::failure::Failure;
use super::fill::Fill;
use super::flight::{End, Flight, FlightStatus, Landing};
use super::policy::{self, Decision, NotStored};
use crate::clock::Clock;
use crate::outcome::{Class, Outcome};
use crate::repo::{PathClass, Repositories, Resource};
use crate::store::{self, EntryKey, Store};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::upstream::{Client, Mirrors};

/// Entries held open at most. Each costs a file descriptor and well under 2 KiB.
const OPEN_ENTRIES: usize = 4096;

/// Flights at most; each waits for one of the far fewer upstream connections.
const MAX_FLIGHTS: usize = 4096;

/// Paths remembered as missing upstream, or as unfit for the store.
const REMEMBERED: usize = 8192;

/// How long a "no such file" of upstream is repeated without asking again. apt probes for files that do
/// not exist on every update; more than seconds would hide a file that has just been published.
const MISSING_FOR: Duration = Duration::from_secs(15);

/// How long an answer that may not be stored is fetched directly at once, without a flight.
const DIRECT_FOR: Duration = Duration::from_mins(1);

/// How long a client waits for the first sign of upstream while a kept copy is at hand.
const PATIENCE_WITH_COPY: Duration = Duration::from_secs(5);

/// How long a client waits without one. apt gives up on 30 s of silence and would ask again without
/// having been told why; a 503 with a body before that makes it retry and shows the reason.
const PATIENCE: Duration = Duration::from_secs(25);

/// What a cache is made from.
#[derive(Debug)]
pub struct Parts {
    /// Where bytes are kept.
    pub store: Store,
    /// How upstreams are asked.
    pub client: Client,
    /// What is configured.
    pub repositories: Arc<Repositories>,
    /// What counts.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// Who owns the flights.
    pub tasks: Tasks,
    /// Further tries after a first one failed.
    pub retries: u32,
}

/// The cache; clones are the same one.
#[derive(Debug, Clone)]
pub struct Cache(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) parts: Parts,
    /// By position of the repository in the configuration.
    pub(super) mirrors: Vec<Mirrors>,
    pub(super) open: Memory<EntryKey, Arc<Entry>>,
    flights: Mutex<HashMap<EntryKey, Arc<Flight>>>,
    missing: Memory<EntryKey, (Instant, Failure)>,
    direct: Memory<EntryKey, (Instant, &'static str)>,
    /// When the release file of a suite last changed here, by repository and folder.
    suites: Memory<EntryKey, i64>,
}

impl Cache {
    /// Puts the cache together and hooks it to the store's evictions.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let mirrors = parts
            .repositories
            .list()
            .iter()
            .map(|repository| Mirrors::new(repository.config.upstreams.clone()))
            .collect();
        let cache = Self(Arc::new(Inner {
            parts,
            mirrors,
            open: Memory::new(OPEN_ENTRIES),
            flights: Mutex::default(),
            missing: Memory::new(REMEMBERED),
            direct: Memory::new(REMEMBERED),
            suites: Memory::new(REMEMBERED),
        }));
        let hooked = Arc::downgrade(&cache.0);
        cache.0.parts.store.on_evict(Box::new(move |keys| {
            if let Some(inner) = hooked.upgrade() {
                for key in keys {
                    inner.open.remove(key);
                }
            }
        }));
        cache
    }

    /// The upstreams of the repository at this position in the configuration.
    #[must_use]
    pub fn mirrors(&self, repository: usize) -> &Mirrors {
        &self.0.mirrors[repository]
    }

    /// Every running flight.
    #[must_use]
    pub fn flights(&self) -> Vec<FlightStatus> {
        self.lock_flights().values().map(|flight| flight.status()).collect()
    }

    /// Answers a request for `resource`. With `head_only` a body that is neither here nor on its way is
    /// not fetched just to describe it.
    pub async fn serve(&self, resource: &Resource, head_only: bool) -> Answer {
        let key = key_of(resource);
        // The common case first: held open and fresh.
        let held = self.0.open.get(&key);
        if let Some(entry) = &held
            && self.decide(resource, entry) == Decision::Serve
        {
            return self.hit(Arc::clone(entry), Freshness::Fresh, Outcome::Hit);
        }
        let kept = match held {
            Some(entry) => Some(entry),
            None => match self.load(&key).await {
                Ok(entry) => entry,
                // A store that cannot be read is no reason to refuse what upstream has.
                Err(_) => return self.direct(resource, head_only, NotStored::StoreFailed.as_str()).await,
            },
        };
        if let Some(entry) = &kept {
            if self.decide(resource, entry) == Decision::Serve {
                return self.hit(Arc::clone(entry), Freshness::Fresh, Outcome::Hit);
            }
            if self.0.mirrors[resource.repository.index].all_resting(Instant::now()) {
                let why = Arc::from("every upstream failed a moment ago");
                return self.hit(Arc::clone(entry), Freshness::Unchecked(why), Outcome::Stale);
            }
        } else if let Some(failure) = self.recently_missing(&key) {
            return Answer::Failed(failure);
        }
        if let Some(reason) = self.recently_direct(&key) {
            return self.direct(resource, head_only, reason).await;
        }
        let probe = head_only && kept.is_none() && !resource.class.is_of_suite();
        if probe && !self.lock_flights().contains_key(&key) {
            return self.direct(resource, true, "head").await;
        }
        let (flight, joined) = match self.join_or_start(resource, key, kept.clone()) {
            Ok(found) => found,
            Err(failure) => return Answer::Failed(failure),
        };
        self.land(resource, head_only, &flight, joined, kept).await
    }

    /// Starts fetching what a client is about to ask for, unless it is here or on its way.
    pub async fn prefetch(&self, resource: &Resource) {
        let key = key_of(resource);
        let Ok(kept) = self.load(&key).await else { return };
        let fresh = kept.as_ref().is_some_and(|entry| self.decide(resource, entry) == Decision::Serve);
        let resting = self.0.mirrors[resource.repository.index].all_resting(Instant::now());
        let known = self.recently_missing(&key).is_some() || self.recently_direct(&key).is_some();
        if !fresh && !resting && !known {
            // A refusal here is repeated, and told, when the request itself arrives.
            let _ = self.join_or_start(resource, key, kept);
        }
    }

    async fn land(
        &self,
        resource: &Resource,
        head_only: bool,
        flight: &Arc<Flight>,
        joined: bool,
        kept: Option<Arc<Entry>>,
    ) -> Answer {
        let outcome = if joined { Outcome::Joined } else { Outcome::Miss };
        let limit = if kept.is_some() { PATIENCE_WITH_COPY } else { PATIENCE };
        // Who joins late does not wait as long again for an upstream that is already known to be slow.
        let patience = if kept.is_some() { limit.saturating_sub(flight.started.elapsed()) } else { limit };
        match flight.landing(patience).await {
            Landing::Streaming(head) => Answer::Flying { flight: Arc::clone(flight), head, outcome },
            Landing::Impatient => match kept {
                Some(entry) => {
                    let why = Arc::from("upstream does not answer");
                    self.hit(entry, Freshness::Unchecked(why), Outcome::Stale)
                }
                None => Answer::Failed(Failure::Waiting(limit)),
            },
            Landing::Ended(End::Committed(entry)) => self.hit(entry, Freshness::Checked, outcome),
            Landing::Ended(End::Confirmed(entry)) => {
                self.hit(entry, Freshness::Checked, Outcome::Revalidated)
            }
            Landing::Ended(End::Kept(entry, why)) => {
                self.hit(entry, Freshness::Unchecked(why.to_string().into()), Outcome::Stale)
            }
            Landing::Ended(End::Direct(reason)) => self.direct(resource, head_only, reason.as_str()).await,
            Landing::Ended(End::Failed(failure)) => Answer::Failed(failure),
        }
    }

    fn hit(&self, entry: Arc<Entry>, freshness: Freshness, outcome: Outcome) -> Answer {
        self.0.parts.store.touch(&entry.meta.digest);
        Answer::Stored { entry, outcome, freshness }
    }

    fn decide(&self, resource: &Resource, entry: &Entry) -> Decision {
        let changed = match resource.class {
            PathClass::Release | PathClass::Index => self.0.suites.get(&suite_key(resource)),
            _ => None,
        };
        policy::decide(resource, entry, changed, self.0.parts.clock.now())
    }

    /// The entry under `key`, from memory or from the store.
    async fn load(&self, key: &EntryKey) -> Result<Option<Arc<Entry>>, Failure> {
        if let Some(entry) = self.0.open.get(key) {
            return Ok(Some(entry));
        }
        let inner = Arc::clone(&self.0);
        let wanted = key.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let Some(meta) = inner.parts.store.entry(&wanted)? else { return Ok(None) };
            let Some(blob) = inner.parts.store.object(&meta.digest)? else { return Ok(None) };
            // A flight may have stored something newer meanwhile: what is there first stays.
            let entry = Arc::new(Entry::new(meta, blob));
            let entry = inner.open.get_or_insert_with(&wanted, || Ok::<_, store::Error>(entry))?;
            // Evicted before it was held open here, so that nobody would tell us: it serves this request,
            // and gives its space back then.
            if entry.blob.is_unlinked() {
                inner.open.remove(&wanted);
            }
            Ok(Some(entry))
        })
        .await
        .map_err(|_| Failure::Stopping)?;
        loaded.map_err(|error| {
            tracing::error!(%error, "the store cannot be read");
            Failure::store(&error)
        })
    }

    fn join_or_start(
        &self,
        resource: &Resource,
        key: EntryKey,
        kept: Option<Arc<Entry>>,
    ) -> Result<(Arc<Flight>, bool), Failure> {
        let flight = {
            let mut flights = self.lock_flights();
            if let Some(flight) = flights.get(&key) {
                return Ok((Arc::clone(flight), true));
            }
            if flights.len() >= MAX_FLIGHTS {
                return Err(Failure::Busy);
            }
            let flight = Arc::new(Flight::new(key.clone(), Class::Client));
            flights.insert(key, Arc::clone(&flight));
            flight
        };
        self.0.parts.metrics.flight_started();
        let fill = Fill::new(self.clone(), resource.clone(), Arc::clone(&flight), kept);
        self.0.parts.tasks.spawn(fill.run());
        Ok((flight, false))
    }

    /// Takes the flight off the table, then tells its readers how it ended.
    pub(super) fn finish(&self, flight: &Flight, end: End) {
        match &end {
            End::Failed(failure @ (Failure::NotFound { .. } | Failure::Refused { .. })) => {
                self.0.missing.insert(flight.key.clone(), (Instant::now(), failure.clone()));
            }
            End::Direct(reason) => {
                self.0.direct.insert(flight.key.clone(), (Instant::now(), reason.as_str()));
            }
            End::Committed(_) | End::Confirmed(_) | End::Kept(..) | End::Failed(_) => {}
        }
        self.lock_flights().remove(&flight.key);
        flight.end(end);
        self.0.parts.metrics.flight_ended();
    }

    /// Whether the copy that is kept now may be served as it is.
    pub(super) fn fresh(&self, resource: &Resource, key: &EntryKey) -> Option<Arc<Entry>> {
        let entry = self.0.open.get(key)?;
        (self.decide(resource, &entry) == Decision::Serve).then_some(entry)
    }

    /// Notes that the release file of the suite has changed: what was checked before is to be checked
    /// again, so that a new release file is not paired with old indices or an old signature.
    pub(super) fn suite_changed(&self, resource: &Resource, at: i64) {
        self.0.suites.insert(suite_key(resource), at);
    }

    fn recently_missing(&self, key: &EntryKey) -> Option<Failure> {
        let (since, failure) = self.0.missing.get(key)?;
        (since.elapsed() < MISSING_FOR).then_some(failure)
    }

    fn recently_direct(&self, key: &EntryKey) -> Option<&'static str> {
        let (since, reason) = self.0.direct.get(key)?;
        (since.elapsed() < DIRECT_FOR).then_some(reason)
    }

    fn lock_flights(&self) -> std::sync::MutexGuard<'_, HashMap<EntryKey, Arc<Flight>>> {
        // The table is consistent after every single operation, so a poisoned lock is still good.
        self.0.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name under which the cache keeps a resource.
pub(super) fn key_of(resource: &Resource) -> EntryKey {
    EntryKey { repo: Arc::clone(resource.repository.name()), path: resource.key_path() }
}

fn suite_key(resource: &Resource) -> EntryKey {
    EntryKey { repo: Arc::clone(resource.repository.name()), path: Arc::from(resource.suite_folder()) }
}
