//! What the cache hands to the server.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::entry::{Entry, SeedUse};
use super::failure::Failure;
use super::flight::{Flight, Head};
use super::pass_body::PassBody;
use crate::outcome::Outcome;

/// The answer to one request, before the client's conditions are applied to it.
#[derive(Debug)]
pub enum Answer {
    /// Everything is in the store.
    Stored {
        /// The copy.
        entry: Arc<Entry>,
        /// How it came to be served.
        outcome: Outcome,
        /// What is known about its freshness.
        freshness: Freshness,
        /// When upstream last confirmed it (seconds since 1970), where the entry does not know.
        checked_at: Option<i64>,
    },
    /// It is being fetched; the head is known and bytes follow.
    Flying {
        /// The transfer.
        flight: Arc<Flight>,
        /// What upstream said about it.
        head: Arc<Head>,
        /// [`Outcome::Miss`] for the request that began it, [`Outcome::Joined`] for others.
        outcome: Outcome,
        /// What is owed to a seed, for one that lay in the store and is hashed while it is sent.
        seeded: Option<SeedUse>,
    },
    /// Straight from upstream, past the store.
    Passed(Box<Passed>),
    /// Neither.
    Failed(Failure),
}

/// Where a stored copy stands between upstream and here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// Within its lifetime.
    Fresh,
    /// Upstream has just been asked about it and confirmed or renewed it.
    Checked,
    /// Upstream could not be asked; the text says why.
    Unchecked(Arc<str>),
}

/// An upstream's response on its way through.
#[derive(Debug)]
pub struct Passed {
    /// Upstream's status.
    pub status: StatusCode,
    /// Upstream's headers; the server picks what clients see.
    pub headers: HeaderMap,
    /// The body.
    pub body: PassBody,
    /// Why it is not stored, as a word for `Cache-Status`.
    pub reason: &'static str,
}
