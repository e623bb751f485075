//! The administrators' listener, which may move to another address while the program runs.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::server::cannot_listen;
use crate::tasks::Tasks;

/// Where administrators are served.
pub(super) struct AdminDoor {
    tasks: Tasks,
    now: Mutex<Now>,
}

struct Now {
    /// As it is configured, which may leave the port to the system.
    configured: SocketAddr,
    local: SocketAddr,
    /// Closes the listener; what is being answered is finished.
    close: CancellationToken,
    /// What to serve, once something is.
    router: Option<Router>,
}

/// An address that is bound and not served on yet.
pub(super) struct BoundAdmin {
    configured: SocketAddr,
    local: SocketAddr,
    socket: TcpListener,
}

impl BoundAdmin {
    /// # Errors
    /// It cannot be listened on; the text says what to do.
    pub(super) async fn bind(address: SocketAddr) -> io::Result<Self> {
        let bound = TcpListener::bind(address).await;
        let bound = bound.and_then(|socket| Ok((socket.local_addr()?, socket)));
        let (local, socket) =
            bound.map_err(|error| io::Error::new(error.kind(), cannot_listen(address, &error, "admin")))?;
        Ok(Self { configured: address, local, socket })
    }
}

impl AdminDoor {
    /// For what is bound, which is served once [`open`](Self::open) is called with it.
    pub(super) fn new(tasks: Tasks, bound: &BoundAdmin) -> Self {
        let BoundAdmin { configured, local, .. } = *bound;
        let now = Now { configured, local, close: CancellationToken::new(), router: None };
        Self { tasks, now: Mutex::new(now) }
    }

    /// Where administrators are served now.
    pub(super) fn address(&self) -> SocketAddr {
        self.now().local
    }

    /// Binds another address, if `address` is one. Nothing else has changed then.
    ///
    /// # Errors
    /// As [`BoundAdmin::bind`].
    pub(super) async fn rebind(&self, address: SocketAddr) -> io::Result<Option<BoundAdmin>> {
        if self.now().configured == address {
            return Ok(None);
        }
        BoundAdmin::bind(address).await.map(Some)
    }

    /// Serves `router` on what is bound until a shutdown.
    pub(super) fn open(&self, bound: BoundAdmin, router: Router) {
        let mut now = self.now();
        now.router = Some(router);
        self.serve(&mut now, bound);
    }

    /// Serves on another address from now on, and no longer on the one before.
    pub(super) fn move_to(&self, bound: BoundAdmin) {
        let mut now = self.now();
        now.close.cancel();
        self.serve(&mut now, bound);
    }

    fn serve(&self, now: &mut Now, bound: BoundAdmin) {
        let BoundAdmin { configured, local, socket } = bound;
        let close = CancellationToken::new();
        (now.configured, now.local, now.close) = (configured, local, close.clone());
        let Some(router) = now.router.clone() else { return };
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let tasks = self.tasks.clone();
        self.tasks.spawn(async move {
            let ending = async move {
                tokio::select! {
                    () = tasks.stopping() => {}
                    () = close.cancelled() => {}
                }
            };
            if let Err(error) = axum::serve(socket, service).with_graceful_shutdown(ending).await {
                tracing::error!(%error, "the administrators' pages are gone");
            }
        });
        tracing::info!(address = %local, "listening for administrators");
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
