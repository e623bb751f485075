//! The suites as they were when the program ended.

use std::io;
use std::sync::Arc;

use super::build::archive_roots;
use crate::cache::lookup::Cache;
use crate::repo::Repository;
use crate::repo::apt::index::IndexKind;
use crate::repo::apt::release::Release;
use crate::repo::apt::table::Table;
use crate::repo_path::RepoPath;
use crate::store::{self, Check, Store};
use crate::suite::{Generation, Pinned, View};

impl Cache {
    /// Reads generations, channels and tables back from the store. Blocking: a few milliseconds for each
    /// suite. A generation whose release file is gone is left out, and its suite asked for anew.
    ///
    /// # Errors
    /// The catalog cannot be read.
    pub fn restore(&self) -> Result<(), store::Error> {
        let store = &self.0.parts.store;
        let rows = store.generations()?;
        let checks = store.checks()?;
        let pins = store.pins()?;
        for repository in self.0.parts.repositories.list() {
            let mut view = View::default();
            for row in rows.iter().filter(|row| row.repo == *repository.name()) {
                match generation(store, row.clone()) {
                    Ok(generation) => show(&mut view, repository, store, Arc::new(generation), &checks),
                    Err(error) => {
                        tracing::warn!(repo = %row.repo, suite = %row.suite, generation = row.id, %error,
                        "a generation cannot be read any more")
                    }
                }
            }
            for pin in pins.iter().filter(|pin| pin.repo == *repository.name()) {
                let there = view.generation(&pin.suite, pin.generation).is_some();
                let pinned = there.then_some(Pinned { generation: pin.generation, since: pin.since });
                view.set_pin(&pin.channel, &pin.suite, pinned);
            }
            self.0.suites.change(repository.index, |shown| *shown = view.clone());
        }
        Ok(())
    }
}

fn generation(store: &Store, row: store::Generation) -> io::Result<Generation> {
    let missing = |error: store::Error| io::Error::other(error.to_string());
    let blob = store.object(&row.text).map_err(missing)?.ok_or(io::ErrorKind::NotFound)?;
    let mut text = vec![0; usize::try_from(blob.size).unwrap_or_default()];
    std::os::unix::fs::FileExt::read_exact_at(&*blob.file, &mut text, 0)?;
    let release = Release::parse(&text).map_err(io::Error::other)?;
    Ok(Generation::new(row, release))
}

fn show(
    view: &mut View,
    repository: &Repository,
    store: &Store,
    generation: Arc<Generation>,
    checks: &[Check],
) {
    let folder = Arc::clone(&generation.row.suite);
    add_tables(view, store, &generation);
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

fn add_tables(view: &mut View, store: &Store, generation: &Generation) {
    let Ok(folder) = RepoPath::from_decoded(&generation.row.suite) else { return };
    for listed in generation.release.files() {
        let Some((kind, _)) = IndexKind::of(listed.path.as_str()) else { continue };
        let Some(digest) = listed.checksum().sha256() else { continue };
        let roots = archive_roots(&folder, kind);
        if roots.iter().all(|root| view.has_table(root, &digest)) {
            continue;
        }
        let Ok(Some(bytes)) = store.load_table(&digest) else { continue };
        match Table::from_bytes(bytes) {
            Ok(table) => {
                let table = Arc::new(table);
                for root in &roots {
                    view.add_table(root, digest, Arc::clone(&table));
                }
            }
            // It is built again when its index is asked for.
            Err(error) => tracing::warn!(%digest, %error, "a table is damaged"),
        }
    }
}
