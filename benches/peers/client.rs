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
use tokio::task::LocalSet;

use crate::files::Archive;

/// How long a client waits for the next byte.
const PATIENCE: Duration = Duration::from_secs(60);

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
#[derive(Debug, Default)]
pub struct Crowd {
    /// From the start to the last byte of the last answer.
    pub wall: Duration,
    /// From each request to the first byte of its body, in order of size.
    pub first_byte: Vec<Duration>,
    /// From each request to its last byte, in order of size.
    pub whole: Vec<Duration>,
    pub errors: Vec<String>,
}

impl Crowd {
    /// The duration that a part of all stay below.
    pub fn quantile(sorted: &[Duration], part: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "few")]
        let at = (sorted.len() as f64 * part) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |found| found.as_secs_f64() * 1e3)
    }
}

/// One connection.
struct Client {
    order: Order,
    stream: TcpStream,
    space: Rc<RefCell<Vec<u8>>>,
}

/// When the parts of an answer came.
pub struct Timing {
    pub first_byte: Duration,
    pub whole: Duration,
}

/// Connects everybody first, then has them ask at the same time: one client for each list of paths.
pub fn crowd(order: &Order, lists: Vec<Vec<String>>) -> anyhow::Result<Crowd> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let space = Rc::new(RefCell::new(vec![0; READ]));
        let mut clients = Vec::with_capacity(lists.len());
        for paths in lists {
            clients.push((Client::connect(order, &space).await?, paths));
        }
        let began = Instant::now();
        let running: Vec<_> = clients
            .into_iter()
            .map(|(mut client, paths)| {
                tokio::task::spawn_local(async move {
                    let mut timings = Vec::with_capacity(paths.len());
                    for path in paths {
                        match client.get(&path).await.with_context(|| path.clone()) {
                            Ok(timing) => timings.push(timing),
                            Err(error) => return (timings, Some(format!("{error:#}"))),
                        }
                    }
                    (timings, None)
                })
            })
            .collect();
        let mut crowd = Crowd::default();
        for client in running {
            let (timings, error) = client.await?;
            crowd.first_byte.extend(timings.iter().map(|timing| timing.first_byte));
            crowd.whole.extend(timings.iter().map(|timing| timing.whole));
            crowd.errors.extend(error);
        }
        crowd.wall = began.elapsed();
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

impl Client {
    async fn connect(order: &Order, space: &Rc<RefCell<Vec<u8>>>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(order.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { order: order.clone(), stream, space: Rc::clone(space) })
    }

    /// Asks for a path and checks what comes.
    async fn get(&mut self, path: &str) -> anyhow::Result<Timing> {
        let Order { address, prefix, archive } = &self.order;
        let size = archive.size(path).context("not published")?;
        let began = Instant::now();
        let request = format!("GET {prefix}{path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: Debian APT-HTTP/1.3\r\n\r\n");
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
                if !self.order.archive.content.is(path, position, bytes) {
                    anyhow::ensure!(archive.texts.contains_key(path), "other bytes near {position}");
                }
                position += bytes.len() as u64;
            }
        }
        let whole = began.elapsed();
        Ok(Timing { first_byte: first_byte.unwrap_or(whole), whole })
    }
}

fn check_head(head: &[u8], size: u64) -> anyhow::Result<()> {
    let text = String::from_utf8_lossy(head);
    anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "answered {:?}", text.lines().next().unwrap_or_default());
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<u64>().ok())?
    });
    anyhow::ensure!(length == Some(size), "announced {length:?} bytes instead of {size}");
    Ok(())
}
