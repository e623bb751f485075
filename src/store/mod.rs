//! Everything that is kept: objects by their SHA-256, and a catalog that says where they are published.
//!
//! ```text
//! <store>/
//!   lock               held while a process has the store open; its process number, for people
//!   format             the version of this layout
//!   admin-token        what the command line shows to the running server (mode 0600)
//!   catalog.sqlite     path → object, validators, times; objects by last use; unfinished transfers
//!   objects/ab/cdef…   the bytes, read-only, named by their SHA-256 (2 + 62 digits)
//!   partial/….part     unfinished objects
//!   tables/…           what indices list, in a form that loads quickly; made again when missing
//!   damaged/…          objects that were not what they should be, the last few
//! ```
//!
//! **A life.** [`Store::begin`] makes a file in `partial/`; one writer appends to the [`Staged`] while any
//! number of followers read behind it. [`Store::publish`] hands it to the writer thread, which flushes
//! the bytes, names the file by its digest, flushes the folder, commits the rows, and answers. Later
//! [`Store::entry`] finds it, [`Store::object`] opens it, [`Store::touch`] notes that it was asked for, and
//! one day it is the least recently asked and has to go.
//!
//! **What a crash leaves.** Files without a row, never a row without durable bytes: rows come last and go
//! first. Such files are replaced when their object is published again, or collected by
//! [`Store::sweep`]. Unfinished transfers that were described are resumed after the process died, and
//! thrown away after the machine did, since nobody knows which of their bytes had reached the disk.
//! A file that does not match its row is set aside, and its rows go: a miss, never an error page.
//!
//! **Threads.** One writer thread owns the only connection that writes and does all naming and
//! unlinking of objects. Lookups borrow one of a few reading connections. What is marked as blocking
//! must not be called on a runtime's worker. Opening scans nothing; memory does not grow with the
//! number of objects.
//!
//! **Generations.** What a suite's states need is held: [`Store::adopt`] makes a generation current and
//! holds its objects, and eviction passes them over until [`Store::drop_generations`]. Channels are
//! rows that point at generations ([`Store::pin`]); what those list is kept, too ([`Keeper`]). A seed holds
//! what its plans list ([`Store::begin_seed_plan`]), and has its journal here.
//!
//! **Locks.** The pool of readers, the touches, the noted indices, the unfinished transfers, the hooks and the keeper have one mutex
//! each. None is held while another is taken, during I/O, or while a hook runs, so there is no order
//! to keep.

mod absent;
mod blob;
mod catalog;
mod change;
mod check;
mod config;
mod demand;
mod disk;
mod entry;
mod error;
mod evict;
mod generation;
mod hold;
mod holdings;
mod keep;
mod layout;
mod lock;
mod partials;
mod pin;
mod publish;
mod put;
mod readers;
mod retire;
mod schema;
mod seeded;
mod seeds;
mod shared;
mod staged;
mod sweep;
mod tables;
mod touches;
mod transaction;
mod usage;
mod verified;
mod working_set;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use absent::{Absent, AbsentKind};
pub use blob::Examined;
pub use check::Check;
pub use config::Config;
pub use demand::{Asked, Demanded, UseSet, Uses, day};
pub use entry::{Blob, BlobReader, EntryKey, EntryMeta, PartialMeta};
pub use error::Error;
pub use generation::{Generation, NewGeneration};
pub use keep::{Candidate, Keeper};
pub use layout::random;
pub use pin::Pin;
pub use seeded::Seeded;
pub use staged::Staged;
pub use sweep::Swept;
pub use usage::Usage;

use crate::clock::Clock;
use crate::digest::Digest;
use disk::Disk;
use layout::Layout;
use shared::{Handle, Shared};
use writer::{Command, Publication, Verdict, Write, Writer};

/// Most writes that wait for the writer thread; more wait before they enter its queue.
const QUEUE: usize = 1024;

/// Larger files are flushed before they enter the writer's queue, so that small ones need not wait
/// for them. Bytes.
const FLUSH_ALONE: u64 = 1024 * 1024;

/// An open store; clones are the same one. When the last clone goes, it closes as [`Store::close`]
/// does.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    handle: Handle,
    queue: Arc<Semaphore>,
    token: String,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store, making it first if there is none. Blocking; takes milliseconds whatever the
    /// number of objects.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process has it open, [`Error::Newer`] when a newer release wrote
    /// it, or whatever the disk says.
    pub fn open(config: &Config, clock: Clock) -> Result<Self, Error> {
        Self::open_on(config, clock, Box::new(disk::Real), layout::boot_id())
    }

    fn open_on(
        config: &Config,
        clock: Clock,
        disk: Box<dyn Disk>,
        boot: Option<String>,
    ) -> Result<Self, Error> {
        let layout = Layout::new(&config.path)?;
        let lock = lock::acquire(&layout.root, &layout.lock)?;
        layout.prepare()?;
        let token = layout.admin_token()?;
        let connection = schema::open_writer(&layout.catalog)?;
        let shared = Arc::new(Shared::new(layout, lock, config, clock, disk, boot)?);
        let wrong = |error| Error::catalog("read", &shared.layout.catalog, error);
        let totals = catalog::totals(&connection).map_err(wrong)?;
        shared.counts.start_from(totals);
        let partials = catalog::partials(&connection).map_err(wrong)?;
        let (commands, receiver) = mpsc::channel();
        let handle = Handle { shared: Arc::clone(&shared), commands };
        let writer = Writer::new(shared, connection, receiver);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| Error::io("start the writer thread of", &config.path, error))?;
        staged::restore(&handle, partials);
        Ok(Self {
            inner: Arc::new(Inner {
                handle,
                queue: Arc::new(Semaphore::new(QUEUE)),
                token,
                thread: Mutex::new(Some(thread)),
            }),
        })
    }

    /// The secret by which the administrator's commands are known. Never log it.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.inner.token
    }

    /// How long an object may be served before it is hashed again.
    #[must_use]
    pub fn recheck(&self) -> Duration {
        self.shared().limits().recheck
    }

    /// Keeps to other limits from now on. What is over them goes soon. The path is not changed.
    pub fn keep_to(&self, config: &Config) {
        self.shared().keep_to(config);
        self.inner.handle.tell(Command::Tidy);
    }

    /// Finishes what was asked for, notes the last touches, ends the writer thread and gives the lock
    /// back. Blocking. Everything that writes fails with [`Error::Closed`] afterwards; open objects
    /// stay readable. Closing twice is harmless.
    pub fn close(&self) {
        self.inner.close();
    }

    /// What is published under a key. Blocking: one indexed read.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn entry(&self, key: &EntryKey) -> Result<Option<EntryMeta>, Error> {
        self.shared().readers.read("look up a path", |connection| catalog::entry(connection, key))
    }

    /// Opens an object. Blocking. An object whose file is missing or has a wrong length is set aside,
    /// its keys are forgotten, and it counts as not there.
    ///
    /// # Errors
    /// When the catalog cannot be read, or the file may be there but cannot be opened.
    pub fn object(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        match self.examine(digest)? {
            Examined::Open(blob) => Ok(Some(blob)),
            Examined::Gone | Examined::Damaged(_) => Ok(None),
        }
    }

    /// As [`Store::object`], telling objects that went from those that were damaged. Blocking.
    ///
    /// # Errors
    /// As [`Store::object`].
    pub fn examine(&self, digest: &Digest) -> Result<Examined, Error> {
        blob::open(&self.inner.handle, digest)
    }

    /// Up to `limit` objects with their sizes in bytes, in the order of their digests, after the one given.
    /// Blocking: one indexed read. Objects that come and go between two calls may be seen or not.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn objects_after(&self, after: Option<Digest>, limit: usize) -> Result<Vec<(Digest, u64)>, Error> {
        self.shared()
            .readers
            .read("list objects", |connection| catalog::objects_after(connection, after.as_ref(), limit))
    }

    /// Sets an object aside whose bytes turned out not to hash to its name, and forgets its keys, which are
    /// returned; `None` when it was not there any more. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub fn set_aside(&self, digest: &Digest) -> Result<Option<Vec<EntryKey>>, Error> {
        let digest = *digest;
        self.inner.handle.ask(|reply| Command::Inspect { digest, verdict: Verdict::Corrupt, reply })
    }

    /// Starts an object for `key`. Blocking.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn begin(&self, key: &EntryKey) -> Result<Staged, Error> {
        Staged::begin(&self.inner.handle, key)
    }

    /// Takes up the youngest unfinished transfer of `key`: hashes again what is there, so that the
    /// writer can go on behind it. `None` when there is nothing, or nothing that can be trusted.
    /// Blocking, as long as it takes to read the file; cheap when there is none.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn resume(&self, key: &EntryKey) -> Result<Option<(Staged, PartialMeta)>, Error> {
        Staged::resume(&self.inner.handle, key)
    }

    /// Makes a finished object and its entry durable. When this returns they survive a power cut.
    /// Dropping the future does not undo what the writer thread has got already.
    ///
    /// # Errors
    /// [`Error::WrongDigest`] or [`Error::WrongSize`] when `meta` and the written bytes disagree,
    /// [`Error::TooLarge`] when the object alone exceeds the store, or whatever the disk says. The
    /// bytes are gone then, described or not.
    pub async fn publish(&self, staged: Staged, key: EntryKey, meta: EntryMeta) -> Result<Blob, Error> {
        let (digest, size) = (meta.digest, meta.size);
        self.publish_as(staged, digest, size, Some((key, meta))).await
    }

    /// Makes a finished object durable, with or without an entry.
    async fn publish_as(
        &self,
        mut staged: Staged,
        digest: Digest,
        size: u64,
        entry: Option<(EntryKey, EntryMeta)>,
    ) -> Result<Blob, Error> {
        staged.publish_or_discard();
        if let Err(error) = self.check(&staged, digest, size) {
            // Unlinking may take a moment.
            drop_aside(staged).await;
            return Err(error);
        }
        let flushed = staged.written() > FLUSH_ALONE;
        if flushed {
            staged = blocking(move || staged.flush().map(|()| staged)).await?;
        }
        let permit = self.permit().await?;
        // Hashed while it came. Noted before anybody can find it, so that nobody hashes it once more.
        self.note_verified(&digest);
        self.inner
            .handle
            .ask_async(|reply| {
                let publication = Publication { staged, digest, size, entry, flushed, reply, permit };
                Command::Write(Write::Publish(Box::new(publication)))
            })
            .await
    }

    fn check(&self, staged: &Staged, digest: Digest, size: u64) -> Result<(), Error> {
        let (expected, found) = (size, staged.written());
        if expected != found {
            return Err(Error::WrongSize { expected, found });
        }
        let (expected, found) = (digest, staged.digest());
        if expected != found {
            return Err(Error::WrongDigest { expected, found });
        }
        match self.shared().limits().max_size {
            Some(limit) if size > limit => Err(Error::TooLarge { size, limit }),
            _ => Ok(()),
        }
    }

    /// Replaces what is published under a key: new validators or times, or another key for an object
    /// that is here already. Durable when it returns.
    ///
    /// # Errors
    /// [`Error::NoObject`] when the object is not here, [`Error::WrongSize`] when it is of another length.
    pub async fn put_entry(&self, key: EntryKey, meta: EntryMeta) -> Result<(), Error> {
        let permit = self.permit().await?;
        let meta = Box::new(meta);
        self.inner
            .handle
            .ask_async(|reply| Command::Write(Write::PutEntry { key, meta, reply, permit }))
            .await
    }

    /// Forgets a key, durably. The object stays until it is evicted. No error when there was none.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn remove_entry(&self, key: EntryKey) -> Result<(), Error> {
        let permit = self.permit().await?;
        self.inner.handle.ask_async(|reply| Command::Write(Write::RemoveEntry { key, reply, permit })).await
    }

    /// Notes that an object was asked for just now. No I/O; written within a minute, and on close.
    pub fn touch(&self, digest: &Digest) {
        let now = self.shared().clock.unix();
        let crowded = self.shared().touches().note(digest, now);
        if crowded {
            self.inner.handle.tell(Command::Flush);
        }
    }

    /// How full the store is. No I/O but one question to the file system.
    #[must_use]
    pub fn usage(&self) -> Usage {
        usage::usage(self.shared())
    }

    /// Evicts the least recently asked objects until `bytes` more fit beside the limits. False, and as
    /// little as possible evicted, when that cannot be reached; objects asked for within the last
    /// seconds are not touched. Dropping the future does not stop an eviction that has begun.
    ///
    /// # Errors
    /// When the catalog cannot be written or the file system says nothing of its free space.
    pub async fn make_room(&self, bytes: u64) -> Result<bool, Error> {
        if self.shared().limits().max_size.is_some_and(|limit| bytes > limit) {
            return Ok(false);
        }
        if self.shared().shortage(bytes)?.bytes() == 0 {
            return Ok(true);
        }
        self.inner.handle.ask_async(|reply| Command::MakeRoom { bytes, reply }).await
    }

    /// Has `hook` told whenever objects went (evicted or damaged), with the keys that they were
    /// published under. It runs on the writer thread: it must be quick, must not panic and must not wait for the store.
    #[expect(clippy::type_complexity, reason = "a name for it would have to be looked up")]
    pub fn on_evict(&self, hook: Box<dyn Fn(&[EntryKey]) + Send + Sync>) {
        self.shared().add_hook(Arc::from(hook));
    }

    /// Removes what crashes left: files in `objects/` that no row has known for an hour, and unfinished
    /// transfers that nobody resumed for a week. Removes the tables of indices that nothing holds. Blocking and deliberately slow.
    ///
    /// # Errors
    /// When a folder or the catalog cannot be read; [`Error::Closed`] when the store was closed meanwhile.
    pub fn sweep(&self) -> Result<Swept, Error> {
        sweep::sweep(&self.inner.handle)
    }

    fn shared(&self) -> &Shared {
        &self.inner.handle.shared
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.inner.queue).acquire_owned().await.map_err(|_| Error::Closed)
    }
}

impl Inner {
    fn close(&self) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        // Whoever waits for a place in the queue is turned away; what is in the queue is finished.
        self.queue.close();
        // Any failure was logged by the thread, and the store is closed all the same.
        let _ = self.handle.ask(|reply| Command::Close { reply });
        if thread.join().is_err() {
            tracing::error!("the store's writer thread has panicked; restart the server");
        }
        // A hook may hold a clone of this store.
        self.handle.shared.drop_hooks();
        self.handle.shared.unlock();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.shared().layout.root).finish_non_exhaustive()
    }
}

/// Runs what blocks on a thread for it.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is going down.
        Err(_) => Err(Error::Closed),
    }
}

async fn drop_aside(staged: Staged) {
    // The only failure is that the runtime goes down, and then the value was dropped too.
    let _ = blocking(move || {
        drop(staged);
        Ok(())
    })
    .await;
}
