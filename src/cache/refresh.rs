//! Bringing a suite up to date: ask, verify, complete, switch.
//!
//! A refresh asks upstream for the release file, conditionally. When it changed, its signature is checked
//! and its text judged against the current generation; then every index that somebody here uses is
//! fetched by the hash that the new text lists; and only when all of them are stored does the new
//! generation become current, in one transaction and one swap of what requests see. Whatever goes wrong on
//! the way leaves the current generation as it is, with the reason noted; a pending suite is tried again
//! every [`RETRY`] until it is whole.
//!
//! There is one refresh of a suite at a time. Like a flight it belongs to no client.

mod build;
mod carried;
mod fetch;
mod form;
mod judge;
mod learn;
mod restore;
mod retire;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::failure::Failure;
use super::lookup::{Cache, MISSING_FOR};
use crate::repo::Repository;
use crate::repo_path::RepoPath;
use crate::store::EntryKey;

pub use carried::{Carried, Vouched};
pub use fetch::load_keyrings;
pub(super) use learn::{Building, archive_roots, build_table};

/// Pause between attempts at a suite whose newest state could not be completed.
const RETRY: Duration = Duration::from_mins(1);

/// Of the rounds of tending, every so many look for what is not configured any more: once an hour.
const ABSENT_EVERY: u32 = 60;

/// How long a superseded generation stays reachable by hash, in seconds; longer while a channel waits for it.
pub(super) const KEPT: i64 = 7 * 24 * 3600;

/// How long ago an index may have been asked for to count as used, in seconds.
pub(super) const USED: i64 = 30 * 24 * 3600;

pub(super) type Outcome = Option<Result<(), Failure>>;

/// The refreshes that are under way. The lock is held for single operations only.
#[derive(Debug, Default)]
pub(super) struct Refreshes(Mutex<HashMap<EntryKey, watch::Receiver<Outcome>>>);

/// What waiting for a refresh came to.
pub(super) enum Refreshed {
    /// Upstream was asked, and the suite is as new as it can be.
    Done,
    /// It failed; the current generation, if there is one, stands.
    Failed(Failure),
    /// It was not done within the time given; it goes on.
    Impatient,
}

impl Cache {
    /// Refreshes a suite, or joins the refresh that is under way, and waits up to `patience` for it.
    /// Dropping the future does not stop the refresh.
    pub(super) async fn refresh(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        patience: Duration,
    ) -> Refreshed {
        if let Some((since, failure @ Failure::NotFound { .. })) =
            self.0.unrefreshed.get(&key(repository, folder))
            && self.is_recent(since, MISSING_FOR)
        {
            // apt asks for a suite that does not exist in three ways.
            return Refreshed::Failed(failure);
        }
        let mut watcher = self.start_refresh(repository, folder);
        match tokio::time::timeout(patience, watcher.wait_for(Option::is_some)).await {
            Err(_) => Refreshed::Impatient,
            Ok(Err(_)) => Refreshed::Failed(Failure::Stopping),
            Ok(Ok(outcome)) => match &*outcome {
                Some(Err(failure)) => Refreshed::Failed(failure.clone()),
                _ => Refreshed::Done,
            },
        }
    }

    /// Starts a refresh unless one is under way.
    pub(super) fn start_refresh(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
    ) -> watch::Receiver<Outcome> {
        let key = key(repository, folder);
        let mut running = self.0.refreshes.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = running.get(&key) {
            return watcher.clone();
        }
        let (sender, watcher) = watch::channel(None);
        running.insert(key.clone(), watcher.clone());
        let (cache, repository, folder) = (self.clone(), Arc::clone(repository), folder.clone());
        self.0.parts.tasks.spawn(async move {
            let over = Over { cache: cache.clone(), key };
            let tasks = cache.0.parts.tasks.clone();
            let outcome = tokio::select! {
                outcome = cache.check_suite(&repository, &folder) => outcome,
                () = tasks.stopping() => Err(Failure::Stopping),
            };
            match &outcome {
                Ok(()) => drop(cache.0.unrefreshed.remove(&over.key)),
                Err(failure) => {
                    let failed = (cache.0.parts.clock.unix(), failure.clone());
                    cache.0.unrefreshed.insert(over.key.clone(), failed);
                }
            }
            drop(over);
            // Nobody may be waiting any more.
            let _ = sender.send(Some(outcome));
        });
        watcher
    }

    /// Why a refresh of a suite that has a generation failed less than [`RETRY`] ago. Until then nobody
    /// waits for another one.
    pub(super) fn failed_lately(&self, repository: &Repository, folder: &RepoPath) -> Option<Failure> {
        let (since, failure) = self.0.unrefreshed.get(&key(repository, folder))?;
        self.is_recent(since, RETRY).then_some(failure)
    }

    /// Tries suites whose newest state is pending again, promotes what channels have waited for, and forgets
    /// generations whose time is over. Runs until a shutdown.
    pub async fn tend_suites(self) {
        let tasks = self.0.parts.tasks.clone();
        for round in 1_u32.. {
            tokio::select! {
                () = tasks.stopping() => return,
                () = self.0.parts.clock.sleep(RETRY) => {}
            }
            for repository in self.0.repositories().list() {
                let pending: Vec<_> = self
                    .0
                    .suites
                    .view(repository.index)
                    .suites()
                    .filter(|(_, suite)| suite.check.problem.is_some())
                    .map(|(folder, _)| Arc::clone(folder))
                    .collect();
                for folder in pending {
                    if let Ok(folder) = RepoPath::from_decoded(&folder) {
                        self.refresh(repository, &folder, RETRY).await;
                    }
                }
            }
            self.promote_what_has_soaked().await;
            if round.is_multiple_of(ABSENT_EVERY) {
                self.let_go_of_absent().await;
            }
            self.forget_generations().await;
        }
    }
}

fn key(repository: &Repository, folder: &RepoPath) -> EntryKey {
    EntryKey { repo: Arc::clone(repository.name()), path: folder.as_str().into() }
}

/// Takes a refresh off the list, however it ends.
struct Over {
    cache: Cache,
    key: EntryKey,
}

impl Drop for Over {
    fn drop(&mut self) {
        self.cache.0.refreshes.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}
