//! Kinds of values that several sections have.

use std::time::Duration;

use super::mistakes::Given;
use super::reader::Table;
use crate::units::{ByteSize, Period};

/// Longest time-out.
pub(super) const HOUR: Duration = Duration::from_hours(1);

/// A size in bytes from `low` to `high`, which `limits` says in words.
pub(super) fn size(table: &Table<'_>, key: &'static str, low: u64, high: u64, limits: &str) -> Option<u64> {
    let range = ByteSize(low)..=ByteSize(high);
    table.item(key)?.within(&range, limits).map(|given| given.value.0)
}

/// A time-out: long enough for a packet to come, short enough to end.
pub(super) fn period(table: &Table<'_>, key: &'static str) -> Option<Duration> {
    let range = Period(Duration::from_millis(10))..=Period(HOUR);
    table.item(key)?.within(&range, "10 ms to 1 h").map(|given| given.value.0)
}

/// The values without their places.
pub(super) fn values<T>(given: Vec<Given<T>>) -> Vec<T> {
    given.into_iter().map(|given| given.value).collect()
}
