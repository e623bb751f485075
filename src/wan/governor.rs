//! The governor: one for all traffic from upstreams, and the turns that transfers wait for.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::forecast::{Forecast, Gate};
use super::meter::Meter;
use super::plan::{Change, Plan};
use super::queue::{Id, Queue};
use super::schedule::Hours;
use super::urgency::{CLASSES, Urgency};
use crate::clock::Clock;
use crate::outcome::Class;
use crate::safe_url::Host;
use crate::units::BitRate;

/// The system's clock may be set, and runs a little faster or slower than the timers do: so often it is
/// looked at when nothing else is due.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Keeps what comes from upstreams within a [`Plan`]; clones are the same one.
///
/// Limits hold once [`Governor::run`] is running, which is what turns come from when the line is full.
#[derive(Debug, Clone)]
pub struct Governor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Nothing is limited now: the way of a transfer that has to look no further.
    free: AtomicBool,
    state: Mutex<State>,
    /// Something came up that is due before what the scheduler waits for.
    sooner: Notify,
    meter: Meter,
    clock: Clock,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    plan: Plan,
    /// When the plan was last looked at, and when the limit changes next.
    seen: Timestamp,
    change: Option<Change>,
    /// When the scheduler serves next; none when it waits to be told.
    due: Option<Instant>,
}

/// One transfer's place in the queue. Dropping it gives the place up, and what it was granted back.
#[derive(Debug)]
pub struct Transfer {
    governor: Governor,
    urgency: Urgency,
    host: Host,
    /// Its name in the queue, once it had to enter it.
    id: Option<Id>,
}

/// How the line is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The limit that holds now; none is unlimited.
    pub limit: Option<BitRate>,
    /// What comes just now, the mean of some seconds.
    pub rate: BitRate,
    /// Transfers that wait for their turn, by class, most urgent first.
    pub waiting: [usize; CLASSES.len()],
    /// When the limit changes next, and to what.
    pub change: Option<Change>,
}

impl Governor {
    /// A governor that follows `plan` by the time that `clock` tells.
    #[must_use]
    pub fn new(plan: Plan, clock: Clock) -> Self {
        let queue = Queue::default();
        let mut state = State { queue, plan, seen: Timestamp::MIN, change: None, due: None };
        state.follow(now(&clock));
        Self(Arc::new(Inner {
            free: AtomicBool::new(state.queue.is_free()),
            state: Mutex::new(state),
            sooner: Notify::new(),
            meter: Meter::new(),
            clock,
        }))
    }

    /// A governor that limits nothing and needs not run.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(Plan::default(), Clock::system())
    }

    /// Follows another plan from now on, also with transfers that are running.
    pub fn set(&self, plan: Plan) {
        {
            let mut state = self.lock();
            state.plan = plan;
            state.seen = Timestamp::MIN;
            state.follow(now(&self.0.clock));
            self.0.free.store(state.queue.is_free(), Ordering::Relaxed);
        }
        self.0.sooner.notify_one();
    }

    /// Hands out turns and follows the plan's hours, for ever. When the future is dropped, whoever waits
    /// for a turn waits until somebody else runs it.
    pub async fn run(self) {
        let inner = &*self.0;
        loop {
            let (due, change) = {
                let mut state = self.lock();
                state.follow(now(&inner.clock));
                inner.free.store(state.queue.is_free(), Ordering::Relaxed);
                state.due = state.queue.serve(Instant::now());
                (state.due, state.change)
            };
            let turn = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let hours = async {
                match change {
                    Some(change) => {
                        let left = change.at.duration_since(now(&inner.clock));
                        let left = Duration::try_from(left).unwrap_or_default();
                        inner.clock.sleep(left.min(LOOK_AGAIN)).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = turn => {}
                () = hours => {}
                () = inner.sooner.notified() => {}
            }
        }
    }

    /// A transfer from `host`.
    #[must_use]
    pub fn transfer(&self, host: Host, urgency: Urgency) -> Transfer {
        Transfer { governor: self.clone(), urgency, host, id: None }
    }

    /// How the line is used now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.lock();
        Usage {
            limit: state.queue.line(),
            rate: self.0.meter.rate(),
            waiting: state.queue.waiting(),
            change: state.change,
        }
    }

    /// The plan that it follows.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.lock().plan.clone()
    }

    /// How long `bytes` from `hosts` take from now on within `hours`, if nobody more urgent uses the line.
    #[must_use]
    pub fn forecast(&self, bytes: u64, hours: Option<Hours>, hosts: &[Host]) -> Forecast {
        self.plan().forecast(bytes, hours, hosts, now(&self.0.clock))
    }

    /// Whether what keeps to `hours` may use the line now. Another plan, with another clock for hours, may
    /// follow at any time: ask again before a long wait is over.
    #[must_use]
    pub fn gate(&self, hours: Option<Hours>) -> Gate {
        self.plan().gate(hours, now(&self.0.clock))
    }

    /// Nothing in here panics, so a poisoned lock still guards a good queue.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants what there is, and sees to it that the scheduler wakes for the rest.
    fn serve(&self, state: &mut State) {
        let due = state.queue.serve(Instant::now());
        if let Some(due) = due
            && state.due.is_none_or(|armed| due < armed)
        {
            state.due = Some(due);
            self.0.sooner.notify_one();
        }
    }
}

impl State {
    /// Lets the limit of the hour hold. Cheap while nothing has changed.
    fn follow(&mut self, now: Timestamp) {
        let due = self.change.is_some_and(|change| change.at <= now);
        // A clock that was set back may lie before a change that has been made.
        if self.seen != Timestamp::MIN && !due && now >= self.seen {
            self.seen = now;
            return;
        }
        self.seen = now;
        self.queue.limit(self.plan.limit_at(now), &self.plan.hosts);
        self.change = self.plan.change_after(now);
    }
}

impl Transfer {
    /// Waits until bytes that have come may be passed on, and says how many: at least one, at most
    /// `bytes`, which is at least one. Without a limit that is all of them, at once.
    ///
    /// Dropping the future loses nothing: what it was granted is there the next time.
    pub async fn turn(&mut self, bytes: usize) -> usize {
        let free = self.governor.0.free.load(Ordering::Relaxed);
        let granted = if free { bytes as u64 } else { self.queued(bytes as u64).await };
        self.governor.0.meter.add(granted);
        // No more than was asked for.
        usize::try_from(granted).unwrap_or(bytes)
    }

    /// Counts bytes that have come and are no content: heads, redirects.
    pub fn charge(&self, bytes: usize) {
        self.governor.0.meter.add(bytes as u64);
        if !self.governor.0.free.load(Ordering::Relaxed) {
            self.governor.lock().queue.charge(&self.host, bytes as u64);
        }
    }

    /// Lets the transfer go on from another host, which a redirect led to.
    pub fn moved(&mut self, host: &Host) {
        if self.host != *host {
            self.leave();
            self.host = host.clone();
        }
    }

    /// The slow way: through the queue.
    async fn queued(&mut self, bytes: u64) -> u64 {
        let Self { governor, urgency, host, id } = self;
        let mut class = urgency.class();
        let id = {
            let mut state = governor.lock();
            let id = *id.get_or_insert_with(|| state.queue.enter(host, class));
            state.queue.ask(id, class, bytes, Instant::now());
            governor.serve(&mut state);
            id
        };
        loop {
            let granted = poll_fn(|cx| {
                let granted = governor.lock().queue.take(id, bytes, cx.waker());
                granted.map_or(Poll::Pending, Poll::Ready)
            });
            tokio::select! {
                biased;
                granted = granted => return granted,
                () = urgency.above(class), if class > Class::Client => {
                    class = urgency.class();
                    let mut state = governor.lock();
                    state.queue.raise(id, class);
                    governor.serve(&mut state);
                }
            }
        }
    }

    fn leave(&mut self) {
        if let Some(id) = self.id.take() {
            let mut state = self.governor.lock();
            state.queue.leave(id);
            // What it waited for may be somebody else's now.
            self.governor.serve(&mut state);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The time as the schedule reads it. Beyond what it can read nothing is scheduled.
fn now(clock: &Clock) -> Timestamp {
    Timestamp::try_from(clock.now()).unwrap_or(Timestamp::UNIX_EPOCH)
}
