//! An HTTP/1.1 upstream on the loopback interface that does what a test tells it to, however wrong.
//!
//! A route maps a path to a [`Reply`], or to several that are given in turn. Every request is recorded
//! before it is answered, so that a test can wait for it, count it, and read its headers in order. Answers
//! that behave honour `Range`, `If-Range` and the validators; answers that do not can be late, short, reset,
//! mislabelled or endless.
//!
//! ```ignore
//! let origin = Origin::start().await;
//! let gate = Gate::new();
//! origin.route("/pool/a.deb", Reply::ok(noise("a", 500_000)).pause_after(100_000, &gate));
//! origin.route_in_turn("/b", [Reply::ok(b).reset_after(1000), Reply::ok(b)]);
//! // … a client asks …
//! gate.reached_by(1).await;
//! assert_eq!(origin.requests_to("/pool/a.deb").len(), 1);
//! gate.open();
//! ```

mod connection;
mod log;
mod reply;
mod tls;

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub use log::{Log, Request};
pub use reply::{DEFAULT_DATE, Reply};

/// The running upstream. Dropping it closes its socket and all its connections.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AsyncMutex<Option<Accepting>>,
    /// The authority's certificate where it speaks TLS.
    authority: Option<String>,
}

/// What the connections need.
struct Shared {
    routes: Mutex<Routes>,
    log: Log,
    tls: Option<TlsAcceptor>,
}

#[derive(Default)]
struct Routes {
    /// Each queue holds at least one reply; the last one stays.
    by_path: HashMap<String, VecDeque<Reply>>,
    /// Answers everything, whatever the routes say.
    everywhere: Option<Reply>,
}

/// The accepting task, stopped when dropped together with the connections it owns.
struct Accepting(JoinHandle<()>);

impl Drop for Accepting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Origin {
    /// Starts on a free port. Every path is answered with 404 until it is given a route.
    pub async fn start() -> Self {
        Self::listen(None, None).await
    }

    /// Starts with TLS, under a certificate for `localhost` and 127.0.0.1 of an authority of its own.
    pub async fn start_tls() -> Self {
        let identity = tls::identity();
        Self::listen(Some(identity.acceptor), Some(identity.authority)).await
    }

    async fn listen(tls: Option<TlsAcceptor>, authority: Option<String>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a loopback port");
        let address = listener.local_addr().expect("the address of a bound socket");
        let shared = Arc::new(Shared { routes: Mutex::default(), log: Log::default(), tls });
        let accepting = AsyncMutex::new(Some(accept(listener, shared.clone())));
        Self { address, shared, accepting, authority }
    }

    /// The PEM certificate of the authority that a client of a TLS origin must trust.
    ///
    /// # Panics
    /// When it does not speak TLS.
    pub fn authority(&self) -> &str {
        self.authority.as_deref().expect("an origin with TLS")
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// Answers `path` with `reply` from now on. A path with a query is a route of its own; a query that has
    /// none is answered by its path's.
    pub fn route(&self, path: &str, reply: Reply) {
        self.route_in_turn(path, [reply]);
    }

    /// Answers the next requests for `path` with `replies` in turn, and all after these with the last one.
    ///
    /// # Panics
    /// When there is no reply.
    pub fn route_in_turn(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        self.route_all([(path.to_owned(), replies.into_iter().collect())]);
    }

    /// Sets many routes in one step: no request sees only some of them.
    pub fn route_all(&self, routes: impl IntoIterator<Item = (String, VecDeque<Reply>)>) {
        let routes: Vec<_> = routes.into_iter().collect();
        assert!(routes.iter().all(|(_, replies)| !replies.is_empty()), "a route needs a reply");
        self.shared.routes().by_path.extend(routes);
    }

    /// Answers `path` with 404 again.
    pub fn remove(&self, path: &str) {
        self.shared.routes().by_path.remove(path);
    }

    /// Answers every request with `reply`, as a captive portal does, until it is given `None`.
    pub fn answer_everything(&self, reply: Option<Reply>) {
        self.shared.routes().everywhere = reply;
    }

    /// What it has seen and sent so far.
    pub fn log(&self) -> &Log {
        &self.shared.log
    }

    /// All requests so far in the order of their arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.log().requests(|_| true)
    }

    /// The requests for one path so far, whatever their query.
    pub fn requests_to(&self, path: &str) -> Vec<Request> {
        self.log().requests(|request| request.path == path)
    }

    /// Waits until `path` has been asked for `count` times in all, and returns these requests.
    ///
    /// # Panics
    /// When that does not happen within [`PATIENCE`](super::PATIENCE).
    pub async fn wait_for(&self, path: &str, count: usize) -> Vec<Request> {
        self.log().wait_until(&format!("{count} requests for {path}"), |log| log.count(path) >= count).await;
        self.requests_to(path)
    }

    /// Goes away: refuses connections from now on, and cuts those that are open.
    pub async fn stop(&self) {
        if let Some(mut accepting) = self.accepting.lock().await.take() {
            accepting.0.abort();
            // Its socket is closed when the task has ended, not when it was told to.
            let _ = (&mut accepting.0).await;
        }
    }

    /// Comes back on the same port, with the same routes and records.
    ///
    /// # Panics
    /// When it is running, or another process has taken its port.
    pub async fn start_again(&self) {
        let mut accepting = self.accepting.lock().await;
        assert!(accepting.is_none(), "the origin is running");
        let listener = TcpListener::bind(self.address).await.expect("the port it had before");
        *accepting = Some(accept(listener, self.shared.clone()));
    }
}

impl Shared {
    fn routes(&self) -> std::sync::MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reply whose turn it is.
    fn reply_to(&self, request: &Request) -> Reply {
        let mut routes = self.routes();
        if let Some(reply) = &routes.everywhere {
            return reply.clone();
        }
        // As asked, then decoded, then without its query.
        let key = [&request.target, &request.path].into_iter().find(|key| routes.by_path.contains_key(*key));
        let Some(replies) = key.and_then(|key| routes.by_path.get_mut(key)) else {
            return Reply::status(404);
        };
        match replies.len() {
            1 => replies.front().cloned(),
            _ => replies.pop_front(),
        }
        .unwrap_or_else(|| Reply::status(404))
    }
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> Accepting {
    Accepting(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // Out of descriptors, or gone before it was accepted: the next one may fare better.
                    let Ok((stream, _)) = accepted else { continue };
                    let number = shared.log.connection_opened();
                    let shared = shared.clone();
                    connections.spawn(async move {
                        match shared.tls.clone() {
                            None => connection::serve(stream, number, shared).await,
                            // A client that does not trust us leaves here.
                            Some(tls) => if let Ok(stream) = tls.accept(stream).await {
                                connection::serve(stream, number, shared).await;
                            }
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }))
}
