//! The tables of the history, and how they are opened.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::Error;

/// Version of the tables.
const VERSION: i64 = 1;

/// `span` is the length of a bucket in seconds (60, 3600, 86400), `start` its begin in seconds since 1970.
/// Names of repositories and offices are numbers in the large tables, to keep rows short; number 0 is
/// what belongs to none. `outcome` and `class` count as [`Outcome::ALL`](crate::outcome::Outcome::ALL) and
/// [`Class::ALL`](crate::outcome::Class::ALL) do, whose order never changes.
const TABLES: &str = "
    CREATE TABLE name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    INSERT INTO name VALUES (0, '');
    CREATE TABLE total (
        span INTEGER NOT NULL, start INTEGER NOT NULL, repo INTEGER NOT NULL, outcome INTEGER NOT NULL,
        requests INTEGER NOT NULL, store INTEGER NOT NULL, upstream INTEGER NOT NULL,
        PRIMARY KEY (span, start, repo, outcome)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE office (
        span INTEGER NOT NULL, start INTEGER NOT NULL, office INTEGER NOT NULL, repo INTEGER NOT NULL,
        outcome INTEGER NOT NULL, requests INTEGER NOT NULL, store INTEGER NOT NULL, upstream INTEGER NOT NULL,
        PRIMARY KEY (span, start, office, repo, outcome)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE fetched (
        span INTEGER NOT NULL, start INTEGER NOT NULL, repo INTEGER NOT NULL, class INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (span, start, repo, class)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE client (
        day INTEGER NOT NULL, client TEXT NOT NULL, office INTEGER NOT NULL,
        requests INTEGER NOT NULL, hits INTEGER NOT NULL, misses INTEGER NOT NULL, errors INTEGER NOT NULL,
        store INTEGER NOT NULL, upstream INTEGER NOT NULL, seen INTEGER NOT NULL, updated INTEGER,
        PRIMARY KEY (day, client)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE package (
        day INTEGER NOT NULL, package TEXT NOT NULL,
        requests INTEGER NOT NULL, store INTEGER NOT NULL, upstream INTEGER NOT NULL,
        PRIMARY KEY (day, package)
    ) STRICT, WITHOUT ROWID;
";

/// Opens the file for its one writer. What is no database, or a damaged one, is set aside.
pub(super) fn open_writer(path: &Path) -> Result<Connection, Error> {
    match try_open(path) {
        Err(Error::Database { source, .. }) if is_damage(&source) => {
            let mut aside = path.as_os_str().to_owned();
            aside.push(".damaged");
            tracing::error!(path = %path.display(), error = %source,
                "the history is damaged; it is set aside as .damaged, and a new one begins");
            let moved = std::fs::rename(path, &aside);
            // What they belong to is gone; they would be taken for the new file's.
            for tail in ["-wal", "-shm"] {
                let mut name = path.as_os_str().to_owned();
                name.push(tail);
                let _ = std::fs::remove_file(name);
            }
            if let Err(error) = moved {
                tracing::error!(%error, "the damaged history cannot be set aside");
            }
            try_open(path)
        }
        opened => opened,
    }
}

fn try_open(path: &Path) -> Result<Connection, Error> {
    let wrong = |source| Error::Database { what: "open", path: path.to_owned(), source };
    let connection = Connection::open(path).map_err(wrong)?;
    // Deleted addresses are to be gone, not only out of sight.
    let settings = "
        PRAGMA auto_vacuum = INCREMENTAL;
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = NORMAL;
        PRAGMA secure_delete = ON;
        PRAGMA journal_size_limit = 4194304;
    ";
    connection.execute_batch(settings).map_err(wrong)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(wrong)?;
    match version {
        0 => {
            let make = format!("BEGIN;{TABLES}PRAGMA user_version = {VERSION};COMMIT;");
            connection.execute_batch(&make).map_err(wrong)?;
        }
        VERSION => {}
        _ => return Err(Error::Newer { path: path.to_owned() }),
    }
    Ok(connection)
}

/// Opens the file for reading, beside a writer or without one.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Error> {
    let wrong = |source| Error::Database { what: "read", path: path.to_owned(), source };
    if !path.exists() {
        return Err(Error::None { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(wrong)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(wrong)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(wrong)?;
    match version {
        // Made, and nothing in it yet.
        0 => Err(Error::None { path: path.to_owned() }),
        VERSION => Ok(connection),
        _ => Err(Error::Newer { path: path.to_owned() }),
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}
