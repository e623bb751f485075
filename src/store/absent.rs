//! Repositories, channels and seeds that the catalog knows and the configuration does not, any more.
//!
//! What is not configured is not dropped at once: a slip in the configuration must lose nothing. When it
//! was first missed is noted; who comes back before its time is over finds everything as it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Result as SqlResult, params};

use super::catalog::Totals;
use super::{Error, Store, hold};

/// Most rows that are dropped in one transaction: some milliseconds.
const BATCH: usize = 1024;

const CHANNELS: &str = "SELECT channel FROM pin UNION SELECT channel FROM rollback";
const SEEDS: &str = "SELECT name FROM seed UNION SELECT seed FROM seed_plan";
const REPOSITORIES: &str = "SELECT repo FROM generation UNION SELECT repo FROM suite_check \
     UNION SELECT repo FROM index_use UNION SELECT repo FROM pin";
pub(super) const USES: &str = "DELETE FROM index_use WHERE (repo, suite, path) IN \
     (SELECT repo, suite, path FROM index_use WHERE repo = ?1 LIMIT ?2)";

/// What may be missing in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AbsentKind {
    /// A channel, with what it points at.
    Channel,
    /// A repository, with its generations.
    Repository,
    /// A seed, with what its plans hold.
    Seed,
}

impl AbsentKind {
    /// The word for it, in the catalog and in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Channel => "channel",
            Self::Repository => "repository",
            Self::Seed => "seed",
        }
    }
}

/// Something that the configuration does not know any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Absent {
    /// What kind of thing.
    pub kind: AbsentKind,
    /// Its name.
    pub name: Arc<str>,
    /// When it was first missed, in unix seconds.
    pub since: i64,
    /// Whether that is now.
    pub is_new: bool,
}

impl Store {
    /// Compares what the catalog has with the names that are configured, and notes since when others are
    /// missing. They come channels first, then repositories and seeds, each by name.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn note_absent(
        &self,
        repositories: Vec<Arc<str>>,
        channels: Vec<Arc<str>>,
        seeds: Vec<Arc<str>>,
    ) -> Result<Vec<Absent>, Error> {
        self.change(move |transaction, _, now| {
            let mut absent = Vec::new();
            for (kind, known, configured) in [
                (AbsentKind::Channel, CHANNELS, &channels),
                (AbsentKind::Repository, REPOSITORIES, &repositories),
                (AbsentKind::Seed, SEEDS, &seeds),
            ] {
                for name in names(transaction, known)?.into_iter().filter(|name| !configured.contains(name)) {
                    absent.push(miss(transaction, kind, name, now)?);
                }
            }
            let noted: Vec<(String, String)> = transaction
                .prepare_cached("SELECT kind, name FROM absent")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<SqlResult<_>>()?;
            for (kind, name) in noted {
                if !absent.iter().any(|absent| absent.kind.as_str() == kind && *absent.name == *name) {
                    transaction
                        .prepare_cached("DELETE FROM absent WHERE kind = ?1 AND name = ?2")?
                        .execute([kind, name])?;
                }
            }
            Ok(Ok(absent))
        })
        .await
    }

    /// Drops the generations of a repository with their holds and the channels' pins on them, its checks
    /// and the notes of which of its indices were used. In batches, so that others can write in between;
    /// its objects go when room is needed.
    ///
    /// # Errors
    /// When the catalog cannot be written. What was dropped before stays so.
    pub async fn drop_repository(&self, repo: &str) -> Result<(), Error> {
        let name = repo.to_owned();
        self.change(move |transaction, _, _| {
            transaction.prepare_cached("DELETE FROM pin WHERE repo = ?1")?.execute([&name])?;
            Ok(Ok(()))
        })
        .await?;
        self.let_go_unpinned().await?;
        loop {
            let repo = repo.to_owned();
            if !self
                .change(move |transaction, totals, _| drop_some(transaction, &repo, totals).map(Ok))
                .await?
            {
                return Ok(());
            }
        }
    }
}

fn names(connection: &Connection, query: &str) -> SqlResult<BTreeSet<Arc<str>>> {
    connection.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect()
}

/// Notes that a name is missing, unless that is noted already.
fn miss(transaction: &Connection, kind: AbsentKind, name: Arc<str>, now: i64) -> SqlResult<Absent> {
    let noted: Option<i64> = transaction
        .prepare_cached("SELECT since FROM absent WHERE kind = ?1 AND name = ?2")?
        .query_row([kind.as_str(), &name], |row| row.get(0))
        .optional()?;
    // In the future only if a clock was wrong.
    let noted = noted.filter(|since| *since <= now);
    if noted.is_none() {
        transaction.prepare_cached("INSERT OR REPLACE INTO absent VALUES (?1, ?2, ?3)")?.execute(params![
            kind.as_str(),
            &*name,
            now
        ])?;
    }
    Ok(Absent { kind, name, since: noted.unwrap_or(now), is_new: noted.is_none() })
}

/// Drops one generation or some other rows of a repository; whether there may be more.
fn drop_some(transaction: &Connection, repo: &str, totals: &mut Totals) -> SqlResult<bool> {
    let generation: Option<i64> = transaction
        .prepare_cached("SELECT id FROM generation WHERE repo = ?1 LIMIT 1")?
        .query_row([repo], |row| row.get(0))
        .optional()?;
    if let Some(generation) = generation {
        hold::release(transaction, generation, totals)?;
        transaction.prepare_cached("DELETE FROM generation WHERE id = ?1")?.execute([generation])?;
        return Ok(true);
    }
    transaction.prepare_cached("DELETE FROM suite_check WHERE repo = ?1")?.execute([repo])?;
    let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
    Ok(transaction.prepare_cached(USES)?.execute(params![repo, most])? > 0)
}
