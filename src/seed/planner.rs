//! Making plans: has what is needed, and assembles it.
//!
//! One plan is made at a time, since each takes some 150 MB for a large release. It is made by a task that
//! belongs to nobody who asks: who asks meanwhile waits for the same one, and who stops waiting can ask again.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::assemble::{AssemblyError, Material, assemble};
use super::config::Config;
use super::gather::folder;
use super::learned::{self, Learning};
use super::obtain::{Shelved, read_list, take_suite};
use super::once::Jobs;
use super::plan::{Part, Plan};
use super::rehearsal::RehearsalFacts;
use crate::cache::{Cache, Failure};
use crate::repo::Repository;
use crate::safe_url::Host;
use crate::wan::Governor;

/// Makes plans; clones are the same one.
#[derive(Clone)]
pub struct Planner(Arc<Inner>);

struct Inner {
    cache: Cache,
    /// Replaced as a whole when the configuration is read again, and when something is learned.
    seeds: ArcSwap<Seeds>,
    governor: Governor,
    turn: Semaphore,
    /// Plans of some 20 MB each for a whole large release, until whoever asked has taken them.
    plans: Jobs<Key, Planned>,
    rehearsals: Rehearsals,
}

/// The seeds that there are.
#[derive(Clone)]
struct Seeds {
    configured: Vec<Arc<Config>>,
    learning: Learning,
    /// Those that are there without being configured.
    learned: Vec<Arc<Config>>,
}

impl Seeds {
    fn new(configured: Vec<Config>, learning: Learning) -> Self {
        Self { configured: configured.into_iter().map(Arc::new).collect(), learning, learned: Vec::new() }
    }
}

/// By the seed's name and whether what is missing is fetched.
type Key = (Arc<str>, bool);

type Planned = Result<Arc<Plan>, PlanError>;

/// By the two releases and whether what is missing is fetched.
pub(super) type Rehearsals = Jobs<(String, String, bool), Result<Arc<RehearsalFacts>, PlanError>>;

/// Why there is no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// No seed of the name is configured.
    #[error("there is no seed {0:?} in the configuration; there are {1}")]
    Unknown(String, String),
    /// Something is not here, and upstream was not to be asked.
    #[error("{0} is not here yet; plan the seed on the command line, or with POST, to have it fetched")]
    NotHere(String),
    /// Something cannot be fetched.
    #[error("{what} cannot be had: {why}")]
    Failed {
        /// The suite or index.
        what: String,
        /// Why.
        why: Failure,
    },
    /// The selection list cannot be read.
    #[error("the selection list {file} cannot be read: {why}")]
    Selections {
        /// Its path.
        file: String,
        /// What the system said.
        why: Arc<str>,
    },
    /// What is here makes no plan.
    #[error("{0}")]
    Assembly(Arc<str>),
    /// The program is ending.
    #[error("the server is shutting down")]
    Stopping,
}

/// A seed as administrators see it in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedFacts {
    /// Its name.
    pub seed: String,
    /// The repository's name.
    pub repo: String,
    /// Its suites, each with the number of its generation where it is here.
    pub suites: Vec<SeedSuite>,
    /// Its components; all when empty.
    pub components: Vec<String>,
    /// Its architectures.
    pub architectures: Vec<String>,
    /// What is wanted, in words.
    pub wanted: String,
    /// When it may use the line.
    pub hours: Option<String>,
    /// Most bytes that it may take.
    pub budget: Option<u64>,
}

/// A suite of a seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSuite {
    /// As it is configured.
    pub suite: String,
    /// The number of the current generation; null when nobody has asked for it yet.
    pub generation: Option<i64>,
}

impl Planner {
    /// For configured seeds, and built-in ones, which will use the line as `governor` lets them.
    #[must_use]
    pub fn new(cache: Cache, seeds: Vec<Config>, learning: Learning, governor: Governor) -> Self {
        let seeds = ArcSwap::from_pointee(Seeds::new(seeds, learning));
        let (turn, plans, rehearsals) = (Semaphore::new(1), Jobs::default(), Jobs::default());
        Self(Arc::new(Inner { cache, seeds, governor, turn, plans, rehearsals }))
    }

    pub(super) fn cache(&self) -> &Cache {
        &self.0.cache
    }

    /// Waits until no other plan is made, as long as what it gives is kept.
    pub(super) async fn turn(&self) -> Result<SemaphorePermit<'_>, PlanError> {
        self.0.turn.acquire().await.map_err(|_| PlanError::Stopping)
    }

    pub(super) fn rehearsals(&self) -> &Rehearsals {
        &self.0.rehearsals
    }

    /// Plans these seeds from now on. A plan that is being made is finished as it was asked for.
    pub fn set_seeds(&self, seeds: Vec<Config>, learning: Learning) {
        self.0.seeds.store(Arc::new(Seeds::new(seeds, learning)));
        // A plan that is under way may be one of a seed that is another now: who asks next gets a new one.
        self.0.plans.clear();
        self.0.rehearsals.clear();
    }

    /// Finds out which seeds are there without being configured. What desktops asked for until now counts.
    pub async fn learn(&self) {
        let seeds = self.0.seeds.load_full();
        if !seeds.learning.enabled {
            return;
        }
        self.0.cache.settle_demand().await;
        let (cache, known) = (self.0.cache.clone(), Arc::clone(&seeds));
        let found =
            tokio::task::spawn_blocking(move || learned::seeds(&cache, &known.learning, &known.configured));
        match found.await {
            Ok(Ok(learned)) => {
                let next = Arc::new(Seeds { learned, ..Seeds::clone(&seeds) });
                // Another configuration, or what another look found, stays.
                self.0.seeds.compare_and_swap(&seeds, next);
            }
            Ok(Err(error)) => tracing::warn!(%error, "what desktops ask for cannot be looked up"),
            // The program ends.
            Err(_) => {}
        }
    }

    /// Every seed.
    #[must_use]
    pub fn seeds(&self) -> Vec<SeedFacts> {
        self.configs().iter().map(|config| self.facts(config)).collect()
    }

    /// The seeds as they are configured, and those that are built in, as of when that was [looked
    /// up](Self::learn) last.
    pub(super) fn configs(&self) -> Vec<Arc<Config>> {
        let seeds = self.0.seeds.load();
        seeds.configured.iter().chain(&seeds.learned).cloned().collect()
    }

    /// One of them.
    pub(super) fn config(&self, name: &str) -> Option<Arc<Config>> {
        self.configs().into_iter().find(|config| *config.name == *name)
    }

    /// The same, or that there is none.
    pub(super) fn known(&self, name: &str) -> Result<Arc<Config>, PlanError> {
        self.config(name).ok_or_else(|| {
            let seeds = self.configs();
            let known: Vec<_> = seeds.iter().map(|config| &*config.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            PlanError::Unknown(name.to_owned(), known)
        })
    }

    pub(super) fn facts(&self, config: &Config) -> SeedFacts {
        let repository = self.0.cache.repository_named(&config.repo);
        let generation = |suite: &String| {
            let folder = folder(suite).ok()?;
            Some(self.0.cache.current_generation(repository.as_deref()?, &folder)?.row.id)
        };
        let suite = |suite: &String| SeedSuite { suite: suite.clone(), generation: generation(suite) };
        SeedFacts {
            seed: config.name.to_string(),
            repo: config.repo.to_string(),
            suites: config.suites.iter().map(suite).collect(),
            components: config.components.clone(),
            architectures: config.architectures.clone(),
            wanted: config.packages.to_string(),
            hours: config.hours.map(|hours| hours.to_string()),
            budget: config.budget,
        }
    }

    /// Makes a plan, or waits for the one that is being made, up to `patience`; `None` when it is not there by
    /// then. With `fetch`, suites and indices that are not here are asked for upstream.
    ///
    /// # Errors
    /// [`PlanError`].
    pub async fn plan(
        &self,
        name: &str,
        fetch: bool,
        patience: Duration,
    ) -> Result<Option<Arc<Plan>>, PlanError> {
        if self.config(name).is_none_or(|config| config.built_in) {
            self.learn().await;
        }
        let config = self.known(name)?;
        let key = (Arc::clone(&config.name), fetch);
        let planner = self.clone();
        let work = || async move { planner.make(config, fetch).await.map(Arc::new) };
        let ending = (self.0.cache.tasks(), Err(PlanError::Stopping));
        self.0.plans.outcome(&key, patience, ending, work).await.transpose()
    }

    /// Makes a plan when its turn comes; for a seed that need not be configured.
    pub(super) async fn make(&self, config: Arc<Config>, fetch: bool) -> Result<Plan, PlanError> {
        let _turn = self.0.turn.acquire().await.map_err(|_| PlanError::Stopping)?;
        let cache = &self.0.cache;
        let Some(repository) = cache.repository_named(&config.repo) else {
            return Err(PlanError::NotHere(format!("the repository {}", config.repo)));
        };
        let mut material = Material {
            config: Arc::clone(&config),
            suites: Vec::new(),
            selections: String::new(),
            learned: Vec::new(),
            unresolved: Vec::new(),
        };
        for suite in &config.suites {
            let mut taken = take_suite(cache, &repository, suite, fetch, &mut material).await?;
            if config.built_in {
                // A refresh brings the indices that desktops use; others are nobody's wish.
                taken.files.retain(|file| file.part == Part::Release);
            }
            material.suites.push(taken);
        }
        if config.packages.learned {
            cache.settle_demand().await;
        }
        let (cache, governor) = (cache.clone(), self.0.governor.clone());
        tokio::task::spawn_blocking(move || {
            if let Some(file) = &config.packages.selections {
                material.selections = read_list(file)?;
            }
            let assembly = |error: &dyn std::fmt::Display| PlanError::Assembly(error.to_string().into());
            if config.packages.learned {
                let asked = cache.demand(&repository).map_err(|error| assembly(&error))?;
                material.learned = asked.into_iter().map(|one| one.package).collect();
            }
            let store = Shelved { cache: &cache, repository: &repository };
            let mut plan = assemble(&material, &store).map_err(|error: AssemblyError| assembly(&error))?;
            let hosts = upstream_hosts(&repository);
            plan.forecast = governor.forecast(plan.bytes_missing(), plan.hours, &hosts);
            Ok(plan)
        })
        .await
        .map_err(|_| PlanError::Stopping)?
    }
}

/// The hosts that a repository's files may come from.
pub(super) fn upstream_hosts(repository: &Repository) -> Vec<Host> {
    repository.config.upstreams.iter().map(|base| base.origin.host.clone()).collect()
}
