//! The byte stream of one client connection: its time-outs, and the look-ahead.
//!
//! hyper reads the next request when it has answered the one before. apt sends ten at a time, and when
//! all ten are misses they should be fetched at the same time. So this type reads on while a response is
//! under way (into a bounded buffer that hyper empties later) and counts request heads as they pass:
//! heads that arrive before their turn are handed to a callback, which starts their fetches.
//!
//! Time-outs are kept here because only here is known what a silent client is doing: a connection
//! between requests may idle for long, one in the middle of a request head may not, and one that takes
//! no bytes of a response is cut after a while. A client that waits for its answer owes nothing. (How
//! long a request body may take is the handler's to say, which alone knows whether it wants one.)

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::connection::Presence;
use super::part::{Blank, Parts};
use super::transmit::Transmit;

/// Bytes read ahead of hyper at most: some forty request heads of apt.
const AHEAD: usize = 16 * 1024;

/// Requests beyond the one being served whose fetches are begun ahead of their turn. apt sends ten at a
/// time; a bound keeps one connection from starting hundreds of transfers.
const DEPTH: u32 = 16;

/// The time-outs of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// From the first byte of a request head to its last, and from the connection's start to its first
    /// request.
    pub(super) header: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// While the client takes no byte of a response.
    pub(super) stall: Duration,
    /// Bytes of a request head.
    pub(super) head_size: usize,
}

/// Set once, when it is first needed.
#[expect(clippy::disallowed_types, reason = "no process-wide variable: it belongs to its connection")]
type OnceLock<T> = std::sync::OnceLock<T>;

/// What the request handler and the byte stream tell each other.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Requests that hyper has handed to the handler.
    started: AtomicU32,
    /// Requests whose response body has ended.
    finished: AtomicU32,
    /// Set once the connection is a tunnel, which keeps its own time.
    tunnel: AtomicBool,
    /// Set when the connection must not end in order.
    aborted: AtomicBool,
    /// What response bodies give to be sent from files.
    pub(super) parts: Arc<Parts>,
    /// The `Host` of the first request, once it was found to be one: all that follow have the same.
    host: OnceLock<Box<[u8]>>,
}

impl Exchange {
    pub(super) fn new(blank: Blank) -> Self {
        Self {
            started: AtomicU32::new(0),
            finished: AtomicU32::new(0),
            tunnel: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            parts: Arc::new(Parts::new(blank)),
            host: OnceLock::new(),
        }
    }

    pub(super) fn start(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn finish(&self) {
        self.finished.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn become_tunnel(&self) {
        self.tunnel.store(true, Ordering::Relaxed);
    }

    /// Ends the connection with a reset: to a client that was told no length, an orderly end would make
    /// a body that was cut short look complete.
    pub(super) fn abort(&self) {
        self.aborted.store(true, Ordering::Relaxed);
    }

    /// Whether a `Host` was found to be one on this connection.
    pub(super) fn knows_host(&self, host: &[u8]) -> bool {
        self.host.get().is_some_and(|known| **known == *host)
    }

    /// Notes a `Host` that is one.
    pub(super) fn note_host(&self, host: &[u8]) {
        // A copy: the request's own would keep the whole buffer that it was read into.
        self.host.get_or_init(|| host.into());
    }

    fn busy(&self) -> bool {
        self.started.load(Ordering::Relaxed) != self.finished.load(Ordering::Relaxed)
    }
}

/// Takes the bytes of a request head that arrived before its turn.
pub(super) type OnAhead = Box<dyn Fn(&[u8]) + Send + Sync>;

/// A client's connection.
pub(super) struct ClientIo {
    stream: TcpStream,
    transmit: Transmit,
    exchange: Arc<Exchange>,
    limits: Limits,
    ahead: BytesMut,
    /// The client has closed its side; said again once `ahead` is empty.
    ended: bool,
    heads: Heads,
    on_ahead: OnAhead,
    /// Wakes the connection when something might have taken too long; checked against the facts then.
    timer: Pin<Box<Sleep>>,
    opened: Instant,
    /// When bytes that may begin a request head came, and how many requests had been understood by then:
    /// once there is one more, that head is complete.
    head_begun: Option<(u32, Instant)>,
    /// Since when we have waited for a next request.
    silent_since: Option<Instant>,
    /// Since when the client has taken no byte of what we have for it.
    blocked_since: Option<Instant>,
    /// The client's place among all, which a tunnel keeps.
    _presence: Presence,
}

impl ClientIo {
    pub(super) fn new(
        stream: TcpStream,
        exchange: Arc<Exchange>,
        limits: Limits,
        on_ahead: OnAhead,
        presence: Presence,
    ) -> Self {
        Self {
            stream,
            transmit: Transmit::new(Arc::clone(&exchange.parts)),
            exchange,
            limits,
            ahead: BytesMut::new(),
            ended: false,
            heads: Heads::new(limits.head_size),
            on_ahead,
            timer: Box::pin(tokio::time::sleep(limits.header)),
            opened: Instant::now(),
            head_begun: None,
            silent_since: None,
            blocked_since: None,
            _presence: presence,
        }
    }

    /// Looks at bytes that have just come from the client.
    fn inspect(&mut self, bytes: &[u8]) {
        let finished = self.exchange.finished.load(Ordering::Relaxed);
        let on_ahead = &self.on_ahead;
        self.heads.feed(bytes, |number, head| {
            // The one after the last finished is the one being served, or about to be.
            if (2..=DEPTH + 1).contains(&number.wrapping_sub(finished)) {
                on_ahead(head);
            }
        });
    }

    /// Reads on while a response is under way.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while self.exchange.busy() && !self.ended && self.heads.watching && self.ahead.len() < AHEAD {
            let mut space = [const { MaybeUninit::uninit() }; 4096];
            let mut buffer = ReadBuf::uninit(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => self.ended = true,
                Poll::Ready(Ok(())) => {
                    self.ahead.extend_from_slice(buffer.filled());
                    self.inspect(buffer.filled());
                }
            }
        }
        Ok(())
    }

    /// Waits until `deadline`, and then says that the client has kept us waiting.
    fn expire(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<io::Error> {
        // Moving a timer costs more than letting it fire early, so a later deadline waits for that.
        if deadline < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(deadline);
        }
        loop {
            ready!(self.timer.as_mut().poll(cx));
            if Instant::now() >= deadline {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, "the client kept us waiting"));
            }
            self.timer.as_mut().reset(deadline);
        }
    }

    /// Nothing has come from the client: how long may that go on?
    fn wait_for_bytes(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if self.exchange.tunnel.load(Ordering::Relaxed) || self.exchange.busy() {
            self.silent_since = None;
            return Poll::Pending;
        }
        // What we have for the client comes before what it has for us; see `wrote`.
        if self.blocked_since.is_some() {
            return Poll::Pending;
        }
        let started = self.exchange.started.load(Ordering::Relaxed);
        let silent_since = *self.silent_since.get_or_insert_with(Instant::now);
        let deadline = match self.head_begun {
            // Who connects has something to say at once.
            _ if started == 0 => self.opened + self.limits.header,
            Some((before, begun)) if before == started => begun + self.limits.header,
            // It came while the request before was being answered.
            _ if self.heads.in_head() => silent_since + self.limits.header,
            _ => silent_since + self.limits.idle,
        };
        self.expire(deadline, cx)
    }

    /// Notes that bytes have come from the client and go to hyper.
    fn came(&mut self) {
        self.silent_since = None;
        let started = self.exchange.started.load(Ordering::Relaxed);
        if !self.exchange.busy() && self.head_begun.is_none_or(|(before, _)| before != started) {
            self.head_begun = Some((started, Instant::now()));
        }
    }

    fn wrote(&mut self, result: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // Not after bytes have gone: they may have been the last of the answer, and then the next request,
        // which may be here already, is not ahead of its turn. If they were not, the next call waits, or
        // the flush behind it looks.
        if result.is_pending() {
            self.read_ahead(cx)?;
        }
        match result {
            Poll::Ready(Ok(count)) => {
                self.silent_since = None;
                self.blocked_since = None;
                Poll::Ready(Ok(count))
            }
            Poll::Pending if self.exchange.tunnel.load(Ordering::Relaxed) => Poll::Pending,
            // Neither the disk nor other clients' turns are this client's fault.
            Poll::Pending if !self.transmit.waits_for_client() => {
                self.blocked_since = None;
                Poll::Pending
            }
            Poll::Pending => {
                let since = *self.blocked_since.get_or_insert_with(Instant::now);
                self.expire(since + self.limits.stall, cx).map(Err)
            }
            Poll::Ready(Err(error)) => {
                // Whether the client has left or its file cannot be read: no orderly end.
                self.exchange.abort();
                Poll::Ready(Err(error))
            }
        }
    }
}

impl Drop for ClientIo {
    fn drop(&mut self) {
        if self.exchange.aborted.load(Ordering::Relaxed) {
            // If that fails the client has gone already.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl Read for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut out: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.ahead.is_empty() {
            let count = this.ahead.len().min(out.remaining());
            out.put_slice(&this.ahead[..count]);
            this.ahead.advance(count);
            if this.ahead.is_empty() {
                // Give the memory back: most connections never need it again.
                this.ahead = BytesMut::new();
            }
            this.came();
            return Poll::Ready(Ok(()));
        }
        if this.ended {
            return Poll::Ready(Ok(()));
        }
        let mut space = [const { MaybeUninit::uninit() }; 8192];
        let room = out.remaining().min(space.len());
        let mut buffer = ReadBuf::uninit(&mut space[..room]);
        match Pin::new(&mut this.stream).poll_read(cx, &mut buffer) {
            Poll::Ready(Ok(())) => {
                let bytes = buffer.filled();
                out.put_slice(bytes);
                if !this.exchange.tunnel.load(Ordering::Relaxed) {
                    this.inspect(bytes);
                    this.came();
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => this.wait_for_bytes(cx).map(Err),
            error @ Poll::Ready(Err(_)) => error,
        }
    }
}

impl Write for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // By the same way as the others: a part of a file must not be taken for bytes.
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = this.transmit.poll(&mut this.stream, cx, slices);
        this.wrote(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.read_ahead(cx)?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

/// Counts request heads in a stream of bytes.
pub(super) struct Heads {
    /// What has come of a head that is not complete yet.
    partial: Vec<u8>,
    /// Complete heads seen.
    count: u32,
    /// Off for good once something comes behind which no head is expected that will be answered.
    watching: bool,
    limit: usize,
}

impl Heads {
    pub(super) const fn new(limit: usize) -> Self {
        Self { partial: Vec::new(), count: 0, watching: true, limit }
    }

    /// Whether a head has begun and not ended.
    fn in_head(&self) -> bool {
        !self.partial.is_empty()
    }

    /// Takes the next bytes and reports each head that they complete, with its number from 1.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut report: impl FnMut(u32, &[u8])) {
        while self.watching && !bytes.is_empty() {
            // Usually a head comes whole, and nothing is copied.
            if self.partial.is_empty() {
                // Empty lines before a request are ignored (RFC 9112 §2.2).
                let start =
                    bytes.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(bytes.len());
                bytes = &bytes[start..];
                let Some(end) = head_end(bytes) else {
                    self.partial.extend_from_slice(bytes);
                    break;
                };
                let (head, rest) = bytes.split_at(end);
                bytes = rest;
                self.complete(head, &mut report);
                continue;
            }
            let before = self.partial.len();
            self.partial.extend_from_slice(bytes);
            let Some(end) = head_end(&self.partial) else { break };
            bytes = &bytes[end - before..];
            let mut head = std::mem::take(&mut self.partial);
            head.truncate(end);
            self.complete(&head, &mut report);
        }
        if self.partial.len() > self.limit {
            self.watching = false;
        }
        if !self.watching {
            self.partial = Vec::new();
        }
    }

    fn complete(&mut self, head: &[u8], report: &mut impl FnMut(u32, &[u8])) {
        self.count = self.count.wrapping_add(1);
        let next = if head.len() > self.limit { Next::Unknown } else { next_after(head) };
        if next != Next::Unknown {
            report(self.count, head);
        }
        self.watching = next == Next::Request;
    }
}

/// What follows a request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The head of another request.
    Request,
    /// Nothing that will be answered.
    Nothing,
    /// A body, or who knows: it is no head that hyper accepts either.
    Unknown,
}

fn next_after(head: &[u8]) -> Next {
    if is_plain(head) { Next::Request } else { parsed_next(head) }
}

fn parsed_next(head: &[u8]) -> Next {
    /// As many as hyper takes.
    const MOST_FIELDS: usize = 100;
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let whole = request.parse(head).is_ok_and(|status| status.is_complete());
    let target = request.path.is_some_and(|target| target.parse::<http::Uri>().is_ok());
    if !whole || !target || !matches!(request.method, Some("GET" | "HEAD")) {
        return Next::Unknown;
    }
    let mut next = if request.version == Some(1) { Next::Request } else { Next::Nothing };
    for field in request.headers.iter() {
        match field.name {
            name if name.eq_ignore_ascii_case("content-length") => return Next::Unknown,
            name if name.eq_ignore_ascii_case("transfer-encoding") => return Next::Unknown,
            name if name.eq_ignore_ascii_case("connection") => {
                let mut options = field.value.split(|byte| *byte == b',');
                if options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close")) {
                    next = Next::Nothing;
                }
            }
            _ => {}
        }
    }
    next
}

/// Whether a head is, as nearly all are, that of a request without a body behind which another may follow:
/// nothing unusual in its target, no field that could say otherwise. Asking this costs a tenth of parsing.
fn is_plain(head: &[u8]) -> bool {
    /// Well below what hyper takes.
    const MOST_FIELDS: usize = 32;
    /// What may stand in a target.
    const TARGET: [bool; 256] = those(b"/-._~%+:@=,");
    /// What may stand in the name of a field.
    const NAME: [bool; 256] = those(b"-");
    let all = |bytes: &[u8], among: &[bool; 256]| bytes.iter().all(|byte| among[usize::from(*byte)]);
    let Some(rest) = head.strip_prefix(b"GET ").or_else(|| head.strip_prefix(b"HEAD ")) else { return false };
    let Some(end) = memchr::memchr(b' ', rest) else { return false };
    let (target, rest) = rest.split_at(end);
    if target.first() != Some(&b'/') || !all(target, &TARGET) {
        return false;
    }
    let Some(mut fields) = rest.strip_prefix(b" HTTP/1.1\r\n") else { return false };
    for _ in 0..MOST_FIELDS {
        if fields == b"\r\n" {
            return true;
        }
        // `Connection`, `Content-Length`, `Transfer-Encoding` and others are for the parser.
        if matches!(fields.first(), Some(b'C' | b'c' | b'T' | b't')) {
            return false;
        }
        let Some(end) = memchr::memchr(b'\n', fields) else { return false };
        let Some(line) = fields[..end].strip_suffix(b"\r") else { return false };
        let Some(colon) = memchr::memchr(b':', line) else { return false };
        let (name, value) = line.split_at(colon);
        // Not ended by the first that is none, so that many are looked at together.
        let printable = value.iter().fold(true, |all, byte| all & matches!(byte, b' '..=b'~'));
        if name.is_empty() || !all(name, &NAME) || !printable {
            return false;
        }
        fields = &fields[end + 1..];
    }
    false
}

/// Letters, digits and these.
const fn those(others: &[u8]) -> [bool; 256] {
    let mut among = [false; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = at as u8;
        among[at] = byte.is_ascii_alphanumeric();
        at += 1;
    }
    at = 0;
    while at < others.len() {
        among[others[at] as usize] = true;
        at += 1;
    }
    among
}

/// Where the first head in `bytes` ends, if it does. As to hyper, a line may end without `\r`.
fn head_end(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'\n', bytes).find_map(|at| match bytes.get(at + 1..)? {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(pieces: &[&[u8]]) -> (Vec<(u32, usize)>, Heads) {
        let mut heads = Heads::new(1000);
        let mut seen = Vec::new();
        for piece in pieces {
            heads.feed(piece, |number, head| seen.push((number, head.len())));
        }
        (seen, heads)
    }

    const HEAD: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";

    #[test]
    fn heads_are_counted_however_they_are_cut() {
        let three = [HEAD, HEAD, HEAD].concat();
        let expected = vec![(1, HEAD.len()), (2, HEAD.len()), (3, HEAD.len())];
        assert_eq!(numbers(&[&three]).0, expected);
        for cut in 1..three.len() {
            assert_eq!(numbers(&[&three[..cut], &three[cut..]]).0, expected, "cut at {cut}");
        }
        let single: Vec<&[u8]> = three.chunks(1).collect();
        assert_eq!(numbers(&single).0, expected);
    }

    #[test]
    fn a_request_with_a_body_or_that_is_none_ends_the_watch() {
        for head in [
            &b"POST /a HTTP/1.1\r\nHost: x\r\n\r\n"[..],
            b"GET /a HTTP/1.1\r\nCONTENT-LENGTH: 3\r\n\r\n",
            b"GET /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            b"GET /a HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
        ] {
            let (seen, heads) = numbers(&[head, HEAD]);
            assert!(seen.is_empty());
            assert!(!heads.watching);
        }
    }

    #[test]
    fn nothing_is_expected_after_the_last_request() {
        for head in [
            &b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n"[..],
            b"GET /a HTTP/1.1\r\nHost: x\r\nCONNECTION: keep-alive, Close\r\n\r\n",
        ] {
            let (seen, heads) = numbers(&[head, HEAD]);
            assert_eq!(seen, [(1, head.len())]);
            assert!(!heads.watching);
        }
        let kept = b"GET /a HTTP/1.1\r\nConnection: keep-alive\r\n\r\n";
        assert_eq!(numbers(&[kept, HEAD]).0.len(), 2);
    }

    #[test]
    fn bare_line_feeds_end_lines_too() {
        let head = b"GET /a HTTP/1.1\nHost: x\n\n";
        let mixed = b"GET /a HTTP/1.1\r\nHost: x\n\r\n";
        assert_eq!(numbers(&[head, mixed, HEAD]).0, [(1, head.len()), (2, mixed.len()), (3, HEAD.len())]);
    }

    #[test]
    fn an_endless_head_is_not_kept() {
        let (_, heads) = numbers(&[&[b'x'; 1001]]);
        assert!(!heads.watching && heads.partial.is_empty());
    }

    #[test]
    fn an_unfinished_head_is_noticed() {
        assert!(numbers(&[b"GET /a"]).1.in_head());
        assert!(!numbers(&[HEAD]).1.in_head());
    }

    /// What is plain must be what the parser takes for a request behind which another may follow.
    #[test]
    fn a_plain_head_is_one_to_the_parser_too() {
        let plain: [&[u8]; 3] = [
            HEAD,
            b"HEAD /pool/g%2b%2b_1:2~x_amd64.deb HTTP/1.1\r\nHost: a:1\r\nUser-Agent: b\r\nRange: bytes=1-\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ];
        for head in plain {
            assert!(is_plain(head));
            assert_eq!(parsed_next(head), Next::Request);
        }
        let others: [&[u8]; 10] = [
            b"POST /a HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET http://a/ HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.0\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.1\nHost: x\n\n",
            b"GET /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            b"GET /a HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
            b"GET /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
            b"GET /a HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET /a HTTP/1.1\r\nHost : x\r\n\r\n",
        ];
        for head in others {
            assert!(!is_plain(head), "{}", String::from_utf8_lossy(head));
        }
    }
}
