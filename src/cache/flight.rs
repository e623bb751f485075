//! One transfer from upstream, and the many who read it while it runs.
//!
//! A flight's state is one watched value: the head once it is known, how many bytes may be read, and how
//! it ended. The [fill](super::fill) alone changes it. Readers hold the file that is being written and
//! follow the state, each at its own pace; they share nothing else, so that one that leaves or lags
//! touches nobody.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::entry::Entry;
use super::failure::Failure;
use super::policy::NotStored;
use super::validators::Validators;
use crate::outcome::Class;
use crate::store::EntryKey;
use crate::wan::Urgency;

/// What upstream said about the body, before its bytes.
#[derive(Debug, Clone)]
pub struct Head {
    /// What clients' conditions are compared with while it streams.
    pub validators: Validators,
    /// Upstream's `Content-Type`.
    pub content_type: Option<String>,
    /// Size of the whole, in bytes, if upstream told it.
    pub total: Option<u64>,
    /// The file that grows.
    pub file: Arc<File>,
}

/// How a flight ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// The body is stored.
    Committed(Arc<Entry>),
    /// Upstream confirmed the kept copy.
    Confirmed(Arc<Entry>),
    /// Upstream could not help; the kept copy stands.
    Kept(Arc<Entry>, Failure),
    /// The answer does not go through the store: each client fetches its own.
    Direct(NotStored),
    /// It failed.
    Failed(Failure),
}

#[derive(Debug, Clone, Default)]
struct State {
    head: Option<Arc<Head>>,
    /// Readers may have the bytes before this position.
    available: u64,
    /// Every byte is available; only the commit is outstanding.
    complete: bool,
    /// A seed wants no more of it for now. Nobody else did.
    halted: bool,
    end: Option<End>,
}

/// A running transfer.
#[derive(Debug)]
pub struct Flight {
    /// What is fetched.
    pub key: EntryKey,
    /// On whose behalf it began.
    pub class: Class,
    /// On whose behalf it goes on: a client that joins makes it more urgent.
    pub urgency: Urgency,
    /// When it began.
    pub started: Instant,
    state: watch::Sender<State>,
    /// Cancelled when [`State::halted`] is set.
    halt: CancellationToken,
}

/// What a request that waits for a flight meets first.
pub(super) enum Landing {
    Streaming(Arc<Head>),
    Ended(End),
    /// Nothing within the time it was willing to wait.
    Impatient,
}

/// A flight as administrators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlightStatus {
    /// Name of the repository.
    pub repo: String,
    /// Path in it.
    pub path: String,
    /// Bytes that are here.
    pub received: u64,
    /// Bytes in all, if known.
    pub total: Option<u64>,
    /// Age in seconds.
    pub seconds: u64,
    /// Clients that read it now.
    pub readers: u64,
    /// On whose behalf.
    pub class: Class,
}

impl Flight {
    pub(super) fn new(key: EntryKey, class: Class) -> Self {
        let (urgency, started) = (Urgency::from(class), Instant::now());
        Self {
            key,
            class,
            urgency,
            started,
            state: watch::Sender::new(State::default()),
            halt: CancellationToken::new(),
        }
    }

    /// Makes the head known. Readers may have the bytes before `available` at once.
    pub(super) fn announce(&self, head: Arc<Head>, available: u64) {
        self.state.send_modify(|state| {
            state.head = Some(head);
            state.available = available;
        });
    }

    pub(super) fn has_head(&self) -> bool {
        self.state.borrow().head.is_some()
    }

    /// Lets readers have the bytes before `available`.
    pub(super) fn advance(&self, available: u64) {
        self.state.send_modify(|state| state.available = available);
    }

    /// Lets readers have everything: the body has `total` bytes and they are the right ones.
    pub(super) fn complete(&self, total: u64) {
        self.state.send_modify(|state| {
            state.available = total;
            state.complete = true;
        });
    }

    /// Whether readers may have everything.
    pub(super) fn is_complete(&self) -> bool {
        let state = self.state.borrow();
        state.complete || state.head.as_ref().is_some_and(|head| head.total == Some(state.available))
    }

    /// Ends the flight; only the first end counts.
    pub(super) fn end(&self, end: End) {
        self.state.send_modify(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// Has the transfer leave what has come to a later one. Only while nobody but a seed is in it, which who
    /// calls this makes sure of: whoever joins from then on waits for the end, and begins anew.
    pub(super) fn halt(&self) {
        self.state.send_modify(|state| state.halted = true);
        self.halt.cancel();
    }

    /// Resolves when the flight is to be given up.
    pub(super) async fn halted(&self) {
        // Not a receiver of the state: those are counted as readers.
        self.halt.cancelled().await;
    }

    /// Bytes that are here and may be read.
    pub(super) fn received(&self) -> u64 {
        self.state.borrow().available
    }

    /// Waits for the head or the end, up to `patience`. Dropping the future is harmless.
    pub(super) async fn landing(&self, patience: Duration) -> Landing {
        let mut watcher = self.state.subscribe();
        let settled =
            watcher.wait_for(|state| (state.head.is_some() && !state.halted) || state.end.is_some());
        match tokio::time::timeout(patience, settled).await {
            // The sender lives in `self`, so the channel cannot be closed here.
            Err(_) | Ok(Err(_)) => Landing::Impatient,
            Ok(Ok(state)) => match (&state.end, &state.head) {
                // A committed body is served from its entry, a running one from the head.
                (Some(end), _) => Landing::Ended(end.clone()),
                // Only the commit is outstanding: now the size is known.
                (None, Some(head)) if state.complete && head.total.is_none() => {
                    Landing::Streaming(Arc::new(Head { total: Some(state.available), ..(**head).clone() }))
                }
                (None, Some(head)) => Landing::Streaming(Arc::clone(head)),
                (None, None) => Landing::Impatient,
            },
        }
    }

    /// Waits for the end, however long it takes. Dropping the future is harmless.
    pub(super) async fn ended(&self) -> End {
        let mut watcher = self.state.subscribe();
        let ended = watcher.wait_for(|state| state.end.is_some()).await;
        // The sender lives in `self`, so the channel cannot be closed here.
        ended.ok().and_then(|state| state.end.clone()).unwrap_or(End::Failed(Failure::Stopping))
    }

    /// A reader of the bytes from `first`, up to `last` (inclusive) or to the end.
    #[must_use]
    pub fn reader(self: &Arc<Self>, head: &Arc<Head>, first: u64, last: Option<u64>) -> Reader {
        Reader {
            watcher: self.state.subscribe(),
            _flight: Arc::clone(self),
            head: Arc::clone(head),
            position: first,
            last,
        }
    }

    /// A snapshot for administrators.
    #[must_use]
    pub fn status(&self) -> FlightStatus {
        let state = self.state.borrow();
        FlightStatus {
            repo: self.key.repo.to_string(),
            path: self.key.path.to_string(),
            received: state.available,
            total: state.head.as_ref().and_then(|head| head.total),
            seconds: self.started.elapsed().as_secs(),
            readers: self.state.receiver_count() as u64,
            class: self.urgency.class(),
        }
    }
}

/// Why a reader got no more bytes although the body had not ended.
#[derive(Debug, Clone)]
pub enum Cut {
    /// The transfer failed.
    Failed(Failure),
    /// The flight gave up storing; the rest can be had from upstream directly.
    Unstored,
}

/// Follows a flight from one position.
#[derive(Debug)]
pub struct Reader {
    /// Keeps the watched state from being closed.
    _flight: Arc<Flight>,
    watcher: watch::Receiver<State>,
    head: Arc<Head>,
    position: u64,
    /// Last byte wanted; `None` for all there is.
    last: Option<u64>,
}

impl Reader {
    /// The position and length of the next piece of the head's file, at most `most` bytes, or `None` at
    /// the end. Waits while the flight has nothing new; a dropped future
    /// leaves the reader where it was.
    ///
    /// # Errors
    /// The flight ended before the bytes that were wanted.
    pub async fn next(&mut self, most: usize) -> Result<Option<(u64, usize)>, Cut> {
        loop {
            if self.last.is_some_and(|last| self.position > last) {
                return Ok(None);
            }
            let (available, complete, end) = {
                let state = self.watcher.borrow_and_update();
                (state.available, state.complete, state.end.clone())
            };
            let until = self.last.map_or(available, |last| available.min(last + 1));
            if until > self.position {
                let length = usize::try_from(until - self.position).unwrap_or(most).min(most);
                let position = self.position;
                self.position += length as u64;
                return Ok(Some((position, length)));
            }
            match end {
                _ if complete => return Ok(None),
                Some(End::Direct(_)) => return Err(Cut::Unstored),
                Some(End::Failed(failure) | End::Kept(_, failure)) => return Err(Cut::Failed(failure)),
                // These come with everything available, so nothing is left to wait for.
                Some(End::Committed(_) | End::Confirmed(_)) => return Ok(None),
                None => {
                    if self.watcher.changed().await.is_err() {
                        return Err(Cut::Failed(Failure::Stopping));
                    }
                }
            }
        }
    }

    /// Where the next piece begins.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The last byte wanted, if not all.
    #[must_use]
    pub const fn last(&self) -> Option<u64> {
        self.last
    }

    /// The head of what is read.
    #[must_use]
    pub const fn head(&self) -> &Arc<Head> {
        &self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight() -> Flight {
        let key = EntryKey { repo: "u".into(), path: "a".into() };
        Flight::new(key, Class::Client)
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_it_is_willing_to() {
        let (flight, begun) = (flight(), tokio::time::Instant::now());
        let patience = Duration::from_secs(25);
        assert!(matches!(flight.landing(patience).await, Landing::Impatient));
        assert_eq!(begun.elapsed().as_secs(), 25);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_known_needs_no_patience() {
        let flight = flight();
        flight.end(End::Failed(Failure::Busy));
        flight.end(End::Failed(Failure::Stopping));
        let landing = flight.landing(Duration::ZERO).await;
        assert!(matches!(landing, Landing::Ended(End::Failed(Failure::Busy))), "the first end counts");
    }
}
