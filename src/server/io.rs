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
use super::heads::Heads;
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
        while self.exchange.busy() && !self.ended && self.heads.is_watching() && self.ahead.len() < AHEAD {
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
