//! What channels point at is kept: eviction asks before anything goes.
//!
//! What a generation lists is not held object by object when a channel is pointed at it: that would be
//! tens of thousands of rows for every promotion, most of them of objects that are not here. Instead
//! eviction asks a [`Keeper`] about each object that it is about to take. One that a pinned generation
//! lists gets a hold of that generation, marked as such, so that no eviction comes across it again; such
//! holds are let go in batches when no channel points at the generation any more.

use rusqlite::{Connection, Result as SqlResult};

use super::catalog::{self, Totals};
use super::shared::Shared;
use super::{EntryKey, Error, Store, hold, pin};
use crate::digest::Digest;

/// Most holds that are let go in one transaction: some milliseconds.
const BATCH: usize = 1024;

/// Knows what generations list.
pub trait Keeper: Send + Sync {
    /// For each of the candidates one of the generations that lists it, or none. Runs on the writer thread
    /// inside a transaction: it must be quick, must not panic, and must not wait for the store or for
    /// anything that waits for it.
    fn listed_by(&self, generations: &[i64], candidates: &[Candidate]) -> Vec<Option<i64>>;
}

/// An object that is to be evicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub digest: Digest,
    /// Where it is published.
    pub names: Vec<EntryKey>,
}

/// Candidates, sorted by whether they may go.
pub(super) struct Sifted {
    /// They may go; with their sizes in bytes, in the order given.
    pub(super) free: Vec<(Digest, u64)>,
    /// A channel needs them.
    pub(super) kept: Vec<(i64, Digest)>,
}

impl Store {
    /// Has `keeper` asked before anything is evicted. Until then nothing but holds keeps an object.
    pub fn set_keeper(&self, keeper: Box<dyn Keeper>) {
        self.shared().set_keeper(keeper);
    }

    /// Lets go of what was kept for channels that do not point at its generation any more; how many
    /// objects. In batches, so that others can write in between.
    ///
    /// # Errors
    /// When the catalog cannot be written. What was let go before stays so.
    pub async fn let_go_unpinned(&self) -> Result<usize, Error> {
        let mut all = 0;
        loop {
            let count = self
                .change(|transaction, totals, _| hold::let_go(transaction, BATCH, totals).map(Ok))
                .await?;
            all += count;
            if count == 0 {
                return Ok(all);
            }
        }
    }
}

/// Whether anything could be kept for a channel.
pub(super) fn is_any_pinned(shared: &Shared, connection: &Connection) -> SqlResult<bool> {
    Ok(shared.keeper().is_some() && !pin::pinned_generations(connection)?.is_empty())
}

/// Asks which of the candidates a channel needs.
pub(super) fn sift(
    shared: &Shared,
    connection: &Connection,
    candidates: Vec<(Digest, u64)>,
) -> SqlResult<Sifted> {
    let mut sifted = Sifted { free: candidates, kept: Vec::new() };
    let Some(keeper) = shared.keeper() else { return Ok(sifted) };
    let pinned = pin::pinned_generations(connection)?;
    if pinned.is_empty() || sifted.free.is_empty() {
        return Ok(sifted);
    }
    let asked: Vec<Candidate> = sifted
        .free
        .iter()
        .map(|(digest, _)| Ok(Candidate { digest: *digest, names: catalog::names(connection, digest)? }))
        .collect::<SqlResult<_>>()?;
    let mut answers = keeper.listed_by(&pinned, &asked).into_iter();
    sifted.free.retain(|(digest, _)| match answers.next().flatten() {
        Some(generation) => {
            sifted.kept.push((generation, *digest));
            false
        }
        None => true,
    });
    Ok(sifted)
}

/// As [`sift`], and holds what a channel needs for its generation.
pub(super) fn sift_and_hold(
    shared: &Shared,
    transaction: &Connection,
    candidates: Vec<(Digest, u64)>,
    totals: &mut Totals,
) -> SqlResult<Sifted> {
    let sifted = sift(shared, transaction, candidates)?;
    for (generation, digest) in &sifted.kept {
        hold::keep(transaction, *generation, digest, totals)?;
    }
    Ok(sifted)
}
