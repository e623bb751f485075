//! Making plans: has what is needed, and assembles it.
//!
//! One plan is made at a time, since each takes some 150 MB for a large release. It is made by a task that
//! belongs to nobody who asks: who asks meanwhile waits for the same one, and who stops waiting can ask again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

use super::assemble::{AssemblyError, Material, assemble};
use super::config::Config;
use super::gather::folder;
use super::obtain::{Shelved, read_list, take_suite};
use super::plan::Plan;
use crate::cache::{Cache, Failure};
use crate::repo::Repository;
use crate::safe_url::Host;
use crate::wan::Governor;

/// How long a finished plan waits for whoever asked for it.
const KEPT: Duration = Duration::from_mins(5);

/// Makes plans; clones are the same one.
#[derive(Clone)]
pub struct Planner(Arc<Inner>);

struct Inner {
    cache: Cache,
    /// Replaced as a whole when the configuration is read again.
    seeds: ArcSwap<Vec<Arc<Config>>>,
    governor: Governor,
    turn: Semaphore,
    /// Held for single operations only.
    jobs: Mutex<Jobs>,
}

/// By the seed's name and whether what is missing is fetched.
type Key = (Arc<str>, bool);

/// The plans that are made, and those that nobody has taken yet: at most two for each seed, of some 20 MB each
/// for a whole large release.
type Jobs = HashMap<Key, Job>;

type Outcome = Option<Result<Arc<Plan>, PlanError>>;

#[derive(Clone)]
struct Job {
    since: Instant,
    outcome: watch::Receiver<Outcome>,
}

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
    /// For configured seeds, which will use the line as `governor` lets them.
    #[must_use]
    pub fn new(cache: Cache, seeds: Vec<Config>, governor: Governor) -> Self {
        let seeds = ArcSwap::from_pointee(seeds.into_iter().map(Arc::new).collect());
        Self(Arc::new(Inner { cache, seeds, governor, turn: Semaphore::new(1), jobs: Mutex::default() }))
    }

    /// Plans these seeds from now on. A plan that is being made is finished as it was asked for.
    pub fn set_seeds(&self, seeds: Vec<Config>) {
        let seeds: Vec<_> = seeds.into_iter().map(Arc::new).collect();
        self.0.seeds.store(Arc::new(seeds));
        // A plan that is under way may be one of a seed that is another now: who asks next gets a new one.
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every seed.
    #[must_use]
    pub fn seeds(&self) -> Vec<SeedFacts> {
        self.0.seeds.load().iter().map(|config| self.facts(config)).collect()
    }

    /// The seeds as they are configured.
    pub(super) fn configs(&self) -> Vec<Arc<Config>> {
        self.0.seeds.load().to_vec()
    }

    /// A seed as it is configured.
    pub(super) fn config(&self, name: &str) -> Option<Arc<Config>> {
        self.0.seeds.load().iter().find(|config| *config.name == *name).cloned()
    }

    /// The same, or that there is none.
    pub(super) fn known(&self, name: &str) -> Result<Arc<Config>, PlanError> {
        self.config(name).ok_or_else(|| {
            let seeds = self.0.seeds.load_full();
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
        let config = &self.known(name)?;
        let key = (Arc::clone(&config.name), fetch);
        let mut outcome = self.join(&key, config);
        let made = async { outcome.wait_for(Option::is_some).await.ok().and_then(|made| made.clone()) };
        let Ok(made) = tokio::time::timeout(patience, made).await else { return Ok(None) };
        forget(&mut self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner), &key, &outcome);
        made.unwrap_or(Err(PlanError::Stopping)).map(Some)
    }

    /// The job that makes this plan, started unless it runs.
    fn join(&self, key: &Key, config: &Arc<Config>) -> watch::Receiver<Outcome> {
        let mut jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, job| job.outcome.borrow().is_none() || job.since.elapsed() < KEPT);
        if let Some(job) = jobs.get(key) {
            return job.outcome.clone();
        }
        let (sender, outcome) = watch::channel(None);
        jobs.insert(key.clone(), Job { since: Instant::now(), outcome: outcome.clone() });
        let (planner, config, fetch) = (self.clone(), Arc::clone(config), key.1);
        let tasks = self.0.cache.tasks().clone();
        self.0.cache.tasks().spawn(async move {
            let made = tokio::select! {
                made = planner.make(config, fetch) => made,
                () = tasks.stopping() => Err(PlanError::Stopping),
            };
            // Nobody may be waiting any more.
            let _ = sender.send(Some(made.map(Arc::new)));
        });
        outcome
    }

    async fn make(&self, config: Arc<Config>, fetch: bool) -> Result<Plan, PlanError> {
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
            let taken = take_suite(cache, &repository, suite, fetch, &mut material).await?;
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

/// Forgets a job whose outcome was delivered: who asks next wants to know how it is then. Whoever waited for it
/// as well may come later, when the next one runs already.
fn forget(jobs: &mut Jobs, key: &Key, delivered: &watch::Receiver<Outcome>) {
    if jobs.get(key).is_some_and(|job| job.outcome.same_channel(delivered)) {
        jobs.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_late_for_one_plan_does_not_forget_the_next() {
        let key: Key = ("desktop".into(), true);
        let mut jobs = Jobs::default();
        let begin = |jobs: &mut Jobs| {
            let (_, outcome) = watch::channel(None);
            jobs.insert(key.clone(), Job { since: Instant::now(), outcome: outcome.clone() });
            outcome
        };
        let first = begin(&mut jobs);
        let late = first.clone();
        forget(&mut jobs, &key, &first);
        assert!(jobs.is_empty());
        let next = begin(&mut jobs);
        forget(&mut jobs, &key, &late);
        assert!(jobs[&key].outcome.same_channel(&next));
    }
}
