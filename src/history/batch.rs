//! What waits to be written: sums by what the tables are keyed by.
//!
//! Usually that is ten seconds' worth. When the disk is full it is what has come since; then the
//! same bounds hold as for the accumulator, and what comes beyond is counted for nobody in particular.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::accumulate::{Client, OTHERS, Shard, Tally};
use super::packages::clean;

/// Most clients, and most packages, that wait.
const MOST: usize = 16_384;

/// Sums that wait.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) clients: HashMap<IpAddr, Client>,
    pub(super) packages: HashMap<String, Tally>,
}

impl Batch {
    pub(super) fn absorb(&mut self, shard: Shard) {
        for (address, client) in shard.clients {
            let known = self.clients.len() < MOST || self.clients.contains_key(&address);
            let sum = self.clients.entry(if known { address } else { OTHERS }).or_default();
            sum.updated |= client.updated;
            for (repo, tallies) in client.repos {
                let sums = sum.tallies(repo.as_ref());
                for (sum, tally) in sums.iter_mut().zip(tallies) {
                    sum.add(tally);
                }
            }
        }
        for (name, tally) in shard.packages {
            let Some(name) = clean(&name) else { continue };
            if self.packages.len() < MOST || self.packages.contains_key(&name) {
                self.packages.entry(name).or_default().add(tally);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.packages.is_empty()
    }
}

/// Bytes from upstreams, for each repository: what was counted when they were last written.
#[derive(Debug, Default)]
pub(super) struct Marks(HashMap<Arc<str>, [u64; 3]>);

impl Marks {
    /// What has come since the mark.
    pub(super) fn since(&self, now: &[(Arc<str>, [u64; 3])]) -> Vec<(Arc<str>, [u64; 3])> {
        let grown = |(repo, now): &(Arc<str>, [u64; 3])| {
            let before = self.0.get(repo).copied().unwrap_or_default();
            let grown = std::array::from_fn(|class| now[class].saturating_sub(before[class]));
            (grown != [0; 3]).then(|| (Arc::clone(repo), grown))
        };
        now.iter().filter_map(grown).collect()
    }

    pub(super) fn set(&mut self, now: Vec<(Arc<str>, [u64; 3])>) {
        self.0 = now.into_iter().collect();
    }
}
