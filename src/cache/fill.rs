//! Running one flight: asking upstreams until one delivers, and putting what it delivers into the store.
//!
//! A fill goes through the repository's upstreams in rounds, the healthy ones first. What has arrived is
//! kept over breaks: the next try asks for the rest (`Range` with `If-Range`), from another upstream
//! where the validators, or the hash that the path tells, show that it is the same object. Only when no
//! round helps does it end with the kept copy, or with the failure. What an index lists and some upstream
//! has no more is sought elsewhere, too: see [`rescue`].
//!
//! Dropping the future (a shutdown, a seed whose hours end) keeps the partial file, which a later flight resumes.

mod attempt;
mod commit;
mod request;
mod rescue;
mod transfer;

use std::sync::Arc;
use std::time::Instant;

use super::entry::Entry;
use super::failure::Failure;
use super::flight::{End, Flight};
use super::goal::Goal;
use super::lookup::{Cache, key_of};
use super::policy;
use crate::outcome::Class;
use crate::repo::{PathClass, Resource};
use crate::suite::Channel;
use crate::upstream::Backoff;
use attempt::Source;
use transfer::Transfer;

/// This many new bytes, in one try or several, are a fresh start for the count of tries: a line that drops
/// every few minutes still moves a large file to its end.
const PROGRESS: u64 = 256 * 1024;

/// One flight's work.
pub(super) struct Fill {
    cache: Cache,
    resource: Resource,
    flight: Arc<Flight>,
    /// What is known of the bytes, and where they may be found.
    goal: Goal,
    /// The copy that upstream is asked to confirm or replace.
    kept: Option<Arc<Entry>>,
}

/// What one try at one upstream led to.
enum Step {
    /// The flight is over.
    Done(End),
    /// Not from this upstream, for this reason; try on.
    Next(Failure),
}

impl Fill {
    pub(super) const fn new(
        cache: Cache,
        resource: Resource,
        flight: Arc<Flight>,
        goal: Goal,
        kept: Option<Arc<Entry>>,
    ) -> Self {
        Self { cache, resource, flight, goal, kept }
    }

    /// Runs the flight to its end. However that comes about, a panic included, readers learn of it.
    pub(super) async fn run(mut self) {
        let landing = Unfinished { cache: self.cache.clone(), flight: Arc::clone(&self.flight), end: None };
        let tasks = self.cache.0.parts.tasks.clone();
        let flight = Arc::clone(&self.flight);
        let end = {
            let flying = self.fly();
            tokio::pin!(flying);
            tokio::select! {
                end = &mut flying => end,
                // What clients have whole is made durable before the end.
                () = tasks.stopping() => if flight.is_complete() {
                    flying.await
                } else {
                    End::Failed(Failure::Stopping)
                },
                () = flight.halted() => if flight.is_complete() {
                    flying.await
                } else {
                    End::Failed(Failure::Halted)
                },
            }
        };
        let again = matches!(end, End::Failed(Failure::Damaged { .. })) && self.another_may_have_it();
        landing.finish(end);
        if again {
            // Whoever was cut will ask again in a moment; another upstream may be quicker than that.
            self.cache.start_again(&self.resource, self.goal);
        }
    }

    /// Whether an upstream is left that has not sent damaged bytes for this.
    fn another_may_have_it(&self) -> bool {
        let liars = self.cache.liars(&self.flight.key);
        (0..self.resource.repository.config.upstreams.len()).any(|index| liars.may_have_it(index))
    }

    async fn fly(&mut self) -> End {
        // The flight before this one may have landed between our look-up and our start.
        if let Some(known) = &self.goal.known
            && let Ok(Some(entry)) = self.cache.find_known(&self.resource, &Channel::Live, known).await
        {
            return End::Confirmed(entry);
        }
        let newest =
            self.cache.newest(&key_of(&self.resource)).filter(|entry| self.goal.is_met_by(&entry.meta));
        if let Some(entry) = newest {
            if self.cache.is_fresh(&self.resource, &entry) {
                return End::Confirmed(entry);
            }
            self.kept = Some(entry);
        } else if let Some(failure) = self.cache.recently_missing(&self.flight.key) {
            return End::Failed(failure);
        }
        let mut transfer = match Transfer::resume(&self.cache.0.parts.store, &self.flight.key).await {
            Ok(transfer) => transfer,
            Err(failure) => return End::Failed(failure),
        };
        let failure = match self.rounds(&mut transfer).await {
            Ok(End::Failed(failure)) | Err(failure) => failure,
            Ok(end) => return end,
        };
        if let Some(transfer) = transfer {
            transfer.leave().await;
        }
        tracing::warn!(repo = %self.flight.key.repo, path = %self.flight.key.path, %failure, "not fetched");
        match &self.kept {
            Some(entry) if policy::outlives(self.resource.class, &failure) => {
                End::Kept(Arc::clone(entry), failure)
            }
            _ => End::Failed(failure),
        }
    }

    /// Goes round the upstreams until the flight is over or hope is lost.
    async fn rounds(&self, transfer: &mut Option<Transfer>) -> Result<End, Failure> {
        let mirrors = &self.cache.0.mirrors[self.resource.repository.index];
        let mut backoff = Backoff::new(self.cache.0.settings().retries);
        // Whether the file has been sought beyond the upstreams.
        let mut sought = false;
        let mut reached = transfer.as_ref().map_or(0, Transfer::written);
        loop {
            let mut definite = None;
            let mut transient = None;
            let mut lacking = false;
            for index in self.order() {
                let source = Source { base: mirrors.base(index).clone(), mirror: Some(index) };
                match self.attempt(&source, transfer).await {
                    Step::Done(end) => return Ok(end),
                    // "No such file" lets apt try another name, a refusal ends its run.
                    Step::Next(Failure::Refused { .. }) if definite.is_some() => {}
                    Step::Next(failure) => {
                        lacking |= rescue::lacks(&failure);
                        if failure.is_definite() {
                            definite = Some(failure);
                        } else {
                            transient = Some(failure);
                        }
                    }
                }
                let written = transfer.as_ref().map_or(0, Transfer::written);
                if written >= reached.saturating_add(PROGRESS) {
                    backoff.reset(self.cache.0.settings().retries);
                    reached = written;
                }
            }
            if lacking && !sought && transfer.is_none() {
                sought = true;
                if let Some(end) = self.rescue(transfer).await {
                    return Ok(end);
                }
            }
            let failure = match (definite, transient) {
                // Whoever sent the beginning may be back in a moment, whatever the others have.
                (Some(_), Some(failure)) if transfer.is_some() => failure,
                // To apt a missing package is final while an error is tried again; another upstream
                // that is only away for the moment may well have it.
                (Some(_), Some(failure)) if self.resource.class == PathClass::Immutable => {
                    return Err(failure);
                }
                (Some(failure), _) => return Err(failure),
                (None, Some(failure)) => failure,
                (None, None) => return Err(Failure::Unreachable("no upstream is configured".into())),
            };
            // A mirror in mid-sync is whole again in minutes, not in seconds, and nobody waits: the next
            // look at the suite asks again.
            let mid_sync = matches!(failure, Failure::Changed { .. } | Failure::Damaged { .. });
            if self.flight.class == Class::Refresh && mid_sync {
                return Err(failure);
            }
            // With a copy at hand nobody has to wait for upstreams that all fail.
            let spared = self.kept.is_some() && !self.flight.has_head();
            if spared && mirrors.all_resting(Instant::now()) {
                return Err(failure);
            }
            match backoff.next() {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(failure),
            }
        }
    }

    /// The upstreams to ask, best first; last those that sent wrong bytes for this a while ago.
    fn order(&self) -> Vec<usize> {
        let mut order = self.cache.0.mirrors[self.resource.repository.index].order(Instant::now());
        let liars = self.cache.liars(&self.flight.key);
        // The sort is stable.
        order.sort_by_key(|index| liars.blame(*index));
        order
    }

    fn unix_now(&self) -> i64 {
        self.cache.0.parts.clock.unix()
    }
}

/// A flight whose end has not been told yet. Dropping it tells readers that the flight failed.
struct Unfinished {
    cache: Cache,
    flight: Arc<Flight>,
    end: Option<End>,
}

impl Unfinished {
    fn finish(mut self, end: End) {
        self.end = Some(end);
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let end = self.end.take().unwrap_or(End::Failed(Failure::Stopping));
        self.cache.finish(&self.flight, end);
    }
}

/// The part of the last bytes that readers do not get before the hash is known to be right, in bytes.
const HELD_BACK: u64 = 32 * 1024;
