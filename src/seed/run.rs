//! A run of a seed, from its order to its end.
//!
//! It waits for the seed's hours, has the suites brought up to date, plans, holds what the plan lists against
//! eviction, makes sure that there is room, and [fetches](super::fetch) what is missing. Each step is written
//! down, so that a run which a crash has interrupted begins again by itself; what was here by then is
//! found to be here.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::config::Config;
use super::gather::folder;
use super::job::Job;
use super::journal::{Journal, State};
use super::plan::Plan;
use super::planner::Planner;
use super::when::When;
use crate::cache::{Cache, EventKind};
use crate::clock;
use crate::repo::Repository;
use crate::status::bytes_in_words;
use crate::store;

/// How long a plan may take; far longer than the largest does.
const PLAN_PATIENCE: Duration = Duration::from_hours(1);

/// How long a run waits for its hours before it looks again when they are.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// What a run needs.
pub(super) struct Run {
    pub(super) cache: Cache,
    pub(super) planner: Planner,
    pub(super) config: Arc<Config>,
    pub(super) repository: Arc<Repository>,
    pub(super) when: When,
    /// The places for transfers that all seeds of the repository share.
    pub(super) permits: Arc<Semaphore>,
    /// For how many seconds complete plans are held beside newer ones.
    pub(super) keep: Option<i64>,
    pub(super) job: Arc<Job>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Everything is here.
    Done,
    /// Something could not be had; the journal names it.
    Incomplete,
    /// It could not begin.
    Failed(String),
    /// It was told to stop.
    Stopped,
    /// The program ends; the next one goes on.
    Shutdown,
}

impl Run {
    /// Runs it to its end, which is written down; gives the journal.
    pub(super) async fn go(self) -> Journal {
        let tasks = self.cache.tasks().clone();
        let ended = {
            let steps = self.steps();
            tokio::pin!(steps);
            tokio::select! {
                ended = &mut steps => ended,
                () = tasks.stopping() => Ended::Shutdown,
            }
        };
        self.conclude(ended).await
    }

    async fn steps(&self) -> Ended {
        let ready = async {
            self.wait_for_hours().await;
            self.note(|journal| journal.state = State::Planning).await;
            self.prepare().await
        };
        let prepared = tokio::select! {
            prepared = ready => prepared,
            () = self.job.stopped() => return Ended::Stopped,
        };
        match prepared {
            Ok((plan, number)) => self.fetch(&plan, number).await,
            Err(problem) => Ended::Failed(problem),
        }
    }

    async fn wait_for_hours(&self) {
        let mut orders = self.job.orders();
        while !orders.borrow_and_update().now {
            let read = self.cache.clock().now();
            let now = clock::unix(read);
            let Some(opens) = self.when.opens_at(now) else { return };
            self.note(|journal| journal.state = State::Waiting).await;
            // The hours may be read on another clock by then.
            let wait = Duration::from_secs(u64::try_from(opens - now).unwrap_or(0)).min(LOOK_EVERY);
            tokio::select! {
                () = self.cache.clock().sleep_until(read + wait) => {}
                _ = orders.changed() => {}
            }
        }
    }

    /// Plans, holds and finds room; the plan and its number, or why there will be none.
    async fn prepare(&self) -> Result<(Arc<Plan>, i64), String> {
        let folders = self.config.suites.iter().filter_map(|suite| folder(suite).ok());
        for folder in folders {
            self.cache.freshen(&self.repository, &folder).await;
        }
        let made = self.planner.plan(&self.config.name, true, PLAN_PATIENCE).await;
        let plan = made.map_err(|error| error.to_string())?;
        let plan = plan.ok_or_else(|| "the plan is not made yet after an hour".to_owned())?;
        self.note(|journal| journal.planned(&plan)).await;
        let number = self.hold(&plan).await.map_err(|error| format!("it cannot be held: {error}"))?;
        if let Err(problem) = self.find_room(&plan, number).await {
            let dropped = self.cache.store().drop_seed_plan(&self.config.name, number).await;
            self.warn(dropped);
            return Err(problem);
        }
        Ok((plan, number))
    }

    /// Holds what a plan lists, as far as its hash is known.
    async fn hold(&self, plan: &Arc<Plan>) -> Result<i64, store::Error> {
        let (cache, repository, listed) =
            (self.cache.clone(), Arc::clone(&self.repository), Arc::clone(plan));
        let digests = tokio::task::spawn_blocking(move || {
            let checksums: Vec<_> = listed.files.iter().map(|file| file.checksum).collect();
            cache.digests_of(&repository, &checksums)
        });
        let digests = digests.await.map_err(|_| store::Error::Closed)??;
        self.cache.store().begin_seed_plan(&self.config.name, digests.into_iter().flatten().collect()).await
    }

    /// Whether what is missing fits, be it that older plans of the seed have to let go.
    async fn find_room(&self, plan: &Plan, number: i64) -> Result<(), String> {
        if self.short_of_room(plan).await.is_none() {
            return Ok(());
        }
        let dropped = self.cache.store().drop_other_seed_plans(&self.config.name, number).await;
        self.warn(dropped);
        self.short_of_room(plan).await.map_or(Ok(()), Err)
    }

    /// What is wrong with the room for what is missing.
    async fn short_of_room(&self, plan: &Plan) -> Option<String> {
        let missing = plan.bytes_missing();
        let store = self.cache.store().clone();
        let usage = tokio::task::spawn_blocking(move || store.usage()).await.ok()?;
        let words = bytes_in_words;
        if let Some(limit) = usage.limit
            && usage.held_bytes.saturating_add(missing) > limit
        {
            return Some(format!(
                "it does not fit: {} are missing, and store.max_size is {}, of which {} are needed by suites, \
                 channels and seeds; raise it, or want less (budget)",
                words(missing),
                words(limit),
                words(usage.held_bytes)
            ));
        }
        let evictable = usage.bytes.saturating_sub(usage.held_bytes);
        let room = usage.free.saturating_add(evictable).saturating_sub(usage.min_free);
        (missing > room).then(|| {
            format!(
                "it does not fit: {} are missing, and the disk has room for {} beside store.min_free",
                words(missing),
                words(room)
            )
        })
    }

    async fn conclude(&self, ended: Ended) -> Journal {
        if ended == Ended::Shutdown {
            // The journal says that it runs: the next start goes on with it.
            return self.job.progress().journal.clone();
        }
        let mut journal = self.job.progress().journal.clone();
        self.tell(&ended, &journal);
        journal.ended_at = Some(self.cache.unix_now());
        if ended == Ended::Done {
            journal.is_ready_now();
        }
        (journal.state, journal.problem) = match ended {
            Ended::Done => (State::Done, None),
            Ended::Incomplete => (State::Incomplete, None),
            Ended::Failed(problem) => (State::Failed, Some(problem)),
            Ended::Stopped | Ended::Shutdown => (State::Stopped, None),
        };
        self.save(&journal).await;
        // Whoever sees that it has ended can begin the next: so it is not shown before it is off the table.
        journal
    }

    fn tell(&self, ended: &Ended, journal: &Journal) {
        let name = &self.config.name;
        let (kind, text) = match ended {
            Ended::Done => {
                let bytes = bytes_in_words(journal.bytes);
                (EventKind::Seeded, format!("the seed {name} is here: {} files, {bytes}", journal.files))
            }
            Ended::Incomplete => {
                let (failed, left) = (journal.failed, bytes_in_words(journal.bytes_missing()));
                let text = format!("{failed} files of the seed {name} could not be had; {left} are missing");
                (EventKind::SeedIncomplete, text)
            }
            Ended::Failed(problem) => {
                (EventKind::SeedIncomplete, format!("the seed {name} cannot run: {problem}"))
            }
            Ended::Stopped | Ended::Shutdown => return,
        };
        self.cache.tell_of_seed(kind, &self.config.repo, name, &text);
    }

    /// Changes the journal, and writes it down where that changed anything.
    pub(super) async fn note(&self, change: impl FnOnce(&mut Journal)) {
        let changed = {
            let mut progress = self.job.progress();
            let before = progress.journal.clone();
            change(&mut progress.journal);
            (progress.journal != before).then(|| progress.journal.clone())
        };
        if let Some(journal) = changed {
            self.save(&journal).await;
        }
    }

    pub(super) async fn save(&self, journal: &Journal) {
        save(&self.cache, &self.config.name, journal).await;
    }

    pub(super) fn warn(&self, done: Result<(), store::Error>) {
        if let Err(error) = done {
            tracing::warn!(seed = %self.config.name, %error, "what a seed holds cannot be noted");
        }
    }
}

/// Writes a journal down.
pub(super) async fn save(cache: &Cache, seed: &str, journal: &Journal) {
    let Ok(text) = serde_json::to_string(journal) else { return };
    if let Err(error) = cache.store().set_seed_journal(seed, text).await {
        tracing::warn!(seed, %error, "the journal of a seed cannot be written");
    }
}
