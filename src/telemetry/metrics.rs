//! The numbers that `/metrics` shows, named as the manual promises.
//!
//! What is counted on the way of every request (requests, bytes, durations) has its counter looked up
//! when the server is built, so that a request costs a hash of the repository's name and a few relaxed
//! additions: no lock, no allocation. What is rare (errors of upstreams, refusals) goes through a
//! locked table. What somebody else already knows (the store's size, the health of upstreams) is taken
//! from a [`Status`] at the moment of the scrape.
//!
//! Labels are small closed sets: repositories and upstreams as configured, suites that their publishers
//! signed, and words of enums. A name
//! that is not configured counts under repository `-`.

mod scraped;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use self::scraped::Scraped;
use super::histogram::Durations;
use crate::outcome::{Class, Outcome, Source};
use crate::status::{Requests, SeedHits, Status, Traffic};

/// What requests outside every configured repository are counted under.
const ELSEWHERE: &str = "-";

const OUTCOMES: [Outcome; 7] = [
    Outcome::Hit,
    Outcome::Miss,
    Outcome::Joined,
    Outcome::Revalidated,
    Outcome::Stale,
    Outcome::Passed,
    Outcome::Error,
];
const CLASSES: [Class; 3] = [Class::Client, Class::Refresh, Class::Seed];

type Labels<const N: usize> = [(&'static str, Arc<str>); N];

/// Counts what happens; clones count into the same numbers.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// Replaced as a whole when repositories come.
    repos: ArcSwap<HashMap<Arc<str>, Arc<Repo>>>,
    elsewhere: Arc<Repo>,
    families: Families,
    seconds: [Durations; OUTCOMES.len()],
    upstream_errors: Family<Labels<2>, Counter>,
    indices_read: Counter,
    verify_failures: Family<Labels<2>, Counter>,
    refused: Family<Labels<1>, Counter>,
    tunnel_bytes: Counter,
    flights: Gauge,
    connections: Gauge,
    scraped: Scraped,
    /// Held while a scrape is set and written.
    scraping: Mutex<()>,
}

/// The counters of one repository that requests touch.
struct Repo {
    name: Arc<str>,
    requests: [Counter; OUTCOMES.len()],
    served_from_store: Counter,
    served_from_upstream: Counter,
    fetched: [Counter; CLASSES.len()],
    seed_hits: Counter,
    seed_first_hits: Counter,
    seed_hit_bytes: Counter,
}

/// The families that repositories have counters in.
#[derive(Default)]
struct Families {
    requests: Family<Labels<2>, Counter>,
    served: Family<Labels<2>, Counter>,
    fetched: Family<Labels<2>, Counter>,
    seed_hits: Family<Labels<1>, Counter>,
    seed_first_hits: Family<Labels<1>, Counter>,
    seed_hit_bytes: Family<Labels<1>, Counter>,
}

impl Metrics {
    /// All families, with a row for each of the repositories named.
    #[must_use]
    pub fn new<S: AsRef<str>>(repos: &[S]) -> Self {
        let mut registry = Registry::with_prefix("lumbung");
        let families = Families::default();
        families.register(&mut registry);
        let repo = |name: &str| Arc::new(Repo::new(name, &families));
        let elsewhere = repo(ELSEWHERE);
        let repos: HashMap<_, _> =
            repos.iter().map(|name| (Arc::from(name.as_ref()), repo(name.as_ref()))).collect();

        let seconds = Family::<Labels<1>, Durations>::default();
        registry.register_with_unit(
            "request",
            "Time from a request's first byte to its answer's last, by outcome",
            Unit::Seconds,
            seconds.clone(),
        );
        let seconds =
            OUTCOMES.map(|outcome| seconds.get_or_create_owned(&[("outcome", Arc::from(outcome.as_str()))]));

        let indices_read = Counter::default();
        registry.register(
            "indices_read",
            "Indices whose contents were read, from themselves or from what was kept of it",
            indices_read.clone(),
        );
        let upstream_errors = Family::default();
        registry.register(
            "upstream_errors",
            "Attempts on upstreams that failed, by why",
            upstream_errors.clone(),
        );
        let verify_failures = Family::default();
        registry.register(
            "verify_failures",
            "Things that were not what a signature or a hash says, by what they were",
            verify_failures.clone(),
        );
        let refused = Family::default();
        registry.register("refused", "Requests and connections refused, by why", refused.clone());
        let tunnel_bytes = Counter::default();
        registry.register_with_unit(
            "tunnel",
            "Bytes passed through CONNECT tunnels, both directions",
            Unit::Bytes,
            tunnel_bytes.clone(),
        );
        let flights = Gauge::default();
        registry.register("flights", "Transfers from upstreams running now", flights.clone());
        let connections = Gauge::default();
        registry.register("client_connections", "Connections of clients open now", connections.clone());
        registry.register(
            "build",
            "The version that runs",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        let scraped = Scraped::new(&mut registry);
        Self(Arc::new(Inner {
            registry,
            repos: ArcSwap::from_pointee(repos),
            elsewhere,
            families,
            seconds,
            upstream_errors,
            indices_read,
            verify_failures,
            refused,
            tunnel_bytes,
            flights,
            connections,
            scraped,
            scraping: Mutex::default(),
        }))
    }

    /// A request ended thus, so long after it began; so many body bytes went to the client, if they count.
    pub fn request(&self, repo: &str, outcome: Outcome, took: Duration, served: Option<(Source, u64)>) {
        let at = outcome_index(outcome);
        self.0.seconds[at].observe(took);
        let repo = self.repo(repo);
        repo.requests[at].inc();
        match served {
            Some((Source::Store, bytes)) => repo.served_from_store.inc_by(bytes),
            Some((Source::Upstream, bytes)) => repo.served_from_upstream.inc_by(bytes),
            None => 0,
        };
    }

    /// A hit that is owed to a seed has sent so many bytes; whether it was the first on what the seed had brought.
    pub fn seed_hit(&self, repo: &str, first: bool, bytes: u64) {
        let repo = self.repo(repo);
        repo.seed_hits.inc();
        repo.seed_first_hits.inc_by(u64::from(first));
        repo.seed_hit_bytes.inc_by(bytes);
    }

    /// So many body bytes came from an upstream.
    pub fn upstream_bytes(&self, repo: &str, class: Class, bytes: u64) {
        let at = match class {
            Class::Client => 0,
            Class::Refresh => 1,
            Class::Seed => 2,
        };
        self.repo(repo).fetched[at].inc_by(bytes);
    }

    /// The contents of an index are read.
    pub fn index_read(&self) {
        self.0.indices_read.inc();
    }

    /// An attempt on an upstream failed; `reason` is one of a closed set of words.
    pub fn upstream_error(&self, repo: &str, reason: &'static str) {
        let labels = [("repo", self.label(repo)), ("reason", Arc::from(reason))];
        self.0.upstream_errors.get_or_create(&labels).inc();
    }

    /// Something was not what its signature or hash says; `what` is one of a closed set of words.
    pub fn verify_failure(&self, repo: &str, what: &'static str) {
        let labels = [("repo", self.label(repo)), ("what", Arc::from(what))];
        self.0.verify_failures.get_or_create(&labels).inc();
    }

    /// A request or connection was refused; `reason` is one of a closed set of words.
    pub fn refused(&self, reason: &'static str) {
        self.0.refused.get_or_create(&[("reason", Arc::from(reason))]).inc();
    }

    /// So many bytes passed through a tunnel, in either direction.
    pub fn tunnel_bytes(&self, bytes: u64) {
        self.0.tunnel_bytes.inc_by(bytes);
    }

    /// A transfer from an upstream began.
    pub fn flight_started(&self) {
        self.0.flights.inc();
    }

    /// A transfer from an upstream ended, well or not.
    pub fn flight_ended(&self) {
        self.0.flights.dec();
    }

    /// A client connected.
    pub fn connection_opened(&self) {
        self.0.connections.inc();
    }

    /// A client's connection is gone.
    pub fn connection_closed(&self) {
        self.0.connections.dec();
    }

    /// Connections of clients open now.
    #[must_use]
    pub fn connections(&self) -> u64 {
        u64::try_from(self.0.connections.get()).unwrap_or(0)
    }

    /// What was counted for a repository since the start, for a [`Status`]. A name that is not
    /// configured gives what was counted outside every repository.
    #[must_use]
    pub fn traffic(&self, repo: &str) -> Traffic {
        let repo = self.repo(repo);
        let count = |outcome| repo.requests[outcome_index(outcome)].get();
        Traffic {
            requests: Requests {
                hit: count(Outcome::Hit),
                miss: count(Outcome::Miss),
                joined: count(Outcome::Joined),
                revalidated: count(Outcome::Revalidated),
                stale: count(Outcome::Stale),
                passed: count(Outcome::Passed),
                error: count(Outcome::Error),
            },
            served_from_store: repo.served_from_store.get(),
            served_from_upstream: repo.served_from_upstream.get(),
            fetched: repo.fetched.iter().map(Counter::get).sum(),
            seeds: SeedHits {
                hits: repo.seed_hits.get(),
                first: repo.seed_first_hits.get(),
                bytes: repo.seed_hit_bytes.get(),
            },
        }
    }

    /// Bytes that came from upstreams for each repository: for clients, suites, seeds.
    #[must_use]
    pub fn fetched(&self) -> Vec<(Arc<str>, [u64; 3])> {
        let fetched =
            |repo: &Arc<Repo>| (Arc::clone(&repo.name), std::array::from_fn(|at| repo.fetched[at].get()));
        self.0.repos.load().values().map(fetched).collect()
    }

    /// What was counted outside every configured repository.
    #[must_use]
    pub fn traffic_elsewhere(&self) -> Traffic {
        self.traffic(ELSEWHERE)
    }

    /// All numbers in the `OpenMetrics` text format, with the store and the upstreams as `status` has
    /// them.
    ///
    /// # Errors
    /// Only when writing to memory fails.
    pub fn encode(&self, status: &Status) -> Result<String, fmt::Error> {
        // Two scrapes at once would each write what the other is setting.
        let _turn = self.0.scraping.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.scraped.set(status);
        let mut page = String::with_capacity(16 * 1024);
        text::encode(&mut page, &self.0.registry)?;
        Ok(page)
    }

    /// Adds rows for repositories that have none yet. Those of repositories that are gone stay.
    pub fn add<S: AsRef<str>>(&self, repos: &[S]) {
        self.0.repos.rcu(|known| {
            let mut known = HashMap::clone(known);
            for name in repos.iter().map(AsRef::as_ref).filter(|name| *name != ELSEWHERE) {
                let row = || Arc::new(Repo::new(name, &self.0.families));
                known.entry(Arc::from(name)).or_insert_with(row);
            }
            known
        });
    }

    fn repo(&self, name: &str) -> Arc<Repo> {
        let repos = self.0.repos.load();
        Arc::clone(repos.get(name).unwrap_or(&self.0.elsewhere))
    }

    fn label(&self, name: &str) -> Arc<str> {
        Arc::clone(&self.repo(name).name)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("repos", &self.0.repos.load().keys()).finish_non_exhaustive()
    }
}

impl Families {
    fn register(&self, registry: &mut Registry) {
        registry.register("requests", "Requests answered, by what became of them", self.requests.clone());
        registry.register_with_unit(
            "served",
            "Body bytes sent to clients, by where they came from",
            Unit::Bytes,
            self.served.clone(),
        );
        registry.register_with_unit(
            "upstream",
            "Body bytes received from upstreams, by on whose behalf",
            Unit::Bytes,
            self.fetched.clone(),
        );
        registry.register("seed_hits", "Hits on what a seed had brought", self.seed_hits.clone());
        registry.register(
            "seed_first_hits",
            "Of the hits on what a seed had brought, those that were the first one there",
            self.seed_first_hits.clone(),
        );
        registry.register_with_unit(
            "seed_hit",
            "Body bytes sent in hits on what a seed had brought",
            Unit::Bytes,
            self.seed_hit_bytes.clone(),
        );
    }
}

impl Repo {
    fn new(name: &str, families: &Families) -> Self {
        let Families { requests, served, fetched, .. } = families;
        let name: Arc<str> = Arc::from(name);
        let own =
            |family: &Family<Labels<1>, Counter>| family.get_or_create_owned(&[("repo", Arc::clone(&name))]);
        let row = |family: &Family<Labels<2>, Counter>, key, value: &str| {
            family.get_or_create_owned(&[("repo", Arc::clone(&name)), (key, Arc::from(value))])
        };
        Self {
            requests: OUTCOMES.map(|outcome| row(requests, "outcome", outcome.as_str())),
            served_from_store: row(served, "source", Source::Store.as_str()),
            served_from_upstream: row(served, "source", Source::Upstream.as_str()),
            fetched: CLASSES.map(|class| row(fetched, "class", class.as_str())),
            seed_hits: own(&families.seed_hits),
            seed_first_hits: own(&families.seed_first_hits),
            seed_hit_bytes: own(&families.seed_hit_bytes),
            name,
        }
    }
}

/// Where an outcome's counter is, in the order of [`OUTCOMES`].
const fn outcome_index(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Hit => 0,
        Outcome::Miss => 1,
        Outcome::Joined => 2,
        Outcome::Revalidated => 3,
        Outcome::Stale => 4,
        Outcome::Passed => 5,
        Outcome::Error => 6,
    }
}
