//! Reading indices: from a stored index to the table of what it lists.

use std::io;
use std::sync::Arc;

use tokio::sync::watch;

use crate::cache::lookup::Cache;
use crate::digest::Digest;
use crate::repo::Repository;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::compression::unpack;
use crate::repo::apt::index::{IndexKind, read};
use crate::repo::apt::table::{Builder, Expected, Table};
use crate::repo_path::RepoPath;
use crate::store::Store;
use crate::suite::Known;

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
    /// One more, until the value is dropped.
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
    /// [`learn`](Self::learn) on a task of its own, with which `built` ends.
    pub(in crate::cache) fn learn_later(
        &self,
        repository: &Arc<Repository>,
        known: &Known,
        digest: Digest,
        built: Built,
    ) {
        let (cache, repository, known) = (self.clone(), Arc::clone(repository), known.clone());
        self.0.parts.tasks.spawn(async move {
            cache.learn(&repository, &known, digest).await;
            drop(built);
        });
    }

    /// Reads what an index lists into a table, unless that has been done, and holds it for the generation
    /// that is current. The index is in the store.
    pub(in crate::cache) async fn learn(&self, repository: &Arc<Repository>, known: &Known, digest: Digest) {
        let Some((folder, path)) = &known.index else { return };
        for generation in self.listing(repository, folder, path, &known.expected.checksum) {
            self.hold(generation, digest).await;
        }
        self.learn_table(repository, known, digest).await;
    }

    /// Keeps an index from eviction; the catalog is told once.
    async fn hold(&self, generation: i64, index: Digest) {
        if self.0.held.get(&(generation, index)).is_some() {
            return;
        }
        match self.0.parts.store.hold(generation, vec![index]).await {
            Ok(()) => self.0.held.insert((generation, index), ()),
            Err(error) => tracing::warn!(%error, "an index cannot be held"),
        }
    }

    /// The generations that are kept here and list these bytes at `path`.
    fn listing(
        &self,
        repository: &Repository,
        folder: &RepoPath,
        path: &RepoPath,
        checksum: &Checksum,
    ) -> Vec<i64> {
        let view = self.0.suites.view(repository.index);
        let Some(suite) = view.suite(folder.as_str()) else { return Vec::new() };
        std::iter::once(&suite.current)
            .chain(&suite.older)
            .filter(|generation| {
                let listed = generation.release.find(path.as_str());
                listed.is_some_and(|listed| listed.checksum() == *checksum)
            })
            .map(|generation| generation.row.id)
            .collect()
    }

    async fn learn_table(&self, repository: &Arc<Repository>, known: &Known, digest: Digest) {
        let Some((folder, path)) = &known.index else { return };
        let Some((kind, _)) = IndexKind::of(path.as_str()) else { return };
        let (roots, checksum) = (archive_roots(folder, kind), known.expected.checksum);
        let view = self.0.suites.view(repository.index);
        if roots.iter().all(|root| view.has_table(root, &checksum)) {
            return;
        }
        drop(view);
        let built = self.0.building.begin();
        // One after the other: whoever waits for the same index finds it read, and memory is that of one.
        let turn = Arc::clone(&self.0.reading).lock_owned().await;
        let view = self.0.suites.view(repository.index);
        if roots.iter().all(|root| view.has_table(root, &checksum)) {
            return;
        }
        drop(view);
        self.0.parts.metrics.index_read();
        let (store, whole) = (self.0.parts.store.clone(), folder.child(path.as_str()));
        // The turn goes along: reading goes on to its end, even if nobody waits for it any more.
        let read = tokio::task::spawn_blocking(move || (table(&store, &whole, kind, &digest), turn)).await;
        match read {
            Ok((Ok(table), _turn)) => {
                let (table, now) = (Arc::new(table), self.0.parts.clock.unix());
                self.0.suites.change(repository.index, |view| {
                    for root in &roots {
                        view.add_table(root, checksum, Arc::clone(&table), now);
                    }
                });
            }
            Ok((Err(error), _turn)) => {
                tracing::warn!(repo = %repository.name(), suite = %folder, %path, %error, "an index cannot be read");
            }
            Err(_) => {}
        }
        drop(built);
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
    let table = build_table(path, kind, blob.reader())?;
    store.save_table(digest, table.as_bytes()).map_err(stored)?;
    Ok(table)
}

/// The table of an index, whose place is `path`.
pub(in crate::cache) fn build_table(
    path: &RepoPath,
    kind: IndexKind,
    packed: impl io::Read + Send,
) -> io::Result<Table> {
    let (_, compression) =
        IndexKind::of(path.as_str()).unwrap_or((kind, crate::repo::apt::compression::Compression::None));
    let packed = io::BufReader::new(packed);
    let mut builder = Builder::new();
    let mut full = None;
    // Patches are relative to their index's own folder; everything else to the archive's root.
    let prefix = if kind == IndexKind::Patches { format!("{}/", path.parent()) } else { String::new() };
    read(kind, unpack(compression, packed, UNPACKED)?, |item| {
        let expected = Expected { size: item.size, checksum: item.checksum };
        let added = if prefix.is_empty() {
            if kind == IndexKind::Packages {
                builder.name(&item.path, item.package, item.architecture);
            }
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
    Ok(builder.finish())
}
