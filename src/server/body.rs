//! Response bodies: what they read from, and the account that is kept of them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::access_log::Account;
use crate::cache::{ByteRange, Cache, Cut, Entry, PIECE, Reader};
use crate::repo::Resource;
use crate::store::{read_at, try_read_at};
use crate::upstream;

/// A body was cut short. hyper closes the connection, so that a short body never looks complete.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BodyError(String);

type Piece = Result<Bytes, BodyError>;
type Pending<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

/// Where the bytes come from.
pub(super) enum Content {
    /// Nothing.
    Empty,
    /// A few bytes made here.
    Text(Bytes),
    /// A part of a stored object.
    Stored(Stored),
    /// Anything that has to be waited for.
    Stream { next: Pending<Step>, size: Option<u64> },
}

impl Content {
    /// Bytes that are left, if known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Text(text) => Some(text.len() as u64),
            Self::Stored(stored) => Some(stored.end - stored.position),
            Self::Stream { size, .. } => *size,
        }
    }
}

/// One step of a stream: a piece and how to go on.
pub(super) enum Step {
    Piece(Bytes, Source),
    End,
    Cut(BodyError),
}

/// What a stream reads from. It travels through the step that reads.
pub(super) enum Source {
    Flight { reader: Box<Reader>, cache: Cache, resource: Box<Resource> },
    Upstream { body: upstream::Body, skip: u64, left: Option<u64> },
}

/// A part of a stored object, read piece by piece.
pub(super) struct Stored {
    entry: Arc<Entry>,
    position: u64,
    end: u64,
    /// A piece that is not in memory and comes from the disk.
    reading: Option<Pending<std::io::Result<Bytes>>>,
}

impl Stored {
    pub(super) fn new(entry: Arc<Entry>, range: ByteRange) -> Self {
        Self { entry, position: range.first, end: range.last + 1, reading: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        if self.position >= self.end {
            return Poll::Ready(None);
        }
        let result = if let Some(reading) = &mut self.reading {
            std::task::ready!(reading.as_mut().poll(cx))
        } else {
            let length = usize::try_from(self.end - self.position).unwrap_or(PIECE).min(PIECE);
            match try_read_at(&self.entry.blob.file, self.position, length) {
                Ok(Some(bytes)) => Ok(bytes),
                Err(error) => Err(error),
                Ok(None) => {
                    let (file, position) = (Arc::clone(&self.entry.blob.file), self.position);
                    self.reading = Some(Box::pin(async move { read_at(&file, position, length).await }));
                    return self.poll(cx);
                }
            }
        };
        self.reading = None;
        Poll::Ready(Some(match result {
            Ok(bytes) => {
                self.position += bytes.len() as u64;
                Ok(bytes)
            }
            Err(error) => {
                tracing::error!(%error, object = %self.entry.meta.digest, "a stored object cannot be read");
                Err(BodyError(format!("a stored object cannot be read: {error}")))
            }
        }))
    }
}

impl Source {
    pub(super) fn into_content(self, size: Option<u64>) -> Content {
        Content::Stream { next: Box::pin(self.step()), size }
    }

    async fn step(self) -> Step {
        match self {
            Self::Flight { mut reader, cache, resource } => match reader.next().await {
                Ok(Some(bytes)) => Step::Piece(bytes, Self::Flight { reader, cache, resource }),
                Ok(None) => Step::End,
                Err(Cut::Failed(failure)) => Step::Cut(BodyError(failure.to_string())),
                Err(Cut::Unstored) => {
                    let left = reader.last().map(|last| last + 1 - reader.position());
                    match cache.rest_of(&resource, &reader).await {
                        Ok((body, skip)) => Box::pin(Self::Upstream { body, skip, left }.step()).await,
                        Err(failure) => Step::Cut(BodyError(failure.to_string())),
                    }
                }
            },
            Self::Upstream { mut body, mut skip, left } => loop {
                match body.chunk().await {
                    Ok(None) => break Step::End,
                    Err(error) => break Step::Cut(BodyError(error.to_string())),
                    Ok(Some(mut bytes)) => {
                        let known = skip.min(bytes.len() as u64);
                        skip -= known;
                        bytes.advance(usize::try_from(known).unwrap_or_default());
                        if let Some(left) = left {
                            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                        }
                        if bytes.is_empty() {
                            if left == Some(0) {
                                break Step::End;
                            }
                            continue;
                        }
                        let left = left.map(|left| left - bytes.len() as u64);
                        break Step::Piece(bytes, Self::Upstream { body, skip, left });
                    }
                }
            },
        }
    }
}

/// A response body with its account, which is closed when the body is dropped: at its end, or when the
/// client has left.
pub(super) struct Body {
    content: Content,
    account: Account,
}

impl Body {
    pub(super) const fn new(content: Content, account: Account) -> Self {
        Self { content, account }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let piece = match &mut this.content {
            Content::Empty => None,
            Content::Text(text) => (!text.is_empty()).then(|| Ok(std::mem::take(text))),
            Content::Stored(stored) => std::task::ready!(stored.poll(cx)),
            Content::Stream { next, size } => match std::task::ready!(next.as_mut().poll(cx)) {
                Step::Piece(bytes, source) => {
                    let size = size.map(|size| size.saturating_sub(bytes.len() as u64));
                    this.content = source.into_content(size);
                    Some(Ok(bytes))
                }
                Step::End => {
                    this.content = Content::Empty;
                    None
                }
                Step::Cut(error) => Some(Err(error)),
            },
        };
        Poll::Ready(piece.map(|piece| match piece {
            Ok(bytes) => {
                this.account.sent(bytes.len() as u64);
                Ok(Frame::data(bytes))
            }
            Err(error) => {
                this.account.cut(&error.to_string());
                this.content = Content::Empty;
                Err(error)
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.content.size() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
