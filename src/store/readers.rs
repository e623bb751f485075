//! A few connections that read the catalog, opened when they are first needed.

use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

use rusqlite::Connection;

use super::{Error, schema};

/// Most connections open at once. A lookup takes microseconds, so more would only cost memory.
const MOST: usize = 4;

/// Lends connections.
pub(super) struct Readers {
    path: PathBuf,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    open: usize,
}

impl Readers {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, state: Mutex::default(), returned: Condvar::new() }
    }

    /// Runs one short read. Waits while all connections are lent.
    pub(super) fn read<T>(
        &self,
        doing: &'static str,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, Error> {
        let (connection, place) = self.lend()?;
        match query(&connection) {
            Ok(value) => {
                self.state.lock().unwrap_or_else(PoisonError::into_inner).idle.push(connection);
                self.returned.notify_one();
                std::mem::forget(place);
                Ok(value)
            }
            // A failed connection is closed rather than lent again.
            Err(error) => Err(Error::catalog(doing, &self.path, error)),
        }
    }

    fn lend(&self) -> Result<(Connection, Place<'_>), Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok((connection, Place(self)));
            }
            if state.open < MOST {
                break;
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.open += 1;
        drop(state);
        let place = Place(self);
        Ok((schema::open_reader(&self.path)?, place))
    }
}

/// One of the [`MOST`] places; dropping it (an error, a panic) makes room for a fresh connection.
struct Place<'a>(&'a Readers);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).open -= 1;
        self.0.returned.notify_one();
    }
}
