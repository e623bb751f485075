//! The administrators' pages: what needs attention, what was saved, and every list, in two languages.
//!
//! Pages are made here and need nothing from elsewhere; a small script of our own asks for the same page every
//! few seconds and puts in what has changed. Without it a reload does the same. Every chart has its table.
//!
//! ```text
//! request → language, session → facts (off the runtime's workers) → tables and charts → template
//! ```
//!
//! **What may be done.** Looking needs nothing, as on the rest of the address. What changes something is a POST
//! of a form, from a [session] that was begun with the token, with a secret of that session in the form: a
//! page of somebody else's can neither read it nor send the cookie (`SameSite=Strict`).
//!
//! **Trust.** Texts that come from archives, upstreams and desktops reach a page through the template
//! alone, which escapes them; nothing is written into a style or a script.

mod actions;
mod answers;
mod chart;
mod difference;
mod look;
mod overview;
mod pages;
mod session;
mod table;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, Response, Uri, header};
use axum::routing::{get, post};

use crate::cache::Cache;
use crate::clock::Clock;
use crate::history::History;
use crate::language::Language;
use crate::server::Office;
use crate::server::admin::StatusSource;
use crate::server::api::TokenGuard;
use difference::Differences;
use look::Look;
use session::{Session, Sessions};

/// What the pages are made from.
pub struct Parts {
    /// The server at this moment.
    pub status: StatusSource,
    /// Suites, channels, events.
    pub cache: Cache,
    /// What was asked for.
    pub history: History,
    /// The offices, as they are configured at the time.
    pub offices: Arc<ArcSwap<Vec<Office>>>,
    /// What time it is.
    pub clock: Clock,
    /// Who knows the token.
    pub guard: Arc<TokenGuard>,
}

/// The pages; clones are the same ones.
#[derive(Clone)]
pub struct Dashboard(Arc<Inner>);

struct Inner {
    parts: Parts,
    sessions: Sessions,
    differences: Differences,
}

impl Dashboard {
    /// The pages of these parts.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner { parts, sessions: Sessions::default(), differences: Differences::default() }))
    }

    /// Their routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(overview::page))
            .route("/repositories", get(pages::repositories))
            .route("/flights", get(pages::flights))
            .route("/seeds", get(pages::seeds))
            .route("/channels", get(pages::channels))
            .route("/offices", get(pages::offices))
            .route("/desktops", get(pages::desktops))
            .route("/packages", get(pages::packages))
            .route("/store", get(pages::store))
            .route("/events", get(pages::events))
            .route("/login", get(actions::login_page).post(actions::login))
            .route("/logout", post(actions::logout))
            .route("/channels/{name}/promote", post(actions::promote))
            .route("/channels/{name}/rollback", post(actions::roll_back))
            .route("/suites/refresh", post(actions::refresh))
            .route("/assets/style.css", get(answers::style))
            .route("/assets/live.js", get(answers::script))
            .with_state(self)
    }

    /// What a request says about who looks.
    fn visitor(&self, request: &Request) -> Visitor {
        let headers = request.headers();
        let asked = query(request.uri(), "lang").and_then(|tag| Language::of_tag(&tag));
        let chosen = asked.or_else(|| Language::of_tag(&cookie(headers, "lumbung_lang")?));
        let accepted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        let token = cookie(headers, session::COOKIE);
        let live = headers.contains_key("x-live");
        let session = token.and_then(|token| self.0.sessions.find(&token, self.0.parts.clock.unix(), !live));
        Visitor {
            language: chosen.unwrap_or_else(|| Language::accepted(accepted.unwrap_or_default())),
            remember: asked.is_some(),
            session,
            path: request.uri().path().to_owned(),
            client: request
                .extensions()
                .get::<ConnectInfo<SocketAddr>>()
                .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0.ip().to_canonical()),
        }
    }

    /// Makes a page where blocking is allowed.
    async fn show(
        self,
        visitor: Visitor,
        make: impl FnOnce(&Inner, &Look) -> Result<String, answers::Unmade> + Send + 'static,
    ) -> Response<Body> {
        let work = move || {
            let look = Look::new(&visitor, self.0.parts.history.zone(), self.0.parts.clock.unix());
            (make(&self.0, &look), visitor)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok((Ok(html), visitor)) => answers::page(html, &visitor),
            Ok((Err(error), _)) => answers::failed(&error),
            Err(error) => answers::failed(&error),
        }
    }
}

/// Who looks, at what.
struct Visitor {
    language: Language,
    /// The language was chosen just now.
    remember: bool,
    session: Option<Session>,
    path: String,
    client: IpAddr,
}

/// The value of a cookie (RFC 6265, 5.4).
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
}

/// The value of a field of a query.
fn query(uri: &Uri, name: &str) -> Option<String> {
    let pairs = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}
