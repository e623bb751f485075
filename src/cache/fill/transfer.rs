//! What has arrived so far, and the writer that adds to it.

use std::sync::Arc;

use http::HeaderMap;
use http::header;
use tokio::sync::mpsc;

use super::HELD_BACK;
use super::attempt::Source;
use super::request::{is_strong, same_origin};
use crate::cache::failure::Failure;
use crate::cache::flight::Flight;
use crate::clock;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::safe_url::Origin;
use crate::store::{self, EntryKey, PartialMeta, Staged, Store};
use crate::upstream::{Body, Response, UpstreamError};

/// Pieces of a body that wait for the disk. The client library reads at most 512 KiB at a time, so
/// that a flight holds up to 2 MiB.
const WAITING_PIECES: usize = 4;

/// From this size on, a broken transfer is worth a row in the catalog and a resume.
const WORTH_RESUMING: u64 = 256 * 1024;

/// The same for a seed, of which many run side by side and for which nobody waits.
const WORTH_RESUMING_SEEDED: u64 = 64 * 1024;

/// The bytes that are here, and what upstream said about the whole.
pub(super) struct Transfer {
    staged: Staged,
    meta: PartialMeta,
    /// Who sent parts of it, in order, as far as is known.
    senders: Vec<Source>,
}

/// Why a body stopped coming.
pub(super) enum Break {
    /// Upstream's doing.
    Upstream(UpstreamError),
    /// The disk's doing.
    Store(store::Error),
}

/// Runs `work` where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::Stopping)
}

impl Transfer {
    /// What an earlier flight left behind, if it can be trusted.
    pub(super) async fn resume(store: &Store, key: &EntryKey) -> Result<Option<Self>, Failure> {
        let (store, key) = (store.clone(), key.clone());
        match blocking(move || store.resume(&key)).await? {
            Ok(found) => Ok(found.map(|(staged, meta)| Self { staged, meta, senders: Vec::new() })),
            Err(error) => {
                tracing::warn!(%error, "a partial download cannot be resumed");
                Ok(None)
            }
        }
    }

    /// Begins with nothing.
    pub(super) async fn begin(
        store: &Store,
        key: &EntryKey,
        meta: PartialMeta,
        class: Class,
    ) -> Result<Result<Self, store::Error>, Failure> {
        let (store, key) = (store.clone(), key.clone());
        let worth = if class == Class::Seed { WORTH_RESUMING_SEEDED } else { WORTH_RESUMING };
        let resumable = meta.total.is_none_or(|total| total >= worth);
        blocking(move || {
            let mut staged = store.begin(&key)?;
            if resumable {
                staged.describe(meta.clone());
            }
            Ok(Self { staged, meta, senders: Vec::new() })
        })
        .await
    }

    pub(super) fn written(&self) -> u64 {
        self.staged.written()
    }

    /// Whether every byte is here that was announced; not known for a body of unknown size.
    pub(super) fn is_whole(&self) -> bool {
        self.meta.total == Some(self.staged.written())
    }

    /// Notes who sent what came since there were `before` bytes.
    pub(super) fn note_sender(&mut self, source: &Source, before: u64) {
        if self.written() > before && !self.senders.contains(source) {
            self.senders.push(source.clone());
        }
    }

    /// Who sent parts of it, in order; not those of a part that an earlier flight left.
    pub(super) fn senders(&self) -> &[Source] {
        &self.senders
    }

    pub(super) fn digest(&self) -> Digest {
        self.staged.digest()
    }

    pub(super) const fn meta(&self) -> &PartialMeta {
        &self.meta
    }

    pub(super) fn file(&self) -> Arc<std::fs::File> {
        self.staged.file()
    }

    /// Leaves what has arrived to a later flight.
    pub(super) async fn leave(self) {
        let staged = self.staged;
        // When the runtime ends first, the value is dropped all the same.
        let _ = blocking(move || drop(staged)).await;
    }

    pub(super) fn into_staged(self) -> Staged {
        self.staged
    }

    /// Forgets what has arrived.
    pub(super) async fn discard(self) {
        let staged = self.staged;
        // When the runtime ends first, start-up's sweep finds the file.
        let _ = blocking(move || staged.discard()).await;
    }

    /// Whether `response` is about the object of which the first part is here. Its size must not be
    /// another; beyond that, the hash decides in the end, or a strong tag of the same server, or date and
    /// size.
    pub(super) fn same_object(
        &self,
        response: &Response,
        origin: &Origin,
        total: Option<u64>,
        hash_known: bool,
        immutable: bool,
    ) -> bool {
        if self.meta.total.is_some() && total.is_some() && self.meta.total != total {
            return false;
        }
        if hash_known {
            return true;
        }
        let now = described(&response.headers, total, &response.url);
        if let (Some(before), Some(after)) = (&self.meta.etag, &now.etag)
            && is_strong(before)
            && is_strong(after)
            && same_origin(&self.meta.upstream, origin)
        {
            return before == after;
        }
        match (self.meta.last_modified, now.last_modified) {
            (Some(before), Some(after)) => before == after && total.is_some(),
            // A package's name carries its version; mirrors that send no dates still agree on the size.
            _ => immutable && total.is_some() && self.meta.total == total,
        }
    }

    /// Takes the body until it ends or breaks. The first `skip` bytes are those that are here already.
    /// With `hold_back` the last part stays hidden from readers.
    pub(super) async fn receive(
        self,
        mut body: Body,
        skip: u64,
        flight: &Arc<Flight>,
        hold_back: bool,
        mut count: impl FnMut(u64),
    ) -> Result<(Self, Option<Break>), Failure> {
        let Self { staged, meta, senders } = self;
        let (sender, receiver) = mpsc::channel(WAITING_PIECES);
        let limit = meta.total.filter(|_| hold_back).map(|total| total.saturating_sub(HELD_BACK));
        let hidden = hold_back && meta.total.is_none();
        let writer = {
            let flight = Arc::clone(flight);
            tokio::task::spawn_blocking(move || {
                write(staged, receiver, |written| {
                    if !hidden {
                        flight.advance(limit.map_or(written, |limit| written.min(limit)));
                    }
                })
            })
        };
        let mut skip = skip;
        let broken = loop {
            match body.chunk().await {
                Ok(Some(mut piece)) => {
                    count(piece.len() as u64);
                    let known = skip.min(piece.len() as u64);
                    skip -= known;
                    let _ = piece.split_to(usize::try_from(known).unwrap_or_default());
                    if !piece.is_empty() && sender.send(piece).await.is_err() {
                        // The writer has stopped and says why below.
                        break None;
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(Break::Upstream(error)),
            }
        };
        drop(sender);
        let (staged, written) = writer.await.map_err(|_| Failure::Stopping)?;
        let broken = match written {
            Ok(()) => broken,
            Err(error) => Some(Break::Store(error)),
        };
        Ok((Self { staged, meta, senders }, broken))
    }
}

fn write(
    mut staged: Staged,
    mut pieces: mpsc::Receiver<bytes::Bytes>,
    mut advance: impl FnMut(u64),
) -> (Staged, Result<(), store::Error>) {
    while let Some(piece) = pieces.blocking_recv() {
        if let Err(error) = staged.write(&piece) {
            return (staged, Err(error));
        }
        advance(staged.written());
    }
    (staged, Ok(()))
}

/// What a response's headers say about the whole object.
pub(super) fn described(headers: &HeaderMap, total: Option<u64>, url: &str) -> PartialMeta {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    PartialMeta {
        total,
        etag: text(header::ETAG).map(str::to_owned),
        last_modified: text(header::LAST_MODIFIED)
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .map(clock::unix),
        content_type: text(header::CONTENT_TYPE).map(str::to_owned),
        // Queries of redirect targets are often passwords for an hour; they are not remembered.
        upstream: url.split('?').next().unwrap_or_default().to_owned(),
    }
}
