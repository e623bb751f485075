//! An origin that sends exactly the bytes it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// A request as it came over the wire.
#[derive(Debug, Clone)]
pub struct Seen {
    /// On which connection, counted from 0.
    pub connection: usize,
    /// Request line and header fields.
    pub head: String,
}

impl Seen {
    /// The target of the request line.
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap()
    }
}

/// What to do with a request.
pub struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

enum Then {
    /// Wait for the next request on the connection.
    Next,
    /// Close it in good order.
    Close,
    /// Break it.
    Reset,
    /// Keep it open and say nothing more.
    Hang,
    /// Send the same piece for ever.
    Repeat(&'static [u8]),
}

impl Reply {
    /// These bytes, then the next request.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then: Then::Next }
    }

    /// A well-formed 200.
    pub fn ok(body: &str) -> Self {
        Self::bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    }

    /// A redirect with a few words.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::bytes(format!(
            "HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved"
        ))
    }

    pub fn then_close(self) -> Self {
        Self { then: Then::Close, ..self }
    }

    pub fn then_reset(self) -> Self {
        Self { then: Then::Reset, ..self }
    }

    pub fn then_hang(self) -> Self {
        Self { then: Then::Hang, ..self }
    }

    pub fn then_repeat(self, piece: &'static [u8]) -> Self {
        Self { then: Then::Repeat(piece), ..self }
    }
}

/// A running origin. It ends with the test's runtime.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        tokio::spawn(async move {
            for connection in 0.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (log, answer) = (log.clone(), answer.clone());
                tokio::spawn(async move {
                    if converse(&mut stream, connection, &log, &*answer).await == Some(Then::Reset) {
                        stream.set_zero_linger().unwrap();
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl PartialEq for Then {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// Answers the requests of one connection. Returns how it is to end; `None` when the client ended it.
async fn converse(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    connection: usize,
    log: &Mutex<Vec<Seen>>,
    answer: &(impl Fn(&Seen) -> Reply + ?Sized),
) -> Option<Then> {
    loop {
        let seen = Seen { connection, head: read_head(stream).await? };
        log.lock().unwrap().push(seen.clone());
        let reply = answer(&seen);
        stream.write_all(&reply.bytes).await.ok()?;
        stream.flush().await.ok()?;
        match reply.then {
            Then::Next => {}
            Then::Hang => std::future::pending().await,
            Then::Repeat(piece) => loop {
                stream.write_all(piece).await.ok()?;
                stream.flush().await.ok()?;
            },
            end => return Some(end),
        }
    }
}

/// One request's head; a body is read too, as far as announced.
pub async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.ok()?;
    Some(head + std::str::from_utf8(&body).unwrap())
}
