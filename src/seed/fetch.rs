//! Fetching what a plan misses.
//!
//! A bounded number of files is fetched side by side, most wanted first, each by the flight that a desktop
//! would join. One that fails is tried again later and holds up no other; at last it is named. While no
//! upstream is well only one is tried, so that a line that is down does not use up everybody's tries.
//! When the seed's hours end, what no desktop waits for is given up where it is, and goes on from there
//! when they come again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::journal::State;
use super::plan::Plan;
use super::run::{Ended, Run};
use crate::cache::{EventKind, Failure};
use crate::clock;
use crate::digest::Digest;
use crate::repo::apt::checksum::Checksum;
use crate::status::bytes_in_words;

/// Files that are fetched side by side from a repository: on a line of 200 ms and 1 % loss a single
/// transfer brings less than 1 Mbit/s.
pub(super) const AT_ONCE: usize = 8;

/// How long a stop waits for transfers to leave what they have, before it counts as done.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Between two looks at the clock.
const TICK: Duration = Duration::from_secs(1);

/// Between two notes of how far it is.
const SAVE_EVERY: Duration = Duration::from_secs(10);

/// Pause before a file is tried again that failed for a reason which may pass: 5 s, then three times as long
/// each time.
const FIRST_PAUSE: i64 = 5;

/// The same for a file that no upstream has: a mirror may be in mid-sync. Longer than such an answer is
/// remembered.
const LACKING_PAUSE: i64 = 20;

/// What is left to do.
struct Work {
    /// Positions in the plan.
    queue: VecDeque<usize>,
    /// Files that failed, with when they are tried again, in unix seconds.
    later: Vec<(i64, usize)>,
    /// How often files failed.
    tries: HashMap<usize, u32>,
}

impl Work {
    fn of(plan: &Plan) -> Self {
        let missing = plan.files.iter().enumerate().filter(|(_, file)| !file.present);
        let queue = missing.map(|(position, _)| position).collect();
        Self { queue, later: Vec::new(), tries: HashMap::new() }
    }

    fn is_over(&self) -> bool {
        self.queue.is_empty() && self.later.is_empty()
    }

    /// Lets what was put off have its turn.
    fn wake(&mut self, now: i64) {
        let (due, later) = std::mem::take(&mut self.later).into_iter().partition(|(at, _)| *at <= now);
        self.later = later;
        for (_, position) in Vec::<(i64, usize)>::into_iter(due) {
            self.queue.push_front(position);
        }
    }

    /// Puts a file off that failed; false when it has had all its tries.
    fn put_off(&mut self, position: usize, failure: &Failure, retries: u32, now: i64) -> bool {
        let tries = self.tries.entry(position).or_default();
        let most = if failure.is_definite() { retries.min(1) } else { retries };
        if *tries >= most {
            return false;
        }
        let pause = if failure.is_definite() {
            LACKING_PAUSE
        } else {
            FIRST_PAUSE.saturating_mul(3_i64.saturating_pow((*tries).min(6)))
        };
        *tries += 1;
        self.later.push((now.saturating_add(pause), position));
        true
    }
}

impl Run {
    /// Fetches what a plan misses.
    pub(super) async fn fetch(&self, plan: &Arc<Plan>, number: i64) -> Ended {
        let mut work = Work::of(plan);
        if !work.is_over() {
            let text = format!(
                "the seed {} fetches {} files, {}",
                self.config.name,
                work.queue.len(),
                bytes_in_words(plan.bytes_missing())
            );
            self.cache.tell_of_seed(EventKind::SeedStarted, &self.config.repo, &self.config.name, &text);
        }
        let mut orders = self.job.orders();
        let mut flights = FuturesUnordered::new();
        let mut saved = Instant::now();
        loop {
            let read = self.cache.clock().now();
            let now = clock::unix(read);
            let order = *orders.borrow_and_update();
            let open = (order.now || self.when.is_open(now)) && !order.stop;
            if order.stop {
                self.halt();
                let drained = async { while flights.next().await.is_some() {} };
                // What a desktop waits for goes on without us.
                let _ = tokio::time::timeout(STOP_GRACE, drained).await;
                return Ended::Stopped;
            }
            self.be(open).await;
            if open {
                work.wake(now);
                let most = if self.cache.is_cut_off(&self.repository) { 1 } else { AT_ONCE };
                while flights.len() < most
                    && let Some(position) = work.queue.pop_front()
                {
                    flights.push(self.fetch_one(plan, position));
                }
            } else {
                self.halt();
            }
            if flights.is_empty() && work.is_over() {
                break;
            }
            tokio::select! {
                Some((position, had)) = flights.next(), if !flights.is_empty() => {
                    match self.take(plan, number, position, had, &mut work).await {
                        Ok(()) => {}
                        Err(ended) => return ended,
                    }
                }
                _ = orders.changed() => {}
                () = self.cache.clock().sleep_until(read + TICK) => {}
            }
            self.sample();
            if saved.elapsed() >= SAVE_EVERY {
                saved = Instant::now();
                let journal = self.job.progress().journal.clone();
                self.save(&journal).await;
            }
        }
        if self.job.progress().journal.failed > 0 {
            return Ended::Incomplete;
        }
        let now = self.cache.unix_now();
        let keep_since = self.keep.map(|keep| now - keep);
        let complete = self.cache.store().complete_seed_plan(&self.config.name, number, keep_since).await;
        self.warn(complete);
        Ended::Done
    }

    /// Notes whether it may go on.
    async fn be(&self, open: bool) {
        let state = if open { State::Running } else { State::Paused };
        if self.job.progress().journal.state != state {
            self.job.progress().rate.forget();
            self.note(|journal| journal.state = state).await;
        }
    }

    async fn fetch_one(&self, plan: &Plan, position: usize) -> (usize, Result<Digest, Failure>) {
        let Ok(_permit) = self.permits.acquire().await else { return (position, Err(Failure::Stopping)) };
        if self.job.progress().journal.state != State::Running {
            // The hours ended while it waited for its place.
            return (position, Err(Failure::Halted));
        }
        let file = &plan.files[position];
        let _flying = Flying::new(self, file.checksum);
        let had = self.cache.fetch_wanted(&self.repository, &plan.generations, &file.wanted()).await;
        (position, had)
    }

    /// Notes what became of a file.
    async fn take(
        &self,
        plan: &Plan,
        number: i64,
        position: usize,
        had: Result<Digest, Failure>,
        work: &mut Work,
    ) -> Result<(), Ended> {
        let file = &plan.files[position];
        match had {
            Ok(digest) => {
                if file.checksum.sha256().is_none() {
                    self.warn(self.cache.store().hold_for_seed(number, vec![digest]).await);
                }
                let journal = &mut self.job.progress().journal;
                journal.files_done += 1;
                journal.bytes_done += file.size;
            }
            Err(Failure::Halted) => work.queue.push_front(position),
            Err(Failure::Stopping) => return Err(Ended::Shutdown),
            Err(failure) => {
                let now = self.cache.unix_now();
                if !work.put_off(position, &failure, self.cache.retries(), now) {
                    tracing::warn!(seed = %self.config.name, path = %file.path, %failure, "could not be had");
                    self.note(|journal| journal.fail(file.path.as_str(), failure.to_string())).await;
                }
            }
        }
        Ok(())
    }

    /// Gives up what is in flight for nobody but seeds.
    fn halt(&self) {
        let in_flight = self.job.progress().in_flight.clone();
        for checksum in in_flight {
            self.cache.halt_wanted(&self.repository, &checksum);
        }
    }

    fn sample(&self) {
        let received = self.received();
        let mut progress = self.job.progress();
        let bytes = progress.journal.bytes_done + received;
        progress.rate.sample(Instant::now(), bytes);
    }

    /// Bytes of unfinished files that have come.
    fn received(&self) -> u64 {
        let in_flight = self.job.progress().in_flight.clone();
        let received = in_flight.iter().filter_map(|one| self.cache.received_of(&self.repository, one));
        received.sum()
    }
}

/// A file that is being fetched.
struct Flying<'r> {
    run: &'r Run,
    checksum: Checksum,
}

impl<'r> Flying<'r> {
    fn new(run: &'r Run, checksum: Checksum) -> Self {
        run.job.progress().in_flight.push(checksum);
        Self { run, checksum }
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        let mut progress = self.run.job.progress();
        if let Some(at) = progress.in_flight.iter().position(|one| *one == self.checksum) {
            progress.in_flight.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_put_off_ever_longer_and_at_last_given_up() {
        let mut work = Work { queue: VecDeque::new(), later: Vec::new(), tries: HashMap::new() };
        let away = Failure::Unreachable("reset".into());
        let mut pauses = Vec::new();
        while work.put_off(7, &away, 3, 1000) {
            assert!(work.queue.is_empty() && !work.is_over());
            let due = work.later[0].0;
            pauses.push(due - 1000);
            work.wake(due - 1);
            assert!(work.queue.is_empty());
            work.wake(due);
            assert_eq!(work.queue.pop_front(), Some(7));
        }
        assert_eq!(pauses, [5, 15, 45]);
        let lacking = Failure::NotFound { upstream: "a".into() };
        assert!(work.put_off(8, &lacking, 3, 0) && !work.put_off(8, &lacking, 3, 0));
        assert!(!work.put_off(9, &lacking, 0, 0), "without retries there is one try");
    }
}
