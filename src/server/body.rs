//! Response bodies: what they read from, and the account that is kept of them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::access_log::Account;
use super::part::{Chunk, Holder, LONGEST};
use crate::cache::{ByteRange, Cache, Cut, Entry, PassBody, Reader};
use crate::repo::Resource;

/// A body was cut short. hyper closes the connection, so that a short body never looks complete.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct BodyError(String);

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send + Sync>>;

/// Where the bytes come from.
pub(super) enum Content {
    /// Nothing.
    Empty,
    /// A few bytes that are in memory.
    Text(Bytes),
    /// A part of a stored object.
    Stored(Stored),
    /// Anything that has to be waited for.
    Stream { next: Pending<Step>, size: Option<u64> },
    /// Nothing more will come, and what came before is still being written: hyper throws away what it
    /// holds when a body fails, and the client could not resume behind it.
    Cut(BodyError),
}

impl Content {
    /// Bytes that are left, if known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::Text(text) => Some(text.len() as u64),
            Self::Stored(stored) => Some(stored.end - stored.position),
            Self::Stream { size, .. } => *size,
            Self::Cut(_) => None,
        }
    }
}

/// One step of a stream: a piece and how to go on.
pub(super) enum Step {
    Piece(Piece, Source),
    End,
    Cut(BodyError),
}

/// Some bytes of a stream.
pub(super) enum Piece {
    Here(Bytes),
    InFile { holder: Holder, position: u64, length: usize },
}

/// What a stream reads from. It travels through the step that reads.
pub(super) enum Source {
    Flight {
        reader: Box<Reader>,
        cache: Cache,
        resource: Box<Resource>,
    },
    Upstream {
        body: PassBody,
        skip: u64,
        left: Option<u64>,
    },
    /// What stands between the parts of a multipart body.
    Text(Bytes),
    /// A part of a stored object, among others.
    Stored(Stored),
    /// One after the other.
    Several(VecDeque<Self>),
}

/// A part of a stored object, given away piece by piece.
pub(super) struct Stored {
    entry: Arc<Entry>,
    position: u64,
    end: u64,
}

impl Stored {
    pub(super) const fn new(entry: Arc<Entry>, range: ByteRange) -> Self {
        Self { entry, position: range.first, end: range.last + 1 }
    }

    fn next(&mut self) -> Option<Piece> {
        let position = self.position;
        let length = usize::try_from(self.end - position).unwrap_or(LONGEST).min(LONGEST);
        self.position += length as u64;
        let holder = Holder::Stored(Arc::clone(&self.entry));
        (length > 0).then_some(Piece::InFile { holder, position, length })
    }
}

impl Piece {
    const fn len(&self) -> usize {
        match self {
            Self::Here(bytes) => bytes.len(),
            Self::InFile { length, .. } => *length,
        }
    }

    fn into_chunk(self, account: &Arc<Account>) -> Chunk {
        let account = Arc::clone(account);
        match self {
            Self::Here(bytes) => Chunk::new(bytes, account),
            Self::InFile { holder, position, length } => Chunk::of_file(holder, position, length, account),
        }
    }
}

impl Source {
    pub(super) fn into_content(self, size: Option<u64>) -> Content {
        Content::Stream { next: Box::pin(self.step()), size }
    }

    async fn step(self) -> Step {
        match self {
            Self::Text(text) => Step::Piece(Piece::Here(text), Self::Several(VecDeque::new())),
            Self::Stored(mut stored) => match stored.next() {
                Some(piece) => Step::Piece(piece, Self::Stored(stored)),
                None => Step::End,
            },
            Self::Several(mut sources) => loop {
                let Some(first) = sources.pop_front() else { break Step::End };
                match Box::pin(first.step()).await {
                    Step::Piece(piece, rest) => {
                        sources.push_front(rest);
                        break Step::Piece(piece, Self::Several(sources));
                    }
                    Step::End => {}
                    cut @ Step::Cut(_) => break cut,
                }
            },
            Self::Flight { mut reader, cache, resource } => match reader.next(LONGEST).await {
                Ok(Some((position, length))) => {
                    let holder = Holder::Growing(Arc::clone(&reader.head().file));
                    let piece = Piece::InFile { holder, position, length };
                    Step::Piece(piece, Self::Flight { reader, cache, resource })
                }
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
                        break Step::Piece(Piece::Here(bytes), Self::Upstream { body, skip, left });
                    }
                }
            },
        }
    }
}

/// A response body with its account.
pub(super) struct Body {
    content: Content,
    account: Arc<Account>,
}

impl Body {
    pub(super) fn new(content: Content, account: Account) -> Self {
        Self { content, account: Arc::new(account) }
    }
}

impl HttpBody for Body {
    type Data = Chunk;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Chunk>, BodyError>>> {
        let this = &mut *self;
        let piece = match &mut this.content {
            Content::Empty => None,
            Content::Text(text) => (!text.is_empty()).then(|| Piece::Here(std::mem::take(text))),
            Content::Stored(stored) => stored.next(),
            Content::Stream { next, size } => match std::task::ready!(next.as_mut().poll(cx)) {
                Step::Piece(piece, source) => {
                    let size = size.map(|size| size.saturating_sub(piece.len() as u64));
                    this.content = source.into_content(size);
                    Some(piece)
                }
                Step::End => {
                    this.content = Content::Empty;
                    None
                }
                Step::Cut(error) => {
                    this.content = Content::Cut(error);
                    return self.poll_frame(cx);
                }
            },
            Content::Cut(error) => {
                // This body's and one of each piece.
                if Arc::strong_count(&this.account) > 1 {
                    this.account.wake_after_piece(cx.waker());
                    return Poll::Pending;
                }
                this.account.cut(&error.to_string());
                let error = std::mem::replace(error, BodyError(String::new()));
                this.content = Content::Empty;
                return Poll::Ready(Some(Err(error)));
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece.into_chunk(&this.account)))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.size() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.content.size().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
