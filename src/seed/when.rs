//! When a seed may use the line, and how long it will.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::planner::upstream_hosts;
use crate::repo::Repository;
use crate::wan::{Days, Governor, Hours, Span, Window};

/// After so many days nobody asks any more how many there will be.
const MOST_DAYS: usize = 1000;

/// A seed's hours, on the clock on the wall that the line's schedule is read on.
#[derive(Clone)]
pub(super) struct When {
    /// Always when absent.
    hours: Option<Hours>,
    governor: Governor,
}

impl When {
    pub(super) const fn new(hours: Option<Hours>, governor: Governor) -> Self {
        Self { hours, governor }
    }

    /// The hours that are open at a time (unix seconds), or the next that will be; nothing where it is always
    /// open.
    pub(super) fn span(&self, at: i64) -> Option<Span> {
        let window = Window { days: Days::ALL, hours: self.hours? };
        window.spans(Timestamp::from_second(at).ok()?, &self.governor.plan().zone).next()
    }

    pub(super) fn is_open(&self, at: i64) -> bool {
        self.span(at).is_none_or(|span| span.begin.as_second() <= at)
    }

    /// When they open next while they are shut, in unix seconds.
    pub(super) fn opens_at(&self, at: i64) -> Option<i64> {
        self.span(at).map(|span| span.begin.as_second()).filter(|begin| *begin > at)
    }

    /// How long so many bytes will take from a repository's upstreams, in seconds, hours of rest included: at
    /// the limits of the line, or at the rate at which they came lately where that is slower. Nothing where
    /// there is neither.
    pub(super) fn seconds_left(
        &self,
        bytes: u64,
        rate: Option<u64>,
        repository: &Repository,
        now: i64,
    ) -> Option<u64> {
        let forecast = self.governor.forecast(bytes, self.hours, &upstream_hosts(repository));
        let by_limit = (forecast.unlimited == 0).then_some(forecast.elapsed.as_secs());
        let by_rate = rate.filter(|rate| *rate > 0).map(|rate| {
            let zone = self.governor.plan().zone;
            stretched(self.hours, now, bytes.div_ceil(rate), &zone)
        });
        by_limit.into_iter().chain(by_rate).max()
    }
}

/// How long something takes that needs so many seconds of open hours, in seconds from `at` on.
fn stretched(hours: Option<Hours>, at: i64, seconds: u64, zone: &TimeZone) -> u64 {
    let (Some(hours), Ok(from)) = (hours, Timestamp::from_second(at)) else { return seconds };
    let mut left = seconds;
    for span in (Window { days: Days::ALL, hours }).spans(from, zone).take(MOST_DAYS) {
        let begin = span.begin.as_second().max(at);
        let open = u64::try_from(span.end.as_second() - begin).unwrap_or(0);
        if left <= open {
            return u64::try_from(begin - at).unwrap_or(0) + left;
        }
        left -= open;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_over_midnight_stretch_what_takes_long() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap().as_second();
        let (noon, night) = (at("2026-11-20T12:00:00Z"), at("2026-11-20T23:00:00Z"));
        let hours = Some("18:00-06:00".parse().unwrap());
        let hour = 3600;
        for (from, needed, takes) in [
            (noon, hour, 7 * hour),
            (noon, 12 * hour, 18 * hour),
            (noon, 13 * hour, 31 * hour),
            (night, 7 * hour, 7 * hour),
            (night, 8 * hour, 20 * hour),
        ] {
            assert_eq!(stretched(hours, from, needed, &TimeZone::UTC), takes, "{needed}");
        }
        assert_eq!(stretched(None, noon, 5, &TimeZone::UTC), 5);
    }
}
