//! `[upstream]`: as written, with defaults, validated.

use std::path::Path;
use std::time::Duration;

use super::beside;
use super::mistakes::{Given, Report};
use super::reader::Table;
use super::values::{period, size, values};
use crate::units::ByteSize;
use crate::upstream::Config;

/// Largest certificate file: a whole system's bundle takes a quarter of a megabyte.
const LARGEST_CA: u64 = 8 << 20;

/// The section as written; a value with a mistake counts as absent.
pub(super) struct Written {
    connect_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    patience: Option<Duration>,
    retries: Option<u32>,
    ca: Vec<Vec<u8>>,
    connections: Option<u32>,
    connections_per_host: Option<Given<u32>>,
    max_object: Option<u64>,
}

impl Written {
    pub fn read(table: Table<'_>) -> Self {
        let file = table.report().file();
        let count = |key, range| table.item(key).and_then(|item| item.count(range));
        let certificates = |text: &str| certificates(&beside(file, text)?);
        let written = Self {
            connect_timeout: period(&table, "connect_timeout"),
            idle_timeout: period(&table, "idle_timeout"),
            patience: period(&table, "patience"),
            retries: count("retries", 0..=100).map(|given| given.value),
            ca: table
                .item("ca")
                .map(|item| values(item.list(false, |item| item.read(certificates))))
                .unwrap_or_default(),
            connections: count("connections", 1..=1024).map(|given| given.value),
            connections_per_host: count("connections_per_host", 1..=1024),
            max_object: size(&table, "max_object", 1, 1_000_000_000_000_000, "1 B to 1000 TB"),
        };
        table.finish();
        written
    }

    /// Fills in defaults and looks for contradictions.
    pub fn validate(self, report: &Report<'_>) -> Config {
        let default = Config::default();
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let connections = self.connections.map_or(default.connections, count);
        if let Some(each) = &self.connections_per_host
            && count(each.value) > connections
        {
            let message =
                format!("is more than upstream.connections ({connections}); it must be at most that");
            report.wrong(&each.place, message);
        }
        Config {
            connect_timeout: self.connect_timeout.unwrap_or(default.connect_timeout),
            idle_timeout: self.idle_timeout.unwrap_or(default.idle_timeout),
            patience: self.patience.unwrap_or(default.patience),
            retries: self.retries.unwrap_or(default.retries),
            connections,
            // Half of all, as by default, when only the other was written.
            connections_per_host: self
                .connections_per_host
                .map_or(connections.div_ceil(2), |each| count(each.value)),
            ca: self.ca,
            max_object: self.max_object.unwrap_or(default.max_object),
        }
    }
}

/// The contents of a PEM file with at least one certificate.
fn certificates(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |why: std::io::Error| format!("{} cannot be read: {why}", path.display());
    if std::fs::metadata(path).map_err(cannot)?.len() > LARGEST_CA {
        return Err(format!("{} is larger than {}", path.display(), ByteSize(LARGEST_CA)));
    }
    let bytes = std::fs::read(path).map_err(cannot)?;
    match reqwest::Certificate::from_pem_bundle(&bytes) {
        Ok(certificates) if !certificates.is_empty() => Ok(bytes),
        _ => Err(format!(
            "{} holds no certificate; it must have blocks that begin with -----BEGIN CERTIFICATE-----",
            path.display()
        )),
    }
}
