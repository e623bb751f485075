//! Which objects have been hashed since the store was opened.
//!
//! A disk may change bytes while nobody looks. What was written or hashed again by this process is known
//! to be right for a while; everything else is hashed while it is served for the first time. The
//! knowledge is deliberately not kept over restarts, nor without bound: to forget costs one more hashing.

use std::collections::HashMap;

use super::Store;
use crate::digest::Digest;

/// Most objects remembered: about 6 MiB. Twice what 500 desktops ask for in a month.
const MOST: usize = 100_000;

/// When each object was last known to be right, in seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Verified(HashMap<Digest, i64>);

impl Verified {
    fn note(&mut self, digest: Digest, now: i64) {
        if self.0.len() >= MOST && !self.0.contains_key(&digest) {
            // Half of them, whichever: no order is worth its memory here.
            let mut odd = false;
            self.0.retain(|_, _| {
                odd = !odd;
                odd
            });
        }
        self.0.insert(digest, now);
    }
}

impl Store {
    /// Notes that an object's bytes have just been found to hash to its name.
    pub fn note_verified(&self, digest: &Digest) {
        let now = self.shared().clock.unix();
        self.shared().verified().note(*digest, now);
    }

    /// When this process last knew an object's bytes to be right (seconds since 1970), if it did.
    #[must_use]
    pub fn verified_at(&self, digest: &Digest) -> Option<i64> {
        self.shared().verified().0.get(digest).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded() {
        let mut verified = Verified::default();
        for number in 0..MOST + 10 {
            verified.note(Digest::of(&number.to_le_bytes()), 1);
        }
        assert!(verified.0.len() <= MOST);
        assert!(verified.0.contains_key(&Digest::of(&(MOST + 9).to_le_bytes())));
    }
}
