//! What was asked for: limits, and the hours at which they hold.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::schedule::Window;
use crate::safe_url::Host;
use crate::units::BitRate;

/// How much of the line may be used, and when. The default limits nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What holds when no entry of the schedule does; none is unlimited.
    pub limit: Option<BitRate>,
    /// What holds at certain hours instead. The first entry that is open counts.
    pub schedule: Vec<Scheduled>,
    /// The clock on which the hours are read.
    pub zone: TimeZone,
    /// What single hosts may send at most, besides.
    pub hosts: Vec<(Host, BitRate)>,
}

/// A limit for some hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// When it holds.
    pub window: Window,
    /// What holds then; none is unlimited.
    pub limit: Option<BitRate>,
}

/// What will hold from some time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// From when.
    pub at: Timestamp,
    /// What; none is unlimited.
    pub limit: Option<BitRate>,
}

impl Default for Plan {
    fn default() -> Self {
        Self { limit: None, schedule: Vec::new(), zone: TimeZone::UTC, hosts: Vec::new() }
    }
}

impl Plan {
    /// The limit that holds at `at`.
    #[must_use]
    pub fn limit_at(&self, at: Timestamp) -> Option<BitRate> {
        let open = self.schedule.iter().find(|entry| entry.window.contains(at, &self.zone));
        open.map_or(self.limit, |entry| entry.limit)
    }

    /// When the limit will be another one than at `at`. None when it never will.
    #[must_use]
    pub fn change_after(&self, at: Timestamp) -> Option<Change> {
        let now = self.limit_at(at);
        // Windows come again every week. A day more, since weeks differ by an hour now and then.
        let horizon = at.checked_add(jiff::SignedDuration::from_hours(8 * 24)).ok()?;
        let border = |after: Timestamp| {
            let borders =
                self.schedule.iter().filter_map(|entry| entry.window.border_after(after, &self.zone));
            borders.min().filter(|border| *border <= horizon)
        };
        std::iter::successors(border(at), |at| border(*at))
            .map(|at| Change { at, limit: self.limit_at(at) })
            .find(|change| change.limit != now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn entry(days: &str, hours: &str, limit: Option<u64>) -> Scheduled {
        let window = Window { days: days.parse().unwrap(), hours: hours.parse().unwrap() };
        Scheduled { window, limit: limit.map(BitRate) }
    }

    /// 20 by day; on weekdays 80 by night; all of it on Saturday afternoon.
    fn plan() -> Plan {
        Plan {
            limit: Some(BitRate(20)),
            schedule: vec![entry("Sat", "12:00-18:00", None), entry("Mon-Fri", "18:00-06:00", Some(80))],
            zone: TimeZone::get("Asia/Pontianak").unwrap(),
            hosts: Vec::new(),
        }
    }

    #[test]
    fn limits_follow_the_week() {
        let plan = plan();
        // 2026-11-20 was a Friday.
        let mut now = at("2026-11-20T03:00:00Z");
        let mut seen = vec![(now, plan.limit_at(now))];
        for _ in 0..6 {
            let change = plan.change_after(now).unwrap();
            assert_eq!(plan.limit_at(change.at), change.limit);
            now = change.at;
            seen.push((now, change.limit));
        }
        let expected = [
            ("2026-11-20T03:00:00Z", Some(20)),
            ("2026-11-20T11:00:00Z", Some(80)),
            ("2026-11-20T23:00:00Z", Some(20)),
            ("2026-11-21T05:00:00Z", None),
            ("2026-11-21T11:00:00Z", Some(20)),
            ("2026-11-23T11:00:00Z", Some(80)),
            ("2026-11-23T23:00:00Z", Some(20)),
        ];
        assert_eq!(seen, expected.map(|(time, limit)| (at(time), limit.map(BitRate))));
    }

    #[test]
    fn the_first_open_entry_counts() {
        let mut plan = plan();
        let night = at("2026-11-20T13:00:00Z");
        plan.schedule.insert(0, entry("Mon-Sun", "19:00-21:00", Some(5)));
        assert_eq!(plan.limit_at(night), Some(BitRate(5)));
        plan.schedule.rotate_left(1);
        assert_eq!(plan.limit_at(night), Some(BitRate(80)));
    }

    #[test]
    fn what_never_changes_says_so() {
        let now = at("2026-11-20T13:00:00Z");
        assert_eq!(Plan::default().change_after(now), None);
        let mut plan = plan();
        plan.schedule = vec![entry("Mon-Sun", "00:00-24:00", Some(80))];
        assert_eq!((plan.limit_at(now), plan.change_after(now)), (Some(BitRate(80)), None));
        plan.schedule = vec![entry("Fri", "18:00-19:00", Some(20))];
        assert_eq!(plan.change_after(now), None, "the same limit is no change");
    }
}
