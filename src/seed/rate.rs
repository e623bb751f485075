//! How fast bytes have come lately.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Over how long the mean is taken: a line that stutters should not make the estimate jump.
const WINDOW: Duration = Duration::from_secs(30);

/// The mean rate of the last half minute. Samples come once a second, so there are at most 32.
#[derive(Debug, Default)]
pub(super) struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Notes how many bytes there are in all.
    pub(super) fn sample(&mut self, now: Instant, bytes: u64) {
        self.0.push_back((now, bytes));
        while self.0.len() > 2 && self.0.front().is_some_and(|(at, _)| now - *at > WINDOW) {
            self.0.pop_front();
        }
    }

    /// What came before counts no more: there was a pause.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Bytes a second; nothing before there are two samples.
    pub(super) fn per_second(&self) -> Option<u64> {
        let ((first, before), (last, bytes)) = (self.0.front()?, self.0.back()?);
        let milliseconds = u64::try_from((*last - *first).as_millis()).ok()?;
        bytes.saturating_sub(*before).saturating_mul(1000).checked_div(milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_half_a_minute() {
        let (start, mut rate) = (Instant::now(), Rate::default());
        assert_eq!(rate.per_second(), None);
        for second in 0..100 {
            let bytes = if second < 50 { 1000 * second } else { 50_000 + 10 * (second - 50) };
            rate.sample(start + Duration::from_secs(second), bytes);
        }
        assert_eq!(rate.per_second(), Some(10));
        assert!(rate.0.len() <= 32);
    }
}
