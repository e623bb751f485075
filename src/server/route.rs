//! Understanding a request line: what is asked for, or why it is refused.
//!
//! Every spelling that clients use ends in one [`Resource`]: the mirror form `/<repo>/<path>`, the proxy
//! form with a whole URL, and the two forms that clients of apt-cacher-ng use, `/HTTPS///<host>/<path>`
//! and `/<host>/<path>`. `/<repo>@<channel>/<path>` and `/snapshot/<channel>/<repo>/<path>` name the
//! channel too; all others see that of the client's office. What is not a repository's is not served,
//! whoever asks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, Method, Uri, Version, header};

use super::config::{Config, Office};
use super::error::Refusal;
use super::io::Exchange;
use crate::networks::Networks;
use crate::repo::{Kind, Repositories, Repository, Resource};
use crate::repo_path::RepoPath;
use crate::safe_url::{BaseUrl, Host, Origin, check_authority, parse_authority};
use crate::suite::Channel;

/// What a request asks for.
#[derive(Debug)]
pub(super) enum Route {
    /// The page for people.
    Page,
    /// The script that points a desktop here; with its mode (`proxy` or `mirror`).
    ClientScript(Mode),
    /// A mirror list for apt, of this repository.
    MirrorList(Arc<Repository>),
    /// A file of a repository, as a channel shows it.
    Fetch(Resource, Channel),
    /// A request of another method for a repository that passes such on.
    Pass(Resource),
    /// A tunnel to this host and port.
    Tunnel(Host, u16),
}

/// How a desktop is to use this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Its sources name this server.
    Mirror,
    /// Its apt uses this server as a proxy.
    Proxy,
}

/// What routing needs to know.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) repositories: Arc<Repositories>,
    /// CONNECT targets beyond the hosts of repositories on 443.
    pub(super) tunnels: Vec<(Host, u16)>,
    /// Origin of `server.public_url`: a name of our own.
    pub(super) own: Option<Origin>,
    /// Names of the channels beside `live`.
    pub(super) channels: Vec<Arc<str>>,
    /// What clients see who name no channel.
    pub(super) offices: Offices,
}

/// Which channel the clients of an office see.
#[derive(Debug, Default)]
pub(super) struct Offices(Networks<Channel>);

impl Offices {
    pub(super) fn new(offices: &[Office]) -> Self {
        let networks = offices
            .iter()
            .flat_map(|office| office.networks.iter().map(|network| (*network, office.channel.clone())));
        Self(networks.collect())
    }

    fn channel(&self, client: IpAddr) -> Channel {
        self.0.around(client).cloned().unwrap_or_default()
    }
}

/// The method, target and headers of one request, and the address it came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) version: Version,
    pub(super) headers: &'a HeaderMap,
    pub(super) local: SocketAddr,
    /// The client's address, IPv4 ones as such.
    pub(super) client: IpAddr,
    /// What was found out before on the same connection, if there is one.
    pub(super) exchange: Option<&'a Exchange>,
}

impl Router {
    /// What follows from the configuration.
    pub(super) fn new(
        repositories: Arc<Repositories>,
        config: &Config,
        channels: Vec<Arc<str>>,
        offices: &[Office],
    ) -> Self {
        let own = config.public_url.as_deref().and_then(|url| url.parse::<BaseUrl>().ok());
        Self {
            repositories,
            tunnels: config.tunnels.clone(),
            own: own.map(|url| url.origin),
            channels,
            offices: Offices::new(offices),
        }
    }

    /// Understands a request.
    ///
    /// # Errors
    /// Says why it is refused.
    pub(super) fn route(&self, asked: Asked<'_>) -> Result<Route, Refusal> {
        check_host(asked)?;
        if asked.method == Method::CONNECT {
            return self.tunnel(asked.uri);
        }
        let known = [
            &Method::GET,
            &Method::HEAD,
            &Method::POST,
            &Method::PUT,
            &Method::PATCH,
            &Method::DELETE,
            &Method::OPTIONS,
        ];
        if !known.contains(&asked.method) {
            return Err(Refusal::Method);
        }
        let reading = matches!(*asked.method, Method::GET | Method::HEAD);
        if reading && has_body(asked.headers) {
            return Err(Refusal::BodyNotWanted);
        }
        let (resource, channel) = match self.local(asked)? {
            Local::Page(page) if reading => return Ok(page),
            Local::Page(_) => return Err(Refusal::Method),
            Local::Resource(resource, channel) => {
                (resource, channel.unwrap_or_else(|| self.offices.channel(asked.client)))
            }
        };
        match (reading, resource.repository.config.kind) {
            (true, _) => Ok(Route::Fetch(resource, channel)),
            (false, Kind::Http) => Ok(Route::Pass(resource)),
            (false, Kind::Apt | Kind::Files) => Err(Refusal::Method),
        }
    }

    fn local(&self, asked: Asked<'_>) -> Result<Local, Refusal> {
        let uri = asked.uri;
        if uri.authority().is_none()
            && let Some((repository, path)) = self.by_first_name(uri.path())
        {
            let path = RepoPath::parse(path).map_err(Refusal::Path)?;
            let query = uri.query().map(check_query).transpose()?;
            return Ok(Local::Resource(Resource::new(Arc::clone(repository), path, query), None));
        }
        let path = RepoPath::parse(uri.path()).map_err(Refusal::Path)?;
        let query = uri.query().map(check_query).transpose()?;
        if let Some(authority) = uri.authority() {
            let default_port = match uri.scheme_str() {
                Some("http") => 80,
                Some("https") => 443,
                _ => return Err(Refusal::Scheme),
            };
            let (host, port) = parse_authority(authority.as_str(), default_port).map_err(Refusal::Target)?;
            if let Some(resource) = self.repositories.by_address(&host, port, &path, query) {
                return Ok(Local::Resource(resource, None));
            }
            if !self.is_own(&host, port, asked.local) {
                return Err(Refusal::NotOurs { host });
            }
        }
        self.mirror_form(&path, query, asked.uri)
    }

    /// The repository whose name is the first segment of a path, written as it is, and the path in it: the
    /// common case, in which no copy of the whole has to be made first. What stands before the second slash
    /// is the same however the rest is to be understood.
    fn by_first_name<'a>(&self, path: &'a str) -> Option<(&Arc<Repository>, &'a str)> {
        let bare = path.strip_prefix('/')?;
        let (first, rest) = bare.split_at(memchr::memchr(b'/', bare.as_bytes())?);
        Some((self.repositories.by_name(first)?, rest))
    }

    fn mirror_form(&self, path: &RepoPath, query: Option<&str>, uri: &Uri) -> Result<Local, Refusal> {
        match path.as_str() {
            "" => return Ok(Local::Page(Route::Page)),
            "client.sh" => return Ok(Local::Page(Route::ClientScript(mode(query)?))),
            "mirrors.txt" => return self.mirror_list(None).map(Local::Page),
            _ => {}
        }
        let (first, rest) = path.split_first();
        if let Some(repository) = self.repositories.by_name(first) {
            return Ok(Local::Resource(Resource::new(Arc::clone(repository), rest, query), None));
        }
        if first == "snapshot" {
            let (channel, rest) = rest.split_first();
            let (name, path) = rest.split_first();
            return self.in_channel(name, channel, path, query);
        }
        if let Some((name, channel)) = first.split_once('@') {
            return self.in_channel(name, channel, rest, query);
        }
        if first == "mirrors"
            && let Some(name) = rest.as_str().strip_suffix(".txt")
        {
            return self.mirror_list(Some(name)).map(Local::Page);
        }
        // `/HTTPS///host/path`; the slashes have been folded into one.
        let (first, rest, default_port) = if first == "HTTPS" {
            let (host, rest) = rest.split_first();
            (host.to_owned(), rest, 443)
        } else {
            (first.to_owned(), rest, 80)
        };
        let unknown = || Refusal::UnknownPath { first: first.clone().into() };
        let (host, port) = parse_authority(&first, default_port).map_err(|_| unknown())?;
        let resource = self.repositories.by_address(&host, port, &rest, query);
        // Without the query, which may hold what is nobody's business.
        tracing::trace!(path = uri.path(), found = resource.is_some(), "not a repository's name");
        resource.map(|resource| Local::Resource(resource, None)).ok_or_else(unknown)
    }

    /// A file of a repository as a channel that the path names shows it.
    fn in_channel(
        &self,
        name: &str,
        channel: &str,
        path: RepoPath,
        query: Option<&str>,
    ) -> Result<Local, Refusal> {
        let repository =
            self.repositories.by_name(name).ok_or_else(|| Refusal::UnknownPath { first: name.into() })?;
        let known = channel.parse().ok().filter(|channel| match channel {
            Channel::Named(name) => self.channels.contains(name),
            Channel::Live | Channel::At(_) => true,
        });
        let channel = known.ok_or_else(|| Refusal::UnknownChannel { name: channel.into() })?;
        Ok(Local::Resource(Resource::new(Arc::clone(repository), path, query), Some(channel)))
    }

    /// `/mirrors.txt` is the list of the first apt repository, `/mirrors/<repo>.txt` that of each: in one
    /// list apt takes every line for a copy of the same repository. (Not `/mirrors.txt/<repo>`: apt takes a
    /// list that it knows for the list of everything below its name.)
    fn mirror_list(&self, name: Option<&str>) -> Result<Route, Refusal> {
        let mut lists = self.repositories.list().iter().filter(|repository| {
            repository.config.kind == Kind::Apt && name.is_none_or(|name| &**repository.name() == name)
        });
        let unknown = || Refusal::UnknownPath { first: name.unwrap_or("mirrors.txt").into() };
        lists.next().map(|repository| Route::MirrorList(Arc::clone(repository))).ok_or_else(unknown)
    }

    /// Whether a URL that a client gave its proxy means the proxy itself: a desktop may have both the
    /// proxy setting and sources that name this server.
    fn is_own(&self, host: &Host, port: u16, local: SocketAddr) -> bool {
        let named = self.own.as_ref().is_some_and(|own| {
            // The port may be another one outside, where something forwards it.
            own.host == *host && (port == own.port || port == local.port())
        });
        named || (host.ip() == Some(local.ip()) && port == local.port())
    }

    fn tunnel(&self, uri: &Uri) -> Result<Route, Refusal> {
        let bare = uri.scheme().is_none() && uri.path_and_query().is_none();
        let authority = uri.authority().filter(|_| bare).ok_or(Refusal::Scheme)?;
        // A CONNECT target always names its port (RFC 9112 §3.2.3).
        let (host, port) = parse_authority(authority.as_str(), 0).map_err(Refusal::Target)?;
        let allowed = (port == 443 && self.repositories.knows_host(&host))
            || self.tunnels.iter().any(|(name, number)| *name == host && *number == port);
        if allowed { Ok(Route::Tunnel(host, port)) } else { Err(Refusal::Tunnel { host, port }) }
    }
}

enum Local {
    Page(Route),
    /// With the channel, where the path names one.
    Resource(Resource, Option<Channel>),
}

/// HTTP/1.1 requests have exactly one `Host`, and it is a host (RFC 9112 §3.2).
fn check_host(asked: Asked<'_>) -> Result<(), Refusal> {
    let mut hosts = asked.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if asked.version == Version::HTTP_11 => Err(Refusal::Host),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(Refusal::Host),
        (Some(host), None) if asked.exchange.is_some_and(|known| known.knows_host(host.as_bytes())) => Ok(()),
        (Some(host), None) => {
            let text = host.to_str().map_err(|_| Refusal::Host)?;
            check_authority(text).map_err(|_| Refusal::Host)?;
            if let Some(exchange) = asked.exchange {
                exchange.note_host(host.as_bytes());
            }
            Ok(())
        }
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).is_some_and(|value| value.as_bytes() != b"0");
    length || headers.contains_key(header::TRANSFER_ENCODING)
}

/// A query goes upstream as it is; `http` has already refused what no URL may contain.
fn check_query(query: &str) -> Result<&str, Refusal> {
    const LONGEST: usize = 4096;
    if query.len() > LONGEST { Err(Refusal::Path(crate::repo_path::PathError::TooLong)) } else { Ok(query) }
}

fn mode(query: Option<&str>) -> Result<Mode, Refusal> {
    match query {
        None | Some("" | "mode=mirror") => Ok(Mode::Mirror),
        Some("mode=proxy") => Ok(Mode::Proxy),
        Some(_) => Err(Refusal::UnknownMode),
    }
}
