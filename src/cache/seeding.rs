//! What seeds need of the cache: generations, the indices that they list, and what of all that is here.

use std::io::{self, BufReader};
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, SeedUse};
use super::failure::Failure;
use super::lookup::Cache;
use super::refresh::{Refreshed, archive_roots};
use super::serve::checksum_key;
use crate::clock::Clock;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::index::IndexKind;
use crate::repo::apt::release::{Listed, Release};
use crate::repo::apt::table::Expected;
use crate::repo::{Repository, Resource};
use crate::repo_path::RepoPath;
use crate::store::{self, BlobReader, Seeded, Store};
use crate::suite::{Channel, Generation, Known, known_index};
use crate::tasks::Tasks;

/// How long a seed waits for a suite that is not here yet.
const PATIENCE: Duration = Duration::from_mins(10);

/// A file that a seed wants.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Below the repository's root.
    pub path: &'a RepoPath,
    /// In bytes.
    pub size: u64,
    /// What it must hash to.
    pub checksum: Checksum,
}

impl Cache {
    /// The configured repository of this name.
    #[must_use]
    pub fn repository_named(&self, name: &str) -> Option<Arc<Repository>> {
        self.0.repositories().by_name(name).cloned()
    }

    /// Who owns what runs in the background.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.0.parts.tasks
    }

    /// What a client that is given a kept copy owes to a seed; the first time is remembered.
    #[must_use]
    pub fn seed_use(&self, entry: &Entry) -> Option<SeedUse> {
        let found = entry.seed_use();
        if found == Some(SeedUse::First) {
            self.0.parts.store.note_seeded(&entry.meta.digest, Seeded::Used);
        }
        found
    }

    /// The folders of the suites of a repository that are here.
    #[must_use]
    pub fn suites_here(&self, repository: &Repository) -> Vec<Arc<str>> {
        let view = self.0.suites.view(repository.index);
        let mut folders: Vec<_> = view.suites().map(|(folder, _)| Arc::clone(folder)).collect();
        folders.sort_unstable();
        folders
    }

    /// The indices of a suite that desktops used since a time (unix seconds): paths below its folder. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn used_indices(
        &self,
        repository: &Repository,
        folder: &str,
        since: i64,
    ) -> Result<Vec<Arc<str>>, store::Error> {
        self.0.parts.store.working_set(repository.name(), folder, since)
    }

    /// Now, in seconds since 1970.
    #[must_use]
    pub fn unix_now(&self) -> i64 {
        self.0.parts.clock.unix()
    }

    /// The current generation of a suite, if it is here.
    #[must_use]
    pub fn current_generation(&self, repository: &Repository, folder: &RepoPath) -> Option<Arc<Generation>> {
        self.current(repository, folder)
    }

    /// The current generation of a suite, asking upstream for one that is not here. Dropping the future does
    /// not stop that.
    ///
    /// # Errors
    /// Why upstream's cannot be had.
    pub async fn obtain_generation(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
    ) -> Result<Arc<Generation>, Failure> {
        if let Some(current) = self.current(repository, folder) {
            return Ok(current);
        }
        match self.refresh(repository, folder, PATIENCE).await {
            Refreshed::Failed(failure) => return Err(failure),
            Refreshed::Impatient => return Err(Failure::Waiting(PATIENCE)),
            Refreshed::Done => {}
        }
        self.current(repository, folder).ok_or(Failure::Stopping)
    }

    /// The object of a file that a suite's release file lists, if it is here.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn find_listed(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        release: &Release,
        listed: &Listed,
    ) -> Result<Option<Digest>, Failure> {
        let known = known_index(folder, release, listed);
        let resource = Resource::new(Arc::clone(repository), folder.child(listed.path.as_str()), None);
        let found = self.find_known(&resource, &Channel::Live, &known).await?;
        Ok(found.map(|entry| entry.meta.digest))
    }

    /// The same, fetched where it is not here. An index is read, and counts as used from then on, so that the
    /// next generation of the suite comes with its next state. Dropping the future does not stop the transfer.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn obtain_listed(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        release: &Release,
        listed: &Listed,
    ) -> Result<Digest, Failure> {
        let known = known_index(folder, release, listed);
        let resource = Resource::new(Arc::clone(repository), folder.child(listed.path.as_str()), None);
        let entry = self.have(&resource, &known, Class::Seed).await?;
        self.note_use(&resource, &known);
        self.learn(repository, &known, entry.meta.digest).await;
        Ok(entry.meta.digest)
    }

    /// Reads an object. Blocking.
    ///
    /// # Errors
    /// When it is not here, or cannot be opened.
    pub fn read_object(&self, digest: &Digest) -> io::Result<BufReader<BlobReader>> {
        let found = self.0.parts.store.object(digest);
        let blob =
            found.map_err(|error| io::Error::other(error.to_string()))?.ok_or(io::ErrorKind::NotFound)?;
        Ok(BufReader::with_capacity(64 * 1024, blob.reader()))
    }

    /// The size of an object in bytes, if it is here. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn object_size(&self, digest: &Digest) -> Result<Option<u64>, store::Error> {
        Ok(self.0.parts.store.object(digest)?.map(|blob| blob.size))
    }

    /// For each checksum whether the repository's bytes of it are here. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn are_here(
        &self,
        repository: &Repository,
        checksums: &[Checksum],
    ) -> Result<Vec<bool>, store::Error> {
        let digests = self.digests_of(repository, checksums)?;
        let store = &self.0.parts.store;
        let known: Vec<Digest> = digests.iter().copied().flatten().collect();
        let mut here = store.are_here(&known)?.into_iter();
        Ok(digests.iter().map(|digest| digest.is_some() && here.next() == Some(true)).collect())
    }

    /// For each checksum the object of the repository's bytes, where it is known; that it is here is not said.
    /// Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn digests_of(
        &self,
        repository: &Repository,
        checksums: &[Checksum],
    ) -> Result<Vec<Option<Digest>>, store::Error> {
        let store = &self.0.parts.store;
        let digest = |checksum: &Checksum| match checksum.sha256() {
            Some(digest) => Ok(Some(digest)),
            None => Ok(store.entry(&checksum_key(repository, checksum))?.map(|meta| meta.digest)),
        };
        checksums.iter().map(digest).collect()
    }

    /// Has a file that an index or a release file lists in the store, and gives its object. What a release
    /// file lists counts as used from then on, so that the next generation of the suite comes with its next
    /// state. Dropping the future does not stop the transfer; [`Cache::halt_wanted`] does.
    ///
    /// # Errors
    /// Why it cannot be had; [`Failure::Halted`] when it was given up meanwhile.
    pub async fn fetch_wanted(
        &self,
        repository: &Arc<Repository>,
        generations: &[(Arc<str>, i64)],
        wanted: &Wanted<'_>,
    ) -> Result<Digest, Failure> {
        let resource = Resource::new(Arc::clone(repository), wanted.path.clone(), None);
        let known = self.known_wanted(repository, generations, wanted);
        let entry = self.have(&resource, &known, Class::Seed).await?;
        if known.index.is_some() {
            self.note_use(&resource, &known);
            self.learn(repository, &known, entry.meta.digest).await;
        }
        Ok(entry.meta.digest)
    }

    /// Gives up the transfer of such a file, unless a desktop is waiting for it by now. What has come stays.
    pub fn halt_wanted(&self, repository: &Repository, checksum: &Checksum) {
        self.halt(&checksum_key(repository, checksum));
    }

    /// Bytes of such a file that have come while its transfer runs.
    #[must_use]
    pub fn received_of(&self, repository: &Repository, checksum: &Checksum) -> Option<u64> {
        self.received(&checksum_key(repository, checksum))
    }

    /// Where such a file may be found: an index under its hash, too.
    fn known_wanted(
        &self,
        repository: &Repository,
        generations: &[(Arc<str>, i64)],
        wanted: &Wanted<'_>,
    ) -> Known {
        let view = self.0.suites.view(repository.index);
        let listed = generations.iter().find_map(|(folder, id)| {
            let below = wanted.path.below(folder)?;
            let generation = view.generation(folder, *id)?;
            let listed = generation.release.find(below.as_str())?;
            let folder = RepoPath::from_decoded(folder).ok()?;
            (listed.checksum() == wanted.checksum).then(|| known_index(&folder, &generation.release, listed))
        });
        let expected = Expected { size: wanted.size, checksum: wanted.checksum };
        listed.unwrap_or_else(|| Known {
            expected,
            places: vec![wanted.path.clone()],
            index: None,
            date: None,
        })
    }

    /// Whether no upstream of a repository is well: the line is down, or all of them are.
    #[must_use]
    pub fn is_cut_off(&self, repository: &Repository) -> bool {
        self.mirrors(repository.index).all_resting(std::time::Instant::now())
    }

    /// Has upstream asked about a suite unless that was done lately, and its newest state completed. What is
    /// current stays where that fails.
    pub async fn freshen(&self, repository: &Arc<Repository>, folder: &RepoPath) {
        let checked_at = |suite: &crate::suite::Suite| suite.check.checked_at;
        let checked_at = self.0.suites.view(repository.index).suite(folder.as_str()).map(checked_at);
        let young = checked_at.is_some_and(|at| self.is_recent(at, repository.check_every()));
        if !young && self.failed_lately(repository, folder).is_none() {
            self.refresh(repository, folder, PATIENCE).await;
        }
    }

    /// The store, for what seeds write down and hold.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.parts.store
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.parts.clock
    }

    /// Further tries after a first one failed, as configured.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.0.settings().retries
    }
}

/// Below which folder of the repository the paths are meant that the indices of a suite list.
#[must_use]
pub fn archive_root(folder: &RepoPath) -> Arc<str> {
    archive_roots(folder, IndexKind::Packages).into_iter().next().unwrap_or_default()
}
