//! What the callers' side of the store and its writer thread both hold.

use std::fs::File;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use super::catalog::Totals;
use super::disk::Disk;
use super::keep::Keeper;
use super::layout::{Layout, random};
use super::partials::Partials;
use super::readers::Readers;
use super::seeded::Marks;
use super::touches::Touches;
use super::verified::Verified;
use super::working_set::Notes;
use super::writer::Command;
use super::{Config, EntryKey, Error};
use crate::clock::Clock;
use crate::digest::Digest;

/// Told which keys lost their object.
pub(super) type EvictHook = Arc<dyn Fn(&[EntryKey]) + Send + Sync>;

/// Asked before anything is evicted.
pub(super) type SharedKeeper = Arc<dyn Keeper>;

/// The state of an open store.
pub(super) struct Shared {
    pub(super) layout: Layout,
    limits: Mutex<Limits>,
    pub(super) clock: Clock,
    pub(super) disk: Box<dyn Disk>,
    /// The store's folder, to ask its file system things.
    pub(super) root: File,
    pub(super) boot: Option<String>,
    pub(super) readers: Readers,
    pub(super) counts: Counts,
    /// First half of the names of unfinished files: new for each start.
    pub(super) session: String,
    touches: Mutex<Touches>,
    marks: Mutex<Marks>,
    notes: Mutex<Notes>,
    verified: Mutex<Verified>,
    partials: Mutex<Partials>,
    hooks: Mutex<Vec<EvictHook>>,
    keeper: Mutex<Option<SharedKeeper>>,
    /// Held until the store is closed.
    lock: File,
}

/// What `usage` shows; changed by the writer after each commit, and by unfinished transfers.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Bytes of all objects.
    pub(super) bytes: AtomicU64,
    pub(super) objects: AtomicU64,
    /// Bytes evicted since the store was made.
    pub(super) evicted: AtomicU64,
    /// Bytes of the objects that are held.
    pub(super) held: AtomicU64,
    /// Bytes of unfinished files, live and parked.
    pub(super) unfinished: AtomicU64,
    /// Names given to unfinished files.
    pub(super) named: AtomicU64,
    /// The last write or publication found no room.
    pub(super) full: AtomicBool,
}

/// What the store keeps to, which may change while it is open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_size: Option<u64>,
    pub(super) min_free: u64,
    pub(super) recheck: Duration,
}

impl Limits {
    const fn of(config: &Config) -> Self {
        Self { max_size: config.max_size, min_free: config.min_free, recheck: config.recheck }
    }
}

/// How far over its limits the store is, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shortage {
    /// Over `max_size`.
    pub(super) over: u64,
    /// Short of `min_free`.
    pub(super) low: u64,
}

impl Shortage {
    pub(super) fn bytes(self) -> u64 {
        self.over.max(self.low)
    }
}

impl Counts {
    /// What the catalog had at start.
    pub(super) fn start_from(&self, totals: Totals) {
        self.bytes.store(totals.bytes.max(0).cast_unsigned(), Ordering::Relaxed);
        self.objects.store(totals.objects.max(0).cast_unsigned(), Ordering::Relaxed);
        self.evicted.store(totals.evicted.max(0).cast_unsigned(), Ordering::Relaxed);
        self.held.store(totals.held.max(0).cast_unsigned(), Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) fn new(
        layout: Layout,
        lock: File,
        config: &Config,
        clock: Clock,
        disk: Box<dyn Disk>,
        boot: Option<String>,
    ) -> Result<Self, Error> {
        let session = Digest::from_bytes(random()?).to_string()[..16].to_owned();
        let root = File::open(&layout.root).map_err(|error| Error::io("open", &layout.root, error))?;
        Ok(Self {
            readers: Readers::new(layout.catalog.clone()),
            layout,
            limits: Mutex::new(Limits::of(config)),
            clock,
            disk,
            root,
            boot,
            counts: Counts::default(),
            session,
            touches: Mutex::default(),
            marks: Mutex::default(),
            verified: Mutex::default(),
            notes: Mutex::default(),
            partials: Mutex::default(),
            hooks: Mutex::default(),
            keeper: Mutex::default(),
            lock,
        })
    }

    /// Lets the next one open the store. What was open stays readable; unfinished files have names of
    /// their own.
    pub(super) fn unlock(&self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "could not give the store's lock back; it goes with this process");
        }
    }

    pub(super) fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep_to(&self, config: &Config) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = Limits::of(config);
    }

    pub(super) fn verified(&self) -> MutexGuard<'_, Verified> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touches(&self) -> MutexGuard<'_, Touches> {
        self.touches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn partials(&self) -> MutexGuard<'_, Partials> {
        self.partials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_hook(&self, hook: EvictHook) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).push(hook);
    }

    pub(super) fn drop_hooks(&self) {
        let hooks = std::mem::take(&mut *self.hooks.lock().unwrap_or_else(PoisonError::into_inner));
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop((hooks, keeper));
    }

    pub(super) fn set_keeper(&self, keeper: Box<dyn Keeper>) {
        *self.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::from(keeper));
    }

    /// Who is asked before anything is evicted. It is asked without any lock held.
    pub(super) fn keeper(&self) -> Option<SharedKeeper> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the hooks. They run without any lock held.
    pub(super) fn tell_evicted(&self, keys: &[EntryKey]) {
        if keys.is_empty() {
            return;
        }
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for hook in hooks {
            hook(keys);
        }
    }

    /// Bytes free on the store's file system.
    pub(super) fn free(&self) -> Result<u64, Error> {
        self.disk
            .free(&self.root)
            .map_err(|error| Error::io("ask for the free space of", &self.layout.root, error))
    }

    /// Bytes that could be freed at the most: objects, and transfers that nobody has resumed yet.
    pub(super) fn evictable(&self) -> u64 {
        self.free_bytes().saturating_add(self.partials().parked_bytes())
    }

    /// Bytes of the objects that nothing is known to hold.
    pub(super) fn free_bytes(&self) -> u64 {
        let (bytes, held) = (&self.counts.bytes, &self.counts.held);
        bytes.load(Ordering::Relaxed).saturating_sub(held.load(Ordering::Relaxed))
    }

    /// What would have to go before `extra` more bytes fit.
    pub(super) fn shortage(&self, extra: u64) -> Result<Shortage, Error> {
        let held = self.counts.bytes.load(Ordering::Relaxed) + self.counts.unfinished.load(Ordering::Relaxed);
        let wanted = held.saturating_add(extra);
        let Limits { max_size, min_free, .. } = self.limits();
        Ok(Shortage {
            over: max_size.map_or(0, |limit| wanted.saturating_sub(limit)),
            low: min_free.saturating_add(extra).saturating_sub(self.free()?),
        })
    }
}

/// The shared state and the way to the writer thread.
#[derive(Clone)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) commands: mpsc::Sender<Command>,
}

impl Handle {
    /// Hands the writer something to do.
    pub(super) fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| Error::Closed)
    }

    /// Hands the writer something to do that nobody waits for. Once the store is closed there is
    /// nothing left to be done, so that case needs no handling.
    pub(super) fn tell(&self, command: Command) {
        let _ = self.commands.send(command);
    }

    /// Waits for the writer, on a thread that may block.
    pub(super) fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error>
    where
        T: Send + 'static,
    {
        let (sender, receiver) = mpsc::sync_channel(1);
        // Whoever asked may be gone by the time there is an answer; then nobody needs it.
        self.send(command(Reply::new(move |answer| drop(sender.send(answer)))))?;
        receiver.recv().unwrap_or(Err(Error::Closed))
    }

    /// Waits for the writer, in a task. Dropping the future does not undo the command.
    pub(super) async fn ask_async<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, Error>
    where
        T: Send + 'static,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        self.send(command(Reply::new(move |answer| drop(sender.send(answer)))))?;
        receiver.await.unwrap_or(Err(Error::Closed))
    }
}

/// Where the writer's answer goes. Dropped unanswered, it tells the asker that the store was closed.
pub(super) struct Reply<T>(Box<dyn FnOnce(Result<T, Error>) + Send>);

impl<T> Reply<T> {
    fn new(answer: impl FnOnce(Result<T, Error>) + Send + 'static) -> Self {
        Self(Box::new(answer))
    }

    pub(super) fn answer(self, answer: Result<T, Error>) {
        (self.0)(answer);
    }
}
