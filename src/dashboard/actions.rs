//! What changes something: a login with the token, then forms that carry the session's secret.

use std::time::{Duration, Instant};

use askama::Template;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, Response, StatusCode};

use super::answers::{failed, page, see, session_cookie};
use super::look::Look;
use super::session::{COOKIE, Notice};
use super::{Dashboard, Visitor, cookie};
use crate::digest::Digest;
use crate::language::Language;
use crate::server::admin::answer;
use crate::server::api::Judged;

/// How long the answer to a refresh waits for upstream; what takes longer goes on.
const REFRESH_WAIT: Duration = Duration::from_secs(8);

/// Longest form, in bytes.
const FORM: usize = 4096;

#[derive(Template)]
#[template(path = "login.html")]
struct Login<'a> {
    look: &'a Look,
    title: &'a str,
    problem: Option<&'a str>,
}

pub(super) async fn login_page(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
    let visitor = dashboard.visitor(&request);
    login_form(&dashboard, &visitor, StatusCode::OK, None)
}

fn login_form(
    dashboard: &Dashboard,
    visitor: &Visitor,
    status: StatusCode,
    problem: Option<&str>,
) -> Response<Body> {
    let look = Look::new(visitor, dashboard.0.parts.history.zone(), dashboard.0.parts.clock.unix());
    let form = Login { look: &look, title: look.t("Log in", "Masuk"), problem };
    match form.render() {
        Ok(html) => {
            let mut response = page(html, visitor);
            *response.status_mut() = status;
            response
        }
        Err(error) => failed(&error),
    }
}

pub(super) async fn login(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
    let visitor = dashboard.visitor(&request);
    let Some(form) = Form::of(request).await else { return too_long() };
    if !form.same_origin {
        return refused(visitor.language);
    }
    let shown = form.field("token").map(|token| token.trim().to_owned());
    let judged = dashboard.0.parts.guard.judge_token(shown.as_deref(), visitor.client, Instant::now());
    let words = |english, indonesian| Some(visitor.language.say(english, indonesian));
    match judged {
        Judged::Right => match dashboard.0.sessions.begin(dashboard.0.parts.clock.unix()) {
            Ok(token) => {
                let mut response = see("/channels");
                session_cookie(&mut response, &token);
                response
            }
            Err(error) => failed(&error),
        },
        Judged::Wrong => {
            tracing::warn!(client = %visitor.client, "somebody tried to log in with a wrong token");
            let problem = words(
                "That is not the token. It stands in the file admin-token in the store's folder.",
                "Token salah. Token ada di berkas admin-token di folder penyimpanan.",
            );
            login_form(&dashboard, &visitor, StatusCode::UNAUTHORIZED, problem)
        }
        Judged::Locked => {
            let problem = words(
                "Too many wrong tokens came from your address. Try again in a minute.",
                "Terlalu banyak token salah dari alamat Anda. Coba lagi satu menit lagi.",
            );
            login_form(&dashboard, &visitor, StatusCode::TOO_MANY_REQUESTS, problem)
        }
    }
}

/// The page that follows an order, or why it is none.
type Answer = Result<Response<Body>, Response<Body>>;

pub(super) async fn logout(State(dashboard): State<Dashboard>, request: Request) -> Answer {
    let order = Order::of(&dashboard, request).await?;
    dashboard.0.sessions.end(&order.session, dashboard.0.parts.clock.unix());
    let mut response = see("/");
    session_cookie(&mut response, "");
    Ok(response)
}

pub(super) async fn promote(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let order = Order::of(&dashboard, request).await?;
    let moved = dashboard.0.parts.cache.promote(&name, None).await.map_err(|error| error.to_string());
    Ok(order.done(&dashboard, "/channels", moved.map(|moved| order.moved(&moved))))
}

pub(super) async fn roll_back(
    State(dashboard): State<Dashboard>,
    Path(name): Path<String>,
    request: Request,
) -> Answer {
    let order = Order::of(&dashboard, request).await?;
    let moved = dashboard.0.parts.cache.roll_back(&name).await.map_err(|error| error.to_string());
    Ok(order.done(&dashboard, "/channels", moved.map(|moved| order.moved(&moved))))
}

pub(super) async fn refresh(State(dashboard): State<Dashboard>, request: Request) -> Answer {
    let order = Order::of(&dashboard, request).await?;
    let (repo, suite) = (order.form.field("repo"), order.form.field("suite"));
    let asked = dashboard.0.parts.cache.refresh_suites(repo.as_deref(), suite.as_deref(), REFRESH_WAIT).await;
    let outcome = match asked {
        Ok(facts) => {
            let problems: Vec<String> = facts
                .iter()
                .filter_map(|fact| Some(format!("{} {}: {}", fact.repo, fact.suite, fact.problem.as_ref()?)))
                .collect();
            if problems.is_empty() {
                Ok(order.language.say("Upstream was asked.", "Server hulu sudah ditanya.").to_owned())
            } else {
                Err(problems.join("; "))
            }
        }
        Err(error) => Err(error.to_string()),
    };
    Ok(order.done(&dashboard, "/repositories", outcome))
}

/// A form that was posted.
struct Form {
    fields: Vec<(String, String)>,
    same_origin: bool,
}

impl Form {
    /// Reads the body; none when it is too long.
    async fn of(request: Request) -> Option<Self> {
        let same_origin = is_same_origin(request.headers());
        let body: Bytes = axum::body::to_bytes(request.into_body(), FORM).await.ok()?;
        let pairs = url::form_urlencoded::parse(&body);
        let fields = pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Some(Self { fields, same_origin })
    }

    fn field(&self, name: &str) -> Option<String> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }
}

/// Whether a page of ours sent this, as far as the browser says. Old browsers say nothing: then the strict
/// cookie and the secret in the form must do.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let site = text("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let origin = text("origin").is_none_or(|origin| {
        let host = origin.split_once("://").map(|(_, host)| host);
        host.is_some() && host == text("host")
    });
    site && origin
}

/// An order of somebody who may give it.
struct Order {
    session: String,
    language: Language,
    form: Form,
}

impl Order {
    async fn of(dashboard: &Dashboard, request: Request) -> Result<Self, Response<Body>> {
        let visitor = dashboard.visitor(&request);
        let token = cookie(request.headers(), COOKIE);
        let Some(form) = Form::of(request).await else { return Err(too_long()) };
        let (Some(session), Some(token)) = (&visitor.session, token) else { return Err(see("/login")) };
        let secret = form.field("secret").unwrap_or_default();
        // Hashes: how long comparing takes tells nothing.
        let known = Digest::of(secret.as_bytes()) == Digest::of(session.secret.as_bytes());
        if !known || !form.same_origin {
            return Err(refused(visitor.language));
        }
        Ok(Self { session: token, language: visitor.language, form })
    }

    /// Says on the next page what came of it.
    fn done(&self, dashboard: &Dashboard, path: &str, outcome: Result<String, String>) -> Response<Body> {
        let (good, text) = match outcome {
            Ok(text) => (true, text),
            Err(text) => (false, text),
        };
        dashboard.0.sessions.tell(&self.session, dashboard.0.parts.clock.unix(), Notice { good, text });
        see(path)
    }

    fn moved(&self, moved: &crate::suite::Moved) -> String {
        let say = |english, indonesian| self.language.say(english, indonesian);
        match moved.suites.len() {
            0 => format!(
                "{}: {}",
                moved.channel,
                say("nothing had to change.", "tidak ada yang perlu diubah.")
            ),
            count => format!("{}: {}: {count}.", moved.channel, say("suites moved", "suite dipindahkan")),
        }
    }
}

fn too_long() -> Response<Body> {
    answer(StatusCode::PAYLOAD_TOO_LARGE, "text/plain; charset=utf-8", "The form is too long.\n")
}

fn refused(language: Language) -> Response<Body> {
    let text = language.say(
        "This form did not come from a page of this server, or is old. Go back, reload, and try again.\n",
        "Formulir ini bukan dari halaman server ini, atau sudah lama. Kembali, muat ulang, lalu coba lagi.\n",
    );
    answer(StatusCode::FORBIDDEN, "text/plain; charset=utf-8", text.to_owned())
}
