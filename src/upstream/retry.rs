//! How long to wait before trying again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(8);

/// The pauses between tries: 0.25 s, doubling to 8 s, as many as there are retries. Each is shortened by
/// up to half at random, so that the many transfers that one broken link interrupts do not all come back
/// in the same instant.
#[derive(Debug, Clone)]
pub struct Backoff {
    left: u32,
    pause: Duration,
    random: u64,
}

impl Backoff {
    /// Pauses for `retries` retries.
    #[must_use]
    pub fn new(retries: u32) -> Self {
        // The standard library's only source of randomness: keys for its hash tables.
        Self::seeded(retries, RandomState::new().build_hasher().finish())
    }

    fn seeded(retries: u32, seed: u64) -> Self {
        Self { left: retries, pause: FIRST, random: seed }
    }

    /// Begins anew with `retries` retries: for a transfer that made progress since the last failure.
    pub fn reset(&mut self, retries: u32) {
        *self = Self::seeded(retries, self.random);
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    /// How long to wait before the next try; `None` when there is none.
    fn next(&mut self) -> Option<Duration> {
        self.left = self.left.checked_sub(1)?;
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST);
        // SplitMix64: enough to spread, and no secret depends on it.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let thousandths = 500 + u32::try_from((mixed ^ (mixed >> 31)) % 501).unwrap_or(500);
        Some(pause * thousandths / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_within_bounds_and_ends() {
        for seed in 0..200 {
            let pauses: Vec<_> = Backoff::seeded(8, seed).collect();
            let full = [250, 500, 1000, 2000, 4000, 8000, 8000, 8000];
            assert_eq!(pauses.len(), full.len());
            for (pause, full) in pauses.into_iter().zip(full.map(Duration::from_millis)) {
                assert!(pause <= full && pause >= full / 2, "{pause:?} of {full:?}");
            }
        }
    }

    #[test]
    fn pauses_are_spread() {
        let firsts: std::collections::HashSet<_> =
            (0..100).filter_map(|seed| Backoff::seeded(1, seed).next()).collect();
        assert!(firsts.len() > 50, "{}", firsts.len());
    }

    #[test]
    fn none_without_retries_and_anew_after_progress() {
        let mut backoff = Backoff::new(0);
        assert_eq!(backoff.next(), None);
        backoff.reset(1);
        assert!(backoff.next().is_some_and(|pause| pause <= FIRST));
        assert_eq!(backoff.next(), None);
    }
}
