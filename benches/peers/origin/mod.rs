//! The upstream of every cache: a small web server behind a line of a given rate, which counts what it sends.
//!
//! It runs on a thread of its own, on the generator's CPU, answers `GET` and `HEAD` with one range or
//! none, and knows `If-Modified-Since`, so that no cache has a reason to fetch anything twice.

mod line;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use anyhow::Context as _;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::client::Order;
use crate::contestant::{Site, low_address};
use crate::files::Archive;
use line::Line;

/// The date of every file.
const DATE: &str = "Sat, 01 Jun 2024 00:00:00 GMT";

/// A running origin; it lives as long as the process.
#[derive(Clone)]
pub struct Origin {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    archive: RwLock<Arc<Archive>>,
    line: Line,
    /// Body bytes sent, by path.
    sent: Mutex<HashMap<String, u64>>,
    connections: AtomicUsize,
    /// Most of them at the same time.
    peak: AtomicUsize,
}

impl Origin {
    /// Starts to serve.
    pub fn start(archive: Arc<Archive>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            archive: RwLock::new(archive),
            line: Line::new(),
            sent: Mutex::default(),
            connections: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        });
        let listener = std::net::TcpListener::bind(low_address()?)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let serving = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                while let Ok((stream, _)) = listener.accept().await {
                    let shared = Arc::clone(&serving);
                    tokio::spawn(async move {
                        let now = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
                        shared.peak.fetch_max(now, Ordering::Relaxed);
                        // A cache that leaves is its own affair.
                        let _ = serve(stream, &shared).await;
                        shared.connections.fetch_sub(1, Ordering::Relaxed);
                    });
                }
            });
        })?;
        Ok(Self { address, shared })
    }

    /// For clients that ask it directly.
    pub fn order(&self, site: &Site) -> Order {
        Order { address: self.address, prefix: String::new(), archive: Arc::clone(&site.archive) }
    }

    /// Bytes per second of the line from now on. What was counted is forgotten.
    pub fn set_line(&self, rate: Option<f64>) {
        self.shared.line.set(rate);
        self.shared.sent.lock().expect("no panic holds it").clear();
        self.shared.peak.store(self.shared.connections.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Body bytes sent of packages.
    pub fn sent(&self) -> u64 {
        let sent = self.shared.sent.lock().expect("no panic holds it");
        sent.iter().filter(|(path, _)| path.starts_with("/pool/")).map(|(_, bytes)| bytes).sum()
    }

    /// Most connections at the same time.
    pub fn peak(&self) -> usize {
        self.shared.peak.load(Ordering::Relaxed)
    }

    /// Serves another archive from now on.
    pub fn replace(&self, archive: Arc<Archive>) {
        *self.shared.archive.write().expect("no panic holds it") = archive;
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let mut words = line.split_whitespace();
        let head_only = words.next() == Some("HEAD");
        let target = words.next().context("no target")?;
        // A cache may send the whole URL, or write `+` as `%2B`; no path here needs more.
        let path =
            target.find("://").and_then(|at| target[at + 3..].find('/').map(|end| &target[at + 3 + end..]));
        let path = path.unwrap_or(target).to_owned();
        let (mut range, mut unchanged, mut close) = (None, false, false);
        loop {
            line.clear();
            anyhow::ensure!(stream.read_line(&mut line).await? > 0, "cut in the head");
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "range" => {
                    range =
                        value.trim().strip_prefix("bytes=").and_then(|value| value.split_once('-')).map(own);
                }
                "if-modified-since" => unchanged = true,
                "connection" => close = value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        answer(stream.get_mut(), shared, &path, range, unchanged, head_only).await?;
        if close {
            return Ok(());
        }
    }
}

fn own((first, last): (&str, &str)) -> (String, String) {
    (first.to_owned(), last.to_owned())
}

async fn answer(
    stream: &mut TcpStream,
    shared: &Shared,
    path: &str,
    range: Option<(String, String)>,
    unchanged: bool,
    head_only: bool,
) -> anyhow::Result<()> {
    let archive = Arc::clone(&*shared.archive.read().expect("no panic holds it"));
    let Some(size) = archive.size(path) else {
        stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(());
    };
    let common = format!("Last-Modified: {DATE}\r\nETag: \"{size:x}-1\"\r\nAccept-Ranges: bytes\r\n");
    if unchanged && path.starts_with("/pool/") {
        stream.write_all(format!("HTTP/1.1 304 Not Modified\r\n{common}\r\n").as_bytes()).await?;
        return Ok(());
    }
    let bounds = range.and_then(|(first, last)| {
        let last = last.parse().map_or(size - 1, |last: u64| last.min(size - 1));
        let first = first.parse().ok().filter(|first: &u64| *first <= last)?;
        Some((first, last))
    });
    let (first, last) = bounds.unwrap_or((0, size.saturating_sub(1)));
    let mut head = match bounds {
        Some(_) => format!("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{last}/{size}\r\n"),
        None => "HTTP/1.1 200 OK\r\n".to_owned(),
    };
    let length = if size == 0 { 0 } else { last + 1 - first };
    let _ =
        write!(head, "{common}Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    if head_only {
        return Ok(());
    }
    let (mut position, end) = (first, first + length);
    let mut counted = 0;
    while position < end {
        let left = usize::try_from(end - position).unwrap_or(usize::MAX);
        let piece = archive.piece(path, position, left.min(shared.line.piece()));
        shared.line.carry(piece.len()).await;
        let written = stream.write_all(piece).await;
        counted += piece.len() as u64;
        position += piece.len() as u64;
        if written.is_err() || position == end {
            *shared.sent.lock().expect("no panic holds it").entry(path.to_owned()).or_default() += counted;
        }
        written?;
    }
    Ok(())
}
