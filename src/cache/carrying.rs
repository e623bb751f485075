//! What exports and imports need of the cache: files to read out, and a way in for files from a disk.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use super::failure::Failure;
use super::goal::mark;
use super::lookup::Cache;
use super::refresh::{archive_roots, build_table};
use super::serve::checksum_key;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::repo::apt::checksum::{Checksum, Sha512Hasher};
use crate::repo::apt::index::IndexKind;
use crate::repo::apt::table::{Expected, Table};
use crate::repo::document::{Document, Form};
use crate::repo::{Repository, Resource};
use crate::repo_path::RepoPath;
use crate::store::{self, EntryKey, EntryMeta, Staged};
use crate::suite::{Channel, Generation, Known, Resolution};

/// Bytes that are read and hashed at a time.
const PIECE: usize = 256 * 1024;

/// Why a file did not come in.
#[derive(Debug, thiserror::Error)]
pub enum NotTaken {
    /// Where it comes from cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    /// There is no room for it, and none can be made.
    #[error("the store has no room for it")]
    NoRoom,
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The program is ending.
    #[error("the server is shutting down")]
    Stopping,
}

/// A file from a disk, in the store's folder and hashed, but not known yet.
pub struct Arrival {
    staged: Staged,
    sha512: Option<Checksum>,
}

impl Arrival {
    /// What it hashes to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.staged.digest()
    }

    /// Whether it is what was expected.
    #[must_use]
    pub fn is(&self, expected: &Expected) -> bool {
        expected.size().is_none_or(|size| size == self.staged.written())
            && match &expected.checksum {
                Checksum::Sha256(digest) => *digest == self.digest(),
                checksum @ Checksum::Sha512(_) => self.sha512 == Some(*checksum),
            }
    }
}

/// A file that belongs to a generation and is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Below the repository's root.
    pub path: RepoPath,
    /// The object.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
}

impl Cache {
    /// The repository of this number.
    #[must_use]
    pub fn repository_numbered(&self, number: usize) -> Option<Arc<Repository>> {
        self.repositories().list().iter().find(|repository| repository.index == number).cloned()
    }

    /// What is published at a URL, if it belongs to a repository.
    #[must_use]
    pub fn resource_at(&self, url: &str) -> Option<Resource> {
        let url = url::Url::parse(url).ok()?;
        let host = url.host_str()?.parse().ok()?;
        let path = RepoPath::parse(url.path()).ok()?;
        self.repositories().by_address(&host, url.port_or_known_default()?, &path, None)
    }

    /// What the bytes at a path must be, as far as the suites that are here, or the configuration, say.
    #[must_use]
    pub fn expected_at(&self, repository: &Arc<Repository>, path: &RepoPath) -> Option<Expected> {
        let resource = Resource::new(Arc::clone(repository), path.clone(), None);
        match self.0.suites.view(repository.index).resolve(&resource, &Channel::Live, None) {
            Resolution::Known(known) => Some(known.expected),
            _ => None,
        }
    }

    /// Everything that the suites that are here list by SHA-256, and by which repository. 40 bytes each.
    #[must_use]
    pub fn every_listed(&self) -> HashMap<Digest, usize> {
        let mut all = HashMap::new();
        for repository in self.repositories().list() {
            let given = repository.config.given.values().map(|expected| expected.checksum);
            let view = self.0.suites.view(repository.index);
            for checksum in view.every_checksum().chain(given) {
                if let Checksum::Sha256(digest) = checksum {
                    all.entry(digest).or_insert(repository.index);
                }
            }
        }
        all
    }

    /// What the indices of one generation list; `None` when it is not here.
    #[must_use]
    pub fn listed_by(&self, repository: &Repository, generation: i64) -> Option<HashSet<Checksum>> {
        let view = self.0.suites.view(repository.index);
        let known = view.suites().any(|(folder, _)| view.generation(folder, generation).is_some());
        let generations = [generation];
        let tables = view.tables_of(&generations).flat_map(|(_, table)| table.iter());
        known.then(|| tables.map(|expected| expected.checksum).collect())
    }

    /// A generation that is kept here.
    #[must_use]
    pub fn generation(&self, repository: &Repository, folder: &str, id: i64) -> Option<Arc<Generation>> {
        self.0.suites.view(repository.index).generation(folder, id).cloned()
    }

    /// The release files of a generation, and what of that it lists is here. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn held_by_generation(
        &self,
        repository: &Repository,
        folder: &RepoPath,
        generation: &Generation,
    ) -> Result<Vec<Held>, store::Error> {
        let store = &self.0.parts.store;
        let mut held = Vec::new();
        let mut add = |path: RepoPath, digest: Digest| {
            if let Some(blob) = store.object(&digest)? {
                held.push(Held { path, digest, size: blob.size });
            }
            Ok::<_, store::Error>(())
        };
        let document = Document::of(&repository.config, folder);
        let (text, mut signatures) = document.places(folder);
        signatures.truncate(1);
        let inline = (document == Document::Release).then(|| folder.child("InRelease"));
        let forms =
            [(inline, Form::InRelease), (Some(text), Form::Text), (signatures.pop(), Form::Signature)];
        for (path, form) in forms {
            if let (Some(path), Some(digest)) = (path, generation.object(form)) {
                add(path, digest)?;
            }
        }
        for listed in generation.release.files() {
            let checksum = listed.checksum();
            let digest = match checksum.sha256() {
                Some(digest) => Some(digest),
                None => store.entry(&checksum_key(repository, &checksum))?.map(|meta| meta.digest),
            };
            if let Some(digest) = digest {
                add(folder.child(listed.path.as_str()), digest)?;
            }
        }
        Ok(held)
    }

    /// Has a file of known hash in the store, fetched where it is not here, and gives its object and size.
    ///
    /// # Errors
    /// Why it cannot be had.
    pub async fn obtain_file(
        &self,
        repository: &Arc<Repository>,
        path: &RepoPath,
        expected: Expected,
    ) -> Result<(Digest, u64), Failure> {
        let resource = Resource::new(Arc::clone(repository), path.clone(), None);
        let known = Known { expected, places: vec![path.clone()], index: None, date: None };
        let entry = self.have(&resource, &known, Class::Seed).await?;
        Ok((entry.meta.digest, entry.meta.size))
    }

    /// Reads an index that is not in the store into a table, with the folders that its paths are below; `None`
    /// for a file that is no index. `suite` is the folder of its suite, `path` that of the index below it.
    /// Blocking.
    ///
    /// # Errors
    /// When it cannot be read, or is no index.
    pub fn read_index(
        suite: &RepoPath,
        path: &RepoPath,
        bytes: impl Read + Send,
    ) -> io::Result<Option<(Vec<Arc<str>>, Table)>> {
        let Some((kind, _)) = IndexKind::of(path.as_str()) else { return Ok(None) };
        let table = build_table(&suite.child(path.as_str()), kind, bytes)?;
        Ok(Some((archive_roots(suite, kind), table)))
    }

    /// Notes that an index of a suite is used here.
    pub fn note_index(&self, repository: &Repository, suite: &RepoPath, path: &RepoPath) {
        self.0.parts.store.note_use(repository.name(), suite.as_str(), path.as_str());
    }

    /// Reads a file into the store's folder and hashes it, with SHA-512 as well if `sha512`. `count` is told of
    /// the bytes as they come.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn stage(
        &self,
        open: impl FnOnce() -> io::Result<Box<dyn Read + Send>> + Send + 'static,
        (size, sha512): (u64, bool),
        count: impl Fn(u64) + Send + 'static,
    ) -> Result<Arrival, NotTaken> {
        if !self.0.parts.store.make_room(size).await? {
            return Err(NotTaken::NoRoom);
        }
        let (store, tasks) = (self.0.parts.store.clone(), self.0.parts.tasks.clone());
        let staging = tokio::task::spawn_blocking(move || {
            let mut source = open().map_err(NotTaken::Unreadable)?;
            let mut staged = store.begin(&EntryKey { repo: "".into(), path: "import".into() })?;
            let mut hasher = sha512.then(Sha512Hasher::new);
            let mut buffer = vec![0; PIECE];
            loop {
                if tasks.is_stopping() {
                    return Err(NotTaken::Stopping);
                }
                match source.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => {
                        staged.write(&buffer[..read])?;
                        if let Some(hasher) = &mut hasher {
                            hasher.update(&buffer[..read]);
                        }
                        count(read as u64);
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(NotTaken::Unreadable(error)),
                }
            }
            Ok(Arrival { staged, sha512: hasher.map(Sha512Hasher::finish) })
        });
        staging.await.map_err(|_| NotTaken::Stopping)?
    }

    /// Keeps what has arrived, under its path, or under its hash alone where that is all that is known.
    /// Durable when it returns. Whoever calls has made sure that it is what something verified lists.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn settle(
        &self,
        arrival: Arrival,
        repository: &Repository,
        path: Option<&RepoPath>,
        from: String,
    ) -> Result<(), store::Error> {
        let now = self.0.parts.clock.unix();
        let digest = arrival.digest();
        let meta = EntryMeta {
            digest,
            size: arrival.staged.written(),
            etag: None,
            last_modified: Some(now),
            content_type: None,
            fetched_at: now,
            validated_at: now,
            upstream: from,
            policy: match &arrival.sha512 {
                Some(Checksum::Sha512(half)) => Some(mark(half)),
                _ => None,
            },
        };
        let key = match path {
            Some(path) => EntryKey { repo: Arc::clone(repository.name()), path: path.shared() },
            None => checksum_key(repository, &Checksum::Sha256(digest)),
        };
        self.0.parts.store.publish(arrival.staged, key.clone(), meta.clone()).await?;
        if let Some(checksum) = &arrival.sha512 {
            self.0.parts.store.put_entry(checksum_key(repository, checksum), meta).await?;
        }
        // What is held open under this name is another object.
        self.0.open.remove(&key);
        Ok(())
    }

    /// Throws away what has arrived.
    pub async fn discard(arrival: Arrival) {
        let _ = tokio::task::spawn_blocking(move || arrival.staged.discard()).await;
    }
}
