//! CONNECT: bytes between a client and a host that the configuration allows.
//!
//! apt sends CONNECT for every https source once only its http proxy is set, so that refusing tunnels
//! would break the https sources of a desktop that uses this server as its proxy.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cache::Failure;
use crate::safe_url::Host;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::wan::Transfer;

/// How long the other end may take to accept. Below apt's 30 s of patience.
const CONNECT: Duration = Duration::from_secs(10);

/// A tunnel through which nothing goes in either direction ends after this long, or twice that at most.
const IDLE: Duration = Duration::from_mins(5);

/// Buffer of one direction, in bytes.
const BUFFER: usize = 16 * 1024;

/// What a tunnel connects.
pub(super) struct Ends {
    /// The client's request, whose connection becomes the tunnel.
    pub request: Request<Incoming>,
    /// The other end.
    pub upstream: TcpStream,
    /// What comes from there waits for its turn on the line.
    pub transfer: Transfer,
}

/// Connects to the other end.
///
/// # Errors
/// It cannot be reached.
pub(super) async fn open(host: &Host, port: u16) -> Result<TcpStream, Failure> {
    let connecting = TcpStream::connect((host.as_str(), port));
    let why = match timeout(CONNECT, connecting).await {
        Ok(Ok(stream)) => {
            // Only a delay would come of a failure here.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no connection within {} s", CONNECT.as_secs()),
    };
    Err(Failure::Unreachable(format!("{host}:{port}: {why}").into()))
}

/// Carries bytes both ways from when the response has gone out until both ends are done, one of them
/// fails, or a shutdown begins.
pub(super) fn run(tasks: &Tasks, metrics: Metrics, ends: Ends, host: Host, port: u16) {
    let Ends { request, upstream, transfer } = ends;
    let stop = tasks.clone();
    tasks.spawn(async move {
        let client = match hyper::upgrade::on(request).await {
            Ok(client) => TokioIo::new(client),
            Err(error) => {
                tracing::debug!(%error, %host, port, "a tunnel was not taken up");
                return;
            }
        };
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        let end = tokio::select! {
            end = join(client, (upstream, transfer), &up, &down, &metrics) => end,
            () = stop.stopping() => "shutdown",
        };
        let (up, down) = (up.into_inner(), down.into_inner());
        tracing::info!(target: "lumbung::access", %host, port, up, down, end, "tunnel");
    });
}

/// Carries bytes between both ends and counts them. Returns why it stopped, as a word for the log: both
/// have nothing more to say, one of them failed, or nothing has moved for [`IDLE`]. A long download moves
/// in one direction only, so the directions are not idle each for itself.
async fn join(
    client: impl AsyncRead + AsyncWrite,
    (upstream, transfer): (impl AsyncRead + AsyncWrite, Transfer),
    up: &AtomicU64,
    down: &AtomicU64,
    metrics: &Metrics,
) -> &'static str {
    let (client_in, client_out) = tokio::io::split(client);
    let (upstream_in, upstream_out) = tokio::io::split(upstream);
    let both = async {
        tokio::try_join!(
            carry(client_in, upstream_out, None, up, metrics),
            carry(upstream_in, client_out, Some(transfer), down, metrics)
        )
    };
    let idle = async {
        let moved = || (up.load(Ordering::Relaxed), down.load(Ordering::Relaxed));
        let mut before = moved();
        loop {
            tokio::time::sleep(IDLE).await;
            let now = moved();
            if now == before {
                return;
            }
            before = now;
        }
    };
    tokio::select! {
        ended = both => if ended.is_ok() { "closed" } else { "failed" },
        () = idle => "idle",
    }
}

/// One direction, until its source ends. What is a `transfer` over the line waits for its turn.
///
/// # Errors
/// One of the ends has failed, so that the other direction is of no use either.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut transfer: Option<Transfer>,
    carried: &AtomicU64,
    metrics: &Metrics,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            // Tells the other end that no more comes.
            return to.shutdown().await;
        }
        let mut left = &buffer[..count];
        while !left.is_empty() {
            let piece = match &mut transfer {
                Some(transfer) => transfer.turn(left.len()).await,
                None => left.len(),
            };
            let (now, later) = left.split_at(piece);
            to.write_all(now).await?;
            to.flush().await?;
            metrics.tunnel_bytes(now.len() as u64);
            carried.fetch_add(now.len() as u64, Ordering::Relaxed);
            left = later;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::time::Instant;

    use super::*;
    use crate::outcome::Class;
    use crate::units::BitRate;
    use crate::wan::{Governor, Plan};

    /// Runs a tunnel between two ends of which the test holds the other sides.
    async fn tunnel(
        client: tokio::io::DuplexStream,
        upstream: tokio::io::DuplexStream,
    ) -> (&'static str, u64, u64) {
        through(&Governor::unlimited(), client, upstream).await
    }

    async fn through(
        governor: &Governor,
        client: tokio::io::DuplexStream,
        upstream: tokio::io::DuplexStream,
    ) -> (&'static str, u64, u64) {
        let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
        let transfer = governor.transfer("a.example".parse().unwrap(), Class::Client.into());
        let end = join(client, (upstream, transfer), &up, &down, &Metrics::new::<&str>(&[])).await;
        (end, up.into_inner(), down.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_download_in_one_direction_is_not_idle() {
        let ((desktop, client), (upstream, mut site)) = (duplex(64), duplex(64));
        let running = tokio::spawn(tunnel(client, upstream));
        let (mut reading, mut writing) = tokio::io::split(desktop);
        for _ in 0..10 {
            tokio::time::sleep(IDLE / 2).await;
            site.write_all(b"piece").await.unwrap();
            reading.read_exact(&mut [0; 5]).await.unwrap();
        }
        writing.shutdown().await.unwrap();
        assert_eq!(site.read(&mut [0; 5]).await.unwrap(), 0);
        drop(site);
        assert_eq!(running.await.unwrap(), ("closed", 0, 50));
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_down_keeps_to_the_limit() {
        let plan = Plan { limit: Some(BitRate(8_000_000)), ..Plan::default() };
        let governor = Governor::new(plan, crate::clock::Clock::system());
        tokio::spawn(governor.clone().run());
        let ((mut desktop, client), (upstream, mut site)) = (duplex(64 * 1024), duplex(64 * 1024));
        let running = tokio::spawn(async move { through(&governor, client, upstream).await });
        let begun = Instant::now();
        let sending = tokio::spawn(async move { site.write_all(&vec![7; 3_000_000]).await });
        let mut received = vec![0; 3_000_000];
        desktop.read_exact(&mut received).await.unwrap();
        let took = begun.elapsed();
        assert!((2_950..3_100).contains(&took.as_millis()), "{took:?}");
        assert!(received.iter().all(|byte| *byte == 7));
        sending.await.unwrap().unwrap();
        drop(desktop);
        running.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn silence_in_both_directions_ends_a_tunnel() {
        let ((mut desktop, client), (upstream, mut site)) = (duplex(64), duplex(64));
        let running = tokio::spawn(tunnel(client, upstream));
        desktop.write_all(b"hello").await.unwrap();
        let begun = Instant::now();
        assert_eq!(running.await.unwrap(), ("idle", 5, 0));
        assert!((IDLE..=IDLE * 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
        let mut left = Vec::new();
        site.read_to_end(&mut left).await.unwrap();
        assert_eq!(left, b"hello");
        assert_eq!(desktop.read(&mut [0; 5]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_end_of_one_side_reaches_the_other_after_what_it_sent() {
        let ((mut desktop, client), (upstream, mut site)) = (duplex(64), duplex(64));
        let running = tokio::spawn(tunnel(client, upstream));
        site.write_all(b"last words").await.unwrap();
        drop(site);
        let mut words = Vec::new();
        desktop.read_to_end(&mut words).await.unwrap();
        assert_eq!(words, b"last words");
        drop(desktop);
        assert_eq!(running.await.unwrap(), ("closed", 0, 10));
    }
}
