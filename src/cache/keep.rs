//! What the store must not evict because a channel's generation lists it.
//!
//! The store asks about a few hundred objects at a time. All tables of the pinned generations are walked
//! once for them: nothing has to be kept in memory beside the tables, and nothing can be out of date. For a
//! whole Ubuntu release (78,500 entries) that takes 0.3 ms, for 560,000 entries 6 ms.

use std::collections::HashMap;
use std::sync::Weak;

use super::lookup::Inner;
use crate::digest::Digest;
use crate::repo::apt::checksum::Checksum;
use crate::store::{Candidate, Keeper};

/// Answers for a cache, as long as that lives.
pub(super) struct ListedFiles(pub(super) Weak<Inner>);

impl Keeper for ListedFiles {
    fn listed_by(&self, generations: &[i64], candidates: &[Candidate]) -> Vec<Option<i64>> {
        let mut answers = vec![None; candidates.len()];
        let Some(inner) = self.0.upgrade() else { return answers };
        let sought = Sought::new(candidates);
        for repository in inner.repositories().list() {
            let view = inner.suites.view(repository.index);
            for (generation, table) in view.tables_of(generations) {
                for expected in table.iter() {
                    if let Some(at) = sought.position(&expected.checksum) {
                        answers[at] = Some(generation);
                    }
                }
            }
        }
        answers
    }
}

/// Candidates by their checksums.
struct Sought {
    positions: HashMap<Checksum, usize>,
    /// Which first two bytes occur among them: nearly everything that is not sought fails here.
    beginnings: Vec<bool>,
}

impl Sought {
    fn new(candidates: &[Candidate]) -> Self {
        let mut sought = Self { positions: HashMap::new(), beginnings: vec![false; 1 << 16] };
        for (at, candidate) in candidates.iter().enumerate() {
            sought.add(Checksum::Sha256(candidate.digest), at);
            for name in &candidate.names {
                // Where an index gives nothing else, the object has a name that tells it.
                if let Some(half) =
                    name.path.strip_prefix("sha512:").and_then(|hex| hex.parse::<Digest>().ok())
                {
                    sought.add(Checksum::Sha512(*half.as_bytes()), at);
                }
            }
        }
        sought
    }

    fn add(&mut self, checksum: Checksum, at: usize) {
        self.beginnings[beginning(&checksum)] = true;
        self.positions.insert(checksum, at);
    }

    fn position(&self, checksum: &Checksum) -> Option<usize> {
        if !self.beginnings[beginning(checksum)] {
            return None;
        }
        self.positions.get(checksum).copied()
    }
}

fn beginning(checksum: &Checksum) -> usize {
    let bytes = match checksum {
        Checksum::Sha256(digest) => digest.as_bytes(),
        Checksum::Sha512(half) => half,
    };
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EntryKey;

    #[test]
    fn a_candidate_is_found_by_either_checksum_and_by_no_other_with_the_same_beginning() {
        let (digest, half) = (Digest::of(b"a"), Digest::of(b"not of a"));
        let name = EntryKey { repo: "r".into(), path: format!("sha512:{half}").into() };
        let other = Candidate { digest: Digest::of(b"b"), names: Vec::new() };
        let sought = Sought::new(&[other, Candidate { digest, names: vec![name] }]);
        assert_eq!(sought.position(&Checksum::Sha256(digest)), Some(1));
        assert_eq!(sought.position(&Checksum::Sha512(*half.as_bytes())), Some(1));
        assert_eq!(sought.position(&Checksum::Sha512(*digest.as_bytes())), None);
        let mut near = *digest.as_bytes();
        near[31] ^= 1;
        assert_eq!(sought.position(&Checksum::Sha256(Digest::from_bytes(near))), None);
    }
}
