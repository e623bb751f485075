//! The addresses on which clients are served, which may change while the server serves.
//!
//! Each has a listener with a loop that accepts. A new address is bound before anything else changes; one that is
//! no longer wanted is closed, and the connections that came through it go on.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Connections, Door, Settings};

/// Pause after the system refused to accept (usually for want of file descriptors), so that the loop
/// does not spin until something has been closed.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Changes that wait for the server to make them; whoever makes more waits.
const CHANGES: usize = 4;

/// An address as it is configured, which may leave the port to the system, and its listener.
struct Listener {
    configured: SocketAddr,
    local: SocketAddr,
    socket: TcpListener,
}

/// The listeners of a server that does not run yet.
pub(super) struct Listeners {
    first: Vec<Listener>,
    changes: mpsc::Receiver<Rebound>,
}

/// What changes a server while it serves; clones change the same one.
#[derive(Clone)]
pub struct Control {
    door: Arc<Door>,
    listening: Arc<Listening>,
}

/// What is told of the listeners.
pub(super) struct Listening {
    /// As configured, each with what it came to.
    now: Mutex<Vec<(SocketAddr, SocketAddr)>>,
    local: ArcSwap<Vec<SocketAddr>>,
    /// A change for each time that the configuration is read again.
    changes: mpsc::Sender<Rebound>,
}

/// Addresses that are bound and not listened on yet, and those that are to be closed. Dropping it changes nothing.
pub struct Rebound {
    added: Vec<Listener>,
    /// As they were configured.
    removed: Vec<SocketAddr>,
}

/// Why an address cannot be listened on, and what to do. `key` is its key under `[server]`, and its option.
pub(crate) fn cannot_listen(address: SocketAddr, error: &io::Error, key: &str) -> String {
    let mut words = format!("cannot listen on {address}: {error}");
    if error.kind() == io::ErrorKind::AddrInUse {
        let _ = write!(
            words,
            "; stop what listens there (`ss -tlnp` names it), or choose another address with --{key} or \
             {key} under [server]"
        );
    }
    words
}

impl Listener {
    async fn bind(address: SocketAddr) -> io::Result<Self> {
        let bound = TcpListener::bind(address).await;
        let bound = bound.and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (local, socket) =
            bound.map_err(|error| io::Error::new(error.kind(), cannot_listen(address, &error, "listen")))?;
        Ok(Self { configured: address, local, socket })
    }
}

impl Listeners {
    /// Binds every address.
    ///
    /// # Errors
    /// One cannot be bound; the text names it.
    pub(super) async fn bind(addresses: &[SocketAddr]) -> io::Result<(Self, Listening)> {
        let mut first = Vec::new();
        for address in addresses {
            first.push(Listener::bind(*address).await?);
        }
        let (sender, changes) = mpsc::channel(CHANGES);
        let now: Vec<_> = first.iter().map(|listener| (listener.configured, listener.local)).collect();
        let local = ArcSwap::from_pointee(now.iter().map(|(_, local)| *local).collect());
        Ok((Self { first, changes }, Listening { now: Mutex::new(now), local, changes: sender }))
    }

    /// Accepts until `stop`.
    pub(super) async fn run(mut self, door: &Arc<Door>, connections: &Connections, stop: CancellationToken) {
        let loops = TaskTracker::new();
        let mut open: Vec<(SocketAddr, CancellationToken)> = Vec::new();
        let begin = |listener: Listener| {
            let close = stop.child_token();
            let (closed, door, connections) = (close.clone(), Arc::clone(door), connections.clone());
            loops.spawn(async move {
                tokio::select! {
                    () = accept(listener.socket, door, connections) => {}
                    () = closed.cancelled() => {}
                }
            });
            (listener.configured, close)
        };
        open.extend(self.first.drain(..).map(begin));
        loop {
            let change = tokio::select! {
                change = self.changes.recv() => change,
                () = stop.cancelled() => None,
            };
            let Some(Rebound { added, removed }) = change else { break };
            for address in removed {
                if let Some(at) = open.iter().position(|(configured, _)| *configured == address) {
                    open.swap_remove(at).1.cancel();
                }
            }
            open.extend(added.into_iter().map(begin));
        }
        // Nobody who could tell of changes is left only when nobody could tell of an end either.
        stop.cancelled().await;
        loops.close();
        loops.wait().await;
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>, connections: Connections) {
    loop {
        match listener.accept().await {
            Ok((stream, client)) => {
                // Only now: a listener where nobody comes must not hold a place.
                let Some(place) = door.place().await else { return };
                door.admit(stream, client, place, &connections);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(REFUSED_PAUSE).await;
            }
        }
    }
}

impl Control {
    pub(super) fn new(door: Arc<Door>, listening: Listening) -> Self {
        Self { door, listening: Arc::new(listening) }
    }

    /// Where clients are served now, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.listening.local.load_full()
    }

    /// Binds those of `addresses` that are not listened on yet. Nothing else has changed then.
    ///
    /// # Errors
    /// One cannot be bound; the text names it.
    pub async fn rebind(&self, addresses: &[SocketAddr]) -> io::Result<Rebound> {
        let mut removed: Vec<_> = self.listening().iter().map(|(configured, _)| *configured).collect();
        let mut added = Vec::new();
        for address in addresses {
            match removed.iter().position(|open| open == address) {
                Some(at) => {
                    removed.swap_remove(at);
                }
                None => added.push(Listener::bind(*address).await?),
            }
        }
        Ok(Rebound { added, removed })
    }

    /// Listens where `rebound` says, and answers by other settings from the next request on, on connections that
    /// are open as well. No response is cut.
    pub async fn follow(&self, settings: &Settings, rebound: Rebound) {
        self.door.follow(settings);
        if rebound.added.is_empty() && rebound.removed.is_empty() {
            return;
        }
        self.note(&rebound);
        // Nobody receives it when the server has ended.
        let _ = self.listening.changes.send(rebound).await;
    }

    fn note(&self, rebound: &Rebound) {
        let mut now = self.listening();
        for address in &rebound.removed {
            if let Some(at) = now.iter().position(|(configured, _)| configured == address) {
                now.remove(at);
            }
        }
        now.extend(rebound.added.iter().map(|listener| (listener.configured, listener.local)));
        self.listening.local.store(Arc::new(now.iter().map(|(_, local)| *local).collect()));
    }

    fn listening(&self) -> std::sync::MutexGuard<'_, Vec<(SocketAddr, SocketAddr)>> {
        self.listening.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}
