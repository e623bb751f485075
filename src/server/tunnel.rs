//! CONNECT: bytes between a client and a host that the configuration allows.
//!
//! apt sends CONNECT for every https source once only its http proxy is set, so that refusing tunnels
//! would break the https sources of a desktop that uses this server as its proxy.

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

/// How long the other end may take to accept. Below apt's 30 s of patience.
const CONNECT: Duration = Duration::from_secs(10);

/// A tunnel through which nothing goes for this long, in one direction while the other is open, ends.
const IDLE: Duration = Duration::from_mins(5);

/// Buffer of one direction, in bytes.
const BUFFER: usize = 16 * 1024;

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
pub(super) fn run(
    tasks: &Tasks,
    metrics: Metrics,
    request: Request<Incoming>,
    upstream: TcpStream,
    host: Host,
    port: u16,
) {
    let stop = tasks.clone();
    tasks.spawn(async move {
        let client = match hyper::upgrade::on(request).await {
            Ok(client) => TokioIo::new(client),
            Err(error) => {
                tracing::debug!(%error, %host, port, "a tunnel was not taken up");
                return;
            }
        };
        let (client_in, client_out) = tokio::io::split(client);
        let (upstream_in, upstream_out) = upstream.into_split();
        let both = async {
            tokio::join!(carry(client_in, upstream_out, &metrics), carry(upstream_in, client_out, &metrics))
        };
        let (up, down) = tokio::select! {
            carried = both => carried,
            () = stop.stopping() => return,
        };
        tracing::info!(target: "lumbung::access", %host, port, up, down, "tunnel");
    });
}

/// One direction, until its source ends or anything fails. Returns the bytes that went through.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, metrics: &Metrics) -> u64 {
    let mut buffer = vec![0; BUFFER];
    let mut carried = 0;
    while let Ok(Ok(count @ 1..)) = timeout(IDLE, from.read(&mut buffer)).await {
        if !matches!(timeout(IDLE, to.write_all(&buffer[..count])).await, Ok(Ok(()))) {
            break;
        }
        metrics.tunnel_bytes(count as u64);
        carried += count as u64;
    }
    // Tells the other end that no more comes; if that fails it knows already.
    let _ = to.shutdown().await;
    carried
}
