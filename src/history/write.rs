//! The thread that writes sums to the file.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::tz::TimeZone;
use rusqlite::{Connection, Transaction, params};

use super::accumulate::{Accumulator, Client, OTHERS, Tallies, Tally};
use super::batch::{Batch, Marks};
use super::calendar::midnight;
use super::keep::{CLIENTS_A_DAY, PACKAGES_A_DAY, Pruner};
use super::{Config, Fetched};
use crate::clock::Clock;
use crate::outcome::Outcome;

/// The lengths of buckets, in seconds.
pub(super) const MINUTE: i64 = 60;
pub(super) const HOUR: i64 = 3600;
pub(super) const DAY: i64 = 86_400;

/// What the thread is told.
pub(super) enum Command {
    /// Write now, and say when that is done.
    Flush(SyncSender<()>),
    /// Write and end.
    Close,
}

/// The thread's state.
pub(super) struct Writer {
    connection: Connection,
    accumulator: Arc<Accumulator>,
    config: Arc<ArcSwap<Config>>,
    clock: Clock,
    fetched: Fetched,
    marks: Marks,
    batch: Batch,
    pruner: Pruner,
    failing: bool,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        accumulator: Arc<Accumulator>,
        config: Arc<ArcSwap<Config>>,
        clock: Clock,
        fetched: Fetched,
    ) -> Self {
        let (marks, batch, pruner) = (Marks::default(), Batch::default(), Pruner::default());
        Self { connection, accumulator, config, clock, fetched, marks, batch, pruner, failing: false }
    }

    pub(super) fn run(mut self, commands: &Receiver<Command>, pause: Duration) {
        loop {
            let command = commands.recv_timeout(pause);
            self.write();
            match command {
                Ok(Command::Flush(done)) => {
                    // Whoever asked may have gone.
                    let _ = done.send(());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Writes what has come; keeps it for the next time when that fails.
    pub(super) fn write(&mut self) {
        for shard in self.accumulator.take() {
            self.batch.absorb(shard);
        }
        let (config, now) = (self.config.load_full(), self.clock.unix());
        let counted = (self.fetched)();
        let grown = self.marks.since(&counted);
        let written = if self.batch.is_empty() && grown.is_empty() {
            Ok(())
        } else {
            put(&mut self.connection, &self.batch, &grown, &config, now)
        };
        let written = written.and_then(|()| self.pruner.prune(&mut self.connection, &config, now));
        match written {
            Ok(()) => {
                self.batch = Batch::default();
                self.marks.set(counted);
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the history is written again");
                }
            }
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::warn!(%error, "the history cannot be written; sums are collected meanwhile");
            }
            Err(_) => {}
        }
    }
}

/// The bucket of a length that a time lies in. Days begin at midnight where people are.
pub(super) fn bucket(span: i64, now: i64, zone: &TimeZone) -> i64 {
    if span < DAY {
        return now - now.rem_euclid(span);
    }
    midnight(now, 0, zone).unwrap_or(now - now.rem_euclid(DAY))
}

/// Writes sums in one transaction.
pub(super) fn put(
    connection: &mut Connection,
    batch: &Batch,
    fetched: &[(Arc<str>, [u64; 3])],
    config: &Config,
    now: i64,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut put = Put { transaction: &transaction, names: HashMap::new(), now, config };
        put.offices(batch)?;
        put.fetched(fetched)?;
        put.clients(batch)?;
        put.packages(batch)?;
    }
    transaction.commit()
}

struct Put<'a> {
    transaction: &'a Transaction<'a>,
    names: HashMap<String, i64>,
    now: i64,
    config: &'a Config,
}

impl Put<'_> {
    fn start(&self, span: i64) -> i64 {
        bucket(span, self.now, &self.config.zone)
    }

    /// The number of a name.
    fn name(&mut self, name: &str) -> rusqlite::Result<i64> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        let mut add = self.transaction.prepare_cached("INSERT OR IGNORE INTO name (name) VALUES (?1)")?;
        add.execute([name])?;
        let mut find = self.transaction.prepare_cached("SELECT id FROM name WHERE name = ?1")?;
        let id = find.query_row([name], |row| row.get(0))?;
        self.names.insert(name.to_owned(), id);
        Ok(id)
    }

    fn offices(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        let mut sums: HashMap<(Option<&str>, Option<Arc<str>>), Tallies> = HashMap::new();
        for (address, client) in &batch.clients {
            let office = self.config.office(*address);
            for (repo, tallies) in &client.repos {
                let sum = sums.entry((office, repo.clone())).or_default();
                for (sum, tally) in sum.iter_mut().zip(tallies) {
                    sum.add(*tally);
                }
            }
        }
        for ((office, repo), tallies) in sums {
            let office = self.name(office.unwrap_or_default())?;
            let repo = self.name(repo.as_deref().unwrap_or_default())?;
            for (outcome, tally) in tallies.into_iter().enumerate().filter(|(_, tally)| tally.requests > 0) {
                self.add(office, repo, outcome, tally)?;
            }
        }
        Ok(())
    }

    fn add(&self, office: i64, repo: i64, outcome: usize, tally: Tally) -> rusqlite::Result<()> {
        let mut total = self.transaction.prepare_cached(
            "INSERT INTO total VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
             store = store + excluded.store, upstream = upstream + excluded.upstream",
        )?;
        let outcome = outcome.cast_signed();
        let [requests, store, upstream] = signed(tally);
        for span in [MINUTE, HOUR, DAY] {
            total.execute(params![span, self.start(span), repo, outcome, requests, store, upstream])?;
        }
        let mut by_office = self.transaction.prepare_cached(
            "INSERT INTO office VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT DO UPDATE SET requests = requests + excluded.requests,
             store = store + excluded.store, upstream = upstream + excluded.upstream",
        )?;
        for span in [HOUR, DAY] {
            let start = self.start(span);
            by_office.execute(params![span, start, office, repo, outcome, requests, store, upstream])?;
        }
        Ok(())
    }

    fn fetched(&mut self, fetched: &[(Arc<str>, [u64; 3])]) -> rusqlite::Result<()> {
        for (repo, classes) in fetched {
            let repo = self.name(repo)?;
            let mut add = self.transaction.prepare_cached(
                "INSERT INTO fetched VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
            )?;
            for (class, bytes) in classes.iter().enumerate().filter(|(_, bytes)| **bytes > 0) {
                for span in [MINUTE, HOUR, DAY] {
                    let (start, bytes) = (self.start(span), bytes.cast_signed());
                    add.execute(params![span, start, repo, class.cast_signed(), bytes])?;
                }
            }
        }
        Ok(())
    }

    fn clients(&mut self, batch: &Batch) -> rusqlite::Result<()> {
        if self.config.clients.is_zero() {
            return Ok(());
        }
        let day = self.start(DAY);
        let count = "SELECT count(*) FROM client WHERE day = ?1";
        let known: i64 = self.transaction.prepare_cached(count)?.query_row([day], |row| row.get(0))?;
        let mut room = CLIENTS_A_DAY - known;
        for (address, client) in &batch.clients {
            if *address == OTHERS {
                continue;
            }
            let text = address.to_string();
            let (sum, hits, misses, errors) = summed(client);
            let [requests, store, upstream] = signed(sum);
            let updated = client.updated.then_some(self.now);
            let mut more = self.transaction.prepare_cached(
                "UPDATE client SET requests = requests + ?3, hits = hits + ?4, misses = misses + ?5,
                 errors = errors + ?6, store = store + ?7, upstream = upstream + ?8, seen = ?9,
                 updated = coalesce(?10, updated) WHERE day = ?1 AND client = ?2",
            )?;
            let values =
                params![day, text, requests, hits, misses, errors, store, upstream, self.now, updated];
            if more.execute(values)? == 0 && room > 0 {
                room -= 1;
                let office = self.name(self.config.office(*address).unwrap_or_default())?;
                let mut new = self.transaction.prepare_cached(
                    "INSERT INTO client VALUES (?1, ?2, ?11, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?;
                new.execute(params![
                    day, text, requests, hits, misses, errors, store, upstream, self.now, updated, office
                ])?;
            }
        }
        Ok(())
    }

    fn packages(&self, batch: &Batch) -> rusqlite::Result<()> {
        let day = self.start(DAY);
        let count = "SELECT count(*) FROM package WHERE day = ?1";
        let known: i64 = self.transaction.prepare_cached(count)?.query_row([day], |row| row.get(0))?;
        let mut room = PACKAGES_A_DAY - known;
        for (name, tally) in &batch.packages {
            let [requests, store, upstream] = signed(*tally);
            let mut more = self.transaction.prepare_cached(
                "UPDATE package SET requests = requests + ?3, store = store + ?4, upstream = upstream + ?5
                 WHERE day = ?1 AND package = ?2",
            )?;
            if more.execute(params![day, name, requests, store, upstream])? == 0 && room > 0 {
                room -= 1;
                let new = "INSERT INTO package VALUES (?1, ?2, ?3, ?4, ?5)";
                self.transaction
                    .prepare_cached(new)?
                    .execute(params![day, name, requests, store, upstream])?;
            }
        }
        Ok(())
    }
}

/// All that a client asked; what of it began no transfer, what did, and what failed.
fn summed(client: &Client) -> (Tally, i64, i64, i64) {
    let (mut sum, [mut hits, mut misses, mut errors]) = (Tally::default(), [0; 3]);
    for (_, tallies) in &client.repos {
        for (outcome, tally) in Outcome::ALL.iter().zip(tallies) {
            sum.add(*tally);
            let requests = tally.requests.cast_signed();
            match outcome {
                Outcome::Hit | Outcome::Joined | Outcome::Revalidated | Outcome::Stale => hits += requests,
                Outcome::Miss => misses += requests,
                Outcome::Error => errors += requests,
                Outcome::Passed => {}
            }
        }
    }
    (sum, hits, misses, errors)
}

fn signed(tally: Tally) -> [i64; 3] {
    [tally.requests, tally.store, tally.upstream].map(u64::cast_signed)
}
