//! Reading the history, beside the server or without one.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use rusqlite::Connection;

use super::{Error, schema};

/// The history's name in the store's folder.
pub const FILE: &str = "history.sqlite";

/// An open history, for reading.
#[derive(Debug)]
pub struct Reader {
    pub(super) connection: Connection,
    pub(super) zone: TimeZone,
    pub(super) now: i64,
    path: PathBuf,
}

impl Reader {
    /// Opens the file. `zone` says where days begin, `now` is the present in seconds since 1970. Blocking.
    ///
    /// # Errors
    /// [`Error::None`] when there is none, [`Error::Newer`], or what the database said.
    pub fn open(path: &Path, zone: TimeZone, now: i64) -> Result<Self, Error> {
        Ok(Self { connection: schema::open_reader(path)?, zone, now, path: path.to_owned() })
    }

    pub(super) fn wrong(&self, source: rusqlite::Error) -> Error {
        Error::Database { what: "read", path: self.path.clone(), source }
    }
}
