//! The cache itself: look-up, joining, starting.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use quick_cache::sync::Cache as Memory;

use super::demand;
use super::entry::Entry;
use super::events::Events;
use super::failure::Failure;
use super::fill::Fill;
use super::flight::{End, Flight, FlightStatus};
use super::goal::{Goal, Liars};
use super::keep::ListedFiles;
use super::policy::{self, Decision};
use super::ready::Ready;
use super::recheck::Rechecks;
use super::refresh::{Building, Refreshes};
use super::scrub::Scrubs;
use super::serve::flight_key;
use crate::clock::Clock;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::repo::apt::signature::Keyring;
use crate::repo::{PathClass, Repositories, Repository, Resource};
use crate::slots::Slots;
use crate::store::{self, EntryKey, Store};
use crate::suite::{ChannelConfig, Suites};
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::upstream::{Client, Mirrors};

/// Entries held open at most. Each costs a file descriptor and well under 2 KiB.
const OPEN_ENTRIES: usize = 4096;

/// Repositories at most from the start to the end of the program: one that is configured otherwise counts anew.
/// Each costs what its keyring takes, some 100 kB.
pub const MAX_REPOSITORIES: usize = 1024;

/// Flights at most; each waits for one of the far fewer upstream connections.
const MAX_FLIGHTS: usize = 4096;

/// Paths remembered as missing upstream, or as unfit for the store.
const REMEMBERED: usize = 8192;

/// How long a "no such file" of upstream is repeated without asking again. apt probes for files that do
/// not exist on every update; more than seconds would hide a file that has just been published.
pub(super) const MISSING_FOR: Duration = Duration::from_secs(15);

/// How long an answer that may not be stored is fetched directly at once, without a flight.
const DIRECT_FOR: Duration = Duration::from_mins(1);

/// How long it is remembered which upstream sent wrong bytes for something.
const LIES_FOR: Duration = Duration::from_mins(10);

/// What a cache works with from its beginning to its end.
#[derive(Debug)]
pub struct Parts {
    /// Where bytes are kept.
    pub store: Store,
    /// What counts.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// Who owns the flights.
    pub tasks: Tasks,
}

/// What is configured, which may change while the cache works. What runs already goes on as it began.
#[derive(Debug)]
pub struct Settings {
    /// How upstreams are asked.
    pub client: Client,
    /// The repositories.
    pub repositories: Arc<Repositories>,
    /// The channels beside `live`.
    pub channels: Vec<ChannelConfig>,
    /// The names of the seeds: what those hold that are not configured any more is let go.
    pub seeds: Vec<Arc<str>>,
    /// Further tries after a first one failed.
    pub retries: u32,
    /// How long a client waits for the first sign of upstream while a kept copy is at hand.
    pub patience: Duration,
    /// How what desktops ask for is remembered.
    pub demand: demand::Config,
}

/// The cache; clones are the same one.
#[derive(Debug, Clone)]
pub struct Cache(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) parts: Parts,
    settings: ArcSwap<Settings>,
    /// By the repository's number.
    pub(super) mirrors: Slots<Mirrors>,
    pub(super) open: Memory<EntryKey, Arc<Entry>>,
    flights: Mutex<HashMap<EntryKey, Arc<Flight>>>,
    /// Since when, in seconds since 1970, as in the two that follow.
    missing: Memory<EntryKey, (i64, Failure)>,
    direct: Memory<EntryKey, (i64, &'static str)>,
    /// Which upstreams of its repository sent wrong bytes for something.
    liars: Memory<EntryKey, (i64, Liars)>,
    /// When the release file of an unverified suite last changed here, by repository and folder.
    changed: Memory<EntryKey, i64>,
    /// The verified suites.
    pub(super) suites: Suites,
    /// By the repository's number.
    pub(super) keyrings: Slots<ArcSwap<Keyring>>,
    pub(super) refreshes: Refreshes,
    /// When a client was given which generation, by its address, the repository and the suite's folder.
    pub(super) given: Memory<(IpAddr, EntryKey), (i64, i64)>,
    /// Refreshes that failed, by repository and folder.
    pub(super) unrefreshed: Memory<EntryKey, (i64, Failure)>,
    /// Indices that are held for a generation, by its number.
    pub(super) held: Memory<(i64, Digest), ()>,
    pub(super) building: Arc<Building>,
    /// Held while an index is read into its table.
    pub(super) reading: Arc<tokio::sync::Mutex<()>>,
    pub(super) rechecks: Rechecks,
    pub(super) scrubs: Scrubs,
    pub(super) events: Events,
    /// Who tells what seeds have here.
    pub(super) ready: Ready,
    /// What was asked for and is not written yet.
    pub(super) demand: demand::Notes,
    /// Held while a channel is moved, from the catalog's change to that of what requests see.
    pub(super) moving: tokio::sync::Mutex<()>,
}

impl Inner {
    /// What is configured now.
    pub(super) fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    /// How upstreams are asked now.
    pub(super) fn client(&self) -> Client {
        self.settings.load().client.clone()
    }

    /// The repositories that are configured now.
    pub(super) fn repositories(&self) -> Arc<Repositories> {
        Arc::clone(&self.settings.load().repositories)
    }

    /// Gives a repository what belongs to its number; its suites are those of the one that it `replaces`.
    fn add(&self, repository: &Repository, keyring: Arc<Keyring>, replaces: Option<usize>) {
        let index = repository.index;
        self.mirrors.fill(index, Mirrors::new(repository.config.upstreams.clone()));
        self.keyrings.fill(index, ArcSwap::new(keyring));
        self.suites.add(index, replaces);
    }
}

impl Cache {
    /// Puts the cache together and hooks it to the store's evictions.
    #[must_use]
    pub fn new(parts: Parts, settings: Settings, keyrings: Vec<(Arc<Repository>, Arc<Keyring>)>) -> Self {
        let cache = Self(Arc::new(Inner {
            parts,
            settings: ArcSwap::from_pointee(settings),
            mirrors: Slots::new(MAX_REPOSITORIES),
            open: Memory::new(OPEN_ENTRIES),
            flights: Mutex::default(),
            missing: Memory::new(REMEMBERED),
            direct: Memory::new(REMEMBERED),
            changed: Memory::new(REMEMBERED),
            liars: Memory::new(REMEMBERED),
            suites: Suites::new(MAX_REPOSITORIES),
            keyrings: Slots::new(MAX_REPOSITORIES),
            refreshes: Refreshes::default(),
            given: Memory::new(REMEMBERED),
            unrefreshed: Memory::new(REMEMBERED),
            held: Memory::new(REMEMBERED),
            building: Arc::default(),
            reading: Arc::default(),
            rechecks: Rechecks::default(),
            scrubs: Scrubs::default(),
            events: Events::default(),
            ready: Ready::default(),
            demand: demand::Notes::default(),
            moving: tokio::sync::Mutex::default(),
        }));
        for (repository, keyring) in keyrings {
            cache.0.add(&repository, keyring, None);
        }
        let hooked = Arc::downgrade(&cache.0);
        cache.0.parts.store.on_evict(Box::new(move |keys| {
            if let Some(inner) = hooked.upgrade() {
                for key in keys {
                    inner.open.remove(key);
                }
            }
        }));
        cache.0.parts.store.set_keeper(Box::new(ListedFiles(Arc::downgrade(&cache.0))));
        cache
    }

    /// The repositories that are configured now.
    #[must_use]
    pub fn repositories(&self) -> Arc<Repositories> {
        self.0.repositories()
    }

    /// Goes by other settings from now on, with the keyrings of all their repositories. The suites of a
    /// repository are those that its name has had, or else what the store knows of them. What runs goes on as it
    /// began. Blocking.
    ///
    /// # Errors
    /// The catalog cannot be read. Nothing has changed then.
    pub fn follow(
        &self,
        settings: Settings,
        keyrings: Vec<(Arc<Repository>, Arc<Keyring>)>,
    ) -> Result<(), store::Error> {
        let before = self.0.repositories();
        let replaced = |repository: &Repository| before.by_name(repository.name()).map(|before| before.index);
        let unknown = keyrings.iter().filter(|(repository, _)| replaced(repository).is_none());
        let unknown: Vec<_> = unknown.map(|(repository, _)| Arc::clone(repository)).collect();
        let restored = self.restored(&unknown)?;
        for (repository, keyring) in keyrings {
            match self.0.keyrings.get(repository.index) {
                Some(known) => known.store(keyring),
                None => self.0.add(&repository, keyring, replaced(&repository)),
            }
        }
        self.show_restored(restored);
        self.0.settings.store(Arc::new(settings));
        // What is remembered of the upstreams as they were.
        self.0.missing.clear();
        self.0.direct.clear();
        self.0.liars.clear();
        self.0.unrefreshed.clear();
        Ok(())
    }

    /// How upstreams are asked now.
    #[must_use]
    pub fn client(&self) -> Client {
        self.0.client()
    }

    /// The upstreams of the repository with this number.
    #[must_use]
    pub fn mirrors(&self, repository: usize) -> &Mirrors {
        &self.0.mirrors[repository]
    }

    /// Every running flight.
    #[must_use]
    pub fn flights(&self) -> Vec<FlightStatus> {
        self.lock_flights().values().map(|flight| flight.status()).collect()
    }

    pub(super) fn decide(&self, resource: &Resource, entry: &Entry) -> Decision {
        let changed = match resource.class {
            PathClass::Release | PathClass::Index => self.0.changed.get(&suite_key(resource)),
            _ => None,
        };
        policy::decide(resource, entry, changed, || self.0.parts.clock.now())
    }

    /// The entry under `key`, from memory or from the store.
    pub(super) async fn load(&self, key: &EntryKey) -> Result<Option<Arc<Entry>>, Failure> {
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

    /// The flight for `key`, and whether it was there already.
    pub(super) fn join_or_start(
        &self,
        resource: &Resource,
        key: EntryKey,
        goal: Goal,
        kept: Option<Arc<Entry>>,
        class: Class,
    ) -> Result<(Arc<Flight>, bool), Failure> {
        let flight = {
            let mut flights = self.lock_flights();
            if let Some(flight) = flights.get(&key) {
                flight.urgency.raise(class);
                return Ok((Arc::clone(flight), true));
            }
            if flights.len() >= MAX_FLIGHTS {
                return Err(Failure::Busy);
            }
            let flight = Arc::new(Flight::new(key.clone(), class));
            flights.insert(key, Arc::clone(&flight));
            flight
        };
        self.0.parts.metrics.flight_started();
        let fill = Fill::new(self.clone(), resource.clone(), Arc::clone(&flight), goal, kept);
        self.0.parts.tasks.spawn(fill.run());
        Ok((flight, false))
    }

    /// Fetches once more what came damaged.
    pub(super) fn start_again(&self, resource: &Resource, goal: Goal) {
        let key = match &goal.known {
            Some(known) => flight_key(resource, known),
            None => key_of(resource),
        };
        // Whoever asks next joins it, or is told why there is none.
        let _ = self.join_or_start(resource, key, goal, None, Class::Client);
    }

    /// Gives up a flight that nobody but a seed is in; what has come of it stays for the next.
    pub(super) fn halt(&self, key: &EntryKey) {
        // Whoever joins makes it more urgent under the same lock.
        let flights = self.lock_flights();
        if let Some(flight) = flights.get(key).filter(|flight| flight.urgency.class() == Class::Seed) {
            flight.halt();
        }
    }

    /// Bytes of a running flight that are here.
    pub(super) fn received(&self, key: &EntryKey) -> Option<u64> {
        self.lock_flights().get(key).map(|flight| flight.received())
    }

    pub(super) fn is_flying(&self, key: &EntryKey) -> bool {
        self.lock_flights().contains_key(key)
    }

    /// Takes the flight off the table, then tells its readers how it ended.
    pub(super) fn finish(&self, flight: &Flight, end: End) {
        match &end {
            // A flight that ended because of this memory does not prolong it.
            End::Failed(failure) | End::Kept(_, failure)
                if failure.is_definite() && self.recently_missing(&flight.key).is_none() =>
            {
                let now = self.0.parts.clock.unix();
                self.0.missing.insert(flight.key.clone(), (now, failure.clone()));
            }
            End::Direct(reason) => {
                let now = self.0.parts.clock.unix();
                self.0.direct.insert(flight.key.clone(), (now, reason.as_str()));
            }
            End::Committed(_) | End::Confirmed(_) | End::Kept(..) | End::Failed(_) => {}
        }
        self.lock_flights().remove(&flight.key);
        flight.end(end);
        self.0.parts.metrics.flight_ended();
    }

    /// The copy that is kept now, if it is held open.
    pub(super) fn newest(&self, key: &EntryKey) -> Option<Arc<Entry>> {
        self.0.open.get(key)
    }

    /// Whether this copy may be served as it is.
    pub(super) fn is_fresh(&self, resource: &Resource, entry: &Entry) -> bool {
        self.decide(resource, entry) == Decision::Serve
    }

    /// Which upstreams have sent wrong bytes for this, lately.
    pub(super) fn liars(&self, key: &EntryKey) -> Liars {
        let noted = self.0.liars.get(key).filter(|(since, _)| self.is_recent(*since, LIES_FOR));
        noted.map(|(_, liars)| liars).unwrap_or_default()
    }

    pub(super) fn note_lie(&self, key: &EntryKey, senders: &[usize]) {
        let liars = self.liars(key).note(senders);
        self.0.liars.insert(key.clone(), (self.0.parts.clock.unix(), liars));
    }

    /// Notes that the release file of the suite has changed: what was checked before is to be checked
    /// again, so that a new release file is not paired with old indices or an old signature.
    pub(super) fn suite_changed(&self, resource: &Resource, at: i64) {
        self.0.changed.insert(suite_key(resource), at);
    }

    pub(super) fn recently_missing(&self, key: &EntryKey) -> Option<Failure> {
        let (since, failure) = self.0.missing.get(key)?;
        self.is_recent(since, MISSING_FOR).then_some(failure)
    }

    pub(super) fn recently_direct(&self, key: &EntryKey) -> Option<&'static str> {
        let (since, reason) = self.0.direct.get(key)?;
        self.is_recent(since, DIRECT_FOR).then_some(reason)
    }

    /// Whether a point in time is less than `lasting` ago. One in the future, left by a clock that was set
    /// back, is not.
    pub(super) fn is_recent(&self, since: i64, lasting: Duration) -> bool {
        let age = self.0.parts.clock.unix().saturating_sub(since);
        (0..policy::whole_seconds(lasting)).contains(&age)
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
