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

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

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

/// What is set just before a scrape is written.
struct Scraped {
    store_bytes: Gauge<i64, AtomicI64>,
    store_objects: Gauge<i64, AtomicI64>,
    store_limit: Limit,
    evicted: Counter<u64, AtomicU64>,
    wan_limit: Limit,
    wan_rate: Gauge<i64, AtomicI64>,
    wan_waiting: Family<Labels<1>, Gauge>,
    upstream_up: Family<Labels<2>, Gauge>,
    suite_age: Family<Labels<2>, Gauge>,
    suite_pending: Family<Labels<2>, Gauge>,
    seed_missing: Family<Labels<1>, Gauge>,
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

impl Scraped {
    fn new(registry: &mut Registry) -> Self {
        let scraped = Self {
            store_bytes: Gauge::default(),
            store_objects: Gauge::default(),
            store_limit: Limit::default(),
            evicted: Counter::default(),
            wan_limit: Limit::default(),
            wan_rate: Gauge::default(),
            wan_waiting: Family::default(),
            upstream_up: Family::default(),
            suite_age: Family::default(),
            suite_pending: Family::default(),
            seed_missing: Family::default(),
        };
        registry.register_with_unit(
            "store",
            "Bytes of objects held",
            Unit::Bytes,
            scraped.store_bytes.clone(),
        );
        registry.register("store_objects", "Objects held", scraped.store_objects.clone());
        registry.register_with_unit(
            "store_limit",
            "Bytes that the store may hold; absent when only free space limits it",
            Unit::Bytes,
            scraped.store_limit.clone(),
        );
        registry.register_with_unit(
            "evicted",
            "Bytes of objects removed to make room",
            Unit::Bytes,
            scraped.evicted.clone(),
        );
        let per_second = || Unit::Other("bytes_per_second".to_owned());
        registry.register_with_unit(
            "wan_limit",
            "What all upstreams together may send now; absent when that is unlimited",
            per_second(),
            scraped.wan_limit.clone(),
        );
        registry.register_with_unit(
            "wan_rate",
            "What all upstreams together sent lately",
            per_second(),
            scraped.wan_rate.clone(),
        );
        registry.register(
            "wan_waiting",
            "Transfers that wait for their turn on the line, by on whose behalf",
            scraped.wan_waiting.clone(),
        );
        registry.register(
            "upstream_up",
            "1 while an upstream answers, 0 while it rests after failures",
            scraped.upstream_up.clone(),
        );
        registry.register_with_unit(
            "suite_age",
            "Time since upstream last confirmed a suite",
            Unit::Seconds,
            scraped.suite_age.clone(),
        );
        registry.register(
            "suite_generation_pending",
            "1 while upstream's newest state of a suite cannot become current",
            scraped.suite_pending.clone(),
        );
        registry.register(
            "seed_bytes_missing",
            "Bytes that a seed wants and that are not here, as its newest plan says",
            scraped.seed_missing.clone(),
        );
        scraped
    }

    fn set(&self, status: &Status) {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.store_bytes.set(signed(status.store.bytes));
        self.store_objects.set(signed(status.store.objects));
        let limit = status.store.limit.map_or(Limit::NONE, signed);
        self.store_limit.0.store(limit, Ordering::Relaxed);
        // A total that the store keeps; two scrapes at once may pass each other, never go back for long.
        self.evicted.inner().fetch_max(status.store.evicted_bytes, Ordering::Relaxed);
        let limit = status.wan.limit.map_or(Limit::NONE, signed);
        self.wan_limit.0.store(limit, Ordering::Relaxed);
        self.wan_rate.set(signed(status.wan.rate));
        let waiting = status.wan.waiting;
        for (class, count) in CLASSES.into_iter().zip([waiting.client, waiting.refresh, waiting.seed]) {
            self.wan_waiting.get_or_create(&[("class", Arc::from(class.as_str()))]).set(signed(count));
        }
        for repo in &status.repos {
            for upstream in &repo.upstreams {
                let labels = [("repo", Arc::from(&*repo.name)), ("upstream", Arc::from(&*upstream.url))];
                self.upstream_up.get_or_create(&labels).set(i64::from(upstream.healthy));
            }
        }
        for suite in &status.suites {
            let labels = [("repo", Arc::from(&*suite.repo)), ("suite", Arc::from(&*suite.suite))];
            self.suite_age.get_or_create(&labels).set(signed(suite.age_seconds));
            self.suite_pending.get_or_create(&labels).set(i64::from(suite.problem.is_some()));
        }
        for seed in &status.seeds {
            if let Some(missing) = seed.run.bytes_missing {
                let labels = [("seed", Arc::from(&*seed.seed.seed))];
                self.seed_missing.get_or_create(&labels).set(signed(missing));
            }
        }
    }
}

/// A gauge that shows no row while there is no limit: a zero would read as "nothing may be kept".
#[derive(Debug, Clone)]
struct Limit(Arc<AtomicI64>);

impl Limit {
    const NONE: i64 = -1;
}

impl Default for Limit {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(Self::NONE)))
    }
}

impl EncodeMetric for Limit {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), fmt::Error> {
        match self.0.load(Ordering::Relaxed) {
            Self::NONE => Ok(()),
            limit => encoder.encode_gauge(&limit),
        }
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::tests::example;

    fn page_after(count: impl Fn(&Metrics)) -> String {
        let metrics = Metrics::new(&["ubuntu", "ppa"]);
        count(&metrics);
        metrics.encode(&example()).unwrap()
    }

    #[track_caller]
    fn assert_line(page: &str, line: &str) {
        assert!(page.lines().any(|found| found == line), "no line {line:?} in\n{page}");
    }

    #[test]
    fn every_outcome_has_its_own_place() {
        for (at, outcome) in OUTCOMES.into_iter().enumerate() {
            assert_eq!(outcome_index(outcome), at);
        }
    }

    #[test]
    fn names_are_those_of_the_manual() {
        let page = page_after(|metrics| {
            let served = Some((Source::Store, 1000));
            metrics.request("ubuntu", Outcome::Hit, Duration::from_millis(2), served);
            metrics.upstream_bytes("ppa", Class::Seed, 7);
            metrics.seed_hit("ppa", true, 6);
            metrics.seed_hit("ppa", false, 4);
            metrics.upstream_error("ppa", "timeout");
            metrics.verify_failure("ubuntu", "deb");
            metrics.refused("not-configured");
            metrics.tunnel_bytes(11);
            metrics.flight_started();
            metrics.flight_started();
            metrics.flight_ended();
            metrics.connection_opened();
        });
        for line in [
            "lumbung_requests_total{repo=\"ubuntu\",outcome=\"hit\"} 1",
            "lumbung_requests_total{repo=\"ubuntu\",outcome=\"error\"} 0",
            "lumbung_served_bytes_total{repo=\"ubuntu\",source=\"store\"} 1000",
            "lumbung_upstream_bytes_total{repo=\"ppa\",class=\"seed\"} 7",
            "lumbung_seed_hits_total{repo=\"ppa\"} 2",
            "lumbung_seed_first_hits_total{repo=\"ppa\"} 1",
            "lumbung_seed_hit_bytes_total{repo=\"ppa\"} 10",
            "lumbung_seed_hits_total{repo=\"ubuntu\"} 0",
            "lumbung_upstream_errors_total{repo=\"ppa\",reason=\"timeout\"} 1",
            "lumbung_verify_failures_total{repo=\"ubuntu\",what=\"deb\"} 1",
            "lumbung_refused_total{reason=\"not-configured\"} 1",
            "lumbung_tunnel_bytes_total 11",
            "lumbung_flights 1",
            "lumbung_client_connections 1",
            "lumbung_store_bytes 12000000000",
            "lumbung_store_objects 34567",
            "lumbung_store_limit_bytes 400000000000",
            "lumbung_evicted_bytes_total 5000000",
            "lumbung_wan_limit_bytes_per_second 2500000",
            "lumbung_wan_rate_bytes_per_second 2480000",
            "lumbung_wan_waiting{class=\"client\"} 3",
            "lumbung_wan_waiting{class=\"seed\"} 8",
            "lumbung_request_seconds_count{outcome=\"hit\"} 1",
            "lumbung_request_seconds_sum{outcome=\"hit\"} 0.002",
            "lumbung_request_seconds_bucket{le=\"0.001\",outcome=\"hit\"} 0",
            "lumbung_request_seconds_bucket{le=\"0.0025\",outcome=\"hit\"} 1",
            "lumbung_request_seconds_bucket{le=\"+Inf\",outcome=\"hit\"} 1",
            "lumbung_upstream_up{repo=\"ubuntu\",upstream=\"http://archive.ubuntu.com/ubuntu\"} 0",
            "lumbung_suite_age_seconds{repo=\"ubuntu\",suite=\"dists/noble\"} 120",
            "lumbung_suite_generation_pending{repo=\"ubuntu\",suite=\"dists/noble\"} 0",
            "lumbung_seed_bytes_missing{seed=\"noble-desktop\"} 300000000",
            concat!("lumbung_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        ] {
            assert_line(&page, line);
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn unknown_names_make_no_new_rows() {
        let page = page_after(|metrics| {
            for name in ["evil\"name", "another"] {
                metrics.request(name, Outcome::Error, Duration::ZERO, None);
                metrics.upstream_error(name, "dns");
            }
        });
        assert_line(&page, "lumbung_requests_total{repo=\"-\",outcome=\"error\"} 2");
        assert_line(&page, "lumbung_upstream_errors_total{repo=\"-\",reason=\"dns\"} 2");
        assert!(!page.contains("evil"));
    }

    #[test]
    fn a_store_without_a_limit_shows_none() {
        let mut status = example();
        let metrics = Metrics::new(&["ubuntu"]);
        assert!(metrics.encode(&status).unwrap().contains("\nlumbung_store_limit_bytes 400"));
        status.store.limit = None;
        assert!(!metrics.encode(&status).unwrap().contains("\nlumbung_store_limit_bytes "));
        status.wan.limit = None;
        assert!(!metrics.encode(&status).unwrap().contains("\nlumbung_wan_limit_bytes_per_second "));
    }

    #[test]
    fn totals_can_be_read_again() {
        let metrics = Metrics::new(&["ubuntu"]);
        let served = Some((Source::Upstream, 5));
        metrics.request("ubuntu", Outcome::Joined, Duration::from_secs(1), served);
        metrics.upstream_bytes("ubuntu", Class::Client, 3);
        metrics.upstream_bytes("ubuntu", Class::Refresh, 2);
        metrics.request("nowhere", Outcome::Error, Duration::ZERO, None);
        let traffic = metrics.traffic("ubuntu");
        assert_eq!(traffic.requests, Requests { joined: 1, ..Requests::default() });
        assert_eq!((traffic.served_from_upstream, traffic.fetched), (5, 5));
        assert_eq!(metrics.traffic_elsewhere().requests.error, 1);
    }
}
