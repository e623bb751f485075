//! Long work that belongs to nobody who asks for it: who asks meanwhile waits for the same, and who stops waiting can
//! ask again.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::tasks::Tasks;

/// How long what was found waits for whoever asked for it.
const KEPT: Duration = Duration::from_mins(5);

/// Most that run, or wait to be taken, at the same time. Whoever asks for more is told to ask again.
const MOST: usize = 256;

/// What runs, and what nobody has taken yet.
pub(super) struct Jobs<K, T> {
    /// Held for single operations only.
    running: Mutex<HashMap<K, Job<T>>>,
}

struct Job<T> {
    since: Instant,
    outcome: watch::Receiver<Option<T>>,
}

impl<K, T> Default for Jobs<K, T> {
    fn default() -> Self {
        Self { running: Mutex::default() }
    }
}

impl<K: Clone + Eq + Hash, T: Clone + Send + Sync + 'static> Jobs<K, T> {
    /// Joins the job of this key, or starts `work`, and waits for it up to `patience`; `None` when it is not done by
    /// then. A shutdown ends it with `stopped`.
    pub(super) async fn outcome<W>(
        &self,
        key: &K,
        patience: Duration,
        (tasks, stopped): (&Tasks, T),
        work: impl FnOnce() -> W,
    ) -> Option<T>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut outcome = self.join(key, tasks, stopped.clone(), work)?;
        let done = async { outcome.wait_for(Option::is_some).await.ok().and_then(|done| done.clone()) };
        let done = tokio::time::timeout(patience, done).await.ok()?;
        self.forget(key, &outcome);
        Some(done.unwrap_or(stopped))
    }

    fn join<W>(
        &self,
        key: &K,
        tasks: &Tasks,
        stopped: T,
        work: impl FnOnce() -> W,
    ) -> Option<watch::Receiver<Option<T>>>
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, job| job.outcome.borrow().is_none() || job.since.elapsed() < KEPT);
        if let Some(job) = running.get(key) {
            return Some(job.outcome.clone());
        }
        if running.len() >= MOST {
            return None;
        }
        let (sender, outcome) = watch::channel(None);
        running.insert(key.clone(), Job { since: Instant::now(), outcome: outcome.clone() });
        let (work, ending) = (work(), tasks.clone());
        tasks.spawn(async move {
            let done = tokio::select! {
                done = work => done,
                () = ending.stopping() => stopped,
            };
            // Nobody may be waiting any more.
            let _ = sender.send(Some(done));
        });
        Some(outcome)
    }

    /// Forgets all: who asks next gets a new one. Who waits for one of them is still told.
    pub(super) fn clear(&self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Forgets a job whose outcome was delivered: who asks next wants to know how it is then. Whoever waited for it
    /// as well may come later, when the next one runs already.
    fn forget(&self, key: &K, delivered: &watch::Receiver<Option<T>>) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.get(key).is_some_and(|job| job.outcome.same_channel(delivered)) {
            running.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_late_for_one_job_does_not_forget_the_next() {
        let (jobs, tasks) = (Jobs::<u8, u8>::default(), Tasks::new());
        let begin = || jobs.join(&1, &tasks, 0, std::future::pending).unwrap();
        let first = begin();
        let late = first.clone();
        jobs.forget(&1, &first);
        let next = begin();
        jobs.forget(&1, &late);
        assert!(begin().same_channel(&next) && !next.same_channel(&first));
    }

    #[tokio::test]
    async fn there_is_one_job_for_all_who_ask_and_a_shutdown_ends_it() {
        let (jobs, tasks) = (Jobs::<u8, u8>::default(), Tasks::new());
        let ask = |key, patience| jobs.outcome(key, patience, (&tasks, 9), std::future::pending);
        assert_eq!(ask(&1, Duration::ZERO).await, None);
        let (ended, _) =
            tokio::join!(ask(&1, Duration::from_mins(1)), tasks.shutdown(Duration::from_mins(1)));
        assert_eq!(ended, Some(9));
        let tasks = Tasks::new();
        let soon = jobs.outcome(&2, Duration::from_mins(1), (&tasks, 9), || async { 3 });
        assert_eq!(soon.await, Some(3));
    }
}
