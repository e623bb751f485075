//! How long what is kept, and how much at the most.

use jiff::tz::TimeZone;
use rusqlite::{Connection, params};

use super::Config;
use super::write::{DAY, HOUR, MINUTE, bucket};

/// Most clients of a day that are written one by one.
pub(super) const CLIENTS_A_DAY: i64 = 5000;

/// Most packages of the day that runs.
pub(super) const PACKAGES_A_DAY: i64 = 20_000;

/// Packages that remain of a day that is over.
const TOP: i64 = 1000;

/// How long packages are kept, in days.
const PACKAGES_KEPT: i64 = 400;

/// How long buckets of each length are kept, in seconds.
const KEPT: [(i64, i64); 3] = [(MINUTE, 2 * DAY), (HOUR, 35 * DAY), (DAY, 5 * 366 * DAY)];

/// Most rows of each table, and what orders them by age. A row takes 30 to 80 bytes, and pages are two thirds
/// full at worst: 12 MB, 60 MB, 6 MB, 33 MB and 37 MB. With the write-ahead log that is below 200 MB.
const MOST: [(&str, &str, i64); 5] = [
    ("total", "start", 250_000),
    ("office", "start", 1_200_000),
    ("fetched", "start", 150_000),
    ("client", "day", 300_000),
    ("package", "day", 500_000),
];

/// Removes what has had its time, once an hour.
#[derive(Debug, Default)]
pub(super) struct Pruner {
    hour: Option<i64>,
}

impl Pruner {
    pub(super) fn prune(
        &mut self,
        connection: &mut Connection,
        config: &Config,
        now: i64,
    ) -> rusqlite::Result<()> {
        let hour = bucket(HOUR, now, &TimeZone::UTC);
        if self.hour == Some(hour) {
            return Ok(());
        }
        prune(connection, config, now)?;
        self.hour = Some(hour);
        Ok(())
    }
}

fn prune(connection: &mut Connection, config: &Config, now: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for table in ["total", "office", "fetched"] {
        for (span, kept) in KEPT {
            let old = format!("DELETE FROM {table} WHERE span = ?1 AND start < ?2");
            transaction.execute(&old, params![span, now - kept])?;
        }
    }
    let today = bucket(DAY, now, &config.zone);
    let kept = i64::try_from(config.clients.as_secs()).unwrap_or(i64::MAX);
    // A day counts as old when its last second is.
    transaction.execute("DELETE FROM client WHERE day + ?1 <= ?2", [DAY, now.saturating_sub(kept)])?;
    transaction.execute("DELETE FROM package WHERE day < ?1", [today - PACKAGES_KEPT * DAY])?;
    let mut crowded = transaction
        .prepare("SELECT day FROM package WHERE day < ?1 GROUP BY day HAVING count(*) > ?2")?
        .query_map([today, TOP], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<i64>>>()?;
    for day in crowded.drain(..) {
        let rest = "DELETE FROM package WHERE day = ?1 AND package NOT IN
            (SELECT package FROM package WHERE day = ?1 ORDER BY requests DESC, package LIMIT ?2)";
        transaction.execute(rest, [day, TOP])?;
    }
    for (table, order, most) in MOST {
        limit(&transaction, table, order, most)?;
    }
    transaction.commit()?;
    connection.execute_batch("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);")
}

/// Removes the oldest rows beyond `most`, whole buckets of them.
fn limit(connection: &Connection, table: &str, order: &str, most: i64) -> rusqlite::Result<()> {
    let count: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
    if count <= most {
        return Ok(());
    }
    let last = format!("SELECT {order} FROM {table} ORDER BY {order} LIMIT 1 OFFSET ?1");
    let oldest: i64 = connection.query_row(&last, [count - most], |row| row.get(0))?;
    connection.execute(&format!("DELETE FROM {table} WHERE {order} <= ?1"), [oldest])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::schema::open_writer;
    use super::*;

    #[test]
    fn the_oldest_rows_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_writer(&folder.path().join("h")).unwrap();
        for start in 0..10 {
            connection.execute("INSERT INTO fetched VALUES (60, ?1, 0, 0, 1)", [start]).unwrap();
        }
        limit(&connection, "fetched", "start", 10).unwrap();
        limit(&connection, "fetched", "start", 4).unwrap();
        let left: (i64, i64) = connection
            .query_row("SELECT count(*), min(start) FROM fetched", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert!(left.0 <= 4 && left.0 > 0 && left.1 >= 6, "{left:?}");
    }
}
