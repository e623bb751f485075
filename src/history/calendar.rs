//! Time where people are.

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

/// A point in time, in seconds since 1970, as clocks on the wall show it.
#[must_use]
pub fn local(time: i64, zone: &TimeZone) -> DateTime {
    zone.to_datetime(Timestamp::from_second(time).unwrap_or_default())
}

/// When the day began that lies so many days before the one of `time`.
pub(super) fn midnight(time: i64, days_before: i64, zone: &TimeZone) -> Option<i64> {
    let day = local(time, zone).date().checked_sub(days_before.days()).ok()?;
    // Where clocks change at midnight, the day begins with the first moment that there was.
    zone.to_timestamp(day.to_datetime(Time::midnight())).ok().map(Timestamp::as_second)
}
