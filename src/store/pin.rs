//! What channels point at, and what they pointed at before.
//!
//! A channel remembers one step back: its state before its last change, all suites of it. Rolling back
//! restores a state that desktops have seen, never a mixture. Both states keep their generations.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Result as SqlResult, params};

use super::{Error, Store};

const CURRENT: &str = "SELECT channel, repo, suite, generation, since FROM pin ORDER BY channel, repo, suite";
pub(super) const PREVIOUS: &str = "SELECT channel, repo, suite, previous, previous_since FROM pin \
     WHERE channel = ?1 AND previous IS NOT NULL ORDER BY repo, suite";
pub(super) const PINNED: &str = "SELECT generation FROM pin WHERE channel = ?1 AND repo = ?2 AND suite = ?3";

pub(super) const GENERATIONS: &str =
    "SELECT generation FROM pin UNION SELECT previous FROM pin WHERE previous IS NOT NULL";

/// What a channel points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The channel's name.
    pub channel: Arc<str>,
    /// The repository's name.
    pub repo: Arc<str>,
    /// The folder of the release file.
    pub suite: Arc<str>,
    /// The generation's number.
    pub generation: i64,
    /// Since when, unix seconds.
    pub since: i64,
}

impl Store {
    /// Points channels at generations, all at once. Suites that are not named stay as they are; a suite
    /// that has the generation already keeps its `since`. A channel for which that changes nothing
    /// keeps what it could be rolled back to.
    ///
    /// # Errors
    /// [`Error::NoGeneration`] when the suite has no generation of that number, or when the catalog
    /// cannot be written.
    pub async fn pin(&self, pins: Vec<Pin>) -> Result<(), Error> {
        self.change(move |transaction, _, _| {
            let mut changed = BTreeSet::new();
            for pin in &pins {
                if !exists(transaction, pin)? {
                    return Ok(Err(Error::NoGeneration(pin.generation)));
                }
                if pinned(transaction, pin)? != Some(pin.generation) {
                    changed.insert(Arc::clone(&pin.channel));
                }
            }
            for channel in &changed {
                transaction
                    .prepare_cached(
                        "UPDATE pin SET previous = generation, previous_since = since WHERE channel = ?1",
                    )?
                    .execute([&**channel])?;
            }
            let mut set = transaction.prepare_cached(
                "INSERT INTO pin (channel, repo, suite, generation, since) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET generation = excluded.generation, since = excluded.since \
                 WHERE pin.generation <> excluded.generation",
            )?;
            for pin in &pins {
                set.execute(params![&*pin.channel, &*pin.repo, &*pin.suite, pin.generation, pin.since])?;
            }
            Ok(Ok(()))
        })
        .await
    }

    /// Points a channel back at what it pointed at before its last change, all suites at once, and
    /// remembers when that was. Once more undoes it. Gives what changed; nothing when there was no
    /// change to undo.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn roll_back(&self, channel: &str) -> Result<Vec<Pin>, Error> {
        let channel = channel.to_owned();
        self.change(move |transaction, _, now| {
            let differ = "channel = ?1 AND previous IS NOT NULL AND previous <> generation";
            let back: Vec<Pin> = transaction
                .prepare_cached(&format!(
                    "SELECT channel, repo, suite, previous, ?2 FROM pin WHERE {differ} ORDER BY repo, suite"
                ))?
                .query_map(params![channel, now], pin)?
                .collect::<SqlResult<_>>()?;
            if back.is_empty() {
                return Ok(Ok(back));
            }
            transaction
                .prepare_cached(
                    "UPDATE pin SET generation = previous, previous = generation, previous_since = since, \
                     since = CASE WHEN previous = generation THEN since ELSE ?2 END WHERE channel = ?1 AND previous IS NOT NULL",
                )?
                .execute(params![channel, now])?;
            transaction
                .prepare_cached("INSERT OR REPLACE INTO rollback VALUES (?1, ?2)")?
                .execute(params![channel, now])?;
            Ok(Ok(back))
        })
        .await
    }

    /// When each channel was last rolled back, in unix seconds. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn rollbacks(&self) -> Result<Vec<(Arc<str>, i64)>, Error> {
        self.shared().readers.read("list the channels that were rolled back", |connection| {
            connection
                .prepare_cached("SELECT channel, at FROM rollback ORDER BY channel")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// Forgets a channel, what it could be rolled back to, and that it ever was. No error when there was none.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn unpin(&self, channel: &str) -> Result<(), Error> {
        let channel = channel.to_owned();
        self.change(move |transaction, _, _| {
            transaction.prepare_cached("DELETE FROM pin WHERE channel = ?1")?.execute([&channel])?;
            transaction.prepare_cached("DELETE FROM rollback WHERE channel = ?1")?.execute([&channel])?;
            Ok(Ok(()))
        })
        .await
    }

    /// What all channels point at. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn pins(&self) -> Result<Vec<Pin>, Error> {
        self.shared().readers.read("list the channels", |connection| {
            connection.prepare_cached(CURRENT)?.query_map([], pin)?.collect()
        })
    }

    /// The generations that channels point at or could be rolled back to. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn pinned_generations(&self) -> Result<Vec<i64>, Error> {
        self.shared().readers.read("list what channels point at", pinned_generations)
    }

    /// What a channel pointed at before its last change: [`Store::pin`] these to roll it back, and once
    /// more to undo that. Suites which the last change added are not among them. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn previous_pins(&self, channel: &str) -> Result<Vec<Pin>, Error> {
        self.shared().readers.read("look up a channel's past", |connection| {
            connection.prepare_cached(PREVIOUS)?.query_map([channel], pin)?.collect()
        })
    }
}

fn pin(row: &rusqlite::Row<'_>) -> SqlResult<Pin> {
    Ok(Pin {
        channel: row.get(0)?,
        repo: row.get(1)?,
        suite: row.get(2)?,
        generation: row.get(3)?,
        since: row.get(4)?,
    })
}

fn exists(transaction: &Connection, pin: &Pin) -> SqlResult<bool> {
    transaction
        .prepare_cached("SELECT 1 FROM generation WHERE id = ?1 AND repo = ?2 AND suite = ?3")?
        .exists(params![pin.generation, &*pin.repo, &*pin.suite])
}

fn pinned(transaction: &Connection, pin: &Pin) -> SqlResult<Option<i64>> {
    transaction
        .prepare_cached(PINNED)?
        .query_row(params![&*pin.channel, &*pin.repo, &*pin.suite], |row| row.get(0))
        .optional()
}

/// A channel that points at the generation, or did before its last change. The table has a row for each
/// suite of each channel, few enough to look at all of them.
pub(super) fn channel_of(transaction: &Connection, generation: i64) -> SqlResult<Option<String>> {
    transaction
        .prepare_cached("SELECT channel FROM pin WHERE generation = ?1 OR previous = ?1 LIMIT 1")?
        .query_row([generation], |row| row.get(0))
        .optional()
}

/// The generations that a channel points at or could be rolled back to. There are few; see [`channel_of`].
pub(super) fn pinned_generations(connection: &Connection) -> SqlResult<Vec<i64>> {
    connection.prepare_cached(GENERATIONS)?.query_map([], |row| row.get(0))?.collect()
}

/// The channels that point at anything.
pub(super) fn channels(connection: &Connection) -> SqlResult<Vec<String>> {
    connection
        .prepare_cached("SELECT DISTINCT channel FROM pin ORDER BY channel")?
        .query_map([], |row| row.get(0))?
        .collect()
}
