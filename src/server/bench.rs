//! The steps of a hit one by one, for the benchmarks that count their instructions.
//!
//! Public because benchmarks are crates of their own, and hidden because it is no interface: it shows what
//! is private otherwise and needed there, and nothing else in the program uses it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, Response};

use super::explain::Explainer;
use super::heads::Heads;
use super::io::Exchange;
use super::part::Blank;
use super::respond::Asking;
use super::route::{Asked, Route, Router};
use crate::cache::{Answer, Cache, Conditions};
use crate::repo::Resource;
use crate::suite::{Channel, Resolution};

/// The client of every request.
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Everything that a request meets between its connection and the file.
pub struct Desk {
    router: Arc<Router>,
    cache: Cache,
    exchange: Exchange,
}

impl Desk {
    /// The desk behind which `explainer` stands.
    #[must_use]
    pub fn new(explainer: Explainer) -> Self {
        let (router, cache) = explainer.into_parts();
        let router = router.load_full();
        Self { router, cache, exchange: Exchange::new(Blank::new()) }
    }

    /// Counts the request heads in bytes from a client.
    #[must_use]
    pub fn count_heads(bytes: &[u8]) -> u32 {
        let mut count = 0;
        Heads::new(bytes.len()).feed(bytes, |number, _| count = number);
        count
    }

    /// The resource that a request asks for, or `None` when it asks for something else.
    #[must_use]
    pub fn route(&self, request: &Request<()>) -> Option<(Resource, Channel)> {
        let asked = Asked {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            local: SocketAddr::new(CLIENT, 3142),
            client: CLIENT,
            exchange: Some(&self.exchange),
        };
        match self.router.route(asked) {
            Ok(Route::Fetch(resource, channel)) => Some((resource, channel)),
            _ => None,
        }
    }

    /// What is known of its bytes.
    #[must_use]
    pub fn resolve(&self, resource: &Resource) -> Resolution {
        self.cache.resolution(resource, &Channel::Live, CLIENT)
    }

    /// Its answer.
    pub async fn serve(&self, resource: &Resource) -> Answer {
        self.cache.serve(resource, &Channel::Live, CLIENT, false).await
    }

    /// The head of a response.
    #[must_use]
    pub fn head(&self, request: &Request<()>, resource: &Resource, answer: Answer) -> Response<()> {
        let conditions = Conditions::of(request.headers());
        let now = SystemTime::UNIX_EPOCH;
        let cache = &self.cache;
        Asking { cache, resource, conditions: &conditions, head_only: false, now }.reply(answer).head
    }
}
