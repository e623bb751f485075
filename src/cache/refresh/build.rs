//! Completing a generation and making it current.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;
use tokio::sync::watch;

use super::fetch::{Bytes, Found, Published, good};
use super::judge::{Objection, judge};
use super::{KEPT, USED};
use crate::cache::events::EventKind;
use crate::cache::failure::Failure;
use crate::cache::lookup::Cache;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::repo::apt::compression::unpack;
use crate::repo::apt::index::{IndexKind, read};
use crate::repo::apt::release::Release;
use crate::repo::apt::signature::Verified;
use crate::repo::apt::table::{Builder, Expected, Table};
use crate::repo::{Repository, Resource};
use crate::repo_path::RepoPath;
use crate::store::{Check, NewGeneration, Store};
use crate::suite::{Generation, Known, known_index};

/// Indices of a new generation that are fetched at the same time.
const AT_ONCE: usize = 4;

/// Bytes that an index may have unpacked where its release file does not say.
const UNPACKED: u64 = 2 << 30;

/// Indices that are being read into tables. Requests for packages wait for them.
#[derive(Debug)]
pub(in crate::cache) struct Building(watch::Sender<usize>);

impl Default for Building {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl Building {
    /// Has requests for packages wait until what it gives is dropped.
    pub(in crate::cache) fn begin(self: &Arc<Self>) -> Built {
        self.0.send_modify(|count| *count += 1);
        Built(Arc::clone(self))
    }

    /// Waits until none is. Returns whether there was anything to wait for.
    pub(in crate::cache) async fn done(&self) -> bool {
        let mut watcher = self.0.subscribe();
        if *watcher.borrow() == 0 {
            return false;
        }
        // The sender lives in `self`.
        let _ = watcher.wait_for(|count| *count == 0).await;
        true
    }
}

/// One table in the making.
pub(in crate::cache) struct Built(Arc<Building>);

impl Drop for Built {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

impl Cache {
    /// One refresh: the story that the module's documentation tells.
    pub(super) async fn check_suite(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
    ) -> Result<(), Failure> {
        let current = self.current(repository, folder);
        let mut failure = Failure::Unreachable("no upstream is configured".into());
        for mirror in self.mirrors(repository.index).order(Instant::now()) {
            match self.ask_release(repository, folder, mirror, current.as_deref()).await {
                Ok(Found::Same) => {
                    self.note_check(repository, folder, None).await;
                    return Ok(());
                }
                Ok(Found::New(published, verified)) => {
                    match self.consider(repository, folder, *published, verified, current.as_deref()).await {
                        Ok(()) => return Ok(()),
                        Err(why) => failure = why,
                    }
                }
                Err(why) => failure = why,
            }
        }
        if current.is_some() {
            let problem = failure.to_string();
            let text = format!("the suite stays as it is: {problem}");
            self.tell(EventKind::Pending, repository.name(), folder.as_str(), text);
            self.note_check(repository, folder, Some(problem)).await;
        }
        Err(failure)
    }

    pub(in crate::cache) fn current(
        &self,
        repository: &Repository,
        folder: &RepoPath,
    ) -> Option<Arc<Generation>> {
        self.0.suites.view(repository.index).suite(folder.as_str()).map(|suite| Arc::clone(&suite.current))
    }

    /// Judges a new release file, completes its generation and switches to it.
    async fn consider(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        published: Published,
        verified: Verified,
        current: Option<&Generation>,
    ) -> Result<(), Failure> {
        let Verified { text, signers } = verified;
        let unfit = |why: String| Failure::Untrusted {
            upstream: published.upstream.as_str().into(),
            why: why.into(),
        };
        let release = Release::parse(&text).map_err(|error| unfit(error.to_string()))?;
        let now = self.0.parts.clock.unix();
        if let Err(objection) = judge(&release, current.and_then(|current| current.row.date), now) {
            self.0.parts.metrics.verify_failure(repository.name(), "release-date");
            let kind = match objection {
                Objection::Older => Some(EventKind::DateBack),
                Objection::Expired => Some(EventKind::Expired),
                Objection::Future => None,
            };
            if let Some(kind) = kind {
                let text = format!("the release file of {} was refused: {objection}", published.upstream);
                self.tell(kind, repository.name(), folder.as_str(), text);
            }
            return Err(unfit(objection.to_string()));
        }
        let signers = good(&signers);
        if let Some(current) = current
            && !signers.is_empty()
            && !current.row.signers.is_empty()
            && !signers.iter().any(|signer| current.row.signers.contains(signer))
        {
            // Both keys are in the keyring that the administrator chose, so this is news, not an attack.
            self.0.parts.metrics.verify_failure(repository.name(), "signing-key-changed");
            let text = format!(
                "the suite is signed by {}, and was by {}",
                signers.join(", "),
                current.row.signers.join(", ")
            );
            self.tell(EventKind::SigningKeyChanged, repository.name(), folder.as_str(), text);
        }
        self.complete(repository, folder, &release).await?;
        self.adopt(repository, folder, published, text, release, signers).await
    }

    /// Fetches every index of the new generation that is used here and not in the store yet.
    async fn complete(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        release: &Release,
    ) -> Result<(), Failure> {
        let used = self.used(repository, folder).await?;
        let wanted = used
            .iter()
            .filter_map(|path| release.find(path))
            .map(|listed| known_index(folder, release, listed));
        let mut fetched = futures_util::stream::iter(wanted.collect::<Vec<_>>())
            .map(|known| self.obtain(repository, known))
            .buffer_unordered(AT_ONCE);
        while let Some(result) = fetched.next().await {
            result?;
        }
        self.0.building.done().await;
        Ok(())
    }

    async fn used(&self, repository: &Arc<Repository>, folder: &RepoPath) -> Result<Vec<Arc<str>>, Failure> {
        let store = self.0.parts.store.clone();
        let (repo, folder) = (Arc::clone(repository.name()), folder.clone());
        let since = self.0.parts.clock.unix() - USED;
        tokio::task::spawn_blocking(move || store.working_set(&repo, folder.as_str(), since))
            .await
            .map_err(|_| Failure::Stopping)?
            .map_err(|error| Failure::store(&error))
    }

    /// Has an index fetched, checked, stored and read, whatever is here of it already.
    async fn obtain(&self, repository: &Arc<Repository>, known: Known) -> Result<(), Failure> {
        let Some(place) = known.places.last() else { return Ok(()) };
        let resource = Resource::new(Arc::clone(repository), place.clone(), None);
        let entry = self.have(&resource, &known, Class::Refresh).await?;
        self.learn(repository, &known, entry.meta.digest).await;
        Ok(())
    }

    async fn adopt(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        published: Published,
        text: Vec<u8>,
        release: Release,
        signers: Vec<String>,
    ) -> Result<(), Failure> {
        let store = &self.0.parts.store;
        let put = async |bytes: Vec<u8>| {
            store.put_object(bytes).await.map(|blob| blob.digest).map_err(|error| Failure::store(&error))
        };
        let text = put(text).await?;
        let Published { form, etag, last_modified, upstream } = published;
        let (in_release, plain, signature) = match form {
            Bytes::Inline(bytes) => (Some(put(bytes).await?), None, None),
            Bytes::Pair(release, signature) => {
                let signature = match signature {
                    Some(signature) => Some(put(signature).await?),
                    None => None,
                };
                (None, Some(put(release).await?), signature)
            }
        };
        let now = self.0.parts.clock.unix();
        let new = NewGeneration {
            repo: Arc::clone(repository.name()),
            suite: folder.as_str().into(),
            text,
            in_release,
            release: plain,
            release_gpg: signature,
            etag,
            last_modified: Some(last_modified.unwrap_or(now)),
            upstream,
            date: release.date,
            valid_until: release.valid_until,
            signers,
        };
        let used = self.used(repository, folder).await?;
        let held = used.iter().filter_map(|path| release.find(path)?.checksum().sha256()).collect();
        let row = store.adopt(new, held).await.map_err(|error| Failure::store(&error))?;
        let text = format!("generation {} is current", row.id);
        self.tell(EventKind::Adopted, repository.name(), folder.as_str(), text);
        let check = self.checked(repository, folder, None);
        let generation = Arc::new(Generation::new(row, release));
        self.0.suites.change(repository.index, |view| view.adopt(Arc::clone(&generation), check.clone()));
        self.save_check(check).await;
        Ok(())
    }

    fn checked(&self, repository: &Repository, folder: &RepoPath, problem: Option<String>) -> Check {
        let now = self.0.parts.clock.unix();
        let view = self.0.suites.view(repository.index);
        let before = view.suite(folder.as_str()).and_then(|suite| suite.check.pending_since);
        Check {
            repo: Arc::clone(repository.name()),
            suite: folder.as_str().into(),
            checked_at: now,
            pending_since: problem.as_ref().map(|_| before.unwrap_or(now)),
            problem,
        }
    }

    async fn note_check(&self, repository: &Repository, folder: &RepoPath, problem: Option<String>) {
        let mut check = self.checked(repository, folder, problem);
        if check.problem.is_some() {
            // A failed check says nothing about how current the suite is.
            let view = self.0.suites.view(repository.index);
            check.checked_at = view.suite(folder.as_str()).map_or(0, |suite| suite.check.checked_at);
        }
        self.0.suites.change(repository.index, |view| view.set_check(check.clone()));
        self.save_check(check).await;
    }

    async fn save_check(&self, check: Check) {
        if let Err(error) = self.0.parts.store.set_check(check).await {
            tracing::warn!(%error, "the check of a suite cannot be noted");
        }
    }

    /// [`learn`](Self::learn) on a task of its own; from now on requests for packages wait for it.
    pub(in crate::cache) fn learn_later(&self, repository: &Arc<Repository>, known: &Known, digest: Digest) {
        let built = self.0.building.begin();
        let (cache, repository, known) = (self.clone(), Arc::clone(repository), known.clone());
        self.0.parts.tasks.spawn(async move {
            cache.learn(&repository, &known, digest).await;
            drop(built);
        });
    }

    /// Reads what an index lists into a table, unless that has been done. The index is in the store.
    pub(in crate::cache) async fn learn(&self, repository: &Arc<Repository>, known: &Known, digest: Digest) {
        let Some((folder, path)) = &known.index else { return };
        for generation in self.listing(repository, folder, path, &digest) {
            if let Err(error) = self.0.parts.store.hold(generation, vec![digest]).await {
                tracing::warn!(%error, "an index cannot be held");
            }
        }
        self.learn_table(repository, folder, path, digest).await;
    }

    /// The generations that are kept here and list these bytes at `path`.
    fn listing(
        &self,
        repository: &Repository,
        folder: &RepoPath,
        path: &RepoPath,
        digest: &Digest,
    ) -> Vec<i64> {
        let view = self.0.suites.view(repository.index);
        let Some(suite) = view.suite(folder.as_str()) else { return Vec::new() };
        std::iter::once(&suite.current)
            .chain(&suite.older)
            .filter(|generation| {
                let listed = generation.release.find(path.as_str());
                listed.is_some_and(|listed| listed.checksum().sha256() == Some(*digest))
            })
            .map(|generation| generation.row.id)
            .collect()
    }

    async fn learn_table(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        path: &RepoPath,
        digest: Digest,
    ) {
        let Some((kind, _)) = IndexKind::of(path.as_str()) else { return };
        let roots = archive_roots(folder, kind);
        let view = self.0.suites.view(repository.index);
        if roots.iter().all(|root| view.has_table(root, &digest)) {
            return;
        }
        drop(view);
        let built = self.0.building.begin();
        let (store, whole) = (self.0.parts.store.clone(), folder.child(path.as_str()));
        let table = tokio::task::spawn_blocking(move || table(&store, &whole, kind, &digest)).await;
        match table {
            Ok(Ok(table)) => {
                let table = Arc::new(table);
                self.0.suites.change(repository.index, |view| {
                    for root in &roots {
                        view.add_table(root, digest, Arc::clone(&table));
                    }
                });
            }
            Ok(Err(error)) => {
                tracing::warn!(repo = %repository.name(), suite = %folder, %path, %error, "an index cannot be read");
            }
            Err(_) => {}
        }
        drop(built);
    }

    /// Drops generations that were superseded long ago and that no channel needs, and the tables of what
    /// nobody lists any more.
    pub(super) async fn forget_generations(&self) {
        let oldest = self.0.parts.clock.unix() - self.kept_for();
        let store = self.0.parts.store.clone();
        let gone = tokio::task::spawn_blocking(move || store.droppable(oldest)).await;
        let Ok(Ok(gone)) = gone else { return };
        if gone.is_empty() {
            return;
        }
        if let Err(error) = self.0.parts.store.drop_generations(gone.clone()).await {
            tracing::warn!(%error, "old generations cannot be dropped");
            return;
        }
        // What a refresh has read for a generation to come is listed by none that is here.
        let quiet = self.0.refreshes.is_empty();
        for repository in self.0.parts.repositories.list() {
            self.0.suites.change(repository.index, |view| {
                view.drop_older(&gone);
                if quiet {
                    view.drop_tables();
                }
            });
        }
    }

    /// How long superseded generations are kept, in seconds: as long as some channel may still be promoted
    /// to them.
    fn kept_for(&self) -> i64 {
        let longest = self.0.parts.channels.iter().filter_map(|channel| channel.after).max();
        let longest = longest.map_or(0, |after| i64::try_from(after.as_secs()).unwrap_or(i64::MAX / 2));
        // A day more, for a server that was off when its time came.
        KEPT.max(longest + 24 * 3600)
    }
}

/// Below which folders the paths that an index lists may be meant. In a flat repository they are
/// relative to what stands before the folder in the source's line, which we cannot know: the folder
/// itself, usually, or the repository's root.
pub(in crate::cache) fn archive_roots(folder: &RepoPath, kind: IndexKind) -> Vec<Arc<str>> {
    if kind == IndexKind::Patches {
        return vec![Arc::from("")];
    }
    let text = folder.as_str();
    let before_dists = if text == "dists" || text.starts_with("dists/") {
        Some("")
    } else {
        text.find("/dists/").map(|at| &text[..at])
    };
    match before_dists {
        Some(root) => vec![Arc::from(root)],
        None if text.is_empty() => vec![Arc::from("")],
        None => vec![Arc::from(text), Arc::from("")],
    }
}

/// The table of a stored index: loaded, or built and saved.
pub(in crate::cache) fn table(
    store: &Store,
    path: &RepoPath,
    kind: IndexKind,
    digest: &Digest,
) -> io::Result<Table> {
    let stored = |error: crate::store::Error| io::Error::other(error.to_string());
    if let Some(table) =
        store.load_table(digest).map_err(stored)?.and_then(|bytes| Table::from_bytes(bytes).ok())
    {
        return Ok(table);
    }
    let blob = store.object(digest).map_err(stored)?.ok_or(io::ErrorKind::NotFound)?;
    let (_, compression) =
        IndexKind::of(path.as_str()).unwrap_or((kind, crate::repo::apt::compression::Compression::None));
    let packed = io::BufReader::new(Positioned { file: blob.file, position: 0 });
    let mut builder = Builder::new();
    let mut full = None;
    // Patches are relative to their index's own folder; everything else to the archive's root.
    let prefix = if kind == IndexKind::Patches { format!("{}/", path.parent()) } else { String::new() };
    read(kind, unpack(compression, packed, UNPACKED)?, |item| {
        let expected = Expected { size: item.size, checksum: item.checksum };
        let added = if prefix.is_empty() {
            builder.add(&item.path, &expected)
        } else {
            builder.add(&format!("{prefix}{}", item.path), &expected)
        };
        if let Err(error) = added {
            full = Some(error);
        }
    })
    .map_err(io::Error::other)?;
    if let Some(error) = full {
        return Err(io::Error::other(error));
    }
    let table = builder.finish();
    store.save_table(digest, table.as_bytes()).map_err(stored)?;
    Ok(table)
}

/// Reads a shared file from its beginning without moving a cursor that others use.
struct Positioned {
    file: Arc<std::fs::File>,
    position: u64,
}

impl io::Read for Positioned {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = std::os::unix::fs::FileExt::read_at(&*self.file, buffer, self.position)?;
        self.position += count as u64;
        Ok(count)
    }
}
