//! What desktops ask for, noted on the way of every request and written in batches.
//!
//! A request for a package leaves a note: which repository, which path, who. That is a comparison where the same
//! desktop asks for the same thing again, and else a push to a list in memory under a lock that is held for nothing
//! more. A task takes the list every half minute, or when it is half full, finds which package each path is and
//! which suite lists it, and has the store write all of it in one transaction. The list has an end: past it, what
//! comes before the task has taken it goes unnoticed.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::entry::Entry;
use super::lookup::Cache;
use crate::networks::Networks;
use crate::repo::{Repository, Resource};
use crate::repo_path::RepoPath;
use crate::store::{self, Asked, Demanded, Uses, day};
use crate::suite::Known;

/// Most notes in memory: about 1 MiB.
const MOST: usize = 16 * 1024;

/// How long a note may stay in memory.
const EVERY: Duration = Duration::from_secs(30);

/// How long what desktops ask for counts as wanted, in days.
pub const WANTED_FOR: i64 = 60;

/// How what desktops ask for is remembered.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long it is kept which address asked for what; after that only its office. Whole days. Default 60 days:
    /// as long as it counts as wanted.
    pub addresses: Duration,
    /// The names of the offices.
    pub offices: Networks<Arc<str>>,
}

impl Default for Config {
    fn default() -> Self {
        Self { addresses: Duration::from_hours(60 * 24), offices: Networks::default() }
    }
}

/// A package that somebody asked for.
#[derive(Debug)]
struct Note {
    /// Position in the configuration.
    repository: usize,
    path: RepoPath,
    client: IpAddr,
}

/// The notes that have not been written.
#[derive(Debug, Default)]
pub(super) struct Notes {
    list: Mutex<Vec<Note>>,
    half_full: Notify,
    hasher: RandomState,
}

impl Notes {
    fn push(&self, note: Note) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < MOST {
            list.push(note);
        }
        if list.len() == MOST / 2 {
            self.half_full.notify_one();
        }
    }

    fn take(&self) -> Vec<Note> {
        std::mem::take(&mut *self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Cache {
    /// Notes that a client asked for something that an index lists, of which `entry` is the kept copy, if there is
    /// one. What is no package is passed over.
    pub(super) fn note_demand(
        &self,
        resource: &Resource,
        known: &Known,
        client: IpAddr,
        entry: Option<&Entry>,
    ) {
        if known.index.is_none() {
            self.note_package(resource, client, entry);
        }
    }

    /// The same for what is known to be no index.
    pub(super) fn note_package(&self, resource: &Resource, client: IpAddr, entry: Option<&Entry>) {
        if !is_package(&resource.path) {
            return;
        }
        let notes = &self.0.demand;
        if let Some(entry) = entry
            && !entry.note_client(notes.hasher.hash_one(client))
        {
            return;
        }
        let (repository, path) = (resource.repository.index, resource.path.clone());
        notes.push(Note { repository, path, client });
    }

    /// Has what was asked for until now written. Who reads it next sees all of it.
    pub async fn settle_demand(&self) {
        let notes = self.0.demand.take();
        if notes.is_empty() {
            return;
        }
        let cache = self.clone();
        let Ok(asked) = tokio::task::spawn_blocking(move || cache.understand(notes)).await else { return };
        let parts = &self.0.parts;
        let addresses = !self.0.settings().demand.addresses.is_zero();
        if let Err(error) = parts.store.note_demand(asked, parts.clock.unix(), addresses).await {
            tracing::warn!(%error, "what desktops asked for in the last half minute cannot be noted");
        }
    }

    /// What the notes mean, counted.
    fn understand(&self, notes: Vec<Note>) -> HashMap<Asked, u32> {
        let mut asked = HashMap::new();
        let mut known = HashMap::new();
        let repositories = self.0.repositories();
        for Note { repository, path, client } in notes {
            let place = (repository, path.shared());
            let found = known.entry(place).or_insert_with(|| {
                let view = self.0.suites.view(repository);
                let (package, suite) = view.package_at(&path)?;
                let repo = repositories.list().iter().find(|one| one.index == repository)?;
                let repo = Arc::clone(repo.name());
                Some((repo, package, suite))
            });
            // An index may have changed since, and not list any more what somebody could still get.
            let Some((repo, package, suite)) = found.clone() else { continue };
            let office = self.office(client);
            *asked.entry(Asked { repo, package, suite, client, office }).or_insert(0) += 1;
        }
        asked
    }

    /// The office of a client; empty for none.
    fn office(&self, client: IpAddr) -> Arc<str> {
        let office = self.0.settings().demand.offices.around(client).cloned();
        office.unwrap_or_else(|| "".into())
    }

    /// Writes notes in batches, and forgets what is old, until the server ends.
    pub async fn tend_demand(self) {
        let (tasks, clock) = (self.0.parts.tasks.clone(), self.0.parts.clock.clone());
        let mut aged = None;
        loop {
            let today = day(clock.unix());
            if aged != Some(today) {
                self.age_demand().await;
                aged = Some(today);
            }
            tokio::select! {
                () = tasks.stopping() => break,
                () = clock.sleep(EVERY) => {}
                () = self.0.demand.half_full.notified() => {}
            }
            self.settle_demand().await;
        }
        self.settle_demand().await;
    }

    async fn age_demand(&self) {
        let parts = &self.0.parts;
        let now = parts.clock.unix();
        let kept = self.0.settings().demand.addresses;
        let days = i64::try_from(kept.as_secs().div_ceil(24 * 3600)).unwrap_or(i64::MAX);
        let before = day(now).saturating_sub(days).saturating_add(i64::from(days == 0));
        if let Err(error) = parts.store.age_demand(before, now).await {
            tracing::warn!(%error, "which addresses asked for what cannot be forgotten; trying again tomorrow");
        }
    }

    /// The packages of a repository that desktops asked for within [`WANTED_FOR`], most wanted first. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn demand(&self, repository: &Repository) -> Result<Vec<Demanded>, store::Error> {
        self.0.parts.store.demand(repository.name(), self.wanted_since())
    }

    /// Whether there is any. Blocking: one indexed read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn is_demanded(&self, repository: &Repository) -> Result<bool, store::Error> {
        self.0.parts.store.is_demanded(repository.name(), self.wanted_since())
    }

    fn wanted_since(&self) -> i64 {
        day(self.unix_now()) - WANTED_FOR
    }

    /// What each desktop uses of these suites, by their folders. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn uses(&self, repository: &Repository, suites: &[Arc<str>]) -> Result<Uses, store::Error> {
        self.0.parts.store.uses(repository.name(), suites)
    }
}

#[expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "archives name packages so and not otherwise"
)]
fn is_package(path: &RepoPath) -> bool {
    path.as_str().ends_with(".deb")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn note() -> Note {
        Note {
            repository: 0,
            path: RepoPath::from_decoded("pool/a.deb").unwrap(),
            client: [10, 0, 0, 1].into(),
        }
    }

    #[tokio::test]
    async fn the_list_has_an_end_and_its_reader_is_woken_before() {
        let notes = Notes::default();
        for _ in 0..MOST + 10 {
            notes.push(note());
        }
        tokio::time::timeout(Duration::from_secs(10), notes.half_full.notified()).await.unwrap();
        assert_eq!((notes.take().len(), notes.take().len()), (MOST, 0));
    }

    /// What a request pays, printed for whoever runs this alone with `--nocapture`.
    #[test]
    fn a_note_costs_little() {
        let (notes, path) = (Notes::default(), RepoPath::from_decoded("pool/a.deb").unwrap());
        let start = Instant::now();
        for number in 0..MOST {
            let client = IpAddr::from(u32::try_from(number).unwrap().to_be_bytes());
            std::hint::black_box(notes.hasher.hash_one(client));
            notes.push(Note { repository: 0, path: path.clone(), client });
        }
        let each = start.elapsed() / u32::try_from(MOST).unwrap();
        println!("a note: {each:?}");
        assert!(each < Duration::from_micros(100), "{each:?}");
    }
}
