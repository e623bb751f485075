//! Wall-clock time as a capability.
//!
//! Whatever compares dates takes a [`Clock`] (or, better, a plain "now"), so that tests of freshness
//! move time instead of waiting for it, and [`Clock::sleep`] ends when time was moved that far. Time-outs
//! use tokio's clock and are not this module's concern.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

/// Tells the time; clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Seconds added to the system's time.
    offset: Arc<watch::Sender<i64>>,
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let offset = *self.offset.borrow();
        let shift = Duration::from_secs(offset.unsigned_abs());
        if offset >= 0 { SystemTime::now() + shift } else { SystemTime::now() - shift }
    }

    /// Whole seconds since 1970, as the catalog and HTTP dates count.
    #[must_use]
    pub fn unix(&self) -> i64 {
        unix(self.now())
    }

    /// Moves this clock, and all its clones, forward.
    pub fn advance(&self, by: Duration) {
        self.offset.send_modify(|offset| *offset += by.as_secs().cast_signed());
    }

    /// Waits until this clock is `duration` further than now, be it because time has passed or because
    /// it was moved. Dropping the future is harmless.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now() + duration).await;
    }

    /// Waits until this clock shows `end`, as [`sleep`](Self::sleep) does. What was decided by a time that was
    /// read before cannot miss that the clock was moved since.
    pub async fn sleep_until(&self, end: SystemTime) {
        // Subscribing first: no move between the reading and the waiting is missed.
        let mut moves = self.offset.subscribe();
        while let Ok(left) = end.duration_since(self.now()).map(|left| left.max(Duration::from_millis(1))) {
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                // The sender lives in `self`.
                _ = moves.changed() => {}
            }
        }
    }
}

/// Whole seconds since 1970 of a point in time; negative before.
#[must_use]
pub fn unix(time: SystemTime) -> i64 {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs().cast_signed(),
        Err(before) => -before.duration().as_secs().cast_signed(),
    }
}

/// The point in time that lies `seconds` after 1970 began.
#[must_use]
pub fn from_unix(seconds: i64) -> SystemTime {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds >= 0 { SystemTime::UNIX_EPOCH + distance } else { SystemTime::UNIX_EPOCH - distance }
}
