//! `[wan]`: as written, with defaults, validated.

use jiff::tz::TimeZone;

use super::mistakes::{Given, Place, Report};
use super::reader::{Item, Table};
use crate::safe_url::Host;
use crate::units::BitRate;
use crate::wan::{Days, Hours, Plan, Scheduled, Window};

/// What a limit may be: slower than that nothing arrives in the time that clients wait, and faster is no
/// line that one would limit.
const RATES: std::ops::RangeInclusive<BitRate> = BitRate(64_000)..=BitRate(100_000_000_000);

/// The section as written; a value with a mistake counts as absent.
pub(super) struct Written {
    limit: Option<BitRate>,
    schedule: Vec<WrittenEntry>,
    zone: Option<TimeZone>,
    hosts: Vec<(Given<Host>, BitRate)>,
}

/// One entry of the schedule as written.
struct WrittenEntry {
    missing: Vec<(Place, &'static str)>,
    days: Option<Days>,
    hours: Option<Hours>,
    limit: Option<Given<Option<BitRate>>>,
}

impl Written {
    pub fn read(table: Table<'_>) -> Self {
        let written = Self {
            limit: table.item("limit").and_then(|item| item.read(limit)).and_then(|given| given.value),
            schedule: table.tables("schedule").into_iter().map(WrittenEntry::read).collect(),
            zone: table.item("timezone").and_then(|item| item.read(zone)).map(|given| given.value),
            hosts: table.table("hosts").as_ref().map(hosts).unwrap_or_default(),
        };
        table.finish();
        written
    }

    /// Fills in defaults and looks for contradictions.
    pub fn validate(self, report: &Report<'_>) -> Plan {
        for (place, advice) in self.schedule.iter().flat_map(|entry| &entry.missing) {
            report.wrong(place, *advice);
        }
        for (index, (later, _)) in self.hosts.iter().enumerate() {
            if self.hosts[..index].iter().any(|(earlier, _)| earlier.value == later.value) {
                report.wrong(&later.place, format!("names {} twice; once is enough", later.value.as_str()));
            }
        }
        Plan {
            limit: self.limit,
            schedule: self.schedule.into_iter().filter_map(WrittenEntry::entry).collect(),
            // A system that does not say where it is counts as being in Greenwich.
            zone: self.zone.or_else(|| TimeZone::try_system().ok()).unwrap_or(TimeZone::UTC),
            hosts: self.hosts.into_iter().map(|(host, rate)| (host.value, rate)).collect(),
        }
    }
}

impl WrittenEntry {
    fn read(table: Table<'_>) -> Self {
        let mut missing = Vec::new();
        if table.is_absent("days") && table.is_absent("hours") {
            missing.push((
                table.place("hours"),
                "is missing; say when the limit holds, with hours, such as \"18:00-06:00\", days, or both",
            ));
        }
        if table.is_absent("limit") {
            missing.push((
                table.place("limit"),
                "is missing; write what holds then, such as \"80 Mbit/s\" or \"unlimited\"",
            ));
        }
        let written = Self {
            missing,
            days: table.item("days").and_then(|item| Item::parse(&item)).map(|given| given.value),
            hours: table.item("hours").and_then(|item| Item::parse(&item)).map(|given| given.value),
            limit: table.item("limit").and_then(|item| item.read(limit)),
        };
        table.finish();
        written
    }

    fn entry(self) -> Option<Scheduled> {
        let window = Window { days: self.days.unwrap_or(Days::ALL), hours: self.hours.unwrap_or(Hours::ALL) };
        Some(Scheduled { window, limit: self.limit?.value })
    }
}

/// A rate, or none.
fn limit(text: &str) -> Result<Option<BitRate>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    rate(text).map(Some).map_err(|why| format!("{why}, or \"unlimited\""))
}

fn rate(text: &str) -> Result<BitRate, String> {
    let rate: BitRate = text.parse().map_err(|why: crate::units::UnitError| why.to_string())?;
    if RATES.contains(&rate) {
        return Ok(rate);
    }
    Err(format!("it is out of range; allowed is {} to {}", RATES.start(), RATES.end()))
}

fn zone(text: &str) -> Result<TimeZone, &'static str> {
    TimeZone::get(text)
        .map_err(|_| "there is no time zone of that name; write a place, such as \"Asia/Pontianak\"")
}

/// Hosts with limits of their own.
fn hosts(table: &Table<'_>) -> Vec<(Given<Host>, BitRate)> {
    let read = |(name, item): (&str, Item<'_>)| {
        let Ok(host) = name.parse() else {
            item.wrong("is not a host; write the name alone, such as \"archive.ubuntu.com\"");
            return None;
        };
        let rate = item.read(rate)?.value;
        Some((Given { value: host, place: item.place().clone() }, rate))
    };
    let mut hosts: Vec<_> = table.items().into_iter().filter_map(read).collect();
    // As they stand in the file, so that of two the second is named.
    hosts.sort_by_key(|(host, _)| host.place.at);
    hosts
}
