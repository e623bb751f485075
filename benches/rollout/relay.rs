//! A thin, flaky line: a relay that passes bytes as such a line would.
//!
//! All connections share one queue of packets at the line's rate. Each keeps a window as TCP's classic congestion
//! control does: it doubles, later grows by one packet each time there and back, and halves when a packet of the
//! round is lost, which then comes one time there and back later, with all behind it. A packet that would wait
//! for long before the line is lost as well. While the line is dead nothing passes in either direction; what was
//! on its way comes when it lives again, if somebody still waits for it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// What a packet carries, in bytes.
const PACKET: usize = 1448;

/// Packets that take the line together.
const BURST: usize = 8;

const FIRST_WINDOW: usize = 10;
const LARGEST_WINDOW: usize = 512;

/// Longest wait before the line; what would wait longer is lost.
const QUEUE: Duration = Duration::from_millis(250);

/// How a line behaves.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Bytes a second.
    pub rate: u64,
    /// One way.
    pub delay: Duration,
    /// The part of packets that is lost.
    pub loss: f64,
    /// How long it lives between two deaths; zero: for ever.
    pub drop_every: Duration,
    /// How long it is dead.
    pub drop_for: Duration,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            rate: 1_250_000,
            delay: Duration::from_millis(100),
            loss: 0.01,
            drop_every: Duration::ZERO,
            drop_for: Duration::from_secs(30),
        }
    }
}

/// The line to one server; clones are the same one.
#[derive(Clone)]
pub struct Line(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    server: SocketAddr,
    shape: Shape,
    shaped: AtomicBool,
    random: AtomicU64,
    state: Mutex<State>,
}

struct State {
    /// Since when it is counted and dies.
    since: Instant,
    /// When the line is free again.
    free: Instant,
    bytes: u64,
    /// When how many bytes had passed.
    passed: Vec<(Instant, usize)>,
}

/// How a line was used.
pub struct Use {
    /// What passed towards the clients.
    pub bytes: u64,
    /// The part of what could have passed, from the first byte to the last.
    pub full: f64,
    /// Seconds of that in which the line was alive.
    pub alive: f64,
    /// And in which it was dead.
    pub dead: f64,
}

impl Line {
    /// A line without limits to `server`, until it is [shaped](Self::shape).
    pub async fn to(server: SocketAddr, shape: Shape) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let now = Instant::now();
        let line = Self(Arc::new(Inner {
            address: listener.local_addr()?,
            server,
            shape,
            shaped: AtomicBool::new(false),
            random: AtomicU64::new(0x9E37_79B9_7F4A_7C15),
            state: Mutex::new(State { since: now, free: now, bytes: 0, passed: Vec::new() }),
        }));
        let accepting = line.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let line = accepting.clone();
                tokio::spawn(async move { line.connect(client).await });
            }
        });
        Ok(line)
    }

    /// Where the server is found through it.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// Lets the line behave as it should, or as none would, and counts anew.
    pub fn shape(&self, shaped: bool) {
        self.0.shaped.store(shaped, Ordering::Relaxed);
        let now = Instant::now();
        *self.state() = State { since: now, free: now, bytes: 0, passed: Vec::new() };
    }

    /// How it was used since it was last shaped.
    pub fn use_until_now(&self) -> Use {
        let state = self.state();
        let (Some((first, _)), Some((last, _))) = (state.passed.first(), state.passed.last()) else {
            return Use { bytes: state.bytes, full: 0.0, alive: 0.0, dead: 0.0 };
        };
        let (first, last) = (*first, *last);
        let bytes: u64 = state.passed.iter().map(|(_, bytes)| *bytes as u64).sum();
        let dead = self.dead_until(&state, last).saturating_sub(self.dead_until(&state, first)).as_secs_f64();
        let alive = (last - first).as_secs_f64() - dead;
        let full = bytes as f64 / (self.0.shape.rate as f64 * alive.max(0.001));
        Use { bytes, full, alive, dead }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_shaped(&self) -> bool {
        self.0.shaped.load(Ordering::Relaxed)
    }

    /// How long the line has been dead up to `until`.
    fn dead_until(&self, state: &State, until: Instant) -> Duration {
        let Shape { drop_every, drop_for, .. } = self.0.shape;
        if drop_every.is_zero() {
            return Duration::ZERO;
        }
        let (elapsed, period) = (until.saturating_duration_since(state.since), drop_every + drop_for);
        let whole = u32::try_from(elapsed.as_nanos() / period.as_nanos()).unwrap_or(u32::MAX);
        drop_for * whole + elapsed.saturating_sub(period * whole).saturating_sub(drop_every)
    }

    /// When it lives again, if it is dead at `at`.
    fn alive_again(&self, state: &State, at: Instant) -> Option<Instant> {
        let Shape { drop_every, drop_for, .. } = self.0.shape;
        if drop_every.is_zero() || !self.is_shaped() {
            return None;
        }
        let (elapsed, period) = (at.saturating_duration_since(state.since), drop_every + drop_for);
        let whole = u32::try_from(elapsed.as_nanos() / period.as_nanos()).unwrap_or(u32::MAX);
        let into = elapsed.saturating_sub(period * whole);
        (into >= drop_every).then(|| at + period.saturating_sub(into))
    }

    /// Waits while it is dead. Whether it was.
    async fn alive(&self) -> bool {
        let mut was_dead = false;
        loop {
            let again = self.alive_again(&self.state(), Instant::now());
            let Some(again) = again else { return was_dead };
            was_dead = true;
            sleep_until(again).await;
        }
    }

    /// Takes the line for so many bytes. When they have passed, and whether they waited too long before.
    fn occupy(&self, bytes: usize) -> (Instant, bool) {
        let mut state = self.state();
        let now = Instant::now();
        let begin = state.free.max(now);
        let begin = self.alive_again(&state, begin).unwrap_or(begin);
        let takes = Duration::from_secs_f64(bytes as f64 / self.0.shape.rate as f64);
        state.free = begin + takes;
        state.bytes += bytes as u64;
        let free = state.free;
        state.passed.push((free, bytes));
        (state.free, begin.saturating_duration_since(now) > QUEUE)
    }

    fn is_lost(&self, packets: usize) -> bool {
        let kept = (1.0 - self.0.shape.loss).powf(packets as f64);
        // xorshift: the same sequence on every run, as far as tasks come in the same order.
        let next = |mut x: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^ (x << 17)
        };
        let seen = self.0.random.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |x| Some(next(x)));
        let drawn = seen.unwrap_or_default() as f64 / u64::MAX as f64;
        drawn > kept
    }

    async fn connect(&self, client: TcpStream) {
        if self.is_shaped() {
            self.alive().await;
            // There and back.
            tokio::time::sleep(2 * self.0.shape.delay).await;
        }
        let Ok(server) = TcpStream::connect(self.0.server).await else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (client_in, client_out) = client.into_split();
        let (server_in, server_out) = server.into_split();
        let up = self.clone();
        let up = tokio::spawn(async move { up.up(client_in, server_out).await });
        // Whichever way ends first ends the connection.
        let _ = self.down(server_in, client_out).await;
        up.abort();
    }

    /// Requests: few bytes, which only take their time.
    async fn up(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return to.shutdown().await;
            }
            if self.is_shaped() {
                self.alive().await;
                tokio::time::sleep(self.0.shape.delay).await;
            }
            to.write_all(&buffer[..count]).await?;
        }
    }

    async fn down(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let (sender, mut arriving) = mpsc::channel::<(Instant, Vec<u8>)>(LARGEST_WINDOW);
        let arrivals = tokio::spawn(async move {
            while let Some((at, bytes)) = arriving.recv().await {
                sleep_until(at).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            let _ = to.shutdown().await;
        });
        let mut buffer = vec![0; LARGEST_WINDOW * PACKET];
        let (mut window, mut threshold) = (FIRST_WINDOW, LARGEST_WINDOW);
        loop {
            let count = from.read(&mut buffer[..window * PACKET]).await?;
            if count == 0 {
                break;
            }
            if !self.is_shaped() {
                self.state().bytes += count as u64;
                if sender.send((Instant::now(), buffer[..count].to_vec())).await.is_err() {
                    return Ok(());
                }
                continue;
            }
            let begun = Instant::now();
            let was_dead = self.alive().await;
            let mut lost = false;
            for burst in buffer[..count].chunks(BURST * PACKET) {
                if sender.is_closed() {
                    arrivals.abort();
                    return Ok(());
                }
                let (passed, crowded) = self.occupy(burst.len());
                lost |= crowded || self.is_lost(burst.len().div_ceil(PACKET));
                let again = if lost { 2 * self.0.shape.delay } else { Duration::ZERO };
                let arrival = passed + self.0.shape.delay + again;
                if sender.send((arrival, burst.to_vec())).await.is_err() {
                    return Ok(());
                }
                // What waits before the line waits with who sends it.
                sleep_until(passed).await;
            }
            if was_dead {
                (window, threshold) = (2, (window / 2).max(2));
            } else if lost {
                window = (window / 2).max(2);
                threshold = window;
            } else if count >= window * PACKET / 2 {
                window = if window < threshold { window * 2 } else { window + 1 }.min(LARGEST_WINDOW);
            }
            if count >= window * PACKET / 2 {
                // The next window goes out when this one has been acknowledged.
                sleep_until(begun + 2 * self.0.shape.delay).await;
            }
        }
        drop(sender);
        let _ = arrivals.await;
        Ok(())
    }
}
