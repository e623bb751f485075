//! The one thread that names objects and writes the catalog.
//!
//! It takes whatever waits (at most [`BATCH`] commands), makes all their files durable together
//! ([`super::publish`]), commits all their rows in one transaction, and only then answers. So the price
//! of a flush is shared by everyone who came while the last one ran. Being the only one to rename,
//! unlink or enter objects, it needs no locks for that: publishing, evicting and setting aside the
//! same object are simply one after the other. Evictions are done in pieces between batches, so that
//! a large one does not hold up publishing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::OwnedSemaphorePermit;

use super::catalog::{self, Totals};
use super::change::Change;
use super::evict::Evictions;
use super::layout::unlink;
use super::publish::{self, Named};
use super::shared::{Reply, Shared};
use super::transaction::commit;
use super::{Blob, EntryKey, EntryMeta, Error, PartialMeta, Seeded, Staged, blob, seeded, working_set};
use crate::digest::Digest;

/// Most commands in one transaction.
const BATCH: usize = 256;

/// How long a touch may stay in memory.
const FLUSH_EVERY: Duration = Duration::from_mins(1);

/// What the thread is asked to do.
pub(super) enum Command {
    /// Something that becomes rows.
    Write(Write),
    /// Something with a transaction of its own.
    Change(Change),
    /// Look at an object that may be damaged, and set it aside if it is; the keys that it had then.
    Inspect { digest: Digest, verdict: Verdict, reply: Reply<Forgotten> },
    /// Remove files in `objects/` that the catalog does not know; how many were removed.
    Collect { digests: Vec<Digest>, reply: Reply<usize> },
    /// Evict until so many more bytes fit.
    MakeRoom { bytes: u64, reply: Reply<bool> },
    /// The disk is full: evict so many bytes; whether any went.
    Relieve { bytes: u64, reply: Reply<bool> },
    /// Evict if the store is over its limits.
    Tidy,
    /// Write the collected touches now.
    Flush,
    /// Write what is left, then end.
    Close { reply: Reply<()> },
}

/// What becomes part of the batch's transaction.
pub(super) enum Write {
    Publish(Box<Publication>),
    /// The permit bounds the queue.
    PutEntry {
        key: EntryKey,
        meta: Box<EntryMeta>,
        reply: Reply<()>,
        permit: OwnedSemaphorePermit,
    },
    RemoveEntry {
        key: EntryKey,
        reply: Reply<()>,
        permit: OwnedSemaphorePermit,
    },
    /// Remember an unfinished transfer.
    Describe {
        name: String,
        key: EntryKey,
        boot: String,
        meta: Box<PartialMeta>,
    },
    /// Forget one.
    Forget {
        name: String,
    },
}

/// A finished object on its way into the catalog.
pub(super) struct Publication {
    pub(super) staged: Staged,
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Where it is published, if anywhere yet.
    pub(super) entry: Option<(EntryKey, EntryMeta)>,
    /// Its bytes are durable already.
    pub(super) flushed: bool,
    pub(super) reply: Reply<Blob>,
    /// Bounds the queue.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Why an object is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The file seemed to be missing or of a wrong length.
    Suspect,
    /// Its bytes do not hash to its name.
    Corrupt,
}

/// The thread's state.
pub(super) struct Writer {
    shared: Arc<Shared>,
    connection: Connection,
    commands: Receiver<Command>,
    evictions: Evictions,
    flush_at: Instant,
}

/// The keys of an object that was set aside; `None` when there was nothing to do.
pub(super) type Forgotten = Option<Vec<EntryKey>>;

/// What is done together.
#[derive(Default)]
struct Batch {
    writes: Vec<Write>,
    changes: Vec<Change>,
    inspect: Vec<(Digest, Verdict, Reply<Forgotten>)>,
    collect: Vec<(Vec<Digest>, Reply<usize>)>,
    tidy: bool,
    end: Option<End>,
}

enum End {
    Asked(Reply<()>),
    /// Nobody can ask for anything any more.
    Alone,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, connection: Connection, commands: Receiver<Command>) -> Self {
        let evictions = Evictions::default();
        Self { shared, connection, commands, evictions, flush_at: Instant::now() + FLUSH_EVERY }
    }

    /// Works until the store is closed.
    pub(super) fn run(mut self) {
        let end = loop {
            let mut batch = self.next_batch();
            self.work(&mut batch);
            self.evictions.step(&self.shared, &mut self.connection);
            if batch.end.is_some() || Instant::now() >= self.flush_at {
                self.flush_touches();
            }
            if let Some(end) = batch.end {
                break end;
            }
        };
        let result = self.checkpoint();
        if let Err(error) = &result {
            let error: &dyn std::error::Error = error;
            tracing::warn!(error, "could not fold the catalog's log back at the end; nothing is lost");
        }
        if let End::Asked(reply) = end {
            reply.answer(result);
        }
    }

    /// Waits for something to do, or for the time of the next flush, and takes what else is there.
    fn next_batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        let mut count = 0;
        if self.evictions.is_empty() {
            match self.commands.recv_timeout(self.flush_at.saturating_duration_since(Instant::now())) {
                Ok(command) => self.sort_in(command, &mut batch),
                Err(RecvTimeoutError::Timeout) => return batch,
                Err(RecvTimeoutError::Disconnected) => batch.end = Some(End::Alone),
            }
            count = 1;
        }
        while count < BATCH
            && batch.end.is_none()
            && let Ok(command) = self.commands.try_recv()
        {
            self.sort_in(command, &mut batch);
            count += 1;
        }
        batch
    }

    fn sort_in(&mut self, command: Command, batch: &mut Batch) {
        match command {
            Command::Write(write) => batch.writes.push(write),
            Command::Change(change) => batch.changes.push(change),
            Command::Inspect { digest, verdict, reply } => batch.inspect.push((digest, verdict, reply)),
            Command::Collect { digests, reply } => batch.collect.push((digests, reply)),
            Command::MakeRoom { bytes, reply } => self.evictions.make_room(bytes, reply),
            Command::Relieve { bytes, reply } => self.evictions.relieve(bytes, reply),
            Command::Tidy => batch.tidy = true,
            Command::Flush => self.flush_at = Instant::now(),
            Command::Close { reply } => batch.end = Some(End::Asked(reply)),
        }
    }

    /// Damaged objects go first, so that a publication in the same batch replaces them; garbage goes
    /// last, when every object of the batch has its row.
    fn work(&mut self, batch: &mut Batch) {
        for (digest, verdict, reply) in batch.inspect.drain(..) {
            reply.answer(blob::inspect(&self.shared, &mut self.connection, &digest, verdict));
        }
        let writes = std::mem::take(&mut batch.writes);
        if !writes.is_empty() {
            batch.tidy |= self.write(writes);
        }
        for change in batch.changes.drain(..) {
            change(&self.shared, &mut self.connection);
        }
        for (digests, reply) in batch.collect.drain(..) {
            reply.answer(self.collect(&digests));
        }
        if batch.tidy {
            self.evictions.tidy(&self.shared);
        }
    }

    /// Makes a batch durable and answers everyone; whether objects came.
    fn write(&mut self, writes: Vec<Write>) -> bool {
        let publications: Vec<&Publication> = writes
            .iter()
            .filter_map(
                |write| if let Write::Publish(publication) = write { Some(&**publication) } else { None },
            )
            .collect();
        let mut named = if publications.is_empty() {
            Vec::new()
        } else {
            publish::name_all(&self.shared, &self.connection, &publications)
        };
        let now = self.shared.clock.unix();
        let outcomes = commit(&self.shared, &mut self.connection, |transaction, totals| {
            let mut named = named.iter();
            writes.iter().map(|write| apply(transaction, write, named.by_ref(), now, totals)).collect()
        });
        let outcomes: Vec<Result<(), Error>> = match outcomes {
            Ok(outcomes) => outcomes,
            Err(error) => writes.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut named = named.drain(..);
        let mut came = false;
        for (write, outcome) in writes.into_iter().zip(outcomes) {
            came |= answer(&self.shared, write, outcome, &mut named);
        }
        came
    }

    fn collect(&self, digests: &[Digest]) -> Result<usize, Error> {
        let mut removed = 0;
        for digest in digests {
            let known = catalog::object(&self.connection, digest)
                .map_err(|error| Error::catalog("look up an object", &self.shared.layout.catalog, error))?;
            if known.is_none() {
                unlink(&self.shared.layout.object(digest));
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn flush_touches(&mut self) {
        self.flush_at = Instant::now() + FLUSH_EVERY;
        let due = self.shared.touches().due(false);
        let result = commit(&self.shared, &mut self.connection, |transaction, _| {
            due.iter().try_for_each(|(digest, used)| catalog::touch(transaction, digest, *used))
        });
        match result {
            Ok(()) => self.shared.touches().written(&due),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "could not note which objects were asked for; trying again in a minute"
                );
            }
        }
        if let Err(error) = working_set::flush(&self.shared, &mut self.connection) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "could not note which indices were asked for; trying again in a minute");
        }
        if let Err(error) = seeded::flush(&self.shared, &mut self.connection) {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "could not note what seeds were good for; trying again in a minute");
        }
    }

    /// Folds the write-ahead log back into the database, so that the next start has nothing to read.
    fn checkpoint(&self) -> Result<(), Error> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .map_err(|error| Error::catalog("fold back the log", &self.shared.layout.catalog, error))
    }
}

/// Turns one command into rows. The inner result is the command's own, the outer one ends the batch.
fn apply<'a>(
    transaction: &Connection,
    write: &Write,
    mut named: impl Iterator<Item = &'a Result<Named, Error>>,
    now: i64,
    totals: &mut Totals,
) -> rusqlite::Result<Result<(), Error>> {
    match write {
        Write::Publish(publication) => {
            if let Some(Err(error)) = named.next() {
                return Ok(Err(error.clone()));
            }
            let Publication { staged, digest, size, entry, .. } = &**publication;
            catalog::put_object(transaction, digest, *size, now, totals)?;
            if let Some((key, meta)) = entry {
                catalog::put_entry(transaction, key, meta)?;
            }
            if let Some(name) = staged.row() {
                catalog::remove_partial(transaction, name)?;
            }
        }
        Write::PutEntry { key, meta, .. } => match catalog::object(transaction, &meta.digest)? {
            None => return Ok(Err(Error::NoObject(meta.digest))),
            Some(expected) if expected != meta.size => {
                return Ok(Err(Error::WrongSize { expected, found: meta.size }));
            }
            Some(_) => catalog::put_entry(transaction, key, meta)?,
        },
        Write::RemoveEntry { key, .. } => catalog::remove_entry(transaction, key)?,
        Write::Describe { name, key, boot, meta } => {
            catalog::put_partial(transaction, name, key, boot, meta)?;
        }
        Write::Forget { name } => catalog::remove_partial(transaction, name)?,
    }
    Ok(Ok(()))
}

/// Tells whoever asked; whether an object came.
fn answer(
    shared: &Shared,
    write: Write,
    outcome: Result<(), Error>,
    named: &mut impl Iterator<Item = Result<Named, Error>>,
) -> bool {
    match write {
        Write::Publish(publication) => {
            let Publication { mut staged, digest, size, reply, permit, .. } = *publication;
            // A publication that could not be named has that error as its outcome already.
            let named = named.next().and_then(Result::ok);
            let result = outcome.map(|()| {
                let file = if let Some(Named::Already(file)) = named {
                    file
                } else {
                    staged.published();
                    staged.file()
                };
                Blob { file, size, digest, seeded: Seeded::No }
            });
            match &result {
                Ok(_) => shared.counts.full.store(false, Ordering::Relaxed),
                Err(error) if error.is_full() => shared.counts.full.store(true, Ordering::Relaxed),
                Err(_) => {}
            }
            let came = result.is_ok();
            drop((staged, permit));
            reply.answer(result);
            return came;
        }
        Write::PutEntry { reply, permit, .. } | Write::RemoveEntry { reply, permit, .. } => {
            drop(permit);
            reply.answer(outcome);
        }
        Write::Describe { .. } | Write::Forget { .. } => {
            if let Err(error) = outcome {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "could not note an unfinished transfer; a crash now would lose it");
            }
        }
    }
    false
}
