//! Making room: the least recently asked objects go first.
//!
//! What a channel needs is passed over ([`super::keep`]). How much that is shows only on the way, so an
//! eviction first looks whether what may go is enough, and takes nothing if it is not.
//!
//! Rows go in one transaction, then the files, then the hook is told; a crash in between leaves files
//! that the catalog does not know. Work is done in pieces of at most [`PIECE`] objects, between the
//! writer's batches, and a little more goes than is needed, so that a full store does not evict for
//! every single object.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::layout::unlink;
use super::shared::{Reply, Shared};
use super::transaction::commit;
use super::{EntryKey, Error, catalog, keep, pin};
use crate::digest::Digest;

/// Most objects in one transaction.
const PIECE: usize = 256;

/// Seconds after its last use in which an object is safe: somebody probably still reads it.
const SAFE: i64 = 10;

/// Objects last used so many seconds in the future carry the date of a clock that was wrong.
const FUTURE: i64 = 24 * 60 * 60;

/// Most bytes evicted beyond the need.
const MOST_SLACK: u64 = 1024 * 1024 * 1024;

/// Some file systems report freed space late; until then, evicting more would be wrong.
const SETTLE: Duration = Duration::from_secs(5);

/// What an eviction is for.
enum Want {
    /// So many more bytes must fit.
    Room(u64),
    /// The disk said that it is full: so many bytes must go.
    Bytes(u64),
    /// The store must be within its limits.
    Limits,
}

struct Eviction {
    want: Want,
    reply: Option<Reply<bool>>,
    /// Set when it starts.
    goal: Option<Goal>,
    /// How far it has looked, until it has seen enough.
    survey: Option<Survey>,
    freed: u64,
}

/// A look at what may go.
#[derive(Default)]
struct Survey {
    seen: catalog::Place,
    /// Bytes of what was seen.
    free: u64,
}

/// Bytes to free.
struct Goal {
    /// Less than this is a failure.
    need: u64,
    /// Where to stop.
    enough: u64,
}

/// Evictions under way and waiting.
#[derive(Default)]
pub(super) struct Evictions {
    queue: VecDeque<Eviction>,
    /// When space was last freed because the disk, not the store, was full.
    freed_low: Option<Instant>,
    /// It was said that evicting cannot help.
    hopeless: bool,
}

impl Evictions {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Makes room for `bytes` more.
    pub(super) fn make_room(&mut self, bytes: u64, reply: Reply<bool>) {
        self.push(Want::Room(bytes), Some(reply));
    }

    /// Frees about `bytes`, whatever the limits say.
    pub(super) fn relieve(&mut self, bytes: u64, reply: Reply<bool>) {
        self.push(Want::Bytes(bytes), Some(reply));
    }

    /// Evicts if the store is over its limits.
    pub(super) fn tidy(&mut self, shared: &Shared) {
        let Ok(shortage) = shared.shortage(0) else { return };
        if shortage.bytes() == 0 {
            self.hopeless = false;
        }
        let settling = self.freed_low.is_some_and(|when| when.elapsed() < SETTLE);
        if shortage.over > 0 || (shortage.low > 0 && !settling) {
            let waiting = self.queue.iter().any(|eviction| matches!(eviction.want, Want::Limits));
            if !waiting {
                self.push(Want::Limits, None);
            }
        }
    }

    fn push(&mut self, want: Want, reply: Option<Reply<bool>>) {
        self.queue.push_back(Eviction { want, reply, goal: None, survey: None, freed: 0 });
    }

    /// Does one piece of the first eviction.
    pub(super) fn step(&mut self, shared: &Shared, connection: &mut Connection) {
        let Some(mut eviction) = self.queue.pop_front() else { return };
        match self.advance(&mut eviction, shared, connection) {
            Ok(None) => self.queue.push_front(eviction),
            Ok(Some(done)) => {
                if let Some(reply) = eviction.reply {
                    reply.answer(Ok(done));
                }
            }
            Err(error) => {
                let cause: &dyn std::error::Error = &error;
                tracing::warn!(error = cause, "could not evict objects");
                if let Some(reply) = eviction.reply {
                    reply.answer(Err(error));
                }
            }
        }
    }

    /// Whether the eviction succeeded, or nothing when there is more to do.
    fn advance(
        &mut self,
        eviction: &mut Eviction,
        shared: &Shared,
        connection: &mut Connection,
    ) -> Result<Option<bool>, Error> {
        if eviction.goal.is_none() {
            let goal = self.goal(&eviction.want, shared)?;
            if goal.need == 0 {
                return Ok(Some(true));
            }
            // Emptying the store would not be enough: then it is better kept.
            if goal.need > shared.evictable() {
                self.despair(shared, connection);
                return Ok(Some(false));
            }
            eviction.goal = Some(goal);
            let asks = keep::is_any_pinned(shared, connection)
                .map_err(|error| Error::catalog("read", &shared.layout.catalog, error))?;
            eviction.survey = asks.then(Survey::default);
        }
        let Some(goal) = &eviction.goal else { return Ok(Some(false)) };
        if let Some(survey) = &mut eviction.survey {
            if survey.free < goal.need && survey.look(shared, connection)? {
                return Ok(None);
            }
            eviction.survey = None;
            if goal.need > shared.evictable() {
                self.despair(shared, connection);
                return Ok(Some(false));
            }
        }
        if eviction.freed == 0 && goal.need > shared.free_bytes() {
            eviction.freed = abandon_parked(shared, connection, goal.need - shared.free_bytes());
        }
        let piece = evict_some(shared, connection, goal.enough.saturating_sub(eviction.freed))?;
        eviction.freed += piece.freed;
        if piece.is_empty() || eviction.freed >= goal.enough {
            return Ok(Some(eviction.freed >= goal.need));
        }
        Ok(None)
    }

    /// Shows that there is no room, and says so once.
    fn despair(&mut self, shared: &Shared, connection: &Connection) {
        shared.counts.full.store(true, Ordering::Relaxed);
        if !std::mem::replace(&mut self.hopeless, true) {
            // Without their names the message is still true.
            let channels = pin::channels(connection).unwrap_or_default().join(", ");
            let held = shared.counts.held.load(Ordering::Relaxed);
            tracing::warn!(
                path = %shared.layout.root.display(),
                held,
                channels,
                "the store needs more room than all objects take that may go; what it has is kept, \
                 and new objects may not be until the disk has space, or until channels that hold a \
                 lot are promoted, or seeds want less"
            );
        }
    }

    fn goal(&mut self, want: &Want, shared: &Shared) -> Result<Goal, Error> {
        let extra = match want {
            // Whatever goes helps somebody who found the disk full.
            Want::Bytes(bytes) => return Ok(Goal { need: 1, enough: (*bytes).max(1) }),
            Want::Room(bytes) => *bytes,
            Want::Limits => 0,
        };
        let shortage = shared.shortage(extra)?;
        if shortage.low > 0 {
            self.freed_low = Some(Instant::now());
        }
        let need = shortage.bytes();
        let limits = shared.limits();
        let slack = if shortage.over > 0 { limits.max_size.unwrap_or(0) / 64 } else { limits.min_free / 16 };
        Ok(Goal { need, enough: need.saturating_add(slack.min(MOST_SLACK)) })
    }
}

/// Removes broken transfers that wait to be resumed, the oldest first, until `bytes` are free; how many
/// bytes went. A row that cannot be removed names a file that is not there, which the next start forgets.
fn abandon_parked(shared: &Shared, connection: &mut Connection, bytes: u64) -> u64 {
    let mut freed = 0;
    let mut names = Vec::new();
    while freed < bytes {
        let oldest = shared.partials().take_oldest();
        let Some(parked) = oldest else { break };
        unlink(&shared.layout.part(&parked.name));
        shared.counts.unfinished.fetch_sub(parked.length, Ordering::Relaxed);
        freed += parked.length;
        names.push(parked.name);
    }
    let forgotten = commit(shared, connection, |transaction, _| {
        names.iter().try_for_each(|name| catalog::remove_partial(transaction, name))
    });
    if let Err(error) = forgotten {
        let error: &dyn std::error::Error = &error;
        tracing::warn!(error, "could not forget unfinished transfers that made room");
    }
    freed
}

impl Survey {
    /// Looks at the next piece, and holds what a channel needs of it; whether there is more to see.
    fn look(&mut self, shared: &Shared, connection: &mut Connection) -> Result<bool, Error> {
        let before = shared.clock.unix() - SAFE;
        let after = self.seen;
        let looked = commit(shared, connection, |transaction, totals| {
            let (candidates, last) = catalog::coldest_after(transaction, before, after, PIECE)?;
            let all = candidates.len();
            Ok((all, last, keep::sift_and_hold(shared, transaction, candidates, totals)?.free))
        });
        let (all, last, free) = match looked {
            Ok(looked) => looked,
            // No hold can be noted: what is evicted without one is asked for again.
            Err(error) if error.is_full() => return Ok(false),
            Err(error) => return Err(error),
        };
        self.seen = last;
        self.free += free.iter().map(|(_, size)| size).sum::<u64>();
        Ok(all == PIECE)
    }
}

/// What one piece of an eviction took.
struct Evicted {
    objects: Vec<(Digest, u64)>,
    keys: Vec<EntryKey>,
    /// Objects that were to go and that a channel needs.
    kept: usize,
}

/// What became of one piece of an eviction.
struct Piece {
    /// Bytes that went.
    freed: u64,
    /// Objects that were to go and that a channel needs.
    kept: usize,
}

impl Piece {
    /// Whether there was nothing that could have gone.
    const fn is_empty(&self) -> bool {
        self.freed == 0 && self.kept == 0
    }
}

/// Evicts the coldest objects until `bytes` are free, at most [`PIECE`] of them.
fn evict_some(shared: &Shared, connection: &mut Connection, bytes: u64) -> Result<Piece, Error> {
    let uses = shared.touches().due(true);
    let evicted = match forget_coldest(shared, connection, &uses, bytes) {
        // A disk so full that the catalog cannot even note what goes. Files first, this once: a crash now
        // leaves rows without files, which are misses.
        Err(error) if error.is_full() => {
            unlink_coldest(shared, connection, &uses, bytes)?;
            forget_coldest(shared, connection, &uses, bytes)
        }
        other => other,
    }?;
    {
        let mut touches = shared.touches();
        touches.written(&uses);
        for (digest, _) in &evicted.objects {
            touches.forget(digest);
        }
    }
    for (digest, _) in &evicted.objects {
        unlink(&shared.layout.object(digest));
    }
    shared.tell_evicted(&evicted.keys);
    let freed = evicted.objects.iter().map(|(_, size)| size).sum();
    Ok(Piece { freed, kept: evicted.kept })
}

/// Removes the rows of the coldest objects, durably.
fn forget_coldest(
    shared: &Shared,
    connection: &mut Connection,
    uses: &[(Digest, i64)],
    bytes: u64,
) -> Result<Evicted, Error> {
    let now = shared.clock.unix();
    commit(shared, connection, |transaction, totals| {
        for (digest, used) in uses {
            catalog::touch(transaction, digest, *used)?;
        }
        let mut freed = 0;
        let mut evicted = Evicted { objects: Vec::new(), keys: Vec::new(), kept: 0 };
        let mut candidates = catalog::coldest(transaction, now - SAFE, PIECE)?;
        if candidates.is_empty() {
            candidates = catalog::misdated(transaction, now + FUTURE, PIECE)?;
        }
        let sifted = keep::sift_and_hold(shared, transaction, candidates, totals)?;
        evicted.kept = sifted.kept.len();
        for (digest, size) in sifted.free {
            if freed >= bytes {
                break;
            }
            evicted.keys.extend(catalog::remove_object(transaction, &digest, size, totals)?);
            totals.evicted += size.cast_signed();
            freed += size;
            evicted.objects.push((digest, size));
        }
        Ok(evicted)
    })
}

/// Removes the files of the coldest objects, and nothing else. Those with uses that the catalog has not
/// heard of yet are left out.
pub(super) fn unlink_coldest(
    shared: &Shared,
    connection: &Connection,
    uses: &[(Digest, i64)],
    bytes: u64,
) -> Result<(), Error> {
    let in_use: HashSet<&Digest> = uses.iter().map(|(digest, _)| digest).collect();
    let wrong = |error| Error::catalog("read", &shared.layout.catalog, error);
    let before = shared.clock.unix() - SAFE;
    let (mut place, mut freed) = (catalog::Place::default(), 0);
    loop {
        let (candidates, last) = catalog::coldest_after(connection, before, place, PIECE).map_err(wrong)?;
        if candidates.is_empty() {
            return Ok(());
        }
        place = last;
        for (digest, size) in keep::sift(shared, connection, candidates).map_err(wrong)?.free {
            if freed >= bytes {
                return Ok(());
            }
            if !in_use.contains(&digest) {
                unlink(&shared.layout.object(&digest));
                freed += size;
            }
        }
    }
}
