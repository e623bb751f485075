//! Who was asked for when, collected in memory and written in batches.
//!
//! Writing a row for every hit would make hits as dear as misses. An object's time is written when
//! it differs by an hour from what the catalog has; eviction writes all of them first, so that its
//! order is exact for everything remembered here.

use std::collections::HashMap;

use crate::digest::Digest;

/// Most objects remembered: about 1 MiB. Past it, further objects go unnoticed until the writer has
/// made room, which costs a little of eviction's precision and nothing else.
const MOST: usize = 16 * 1024;

/// The catalog's time may lag behind by this much, in seconds.
const LAG: i64 = 60 * 60;

#[derive(Debug, Clone, Copy)]
struct Use {
    used: i64,
    /// What the catalog has, if that is known.
    stored: Option<i64>,
}

/// The times not yet in the catalog.
#[derive(Debug, Default)]
pub(super) struct Touches {
    uses: HashMap<Digest, Use>,
    asked: bool,
}

impl Touches {
    /// Notes a use; whether the writer should be asked to write now (told once per flush).
    pub(super) fn note(&mut self, digest: &Digest, now: i64) -> bool {
        if let Some(known) = self.uses.get_mut(digest) {
            known.used = known.used.max(now);
            return false;
        }
        if self.uses.len() < MOST {
            self.uses.insert(*digest, Use { used: now, stored: None });
        }
        self.uses.len() >= MOST && !std::mem::replace(&mut self.asked, true)
    }

    /// What the catalog should be told: everything it does not have exactly, or only what differs
    /// enough to matter.
    pub(super) fn due(&self, exactly: bool) -> Vec<(Digest, i64)> {
        let lag = if exactly { 1 } else { LAG };
        self.uses
            .iter()
            .filter(|(_, known)| known.stored.is_none_or(|stored| known.used - stored >= lag))
            .map(|(digest, known)| (*digest, known.used))
            .collect()
    }

    /// The catalog has these times now.
    pub(super) fn written(&mut self, written: &[(Digest, i64)]) {
        for (digest, used) in written {
            if let Some(known) = self.uses.get_mut(digest) {
                known.stored = Some(*used);
            }
        }
        self.asked = false;
        if self.uses.len() > MOST / 2 {
            self.uses.retain(|_, known| known.stored != Some(known.used));
        }
    }

    /// The object is gone.
    pub(super) fn forget(&mut self, digest: &Digest) {
        self.uses.remove(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_use_within_the_hour_is_not_due_but_known_exactly() {
        let mut touches = Touches::default();
        let digest = Digest::of(b"a");
        assert!(!touches.note(&digest, 1000));
        assert_eq!(touches.due(false), [(digest, 1000)]);
        touches.written(&[(digest, 1000)]);
        touches.note(&digest, 1000 + LAG - 1);
        assert_eq!(touches.due(false), []);
        assert_eq!(touches.due(true), [(digest, 1000 + LAG - 1)]);
        touches.note(&digest, 1000 + LAG);
        assert_eq!(touches.due(false), [(digest, 1000 + LAG)]);
    }

    #[test]
    fn memory_is_bounded_and_the_writer_is_asked_once() {
        let mut touches = Touches::default();
        let asked = (0..MOST + 100).filter(|n| touches.note(&Digest::of(&n.to_le_bytes()), 1)).count();
        assert_eq!((touches.uses.len(), asked), (MOST, 1));
        let due = touches.due(false);
        touches.written(&due);
        assert_eq!(touches.uses.len(), 0);
        assert!(!touches.note(&Digest::of(b"again"), 2));
    }
}
