//! Explaining what a URL would be answered.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};

use super::config::{Config, Office};
use super::error::Refusal;
use super::route::{Asked, Route, Router};
use crate::cache::{Cache, Explanation};
use crate::repo::{Repositories, Resource};
use crate::suite::Channel;

/// Understands URLs as clients' requests are understood, and says what they would get.
#[derive(Clone)]
pub struct Explainer {
    router: Arc<ArcSwap<Router>>,
    cache: Cache,
}

/// Why a URL has no explanation: what a client would be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    /// It is no URL, nor a path of this server.
    #[error("{0:?} is neither a URL nor a path that begins with a slash")]
    NotAUrl(String),
    /// A request for it is refused.
    #[error("a request for it is refused: {0}")]
    Refused(String),
    /// It is answered without a repository.
    #[error("it is {0}, made by this server itself")]
    NoFile(&'static str),
    /// The store cannot be read.
    #[error("the store failed: {0}")]
    Store(String),
}

impl Explainer {
    /// For a server with this configuration.
    #[must_use]
    pub fn of(
        repositories: Arc<Repositories>,
        config: &Config,
        channels: Vec<Arc<str>>,
        offices: &[Office],
        cache: Cache,
    ) -> Self {
        Self::new(
            Arc::new(ArcSwap::from_pointee(Router::new(repositories, config, channels, offices))),
            cache,
        )
    }

    /// What it asks.
    pub(super) fn into_parts(self) -> (Arc<ArcSwap<Router>>, Cache) {
        (self.router, self.cache)
    }

    pub(super) const fn new(router: Arc<ArcSwap<Router>>, cache: Cache) -> Self {
        Self { router, cache }
    }

    /// Explains what a client at `client` is answered to `url`: a whole URL, or a path of this server.
    /// Blocking: a few indexed reads.
    ///
    /// # Errors
    /// [`Unexplained`].
    pub fn explain(&self, url: &str, client: Option<IpAddr>) -> Result<Explanation, Unexplained> {
        let not_a_url = || Unexplained::NotAUrl(url.chars().take(200).collect());
        let parsed: Uri = url.parse().map_err(|_| not_a_url())?;
        if parsed.authority().is_some() != parsed.scheme().is_some() || !parsed.path().starts_with('/') {
            return Err(not_a_url());
        }
        // What the administrator names by its public URL, or by a URL of another name of this server, is
        // in mirror form when no repository has the host.
        let (resource, channel) = match self.route(&parsed, client) {
            Err(Refusal::NotOurs { host }) => {
                let local = parsed.path_and_query().and_then(|path| path.as_str().parse().ok());
                local
                    .and_then(|local: Uri| self.route(&local, client).ok())
                    .and_then(file)
                    .ok_or_else(|| Unexplained::Refused(Refusal::NotOurs { host }.to_string()))?
            }
            Err(refusal) => return Err(Unexplained::Refused(refusal.to_string())),
            Ok(Route::Fetch(resource, channel)) => (resource, channel),
            Ok(Route::Page) => return Err(Unexplained::NoFile("the page for people")),
            Ok(Route::ClientScript(_)) => return Err(Unexplained::NoFile("the script for desktops")),
            Ok(Route::MirrorList(_)) => return Err(Unexplained::NoFile("a mirror list")),
            Ok(Route::Pass(_) | Route::Tunnel(..)) => return Err(not_a_url()),
        };
        let host = parsed
            .host()
            .filter(|host| host.parse().is_ok_and(|host| self.router.load().repositories.knows_host(&host)));
        let rule = rule(&parsed, host, &resource);
        self.cache
            .explain(url, &rule, &resource, &channel)
            .map_err(|error| Unexplained::Store(error.to_string()))
    }

    fn route(&self, uri: &Uri, client: Option<IpAddr>) -> Result<Route, Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost"));
        self.router.load().route(Asked {
            method: &Method::GET,
            uri,
            version: Version::HTTP_11,
            headers: &headers,
            local: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            client: client.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            exchange: None,
        })
    }
}

impl fmt::Debug for Explainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explainer").finish_non_exhaustive()
    }
}

fn file(route: Route) -> Option<(Resource, Channel)> {
    match route {
        Route::Fetch(resource, channel) => Some((resource, channel)),
        _ => None,
    }
}

/// How the address led to the repository, in words.
fn rule(uri: &Uri, host: Option<&str>, resource: &Resource) -> String {
    let name = resource.repository.name();
    if let Some(host) = host {
        return format!("the host {host} belongs to an upstream or alias of {name}");
    }
    let first = uri.path().trim_start_matches('/').split('/').next().unwrap_or_default();
    if first == "snapshot" {
        return format!("/snapshot/CHANNEL/{name}/: the repository {name} in a channel");
    }
    if first.split('@').next() == Some(&**name) {
        return if first.contains('@') {
            format!("/{name}@CHANNEL/: the repository {name} in a channel")
        } else {
            format!("/{name}/: the name of the repository {name}")
        };
    }
    format!("/{first}/: a host that belongs to an upstream or alias of {name}")
}
