//! Who may hold a connection to an upstream.
//!
//! There are two bounds, in all and per origin, and a permit takes one place of each at once, so nobody
//! holds one while waiting for the other. When a place becomes free it goes to the most urgent waiter whose
//! origin has one, and among equals to the one who came first; a busy origin holds up nobody else.
//! Less urgent waiters therefore wait as long as more urgent ones keep coming; one that becomes more urgent
//! meanwhile moves up, to where it would be had it been so from the beginning. So that a client
//! never waits for long transfers of a seed to end, a seed leaves a quarter of either bound free.
//!
//! Origins that are not configured share one slot, which bounds the table.
//!
//! One mutex guards it all; it is held for a few map operations and never across an await.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::outcome::Class;
use crate::wan::Urgency;

/// The places, and who waits for them; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Permits(Arc<Shared>);

/// The right to one transfer. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Permit {
    permits: Permits,
    slot: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Places that a seed leaves free: in all, and per slot.
    reserve: (usize, usize),
}

#[derive(Debug)]
struct State {
    free: usize,
    slots: Vec<Slot>,
    next_ticket: u64,
}

#[derive(Debug)]
struct Slot {
    free: usize,
    /// Most urgent and earliest first.
    waiting: BTreeMap<(Class, u64), Arc<Notify>>,
}

impl Permits {
    /// `slots` slots of `each` places; never more than `total` taken. Bounds of 0 count as 1.
    pub fn new(total: usize, each: usize, slots: usize) -> Self {
        let (total, each) = (total.max(1), each.max(1));
        let slots = (0..slots).map(|_| Slot { free: each, waiting: BTreeMap::new() }).collect();
        let state = State { free: total, slots, next_ticket: 0 };
        Self(Arc::new(Shared { state: Mutex::new(state), reserve: (total / 4, each / 4) }))
    }

    /// Waits for a place in `slot`. Dropping the future gives up the turn, or the place if it was just
    /// granted.
    pub async fn acquire(&self, slot: usize, urgency: &Urgency) -> Permit {
        let (key, turn) = self.enqueue(slot, urgency.class());
        let mut waiting = Waiting { permits: self, slot, key, taken_over: false };
        loop {
            tokio::select! {
                biased;
                () = turn.notified() => return waiting.into_permit(),
                () = urgency.above(waiting.key.0) => waiting.raise(urgency.class()),
            }
        }
    }

    /// Queues a turn, which may be granted at once.
    fn enqueue(&self, slot: usize, class: Class) -> ((Class, u64), Arc<Notify>) {
        let turn = Arc::new(Notify::new());
        let mut state = self.lock();
        let key = (class, state.next_ticket);
        state.next_ticket += 1;
        state.slots[slot].waiting.insert(key, turn.clone());
        self.grant(&mut state);
        (key, turn)
    }

    /// Hands out what is free.
    fn grant(&self, state: &mut State) {
        while let Some(slot) = self.next(state) {
            let Some((_, turn)) = state.slots[slot].waiting.pop_first() else { return };
            state.slots[slot].free -= 1;
            state.free -= 1;
            turn.notify_one();
        }
    }

    /// The slot whose first waiter is next.
    fn next(&self, state: &State) -> Option<usize> {
        let (reserve_total, reserve_each) = self.0.reserve;
        let eligible = state.slots.iter().enumerate().filter_map(|(index, slot)| {
            let (class, ticket) = *slot.waiting.first_key_value()?.0;
            let (leave_total, leave_each) =
                if class == Class::Seed { (reserve_total, reserve_each) } else { (0, 0) };
            (state.free > leave_total && slot.free > leave_each).then_some((class, ticket, index))
        });
        eligible.min().map(|(_, _, index)| index)
    }

    fn give_back(&self, state: &mut State, slot: usize) {
        state.free += 1;
        state.slots[slot].free += 1;
        self.grant(state);
    }

    /// Nothing in here panics, so a poisoned lock still guards good counts.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.permits.give_back(&mut self.permits.lock(), self.slot);
    }
}

/// A turn in the queue, so that a waiter who leaves leaves nothing behind.
struct Waiting<'a> {
    permits: &'a Permits,
    slot: usize,
    key: (Class, u64),
    /// The place that was granted has become a [`Permit`].
    taken_over: bool,
}

impl Waiting<'_> {
    /// Moves up in the queue, unless the turn has come already.
    fn raise(&mut self, class: Class) {
        let mut state = self.permits.lock();
        let raised = (class, self.key.1);
        if let Some(turn) = state.slots[self.slot].waiting.remove(&self.key) {
            state.slots[self.slot].waiting.insert(raised, turn);
            self.permits.grant(&mut state);
        }
        self.key = raised;
    }

    fn into_permit(mut self) -> Permit {
        self.taken_over = true;
        Permit { permits: self.permits.clone(), slot: self.slot }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.taken_over {
            return;
        }
        let mut state = self.permits.lock();
        let still_queued = state.slots[self.slot].waiting.remove(&self.key).is_some();
        if !still_queued {
            self.permits.give_back(&mut state, self.slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// The permit, if it is there without waiting.
    fn poll<F: Future<Output = Permit>>(waiting: Pin<&mut F>) -> Option<Permit> {
        match waiting.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(permit) => Some(permit),
            Poll::Pending => None,
        }
    }

    async fn acquire(permits: &Permits, slot: usize, class: Class) -> Permit {
        permits.acquire(slot, &class.into()).await
    }

    fn now(permits: &Permits, slot: usize, class: Class) -> Option<Permit> {
        poll(pin!(acquire(permits, slot, class)))
    }

    #[test]
    fn either_bound_holds() {
        let permits = Permits::new(3, 2, 2);
        let held = [now(&permits, 0, Class::Client), now(&permits, 0, Class::Client)];
        assert!(held.iter().all(Option::is_some));
        assert!(now(&permits, 0, Class::Client).is_none(), "the origin's places are taken");
        let third = now(&permits, 1, Class::Client);
        assert!(third.is_some());
        assert!(now(&permits, 1, Class::Client).is_none(), "all places are taken");
        drop(third);
        assert!(now(&permits, 1, Class::Client).is_some());
    }

    #[test]
    fn urgent_first_then_first_come() {
        let permits = Permits::new(1, 1, 1);
        let mut held = now(&permits, 0, Class::Seed);
        let mut seed = pin!(acquire(&permits, 0, Class::Seed));
        let mut first = pin!(acquire(&permits, 0, Class::Client));
        let mut second = pin!(acquire(&permits, 0, Class::Client));
        let mut refresh = pin!(acquire(&permits, 0, Class::Refresh));
        assert!(poll(seed.as_mut()).is_none());
        assert!(poll(first.as_mut()).is_none());
        assert!(poll(second.as_mut()).is_none());
        assert!(poll(refresh.as_mut()).is_none());

        drop(held.take());
        assert!(poll(second.as_mut()).is_none());
        held = poll(first.as_mut());
        assert!(held.is_some());
        drop(held.take());
        assert!(poll(refresh.as_mut()).is_none());
        held = poll(second.as_mut());
        assert!(held.is_some());
        drop(held.take());
        assert!(poll(seed.as_mut()).is_none());
        held = poll(refresh.as_mut());
        assert!(held.is_some());
        drop(held.take());
        assert!(poll(seed.as_mut()).is_some());
    }

    #[test]
    fn a_busy_origin_holds_up_nobody_else() {
        let permits = Permits::new(2, 1, 2);
        let _held = now(&permits, 0, Class::Client);
        let mut waiting = pin!(acquire(&permits, 0, Class::Client));
        assert!(poll(waiting.as_mut()).is_none());
        assert!(now(&permits, 1, Class::Seed).is_some());
    }

    #[test]
    fn a_seed_leaves_room_for_clients() {
        let permits = Permits::new(8, 8, 1);
        let held: Vec<_> = (0..8).map_while(|_| now(&permits, 0, Class::Seed)).collect();
        assert_eq!(held.len(), 6);
        assert!(now(&permits, 0, Class::Client).is_some());
    }

    #[test]
    fn leaving_the_queue_leaves_nothing_behind() {
        let permits = Permits::new(1, 1, 1);
        let held = now(&permits, 0, Class::Client);
        {
            let mut queued = pin!(acquire(&permits, 0, Class::Client));
            assert!(poll(queued.as_mut()).is_none());
        }
        {
            let mut granted = pin!(acquire(&permits, 0, Class::Client));
            assert!(poll(granted.as_mut()).is_none());
            // The place is granted to the waiter, who leaves without having noticed.
            drop(held);
        }
        assert!(now(&permits, 0, Class::Client).is_some());
    }

    #[test]
    fn who_becomes_urgent_moves_up() {
        let permits = Permits::new(2, 2, 1);
        let mut held: Vec<_> = (0..2).filter_map(|_| now(&permits, 0, Class::Client)).collect();
        let urgency = Urgency::from(Class::Seed);
        let mut seed = pin!(permits.acquire(0, &urgency));
        assert!(poll(seed.as_mut()).is_none());
        let mut client = pin!(acquire(&permits, 0, Class::Client));
        assert!(poll(client.as_mut()).is_none());

        urgency.raise(Class::Client);
        assert!(poll(seed.as_mut()).is_none(), "it moves up, and still waits");
        held.pop();
        assert!(poll(client.as_mut()).is_none());
        assert!(poll(seed.as_mut()).is_some(), "it came first");
    }
}
