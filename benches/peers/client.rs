//! Many clients at once, in one thread: each asks for its files one after the other on a connection of its
//! own, and every byte of every answer is checked.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::files::Archive;
use crate::process::Stretch;

/// How long a client waits for the next byte.
const PATIENCE: Duration = Duration::from_mins(1);

/// Bytes read at a time.
const READ: usize = 256 * 1024;

/// Longest head of an answer, in bytes.
const HEAD: usize = 16 * 1024;

/// Whom to ask, and what for.
#[derive(Clone)]
pub struct Order {
    pub address: SocketAddr,
    /// What stands before each path.
    pub prefix: String,
    pub archive: Arc<Archive>,
}

/// What came of a crowd.
#[derive(Default)]
pub struct Crowd {
    /// From the start to the last byte of the last answer.
    pub wall: Duration,
    /// From each request to the first byte of its body, in order of size.
    pub first_byte: Vec<Duration>,
    /// From each request to its last byte, in order of size.
    pub whole: Vec<Duration>,
    pub errors: Vec<String>,
    /// The same, client by client.
    pub clients: Vec<Visit>,
    /// Share of its CPU that this process used.
    pub busy: f64,
}

/// What one client saw.
pub struct Visit {
    pub timings: Vec<Timing>,
}

/// When the parts of an answer came.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// Since the start of the crowd.
    pub began: Duration,
    pub first_byte: Duration,
    pub whole: Duration,
}

impl Crowd {
    /// The duration that a part of all stay below, in milliseconds.
    pub fn quantile(sorted: &[Duration], part: f64) -> f64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "few"
        )]
        let at = (sorted.len() as f64 * part) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |found| found.as_secs_f64() * 1e3)
    }
}

/// Connects everybody first, then has them ask at the same time: one client for each list of paths.
pub fn crowd(order: &Order, lists: Vec<Vec<String>>) -> anyhow::Result<Crowd> {
    let runtime = runtime()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let space = Rc::new(RefCell::new(vec![0; READ]));
        let mut clients = Vec::with_capacity(lists.len());
        for paths in lists {
            clients.push((Client::connect(order, &space).await?, paths));
        }
        let (stretch, start) = (Stretch::begin(std::process::id())?, Instant::now());
        let running: Vec<_> = clients
            .into_iter()
            .map(|(client, paths)| tokio::task::spawn_local(client.visit(paths, start)))
            .collect();
        let mut crowd = Crowd::default();
        for client in running {
            let (visit, error) = client.await?;
            crowd.first_byte.extend(visit.timings.iter().map(|timing| timing.first_byte));
            crowd.whole.extend(visit.timings.iter().map(|timing| timing.whole));
            crowd.errors.extend(error);
            crowd.clients.push(visit);
        }
        crowd.wall = start.elapsed();
        crowd.busy = stretch.end()?.busy;
        crowd.first_byte.sort_unstable();
        crowd.whole.sort_unstable();
        Ok(crowd)
    })
}

/// One client that asks for one path after the other.
pub fn alone(order: &Order, paths: Vec<String>) -> anyhow::Result<Crowd> {
    let crowd = crowd(order, vec![paths])?;
    anyhow::ensure!(crowd.errors.is_empty(), "{}", crowd.errors.join("; "));
    Ok(crowd)
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Connections that have asked once and stay.
pub struct Idle {
    _clients: Vec<Client>,
    _runtime: Runtime,
}

impl Idle {
    /// Opens so many, each of which fetches the file at `path`.
    pub fn open(order: &Order, path: &str, count: usize) -> anyhow::Result<Self> {
        let runtime = runtime()?;
        let space = Rc::new(RefCell::new(vec![0; READ]));
        let clients = runtime.block_on(async {
            let mut clients = Vec::with_capacity(count);
            for number in 0..count {
                let mut client = Client::connect(order, &space).await?;
                client.get(path, Instant::now()).await.with_context(|| format!("connection {number}"))?;
                clients.push(client);
            }
            anyhow::Ok(clients)
        })?;
        Ok(Self { _clients: clients, _runtime: runtime })
    }
}

/// One connection.
struct Client {
    order: Order,
    stream: TcpStream,
    space: Rc<RefCell<Vec<u8>>>,
}

impl Client {
    async fn connect(order: &Order, space: &Rc<RefCell<Vec<u8>>>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(order.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { order: order.clone(), stream, space: Rc::clone(space) })
    }

    /// Asks for one path after the other, until one fails.
    async fn visit(mut self, paths: Vec<String>, start: Instant) -> (Visit, Option<String>) {
        let mut timings = Vec::with_capacity(paths.len());
        let mut failed = None;
        for path in paths {
            match self.get(&path, start).await {
                Ok(timing) => timings.push(timing),
                Err(error) => {
                    failed = Some(format!("{path}: {error:#}"));
                    break;
                }
            }
        }
        (Visit { timings }, failed)
    }

    /// Asks for a path and checks what comes.
    async fn get(&mut self, path: &str, start: Instant) -> anyhow::Result<Timing> {
        let Order { address, prefix, archive } = &self.order;
        let size = archive.size(path).context("not published")?;
        let began = Instant::now();
        let request = format!(
            "GET {prefix}{path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Debian APT-HTTP/1.3\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).await?;
        let (mut head, mut position, mut first_byte) = (Vec::new(), 0, None);
        let mut in_head = true;
        while in_head || position < size {
            tokio::time::timeout(PATIENCE, self.stream.readable())
                .await
                .with_context(|| format!("no byte for {} s at {position}", PATIENCE.as_secs()))??;
            let mut space = self.space.borrow_mut();
            let count = match self.stream.try_read(&mut space) {
                Ok(0) => anyhow::bail!("ended at {position} of {size}"),
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let mut bytes = &space[..count];
            let buffered;
            if in_head {
                head.extend_from_slice(bytes);
                let Some(end) = memchr::memmem::find(&head, b"\r\n\r\n") else {
                    anyhow::ensure!(head.len() < HEAD, "an endless head");
                    continue;
                };
                check_head(&head[..end], size)?;
                in_head = false;
                buffered = head.split_off(end + 4);
                bytes = &buffered;
            }
            if !bytes.is_empty() {
                first_byte.get_or_insert_with(|| began.elapsed());
                anyhow::ensure!(position + bytes.len() as u64 <= size, "longer than {size}");
                anyhow::ensure!(archive.is(path, position, bytes), "other bytes near {position}");
                position += bytes.len() as u64;
            }
        }
        let whole = began.elapsed();
        let first_byte = first_byte.unwrap_or(whole);
        Ok(Timing { began: began.duration_since(start), first_byte, whole })
    }
}

fn check_head(head: &[u8], size: u64) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(head);
    anyhow::ensure!(
        text.starts_with("HTTP/1.1 200"),
        "answered {:?}",
        text.lines().next().unwrap_or_default()
    );
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<u64>().ok())?
    });
    // A cache may not know it yet, and send in chunks; none here does.
    anyhow::ensure!(length == Some(size), "announced {length:?} bytes instead of {size}");
    Ok(())
}
