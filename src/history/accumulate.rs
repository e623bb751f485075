//! What ended since the last writing, in memory.
//!
//! Requests of one client meet one of [`SHARDS`] locks, which is held for a few table look-ups. The writer
//! takes a shard's tables whole, so that it holds the lock for a moment, too.
//!
//! **Bounds.** [`CLIENTS`] addresses and [`PACKAGES`] names a shard between two writings: 8 MB in all at the
//! very worst. What comes beyond is counted for nobody in particular, or, of packages, not at all.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use super::Ended;
use super::packages::package;
use crate::outcome::{Outcome, Source};

/// Locks that requests spread over.
const SHARDS: usize = 16;

/// Most clients of a shard.
const CLIENTS: usize = 1024;

/// Most packages of a shard.
const PACKAGES: usize = 1024;

/// What clients beyond [`CLIENTS`] count as.
pub(super) const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Requests and the bytes of their bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) requests: u64,
    /// Bytes that were held already.
    pub(super) store: u64,
    /// Bytes out of transfers that ran.
    pub(super) upstream: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.store += other.store;
        self.upstream += other.upstream;
    }
}

/// By outcome, in the order of [`Outcome::ALL`].
pub(super) type Tallies = [Tally; Outcome::ALL.len()];

/// What one client asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Client {
    /// By repository; few, so a search through all of them is quickest.
    pub(super) repos: Vec<(Option<Arc<str>>, Tallies)>,
    /// Whether it asked for a release file: the begin of an update.
    pub(super) updated: bool,
}

impl Client {
    pub(super) fn tallies(&mut self, repo: Option<&Arc<str>>) -> &mut Tallies {
        let same = |known: &Option<Arc<str>>| match (known, repo) {
            (Some(known), Some(repo)) => Arc::ptr_eq(known, repo) || known == repo,
            (None, None) => true,
            _ => false,
        };
        let at = self.repos.iter().position(|(known, _)| same(known)).unwrap_or_else(|| {
            self.repos.push((repo.cloned(), Tallies::default()));
            self.repos.len() - 1
        });
        &mut self.repos[at].1
    }
}

/// The tables of a shard.
#[derive(Debug, Default)]
pub(super) struct Shard {
    pub(super) clients: HashMap<IpAddr, Client>,
    pub(super) packages: HashMap<Box<str>, Tally>,
}

/// A lock with a cache line of its own: neighbours would slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Own(Mutex<Shard>);

/// All shards.
#[derive(Debug, Default)]
pub(super) struct Accumulator([Own; SHARDS]);

impl Accumulator {
    pub(super) fn note(&self, ended: Ended<'_>) {
        let Ended { client, repo, path, outcome, served } = ended;
        let tally = match served {
            Some((Source::Store, bytes)) => Tally { requests: 1, store: bytes, upstream: 0 },
            Some((Source::Upstream, bytes)) => Tally { requests: 1, store: 0, upstream: bytes },
            None => Tally { requests: 1, store: 0, upstream: 0 },
        };
        let answered = repo.is_some() && outcome != Outcome::Error;
        let package = if answered { package(path) } else { None };
        let updated = answered && (path.ends_with("/InRelease") || path.ends_with("/Release"));
        // Sums stay sums whatever panicked beside them.
        let mut shard = self.0[shard(client)].0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = shard.clients.len() < CLIENTS || shard.clients.contains_key(&client);
        let entry = shard.clients.entry(if known { client } else { OTHERS }).or_default();
        entry.tallies(repo)[outcome as usize].add(tally);
        entry.updated |= updated;
        if let Some(package) = package {
            if let Some(known) = shard.packages.get_mut(package) {
                known.add(tally);
            } else if shard.packages.len() < PACKAGES {
                shard.packages.insert(package.into(), tally);
            }
        }
    }

    /// What was noted since the last time, shard by shard.
    pub(super) fn take(&self) -> impl Iterator<Item = Shard> {
        self.0
            .iter()
            .map(|shard| std::mem::take(&mut *shard.0.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// The last bits of an address differ most between the desktops of an office.
fn shard(client: IpAddr) -> usize {
    let last = match client {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(address) => address.octets()[15],
    };
    usize::from(last) % SHARDS
}
