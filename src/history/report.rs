//! Sums over a time, by what somebody wants to know: the rows behind `lumbung report`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use rusqlite::{Row as SqlRow, params};
use serde::{Deserialize, Serialize};

use super::Error;
use super::calendar::local;
use super::reader::Reader;
use super::write::{DAY, HOUR, bucket};
use crate::outcome::Outcome;
use crate::units::{Period, UnitError};

/// Hours are kept this long, in seconds; what goes back further is summed from days.
const HOURS_KEPT: i64 = 34 * DAY;

/// What rows are about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum By {
    /// Repositories.
    #[default]
    Repo,
    /// Offices.
    Office,
    /// Desktops, by address.
    Client,
    /// Packages.
    Package,
    /// Days.
    Day,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Repo, Self::Office, Self::Client, Self::Package, Self::Day];

    /// The word on the command line, and the name of the rows' first field.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repo => "repo",
            Self::Office => "office",
            Self::Client => "client",
            Self::Package => "package",
            Self::Day => "day",
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The word says nothing that a report can be by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a report is by repo, office, client, package or day")]
pub struct UnknownBy;

impl FromStr for By {
    type Err = UnknownBy;

    fn from_str(text: &str) -> Result<Self, UnknownBy> {
        Self::ALL.into_iter().find(|by| by.as_str() == text).ok_or(UnknownBy)
    }
}

/// How far back a report goes, in seconds, as people write it: `7d`, `36h`, `2w`, or as in the configuration.
///
/// # Errors
/// [`UnitError::Period`], and what it may look like.
pub fn since(text: &str) -> Result<u64, UnitError> {
    const SHORT: [(char, u64); 3] = [('h', 3600), ('d', 86_400), ('w', 7 * 86_400)];
    for (letter, seconds) in SHORT {
        if let Some(number) = text.strip_suffix(letter).and_then(|number| number.parse::<u64>().ok()) {
            return number.checked_mul(seconds).ok_or(UnitError::PeriodRange);
        }
    }
    text.parse::<Period>().map(|period| period.0.as_secs())
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// What rows are about.
    pub by: By,
    /// How far back, in seconds; whole hours, or beyond a month and for clients, packages and days whole days.
    pub since: u64,
}

/// One row of a report. Sizes are bytes, points in time are seconds since 1970. What rows are about stands in
/// the field of that name, the others of the first five are absent; an empty name is what belongs to none.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repo: Option<String>,
    /// The client's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// The day, `2026-11-24`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The office; of a client, the one it was in when it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub office: Option<String>,
    /// All requests.
    pub requests: u64,
    /// Those that began no transfer of their own; not known by package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
    /// Those that began one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misses: Option<u64>,
    /// Those that were refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errors: Option<u64>,
    /// Bytes sent to clients.
    pub served_bytes: u64,
    /// Of them, those that were held already.
    pub served_from_store: u64,
    /// Of them, those out of transfers that ran.
    pub served_from_upstream: u64,
    /// Bytes that came over the WAN; known by repository and day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_bytes: Option<u64>,
    /// Bytes served beyond those that came over the WAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wan_saved: Option<u64>,
    /// Of the requests that could be answered, the share (0 to 1) that began no transfer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_ratio_requests: Option<f64>,
    /// Of the bytes served, the share (0 to 1) that was held already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hit_ratio_bytes: Option<f64>,
    /// When a client last asked for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<i64>,
    /// When it last asked for a release file, with which an update begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update: Option<i64>,
}

impl Row {
    /// What the row is about.
    #[must_use]
    pub fn subject(&self, by: By) -> &str {
        let subject = match by {
            By::Repo => &self.repo,
            By::Office => &self.office,
            By::Client => &self.client,
            By::Package => &self.package,
            By::Day => &self.day,
        };
        subject.as_deref().unwrap_or_default()
    }

    fn about(by: By, subject: String) -> Self {
        let mut row = Self::default();
        let field = match by {
            By::Repo => &mut row.repo,
            By::Office => &mut row.office,
            By::Client => &mut row.client,
            By::Package => &mut row.package,
            By::Day => &mut row.day,
        };
        *field = Some(subject);
        row
    }

    fn sent(&mut self, store: i64, upstream: i64) {
        self.served_from_store += store.max(0).cast_unsigned();
        self.served_from_upstream += upstream.max(0).cast_unsigned();
    }

    /// What follows from the sums.
    fn finish(mut self) -> Self {
        self.served_bytes = self.served_from_store + self.served_from_upstream;
        self.hit_ratio_bytes = ratio(self.served_from_store, self.served_bytes);
        if let (Some(hits), Some(misses)) = (self.hits, self.misses) {
            self.hit_ratio_requests = ratio(hits, hits + misses);
        }
        self.wan_saved = self.upstream_bytes.map(|fetched| self.served_bytes.saturating_sub(fetched));
        self
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Which buckets answer a question.
struct Buckets {
    span: i64,
    from: i64,
}

impl Reader {
    /// The rows of a report: days in their order, everything else by bytes served, most first. Blocking.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn report(&self, query: Query) -> Result<Vec<Row>, Error> {
        let rows = match query.by {
            By::Repo => self.by_repo(&self.buckets(query.since, HOUR)),
            By::Day => self.by_day(&self.buckets(query.since, DAY)),
            By::Office => self.by_office(&self.buckets(query.since, HOUR)),
            By::Client => self.by_client(&self.buckets(query.since, DAY)),
            By::Package => self.by_package(&self.buckets(query.since, DAY)),
        };
        let mut rows: Vec<Row> =
            rows.map_err(|error| self.wrong(error))?.into_iter().map(Row::finish).collect();
        if query.by != By::Day {
            rows.sort_by(|a, b| {
                b.served_bytes
                    .cmp(&a.served_bytes)
                    .then(b.requests.cmp(&a.requests))
                    .then_with(|| a.subject(query.by).cmp(b.subject(query.by)))
            });
        }
        Ok(rows)
    }

    fn buckets(&self, since: u64, span: i64) -> Buckets {
        let since = i64::try_from(since).unwrap_or(i64::MAX).min(self.now);
        let span = if since > HOURS_KEPT { DAY } else { span };
        Buckets { span, from: bucket(span, self.now - since, &self.zone) }
    }

    fn by_repo(&self, Buckets { span, from }: &Buckets) -> rusqlite::Result<Vec<Row>> {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        let mut totals = self.connection.prepare(
            "SELECT name.name, outcome, sum(requests), sum(store), sum(upstream) FROM total
             JOIN name ON name.id = total.repo WHERE span = ?1 AND start >= ?2 GROUP BY total.repo, outcome",
        )?;
        let mut found = totals.query(params![span, from])?;
        while let Some(found) = found.next()? {
            let name: String = found.get(0)?;
            let row = rows.entry(name.clone()).or_insert_with(|| Row::about(By::Repo, name));
            count(row, found)?;
        }
        let mut fetched = self.connection.prepare(
            "SELECT name.name, sum(bytes) FROM fetched JOIN name ON name.id = fetched.repo
             WHERE span = ?1 AND start >= ?2 GROUP BY fetched.repo",
        )?;
        let mut found = fetched.query(params![span, from])?;
        while let Some(found) = found.next()? {
            let (name, bytes): (String, i64) = (found.get(0)?, found.get(1)?);
            let row = rows.entry(name.clone()).or_insert_with(|| Row::about(By::Repo, name));
            row.upstream_bytes = Some(bytes.max(0).cast_unsigned());
        }
        Ok(rows.into_values().map(with_fetched).collect())
    }

    fn by_day(&self, Buckets { from, .. }: &Buckets) -> rusqlite::Result<Vec<Row>> {
        let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
        let about =
            |start: i64| Row::about(By::Day, local(start, &self.zone).strftime("%Y-%m-%d").to_string());
        let mut totals = self.connection.prepare(
            "SELECT start, outcome, sum(requests), sum(store), sum(upstream) FROM total
             WHERE span = ?1 AND start >= ?2 GROUP BY start, outcome",
        )?;
        let mut found = totals.query(params![DAY, from])?;
        while let Some(found) = found.next()? {
            let start = found.get(0)?;
            count(rows.entry(start).or_insert_with(|| about(start)), found)?;
        }
        let sums = "SELECT start, sum(bytes) FROM fetched WHERE span = ?1 AND start >= ?2 GROUP BY start";
        let mut fetched = self.connection.prepare(sums)?;
        let mut found = fetched.query(params![DAY, from])?;
        while let Some(found) = found.next()? {
            let (start, bytes): (i64, i64) = (found.get(0)?, found.get(1)?);
            let row = rows.entry(start).or_insert_with(|| about(start));
            row.upstream_bytes = Some(bytes.max(0).cast_unsigned());
        }
        Ok(rows.into_values().map(with_fetched).collect())
    }

    fn by_office(&self, Buckets { span, from }: &Buckets) -> rusqlite::Result<Vec<Row>> {
        let mut rows: BTreeMap<String, Row> = BTreeMap::new();
        let mut sums = self.connection.prepare(
            "SELECT name.name, outcome, sum(requests), sum(store), sum(upstream) FROM office
             JOIN name ON name.id = office.office WHERE span = ?1 AND start >= ?2
             GROUP BY office.office, outcome",
        )?;
        let mut found = sums.query(params![span, from])?;
        while let Some(found) = found.next()? {
            let name: String = found.get(0)?;
            let row = rows.entry(name.clone()).or_insert_with(|| Row::about(By::Office, name));
            count(row, found)?;
        }
        Ok(rows.into_values().collect())
    }

    fn by_client(&self, Buckets { from, .. }: &Buckets) -> rusqlite::Result<Vec<Row>> {
        // With one maximum, SQLite takes the other columns from the row that has it.
        let mut sums = self.connection.prepare(
            "SELECT client, max(seen), name.name, sum(requests), sum(hits), sum(misses), sum(errors),
             sum(store), sum(upstream) FROM client JOIN name ON name.id = client.office
             WHERE day >= ?1 GROUP BY client",
        )?;
        let mut updates: BTreeMap<String, i64> = BTreeMap::new();
        let mut last = self.connection.prepare(
            "SELECT client, max(updated) FROM client WHERE day >= ?1 AND updated IS NOT NULL GROUP BY client",
        )?;
        let mut found = last.query([from])?;
        while let Some(found) = found.next()? {
            updates.insert(found.get(0)?, found.get(1)?);
        }
        let row = |found: &SqlRow<'_>| -> rusqlite::Result<Row> {
            let mut row = Row::about(By::Client, found.get(0)?);
            row.last_seen = Some(found.get(1)?);
            row.office = Some(found.get(2)?);
            row.requests = unsigned(found, 3)?;
            row.hits = Some(unsigned(found, 4)?);
            row.misses = Some(unsigned(found, 5)?);
            row.errors = Some(unsigned(found, 6)?);
            row.sent(found.get(7)?, found.get(8)?);
            row.last_update = updates.get(row.subject(By::Client)).copied();
            Ok(row)
        };
        sums.query_map([from], row)?.collect()
    }

    fn by_package(&self, Buckets { from, .. }: &Buckets) -> rusqlite::Result<Vec<Row>> {
        let mut sums = self.connection.prepare(
            "SELECT package, sum(requests), sum(store), sum(upstream) FROM package WHERE day >= ?1
             GROUP BY package",
        )?;
        let row = |found: &SqlRow<'_>| -> rusqlite::Result<Row> {
            let mut row = Row::about(By::Package, found.get(0)?);
            row.requests = unsigned(found, 1)?;
            row.sent(found.get(2)?, found.get(3)?);
            Ok(row)
        };
        sums.query_map([from], row)?.collect()
    }
}

/// Adds a row of the form subject, outcome, requests, store, upstream.
fn count(row: &mut Row, found: &SqlRow<'_>) -> rusqlite::Result<()> {
    let requests = unsigned(found, 2)?;
    row.requests += requests;
    let (mut hits, mut misses, mut errors) = (0, 0, 0);
    match outcome(found.get(1)?) {
        Some(Outcome::Hit | Outcome::Joined | Outcome::Revalidated | Outcome::Stale) => hits = requests,
        Some(Outcome::Miss) => misses = requests,
        Some(Outcome::Error) => errors = requests,
        Some(Outcome::Passed) | None => {}
    }
    for (field, more) in [(&mut row.hits, hits), (&mut row.misses, misses), (&mut row.errors, errors)] {
        *field = Some(field.unwrap_or(0) + more);
    }
    row.sent(found.get(3)?, found.get(4)?);
    Ok(())
}

/// An outcome as it is written.
pub(super) fn outcome(written: i64) -> Option<Outcome> {
    Outcome::ALL.get(usize::try_from(written).ok()?).copied()
}

fn with_fetched(mut row: Row) -> Row {
    row.upstream_bytes.get_or_insert(0);
    row
}

fn unsigned(found: &SqlRow<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(found.get::<_, i64>(column)?.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("7d", Ok(604_800))]
    #[case("36h", Ok(129_600))]
    #[case("2w", Ok(1_209_600))]
    #[case("30 days", Ok(2_592_000))]
    #[case("10 min", Ok(600))]
    #[case("99999999999999999w", Err(UnitError::PeriodRange))]
    #[case("soon", Err(UnitError::Period))]
    #[case("-1d", Err(UnitError::Period))]
    fn times_are_written_short_or_long(#[case] text: &str, #[case] seconds: Result<u64, UnitError>) {
        assert_eq!(since(text), seconds);
    }

    #[test]
    fn every_word_of_by_can_be_read() {
        for by in By::ALL {
            assert_eq!(by.as_str().parse(), Ok(by));
        }
        assert_eq!("week".parse::<By>(), Err(UnknownBy));
    }
}
