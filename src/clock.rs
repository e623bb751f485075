//! Wall-clock time as a capability.
//!
//! Whatever compares dates takes a [`Clock`] (or, better, a plain "now"), so that tests of freshness
//! move time instead of waiting for it. Time-outs use tokio's clock and are not this module's concern.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// Tells the time; clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Seconds added to the system's time.
    offset: Arc<AtomicI64>,
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
        let offset = self.offset.load(Ordering::Relaxed);
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
        self.offset.fetch_add(by.as_secs().cast_signed(), Ordering::Relaxed);
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
