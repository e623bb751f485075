//! Generations: the published states of suites, and what they keep from eviction.
//!
//! A suite has one *current* generation; adopting the next one supersedes it, in one transaction with the
//! holds of the new one, so that whatever happens there is one current generation and all of it is kept.
//! Superseded ones keep their objects until [`Store::drop_generations`].

use std::sync::Arc;

use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Result as SqlResult, Row, params};

use super::catalog::Totals;
use super::{Error, Store, hold, pin};
use crate::digest::Digest;

const COLUMNS: &str = "id, repo, suite, text, in_release, release, release_gpg, etag, last_modified, \
     upstream, date, valid_until, signers, created_at, superseded_at";
pub(super) const SUPERSEDE: &str =
    "UPDATE generation SET superseded_at = ?3 WHERE repo = ?1 AND suite = ?2 AND superseded_at IS NULL";

const DROPPABLE: &str = "SELECT id FROM generation WHERE superseded_at < ?1 AND NOT EXISTS \
     (SELECT 1 FROM pin WHERE pin.generation = id OR pin.previous = id) ORDER BY id";

/// One published state of a suite. Dates are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number: never used again, and larger than those of all older ones.
    pub id: i64,
    /// The repository's name.
    pub repo: Arc<str>,
    /// The folder of the release file: `dists/noble`, or nothing for a flat repository at the root.
    pub suite: Arc<str>,
    /// The text of the release file that was verified, an object too.
    pub text: Digest,
    /// `InRelease` as upstream sent it.
    pub in_release: Option<Digest>,
    /// `Release` as upstream sent it.
    pub release: Option<Digest>,
    /// `Release.gpg` as upstream sent it.
    pub release_gpg: Option<Digest>,
    /// The upstream's validator of the release file.
    pub etag: Option<String>,
    /// The upstream's date of the release file.
    pub last_modified: Option<i64>,
    /// The URL of the release file, to which the validators belong.
    pub upstream: String,
    /// `Date` of the release file.
    pub date: Option<i64>,
    /// `Valid-Until` of the release file.
    pub valid_until: Option<i64>,
    /// Who signed it.
    pub signers: Vec<String>,
    /// When it became current.
    pub created_at: i64,
    /// When the next one became current; none as long as this one is.
    pub superseded_at: Option<i64>,
}

/// A [`Generation`] that is to become current; the fields are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGeneration {
    /// The repository's name.
    pub repo: Arc<str>,
    /// The folder of the release file.
    pub suite: Arc<str>,
    /// The verified text of the release file.
    pub text: Digest,
    /// `InRelease` as upstream sent it.
    pub in_release: Option<Digest>,
    /// `Release` as upstream sent it.
    pub release: Option<Digest>,
    /// `Release.gpg` as upstream sent it.
    pub release_gpg: Option<Digest>,
    /// The upstream's validator of the release file.
    pub etag: Option<String>,
    /// The upstream's date of the release file.
    pub last_modified: Option<i64>,
    /// The URL of the release file.
    pub upstream: String,
    /// `Date` of the release file.
    pub date: Option<i64>,
    /// `Valid-Until` of the release file.
    pub valid_until: Option<i64>,
    /// Who signed it.
    pub signers: Vec<String>,
}

impl Store {
    /// All generations that are kept, oldest first. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn generations(&self) -> Result<Vec<Generation>, Error> {
        self.shared().readers.read("list the generations", |connection| {
            connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM generation ORDER BY id"))?
                .query_map([], generation)?
                .collect()
        })
    }

    /// Makes a generation its suite's current one, and holds `objects` and its release files for it.
    /// Durable when it returns; on an error the previous one is current as before.
    ///
    /// # Errors
    /// [`Error::NoObject`] when one of the objects is not here (any more), or when the catalog cannot be
    /// written.
    pub async fn adopt(&self, new: NewGeneration, mut objects: Vec<Digest>) -> Result<Generation, Error> {
        objects.push(new.text);
        objects.extend([new.in_release, new.release, new.release_gpg].into_iter().flatten());
        self.change(move |transaction, totals, now| {
            if let Some(digest) = hold::missing(transaction, &objects)? {
                return Ok(Err(Error::NoObject(digest)));
            }
            adopt(transaction, new, &objects, totals, now).map(Ok)
        })
        .await
    }

    /// Adds the other form of the release file to a generation, and holds it. What is `None` stays as it
    /// was.
    ///
    /// # Errors
    /// [`Error::NoGeneration`], [`Error::NoObject`], or when the catalog cannot be written.
    pub async fn attach_release(
        &self,
        generation: i64,
        release: Digest,
        release_gpg: Option<Digest>,
        in_release: Option<Digest>,
    ) -> Result<(), Error> {
        let objects: Vec<Digest> = [Some(release), release_gpg, in_release].into_iter().flatten().collect();
        self.change(move |transaction, totals, _| {
            if let Err(error) = holdable(transaction, generation, &objects)? {
                return Ok(Err(error));
            }
            transaction
                .prepare_cached(
                    "UPDATE generation SET release = ?2, release_gpg = ifnull(?3, release_gpg), \
                     in_release = ifnull(?4, in_release) WHERE id = ?1",
                )?
                .execute(params![generation, bytes(&release), blob(release_gpg), blob(in_release)])?;
            hold::hold(transaction, generation, &objects, totals).map(Ok)
        })
        .await
    }

    /// Holds further objects for a generation.
    ///
    /// # Errors
    /// [`Error::NoGeneration`], [`Error::NoObject`], or when the catalog cannot be written.
    pub async fn hold(&self, generation: i64, objects: Vec<Digest>) -> Result<(), Error> {
        self.change(move |transaction, totals, _| {
            if let Err(error) = holdable(transaction, generation, &objects)? {
                return Ok(Err(error));
            }
            hold::hold(transaction, generation, &objects, totals).map(Ok)
        })
        .await
    }

    /// The generations that were superseded before `superseded_before` (unix seconds) and that no channel
    /// points at or could be rolled back to, oldest first. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn droppable(&self, superseded_before: i64) -> Result<Vec<i64>, Error> {
        self.shared().readers.read("list the generations", |connection| {
            connection.prepare_cached(DROPPABLE)?.query_map([superseded_before], |row| row.get(0))?.collect()
        })
    }

    /// Drops generations with their holds, all or none of them. Those that are gone already do not
    /// matter.
    ///
    /// # Errors
    /// [`Error::InUse`] when one is current, or a channel points at it or could be rolled back to it; or
    /// when the catalog cannot be written.
    pub async fn drop_generations(&self, ids: Vec<i64>) -> Result<(), Error> {
        self.change(move |transaction, totals, _| {
            for id in &ids {
                if let Some(by) = user(transaction, *id)? {
                    return Ok(Err(Error::InUse { generation: *id, by }));
                }
            }
            for id in &ids {
                hold::release(transaction, *id, totals)?;
                transaction.prepare_cached("DELETE FROM generation WHERE id = ?1")?.execute([id])?;
            }
            Ok(Ok(()))
        })
        .await
    }
}

fn adopt(
    transaction: &Connection,
    new: NewGeneration,
    objects: &[Digest],
    totals: &mut Totals,
    now: i64,
) -> SqlResult<Generation> {
    transaction.prepare_cached(SUPERSEDE)?.execute(params![&*new.repo, &*new.suite, now])?;
    let signers = serde_json::to_string(&new.signers)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    transaction
        .prepare_cached(&format!(
            "INSERT INTO generation ({COLUMNS}) \
             VALUES (NULL, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, NULL)"
        ))?
        .execute(params![
            &*new.repo,
            &*new.suite,
            bytes(&new.text),
            blob(new.in_release),
            blob(new.release),
            blob(new.release_gpg),
            new.etag,
            new.last_modified,
            new.upstream,
            new.date,
            new.valid_until,
            signers,
            now
        ])?;
    let id = transaction.last_insert_rowid();
    hold::hold(transaction, id, objects, totals)?;
    Ok(Generation {
        id,
        repo: new.repo,
        suite: new.suite,
        text: new.text,
        in_release: new.in_release,
        release: new.release,
        release_gpg: new.release_gpg,
        etag: new.etag,
        last_modified: new.last_modified,
        upstream: new.upstream,
        date: new.date,
        valid_until: new.valid_until,
        signers: new.signers,
        created_at: now,
        superseded_at: None,
    })
}

/// Whether the generation and the objects are there.
fn holdable(transaction: &Connection, generation: i64, objects: &[Digest]) -> SqlResult<Result<(), Error>> {
    let known = transaction.prepare_cached("SELECT 1 FROM generation WHERE id = ?1")?.exists([generation])?;
    if !known {
        return Ok(Err(Error::NoGeneration(generation)));
    }
    Ok(hold::missing(transaction, objects)?.map_or(Ok(()), |digest| Err(Error::NoObject(digest))))
}

/// Who needs the generation, in words.
fn user(transaction: &Connection, id: i64) -> SqlResult<Option<String>> {
    let current = transaction
        .prepare_cached("SELECT repo, suite FROM generation WHERE id = ?1 AND superseded_at IS NULL")?
        .query_row([id], |row| Ok(format!("{} {}", row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    if let Some(suite) = current {
        return Ok(Some(format!("the current one of {suite}")));
    }
    Ok(pin::channel_of(transaction, id)?.map(|channel| format!("kept by the channel {channel}")))
}

fn generation(row: &Row<'_>) -> SqlResult<Generation> {
    let signers: String = row.get(12)?;
    Ok(Generation {
        id: row.get(0)?,
        repo: row.get(1)?,
        suite: row.get(2)?,
        text: Digest::from_bytes(row.get(3)?),
        in_release: row.get::<_, Option<_>>(4)?.map(Digest::from_bytes),
        release: row.get::<_, Option<_>>(5)?.map(Digest::from_bytes),
        release_gpg: row.get::<_, Option<_>>(6)?.map(Digest::from_bytes),
        etag: row.get(7)?,
        last_modified: row.get(8)?,
        upstream: row.get(9)?,
        date: row.get(10)?,
        valid_until: row.get(11)?,
        signers: serde_json::from_str(&signers)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(12, Type::Text, error.into()))?,
        created_at: row.get(13)?,
        superseded_at: row.get(14)?,
    })
}

fn bytes(digest: &Digest) -> &[u8] {
    digest.as_bytes().as_slice()
}

fn blob(digest: Option<Digest>) -> Option<[u8; 32]> {
    digest.map(|digest| *digest.as_bytes())
}
