//! The answers an origin can be told to give.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use crate::support::gate::Gate;

/// The `Last-Modified` of a reply that was given none: 2024-06-01 00:00:00 UTC, as seconds since 1970.
pub const DEFAULT_DATE: u64 = 1_717_200_000;

/// One answer. It behaves until it is told not to: right length, a `Last-Modified`, ranges and conditions
/// honoured.
///
/// Offsets of bytes count this answer's body from its first byte, also where that is a range.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) reason: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) last_modified: Option<SystemTime>,
    pub(super) etag: Option<String>,
    pub(super) honour_ranges: bool,
    pub(super) honour_conditions: bool,
    pub(super) framing: Framing,
    pub(super) before_head: Option<Gate>,
    pub(super) pauses: Vec<(u64, Gate)>,
    /// Bytes a second.
    pub(super) rate: Option<u64>,
    pub(super) ending: Ending,
    pub(super) instead: Option<Instead>,
}

/// How the client learns where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    FalseLength(u64),
    Chunked,
    /// No length; the connection's end is the body's.
    Close,
    /// No length, and the body is repeated for ever.
    Endless,
}

/// What happens to the connection in or after the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    WholeThenClose,
    CloseAfter(u64),
    ResetAfter(u64),
}

/// Something that is no answer.
#[derive(Debug, Clone)]
pub(super) enum Instead {
    Silence,
    Bytes(Bytes),
}

impl Reply {
    /// 200 with this body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            reason: None,
            headers: Vec::new(),
            body: body.into(),
            last_modified: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(DEFAULT_DATE)),
            etag: None,
            honour_ranges: true,
            honour_conditions: true,
            framing: Framing::Length,
            before_head: None,
            pauses: Vec::new(),
            rate: None,
            ending: Ending::Whole,
            instead: None,
        }
    }

    /// This status with a body of one line that says so, and no validators.
    pub fn status(code: u16) -> Self {
        Self { status: code, ..Self::ok(format!("status {code}\n")).no_validators().no_ranges() }
    }

    /// 302 to a URL or a path.
    pub fn redirect(to: &str) -> Self {
        Self::status(302).header("Location", to)
    }

    /// What a hotel's network answers to everything: 200 and a page to log in.
    pub fn portal() -> Self {
        Self::ok(
            "<!DOCTYPE html><html><title>Welcome</title><form>Please log in to continue.</form></html>\n",
        )
        .header("Content-Type", "text/html; charset=utf-8")
        .no_validators()
        .no_ranges()
    }

    /// Reads the request and never answers.
    pub fn hang() -> Self {
        Self { instead: Some(Instead::Silence), ..Self::status(200) }
    }

    /// Sends exactly these bytes for an answer and closes the connection.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self { instead: Some(Instead::Bytes(bytes.into())), ..Self::status(200) }
    }

    /// Another status with the same body.
    pub fn with_status(self, code: u16) -> Self {
        Self { status: code, ..self }
    }

    /// Another reason phrase than the usual one.
    pub fn with_reason(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }

    /// One more header; a name given twice is sent twice.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The date in `Last-Modified`, sent with whole seconds.
    pub fn last_modified(self, date: SystemTime) -> Self {
        Self { last_modified: Some(date), ..self }
    }

    /// The `ETag`, with its quotes.
    pub fn etag(self, tag: &str) -> Self {
        Self { etag: Some(tag.to_owned()), ..self }
    }

    /// Neither `Last-Modified` nor `ETag`.
    pub fn no_validators(self) -> Self {
        Self { last_modified: None, etag: None, ..self }
    }

    /// Answers a `Range` with the whole body.
    pub fn no_ranges(self) -> Self {
        Self { honour_ranges: false, ..self }
    }

    /// Never answers 304.
    pub fn no_conditions(self) -> Self {
        Self { honour_conditions: false, ..self }
    }

    /// Answers nothing until the gate is open.
    pub fn delay_until(self, gate: &Gate) -> Self {
        Self { before_head: Some(gate.clone()), ..self }
    }

    /// Sends this many bytes of the body, then waits at the gate; may be given several times, in order.
    pub fn pause_after(mut self, bytes: u64, gate: &Gate) -> Self {
        self.pauses.push((bytes, gate.clone()));
        self.pauses.sort_by_key(|(at, _)| *at);
        self
    }

    /// Sends the body no faster than this, in bytes a second, as a thin line does: what has been sent has
    /// arrived, but for a moment's worth.
    pub fn at_rate(self, bytes: u64) -> Self {
        Self { rate: Some(bytes), ..self }
    }

    /// Closes the connection in order after this many bytes of the body, though more were promised.
    pub fn truncate_after(self, bytes: u64) -> Self {
        Self { ending: Ending::CloseAfter(bytes), ..self }
    }

    /// Resets the connection after this many bytes of the body. What the client has not read by then may be
    /// lost to it; put a [`pause_after`](Self::pause_after) before it where that matters.
    pub fn reset_after(self, bytes: u64) -> Self {
        Self { ending: Ending::ResetAfter(bytes), ..self }
    }

    /// Closes the connection after the whole answer.
    pub fn then_close(self) -> Self {
        Self { ending: Ending::WholeThenClose, ..self }
    }

    /// A `Content-Length` that is not the body's.
    pub fn content_length(self, bytes: u64) -> Self {
        Self { framing: Framing::FalseLength(bytes), ..self }
    }

    /// `Transfer-Encoding: chunked` in place of a length.
    pub fn chunked(self) -> Self {
        Self { framing: Framing::Chunked, ..self }
    }

    /// No length: the body ends with the connection.
    pub fn no_length_close(self) -> Self {
        Self { framing: Framing::Close, ..self }
    }

    /// No length, and the body again and again until the client leaves.
    pub fn endless(self) -> Self {
        Self { framing: Framing::Endless, ..self }
    }
}
