//! How long something will take on the line.
//!
//! A forecast goes through the hours to come: only those in which the work is allowed count, each at the limit
//! that holds then. It takes for granted that nobody more urgent uses the line meanwhile and that the line gives
//! what its limit allows: it is the least time, and what is left of it is to be told again as time goes on.
//! Where no limit holds, nobody can tell how fast bytes come, and the forecast says so instead.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::plan::Plan;
use super::schedule::{Days, Hours, Window};
use crate::safe_url::Host;
use crate::units::BitRate;

/// Schedules come again after this long.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long some bytes take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forecast {
    /// From now until they are here, hours of rest included; where `unlimited` is not 0, until no limit holds.
    pub elapsed: Duration,
    /// How long of that the line is used for them.
    pub busy: Duration,
    /// Those that come when no limit holds, as fast as the line is.
    pub unlimited: u64,
}

/// Whether work that keeps to hours may use the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// It may, at any time.
    Always,
    /// It may, until just before this.
    OpenUntil(Timestamp),
    /// It may not before this.
    ShutUntil(Timestamp),
}

impl Plan {
    /// How long `bytes` take from `from` on, within `hours` of every day, when they come from `hosts`, of which
    /// the one with the highest limit counts.
    #[must_use]
    pub fn forecast(&self, bytes: u64, hours: Option<Hours>, hosts: &[Host], from: Timestamp) -> Forecast {
        let cap = self.cap(hosts);
        let mut walk = Walk { at: from, left: bytes, busy: Duration::ZERO };
        let mut weeks = 0;
        while let Ok(week) = walk.at.checked_add(WEEK) {
            let before = walk;
            if walk.until(week, self, cap, hours) {
                break;
            }
            // Every other week is like this one, but for the two on which clocks are changed.
            let (moved, busy) = (before.left - walk.left, walk.busy.saturating_sub(before.busy));
            // Something stays, so that the end is found in the week in which it is.
            let alike = (walk.left - 1).checked_div(moved).unwrap_or(0);
            walk.left -= alike * moved;
            walk.busy = walk.busy.saturating_add(times(busy, alike));
            weeks += alike;
        }
        let walked = Duration::try_from(walk.at.duration_since(from)).unwrap_or_default();
        let skipped = times(WEEK.unsigned_abs(), weeks);
        Forecast { elapsed: walked.saturating_add(skipped), busy: walk.busy, unlimited: walk.left }
    }

    /// Whether what keeps to `hours` of every day may use the line at `at`.
    #[must_use]
    pub fn gate(&self, hours: Option<Hours>, at: Timestamp) -> Gate {
        let Some(hours) = hours.filter(|hours| *hours != Hours::ALL) else { return Gate::Always };
        let window = Window { days: Days::ALL, hours };
        match window.spans(at, &self.zone).next() {
            Some(span) if span.begin <= at => Gate::OpenUntil(span.end),
            Some(span) => Gate::ShutUntil(span.begin),
            // Time itself ends.
            None => Gate::Always,
        }
    }

    /// What bytes from `hosts` come at, at most: the highest of their limits, if each has one.
    fn cap(&self, hosts: &[Host]) -> Option<BitRate> {
        let limit = |host| self.hosts.iter().find(|(name, _)| name == host).map(|(_, rate)| *rate);
        hosts.iter().map(limit).collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

/// Where a forecast has come to.
#[derive(Debug, Clone, Copy)]
struct Walk {
    at: Timestamp,
    left: u64,
    busy: Duration,
}

impl Walk {
    /// Goes on until `end`. Returns whether it came to an end before: nothing is left, or no limit holds.
    fn until(&mut self, end: Timestamp, plan: &Plan, cap: Option<BitRate>, hours: Option<Hours>) -> bool {
        while self.left > 0 && self.at < end {
            let shut = match plan.gate(hours, self.at) {
                Gate::Always => end,
                Gate::OpenUntil(shut) => shut.min(end),
                Gate::ShutUntil(open) => {
                    self.at = open.min(end);
                    continue;
                }
            };
            let limit = plan.limit_at(self.at);
            let Some(rate) = limit.into_iter().chain(cap).min().map(|rate| rate.bytes().max(1)) else {
                return true;
            };
            let change = plan.change_after(self.at).map_or(shut, |change| change.at);
            let stretch = shut.min(change).duration_since(self.at).unsigned_abs();
            let needed = Duration::from_nanos_u128(nanos(self.left, rate));
            if needed <= stretch {
                self.busy += needed;
                self.at = self.at.checked_add(needed).unwrap_or(end);
                self.left = 0;
                return true;
            }
            self.busy += stretch;
            self.at = self.at.checked_add(stretch).unwrap_or(end);
            // Less than all of it: it would have been enough otherwise.
            let moved = u128::from(rate) * stretch.as_nanos() / 1_000_000_000;
            self.left = self.left.saturating_sub(u64::try_from(moved).unwrap_or(u64::MAX)).max(1);
        }
        self.left == 0
    }
}

/// How long `bytes` take at so many a second.
fn nanos(bytes: u64, rate: u64) -> u128 {
    (u128::from(bytes) * 1_000_000_000).div_ceil(u128::from(rate))
}

fn times(duration: Duration, count: u64) -> Duration {
    Duration::from_secs(duration.as_secs().saturating_mul(count))
        .saturating_add(Duration::from_nanos(u64::from(duration.subsec_nanos()).saturating_mul(count)))
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::super::Scheduled;
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn host(name: &str) -> Host {
        name.parse().unwrap()
    }

    fn entry(days: &str, hours: &str, bytes: Option<u64>) -> Scheduled {
        let window = Window { days: days.parse().unwrap(), hours: hours.parse().unwrap() };
        Scheduled { window, limit: bytes.map(BitRate::of_bytes) }
    }

    /// 1000 bytes a second by day, 4000 from six to six on weekdays.
    fn plan() -> Plan {
        Plan {
            limit: Some(BitRate::of_bytes(1000)),
            schedule: vec![entry("Mon-Fri", "18:00-06:00", Some(4000))],
            zone: TimeZone::get("Asia/Pontianak").unwrap(),
            hosts: Vec::new(),
        }
    }

    fn seconds(forecast: Forecast) -> (u64, u64, u64) {
        (forecast.elapsed.as_secs(), forecast.busy.as_secs(), forecast.unlimited)
    }

    /// From Friday, 2026-11-20, 12:00 on.
    #[rstest]
    // Within the afternoon.
    #[case(1000 * 5 * HOUR, None, 5 * HOUR, 5 * HOUR)]
    // Six hours of afternoon, and one of the night.
    #[case(1000 * 6 * HOUR + 4000 * HOUR, None, 7 * HOUR, 7 * HOUR)]
    // All night, and the Saturday, whose night is slow.
    #[case(1000 * 6 * HOUR + 4000 * 12 * HOUR + 1000 * 14 * HOUR, None, 32 * HOUR, 32 * HOUR)]
    // It waits for the evening.
    #[case(4000 * HOUR, Some("18:00-06:00"), 7 * HOUR, HOUR)]
    // It is in its hours already.
    #[case(1000 * HOUR, Some("11:00-13:00"), HOUR, HOUR)]
    // One night is not enough; the second is slow.
    #[case(4000 * 12 * HOUR + 1000 * HOUR, Some("18:00-06:00"), 6 * HOUR + DAY + HOUR, 13 * HOUR)]
    // Hours that begin before the limit changes.
    #[case(1000 * HOUR + 4000 * HOUR, Some("17:00-19:00"), 7 * HOUR, 2 * HOUR)]
    #[case(0, Some("18:00-06:00"), 0, 0)]
    fn hours_and_limits_count(
        #[case] bytes: u64,
        #[case] hours: Option<&str>,
        #[case] elapsed: u64,
        #[case] busy: u64,
    ) {
        let hours = hours.map(|hours| hours.parse().unwrap());
        let forecast = plan().forecast(bytes, hours, &[], at("2026-11-20T05:00:00Z"));
        assert_eq!(seconds(forecast), (elapsed, busy, 0));
    }

    #[test]
    fn a_year_of_nights_is_not_gone_through_one_by_one() {
        let week = 4000 * 12 * HOUR * 5 + 1000 * 12 * HOUR * 2;
        let forecast = plan().forecast(
            520 * week,
            Some("18:00-06:00".parse().unwrap()),
            &[],
            at("2026-11-20T11:00:00Z"),
        );
        assert_eq!(seconds(forecast), (520 * 7 * DAY - 12 * HOUR, 520 * 7 * 12 * HOUR, 0));
        // More than anybody will live to see, on a line that gives next to nothing.
        let slow = Plan { limit: Some(BitRate(8)), ..Plan::default() };
        let forecast = slow.forecast(u64::MAX, None, &[], at("2026-11-20T11:00:00Z"));
        assert!(forecast.elapsed.as_secs() > u64::MAX / 2, "{forecast:?}");
    }

    #[test]
    fn without_a_limit_nobody_can_tell() {
        let now = at("2026-11-20T05:00:00Z");
        assert_eq!(seconds(Plan::default().forecast(5, None, &[], now)), (0, 0, 5));
        let mut plan = plan();
        plan.schedule = vec![entry("Mon-Fri", "18:00-06:00", None)];
        let bytes = 1000 * 6 * HOUR;
        assert_eq!(seconds(plan.forecast(bytes + 7, None, &[], now)), (6 * HOUR, 6 * HOUR, 7));
        assert_eq!(seconds(plan.forecast(bytes, None, &[], now)), (6 * HOUR, 6 * HOUR, 0));
        // Its hours are the free ones.
        let night = Some("20:00-04:00".parse().unwrap());
        assert_eq!(seconds(plan.forecast(bytes, night, &[], now)), (8 * HOUR, 0, bytes));
    }

    #[test]
    fn the_best_of_the_hosts_counts() {
        let hosts =
            vec![(host("a.example"), BitRate::of_bytes(10)), (host("b.example"), BitRate::of_bytes(20))];
        let now = at("2026-11-20T05:00:00Z");
        let both = [host("a.example"), host("b.example")];
        let free = Plan { hosts, ..Plan::default() };
        let limited = Plan { limit: Some(BitRate::of_bytes(15)), ..free.clone() };
        assert_eq!(seconds(free.forecast(600, None, &both, now)), (30, 30, 0));
        assert_eq!(seconds(limited.forecast(600, None, &both, now)), (40, 40, 0));
        assert_eq!(seconds(limited.forecast(600, None, &both[..1], now)), (60, 60, 0));
        let other = [host("a.example"), host("c.example")];
        assert_eq!(seconds(free.forecast(600, None, &other, now)), (0, 0, 600));
    }

    #[test]
    fn hours_open_and_shut() {
        let plan = plan();
        let night = Some("18:00-06:00".parse().unwrap());
        let (noon, evening) = (at("2026-11-20T05:00:00Z"), at("2026-11-20T11:00:00Z"));
        assert_eq!(plan.gate(night, noon), Gate::ShutUntil(evening));
        assert_eq!(plan.gate(night, evening), Gate::OpenUntil(at("2026-11-20T23:00:00Z")));
        assert_eq!(plan.gate(None, noon), Gate::Always);
        assert_eq!(plan.gate(Some(Hours::ALL), noon), Gate::Always);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Two halves, the second forecast from when the first is here, take as long as the whole.
        #[test]
        fn halves_add_up(
            bytes in 2..400_000_000_u64,
            start in 0..2_000_000_i64,
            night in any::<bool>(),
        ) {
            let plan = Plan { zone: TimeZone::get("Europe/Berlin").unwrap(), ..plan() };
            let hours = night.then(|| "22:30-05:00".parse().unwrap());
            // Around the end of summer time.
            let start = at("2026-10-15T00:00:00Z") + SignedDuration::from_secs(start);
            let whole = plan.forecast(bytes, hours, &[], start);
            let first = plan.forecast(bytes / 2, hours, &[], start);
            let second = plan.forecast(bytes - bytes / 2, hours, &[], start + first.elapsed);
            let slack = Duration::from_millis(50);
            prop_assert!(whole.busy.abs_diff(first.busy + second.busy) < slack);
            // An hour more or less where clocks are changed beyond the first week.
            let slack = slack + Duration::from_hours(1);
            prop_assert!(whole.elapsed.abs_diff(first.elapsed + second.elapsed) < slack);
            prop_assert!(whole.busy <= whole.elapsed);
        }
    }
}
