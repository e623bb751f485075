//! What seeds need of the cache: generations, the indices that they list, and what of all that is here.

use std::io::{self, BufReader};
use std::sync::Arc;
use std::time::Duration;

use super::entry::{Entry, SeedUse};
use super::failure::Failure;
use super::lookup::Cache;
use super::refresh::{Refreshed, archive_roots};
use super::serve::checksum_key;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::index::IndexKind;
use crate::repo::apt::release::{Listed, Release};
use crate::repo::{Repository, Resource};
use crate::repo_path::RepoPath;
use crate::store::{self, BlobReader, Seeded};
use crate::suite::{Channel, Generation, known_index};
use crate::tasks::Tasks;

/// How long a seed waits for a suite that is not here yet.
const PATIENCE: Duration = Duration::from_mins(10);

impl Cache {
    /// The configured repository of this name.
    #[must_use]
    pub fn repository_named(&self, name: &str) -> Option<&Arc<Repository>> {
        self.0.parts.repositories.by_name(name)
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

    /// Every repository, in the order of the configuration.
    #[must_use]
    pub fn repositories(&self) -> &[Arc<Repository>] {
        self.0.parts.repositories.list()
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
        let store = &self.0.parts.store;
        let digest = |checksum: &Checksum| match checksum.sha256() {
            Some(digest) => Ok(Some(digest)),
            None => Ok(store.entry(&checksum_key(repository, checksum))?.map(|meta| meta.digest)),
        };
        let digests = checksums.iter().map(digest).collect::<Result<Vec<_>, store::Error>>()?;
        let known: Vec<Digest> = digests.iter().copied().flatten().collect();
        let mut here = store.are_here(&known)?.into_iter();
        Ok(digests.iter().map(|digest| digest.is_some() && here.next() == Some(true)).collect())
    }
}

/// Below which folder of the repository the paths are meant that the indices of a suite list.
#[must_use]
pub fn archive_root(folder: &RepoPath) -> Arc<str> {
    archive_roots(folder, IndexKind::Packages).into_iter().next().unwrap_or_default()
}
