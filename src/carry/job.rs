//! One job at a time, and how far it is.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::export;
use super::facts::{CarryFacts, CarryKind};
use super::import;
use crate::cache::Cache;
use crate::seed::Planner;

/// What is to be written to a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportOrder {
    /// The seed's name.
    pub seed: String,
    /// The folder to write to; made when it is not there. Absolute.
    pub to: PathBuf,
    /// What the other side has already: the number of a generation, or the path of an earlier bundle.
    #[serde(default)]
    pub since: Option<String>,
}

/// What is to be taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportOrder {
    /// Files and folders, absolute.
    pub paths: Vec<PathBuf>,
    /// Only tell what would be.
    #[serde(default)]
    pub dry_run: bool,
}

/// A job is running already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an export or import is running already; wait for its end")]
pub struct Busy;

/// Runs exports and imports; clones are the same one.
#[derive(Clone)]
pub struct Carrier(Arc<Inner>);

struct Inner {
    cache: Cache,
    planner: Planner,
    /// Held for single operations only.
    facts: Mutex<Option<CarryFacts>>,
}

/// How a job tells how far it is.
#[derive(Clone)]
pub(super) struct Progress(Arc<Inner>);

impl Carrier {
    /// For what is kept here.
    #[must_use]
    pub fn new(cache: Cache, planner: Planner) -> Self {
        Self(Arc::new(Inner { cache, planner, facts: Mutex::default() }))
    }

    /// The job that runs, or the last one since the start.
    #[must_use]
    pub fn facts(&self) -> Option<CarryFacts> {
        self.0.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins an export; it belongs to the program from then on.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn start_export(&self, order: ExportOrder) -> Result<CarryFacts, Busy> {
        let facts = self.begin(CarryKind::Export, false)?;
        let (cache, planner) = (self.0.cache.clone(), self.0.planner.clone());
        let progress = Progress(Arc::clone(&self.0));
        self.0.cache.tasks().spawn(async move {
            let ended = export::run(&cache, &planner, &order, &progress).await;
            progress.end(ended);
        });
        Ok(facts)
    }

    /// Begins an import, as above.
    ///
    /// # Errors
    /// [`Busy`].
    pub fn start_import(&self, order: ImportOrder) -> Result<CarryFacts, Busy> {
        let facts = self.begin(CarryKind::Import, order.dry_run)?;
        let cache = self.0.cache.clone();
        let progress = Progress(Arc::clone(&self.0));
        self.0.cache.tasks().spawn(async move {
            let ended = import::run(cache, order, progress.clone()).await;
            progress.end(ended);
        });
        Ok(facts)
    }

    fn begin(&self, kind: CarryKind, dry_run: bool) -> Result<CarryFacts, Busy> {
        let mut facts = self.0.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.as_ref().is_some_and(|facts| facts.running) {
            return Err(Busy);
        }
        let number = facts.as_ref().map_or(1, |facts| facts.number + 1);
        let new = CarryFacts::new(number, kind, dry_run);
        *facts = Some(new.clone());
        Ok(new)
    }
}

impl Progress {
    /// Changes what is told.
    pub(super) fn change(&self, change: impl FnOnce(&mut CarryFacts)) {
        let mut facts = self.0.facts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(facts) = facts.as_mut() {
            change(facts);
        }
    }

    fn end(&self, ended: Result<(), String>) {
        if let Err(problem) = &ended {
            tracing::warn!(%problem, "an export or import ended before its end");
        }
        self.change(|facts| {
            facts.running = false;
            facts.step.clear();
            facts.problem = ended.err();
        });
    }
}
