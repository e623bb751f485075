//! One run of a seed, as others see it and give it orders.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::journal::Journal;
use super::rate::Rate;
use crate::repo::apt::checksum::Checksum;

/// A run that is under way.
#[derive(Debug)]
pub(super) struct Job {
    /// Held for single operations only.
    progress: Mutex<Progress>,
    orders: watch::Sender<Orders>,
    /// Becomes true when it is over and written down.
    over: watch::Sender<bool>,
}

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) journal: Journal,
    /// What is being fetched: as many as run side by side.
    pub(super) in_flight: Vec<Checksum>,
    pub(super) rate: Rate,
}

/// What a run is told. Orders are never taken back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Orders {
    /// End soon.
    pub(super) stop: bool,
    /// Do not wait for the seed's hours.
    pub(super) now: bool,
}

impl Job {
    pub(super) fn new(journal: Journal) -> Self {
        let orders = Orders { stop: false, now: journal.now };
        Self {
            progress: Mutex::new(Progress { journal, ..Progress::default() }),
            orders: watch::Sender::new(orders),
            over: watch::Sender::new(false),
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        // Every change is whole after one statement, so a poisoned lock is still good.
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn order(&self, order: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(order);
    }

    pub(super) fn orders(&self) -> watch::Receiver<Orders> {
        self.orders.subscribe()
    }

    /// Tells everybody that it is over.
    pub(super) fn end(&self) {
        self.over.send_replace(true);
    }

    /// Waits until it is over. Dropping the future is harmless.
    pub(super) async fn ended(&self) {
        // The sender lives in `self`.
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    /// Resolves when an administrator wants it to end.
    pub(super) async fn stopped(&self) {
        let _ = self.orders().wait_for(|orders| orders.stop).await;
    }
}
