//! Which stretches of a file were found in memory a moment ago.
//!
//! Looking (a read of one byte that does not wait) costs a tenth of what sending a small file costs. What
//! was there a second ago, and was sent then, is hardly the first that the kernel evicts; should it be, the
//! one who sends it waits for the disk once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Bytes in a stretch.
const STRETCH: u64 = 1024 * 1024;

/// How long what was seen counts, in milliseconds.
const LASTS: u32 = 1000;

/// When each stretch of one file was last found in memory.
#[derive(Debug)]
pub struct Warmth {
    size: u64,
    since: Instant,
    /// Milliseconds after `since`, plus one; 0 for never. They wrap after seven weeks, when a stretch may
    /// be trusted wrongly once.
    seen: Box<[AtomicU32]>,
}

impl Warmth {
    pub(super) fn new(size: u64) -> Self {
        let stretches = size.div_ceil(STRETCH);
        Self { size, since: Instant::now(), seen: (0..stretches).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Whether every stretch that holds one of `length` bytes from `position` was seen a moment ago.
    #[must_use]
    pub fn is_warm(&self, position: u64, length: u64) -> bool {
        let now = self.now();
        let mut touched = position / STRETCH..(position + length).div_ceil(STRETCH);
        touched.all(|stretch| {
            self.stretch(stretch).is_some_and(|seen| {
                let seen = seen.load(Ordering::Relaxed);
                seen != 0 && now.wrapping_sub(seen) < LASTS
            })
        })
    }

    /// The whole stretches that hold these bytes: first byte and length. Only such are remembered.
    #[must_use]
    pub const fn around(&self, position: u64, length: u64) -> (u64, u64) {
        let first = position / STRETCH * STRETCH;
        let end = (position + length).div_ceil(STRETCH) * STRETCH;
        let end = if end < self.size { end } else { self.size };
        (first, end.saturating_sub(first))
    }

    /// Notes that `length` bytes from `position` are in memory. Stretches count when all of their bytes do.
    pub fn note(&self, position: u64, length: u64) {
        let now = self.now();
        let end = position + length;
        // The last one is shorter than the others, and ends with the file.
        let behind = if end >= self.size { self.size.div_ceil(STRETCH) } else { end / STRETCH };
        for stretch in position.div_ceil(STRETCH)..behind {
            if let Some(seen) = self.stretch(stretch) {
                seen.store(now, Ordering::Relaxed);
            }
        }
    }

    fn stretch(&self, number: u64) -> Option<&AtomicU32> {
        self.seen.get(usize::try_from(number).ok()?)
    }

    #[expect(clippy::cast_possible_truncation, reason = "it wraps")]
    fn now(&self) -> u32 {
        (self.since.elapsed().as_millis() as u32).wrapping_add(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_warm_once_all_of_it_was_seen() {
        let warmth = Warmth::new(2 * STRETCH + 10);
        assert!(!warmth.is_warm(0, 1));
        warmth.note(1, STRETCH);
        assert!(!warmth.is_warm(1, 1) && !warmth.is_warm(STRETCH, 1));
        warmth.note(1, 2 * STRETCH);
        assert!(warmth.is_warm(STRETCH, STRETCH) && !warmth.is_warm(STRETCH, STRETCH + 1));
        warmth.note(2 * STRETCH, 9);
        assert!(!warmth.is_warm(2 * STRETCH, 1));
        warmth.note(2 * STRETCH, 10);
        assert!(warmth.is_warm(STRETCH + 5, STRETCH + 5));
        assert!(!warmth.is_warm(2 * STRETCH, STRETCH + 1), "behind the end");
    }

    #[test]
    fn stretches_around_bytes_can_be_remembered() {
        let warmth = Warmth::new(2 * STRETCH + 10);
        for (position, length) in [(5, 10), (STRETCH - 1, 2), (2 * STRETCH + 3, 4), (0, 2 * STRETCH + 10)] {
            let (first, around) = warmth.around(position, length);
            assert!(first <= position && position + length <= first + around, "{position}, {length}");
            assert!(first + around <= 2 * STRETCH + 10);
            warmth.note(first, around);
            assert!(warmth.is_warm(position, length), "{position}, {length}");
        }
    }

    #[test]
    fn what_was_seen_is_forgotten() {
        let mut warmth = Warmth::new(10);
        warmth.note(0, 10);
        assert!(warmth.is_warm(0, 10));
        warmth.since -= std::time::Duration::from_millis(u64::from(LASTS));
        assert!(!warmth.is_warm(0, 10));
    }
}
