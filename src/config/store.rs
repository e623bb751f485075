//! `[store]`: as written, with defaults, validated.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reader::Table;
use super::values::size;
use crate::store::Config;
use crate::units::Period;

/// Largest size a key takes, in bytes: more than any file system holds.
const LARGEST: u64 = 1_000_000_000_000_000_000;

/// The section as written; a value with a mistake counts as absent.
pub(super) struct Written {
    path: Option<PathBuf>,
    max_size: Option<u64>,
    min_free: Option<u64>,
    recheck: Option<Duration>,
}

impl Written {
    pub fn read(table: Table<'_>) -> Self {
        let recheck = Period(Duration::from_secs(1))..=Period(Duration::from_hours(3650 * 24));
        let written = Self {
            path: table.item("path").and_then(|item| item.read(absolute)).map(|given| given.value),
            max_size: size(&table, "max_size", 1, LARGEST, "1 B to 1000000 TB; leave it out for no limit"),
            min_free: size(&table, "min_free", 0, LARGEST, "0 B to 1000000 TB"),
            recheck: table
                .item("recheck")
                .and_then(|item| item.within(&recheck, "1 s to 3650 days"))
                .map(|given| given.value.0),
        };
        table.finish();
        written
    }

    /// Fills in defaults.
    pub fn validate(self) -> Config {
        let default = Config::default();
        Config {
            path: self.path.unwrap_or(default.path),
            max_size: self.max_size,
            min_free: self.min_free.unwrap_or(default.min_free),
            recheck: self.recheck.unwrap_or(default.recheck),
        }
    }
}

fn absolute(text: &str) -> Result<PathBuf, &'static str> {
    let path = Path::new(text);
    if path.is_absolute() && !text.contains('\0') {
        Ok(path.to_owned())
    } else {
        Err("it must be an absolute path, such as \"/var/lib/lumbung\"")
    }
}
