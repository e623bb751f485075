//! Names, each kept once and known by a number.

use std::hash::{BuildHasher as _, RandomState};

/// Stands for a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NameId(u32);

impl NameId {
    pub(super) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The names, in the order in which they came. A name costs its bytes and about 16 more.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: Vec<u8>,
    /// Where each name ends in `text`.
    ends: Vec<u32>,
    /// A hash table with open addressing: numbers plus one, 0 where nothing is. At most half full.
    slots: Vec<u32>,
    hasher: RandomState,
}

impl Names {
    /// The number of a name, new or not; `None` when there is no room for more.
    pub(super) fn add(&mut self, name: &[u8]) -> Option<NameId> {
        if (self.ends.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let slot = self.slot(name);
        if let Some(found) = self.slots[slot].checked_sub(1) {
            return Some(NameId(found));
        }
        let id = u32::try_from(self.ends.len()).ok().filter(|id| *id < u32::MAX)?;
        let end = u32::try_from(self.text.len() + name.len()).ok()?;
        self.text.extend_from_slice(name);
        self.ends.push(end);
        self.slots[slot] = id + 1;
        Some(NameId(id))
    }

    /// The number of a name that is known.
    pub(super) fn find(&self, name: &[u8]) -> Option<NameId> {
        if self.slots.is_empty() {
            return None;
        }
        self.slots[self.slot(name)].checked_sub(1).map(NameId)
    }

    pub(super) fn text(&self, id: NameId) -> &[u8] {
        let start = id.index().checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[id.index()] as usize]
    }

    /// Where a name is, or would be.
    fn slot(&self, name: &[u8]) -> usize {
        let mask = self.slots.len() - 1;
        #[expect(clippy::cast_possible_truncation, reason = "any bits of the hash will do")]
        let mut slot = self.hasher.hash_one(name) as usize & mask;
        while let Some(held) = self.slots[slot].checked_sub(1) {
            if self.text(NameId(held)) == name {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![0; (self.slots.len() * 2).max(1024)];
        for id in 0..self.ends.len() {
            let id = u32::try_from(id).unwrap_or(u32::MAX - 1);
            let slot = self.slot(self.text(NameId(id)));
            self.slots[slot] = id + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers() {
        let mut names = Names::default();
        let ids: Vec<_> = (0..5000).map(|n: u32| names.add(n.to_string().as_bytes()).unwrap()).collect();
        for (n, id) in ids.iter().enumerate() {
            let name = n.to_string();
            assert_eq!(names.add(name.as_bytes()), Some(*id));
            assert_eq!(names.find(name.as_bytes()), Some(*id));
            assert_eq!(names.text(*id), name.as_bytes());
        }
        assert_eq!(names.find(b"5000"), None);
        assert_eq!(Names::default().find(b""), None);
    }
}
