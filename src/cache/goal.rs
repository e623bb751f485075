//! What a flight is to bring, and who has brought the wrong thing.

use crate::repo::Resource;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::table::Expected;
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
            size: known.expected.size(),
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
        self.size.is_none_or(|size| size == meta.size)
            && self.checksum.as_ref().is_none_or(|checksum| is_checksum_of(checksum, meta))
    }
}

/// Whether an entry is what an index lists.
pub(super) fn is_expected(expected: &Expected, meta: &EntryMeta) -> bool {
    expected.size().is_none_or(|size| size == meta.size) && is_checksum_of(&expected.checksum, meta)
}

fn is_checksum_of(checksum: &Checksum, meta: &EntryMeta) -> bool {
    match checksum {
        Checksum::Sha256(digest) => *digest == meta.digest,
        Checksum::Sha512(half) => meta.policy.as_deref() == Some(&mark(half)),
    }
}

/// The note of bytes that nothing vouches for although something should.
pub(super) const UNVERIFIED: &str = "unverified";

pub(super) fn mark(half: &[u8; 32]) -> String {
    format!("sha512:{}", crate::digest::Digest::from_bytes(*half))
}

/// How likely each upstream of a repository is the one that sent wrong bytes for something, lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Liars {
    /// Blame by upstream; from the 64th on they share one.
    blame: [u8; UPSTREAMS],
    times: u32,
}

const UPSTREAMS: usize = 64;

/// The blame of an upstream that sent wrong bytes alone.
const PROVEN: u8 = 2;

impl Default for Liars {
    fn default() -> Self {
        Self { blame: [0; UPSTREAMS], times: 0 }
    }
}

impl Liars {
    /// Blames those who sent a body that turned out wrong, in the order in which they sent their parts.
    /// Of several any may have sent the wrong part; the first is asked last next time, so that the others
    /// can show what they have without its beginning.
    pub(super) fn note(mut self, senders: &[usize]) -> Self {
        for (order, sender) in senders.iter().enumerate() {
            let blame = &mut self.blame[place(*sender)];
            *blame = blame.saturating_add(if order == 0 { PROVEN } else { 1 });
        }
        self.times = self.times.saturating_add(1);
        self
    }

    /// By how much an upstream is to be asked later than others.
    pub(super) fn blame(&self, upstream: usize) -> u8 {
        self.blame[place(upstream)]
    }

    /// Whether the upstream may yet have the right bytes.
    pub(super) fn may_have_it(&self, upstream: usize) -> bool {
        self.blame(upstream) < PROVEN
    }

    /// How many times.
    pub(super) const fn times(&self) -> u32 {
        self.times
    }
}

fn place(upstream: usize) -> usize {
    upstream.min(UPSTREAMS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn liars_are_remembered_one_by_one() {
        let liars = Liars::default().note(&[1]).note(&[70]);
        assert!(!liars.may_have_it(1) && !liars.may_have_it(70) && liars.may_have_it(0));
        assert_eq!(liars.times(), 2);
    }

    #[test]
    fn of_several_senders_the_later_ones_get_another_chance() {
        let liars = Liars::default().note(&[0, 1]);
        assert!(!liars.may_have_it(0) && liars.may_have_it(1));
        assert!(liars.blame(1) < liars.blame(0));
        assert!(!liars.note(&[1]).may_have_it(1));
    }
}
