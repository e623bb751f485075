//! Every SQL statement of the store, as functions of a connection.
//!
//! All statements are prepared once per connection and find their rows through an index; the tests
//! ask `SQLite` for its plans. Writing ones belong inside a transaction of the writer thread.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Result, Row, params};

use super::partials::Parked;
use super::{EntryKey, EntryMeta, PartialMeta};
use crate::digest::Digest;

pub(super) const ENTRY: &str = "SELECT e.digest, o.size, e.etag, e.last_modified, e.content_type, \
     e.fetched_at, e.validated_at, e.upstream, e.policy \
     FROM entry e JOIN object o ON o.digest = e.digest WHERE e.repo = ?1 AND e.path = ?2";
pub(super) const OBJECTS_AFTER: &str =
    "SELECT digest, size FROM object WHERE digest > ?1 ORDER BY digest LIMIT ?2";
pub(super) const OBJECT: &str = "SELECT size FROM object WHERE digest = ?1";
pub(super) const COLDEST: &str =
    "SELECT digest, size FROM object WHERE held = 0 AND last_used < ?1 ORDER BY last_used LIMIT ?2";
pub(super) const COLDEST_AFTER: &str = "SELECT digest, size, last_used FROM object WHERE held = 0 \
     AND last_used < ?1 AND (last_used, digest) > (?2, ?3) ORDER BY last_used, digest LIMIT ?4";
pub(super) const MISDATED: &str =
    "SELECT digest, size FROM object WHERE held = 0 AND last_used > ?1 ORDER BY last_used LIMIT ?2";
pub(super) const PUT_OBJECT: &str = "INSERT INTO object (digest, size, last_used, held) \
     VALUES (?1, ?2, ?3, EXISTS (SELECT 1 FROM hold WHERE hold.digest = ?1)) ON CONFLICT DO NOTHING RETURNING held";
pub(super) const NAMES: &str = "SELECT repo, path FROM entry WHERE digest = ?1";
pub(super) const TOUCH: &str = "UPDATE object SET last_used = ?2 WHERE digest = ?1 AND last_used < ?2";
pub(super) const DROP_NAMES: &str = "DELETE FROM entry WHERE digest = ?1";
pub(super) const DROP_OBJECT: &str = "DELETE FROM object WHERE digest = ?1 RETURNING held";

/// What a transaction does to the totals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) bytes: i64,
    pub(super) objects: i64,
    pub(super) evicted: i64,
    /// Bytes of the objects that something holds.
    pub(super) held: i64,
}

/// What is published under a key.
pub(super) fn entry(connection: &Connection, key: &EntryKey) -> Result<Option<EntryMeta>> {
    connection
        .prepare_cached(ENTRY)?
        .query_row(params![&*key.repo, &*key.path], |row| {
            Ok(EntryMeta {
                digest: digest(row)?,
                size: row.get::<_, i64>(1)?.cast_unsigned(),
                etag: row.get(2)?,
                last_modified: row.get(3)?,
                content_type: row.get(4)?,
                fetched_at: row.get(5)?,
                validated_at: row.get(6)?,
                upstream: row.get(7)?,
                policy: row.get(8)?,
            })
        })
        .optional()
}

/// The length of an object, if it is known.
pub(super) fn object(connection: &Connection, digest: &Digest) -> Result<Option<u64>> {
    let size: Option<i64> = connection
        .prepare_cached(OBJECT)?
        .query_row([digest.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    Ok(size.map(i64::cast_unsigned))
}

/// Up to `most` objects in the order of their digests, after `after`.
pub(super) fn objects_after(
    connection: &Connection,
    after: Option<&Digest>,
    most: usize,
) -> Result<Vec<(Digest, u64)>> {
    // The empty value comes before every digest.
    let after = after.map_or(&[][..], |digest| digest.as_bytes().as_slice());
    connection
        .prepare_cached(OBJECTS_AFTER)?
        .query_map(params![after, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok((digest(row)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect()
}

/// Enters an object, or notes that it was asked for again.
pub(super) fn put_object(
    connection: &Connection,
    digest: &Digest,
    size: u64,
    now: i64,
    totals: &mut Totals,
) -> Result<()> {
    let size = size.cast_signed();
    let held: Option<bool> = connection
        .prepare_cached(PUT_OBJECT)?
        .query_row(params![digest.as_bytes().as_slice(), size, now], |row| row.get(0))
        .optional()?;
    let Some(held) = held else { return touch(connection, digest, now) };
    if held {
        totals.held += size;
    }
    totals.bytes += size;
    totals.objects += 1;
    Ok(())
}

/// Replaces what is published under a key.
pub(super) fn put_entry(connection: &Connection, key: &EntryKey, meta: &EntryMeta) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO entry VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?
        .execute(params![
            &*key.repo,
            &*key.path,
            meta.digest.as_bytes().as_slice(),
            meta.etag,
            meta.last_modified,
            meta.content_type,
            meta.fetched_at,
            meta.validated_at,
            meta.upstream,
            meta.policy
        ])?;
    Ok(())
}

/// Forgets a key; its object stays.
pub(super) fn remove_entry(connection: &Connection, key: &EntryKey) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM entry WHERE repo = ?1 AND path = ?2")?
        .execute(params![&*key.repo, &*key.path])?;
    Ok(())
}

/// Where an object is published.
pub(super) fn names(connection: &Connection, digest: &Digest) -> Result<Vec<EntryKey>> {
    connection.prepare_cached(NAMES)?.query_map([digest.as_bytes().as_slice()], |row| key(row, 0))?.collect()
}

/// Forgets an object and all its keys, which are returned.
pub(super) fn remove_object(
    connection: &Connection,
    digest: &Digest,
    size: u64,
    totals: &mut Totals,
) -> Result<Vec<EntryKey>> {
    let keys = names(connection, digest)?;
    let name = [digest.as_bytes().as_slice()];
    connection.prepare_cached(DROP_NAMES)?.execute(name)?;
    let held: Option<bool> =
        connection.prepare_cached(DROP_OBJECT)?.query_row(name, |row| row.get(0)).optional()?;
    if let Some(held) = held {
        totals.bytes -= size.cast_signed();
        totals.objects -= 1;
        totals.held -= if held { size.cast_signed() } else { 0 };
    }
    Ok(keys)
}

/// Notes when an object was last asked for.
pub(super) fn touch(connection: &Connection, digest: &Digest, used: i64) -> Result<()> {
    connection.prepare_cached(TOUCH)?.execute(params![digest.as_bytes().as_slice(), used])?;
    Ok(())
}

/// Up to `most` objects that nothing holds and nobody asked for since `before`, the least recently asked first.
pub(super) fn coldest(connection: &Connection, before: i64, most: usize) -> Result<Vec<(Digest, u64)>> {
    by_use(connection, COLDEST, before, most)
}

/// A place in the order in which objects go.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place(Option<(i64, Digest)>);

/// As [`coldest`], those after a place in their order; and the place of the last of them.
pub(super) fn coldest_after(
    connection: &Connection,
    before: i64,
    after: Place,
    most: usize,
) -> Result<(Vec<(Digest, u64)>, Place)> {
    // The empty value comes before every digest.
    let (used, name) = match &after.0 {
        Some((used, digest)) => (*used, digest.as_bytes().as_slice()),
        None => (i64::MIN, &[][..]),
    };
    let mut last = after;
    let objects = connection
        .prepare_cached(COLDEST_AFTER)?
        .query_map(params![before, used, name, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            let digest = digest(row)?;
            last = Place(Some((row.get(2)?, digest)));
            Ok((digest, row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect::<Result<_>>()?;
    Ok((objects, last))
}

/// Up to `most` objects that were asked for after `after`: with a future there, a clock was wrong.
pub(super) fn misdated(connection: &Connection, after: i64, most: usize) -> Result<Vec<(Digest, u64)>> {
    by_use(connection, MISDATED, after, most)
}

fn by_use(connection: &Connection, query: &str, time: i64, most: usize) -> Result<Vec<(Digest, u64)>> {
    connection
        .prepare_cached(query)?
        .query_map(params![time, i64::try_from(most).unwrap_or(i64::MAX)], |row| {
            Ok((digest(row)?, row.get::<_, i64>(1)?.cast_unsigned()))
        })?
        .collect()
}

/// Remembers an unfinished transfer.
pub(super) fn put_partial(
    connection: &Connection,
    name: &str,
    key: &EntryKey,
    boot: &str,
    meta: &PartialMeta,
) -> Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO partial VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            name,
            &*key.repo,
            &*key.path,
            boot,
            meta.total.map(u64::cast_signed),
            meta.etag,
            meta.last_modified,
            meta.content_type,
            meta.upstream
        ])?;
    Ok(())
}

/// Forgets an unfinished transfer.
pub(super) fn remove_partial(connection: &Connection, name: &str) -> Result<()> {
    connection.prepare_cached("DELETE FROM partial WHERE name = ?1")?.execute([name])?;
    Ok(())
}

/// All unfinished transfers with the boot they were written in. There are few; see
/// [`super::partials`].
pub(super) fn partials(connection: &Connection) -> Result<Vec<(Parked, String)>> {
    connection
        .prepare(
            "SELECT name, repo, path, boot, total, etag, last_modified, content_type, upstream FROM partial",
        )?
        .query_map([], |row| {
            let meta = PartialMeta {
                total: row.get::<_, Option<i64>>(4)?.map(i64::cast_unsigned),
                etag: row.get(5)?,
                last_modified: row.get(6)?,
                content_type: row.get(7)?,
                upstream: row.get(8)?,
            };
            Ok((Parked { name: row.get(0)?, key: key(row, 1)?, meta, length: 0 }, row.get(3)?))
        })?
        .collect()
}

/// The totals as of the last commit.
pub(super) fn totals(connection: &Connection) -> Result<Totals> {
    connection.query_row("SELECT bytes, objects, evicted, held FROM totals WHERE id = 1", [], |row| {
        Ok(Totals { bytes: row.get(0)?, objects: row.get(1)?, evicted: row.get(2)?, held: row.get(3)? })
    })
}

/// Adds what a transaction changed; call it last in the same transaction.
pub(super) fn add_totals(connection: &Connection, change: Totals) -> Result<()> {
    if change != Totals::default() {
        connection
            .prepare_cached(
                "UPDATE totals SET bytes = bytes + ?1, objects = objects + ?2, evicted = evicted + ?3, \
                 held = held + ?4 WHERE id = 1",
            )?
            .execute([change.bytes, change.objects, change.evicted, change.held])?;
    }
    Ok(())
}

fn digest(row: &Row<'_>) -> Result<Digest> {
    Ok(Digest::from_bytes(row.get(0)?))
}

fn key(row: &Row<'_>, at: usize) -> Result<EntryKey> {
    Ok(EntryKey { repo: row.get::<_, Arc<str>>(at)?, path: row.get::<_, Arc<str>>(at + 1)? })
}
