//! What an upstream answered.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::classify::{Progress, classify};
use super::error::UpstreamError;
use super::head::ContentRange;
use super::permits::Permit;
use crate::wan::Transfer;

/// An answer whose head has been checked and whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    /// Its status; any but 1xx.
    pub status: StatusCode,
    /// Its header fields as they came, hop-by-hop ones included.
    pub headers: HeaderMap,
    /// The URL that answered, after redirects. Its query may be a signed secret of that URL.
    pub url: String,
    /// For a 206, and only then: which part of the object follows.
    pub content_range: Option<ContentRange>,
    /// Whether the end of the content can be told from a lost connection. Without a length and without
    /// chunks, the content of HTTP/1 ends with the connection, however that came about (RFC 9112 §6.3).
    pub delimited: bool,
    /// The content.
    pub body: Body,
}

impl Response {
    /// The error that this answer is to somebody who cannot use its status.
    #[must_use]
    pub fn status_error(&self) -> UpstreamError {
        UpstreamError::Status { host: self.body.limits.host.clone(), status: self.status }
    }
}

/// What a body is held to.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Whom to blame.
    pub host: String,
    /// Bytes announced for the body.
    pub expected: Option<u64>,
    /// Bytes that the body may have at most.
    pub max: u64,
    /// How long it may be silent.
    pub idle: Duration,
}

/// The content of an answer. Dropping it before its end closes the connection.
pub struct Body {
    limits: Limits,
    received: u64,
    state: State,
}

enum State {
    Reading(Box<Reading>),
    Ended,
    Failed(UpstreamError),
}

struct Reading {
    response: reqwest::Response,
    /// What has been received and waits for its turn.
    waiting: Bytes,
    transfer: Transfer,
    _permit: Permit,
}

impl Body {
    pub(super) fn new(
        response: reqwest::Response,
        permit: Permit,
        transfer: Transfer,
        limits: Limits,
    ) -> Self {
        let reading = Reading { response, waiting: Bytes::new(), transfer, _permit: permit };
        Self { limits, received: 0, state: State::Reading(Box::new(reading)) }
    }

    /// Bytes that the body will have in all, where upstream announced them.
    #[must_use]
    pub const fn announced(&self) -> Option<u64> {
        self.limits.expected
    }

    /// The next bytes, never empty; `None` at the end, which is only reached when all that was announced has
    /// come. Silence counts only while this is awaited, and not while the body waits for its turn on the
    /// line: a slow reader is not upstream's fault.
    ///
    /// Dropping the future loses nothing. The place among the transfers is held until the end, an error or
    /// the drop of the body.
    ///
    /// # Errors
    /// Timeout, reset, truncation, broken framing, or more bytes than allowed. The same again when
    /// asked again.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        match self.advance().await {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) => {
                self.state = State::Ended;
                Ok(None)
            }
            Err(error) => {
                self.state = State::Failed(error.clone());
                Err(error)
            }
        }
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        let Self { limits, received, state } = self;
        let Reading { response, waiting, transfer, .. } = match state {
            State::Reading(reading) => &mut **reading,
            State::Ended => return Ok(None),
            State::Failed(error) => return Err(error.clone()),
        };
        if !waiting.is_empty() {
            return Ok(Some(turn(waiting, transfer).await));
        }
        let deadline = Instant::now() + limits.idle;
        loop {
            let Ok(next) = timeout_at(deadline, response.chunk()).await else {
                let (host, after) = (limits.host.clone(), limits.idle);
                return Err(UpstreamError::Timeout { host, waiting_for: "more of the body", after });
            };
            let progress = Progress::Body { received: *received, expected: limits.expected };
            match next.map_err(|error| classify(&error, limits.host.clone(), progress))? {
                // An empty frame is no byte.
                Some(bytes) if bytes.is_empty() => {}
                Some(bytes) => {
                    *received = received.saturating_add(bytes.len() as u64);
                    if *received > limits.max {
                        return Err(UpstreamError::TooLarge { host: limits.host.clone(), limit: limits.max });
                    }
                    *waiting = bytes;
                    return Ok(Some(turn(waiting, transfer).await));
                }
                None => return complete(limits, *received),
            }
        }
    }
}

/// As much of what waits as may be passed on, when it may.
async fn turn(waiting: &mut Bytes, transfer: &mut Transfer) -> Bytes {
    let granted = transfer.turn(waiting.len()).await;
    waiting.split_to(granted)
}

/// Whether the end may be the end.
fn complete(limits: &Limits, received: u64) -> Result<Option<Bytes>, UpstreamError> {
    match limits.expected {
        Some(expected) if expected != received => {
            Err(UpstreamError::Truncated { host: limits.host.clone(), received, expected: Some(expected) })
        }
        _ => Ok(None),
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Reading(_) => "reading",
            State::Ended => "ended",
            State::Failed(_) => "failed",
        };
        f.debug_struct("Body")
            .field("received", &self.received)
            .field("state", &state)
            .finish_non_exhaustive()
    }
}
