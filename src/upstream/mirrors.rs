//! Which upstream of a repository to ask next.
//!
//! An upstream that fails twice in a row rests for 5 s; each failure after a rest doubles the next, up to
//! 5 min; one success ends it all. A resting upstream is not forbidden, only asked last.
//!
//! When a link breaks, all running transfers fail at once. Failures that arrive during a rest were begun
//! before it or in despair and say nothing new, so they do not lengthen it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::UpstreamError;
use crate::safe_url::BaseUrl;

const FIRST_REST: Duration = Duration::from_secs(5);
const LONGEST_REST: Duration = Duration::from_mins(5);
const FAILURES_BEFORE_REST: u32 = 2;

/// The upstreams of one repository, and how they have been doing. Does no I/O and owns no clock.
#[derive(Debug)]
pub struct Mirrors {
    bases: Vec<BaseUrl>,
    /// One per base. Held for a few comparisons, never across an await.
    health: Mutex<Vec<Health>>,
}

#[derive(Debug, Clone, Default)]
struct Health {
    /// In a row.
    failures: u32,
    /// The latest rest: its length and when it ends.
    rest: Option<(Duration, Instant)>,
    last_error: Option<String>,
}

impl Health {
    fn rests_until(&self, now: Instant) -> Option<Instant> {
        self.rest.map(|(_, until)| until).filter(|until| *until > now)
    }
}

/// One upstream as status shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MirrorStatus {
    /// Its base URL, which holds no credentials.
    pub url: String,
    /// Whether it is asked in its configured turn.
    pub healthy: bool,
    /// How often it failed in a row.
    pub failures: u32,
    /// What it failed with last, until it succeeds.
    pub last_error: Option<String>,
    /// Seconds until it is asked in its turn again, rounded up; 0 when healthy.
    pub resting_seconds: u64,
}

impl Mirrors {
    /// Upstreams in the order in which they are to be preferred, all well as far as we know.
    #[must_use]
    pub fn new(bases: Vec<BaseUrl>) -> Self {
        let health = Mutex::new(vec![Health::default(); bases.len()]);
        Self { bases, health }
    }

    /// All upstreams by number: the healthy ones in configured order, then those resting, soonest first.
    #[must_use]
    pub fn order(&self, now: Instant) -> Vec<usize> {
        let health = self.lock();
        let mut order: Vec<_> = (0..health.len()).collect();
        // `None` (healthy) sorts first; the sort is stable.
        order.sort_by_key(|index| health[*index].rests_until(now));
        order
    }

    /// The upstream with this number.
    ///
    /// # Panics
    /// If the number did not come from [`Mirrors::order`].
    #[must_use]
    pub fn base(&self, index: usize) -> &BaseUrl {
        &self.bases[index]
    }

    /// It answered as it should: all is forgiven.
    pub fn succeeded(&self, index: usize) {
        if let Some(health) = self.lock().get_mut(index) {
            *health = Health::default();
        }
    }

    /// It failed.
    pub fn failed(&self, index: usize, now: Instant, why: &UpstreamError) {
        if let Some(health) = self.lock().get_mut(index) {
            health.failures = health.failures.saturating_add(1);
            health.last_error = Some(why.to_string());
            if health.failures >= FAILURES_BEFORE_REST && health.rests_until(now).is_none() {
                let rest = health.rest.map_or(FIRST_REST, |(last, _)| (last * 2).min(LONGEST_REST));
                health.rest = Some((rest, now + rest));
            }
        }
    }

    /// Whether there is no healthy upstream.
    #[must_use]
    pub fn all_resting(&self, now: Instant) -> bool {
        self.lock().iter().all(|health| health.rests_until(now).is_some())
    }

    /// Every upstream in configured order.
    #[must_use]
    pub fn status(&self, now: Instant) -> Vec<MirrorStatus> {
        let status = |(base, health): (&BaseUrl, &Health)| {
            let left = health.rests_until(now).map(|until| until - now);
            MirrorStatus {
                url: base.to_string(),
                healthy: left.is_none(),
                failures: health.failures,
                last_error: health.last_error.clone(),
                resting_seconds: left.map_or(0, |left| left.as_secs() + u64::from(left.subsec_nanos() > 0)),
            }
        };
        self.bases.iter().zip(self.lock().iter()).map(status).collect()
    }

    /// Nothing panics while it is held, so a poisoned lock still guards good values.
    fn lock(&self) -> MutexGuard<'_, Vec<Health>> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Mirrors {
        Mirrors::new(["http://a", "http://b/u", "https://c"].map(|text| text.parse().unwrap()).to_vec())
    }

    fn why() -> UpstreamError {
        UpstreamError::Connect { host: "a".into(), why: "refused".into() }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn configured_order_until_two_failures() {
        let (mirrors, now) = (three(), Instant::now());
        assert_eq!(mirrors.order(now), [0, 1, 2]);
        mirrors.failed(0, now, &why());
        assert_eq!(mirrors.order(now), [0, 1, 2]);
        mirrors.failed(0, now, &why());
        assert_eq!(mirrors.order(now), [1, 2, 0]);
        assert_eq!(mirrors.order(now + 5 * SECOND), [0, 1, 2]);
    }

    #[test]
    fn a_success_between_failures_forgives() {
        let (mirrors, now) = (three(), Instant::now());
        mirrors.failed(0, now, &why());
        mirrors.succeeded(0);
        mirrors.failed(0, now, &why());
        assert_eq!(mirrors.order(now), [0, 1, 2]);
    }

    #[test]
    fn resting_ones_come_soonest_first() {
        let (mirrors, now) = (three(), Instant::now());
        for (index, at) in [(1, now), (0, now + SECOND), (2, now + 2 * SECOND)] {
            mirrors.failed(index, at, &why());
            mirrors.failed(index, at, &why());
        }
        assert!(mirrors.all_resting(now + 2 * SECOND));
        assert_eq!(mirrors.order(now + 2 * SECOND), [1, 0, 2]);
        assert!(!mirrors.all_resting(now + 5 * SECOND));
        assert_eq!(mirrors.order(now + 5 * SECOND), [1, 0, 2]);
    }

    #[test]
    fn each_failed_trial_doubles_the_rest_to_five_minutes() {
        let (mirrors, mut now) = (three(), Instant::now());
        mirrors.failed(0, now, &why());
        for expected in [5, 10, 20, 40, 80, 160, 300, 300] {
            mirrors.failed(0, now, &why());
            assert_eq!(mirrors.status(now)[0].resting_seconds, expected);
            now += Duration::from_secs(expected);
        }
        mirrors.succeeded(0);
        mirrors.failed(0, now, &why());
        mirrors.failed(0, now, &why());
        assert_eq!(mirrors.status(now)[0].resting_seconds, 5);
    }

    #[test]
    fn many_transfers_that_break_at_once_count_as_one_trial() {
        let (mirrors, now) = (three(), Instant::now());
        for _ in 0..32 {
            mirrors.failed(0, now, &why());
        }
        assert_eq!(mirrors.status(now)[0].resting_seconds, 5);
    }

    #[test]
    fn status_tells_what_is_wrong() {
        let (mirrors, now) = (three(), Instant::now());
        mirrors.failed(1, now, &why());
        mirrors.failed(1, now, &why());
        let shown = serde_json::to_value(&mirrors.status(now + Duration::from_millis(1))[1]).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({"url": "http://b/u", "healthy": false, "failures": 2,
                "last_error": "cannot connect to a: refused", "resting_seconds": 5})
        );
    }
}
