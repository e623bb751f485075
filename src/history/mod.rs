//! What was asked for, by whom, and what it cost the line: sums over time that survive restarts.
//!
//! ```text
//! a request ends → accumulator (memory) → every 10 s: writer thread → history.sqlite → reports, charts
//! ```
//!
//! **What it costs a request.** One lock that requests of the same few clients share, and two look-ups in
//! tables in memory: some 900 instructions, a tenth of a microsecond. Nothing is written, allocated for known names,
//! or waited for; the file is written by a thread of its own, and read by whoever asks for a report.
//!
//! **What is kept.** Sums of requests and bytes in buckets: minutes for two days, hours for 35 days, days for
//! five years, by repository and outcome; hours and days by office as well. For each day the clients, as long
//! as the configuration says, and the thousand packages that were asked for most. Offices are known when the
//! sums are written, so that what remains of a client that is forgotten is its office. A bucket may hold what
//! ended up to ten seconds before it.
//!
//! **How large it gets.** Each table has a largest number of rows (see `keep`), beyond which the oldest go
//! early: together less than 200 MB whatever comes. A month of 500 desktops in 40 offices takes less than 60 MB.
//!
//! **What a crash loses.** The last ten seconds. The file is written without waiting for the disk; after a
//! power cut it may lack the last minutes, and is whole. A file that is damaged is set aside, and a new one begins.

mod accumulate;
mod batch;
mod calendar;
mod csv;
mod keep;
mod packages;
mod reader;
mod report;
mod schema;
mod series;
#[cfg(test)]
mod tests;
mod write;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::tz::TimeZone;

pub use calendar::local;
pub use csv::csv;
pub use reader::{FILE, Reader};
pub use report::{By, Query, Row, UnknownBy, since};
pub use series::{Point, Window};

use crate::clock::Clock;
use crate::networks::Networks;
use crate::outcome::{Outcome, Source};
use accumulate::Accumulator;
use write::{Command, Writer};

/// How long sums stay in memory.
const PAUSE: Duration = Duration::from_secs(10);

/// What is kept of whom, as plain values.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long the addresses of clients are kept; zero: they are never written. Default 60 days: as
    /// long as what they asked for counts as wanted.
    pub clients: Duration,
    /// The names of the offices.
    pub offices: Networks<Arc<str>>,
    /// Where days begin.
    pub zone: TimeZone,
}

impl Default for Config {
    fn default() -> Self {
        Self { clients: Duration::from_hours(60 * 24), offices: Networks::default(), zone: TimeZone::UTC }
    }
}

impl Config {
    /// The office of a client.
    fn office(&self, client: IpAddr) -> Option<&str> {
        self.offices.around(client).map(|name| &**name)
    }
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be used.
    #[error("cannot {what} the history {}: {source}", path.display())]
    Database {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// A newer release wrote it.
    #[error(
        "the history {} was written by a newer release; install that, or move the file away to begin a new one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// There is no file.
    #[error("there is no history in {} yet: the server writes it when it serves", path.display())]
    None {
        /// Where it would be.
        path: PathBuf,
    },
    /// The thread that writes cannot be started, or has ended.
    #[error("the history is closed")]
    Closed,
}

/// Bytes that came from upstreams since the start, for each repository: for clients, suites, seeds.
pub type Fetched = Box<dyn Fn() -> Vec<(Arc<str>, [u64; 3])> + Send>;

/// Collects and keeps what happened; clones are the same one.
#[derive(Clone)]
pub struct History(Arc<Inner>);

struct Inner {
    accumulator: Arc<Accumulator>,
    config: Arc<ArcSwap<Config>>,
    clock: Clock,
    path: PathBuf,
    commands: mpsc::Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// One request that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended<'a> {
    /// Who asked.
    pub client: IpAddr,
    /// The repository's name; none for pages and refusals.
    pub repo: Option<&'a Arc<str>>,
    /// The path that was asked for, as it was written.
    pub path: &'a str,
    /// What became of it.
    pub outcome: Outcome,
    /// The bytes of the body, and where they came from, if they count.
    pub served: Option<(Source, u64)>,
}

impl History {
    /// Opens the history in the store's folder, making it first if there is none. Blocking.
    ///
    /// # Errors
    /// [`Error::Newer`], or what the database or the system said.
    pub fn open(folder: &Path, config: Config, clock: Clock, fetched: Fetched) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let connection = schema::open_writer(&path)?;
        let accumulator = Arc::new(Accumulator::default());
        let config = Arc::new(ArcSwap::from_pointee(config));
        let (commands, receiver) = mpsc::channel();
        let writer =
            Writer::new(connection, Arc::clone(&accumulator), Arc::clone(&config), clock.clone(), fetched);
        let run = move || writer.run(&receiver, PAUSE);
        let thread = std::thread::Builder::new().name("history".to_owned()).spawn(run);
        let thread = Mutex::new(Some(thread.map_err(|_| Error::Closed)?));
        Ok(Self(Arc::new(Inner { accumulator, config, clock, path, commands, thread })))
    }

    /// Adds a request. Never waits for a disk.
    pub fn note(&self, ended: Ended<'_>) {
        self.0.accumulator.note(ended);
    }

    /// Goes on with another configuration, from the next writing on.
    pub fn configure(&self, config: Config) {
        self.0.config.store(Arc::new(config));
    }

    /// Where days begin.
    #[must_use]
    pub fn zone(&self) -> TimeZone {
        self.0.config.load().zone.clone()
    }

    /// Writes what is in memory, and returns when that is done. Blocking.
    ///
    /// # Errors
    /// [`Error::Closed`]. That something could not be written is in the log, and tried again.
    pub fn flush(&self) -> Result<(), Error> {
        let (done, wait) = mpsc::sync_channel(1);
        self.0.commands.send(Command::Flush(done)).map_err(|_| Error::Closed)?;
        wait.recv().map_err(|_| Error::Closed)
    }

    /// What has been written up to now, for reading. Blocking.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn reader(&self) -> Result<Reader, Error> {
        Reader::open(&self.0.path, self.0.config.load().zone.clone(), self.0.clock.unix())
    }

    /// Writes what is in memory and ends the thread. Blocking.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Inner {
    fn close(&self) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // The thread may have ended already.
        let _ = self.commands.send(Command::Close);
        if thread.join().is_err() {
            tracing::error!("the history's thread has panicked; nothing more is noted until a restart");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("path", &self.0.path).finish_non_exhaustive()
    }
}
