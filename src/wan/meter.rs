//! How fast bytes come just now.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::units::BitRate;

/// Whole seconds over which the rate is taken.
const SECONDS: u64 = 5;

/// One more than are read: the second that is being filled.
const SLOTS: usize = 8;

/// The low bits of a slot count bytes, the others tell the second: up to a terabyte a second, and half a
/// year until a number comes again.
const COUNT_BITS: u32 = 40;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

/// Counts bytes by the second, without a lock.
#[derive(Debug)]
pub(super) struct Meter {
    begun: Instant,
    slots: [AtomicU64; SLOTS],
}

impl Meter {
    pub fn new() -> Self {
        Self { begun: Instant::now(), slots: [const { AtomicU64::new(0) }; SLOTS] }
    }

    /// So many bytes have come.
    pub fn add(&self, bytes: u64) {
        let second = self.begun.elapsed().as_secs();
        let count = |slot: u64| {
            let before = if slot >> COUNT_BITS == tag(second) { slot & COUNT } else { 0 };
            Some(tag(second) << COUNT_BITS | before.saturating_add(bytes).min(COUNT))
        };
        // The update cannot fail: it always has a new value.
        let _ = self.slot(second).fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
    }

    /// The mean of the last whole seconds, as many as there have been.
    pub fn rate(&self) -> BitRate {
        let now = self.begun.elapsed().max(Duration::from_secs(1)).as_secs();
        let seconds = now.saturating_sub(SECONDS)..now;
        let bytes = seconds.clone().map(|second| {
            let slot = self.slot(second).load(Ordering::Relaxed);
            if slot >> COUNT_BITS == tag(second) { slot & COUNT } else { 0 }
        });
        BitRate::of_bytes(bytes.sum::<u64>() / (seconds.end - seconds.start).max(1))
    }

    fn slot(&self, second: u64) -> &AtomicU64 {
        let index = usize::try_from(second % SLOTS as u64).unwrap_or_default();
        &self.slots[index]
    }
}

const fn tag(second: u64) -> u64 {
    second & (u64::MAX >> COUNT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_that_of_the_last_seconds() {
        let meter = Meter::new();
        assert_eq!(meter.rate(), BitRate(0));
        for _ in 0..10 {
            meter.add(600);
            meter.add(400);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(meter.rate(), BitRate(8_000));
        // A second that is not over does not count.
        meter.add(1_000_000);
        assert_eq!(meter.rate(), BitRate(8_000));
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(meter.rate(), BitRate(8 * 1_002_000 / 5));
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(meter.rate(), BitRate(0));
    }
}
