//! One request from head to response.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body as _, Incoming};
use hyper::ext::ReasonPhrase;
use ipnet::IpNet;

use super::access_log::{AccessLog, Account};
use super::body::{Body, Content};
use super::client_script::{ClientMode, ClientRepo, client_script};
use super::error::Refusal;
use super::io::Exchange;
use super::respond::{self, Asking, Reply};
use super::route::{Asked, Mode, Route, Router};
use super::{page, tunnel};
use crate::cache::{Answer, Cache, Conditions, PassRequest};
use crate::clock::Clock;
use crate::history::History;
use crate::repo::Resource;
use crate::safe_url::BaseUrl;
use crate::suite::Channel;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::wan::Governor;

/// What all connections share.
pub(super) struct Shared {
    pub(super) router: Arc<Router>,
    pub(super) cache: Cache,
    pub(super) metrics: Metrics,
    /// `server.clients`.
    pub(super) clients: Vec<IpNet>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) governor: Governor,
    pub(super) access_log: Option<AccessLog>,
    pub(super) history: Option<History>,
    /// `server.public_url`.
    pub(super) public_url: Option<BaseUrl>,
    /// Repositories as the client script and the page name them.
    pub(super) client_repos: Vec<ClientRepo>,
    pub(super) max_body_size: u64,
    pub(super) stall: Duration,
}

impl Shared {
    /// Whether a client at this address may be served.
    pub(super) fn welcomes(&self, client: IpAddr) -> bool {
        self.clients.iter().any(|network| network.contains(&client))
    }
}

/// What belongs to one connection.
#[derive(Clone)]
pub(super) struct Connection {
    /// What holds for the next request; another one after the configuration was read again.
    pub(super) live: Arc<ArcSwap<Shared>>,
    /// What holds for this request.
    pub(super) shared: Arc<Shared>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    /// Whether the client's address is among `server.clients`.
    pub(super) welcome: bool,
}

impl Connection {
    /// The same connection by what holds now.
    pub(super) fn now(&self) -> Self {
        let shared = self.live.load_full();
        if Arc::ptr_eq(&shared, &self.shared) {
            return self.clone();
        }
        let welcome = shared.welcomes(self.client.ip());
        Self { shared, welcome, ..self.clone() }
    }

    /// Answers a request. Never fails: what goes wrong is an answer too.
    pub(super) async fn handle(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let shared = Arc::clone(&self.shared);
        let mut account = Account::open(
            shared,
            Arc::clone(&self.exchange),
            self.client.ip(),
            request.method().clone(),
            request.uri().clone(),
        );
        let request_version = request.version();
        let head_only = request.method() == Method::HEAD;
        let bodied = !matches!(*request.method(), Method::GET | Method::HEAD | Method::CONNECT);
        let reply = match self.understand(&request) {
            Ok(route) => self.answer(route, request, &mut account).await,
            Err(refusal) => self.refuse(&refusal, head_only),
        };
        let Reply { mut head, content, outcome, source, seeded } = reply;
        if bodied || !self.welcome || head.status() == StatusCode::PAYLOAD_TOO_LARGE {
            // Where the next request begins is only certain after one without a body.
            head.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("close"));
        }
        if request_version == Version::HTTP_10 && content.size().is_none() {
            account.unframed = true;
        }
        account.status = head.status();
        account.outcome = outcome;
        account.source = source;
        account.seeded = seeded;
        account.answered = Some(account.started.elapsed());
        Ok(head.map(|()| Body::new(content, account)))
    }

    /// Starts fetching what a request head, read ahead of its turn, asks for.
    pub(super) fn read_ahead(&self, head: &[u8]) {
        let Some((resource, channel)) = self.foresee(head) else { return };
        let (cache, client) = (self.shared.cache.clone(), self.client.ip());
        self.shared.tasks.spawn(async move { cache.prefetch(&resource, &channel, client).await });
    }

    fn foresee(&self, head: &[u8]) -> Option<(Resource, Channel)> {
        const MOST_HEADERS: usize = 64;
        if !self.welcome {
            return None;
        }
        let mut space = [httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut parsed = httparse::Request::new(&mut space);
        parsed.parse(head).ok().filter(httparse::Status::is_complete)?;
        let uri = parsed.path?.parse().ok()?;
        let mut headers = HeaderMap::new();
        for field in parsed.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("host")) {
            headers.append(header::HOST, header::HeaderValue::from_bytes(field.value).ok()?);
        }
        let asked = Asked {
            method: &Method::GET,
            uri: &uri,
            version: Version::HTTP_11,
            headers: &headers,
            local: self.local,
            client: self.client.ip(),
            exchange: Some(&self.exchange),
        };
        match self.shared.router.route(asked) {
            // A probe is answered without fetching the whole.
            Ok(Route::Fetch(resource, channel)) if parsed.method == Some("GET") => Some((resource, channel)),
            _ => None,
        }
    }

    fn understand(&self, request: &Request<Incoming>) -> Result<Route, Refusal> {
        if !self.welcome {
            return Err(Refusal::Client);
        }
        self.shared.router.route(Asked {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            local: self.local,
            client: self.client.ip(),
            exchange: Some(&self.exchange),
        })
    }

    fn refuse(&self, refusal: &Refusal, head_only: bool) -> Reply {
        self.shared.metrics.refused(refusal.word());
        let mut reply = respond::told(refusal.told(), head_only);
        if matches!(refusal, Refusal::Method) {
            respond::allow(&mut reply);
        }
        reply
    }

    async fn answer(&self, route: Route, request: Request<Incoming>, account: &mut Account) -> Reply {
        let head_only = request.method() == Method::HEAD;
        let shared = &self.shared;
        match route {
            Route::Page => {
                let page = page::usage(&self.own_url(&request), &shared.client_repos);
                let mut reply =
                    respond::text(StatusCode::NOT_ACCEPTABLE, "text/html; charset=utf-8", page, head_only);
                // By this status line `auto-apt-proxy` knows a proxy.
                reply.head.extensions_mut().insert(ReasonPhrase::from_static(b"Usage Information"));
                reply
            }
            Route::ClientScript(mode) => {
                let mode = match mode {
                    Mode::Mirror => ClientMode::Mirror,
                    Mode::Proxy => ClientMode::Proxy,
                };
                let script = client_script(&self.own_url(&request), mode, &shared.client_repos);
                respond::text(StatusCode::OK, "text/x-shellscript; charset=utf-8", script, head_only)
            }
            Route::MirrorList(repository) => {
                let own = self.own_url(&request);
                let list = page::mirror_list(&own, repository.name(), &repository.config.upstreams);
                respond::text(StatusCode::OK, "text/plain; charset=utf-8", list, head_only)
            }
            Route::Fetch(resource, channel) => {
                account.repo = Some(Arc::clone(resource.repository.name()));
                let answer = shared.cache.serve(&resource, &channel, self.client.ip(), head_only).await;
                self.reply(&resource, &Conditions::of(request.headers()), head_only, answer)
            }
            Route::Pass(resource) => {
                account.repo = Some(Arc::clone(resource.repository.name()));
                Box::pin(self.pass(&resource, request)).await
            }
            Route::Tunnel(host, port) => {
                let opened = Box::pin(tunnel::open(&host, port)).await;
                match opened {
                    Ok(upstream) => {
                        self.exchange.become_tunnel();
                        let transfer =
                            shared.governor.transfer(host.clone(), crate::outcome::Class::Client.into());
                        let ends = tunnel::Ends { request, upstream, transfer };
                        tunnel::run(&shared.tasks, shared.metrics.clone(), ends, host, port);
                        account.outcome = crate::outcome::Outcome::Passed;
                        Reply {
                            head: Response::new(()),
                            content: Content::Empty,
                            outcome: crate::outcome::Outcome::Passed,
                            source: crate::outcome::Source::Upstream,
                            seeded: None,
                        }
                    }
                    Err(failure) => respond::told(super::error::failure_told(&failure), false),
                }
            }
        }
    }

    fn reply(&self, resource: &Resource, conditions: &Conditions, head_only: bool, answer: Answer) -> Reply {
        let now = self.shared.clock.now();
        Asking { cache: &self.shared.cache, resource, conditions, head_only, now }.reply(answer)
    }

    async fn pass(&self, resource: &Resource, request: Request<Incoming>) -> Reply {
        let (head, body) = request.into_parts();
        let limit = usize::try_from(self.shared.max_body_size).unwrap_or(usize::MAX);
        if body.size_hint().lower() > self.shared.max_body_size {
            // What it announces is enough to know.
            return self.refuse(&Refusal::Body, false);
        }
        let collected = tokio::time::timeout(self.shared.stall, Limited::new(body, limit).collect()).await;
        let Ok(Ok(body)) = collected else { return self.refuse(&Refusal::Body, false) };
        let mut headers = HeaderMap::new();
        for name in [header::CONTENT_TYPE, header::ACCEPT] {
            if let Some(value) = head.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let pass = PassRequest { method: head.method, headers, body: body.to_bytes() };
        let answer = self.shared.cache.pass(resource, pass, "method").await;
        self.reply(resource, &Conditions::default(), false, answer)
    }

    /// How this client reaches us: the configured address, or the one that it used.
    fn own_url(&self, request: &Request<Incoming>) -> BaseUrl {
        if let Some(url) = &self.shared.public_url {
            return url.clone();
        }
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        host.and_then(|host| format!("http://{host}").parse().ok()).unwrap_or_else(|| local_url(self.local))
    }
}

fn local_url(local: SocketAddr) -> BaseUrl {
    BaseUrl {
        origin: crate::safe_url::Origin {
            scheme: crate::safe_url::Scheme::Http,
            host: crate::safe_url::Host::from(local.ip()),
            port: local.port(),
        },
        path: crate::repo_path::RepoPath::root(),
    }
}
