//! The suites as they were when the program ended.

use std::io;
use std::sync::Arc;

use super::learn::{archive_roots, table};
use crate::cache::lookup::Cache;
use crate::cache::serve::checksum_key;
use crate::digest::Digest;
use crate::repo::Repository;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::index::IndexKind;
use crate::repo::apt::release::Release;
use crate::repo::apt::table::Table;
use crate::repo::document::Document;
use crate::repo_path::RepoPath;
use crate::store::{self, Check, Store};
use crate::suite::{Generation, Known, Pinned, View, known_index};

impl Cache {
    /// Reads generations, channels and tables back from the store. Blocking: a few milliseconds for each
    /// suite. A generation whose release file is gone is left out, and its suite asked for anew; an index
    /// whose table is gone, or was not made before the end, is read again in the background, within the
    /// runtime that this must be called from; at once where a channel points at its generation, because
    /// nothing that is listed there may be evicted.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn restore(&self) -> Result<(), store::Error> {
        let restored = self.restored(self.0.repositories().list())?;
        self.show_restored(restored);
        Ok(())
    }

    /// Reads the suites of these repositories, and shows nothing of them yet.
    pub(in crate::cache) fn restored(
        &self,
        repositories: &[Arc<Repository>],
    ) -> Result<Vec<Restored>, store::Error> {
        let store = &self.0.parts.store;
        let rows = store.generations()?;
        let checks = store.checks()?;
        let pins = store.pins()?;
        let pinned = store.pinned_generations()?;
        let now = self.0.parts.clock.unix();
        let mut all = Vec::new();
        for repository in repositories {
            let mut unread = Vec::new();
            let mut view = View::default();
            for row in rows.iter().filter(|row| row.repo == *repository.name()) {
                match generation(store, repository, row.clone()) {
                    Ok((row, release)) => {
                        let before = view.suite(&row.suite).map(|suite| &*suite.current);
                        let generation = Arc::new(Generation::new(row, release, before));
                        let at_once = pinned.contains(&generation.row.id);
                        for (known, digest) in
                            add_tables(&mut view, store, repository, &generation, (now, at_once))
                        {
                            unread.push((known, digest));
                        }
                        show(&mut view, repository, generation, &checks);
                    }
                    Err(error) => {
                        tracing::warn!(repo = %row.repo, suite = %row.suite, generation = row.id, %error,
                        "a generation cannot be read any more");
                    }
                }
            }
            for pin in pins.iter().filter(|pin| pin.repo == *repository.name()) {
                let there = view.generation(&pin.suite, pin.generation).is_some();
                let pinned = there.then_some(Pinned { generation: pin.generation, since: pin.since });
                view.set_pin(&pin.channel, &pin.suite, pinned);
            }
            all.push(Restored { repository: Arc::clone(repository), view, unread });
        }
        Ok(all)
    }

    /// Lets requests see what was read, and has the rest of it read.
    pub(in crate::cache) fn show_restored(&self, restored: Vec<Restored>) {
        for Restored { repository, view, unread } in restored {
            self.0.suites.change(repository.index, |shown| *shown = view.clone());
            for (known, digest) in unread {
                self.learn_later(&repository, &known, digest, self.0.building.begin());
            }
        }
    }
}

/// The suites of a repository as they were.
pub(in crate::cache) struct Restored {
    repository: Arc<Repository>,
    view: View,
    /// Indices whose tables are still to be made.
    unread: Vec<(Known, Digest)>,
}

fn generation(
    store: &Store,
    repository: &Repository,
    row: store::Generation,
) -> io::Result<(store::Generation, Release)> {
    let missing = |error: store::Error| io::Error::other(error.to_string());
    let blob = store.object(&row.text).map_err(missing)?.ok_or(io::ErrorKind::NotFound)?;
    let mut text = vec![0; usize::try_from(blob.size).unwrap_or_default()];
    std::os::unix::fs::FileExt::read_exact_at(&*blob.file, &mut text, 0)?;
    let suite = RepoPath::from_decoded(&row.suite).map_err(io::Error::other)?;
    let release = Document::of(&repository.config, &suite).read(&text).map_err(io::Error::other)?;
    Ok((row, release))
}

fn show(view: &mut View, repository: &Repository, generation: Arc<Generation>, checks: &[Check]) {
    let folder = Arc::clone(&generation.row.suite);
    let never = || Check {
        repo: Arc::clone(repository.name()),
        suite: Arc::clone(&folder),
        checked_at: 0,
        problem: None,
        pending_since: None,
    };
    let check = checks.iter().find(|check| check.repo == *repository.name() && check.suite == folder);
    // Rows come oldest first, so that each makes the one before it older.
    view.adopt(generation, check.cloned().unwrap_or_else(never));
}

/// Adds the tables of the generation's indices, and gives the indices that are here without one. Those are
/// read `at_once`, or left to be read later.
fn add_tables(
    view: &mut View,
    store: &Store,
    repository: &Repository,
    generation: &Generation,
    (now, at_once): (i64, bool),
) -> Vec<(Known, Digest)> {
    let mut unread = Vec::new();
    let Ok(folder) = RepoPath::from_decoded(&generation.row.suite) else { return unread };
    for listed in generation.release.indices() {
        let Some((kind, _)) = IndexKind::of(listed.path.as_str()) else { continue };
        let checksum = listed.checksum();
        let roots = archive_roots(&folder, kind);
        if roots.iter().all(|root| view.has_table(root, &checksum)) {
            continue;
        }
        let Some(digest) = digest_of(store, repository, &checksum) else { continue };
        let loaded = store.load_table(&digest).ok().flatten().map(Table::from_bytes);
        let mut add = |table: Table| {
            let table = Arc::new(table);
            for root in &roots {
                view.add_table(root, checksum, Arc::clone(&table), now);
            }
        };
        match loaded {
            Some(Ok(table)) => add(table),
            _ if at_once => match table(store, &folder.child(listed.path.as_str()), kind, &digest) {
                Ok(table) => add(table),
                // The index went with its disk, or never came.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    tracing::warn!(%digest, %error, "an index that a channel points at cannot be read");
                }
            },
            Some(Err(error)) => {
                tracing::warn!(%digest, %error, "a table is damaged; it is made again");
                unread.push((known_index(&folder, &generation.release, listed), digest));
            }
            None if matches!(store.object(&digest), Ok(Some(_))) => {
                unread.push((known_index(&folder, &generation.release, listed), digest));
            }
            None => {}
        }
    }
    unread
}

/// The name of the object with this checksum, if the catalog knows it.
pub(super) fn digest_of(store: &Store, repository: &Repository, checksum: &Checksum) -> Option<Digest> {
    let named = || store.entry(&checksum_key(repository, checksum)).ok().flatten();
    checksum.sha256().or_else(|| named().map(|meta| meta.digest))
}
