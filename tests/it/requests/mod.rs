//! What a well-behaved client may ask, in every form and every state of the object it asks for.

mod conditions;
mod forms;
mod http_kind;
mod keep_alive;
mod pages;
mod pipelining;
mod spelling;
mod states;

use std::net::SocketAddr;

use crate::support::client::ask;
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, noise};

/// An apt repository `ubuntu` whose upstream is the origin's `/ubuntu`.
pub fn ubuntu(origin: &Origin) -> String {
    repo("ubuntu", "apt", &origin.url("/ubuntu"))
}

/// A repository of this kind, to which further lines may be added.
pub fn repo(name: &str, kind: &str, upstream: &str) -> String {
    format!("[[repo]]\nname = \"{name}\"\nkind = \"{kind}\"\nupstreams = [\"{upstream}\"]\n")
}

/// Waits until a path is served from the store: a body is whole for its readers before it is durable.
pub async fn until_stored(server: SocketAddr, target: &str) {
    let asking = async {
        while ask(server, "HEAD", target, &[]).await.header("cache-status") != Some("lumbung; hit") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{target} is never stored"));
}

/// A package in transfer: its first half has come, the rest waits at the gate.
pub struct InFlight {
    pub origin: Origin,
    pub server: TestServer,
    pub gate: Gate,
    pub body: Vec<u8>,
    first: crate::support::client::Connection,
}

/// Path of the package at the server.
pub const PACKAGE: &str = "/ubuntu/pool/main/a/a_1_amd64.deb";
/// Size of the package.
pub const SIZE: usize = 200_000;

impl InFlight {
    pub async fn begin() -> Self {
        let origin = Origin::start().await;
        let gate = Gate::new();
        let body = noise("in flight", SIZE);
        origin.route(PACKAGE, Reply::ok(body.clone()).etag("\"up\"").pause_after(SIZE as u64 / 2, &gate));
        let server = TestServer::start(&ubuntu(&origin)).await;
        let mut first = crate::support::client::Connection::open(server.address()).await;
        first.send(crate::support::client::request(server.address(), "GET", PACKAGE, &[])).await;
        gate.reached_by(1).await;
        Self { origin, server, gate, body, first }
    }

    /// Lets the transfer end, and waits until it is stored. Returns what the client got that began it.
    pub async fn land(&mut self) -> crate::support::client::Response {
        self.gate.open();
        let answer = self.first.response().await;
        until_stored(self.server.address(), PACKAGE).await;
        answer
    }
}
