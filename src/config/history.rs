//! `[history]`: as written, with defaults, validated.

use std::time::Duration;

use super::reader::Table;
use crate::history::Config;
use crate::units::Period;

/// Reads how long addresses are kept; its keys contradict nothing.
pub(super) fn read(table: Table<'_>) -> Duration {
    let clients = table.item("clients").and_then(|item| item.read(clients)).map(|given| given.value);
    table.finish();
    clients.unwrap_or(Config::default().clients)
}

fn clients(text: &str) -> Result<Duration, String> {
    if text == "never" {
        return Ok(Duration::ZERO);
    }
    let period: Period = text.parse().map_err(|why: crate::units::UnitError| why.to_string())?;
    let range = Duration::from_hours(24)..=Duration::from_hours(24 * 3650);
    if range.contains(&period.0) {
        return Ok(period.0);
    }
    Err("it is out of range; allowed is 1 day to 3650 days, or \"never\" to write no address".to_owned())
}
