//! Accepting clients within bounds, and ending with grace.
//!
//! Two bounds hold: connections in all, beyond which new ones wait unread, and connections of one
//! address, beyond which a new one is told so and closed. Each connection is a task
//! that ends by itself, at a time-out, or when a shutdown has begun and its response is out. What is configured
//! is looked up for each connection and each request, so that it may change meanwhile.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access_log::AccessLog;
use super::client_script::ClientRepo;
use super::config::{Config, Office};
use super::explain::Explainer;
use super::handler::{Connection, Shared};
use super::io::{ClientIo, Exchange, Limits};
use super::listen::{Control, Listeners};
use super::part::Blank;
use super::route::Router;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::history::History;
use crate::repo::Repositories;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::wan::Governor;

/// What a connection over the limit of its address is told. apt tries a 503 with a body again.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Too many connections from your address\r\n\
    Content-Type: text/plain\r\nContent-Length: 59\r\nConnection: close\r\n\r\n\
    Lumbung: too many connections from your address. Try later\n";

/// What a server works with from its beginning to its end.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Where what is served comes from.
    pub cache: Cache,
    /// What counts.
    pub metrics: Metrics,
    /// What time it is.
    pub clock: Clock,
    /// Who owns what outlives a connection.
    pub tasks: Tasks,
    /// What limits the bytes that come through tunnels.
    pub governor: Governor,
    /// Where requests are summed up, if anywhere.
    pub history: Option<History>,
}

/// What is configured, which may change while the server serves.
#[derive(Debug)]
pub struct Settings {
    /// Bounds and networks.
    pub config: Config,
    /// Names of the channels beside `live`.
    pub channels: Vec<Arc<str>>,
    /// Who sees which of them without asking for it.
    pub offices: Vec<Office>,
    /// What is served.
    pub repositories: Arc<Repositories>,
    /// Where requests are logged, if anywhere.
    pub access_log: Option<AccessLog>,
}

/// The clients' side of the program, bound to its addresses.
pub struct Server {
    listeners: Listeners,
    door: Arc<Door>,
    control: Control,
}

/// Every connection that is being served, and the two ways of ending them.
#[derive(Debug, Clone, Default)]
pub(super) struct Connections {
    tasks: TaskTracker,
    /// No further request; the response in progress may end.
    finish: CancellationToken,
    /// At once.
    hurry: CancellationToken,
}

/// What an accept loop needs.
pub(super) struct Door {
    parts: Parts,
    /// What requests are answered by.
    live: Arc<ArcSwap<Shared>>,
    /// The router of that, for whoever explains it.
    router: Arc<ArcSwap<Router>>,
    rules: ArcSwap<Rules>,
    blank: Blank,
    present: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// What new connections are held to.
struct Rules {
    limits: Limits,
    max_connections: usize,
    places: Arc<Semaphore>,
    per_client: usize,
    grace: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses()).finish_non_exhaustive()
    }
}

impl Server {
    /// Binds every configured address.
    ///
    /// # Errors
    /// An address cannot be bound; the text names it.
    pub async fn bind(parts: Parts, settings: Settings) -> Result<Self, std::io::Error> {
        let (listeners, listening) = Listeners::bind(&settings.config.listen).await?;
        let router = Arc::new(settings.router());
        let rules = Rules::of(&settings.config, None);
        let door = Arc::new(Door {
            live: Arc::new(ArcSwap::from_pointee(settings.shared(&parts, Arc::clone(&router)))),
            router: Arc::new(ArcSwap::new(router)),
            rules: ArcSwap::from_pointee(rules),
            parts,
            blank: Blank::new(),
            present: Arc::default(),
        });
        let control = Control::new(Arc::clone(&door), listening);
        Ok(Self { listeners, door, control })
    }

    /// Where clients are served, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.control.addresses()
    }

    /// What explains the answers that clients get.
    #[must_use]
    pub fn explainer(&self) -> Explainer {
        Explainer::new(Arc::clone(&self.door.router), self.door.parts.cache.clone())
    }

    /// What changes it while it serves.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until `stop`, then accepts no more, lets responses in progress end, and gives up on them
    /// after the configured grace. Returns how many connections were cut.
    pub async fn run(self, stop: CancellationToken) -> usize {
        let connections = Connections::default();
        self.listeners.run(&self.door, &connections, stop).await;
        connections.finish.cancel();
        connections.tasks.close();
        let grace = self.door.rules.load().grace;
        let ended = tokio::time::timeout(grace, connections.tasks.wait()).await.is_ok();
        let left = if ended { 0 } else { connections.tasks.len() };
        connections.hurry.cancel();
        left
    }
}

impl Settings {
    fn router(&self) -> Router {
        Router::new(Arc::clone(&self.repositories), &self.config, self.channels.clone(), &self.offices)
    }

    fn shared(&self, parts: &Parts, router: Arc<Router>) -> Shared {
        let Self { config, repositories, access_log, .. } = self;
        let client_repos = repositories.list().iter().map(|repository| ClientRepo::from(&repository.config));
        Shared {
            router,
            cache: parts.cache.clone(),
            metrics: parts.metrics.clone(),
            clients: config.clients.clone(),
            clock: parts.clock.clone(),
            tasks: parts.tasks.clone(),
            governor: parts.governor.clone(),
            access_log: access_log.clone().filter(|_| config.access_log),
            history: parts.history.clone(),
            public_url: config.public_url.as_deref().and_then(|url| url.parse().ok()),
            client_repos: client_repos.collect(),
            max_body_size: config.max_body_size,
            stall: config.stall_timeout,
        }
    }
}

impl Rules {
    /// What follows from a configuration. Places are those of before, unless their number has changed: then
    /// connections that have one of those do not count among the new ones.
    fn of(config: &Config, before: Option<&Self>) -> Self {
        let max_connections = config.max_connections;
        let same = before.filter(|before| before.max_connections == max_connections);
        let places = same.map(|before| Arc::clone(&before.places));
        Self {
            limits: Limits {
                header: config.header_timeout,
                idle: config.idle_timeout,
                stall: config.stall_timeout,
                head_size: config.max_header_size,
            },
            max_connections,
            places: places.unwrap_or_else(|| Arc::new(Semaphore::new(max_connections))),
            per_client: config.max_connections_per_client,
            grace: config.shutdown_grace,
        }
    }
}

impl Door {
    /// Answers by other settings from the next request on, on connections that are open as well.
    pub(super) fn follow(&self, settings: &Settings) {
        let router = Arc::new(settings.router());
        let rules = Rules::of(&settings.config, Some(&self.rules.load()));
        self.rules.store(Arc::new(rules));
        self.live.store(Arc::new(settings.shared(&self.parts, Arc::clone(&router))));
        self.router.store(router);
    }

    /// Waits for a place for one more connection; `None` when there will be none any more.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let places = Arc::clone(&self.rules.load().places);
        places.acquire_owned().await.ok()
    }

    pub(super) fn admit(
        self: &Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        place: OwnedSemaphorePermit,
        connections: &Connections,
    ) {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let Some(presence) = self.count(client.ip(), place) else {
            self.parts.metrics.refused("connections");
            // A new connection's buffer is empty, so this goes out whole or the client is gone.
            let _ = stream.try_write(TOO_MANY);
            return;
        };
        let Ok(local) = stream.local_addr() else { return };
        let local = SocketAddr::new(local.ip().to_canonical(), local.port());
        // Small answers must not wait for acknowledgements of others.
        let _ = stream.set_nodelay(true);
        let exchange = Arc::new(Exchange::new(self.blank.clone()));
        let shared = self.live.load_full();
        let connection = Connection {
            live: Arc::clone(&self.live),
            welcome: shared.welcomes(client.ip()),
            shared,
            exchange: Arc::clone(&exchange),
            client,
            local,
        };
        let limits = self.rules.load().limits;
        let ahead = connection.clone();
        let on_ahead = Box::new(move |head: &[u8]| ahead.now().read_ahead(head));
        let io = ClientIo::new(stream, exchange, limits, on_ahead, presence);
        let service = service_fn(move |request| connection.now().handle(request));
        let serving = http1::Builder::new()
            // Our byte stream keeps the time-outs; see there.
            .header_read_timeout(None)
            // A client that says it will send no more still wants its answer.
            .half_close(true)
            .max_header_size(limits.head_size)
            .max_buf_size(limits.head_size.max(BUFFER))
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
        if *count >= self.rules.load().per_client {
            return None;
        }
        *count += 1;
        self.parts.metrics.connection_opened();
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
        self.door.parts.metrics.connection_closed();
        let mut present = self.door.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = present.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                present.remove(&self.client);
            }
        }
    }
}
