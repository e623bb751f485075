//! A body on its way past the store, held to what is promised of it.
//!
//! Not to be stored is no reason not to be checked: where an index, or the path itself, tells the hash, the
//! last part of the body is held back until all of it has been hashed, and is never sent if the hash is
//! wrong. Pieces are hashed where they arrive; at the 64 KiB or so that a connection gives at a time that
//! takes some tens of microseconds.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::digest::{Digest, Hasher};
use crate::outcome::Class;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::table::Expected;
use crate::telemetry::Metrics;
use crate::upstream::{self, UpstreamError};

/// The part that is held back, in bytes. It is also what a body costs in memory beside its piece.
const HELD_BACK: usize = 32 * 1024;

/// A body for one client.
#[derive(Debug)]
pub struct PassBody {
    body: upstream::Body,
    counted: Box<Counted>,
    check: Option<Box<Check>>,
}

/// What the body must turn out to be.
#[derive(Debug)]
struct Check {
    digest: Digest,
    /// In bytes; the path alone does not tell.
    size: Option<u64>,
    seen: u64,
    hasher: Hasher,
    held: BytesMut,
    ended: bool,
}

/// Where what comes is counted.
#[derive(Debug)]
struct Counted {
    metrics: Metrics,
    repo: Arc<str>,
}

impl Counted {
    async fn next(&self, body: &mut upstream::Body) -> Result<Option<Bytes>, UpstreamError> {
        let piece = body.chunk().await?;
        let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
        self.metrics.upstream_bytes(&self.repo, Class::Client, bytes);
        Ok(piece)
    }
}

impl PassBody {
    /// Whatever upstream sends, counted as what came for clients of a repository.
    pub(super) fn unchecked(body: upstream::Body, metrics: Metrics, repo: Arc<str>) -> Self {
        Self { body, counted: Box::new(Counted { metrics, repo }), check: None }
    }

    /// The same body, held to be exactly the bytes with this digest, of which `begun` have been hashed.
    pub(super) fn checked_from(self, digest: Digest, size: Option<u64>, begun: (Hasher, u64)) -> Self {
        let (hasher, seen) = begun;
        let check = Check { digest, size, seen, hasher, held: BytesMut::new(), ended: false };
        Self { check: Some(Box::new(check)), ..self }
    }

    /// Bytes that upstream announced for the body, if it did.
    #[must_use]
    pub const fn announced(&self) -> Option<u64> {
        self.body.announced()
    }

    /// The next bytes, never empty; `None` at the end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// As [`upstream::Body::chunk`], and [`UpstreamError::Damaged`] instead of the last bytes of a body that is
    /// not what it should be.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let Some(check) = &mut self.check else { return self.counted.next(&mut self.body).await };
        while !check.ended {
            let Some(piece) = self.counted.next(&mut self.body).await? else {
                check.ended = true;
                let whole = check.size.is_none_or(|size| size == check.seen);
                if !whole || check.hasher.clone().finish() != check.digest {
                    check.held.clear();
                    return Err(UpstreamError::Damaged { host: "upstream".to_owned() });
                }
                break;
            };
            check.seen += piece.len() as u64;
            check.hasher.update(&piece);
            check.held.extend_from_slice(&piece);
            if check.held.len() > HELD_BACK {
                let free = check.held.len() - HELD_BACK;
                return Ok(Some(check.held.split_to(free).freeze()));
            }
        }
        let tail = check.held.split().freeze();
        Ok(Some(tail).filter(|tail| !tail.is_empty()))
    }
}

/// What is promised of some bytes, as far as a stream can be held to it: vendors who give a SHA-512 alone
/// are not served past the store.
pub(super) fn digest_of(expected: &Expected) -> Option<Digest> {
    match expected.checksum {
        Checksum::Sha256(digest) => Some(digest),
        Checksum::Sha512(_) => None,
    }
}
