//! `[learned]`: the seeds that are there without being configured.

use super::reader::{Item, Table};
use super::values::size;
use crate::seed::Learning;
use crate::wan::Hours;

/// When the seeds may use the line.
#[derive(Clone, Copy)]
enum Night {
    Always,
    Within(Hours),
}

/// The section as written; a value with a mistake counts as absent.
pub(super) struct Written {
    enabled: Option<bool>,
    budget: Option<u64>,
    hours: Option<Night>,
}

impl Written {
    pub fn read(table: Table<'_>) -> Self {
        let hours = |text: &str| match text {
            "always" => Ok(Night::Always),
            _ => text.parse().map(Night::Within).map_err(
                |_| "hours are two times of day, such as \"18:00-06:00\", or \"always\" for the whole day",
            ),
        };
        let written = Self {
            enabled: table.item("enabled").and_then(|item: Item<'_>| item.flag()),
            budget: size(&table, "budget", 1, u64::MAX, "1 B or more"),
            hours: table.item("hours").and_then(|item| item.read(hours)).map(|given| given.value),
        };
        table.finish();
        written
    }

    /// Fills in defaults.
    pub fn validate(self) -> Learning {
        Learning {
            enabled: self.enabled.unwrap_or(true),
            budget: self.budget,
            hours: match self.hours {
                None => Learning::HOURS.parse().ok(),
                Some(Night::Always) => None,
                Some(Night::Within(hours)) => Some(hours),
            },
        }
    }
}
