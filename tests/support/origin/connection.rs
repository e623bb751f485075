//! One connection of an origin: reads requests, looks up their replies, and plays them.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::log::Answering;
use super::reply::{Ending, Framing, Instead};
use super::tls::Wire;
use super::{Reply, Request, Shared};
use crate::support::decoded_path;

/// Bytes that are written in one go, at most.
const PIECE: usize = 64 * 1024;

/// The same of a body that is sent slowly, in bytes.
const SLOW_PIECE: usize = 8 * 1024;

/// What becomes of the connection after an answer.
enum Next {
    /// The next request may come.
    Continue,
    /// The end is sent, after everything else has been.
    Finish,
    /// It is dropped as it is.
    Drop,
}

/// Answers requests until the client leaves, a reply ends the connection, or anything goes wrong.
pub(super) async fn serve(mut stream: impl Wire, number: usize, shared: Arc<Shared>) {
    let _ = stream.socket().set_nodelay(true);
    let mut buffer = BytesMut::new();
    while let Ok(Some(request)) = read_request(&mut stream, &mut buffer, number).await {
        let answering = shared.log.request_came(request.clone());
        let reply = shared.reply_to(&request);
        // A failed write means that the client has left, which is its right.
        let next = play(&mut stream, &request, reply, &answering).await.unwrap_or(Next::Drop);
        drop(answering);
        match next {
            Next::Continue => {}
            Next::Finish => return finish(&mut stream).await,
            Next::Drop => return,
        }
    }
}

/// `None` when the client has closed the connection between requests.
async fn read_request(
    stream: &mut impl Wire,
    buffer: &mut BytesMut,
    connection: usize,
) -> io::Result<Option<Request>> {
    loop {
        if let Some((mut request, head)) = parse(buffer, connection)? {
            buffer.advance(head);
            let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
            while buffer.len() < length {
                if stream.read_buf(buffer).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            request.body = buffer.split_to(length).to_vec();
            return Ok(Some(request));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

fn parse(buffer: &[u8], connection: usize) -> io::Result<Option<(Request, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut headers);
    let status = parsed.parse(buffer).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let target = parsed.path.unwrap_or_default().to_owned();
    let request = Request {
        method: parsed.method.unwrap_or_default().to_owned(),
        path: decoded_path(&target),
        target,
        headers: parsed
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
            .collect(),
        body: Vec::new(),
        connection,
    };
    Ok(Some((request, length)))
}

async fn play(
    stream: &mut impl Wire,
    request: &Request,
    reply: Reply,
    log: &Answering<'_>,
) -> io::Result<Next> {
    if let Some(gate) = &reply.before_head {
        gate.pass().await;
    }
    match &reply.instead {
        Some(Instead::Silence) => {
            // Until the client gives up; what it sends meanwhile is of no interest.
            while stream.read(&mut [0; 1024]).await? > 0 {}
            return Ok(Next::Drop);
        }
        Some(Instead::Bytes(bytes)) => {
            stream.write_all(bytes).await?;
            return Ok(Next::Finish);
        }
        None => {}
    }
    let answer = Answer::to(request, &reply);
    stream.write_all(answer.head(&reply).as_bytes()).await?;
    if request.method == "HEAD" || answer.status == 304 {
        return Ok(Next::Continue);
    }
    send_body(stream, &reply, answer.body, log).await
}

/// A reply after the request's conditions and range were looked at.
struct Answer {
    status: u16,
    content_range: Option<String>,
    body: Bytes,
}

impl Answer {
    fn to(request: &Request, reply: &Reply) -> Self {
        if reply.status != 200 {
            return Self { status: reply.status, content_range: None, body: reply.body.clone() };
        }
        if reply.honour_conditions && unchanged(request, reply) {
            return Self { status: 304, content_range: None, body: Bytes::new() };
        }
        let size = reply.body.len();
        match request.header("range").filter(|_| reply.honour_ranges && range_applies(request, reply)) {
            Some(range) => match parse_range(range, size) {
                Some(Ok(range)) => Self {
                    status: 206,
                    content_range: Some(format!("bytes {}-{}/{size}", range.start, range.end - 1)),
                    body: reply.body.slice(range),
                },
                Some(Err(Unsatisfiable)) => {
                    Self { status: 416, content_range: Some(format!("bytes */{size}")), body: Bytes::new() }
                }
                None => Self { status: 200, content_range: None, body: reply.body.clone() },
            },
            None => Self { status: 200, content_range: None, body: reply.body.clone() },
        }
    }

    fn head(&self, reply: &Reply) -> String {
        let reason = match &reply.reason {
            Some(reason) => reason,
            None => http::StatusCode::from_u16(self.status)
                .ok()
                .and_then(|s| s.canonical_reason())
                .unwrap_or("Odd"),
        };
        let mut lines = vec![format!("HTTP/1.1 {} {reason}", self.status)];
        if let Some(date) = reply.last_modified {
            lines.push(format!("Last-Modified: {}", httpdate::fmt_http_date(date)));
        }
        if let Some(tag) = &reply.etag {
            lines.push(format!("ETag: {tag}"));
        }
        if let Some(range) = &self.content_range {
            lines.push(format!("Content-Range: {range}"));
        }
        if self.status != 304 {
            match reply.framing {
                Framing::Length => lines.push(format!("Content-Length: {}", self.body.len())),
                Framing::FalseLength(length) => lines.push(format!("Content-Length: {length}")),
                Framing::Chunked => lines.push("Transfer-Encoding: chunked".to_owned()),
                Framing::Close | Framing::Endless => lines.push("Connection: close".to_owned()),
            }
        }
        lines.extend(reply.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.join("\r\n") + "\r\n\r\n"
    }
}

/// RFC 9110, 13.2.2: `If-None-Match` decides where it is present, the date otherwise.
fn unchanged(request: &Request, reply: &Reply) -> bool {
    if let Some(tags) = request.header("if-none-match") {
        let weak = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        return reply.etag.as_ref().is_some_and(|own| tags.split(',').any(|tag| weak(tag) == weak(own)));
    }
    let since = request.header("if-modified-since").and_then(|date| httpdate::parse_http_date(date).ok());
    match (since, reply.last_modified) {
        (Some(since), Some(date)) => whole_seconds(date) <= whole_seconds(since),
        _ => false,
    }
}

/// RFC 9110, 13.1.5: only an exact match lets the range count.
fn range_applies(request: &Request, reply: &Reply) -> bool {
    let Some(condition) = request.header("if-range") else { return true };
    match httpdate::parse_http_date(condition) {
        Ok(date) => reply.last_modified.is_some_and(|own| whole_seconds(own) == whole_seconds(date)),
        Err(_) => !condition.starts_with("W/") && reply.etag.as_deref() == Some(condition),
    }
}

struct Unsatisfiable;

/// A single range of bytes; anything else is as good as none, which RFC 9110 allows.
fn parse_range(text: &str, size: usize) -> Option<Result<Range<usize>, Unsatisfiable>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Ok(first), Err(_)) if last.is_empty() => first..size,
        (Err(_), Ok(last)) if first.is_empty() => size.saturating_sub(last)..size,
        _ => return None,
    };
    Some(if range.start < range.end { Ok(range) } else { Err(Unsatisfiable) })
}

fn whole_seconds(date: SystemTime) -> u64 {
    date.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

async fn send_body(
    stream: &mut impl Wire,
    reply: &Reply,
    body: Bytes,
    log: &Answering<'_>,
) -> io::Result<Next> {
    let endless = reply.framing == Framing::Endless;
    let stop_at = match reply.ending {
        Ending::CloseAfter(bytes) | Ending::ResetAfter(bytes) => bytes,
        Ending::Whole | Ending::WholeThenClose if endless => u64::MAX,
        Ending::Whole | Ending::WholeThenClose => body.len() as u64,
    };
    let mut pauses = reply.pauses.iter().peekable();
    let most = if reply.rate.is_some() { SLOW_PIECE } else { PIECE };
    let mut sent: u64 = 0;
    loop {
        while let Some((_, gate)) = pauses.next_if(|(at, _)| *at <= sent) {
            gate.pass().await;
        }
        let offset = if endless && !body.is_empty() { sent % body.len() as u64 } else { sent };
        let rest = body.slice(usize::try_from(offset).unwrap_or(usize::MAX).min(body.len())..);
        let until = pauses.peek().map_or(stop_at, |(at, _)| stop_at.min(*at));
        let piece = rest.slice(..rest.len().min(most).min(usize::try_from(until - sent).unwrap_or(most)));
        if piece.is_empty() {
            break;
        }
        if reply.framing == Framing::Chunked {
            stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            stream.write_all(&piece).await?;
            stream.write_all(b"\r\n").await?;
        } else {
            stream.write_all(&piece).await?;
        }
        sent += piece.len() as u64;
        log.sent(piece.len());
        if let Some(rate) = reply.rate {
            tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / rate as f64)).await;
        }
    }
    match reply.ending {
        Ending::ResetAfter(_) => {
            // A close that lingers for no time at all is sent as a reset.
            stream.socket().set_zero_linger()?;
            return Ok(Next::Drop);
        }
        Ending::CloseAfter(_) => return Ok(Next::Finish),
        Ending::Whole | Ending::WholeThenClose => {}
    }
    if reply.framing == Framing::Chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    let goes_on = match reply.framing {
        Framing::Length | Framing::Chunked => reply.ending == Ending::Whole,
        // More was promised than there is: to a client that waits for the rest, the end must come.
        Framing::FalseLength(length) => length == body.len() as u64,
        Framing::Close | Framing::Endless => false,
    };
    Ok(if goes_on { Next::Continue } else { Next::Finish })
}

/// Ends the connection in order: the client reads all that was sent, then the end.
async fn finish(stream: &mut impl Wire) {
    if stream.shutdown().await.is_ok() {
        // Closing with unread bytes in our receive buffer would turn the end into a reset.
        while matches!(stream.read(&mut [0; 1024]).await, Ok(1..)) {}
    }
}
