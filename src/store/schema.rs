//! The catalog's tables, their history, and how connections to it are opened.
//!
//! `PRAGMA user_version` counts the migrations that were applied; each runs in a transaction of its
//! own. A catalog of a newer release is left alone.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::Error;

/// What turned version n into n + 1. Never edit one that was released; append.
///
/// Keys are stored once: the tables are their own primary-key index (`WITHOUT ROWID`), digests are 32
/// bytes instead of 64 digits. `entry_object` finds the names of an object that goes;
/// `object_use` is the order in which objects go, without those that are held. `totals` spares counting
/// at start. `generation_current` allows a suite one current generation.
const MIGRATIONS: [&str; 6] = [
    "
    CREATE TABLE object (
        digest    BLOB    NOT NULL PRIMARY KEY,
        size      INTEGER NOT NULL,
        last_used INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX object_use ON object (last_used);

    CREATE TABLE entry (
        repo          TEXT    NOT NULL,
        path          TEXT    NOT NULL,
        digest        BLOB    NOT NULL,
        etag          TEXT,
        last_modified INTEGER,
        content_type  TEXT,
        fetched_at    INTEGER NOT NULL,
        validated_at  INTEGER NOT NULL,
        upstream      TEXT    NOT NULL,
        policy        TEXT,
        PRIMARY KEY (repo, path)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX entry_object ON entry (digest);

    CREATE TABLE partial (
        name          TEXT NOT NULL PRIMARY KEY,
        repo          TEXT NOT NULL,
        path          TEXT NOT NULL,
        boot          TEXT NOT NULL,
        total         INTEGER,
        etag          TEXT,
        last_modified INTEGER,
        content_type  TEXT,
        upstream      TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE totals (
        id      INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
        bytes   INTEGER NOT NULL,
        objects INTEGER NOT NULL,
        evicted INTEGER NOT NULL
    ) STRICT;
    INSERT INTO totals VALUES (1, 0, 0, 0);
",
    "
    ALTER TABLE object ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
    DROP INDEX object_use;
    CREATE INDEX object_use ON object (last_used) WHERE held = 0;
    ALTER TABLE totals ADD COLUMN held INTEGER NOT NULL DEFAULT 0;

    CREATE TABLE generation (
        id            INTEGER PRIMARY KEY AUTOINCREMENT,
        repo          TEXT    NOT NULL,
        suite         TEXT    NOT NULL,
        text          BLOB    NOT NULL,
        in_release    BLOB,
        release       BLOB,
        release_gpg   BLOB,
        etag          TEXT,
        last_modified INTEGER,
        upstream      TEXT    NOT NULL,
        date          INTEGER,
        valid_until   INTEGER,
        signers       TEXT    NOT NULL,
        created_at    INTEGER NOT NULL,
        superseded_at INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX generation_current ON generation (repo, suite) WHERE superseded_at IS NULL;

    CREATE TABLE hold (
        generation INTEGER NOT NULL,
        digest     BLOB    NOT NULL,
        PRIMARY KEY (generation, digest)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX hold_object ON hold (digest);

    CREATE TABLE suite_check (
        repo          TEXT    NOT NULL,
        suite         TEXT    NOT NULL,
        checked_at    INTEGER NOT NULL,
        problem       TEXT,
        pending_since INTEGER,
        PRIMARY KEY (repo, suite)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE index_use (
        repo    TEXT    NOT NULL,
        suite   TEXT    NOT NULL,
        path    TEXT    NOT NULL,
        used_at INTEGER NOT NULL,
        PRIMARY KEY (repo, suite, path)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX index_use_time ON index_use (used_at);

    CREATE TABLE pin (
        channel        TEXT    NOT NULL,
        repo           TEXT    NOT NULL,
        suite          TEXT    NOT NULL,
        generation     INTEGER NOT NULL,
        since          INTEGER NOT NULL,
        previous       INTEGER,
        previous_since INTEGER,
        PRIMARY KEY (channel, repo, suite)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE rollback (
        channel TEXT    NOT NULL PRIMARY KEY,
        at      INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
",
    "
    ALTER TABLE hold ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX hold_listed ON hold (generation) WHERE listed = 1;

    CREATE TABLE absent (
        kind  TEXT    NOT NULL,
        name  TEXT    NOT NULL,
        since INTEGER NOT NULL,
        PRIMARY KEY (kind, name)
    ) STRICT, WITHOUT ROWID;
",
    "
    CREATE TABLE demand (
        id       INTEGER PRIMARY KEY,
        repo     TEXT    NOT NULL,
        package  TEXT    NOT NULL,
        last_day INTEGER NOT NULL,
        buckets  BLOB    NOT NULL,
        UNIQUE (repo, package)
    ) STRICT;

    CREATE TABLE desktop (
        id      INTEGER PRIMARY KEY,
        repo    TEXT    NOT NULL,
        suite   TEXT    NOT NULL,
        address TEXT    NOT NULL,
        office  TEXT    NOT NULL,
        UNIQUE (repo, suite, address, office)
    ) STRICT;

    CREATE TABLE desktop_package (
        desktop  INTEGER NOT NULL,
        package  INTEGER NOT NULL,
        last_day INTEGER NOT NULL,
        PRIMARY KEY (desktop, package)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX desktop_package_day ON desktop_package (last_day);

    ALTER TABLE object ADD COLUMN seeded INTEGER NOT NULL DEFAULT 0;
",
    "
    CREATE TABLE seed (
        name    TEXT NOT NULL PRIMARY KEY,
        journal TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE seed_plan (
        number   INTEGER PRIMARY KEY AUTOINCREMENT,
        seed     TEXT    NOT NULL,
        made_at  INTEGER NOT NULL,
        complete INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX seed_plan_seed ON seed_plan (seed);
",
];

/// The one connection that writes. Commits are durable when they return.
pub(super) fn open_writer(path: &Path) -> Result<Connection, Error> {
    let wrong = |error| Error::catalog("open what is", path, error);
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .map_err(wrong)?;
    // Negative cache sizes are KiB. The write-ahead log is folded back every 4,000 pages (16 MiB).
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA mmap_size = 0;
             PRAGMA cache_size = -8192;
             PRAGMA wal_autocheckpoint = 4000;
             PRAGMA journal_size_limit = 67108864;",
        )
        .map_err(wrong)?;
    connection.set_prepared_statement_cache_capacity(64);
    migrate(&connection, path)?;
    Ok(connection)
}

/// One of the connections that read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let wrong = |error| Error::catalog("open what is", path, error);
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(wrong)?;
    connection
        .execute_batch("PRAGMA mmap_size = 0; PRAGMA cache_size = -1024; PRAGMA query_only = ON;")
        .map_err(wrong)?;
    Ok(connection)
}

fn migrate(connection: &Connection, path: &Path) -> Result<(), Error> {
    let wrong = |error| Error::catalog("bring up to date what is", path, error);
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(wrong)?;
    if found > known {
        return Err(Error::Newer { path: path.to_owned(), found: found.to_string(), known });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS) {
        if version > found {
            connection
                .execute_batch(&format!(
                    "BEGIN IMMEDIATE; {migration} PRAGMA user_version = {version}; COMMIT;"
                ))
                .map_err(wrong)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_catalog_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        open_writer(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
        let error = open_writer(&path).unwrap_err();
        assert!(matches!(error, Error::Newer { ref found, known: 6, .. } if found == "99"), "{error}");
    }
}
