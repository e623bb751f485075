//! Runs of seeds: by hand, by the clock, and on from where a crash interrupted them.
//!
//! At most one run of a seed is under way; it belongs to nobody who asked for it. Runs of seeds of one
//! repository share the places for transfers. A seed with hours runs by itself: once each time they come, after
//! each new generation of its suites within them, and an hour after a run to which something was missing.
//! One that was stopped rests until its hours come again. A run by hand outside the hours waits for them unless
//! it is told not to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::config::Config;
use super::fetch::AT_ONCE;
use super::gather::folder;
use super::job::Job;
use super::journal::{Journal, State};
use super::plan::PlannedSuite;
use super::planner::{PlanError, Planner, SeedFacts};
use super::run::{Run, save};
use super::when::When;
use crate::cache::{Cache, Readiness, Together};
use crate::repo::Repository;
use crate::status::bytes_in_words;
use crate::store;
use crate::wan::Governor;

/// Between two looks at which seeds are due.
const TEND_EVERY: Duration = Duration::from_mins(1);

/// How long a run to which something was missing is left alone, in seconds.
const AGAIN: i64 = 3600;

/// How long a look at what is missing may take.
const LOOK_PATIENCE: Duration = Duration::from_mins(10);

/// Runs seeds; clones are the same one.
#[derive(Clone)]
pub struct Runner(Arc<Inner>);

struct Inner {
    cache: Cache,
    planner: Planner,
    governor: Governor,
    /// The places for transfers, by repository.
    permits: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
    /// Held for single operations only.
    table: Mutex<Table>,
}

/// By the seed's name.
#[derive(Default)]
struct Table {
    jobs: HashMap<Arc<str>, Arc<Job>>,
    /// How the runs before ended.
    journals: HashMap<Arc<str>, Journal>,
}

/// A seed with how it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedState {
    /// What is configured.
    #[serde(flatten)]
    pub seed: SeedFacts,
    /// How it stands.
    pub run: RunFacts,
}

/// How a seed stands. Sizes are bytes, points in time seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// What its newest run wrote down.
    #[serde(flatten)]
    pub journal: Journal,
    /// What is not here of its newest plan; null before there was one.
    pub bytes_missing: Option<u64>,
    /// What has come of unfinished files.
    pub bytes_received: u64,
    /// How fast it has been lately, in bytes a second.
    pub bytes_per_second: Option<u64>,
    /// How long the rest will take, in seconds, pauses included; null where that cannot be known.
    pub seconds_left: Option<u64>,
    /// When its hours begin next, while they are over.
    pub opens_at: Option<i64>,
}

impl Runner {
    /// A runner of the planner's seeds, which knows what earlier runs wrote down. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn new(cache: Cache, planner: Planner, governor: Governor) -> Result<Self, store::Error> {
        let mut table = Table::default();
        for (seed, text) in cache.store().seed_journals()? {
            match serde_json::from_str(&text) {
                Ok(journal) => drop(table.journals.insert(seed.into(), journal)),
                Err(error) => tracing::warn!(seed, %error, "the journal of a seed cannot be read"),
            }
        }
        let (permits, table) = (Mutex::default(), Mutex::new(table));
        let inner = Arc::new(Inner { cache, planner, governor, permits, table });
        inner.cache.set_readiness(Arc::new(Here(Arc::downgrade(&inner))));
        Ok(Self(inner))
    }

    /// Every seed, and how it stands.
    #[must_use]
    pub fn seeds(&self) -> Vec<SeedState> {
        let facts = self.0.planner.seeds().into_iter();
        facts
            .filter_map(|seed| {
                Some(SeedState { run: self.facts(&*self.0.planner.config(&seed.seed)?), seed })
            })
            .collect()
    }

    /// One seed, and how it stands.
    ///
    /// # Errors
    /// When there is no such seed.
    pub fn seed(&self, name: &str) -> Result<SeedState, PlanError> {
        let config = self.0.planner.known(name)?;
        Ok(SeedState { seed: self.0.planner.facts(&config), run: self.facts(&config) })
    }

    /// Runs a seed, unless it runs already; with `now` outside its hours, too.
    ///
    /// # Errors
    /// When there is no such seed, or its repository.
    pub async fn run(&self, name: &str, now: bool) -> Result<SeedState, PlanError> {
        if self.0.planner.config(name).is_none() {
            self.0.planner.learn().await;
        }
        let config = self.0.planner.known(name)?;
        self.start(&config, now)?;
        self.seed(name)
    }

    /// Stops a run where it is; what has come stays. No error when none is under way.
    ///
    /// # Errors
    /// When there is no such seed.
    pub async fn stop(&self, name: &str) -> Result<SeedState, PlanError> {
        self.0.planner.known(name)?;
        let job = self.table().jobs.get(name).cloned();
        if let Some(job) = job {
            job.order(|orders| orders.stop = true);
            job.ended().await;
            return self.seed(name);
        }
        // One that a crash interrupted is not to go on either.
        let stopped =
            self.table().journals.get_mut(name).filter(|journal| journal.state.is_active()).map(|journal| {
                (journal.state, journal.ended_at) = (State::Stopped, Some(self.0.cache.unix_now()));
                journal.clone()
            });
        if let Some(journal) = stopped {
            save(&self.0.cache, name, &journal).await;
        }
        self.seed(name)
    }

    /// Goes on with the runs that the end of an earlier program interrupted.
    fn resume(&self) {
        let interrupted: Vec<_> = {
            let table = self.table();
            let active = table.journals.iter().filter(|(_, journal)| journal.state.is_active());
            active.map(|(seed, journal)| (Arc::clone(seed), journal.now)).collect()
        };
        for (seed, now) in interrupted {
            if let Some(config) = self.0.planner.config(&seed)
                && let Err(error) = self.start(&config, now)
            {
                tracing::warn!(%seed, %error, "a seed that was interrupted cannot go on");
            }
        }
    }

    /// Goes on with what was interrupted, and runs seeds when their time comes. Runs until a shutdown.
    pub async fn tend(self) {
        let tasks = self.0.cache.tasks().clone();
        let mut is_first = true;
        loop {
            let next = self.0.cache.clock().now() + TEND_EVERY;
            self.0.planner.learn().await;
            if std::mem::take(&mut is_first) {
                // Not before what is learned is known: that may have been interrupted, too.
                self.resume();
            }
            self.stop_unconfigured();
            for config in self.0.planner.configs() {
                tokio::select! {
                    () = tasks.stopping() => return,
                    () = self.look_after(&config) => {}
                }
            }
            tokio::select! {
                () = tasks.stopping() => return,
                () = self.0.cache.clock().sleep_until(next) => {}
            }
        }
    }

    /// Stops the runs of seeds that a new configuration does not have.
    fn stop_unconfigured(&self) {
        let jobs: Vec<_> = self.table().jobs.iter().map(|(name, job)| (name.clone(), job.clone())).collect();
        for (name, job) in jobs {
            if self.0.planner.config(&name).is_none() {
                job.order(|orders| orders.stop = true);
            }
        }
    }

    /// Runs a seed if its time has come, or finds out what is missing of it.
    async fn look_after(&self, config: &Arc<Config>) {
        let is_scheduled = config.hours.is_some() || self.0.cache.awaits_seeds();
        let Some(repository) = self.0.cache.repository_named(&config.repo) else { return };
        if !is_scheduled || self.table().jobs.contains_key(&config.name) {
            return;
        }
        let (now, when) = (self.0.cache.unix_now(), self.when(config));
        let open = when.is_open(now);
        if open && config.hours.is_some() {
            for folder in config.suites.iter().filter_map(|suite| folder(suite).ok()) {
                self.0.cache.freshen(&repository, &folder).await;
            }
        }
        let journal = self.table().journals.get(&config.name).cloned().unwrap_or_default();
        let current = self.generations(config, &repository);
        let changed = current.as_ref().is_none_or(|current| *current != journal.suites);
        let began = when.span(now).map(|span| span.begin.as_second());
        if !open {
            if changed && current.is_some() {
                self.look(config).await;
            }
        } else if is_due(&journal, began, changed, now)
            && let Err(error) = self.start(config, false)
        {
            tracing::warn!(seed = %config.name, %error, "a seed that is due cannot run");
        }
    }

    /// The current generation of each suite of a seed, if all are here.
    fn generations(&self, config: &Config, repository: &Repository) -> Option<Vec<PlannedSuite>> {
        let generation = |suite: &String| {
            let folder = folder(suite).ok()?;
            let generation = self.0.cache.current_generation(repository, &folder)?.row.id;
            Some(PlannedSuite { suite: folder.as_str().to_owned(), generation })
        };
        config.suites.iter().map(generation).collect()
    }

    /// Finds out what is missing, without asking upstream.
    async fn look(&self, config: &Config) {
        let Ok(Some(plan)) = self.0.planner.plan(&config.name, false, LOOK_PATIENCE).await else { return };
        let journal = {
            let mut table = self.table();
            let journal = table.journals.entry(Arc::clone(&config.name)).or_default();
            journal.planned(&plan);
            journal.clone()
        };
        save(&self.0.cache, &config.name, &journal).await;
    }

    fn start(&self, config: &Arc<Config>, now: bool) -> Result<(), PlanError> {
        let repository = self.0.cache.repository_named(&config.repo);
        let repository =
            repository.ok_or_else(|| PlanError::NotHere(format!("the repository {}", config.repo)))?;
        let job = {
            let mut table = self.table();
            if let Some(job) = table.jobs.get(&config.name) {
                if now {
                    job.order(|orders| orders.now = true);
                    job.progress().journal.now = true;
                }
                return Ok(());
            }
            let before = table.journals.get(&config.name).cloned().unwrap_or_default();
            let journal = Journal {
                state: State::Planning,
                now,
                started_at: Some(self.0.cache.unix_now()),
                ended_at: None,
                problem: None,
                failed: 0,
                failures: Vec::new(),
                ..before
            };
            let job = Arc::new(Job::new(journal));
            table.jobs.insert(Arc::clone(&config.name), Arc::clone(&job));
            job
        };
        let run = Run {
            cache: self.0.cache.clone(),
            planner: self.0.planner.clone(),
            config: Arc::clone(config),
            when: self.when(config),
            permits: self.permits(&repository),
            repository,
            keep: self.0.cache.keeps_seeded_for(),
            job: Arc::clone(&job),
        };
        let over = Over { runner: self.clone(), seed: Arc::clone(&config.name), job, ended: None };
        self.0.cache.tasks().spawn(async move {
            let journal = over.job.progress().journal.clone();
            run.save(&journal).await;
            over.with(run.go().await);
        });
        Ok(())
    }

    fn facts(&self, config: &Config) -> RunFacts {
        let (job, journal) = {
            let table = self.table();
            (table.jobs.get(&config.name).cloned(), table.journals.get(&config.name).cloned())
        };
        let now = self.0.cache.unix_now();
        let (journal, rate, in_flight) = match job {
            None => (journal.unwrap_or_default(), None, Vec::new()),
            Some(job) => {
                let progress = job.progress();
                (progress.journal.clone(), progress.rate.per_second(), progress.in_flight.clone())
            }
        };
        let when = When::new(if journal.now { None } else { config.hours }, self.0.governor.clone());
        let repository = self.0.cache.repository_named(&config.repo);
        let received = |checksum| self.0.cache.received_of(repository.as_ref()?, checksum);
        let bytes_received = in_flight.iter().filter_map(received).sum();
        let missing = journal.bytes_missing();
        let left = missing.saturating_sub(bytes_received);
        let seconds_left = repository
            .as_ref()
            .filter(|_| journal.state.is_active() && !journal.suites.is_empty())
            .and_then(|repository| when.seconds_left(left, rate, repository, now));
        let opens_at = when.opens_at(now);
        RunFacts {
            bytes_missing: (!journal.suites.is_empty()).then_some(missing),
            bytes_received,
            bytes_per_second: rate,
            seconds_left,
            opens_at,
            journal,
        }
    }

    /// What is written of a seed, by a run that is under way or the last one.
    fn journal(&self, name: &str) -> Journal {
        let table = self.table();
        let running = table.jobs.get(name).map(|job| job.progress().journal.clone());
        running.or_else(|| table.journals.get(name).cloned()).unwrap_or_default()
    }

    fn when(&self, config: &Config) -> When {
        When::new(config.hours, self.0.governor.clone())
    }

    fn permits(&self, repository: &Repository) -> Arc<Semaphore> {
        let mut permits = self.0.permits.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = permits.entry(Arc::clone(repository.name()));
        Arc::clone(ours.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE))))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is whole after one statement, so a poisoned lock is still good.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells what seeds have here, as long as anybody runs them.
struct Here(Weak<Inner>);

impl Here {
    /// The seeds of a repository, each with the folders of its suites and what is written of it.
    fn seeds(&self, repo: &str) -> Vec<(Arc<Config>, Vec<Arc<str>>, Journal)> {
        let Some(inner) = self.0.upgrade() else { return Vec::new() };
        let runner = Runner(inner);
        let all = runner.0.planner.configs().into_iter();
        // A built-in one takes what fits its budget; nothing waits for that.
        let ours = all.filter(|config| *config.repo == *repo && !config.built_in);
        let with_journal = ours.map(|config| {
            let folders = config.suites.iter().filter_map(|suite| Some(folder(suite).ok()?.shared()));
            let folders = folders.collect();
            let journal = runner.journal(&config.name);
            (config, folders, journal)
        });
        with_journal.collect()
    }
}

impl Readiness for Here {
    fn complete(&self, repo: &str) -> Vec<Together> {
        let seeds = self.seeds(repo);
        let set = |set: &Vec<PlannedSuite>| -> Together {
            set.iter().map(|one| (Arc::from(one.suite.as_str()), one.generation)).collect()
        };
        let mut sets: Vec<Together> =
            seeds.iter().flat_map(|(_, _, journal)| journal.ready.iter().map(set)).collect();
        sets.sort_by_key(|set| std::cmp::Reverse(set.iter().map(|(_, id)| *id).max()));
        sets.retain(|set| {
            let agrees = |known: &Vec<PlannedSuite>| {
                set.iter().all(|(folder, id)| {
                    known.iter().all(|one| *one.suite != **folder || one.generation == *id)
                })
            };
            seeds.iter().all(|(_, folders, journal)| {
                let shares = set.iter().any(|(folder, _)| folders.contains(folder));
                !shares || journal.ready.iter().any(agrees)
            })
        });
        sets
    }

    fn is_covered(&self, repo: &str, suite: &str) -> bool {
        self.seeds(repo).iter().any(|(_, folders, _)| folders.iter().any(|folder| **folder == *suite))
    }

    fn missing(&self, repo: &str, generations: &Together) -> Vec<String> {
        let mut sentences = Vec::new();
        for (config, folders, journal) in self.seeds(repo) {
            let wanted = folders.iter().map(|folder| {
                let found = generations.iter().find(|(known, _)| known == folder);
                found.map(|(folder, id)| PlannedSuite { suite: folder.to_string(), generation: *id })
            });
            let Some(wanted) = wanted.collect::<Option<Vec<_>>>() else {
                sentences.push(format!("a suite of the seed {} is not here", config.name));
                continue;
            };
            if journal.ready.contains(&wanted) {
                continue;
            }
            let numbers: Vec<_> =
                wanted.iter().map(|one| format!("{} of {}", one.generation, one.suite)).collect();
            let numbers = numbers.join(", ");
            sentences.push(if journal.suites == wanted {
                let left = bytes_in_words(journal.bytes_missing());
                format!("the seed {} has {left} left for generation {numbers}", config.name)
            } else {
                format!("the seed {} was not run for generation {numbers}", config.name)
            });
        }
        sentences
    }
}

/// Takes a run off the table however it ends, be it by a panic.
struct Over {
    runner: Runner,
    seed: Arc<str>,
    job: Arc<Job>,
    /// What it wrote down at last; none when it broke off.
    ended: Option<Journal>,
}

impl Over {
    fn with(mut self, journal: Journal) {
        self.ended = Some(journal);
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        let journal = self.ended.take().unwrap_or_else(|| Journal {
            state: State::Failed,
            problem: Some("it broke off; the log may say why".to_owned()),
            ..self.job.progress().journal.clone()
        });
        {
            let mut table = self.runner.table();
            table.jobs.remove(&self.seed);
            table.journals.insert(Arc::clone(&self.seed), journal);
        }
        self.job.end();
    }
}

/// Whether a scheduled seed is to run now that it may. `began` is when its hours began, `changed` whether its
/// suites are others than those of its newest plan.
fn is_due(journal: &Journal, began: Option<i64>, changed: bool, now: i64) -> bool {
    let since_began = |at: Option<i64>| at.is_some_and(|at| began.is_none_or(|began| at >= began));
    match journal.state {
        State::Stopped => !since_began(journal.started_at),
        State::Incomplete | State::Failed => {
            changed || journal.ended_at.is_none_or(|at| at > now || at + AGAIN <= now)
        }
        _ => changed || !since_began(journal.started_at),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::never_run(State::Idle, None, false, true)]
    #[case::done_tonight(State::Done, Some(1100), false, false)]
    #[case::done_last_night(State::Done, Some(900), false, true)]
    #[case::a_new_generation(State::Done, Some(1100), true, true)]
    #[case::stopped_tonight(State::Stopped, Some(1100), true, false)]
    #[case::stopped_last_night(State::Stopped, Some(900), false, true)]
    #[case::incomplete_a_while_ago(State::Incomplete, Some(1100), false, false)]
    fn when_it_is_due(
        #[case] state: State,
        #[case] started_at: Option<i64>,
        #[case] changed: bool,
        #[case] due: bool,
    ) {
        let journal = Journal { state, started_at, ended_at: started_at, ..Journal::default() };
        assert_eq!(is_due(&journal, Some(1000), changed, 1200), due);
    }

    #[test]
    fn what_was_incomplete_is_tried_again_after_an_hour() {
        let journal = Journal { state: State::Incomplete, ended_at: Some(1000), ..Journal::default() };
        assert!(
            !is_due(&journal, None, false, 1000 + AGAIN - 1) && is_due(&journal, None, false, 1000 + AGAIN)
        );
        let done = Journal { state: State::Done, started_at: Some(1), ..Journal::default() };
        assert!(!is_due(&done, None, false, i64::MAX), "without hours nothing comes every day");
    }
}
