//! Which objects must not be evicted, because a generation needs them.
//!
//! `hold` says who holds what. Beside it every object carries a mark, so that eviction walks an index of
//! only those that may go, and however many are held costs it nothing. The mark is derived: whoever
//! writes one of the two writes both, in the same transaction. A hold outlives its object: one that was
//! damaged and came again is held again.
//!
//! A generation holds its indices as long as it is here, and of what they list what eviction came across
//! ([`super::keep`]), as long as a channel points at it. The column `listed` tells the second kind; who is
//! held both ways is of the first. A seed's plan holds what it lists, under the negative of its number
//! ([`super::seeds`]): to the mark it is all one who holds an object.

use rusqlite::{Connection, OptionalExtension as _, Result, params};

use super::catalog::{self, Totals};
use crate::digest::Digest;

pub(super) const MARK: &str = "UPDATE object SET held = 1 WHERE digest = ?1 AND held = 0 RETURNING size";
pub(super) const UNMARK: &str = "UPDATE object SET held = 0 WHERE digest = ?1 AND held = 1 \
     AND NOT EXISTS (SELECT 1 FROM hold WHERE hold.digest = ?1) RETURNING size";
pub(super) const HELD_BY: &str = "SELECT digest FROM hold WHERE generation = ?1";
pub(super) const HELD_BY_SOME: &str = "SELECT digest FROM hold WHERE generation = ?1 LIMIT ?2";
pub(super) const RELEASE: &str = "DELETE FROM hold WHERE generation = ?1";
pub(super) const LISTED: &str = "SELECT digest FROM hold WHERE generation = ?1 AND listed = 1 LIMIT ?2";
pub(super) const UNPINNED: &str = "SELECT id FROM generation WHERE \
     EXISTS (SELECT 1 FROM hold WHERE hold.generation = generation.id AND hold.listed = 1) AND \
     NOT EXISTS (SELECT 1 FROM pin WHERE pin.generation = generation.id OR pin.previous = generation.id) \
     LIMIT 1";
pub(super) const DROP_LISTED: &str = "DELETE FROM hold WHERE generation = ?1 AND digest = ?2 AND listed = 1";
pub(super) const IS_HELD: &str = "SELECT 1 FROM hold WHERE digest = ?1 LIMIT 1";

/// The first of the objects that is not here.
pub(super) fn missing(connection: &Connection, objects: &[Digest]) -> Result<Option<Digest>> {
    for digest in objects {
        if catalog::object(connection, digest)?.is_none() {
            return Ok(Some(*digest));
        }
    }
    Ok(None)
}

/// Holds objects for a generation.
pub(super) fn hold(
    connection: &Connection,
    generation: i64,
    objects: &[Digest],
    totals: &mut Totals,
) -> Result<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO hold (generation, digest, listed) VALUES (?1, ?2, 0) \
         ON CONFLICT DO UPDATE SET listed = 0 WHERE listed = 1",
    )?;
    for digest in objects {
        insert.execute(params![generation, digest.as_bytes().as_slice()])?;
        if let Some(size) = mark(connection, MARK, digest)? {
            totals.held += size;
        }
    }
    Ok(())
}

/// Holds an object that a generation lists, as long as a channel points at the generation.
pub(super) fn keep(
    connection: &Connection,
    generation: i64,
    digest: &Digest,
    totals: &mut Totals,
) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO hold (generation, digest, listed) VALUES (?1, ?2, 1) ON CONFLICT DO NOTHING",
        )?
        .execute(params![generation, digest.as_bytes().as_slice()])?;
    if let Some(size) = mark(connection, MARK, digest)? {
        totals.held += size;
    }
    Ok(())
}

/// Lets go of up to `most` objects that a generation listed and no channel points at any more; how many.
pub(super) fn let_go(connection: &Connection, most: usize, totals: &mut Totals) -> Result<usize> {
    let generation: Option<i64> =
        connection.prepare_cached(UNPINNED)?.query_row([], |row| row.get(0)).optional()?;
    let Some(generation) = generation else { return Ok(0) };
    let objects: Vec<Digest> = connection
        .prepare_cached(LISTED)?
        .query_map(params![generation, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok(Digest::from_bytes(row.get(0)?))
        })?
        .collect::<Result<_>>()?;
    for digest in &objects {
        connection.prepare_cached(DROP_LISTED)?.execute(params![generation, digest.as_bytes().as_slice()])?;
        if let Some(size) = mark(connection, UNMARK, digest)? {
            totals.held -= size;
        }
    }
    Ok(objects.len())
}

/// Lets go of everything that a generation held.
pub(super) fn release(connection: &Connection, generation: i64, totals: &mut Totals) -> Result<()> {
    let objects: Vec<Digest> = connection
        .prepare_cached(HELD_BY)?
        .query_map([generation], |row| Ok(Digest::from_bytes(row.get(0)?)))?
        .collect::<Result<_>>()?;
    connection.prepare_cached(RELEASE)?.execute([generation])?;
    for digest in &objects {
        if let Some(size) = mark(connection, UNMARK, digest)? {
            totals.held -= size;
        }
    }
    Ok(())
}

/// Lets go of up to `most` of the objects that an owner held; how many.
pub(super) fn release_some(
    connection: &Connection,
    owner: i64,
    most: usize,
    totals: &mut Totals,
) -> Result<usize> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let objects: Vec<Digest> = connection
        .prepare_cached(HELD_BY_SOME)?
        .query_map([owner, most], |row| Ok(Digest::from_bytes(row.get(0)?)))?
        .collect::<Result<_>>()?;
    for digest in &objects {
        connection
            .prepare_cached("DELETE FROM hold WHERE generation = ?1 AND digest = ?2")?
            .execute(params![owner, digest.as_bytes().as_slice()])?;
        if let Some(size) = mark(connection, UNMARK, digest)? {
            totals.held -= size;
        }
    }
    Ok(objects.len())
}

/// Whether anything holds the object, be it here or not.
pub(super) fn is_held(connection: &Connection, digest: &Digest) -> Result<bool> {
    connection.prepare_cached(IS_HELD)?.exists([digest.as_bytes().as_slice()])
}

/// The object's size, if its mark changed.
fn mark(connection: &Connection, statement: &str, digest: &Digest) -> Result<Option<i64>> {
    connection
        .prepare_cached(statement)?
        .query_row([digest.as_bytes().as_slice()], |row| row.get(0))
        .optional()
}
