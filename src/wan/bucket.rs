//! How many bytes a rate has room for just now.
//!
//! The counting is done by the `governor` crate, which keeps one number and no queue. What it needs to be
//! exact is arranged here:
//!
//! - It counts cells that each take a whole number of nanoseconds. A byte at some gigabits per second takes
//!   less than one, so that a cell is 1 KiB. Where that would be a coarse grain (below some 3 Mbit/s) it is
//!   less. The time of a cell is rounded up: a rate is never exceeded, and falls short by less than 0.2 % at
//!   100 Gbit/s, and by next to nothing on any line that one would limit.
//! - No more may ever be asked for at once than the bucket holds. Slices are a sixth of that.
//! - A new bucket would be full. It is emptied first, so that changing limits does not add up to more.
//!
//! A bucket holds 15 ms worth of its rate: the most that any second may see beyond it is therefore 1.5 %, which
//! leaves half a hundredth for heads that nobody could wait for, and a scheduler that comes some milliseconds
//! late, as on a busy machine, still loses nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::units::BitRate;

/// What a bucket holds: this part of a second.
const BURSTS_PER_SECOND: u64 = 66;

/// What is handed out at once: this part of a second.
const SLICES_PER_SECOND: u64 = 400;

/// Largest cell, in bytes.
const LARGEST_CELL: u64 = 1024;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// When to ask again should the library ever refuse a request for being too large, which it cannot.
const AGAIN: Duration = Duration::from_millis(1);

/// Room at one rate.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: BitRate,
    limiter: RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>,
    /// Bytes that the limiter counts as one.
    cell: u64,
    /// Most bytes to hand out at once.
    slice: u64,
    /// Most cells to take at once.
    most: u32,
    /// Bytes that were taken and not spent; below zero what was spent and is still to be taken.
    purse: i64,
}

/// The runtime's clock, which tests can stop and move.
#[derive(Debug, Clone)]
struct Ticks(Instant);

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

impl Bucket {
    /// An empty bucket that fills at `rate`, taken as at least one byte per slice.
    pub fn new(rate: BitRate) -> Self {
        let bytes = rate.bytes().max(SLICES_PER_SECOND);
        let slice = bytes / SLICES_PER_SECOND;
        // The largest power of two in a slice.
        let cell = (1 << slice.ilog2()).min(LARGEST_CELL);
        let period = Duration::from_nanos((cell * NANOS_PER_SECOND).div_ceil(bytes).max(1));
        let burst = u32::try_from(bytes / BURSTS_PER_SECOND / cell).unwrap_or(u32::MAX);
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period).unwrap_or(Quota::per_second(burst)).allow_burst(burst);
        let limiter = RateLimiter::direct_with_clock(quota, Ticks(Instant::now()));
        // Whatever the answer, it is empty now.
        let _ = limiter.check_n(burst);
        Self { rate, limiter, cell, slice, most: (burst.get() / 2).max(1), purse: 0 }
    }

    pub const fn rate(&self) -> BitRate {
        self.rate
    }

    /// Most bytes to hand out at once: 2.5 ms worth.
    pub const fn slice(&self) -> u64 {
        self.slice
    }

    /// Makes sure that there are `amount` bytes to spend, at most a slice.
    ///
    /// # Errors
    /// Not yet: how long to wait before asking again.
    pub fn afford(&mut self, amount: u64) -> Result<(), Duration> {
        loop {
            let missing = amount.cast_signed() - self.purse;
            let Some(missing) = u64::try_from(missing).ok().filter(|missing| *missing > 0) else {
                return Ok(());
            };
            let cells = u32::try_from(missing.div_ceil(self.cell)).unwrap_or(u32::MAX).min(self.most);
            let Some(asked) = NonZeroU32::new(cells) else { return Ok(()) };
            match self.limiter.check_n(asked) {
                Ok(Ok(())) => self.purse += (u64::from(cells) * self.cell).cast_signed(),
                Ok(Err(not_until)) => return Err(not_until.wait_time_from(self.limiter.clock().now())),
                Err(_) => return Err(AGAIN),
            }
        }
    }

    /// What has been spent and is still to be taken.
    pub const fn debt(&self) -> u64 {
        if self.purse < 0 { self.purse.unsigned_abs() } else { 0 }
    }

    /// Spends bytes, whether or not they could be afforded: what is owed is paid before anything else.
    pub const fn spend(&mut self, amount: u64) {
        self.purse = self.purse.saturating_sub_unsigned(amount);
    }

    /// Takes back what was spent and not used, as far as that cannot become a burst.
    pub fn refund(&mut self, amount: u64) {
        let most = self.slice.cast_signed().max(self.purse);
        self.purse = self.purse.saturating_add_unsigned(amount).min(most);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Takes what there is whenever there is some, for so long. Returns the bytes.
    async fn drain(bucket: &mut Bucket, duration: Duration) -> u64 {
        let end = Instant::now() + duration;
        let mut taken = 0;
        while Instant::now() < end {
            let slice = bucket.slice();
            match bucket.afford(slice) {
                Ok(()) => {
                    bucket.spend(slice);
                    taken += slice;
                }
                Err(wait) => tokio::time::sleep(wait).await,
            }
        }
        taken
    }

    #[rstest]
    #[case(64_000)]
    #[case(100_000)]
    #[case(1_000_000)]
    #[case(3_333_333)]
    #[case(20_000_000)]
    #[case(300_000_000)]
    #[case(1_000_000_000)]
    #[case(2_400_000_000)]
    #[case(5_600_000_000)]
    #[case(10_000_000_000)]
    #[case(100_000_000_000)]
    #[tokio::test(start_paused = true)]
    async fn every_rate_keeps_its_figure(#[case] bits: u64) {
        let rate = BitRate(bits);
        let mut bucket = Bucket::new(rate);
        let allowed = rate.bytes() * 10;
        let taken = drain(&mut bucket, Duration::from_secs(10)).await;
        assert!(taken <= allowed + rate.bytes() / 50, "{taken} of {allowed}");
        assert!(taken >= allowed / 1000 * 995, "{taken} of {allowed}");
    }

    #[rstest]
    #[case(64_000)]
    #[case(20_000_000)]
    #[case(10_000_000_000)]
    #[tokio::test(start_paused = true)]
    async fn rest_saves_up_15_milliseconds(#[case] bits: u64) {
        let rate = BitRate(bits);
        let mut bucket = Bucket::new(rate);
        tokio::time::sleep(Duration::from_hours(1)).await;
        let mut at_once = 0;
        while bucket.afford(bucket.slice()).is_ok() {
            bucket.spend(bucket.slice());
            at_once += bucket.slice();
        }
        assert!(at_once <= rate.bytes() / 65, "{at_once}");
        assert!(at_once >= rate.bytes() / 100, "{at_once}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_bucket_is_empty() {
        let mut bucket = Bucket::new(BitRate(20_000_000));
        assert!(bucket.afford(bucket.slice()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn debts_are_paid_first() {
        let mut bucket = Bucket::new(BitRate(8_000_000));
        bucket.spend(100_000);
        let begun = Instant::now();
        while let Err(wait) = bucket.afford(1) {
            tokio::time::sleep(wait).await;
        }
        let took = begun.elapsed().as_millis();
        assert!((98..=105).contains(&took), "{took} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn refunds_are_no_burst() {
        let mut bucket = Bucket::new(BitRate(8_000_000));
        bucket.refund(1_000_000);
        let slice = bucket.slice();
        assert!(bucket.afford(slice).is_ok());
        bucket.spend(slice);
        assert!(bucket.afford(slice).is_err());
    }
}
