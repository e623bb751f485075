//! What channels wait for that are promoted only to what their seeds have here.
//!
//! The cache knows generations, and seeds are above it: so whoever runs seeds tells through a [`Readiness`]
//! which sets of generations were complete at the end of a run. Such a set is taken as a whole, since a package
//! that one suite lists may need one that another lists.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::channels::{NotMoved, kept};
use super::lookup::Cache;
use crate::repo::Repository;
use crate::store::Pin;
use crate::suite::{ChannelConfig, Generation, Suite};

/// Generations of several suites, each with the folder of its release file.
pub type Together = Vec<(Arc<str>, i64)>;

/// Tells what seeds have here.
pub trait Readiness: Send + Sync {
    /// The sets of generations of a repository for which every seed had everything, newest first.
    fn complete(&self, repo: &str) -> Vec<Together>;

    /// Whether some seed wants a suite.
    fn is_covered(&self, repo: &str, suite: &str) -> bool;

    /// For each seed that has not got everything of these generations of its suites, a sentence.
    fn missing(&self, repo: &str, generations: &Together) -> Vec<String>;
}

/// Who tells it; nobody until that is set, and then everything is ready.
#[derive(Default)]
pub(super) struct Ready(Mutex<Option<Arc<dyn Readiness>>>);

impl Ready {
    fn get(&self) -> Option<Arc<dyn Readiness>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ready")
    }
}

impl Cache {
    /// Has `readiness` asked before channels are promoted that wait for seeds.
    pub fn set_readiness(&self, readiness: Arc<dyn Readiness>) {
        *self.0.ready.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(readiness);
    }

    /// Whether a channel waits for seeds, so that those have to follow what is new by themselves.
    #[must_use]
    pub fn awaits_seeds(&self) -> bool {
        self.0.settings().channels.iter().any(|channel| channel.ready_before_promote)
    }

    /// For how many seconds what seeds had is held beside what they have by now: a channel may still be
    /// promoted to it. Nothing where no channel waits for them.
    #[must_use]
    pub fn keeps_seeded_for(&self) -> Option<i64> {
        self.awaits_seeds().then(|| self.kept_for())
    }

    /// What keeps channels from showing what `live` shows, a sentence each.
    #[must_use]
    pub fn channels_wait_for(&self) -> Vec<String> {
        let settings = self.0.settings();
        let waiting = settings.channels.iter().filter(|channel| channel.ready_before_promote);
        waiting.flat_map(|channel| self.waits_for(channel)).collect()
    }

    pub(super) fn waits_for(&self, channel: &ChannelConfig) -> Vec<String> {
        let Some(readiness) = self.0.ready.get().filter(|_| channel.ready_before_promote) else {
            return Vec::new();
        };
        let mut sentences = Vec::new();
        for repository in self.0.repositories().list() {
            let view = self.0.suites.view(repository.index).clone();
            let current: Together =
                view.suites().map(|(folder, suite)| (folder.clone(), suite.current.row.id)).collect();
            let missing = readiness.missing(repository.name(), &current);
            sentences.extend(
                missing.into_iter().map(|what| format!("the channel {} waits: {what}", channel.name)),
            );
        }
        sentences
    }

    /// Whether a channel may be promoted to these; says what is missing.
    pub(super) fn check_ready(&self, channel: &ChannelConfig, pins: &[Pin]) -> Result<(), NotMoved> {
        let Some(readiness) = self.0.ready.get().filter(|_| channel.ready_before_promote) else {
            return Ok(());
        };
        let mut missing = Vec::new();
        for repository in self.0.repositories().list() {
            let view = self.0.suites.view(repository.index).clone();
            let shown = view.suites().map(|(folder, suite)| {
                let moved = pins.iter().find(|pin| pin.repo == *repository.name() && pin.suite == *folder);
                let pinned = || view.pinned(&channel.name, folder).map(|pinned| pinned.generation);
                let shown = moved.map(|pin| pin.generation).or_else(pinned);
                (Arc::clone(folder), shown.unwrap_or(suite.current.row.id))
            });
            let shown: Together = shown.collect();
            // What does not change need not be ready.
            if pins.iter().any(|pin| pin.repo == *repository.name()) {
                missing.extend(readiness.missing(repository.name(), &shown));
            }
        }
        if missing.is_empty() {
            Ok(())
        } else {
            Err(NotMoved::NotReady(channel.name.to_string(), missing.join("; ")))
        }
    }

    /// Whether a suite has to wait for seeds before this channel is promoted.
    pub(super) fn is_awaited(&self, channel: &ChannelConfig, repository: &Repository, suite: &str) -> bool {
        channel.ready_before_promote
            && self.0.ready.get().is_some_and(|ready| ready.is_covered(repository.name(), suite))
    }

    /// The newest set of generations that is complete here and that `may` let every suite of it show, as far
    /// as that changes what the channel shows.
    pub(super) fn newest_complete(
        &self,
        channel: &ChannelConfig,
        repository: &Repository,
        may: impl Fn(&Suite, &Generation, Option<i64>) -> bool,
    ) -> Vec<Arc<Generation>> {
        let Some(readiness) = self.0.ready.get() else { return Vec::new() };
        let view = self.0.suites.view(repository.index).clone();
        for together in readiness.complete(repository.name()) {
            let chosen = together.iter().map(|(folder, id)| {
                let suite = view.suite(folder)?;
                let generation = kept(suite).find(|generation| generation.row.id == *id)?;
                let now = view.pinned(&channel.name, folder).map(|pinned| pinned.generation);
                let good = now == Some(*id) || may(suite, generation, now);
                good.then(|| (Arc::clone(generation), now))
            });
            let chosen: Option<Vec<_>> = chosen.collect();
            if let Some(chosen) = chosen {
                let changed = chosen.into_iter().filter(|(generation, now)| *now != Some(generation.row.id));
                return changed.map(|(generation, _)| generation).collect();
            }
        }
        Vec::new()
    }
}
