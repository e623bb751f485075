//! Accepting clients within bounds, and ending with grace.
//!
//! Two bounds hold: connections in all, beyond which new ones wait unread, and connections of one
//! address, beyond which a new one is told so and closed. Each connection is a task
//! that ends by itself, at a time-out, or when a shutdown has begun and its response is out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access_log::AccessLog;
use super::client_script::ClientRepo;
use super::config::{Config, Office};
use super::explain::Explainer;
use super::handler::{Connection, Shared};
use super::io::{ClientIo, Exchange, Limits};
use super::part::Blank;
use super::route::Router;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::history::History;
use crate::repo::Repositories;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::wan::Governor;

/// Pause after the system refused to accept (usually for want of file descriptors), so that the loop
/// does not spin until something has been closed.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// What a connection over the limit of its address is told. apt tries a 503 with a body again.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Too many connections from your address\r\n\
    Content-Type: text/plain\r\nContent-Length: 59\r\nConnection: close\r\n\r\n\
    Lumbung: too many connections from your address. Try later\n";

/// What a server is made from.
#[derive(Debug)]
pub struct Parts {
    /// Bounds and networks.
    pub config: Config,
    /// Names of the channels beside `live`.
    pub channels: Vec<Arc<str>>,
    /// Who sees which of them without asking for it.
    pub offices: Vec<Office>,
    /// What is served.
    pub repositories: Arc<Repositories>,
    /// Where it comes from.
    pub cache: Cache,
    /// What counts.
    pub metrics: Metrics,
    /// Where requests are logged, if anywhere.
    pub access_log: Option<AccessLog>,
    /// Where requests are summed up, if anywhere.
    pub history: Option<History>,
    /// What time it is.
    pub clock: Clock,
    /// Who owns what outlives a connection.
    pub tasks: Tasks,
    /// What limits the bytes that come through tunnels.
    pub governor: Governor,
}

/// The clients' side of the program, bound to its addresses.
pub struct Server {
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    door: Arc<Door>,
    explainer: Explainer,
    grace: Duration,
}

/// Every connection that is being served, and the two ways of ending them.
#[derive(Debug, Clone, Default)]
struct Connections {
    tasks: TaskTracker,
    /// No further request; the response in progress may end.
    finish: CancellationToken,
    /// At once.
    hurry: CancellationToken,
}

/// Why an address cannot be listened on, and what to do. `key` is its key under `[server]`, and its option.
pub(crate) fn cannot_listen(address: SocketAddr, error: &std::io::Error, key: &str) -> String {
    let mut words = format!("cannot listen on {address}: {error}");
    if error.kind() == std::io::ErrorKind::AddrInUse {
        let _ = write!(
            words,
            "; stop what listens there (`ss -tlnp` names it), or choose another address with --{key} or \
             {key} under [server]"
        );
    }
    words
}

/// What an accept loop needs.
struct Door {
    shared: Arc<Shared>,
    clients: Vec<IpNet>,
    limits: Limits,
    blank: Blank,
    places: Arc<Semaphore>,
    per_client: usize,
    present: Arc<Mutex<HashMap<IpAddr, usize>>>,
    metrics: Metrics,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds every configured address.
    ///
    /// # Errors
    /// An address cannot be bound; the text names it.
    pub async fn bind(parts: Parts) -> Result<Self, std::io::Error> {
        let Parts { config, channels, offices, repositories, cache, metrics, access_log, history, .. } =
            parts;
        let Parts { clock, tasks, governor, .. } = parts;
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for address in &config.listen {
            let bound =
                TcpListener::bind(address).await.and_then(|listener| Ok((listener.local_addr()?, listener)));
            let (local, listener) = bound.map_err(|error| {
                let words = cannot_listen(*address, &error, "listen");
                std::io::Error::new(error.kind(), words)
            })?;
            addresses.push(local);
            listeners.push(listener);
        }
        let public_url: Option<crate::safe_url::BaseUrl> =
            config.public_url.as_deref().and_then(|url| url.parse().ok());
        let client_repos =
            repositories.list().iter().map(|repository| ClientRepo::from(&repository.config)).collect();
        let router = Arc::new(Router::new(repositories, &config, channels, &offices));
        let shared = Shared {
            router: Arc::clone(&router),
            cache: cache.clone(),
            metrics: metrics.clone(),
            clock,
            tasks,
            governor,
            access_log: access_log.filter(|_| config.access_log),
            history,
            public_url,
            client_repos,
            max_body_size: config.max_body_size,
            stall: config.stall_timeout,
        };
        let door = Door {
            shared: Arc::new(shared),
            clients: config.clients,
            limits: Limits {
                header: config.header_timeout,
                idle: config.idle_timeout,
                stall: config.stall_timeout,
                head_size: config.max_header_size,
            },
            blank: Blank::new(),
            places: Arc::new(Semaphore::new(config.max_connections)),
            per_client: config.max_connections_per_client,
            present: Arc::default(),
            metrics,
        };
        let explainer = Explainer::new(router, cache);
        Ok(Self { listeners, addresses, door: Arc::new(door), explainer, grace: config.shutdown_grace })
    }

    /// Where clients are served, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What explains the answers that clients get.
    #[must_use]
    pub fn explainer(&self) -> Explainer {
        self.explainer.clone()
    }

    /// Serves until `stop`, then accepts no more, lets responses in progress end, and gives up on them
    /// after the configured grace. Returns how many connections were cut.
    pub async fn run(self, stop: CancellationToken) -> usize {
        let connections = Connections::default();
        let accepting = self.listeners.into_iter().map(|listener| {
            let door = Arc::clone(&self.door);
            let connections = connections.clone();
            async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, client)) => {
                            // Only now: a listener where nobody comes must not hold a place.
                            let place = Arc::clone(&door.places).acquire_owned().await;
                            let Ok(place) = place else { return };
                            door.admit(stream, client, place, &connections);
                        }
                        Err(error) => {
                            tracing::warn!(%error, "a connection could not be accepted");
                            tokio::time::sleep(REFUSED_PAUSE).await;
                        }
                    }
                }
            }
        });
        let accepting = futures_util::future::join_all(accepting);
        tokio::select! {
            _ = accepting => {}
            () = stop.cancelled() => {}
        }
        connections.finish.cancel();
        connections.tasks.close();
        let ended = tokio::time::timeout(self.grace, connections.tasks.wait()).await.is_ok();
        let left = if ended { 0 } else { connections.tasks.len() };
        connections.hurry.cancel();
        left
    }
}

impl Door {
    fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        place: OwnedSemaphorePermit,
        connections: &Connections,
    ) {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let Some(presence) = self.count(client.ip(), place) else {
            self.metrics.refused("connections");
            // A new connection's buffer is empty, so this goes out whole or the client is gone.
            let _ = stream.try_write(TOO_MANY);
            return;
        };
        let Ok(local) = stream.local_addr() else { return };
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        // Small answers must not wait for acknowledgements of others.
        let _ = stream.set_nodelay(true);
        let exchange = Arc::new(Exchange::new(self.blank.clone()));
        let connection = Connection {
            shared: Arc::clone(&self.shared),
            exchange: Arc::clone(&exchange),
            client,
            local,
            welcome: self.clients.iter().any(|network| network.contains(&client.ip())),
        };
        let ahead = connection.clone();
        let on_ahead = Box::new(move |head: &[u8]| ahead.read_ahead(head));
        let io = ClientIo::new(stream, exchange, self.limits, on_ahead, presence);
        let service = service_fn(move |request| connection.clone().handle(request));
        let serving = http1::Builder::new()
            // Our byte stream keeps the time-outs; see there.
            .header_read_timeout(None)
            // A client that says it will send no more still wants its answer.
            .half_close(true)
            .max_header_size(self.limits.head_size)
            .max_buf_size(self.limits.head_size.max(BUFFER))
            .serve_connection(io, service)
            .with_upgrades();
        let (finish, hurry) = (connections.finish.clone(), connections.hurry.clone());
        connections.tasks.spawn(async move {
            tokio::pin!(serving);
            let result = tokio::select! {
                result = serving.as_mut() => result,
                () = finish.cancelled() => {
                    serving.as_mut().graceful_shutdown();
                    tokio::select! {
                        result = serving => result,
                        () = hurry.cancelled() => return,
                    }
                }
            };
            if let Err(error) = result {
                tracing::debug!(%error, client = %client.ip(), "a connection ended early");
            }
        });
    }

    /// Notes one more connection of this address, or `None` when it has too many.
    fn count(self: &Arc<Self>, client: IpAddr, place: OwnedSemaphorePermit) -> Option<Presence> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        let count = present.entry(client).or_default();
        if *count >= self.per_client {
            return None;
        }
        *count += 1;
        self.metrics.connection_opened();
        Some(Presence { door: Arc::clone(self), client, _place: place })
    }
}

/// Buffer of a connection for what it writes and reads at a time, in bytes: hyper keeps up to this much
/// of a response in memory.
const BUFFER: usize = 128 * 1024;

/// One connection that counts. Dropping it makes room.
pub(super) struct Presence {
    door: Arc<Door>,
    client: IpAddr,
    _place: OwnedSemaphorePermit,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.door.metrics.connection_closed();
        let mut present = self.door.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = present.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.client);
            }
        }
    }
}
