//! Numbers that somebody else keeps, taken from a [`Status`] at the moment of a scrape.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::{CLASSES, Labels};
use crate::status::Status;

/// What is set just before a scrape is written.
pub(super) struct Scraped {
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

impl Scraped {
    pub(super) fn new(registry: &mut Registry) -> Self {
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

    pub(super) fn set(&self, status: &Status) {
        let signed = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
        self.store_bytes.set(signed(status.store.bytes));
        self.store_objects.set(signed(status.store.objects));
        let limit = status.store.limit.map_or(Limit::NONE, signed);
        self.store_limit.0.store(limit, Ordering::Relaxed);
        // A total that the store keeps.
        self.evicted.inner().fetch_max(status.store.evicted_bytes, Ordering::Relaxed);
        let limit = status.wan.limit.map_or(Limit::NONE, signed);
        self.wan_limit.0.store(limit, Ordering::Relaxed);
        self.wan_rate.set(signed(status.wan.rate));
        let waiting = status.wan.waiting;
        for (class, count) in CLASSES.into_iter().zip([waiting.client, waiting.refresh, waiting.seed]) {
            self.wan_waiting.get_or_create(&[("class", Arc::from(class.as_str()))]).set(signed(count));
        }
        // What is not configured any more shows no row: an alert on its last state would never end.
        self.upstream_up.clear();
        self.suite_age.clear();
        self.suite_pending.clear();
        self.seed_missing.clear();
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
