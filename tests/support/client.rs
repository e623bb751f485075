//! A client that hides nothing: it sends the bytes it is given, and shows each answer with its reason
//! phrase, its headers in order, its body, and how that ended.
//!
//! ```ignore
//! let answer = get(server, "/ubuntu/dists/noble/InRelease", &[("Cache-Control", "max-age=0")]).await;
//! assert_eq!((answer.status, answer.is_complete()), (200, true));
//!
//! let mut connection = Connection::open(server).await;           // pipelining
//! connection.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n").await;
//! let (a, b) = (connection.response().await, connection.response().await);
//! ```

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::PATIENCE;

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Response {
    /// The minor version: 1 in HTTP/1.1.
    pub version: u8,
    pub status: u16,
    pub reason: String,
    /// Names as sent, in order.
    pub headers: Vec<(String, String)>,
    /// What came of the body, without the framing of chunks.
    pub body: Vec<u8>,
    pub end: End,
}

/// How a body ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As its framing said, or in order where there was no framing.
    Complete,
    /// Before its time, with the end of the connection, a reset or nonsense between its chunks.
    Cut(String),
    /// Not yet: it was not read to its end.
    Unread,
}

impl Response {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether the body came whole, as far as a client can tell.
    pub fn is_complete(&self) -> bool {
        self.end == End::Complete
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks for a target on a connection of its own; `Host` is `addr` unless `headers` hold one.
///
/// # Panics
/// When there is no answer at all.
pub async fn get(addr: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Response {
    ask(addr, "GET", target, headers).await
}

/// As [`get`], with another method.
pub async fn ask(addr: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    let mut connection = Connection::open(addr).await;
    connection.send(request(addr, method, target, headers)).await;
    let response = connection.head().await.unwrap_or_else(|why| panic!("{method} {target}: {why}"));
    let has_body = method != "HEAD";
    if has_body { connection.body(response).await } else { Response { end: End::Complete, ..response } }
}

/// The text of a request without a body.
pub fn request(addr: SocketAddr, method: &str, target: &str, headers: &[(&str, &str)]) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text += &format!("Host: {addr}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text + "\r\n"
}

/// A connection to a server. Everything it waits for fails after [`PATIENCE`].
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    /// Connects.
    ///
    /// # Panics
    /// When nobody listens there.
    pub async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.unwrap_or_else(|why| panic!("connect to {addr}: {why}"));
        stream.set_nodelay(true).expect("a TCP socket");
        Self { stream, buffer: BytesMut::new() }
    }

    /// Sends exactly these bytes.
    ///
    /// # Panics
    /// When the server does not take them.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("the server reads");
    }

    /// Sends these bytes to a server that may have left.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        patiently("the server to read", self.stream.write_all(bytes.as_ref())).await
    }

    /// Says that no more will be sent.
    pub async fn finish_sending(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer with its body.
    ///
    /// # Panics
    /// When the connection ends before an answer's header is whole.
    pub async fn response(&mut self) -> Response {
        let head = self.head().await.expect("an answer");
        self.body(head).await
    }

    /// The header of the next answer; the body stays on the wire.
    pub async fn head(&mut self) -> io::Result<Response> {
        loop {
            if let Some((response, length)) = parse(&self.buffer)? {
                self.buffer.advance(length);
                return Ok(response);
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads the body that belongs to `head` to its end, good or bad.
    pub async fn body(&mut self, mut head: Response) -> Response {
        head.end = match self.read_body(&mut head).await {
            Ok(()) => End::Complete,
            Err(why) => End::Cut(why.to_string()),
        };
        head
    }

    /// Reads exactly `count` bytes as they are on the wire.
    ///
    /// # Panics
    /// When the connection ends before.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.fill().await.expect("more bytes") > 0, "the end after {} bytes", self.buffer.len());
        }
        self.buffer.split_to(count).to_vec()
    }

    /// Everything up to the end of the connection; an error when that is a reset.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? > 0 {}
        Ok(self.buffer.split().to_vec())
    }

    /// Whether nothing has arrived by now. It proves nothing by itself: something may be on its way.
    pub fn is_quiet(&mut self) -> bool {
        self.buffer.is_empty() && self.stream.try_read_buf(&mut self.buffer).is_err()
    }

    /// Leaves with a reset, as a client that was killed in the midst of it.
    pub fn abort(self) {
        self.stream.set_zero_linger().expect("a TCP socket");
    }

    async fn read_body(&mut self, head: &mut Response) -> io::Result<()> {
        if matches!(head.status, 100..=199 | 204 | 304) {
            return Ok(());
        }
        if head.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            return self.read_chunks(&mut head.body).await;
        }
        if let Some(length) = head.header("content-length").map(str::parse::<usize>) {
            let length = length.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
            return self.read_counted(length, &mut head.body).await;
        }
        let end = loop {
            match self.fill().await {
                Ok(0) => break Ok(()),
                Ok(_) => {}
                Err(why) => break Err(why),
            }
        };
        head.body.extend_from_slice(&self.buffer.split());
        end
    }

    async fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16).map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, format!("no chunk size: {line:?}"))
            })?;
            if size == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            self.read_counted(size, body).await?;
            let after = self.line().await?;
            if !after.is_empty() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("a chunk goes on: {after:?}"),
                ));
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Moves `count` bytes to `body`, and before an error those that came.
    async fn read_counted(&mut self, count: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let mut missing = count;
        loop {
            let piece = self.buffer.split_to(missing.min(self.buffer.len()));
            missing -= piece.len();
            body.extend_from_slice(&piece);
            if missing == 0 {
                return Ok(());
            }
            if self.fill().await? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("{missing} bytes are missing"),
                ));
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(64 * 1024);
        patiently("the server to send", self.stream.read_buf(&mut self.buffer)).await
    }
}

async fn patiently<T>(what: &str, doing: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(PATIENCE, doing).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

fn parse(buffer: &[u8]) -> io::Result<Option<(Response, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Response::new(&mut headers);
    let status = parsed.parse(buffer).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
    let httparse::Status::Complete(length) = status else { return Ok(None) };
    let response = Response {
        version: parsed.version.unwrap_or_default(),
        status: parsed.code.unwrap_or_default(),
        reason: parsed.reason.unwrap_or_default().to_owned(),
        headers: parsed
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), String::from_utf8_lossy(header.value).into_owned()))
            .collect(),
        body: Vec::new(),
        end: End::Unread,
    };
    Ok(Some((response, length)))
}
