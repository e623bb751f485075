//! `[history]`: what is remembered of who asked for what.

use std::time::Duration;

use super::reader::Table;
use crate::units::Period;

/// What is remembered of who asked for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// How long it is kept which address asked for which packages; after that only its office. Default 60 days:
    /// as long as what is asked for counts as wanted. 0 keeps no address at all.
    pub client_addresses: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self { client_addresses: Duration::from_hours(60 * 24) }
    }
}

/// The section with its defaults.
pub(super) fn read(table: Table<'_>) -> History {
    let range = Period(Duration::ZERO)..=Period(Duration::from_hours(400 * 24));
    let kept = table.item("client_addresses").and_then(|item| item.within(&range, "0 s to 400 days"));
    table.finish();
    History {
        client_addresses: kept.map_or_else(|| History::default().client_addresses, |given| given.value.0),
    }
}
