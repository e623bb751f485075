//! What a flight is to bring, and who has brought the wrong thing.

use crate::repo::Resource;
use crate::repo::apt::checksum::Checksum;
use crate::repo_path::RepoPath;
use crate::store::EntryMeta;
use crate::suite::Known;

/// What is known of the bytes before they come, and where to look for them.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    /// What they must hash to.
    pub(super) checksum: Option<Checksum>,
    /// How many they must be.
    pub(super) size: Option<u64>,
    /// Paths below an upstream's base, best first; never empty.
    pub(super) places: Vec<RepoPath>,
    /// What an index says about them, if one does.
    pub(super) known: Option<Known>,
    /// An index should list it, and none does.
    pub(super) unlisted: bool,
}

impl Goal {
    /// Whatever stands at the resource's path; only its name may tell a hash.
    pub(super) fn open(resource: &Resource) -> Self {
        Self {
            checksum: resource.class.expected().map(Checksum::Sha256),
            size: None,
            places: vec![resource.path.clone()],
            known: None,
            unlisted: false,
        }
    }

    /// What stands at the path although no index lists it.
    pub(super) fn unlisted(resource: &Resource) -> Self {
        Self { unlisted: true, ..Self::open(resource) }
    }

    /// Exactly what an index lists.
    pub(super) fn known(known: &Known) -> Self {
        Self {
            checksum: Some(known.expected.checksum),
            size: Some(known.expected.size),
            places: known.places.clone(),
            known: Some(known.clone()),
            unlisted: false,
        }
    }

    /// A note for the catalog that bytes were checked by something else than the hash that names them.
    pub(super) fn mark(&self) -> Option<String> {
        match self.checksum {
            Some(Checksum::Sha512(half)) => Some(mark(&half)),
            _ if self.unlisted => Some(UNVERIFIED.to_owned()),
            _ => None,
        }
    }

    /// Whether an entry is what this goal asks for.
    pub(super) fn is_met_by(&self, meta: &EntryMeta) -> bool {
        let right_size = self.size.is_none_or(|size| size == meta.size);
        right_size
            && match &self.checksum {
                None => true,
                Some(Checksum::Sha256(digest)) => *digest == meta.digest,
                Some(Checksum::Sha512(half)) => meta.policy.as_deref() == Some(&mark(half)),
            }
    }
}

/// The note of bytes that nothing vouches for although something should.
pub(super) const UNVERIFIED: &str = "unverified";

fn mark(half: &[u8; 32]) -> String {
    format!("sha512:{}", crate::digest::Digest::from_bytes(*half))
}

/// Which upstreams of a repository have sent wrong bytes for something, lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Liars {
    /// One bit per upstream; from the 64th on they share one.
    mask: u64,
    times: u32,
}

impl Liars {
    pub(super) const fn note(mut self, upstream: usize) -> Self {
        self.mask |= bit(upstream);
        self.times = self.times.saturating_add(1);
        self
    }

    pub(super) const fn has(self, upstream: usize) -> bool {
        self.mask & bit(upstream) != 0
    }

    /// How many upstreams.
    pub(super) const fn count(self) -> usize {
        self.mask.count_ones() as usize
    }

    /// How many times.
    pub(super) const fn times(self) -> u32 {
        self.times
    }
}

const fn bit(upstream: usize) -> u64 {
    1 << if upstream < 63 { upstream } else { 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liars_are_remembered_one_by_one() {
        let liars = Liars::default().note(1).note(1).note(70);
        assert!(liars.has(1) && liars.has(70) && !liars.has(0));
        assert_eq!((liars.count(), liars.times()), (2, 3));
    }
}
