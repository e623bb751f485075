//! What belongs to numbered things that may come while others look at those that are there.
//!
//! Looking takes no lock and no count. What has been put in stays where it is until the end: the number of a
//! thing that is gone is not given to another one, so that whoever still works on it finds what he began with.

#![expect(
    clippy::disallowed_types,
    reason = "each lock is a value of its owner, not a variable of the process"
)]

use std::ops::Index;
use std::sync::OnceLock;

/// One `T` for each number that is taken, below a bound.
#[derive(Debug)]
pub struct Slots<T>(Box<[OnceLock<T>]>);

impl<T> Slots<T> {
    /// Room for `bound` of them, and none yet.
    #[must_use]
    pub fn new(bound: usize) -> Self {
        Self((0..bound).map(|_| OnceLock::new()).collect())
    }

    /// Puts one in, unless its number is taken or beyond the bound.
    pub fn fill(&self, number: usize, value: T) {
        if let Some(slot) = self.0.get(number) {
            // Who was there first stays.
            let _ = slot.set(value);
        }
    }

    /// What belongs to a number.
    #[must_use]
    pub fn get(&self, number: usize) -> Option<&T> {
        self.0.get(number)?.get()
    }
}

impl<T> Index<usize> for Slots<T> {
    type Output = T;

    /// # Panics
    /// When nothing was put in for the number, as a slice does beyond its end.
    fn index(&self, number: usize) -> &T {
        match self.get(number) {
            Some(value) => value,
            None => panic!("nothing has the number {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays() {
        let slots = Slots::new(2);
        slots.fill(1, "one");
        let one = &slots[1];
        slots.fill(1, "other");
        slots.fill(0, "nought");
        slots.fill(2, "beyond");
        assert_eq!((*one, slots[0], slots.get(1), slots.get(2)), ("one", "nought", Some(&"one"), None));
    }
}
