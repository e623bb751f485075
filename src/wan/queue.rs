//! Whose turn it is. No clock of its own, no I/O, no waiting: times come in, grants go out.
//!
//! Every transfer that has something to take stands in the queue of its class with the number of bytes that
//! it has had so far, in the sense of start-time fair queueing: whoever has had least is next, a transfer that
//! comes or comes back starts level with the one served last, and nobody is owed for a time in which it asked
//! for nothing. So transfers of a class get the same number of bytes, however large the pieces are that
//! they ask for. Grants are slices of a few milliseconds of the line.
//!
//! Between classes the order is strict but for two guarantees, so that upstreams do not give up on who has
//! to wait: of what more urgent classes are granted, a refresh gets [`SHARES`] and a seed its part on top; and
//! whoever has waited for [`PATIENCE`], of any class, is served next. As a slice is 2.5 ms of the line, that
//! bounds every wait by 30 s as long as fewer than 12,000 transfers wait at once.
//!
//! A host with a limit of its own has a second bucket; its transfers are passed over while that is empty.

use std::collections::{BTreeSet, HashMap};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::bucket::Bucket;
use super::urgency::{CLASSES, index};
use crate::outcome::Class;
use crate::safe_url::Host;
use crate::units::BitRate;

/// Whoever has waited for so long is next. A third of the 30 s after which apt gives up on silence.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a class may have, in hundredths of what is granted to more urgent ones while it waits.
const SHARES: [u64; CLASSES.len()] = [0, 5, 2];

/// Slices that a class may save up of its share.
const SAVED_SLICES: u64 = 4;

/// Names a transfer.
pub(super) type Id = u64;

/// All transfers that have had to wait, and the buckets they wait for.
#[derive(Debug, Default)]
pub(super) struct Queue {
    line: Option<Bucket>,
    hosts: Vec<(Host, Bucket)>,
    transfers: HashMap<Id, Transfer>,
    next: Id,
    classes: [Waiting; CLASSES.len()],
    /// Everyone who waits, longest first.
    since: BTreeSet<(Instant, Id)>,
}

#[derive(Debug)]
struct Transfer {
    class: usize,
    host: Host,
    /// Its place in `hosts`, if it has one.
    limited: Option<usize>,
    /// Where it stands among its class.
    had: u64,
    asks: Option<Asks>,
    /// Bytes that it may take.
    granted: u64,
    waker: Option<Waker>,
}

#[derive(Debug, Clone, Copy)]
struct Asks {
    bytes: u64,
    since: Instant,
}

/// What somebody is granted next.
#[derive(Debug, Clone, Copy)]
struct Turn {
    id: Id,
    bytes: u64,
    /// It comes out of what the class has saved of its share.
    shared: bool,
}

/// The transfers of one class that ask for something.
#[derive(Debug, Default)]
struct Waiting {
    /// Least served first.
    order: BTreeSet<(u64, Id)>,
    /// Where the one served last stood.
    level: u64,
    /// Hundredths of bytes that the class may have before more urgent ones.
    share: u64,
}

impl Queue {
    /// Changes the limits, if they are others. Those that stay keep what they hold.
    pub fn limit(&mut self, line: Option<BitRate>, hosts: &[(Host, BitRate)]) {
        if self.line.as_ref().map(Bucket::rate) != line {
            // What came and is not paid for is not forgiven: limits may be changed again and again.
            let debt = self.line.as_ref().map_or(0, Bucket::debt);
            self.line = line.map(Bucket::new);
            if let Some(line) = &mut self.line {
                line.spend(debt);
            }
        }
        let mut before = std::mem::take(&mut self.hosts);
        for (host, rate) in hosts {
            let kept = before.iter().position(|(name, bucket)| name == host && bucket.rate() == *rate);
            let bucket =
                kept.map_or_else(|| (host.clone(), Bucket::new(*rate)), |index| before.swap_remove(index));
            self.hosts.push(bucket);
        }
        for transfer in self.transfers.values_mut() {
            transfer.limited = place(&self.hosts, &transfer.host);
        }
    }

    /// Whether there is no limit at all.
    pub fn is_free(&self) -> bool {
        self.line.is_none() && self.hosts.is_empty()
    }

    /// The line's limit.
    pub fn line(&self) -> Option<BitRate> {
        self.line.as_ref().map(Bucket::rate)
    }

    /// How many transfers of each class wait, most urgent class first.
    pub fn waiting(&self) -> [usize; CLASSES.len()] {
        self.classes.each_ref().map(|class| class.order.len())
    }

    /// Adds a transfer.
    pub fn enter(&mut self, host: &Host, class: Class) -> Id {
        let id = self.next;
        self.next += 1;
        let transfer = Transfer {
            class: index(class),
            host: host.clone(),
            limited: place(&self.hosts, host),
            had: 0,
            asks: None,
            granted: 0,
            waker: None,
        };
        self.transfers.insert(id, transfer);
        id
    }

    /// Takes a transfer away, with whatever it had to wait for.
    pub fn leave(&mut self, id: Id) {
        self.forget(id);
        if let Some(Transfer { granted, limited, .. }) = self.transfers.remove(&id) {
            self.refund(granted, limited);
        }
    }

    /// Makes a transfer ask for `bytes`, as one of `class`. What it asked for before is forgotten.
    pub fn ask(&mut self, id: Id, class: Class, bytes: u64, now: Instant) {
        self.forget(id);
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        if transfer.granted > 0 {
            // It was granted something and did not take it.
            return;
        }
        if transfer.class != index(class) {
            // Classes count apart.
            transfer.had = 0;
            transfer.class = index(class);
        }
        let class = &mut self.classes[transfer.class];
        transfer.had = transfer.had.max(class.level);
        transfer.asks = Some(Asks { bytes, since: now });
        class.order.insert((transfer.had, id));
        self.since.insert((now, id));
    }

    /// Moves a transfer to a more urgent class, at once.
    pub fn raise(&mut self, id: Id, class: Class) {
        if let Some(Asks { bytes, since }) = self.transfers.get(&id).and_then(|transfer| transfer.asks) {
            self.ask(id, class, bytes, since);
        }
    }

    /// What a transfer may take now, at most `bytes`; otherwise it is woken when there is something.
    pub fn take(&mut self, id: Id, bytes: u64, waker: &Waker) -> Option<u64> {
        let transfer = self.transfers.get_mut(&id)?;
        let taken = transfer.granted.min(bytes);
        if taken == 0 {
            match &mut transfer.waker {
                Some(known) => known.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return None;
        }
        transfer.granted -= taken;
        Some(taken)
    }

    /// Counts bytes that have come already and could not be waited for.
    pub fn charge(&mut self, host: &Host, bytes: u64) {
        if let Some(line) = &mut self.line {
            line.spend(bytes);
        }
        if let Some((_, bucket)) = self.hosts.iter_mut().find(|(name, _)| name == host) {
            bucket.spend(bytes);
        }
    }

    /// Grants what there is. Returns when there will be more for somebody who waits.
    pub fn serve(&mut self, now: Instant) -> Option<Instant> {
        loop {
            let turn = match self.next(now) {
                Ok(turn) => turn,
                Err(later) => return later.map(|wait| now + wait),
            };
            if let Some(line) = &mut self.line
                && let Err(wait) = line.afford(turn.bytes)
            {
                return Some(now + wait);
            }
            self.grant(turn);
        }
    }

    /// Who is next, and for how many bytes; or how long it takes until somebody may be.
    fn next(&mut self, now: Instant) -> Result<Turn, Option<Duration>> {
        let Self { line, hosts, transfers, classes, since, .. } = self;
        let whole = line.as_ref().map_or(u64::MAX, Bucket::slice);
        let mut later: Option<Duration> = None;
        // Whose bucket turned out to be empty. Looking once is enough.
        let mut empty = vec![false; hosts.len()];
        let mut eligible = |id: Id| {
            let transfer = transfers.get(&id)?;
            let amount = transfer.asks?.bytes.min(whole);
            let Some(limited) = transfer.limited else {
                return Some(Turn { id, bytes: amount, shared: false });
            };
            let (_, bucket) = hosts.get_mut(limited)?;
            let amount = amount.min(bucket.slice());
            if *empty.get(limited)? {
                return None;
            }
            match bucket.afford(amount) {
                Ok(()) => Some(Turn { id, bytes: amount, shared: false }),
                Err(wait) => {
                    empty[limited] = true;
                    later = Some(later.map_or(wait, |other| other.min(wait)));
                    None
                }
            }
        };
        let overdue = since.iter().take_while(|(since, _)| *since + PATIENCE <= now);
        if let Some(next) = overdue.map(|(_, id)| *id).find_map(&mut eligible) {
            return Ok(next);
        }
        for class in classes.iter().rev() {
            if class.share >= whole.saturating_mul(100)
                && let Some(turn) = class.order.iter().find_map(|(_, id)| eligible(*id))
            {
                return Ok(Turn { shared: true, ..turn });
            }
        }
        let mut in_order = classes.iter().flat_map(|class| &class.order);
        in_order.find_map(|(_, id)| eligible(*id)).ok_or(later)
    }

    /// Gives a transfer its turn.
    fn grant(&mut self, turn: Turn) {
        let Turn { id, bytes: amount, shared } = turn;
        self.forget(id);
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        transfer.granted += amount;
        if let Some(waker) = transfer.waker.take() {
            waker.wake();
        }
        let granted = transfer.class;
        let class = &mut self.classes[granted];
        class.level = class.level.max(transfer.had);
        if shared {
            class.share = class.share.saturating_sub(100 * amount);
        }
        transfer.had += amount;
        if let Some((_, bucket)) = transfer.limited.and_then(|limited| self.hosts.get_mut(limited)) {
            bucket.spend(amount);
        }
        let Some(line) = &mut self.line else { return };
        line.spend(amount);
        let most = 100 * SAVED_SLICES * line.slice();
        for (class, share) in self.classes.iter_mut().zip(SHARES).skip(granted + 1) {
            if !class.order.is_empty() {
                class.share = (class.share + share * amount).min(most);
            }
        }
    }

    /// Makes a transfer ask for nothing.
    fn forget(&mut self, id: Id) {
        let Some(transfer) = self.transfers.get_mut(&id) else { return };
        if let Some(asks) = transfer.asks.take() {
            self.classes[transfer.class].order.remove(&(transfer.had, id));
            self.since.remove(&(asks.since, id));
        }
    }

    fn refund(&mut self, bytes: u64, limited: Option<usize>) {
        if bytes == 0 {
            return;
        }
        if let Some(line) = &mut self.line {
            line.refund(bytes);
        }
        if let Some((_, bucket)) = limited.and_then(|limited| self.hosts.get_mut(limited)) {
            bucket.refund(bytes);
        }
    }
}

fn place(hosts: &[(Host, Bucket)], host: &Host) -> Option<usize> {
    hosts.iter().position(|(name, _)| name == host)
}
