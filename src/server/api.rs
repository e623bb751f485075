//! The administrators' API for suites, channels, seeds, the store and the configuration, below `/api/v1/`.
//!
//! Looking needs nothing; changing needs `Authorization: Bearer` with the token of the store. Whoever shows
//! wrong tokens is turned away for a while, so that the log is not filled and nothing can be guessed.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};

use super::admin::{answer, failed, problem};
use super::explain::{Explainer, Unexplained};
use crate::cache::{Cache, NotMoved, ScrubFacts, ScrubOrder, ScrubRunning};
use crate::carry::{Busy, Carrier, CarryFacts};
use crate::digest::Digest;
use crate::seed::{PlanError, PlanFacts, Planner, Runner, SeedState, Upgrade as SeedUpgrade, Verifier};
use crate::store::Usage;

/// How long the answer to a refresh, or a plan, waits for upstream; below the time limit of every answer.
const REFRESH_WAIT: Duration = Duration::from_secs(8);

/// Wrong tokens from one address within [`LOCKED_FOR`] before it is turned away, right or wrong.
const WRONG_TOKENS: u32 = 10;

/// How long an address with too many wrong tokens is turned away.
const LOCKED_FOR: Duration = Duration::from_mins(1);

/// Addresses remembered for their wrong tokens.
const REMEMBERED: usize = 256;

/// Has the configuration read again. Dropping the future does not stop that.
pub type Reload =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Reloaded, NotReloaded>> + Send>> + Send + Sync>;

/// What came of reading the configuration again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The file.
    pub config: String,
    /// The sections that have changed, and hold now.
    pub changed: Vec<String>,
    /// The keys that have changed, and hold after a restart only.
    pub needs_restart: Vec<String>,
}

/// Why nothing has changed, in words: one mistake a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotReloaded(pub String);

/// What the API works on.
#[derive(Clone)]
pub struct ApiState {
    cache: Cache,
    explainer: Explainer,
    planner: Planner,
    carrier: Carrier,
    runner: Runner,
    verifier: Verifier,
    reload: Reload,
    guard: Arc<TokenGuard>,
}

impl ApiState {
    /// For a cache, with the token that changes need.
    #[must_use]
    pub fn new(
        cache: Cache,
        explainer: Explainer,
        (planner, runner): (Planner, Runner),
        reload: Reload,
        token: &str,
    ) -> Self {
        let verifier = Verifier::new(cache.clone(), planner.clone());
        let carrier = Carrier::new(cache.clone(), planner.clone());
        Self {
            cache,
            explainer,
            planner,
            carrier,
            runner,
            verifier,
            reload,
            guard: Arc::new(TokenGuard::new(token)),
        }
    }

    /// Who knows the token; pages that ask for it count wrong ones with the API.
    #[must_use]
    pub fn guard(&self) -> Arc<TokenGuard> {
        Arc::clone(&self.guard)
    }
}

/// The routes.
pub fn router(state: ApiState) -> Router {
    // Only for the method that changes something: looking at the address is no attempt.
    let guard = || from_fn_with_state(Arc::clone(&state.guard), authorized);
    Router::new()
        .route("/api/v1/suites", get(suites))
        .route("/api/v1/suites/{repo}/{*suite}", get(suite))
        .route("/api/v1/channels", get(channels))
        .route("/api/v1/events", get(events))
        .route("/api/v1/why", get(why))
        .route("/api/v1/store", get(store))
        .route("/api/v1/store/verify", post(verify).route_layer(guard()))
        .route("/api/v1/carry", get(carry))
        .route("/api/v1/export", post(export).route_layer(guard()))
        .route("/api/v1/import", post(import).route_layer(guard()))
        .route("/api/v1/seeds", get(seeds))
        .route("/api/v1/seeds/{name}", get(seed))
        .route("/api/v1/seeds/{name}/run", post(run_seed).route_layer(guard()))
        .route("/api/v1/seeds/{name}/stop", post(stop_seed).route_layer(guard()))
        .route("/api/v1/seeds/{name}/verify", get(look_at_verification))
        .route("/api/v1/seeds/{name}/verify", post(verify_seed).route_layer(guard()))
        .route("/api/v1/seeds/{name}/plan", get(look_at_plan))
        .route("/api/v1/seeds/{name}/plan", post(plan).route_layer(guard()))
        .route("/api/v1/rehearse", get(look_at_rehearsal))
        .route("/api/v1/rehearse", post(rehearse).route_layer(guard()))
        .route("/api/v1/suites/refresh", post(refresh).route_layer(guard()))
        .route("/api/v1/channels/{name}/promote", post(promote).route_layer(guard()))
        .route("/api/v1/channels/{name}/rollback", post(roll_back).route_layer(guard()))
        .route("/api/v1/reload", post(reload).route_layer(guard()))
        .with_state(state)
}

async fn reload(State(state): State<ApiState>) -> Response<Body> {
    match (state.reload)().await {
        Ok(reloaded) => json(&reloaded),
        Err(why) => problem(StatusCode::UNPROCESSABLE_ENTITY, &format!("Nothing has changed:\n{why}")),
    }
}

async fn suites(State(state): State<ApiState>) -> Response<Body> {
    json(&state.cache.suites())
}

async fn suite(State(state): State<ApiState>, Path((repo, suite)): Path<(String, String)>) -> Response<Body> {
    match state.cache.suite(&repo, &suite) {
        Ok(detail) => json(&detail),
        Err(unknown) => problem(StatusCode::NOT_FOUND, &sentence(&unknown)),
    }
}

async fn channels(State(state): State<ApiState>) -> Response<Body> {
    match tokio::task::spawn_blocking(move || state.cache.channels()).await {
        Ok(Ok(channels)) => json(&channels),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

#[derive(Deserialize)]
struct Since {
    #[serde(default)]
    since: u64,
}

async fn events(State(state): State<ApiState>, Query(Since { since }): Query<Since>) -> Response<Body> {
    json(&state.cache.events(since))
}

/// How the store stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreFacts {
    /// How full it is.
    pub usage: Usage,
    /// The hashing of the whole store that runs, or the last one since the start.
    pub verify: Option<ScrubFacts>,
}

async fn store(State(state): State<ApiState>) -> Response<Body> {
    let look = move || StoreFacts { usage: state.cache.usage(), verify: state.cache.scrub() };
    match tokio::task::spawn_blocking(look).await {
        Ok(facts) => json(&facts),
        Err(error) => failed(&error),
    }
}

async fn verify(State(state): State<ApiState>, body: Bytes) -> Response<Body> {
    // An empty body asks for the ordinary thing.
    let order = if body.is_empty() { Ok(ScrubOrder::default()) } else { serde_json::from_slice(&body) };
    let order = match order {
        Ok(order) => order,
        Err(error) => {
            let detail =
                format!("The body must be JSON such as {{\"repair\": false, \"rate\": 50000000}}: {error}.");
            return problem(StatusCode::BAD_REQUEST, &detail);
        }
    };
    match tokio::task::spawn_blocking(move || state.cache.start_scrub(order)).await {
        Ok(Ok(started)) => json(&started),
        Ok(Err(running @ ScrubRunning)) => problem(StatusCode::CONFLICT, &sentence(&running)),
        Err(error) => failed(&error),
    }
}

#[derive(Deserialize)]
struct Why {
    url: String,
    /// As if this client had asked.
    client: Option<IpAddr>,
}

async fn why(State(state): State<ApiState>, Query(Why { url, client }): Query<Why>) -> Response<Body> {
    state.cache.settled().await;
    match tokio::task::spawn_blocking(move || state.explainer.explain(&url, client)).await {
        Ok(Ok(explanation)) => json(&explanation),
        Ok(Err(error @ Unexplained::Store(_))) => failed(&error),
        Ok(Err(error @ Unexplained::NotAUrl(_))) => problem(StatusCode::BAD_REQUEST, &sentence(&error)),
        Ok(Err(error)) => problem(StatusCode::NOT_FOUND, &sentence(&error)),
        Err(error) => failed(&error),
    }
}

async fn carry(State(state): State<ApiState>) -> Response<Body> {
    json(&state.carrier.facts())
}

async fn export(State(state): State<ApiState>, body: Bytes) -> Response<Body> {
    carried(&body, "{\"seed\": \"noble-desktop\", \"to\": \"/media/disk\"}", |order| {
        state.carrier.start_export(order)
    })
}

async fn import(State(state): State<ApiState>, body: Bytes) -> Response<Body> {
    carried(&body, "{\"paths\": [\"/media/disk\"], \"dry_run\": true}", |order| {
        state.carrier.start_import(order)
    })
}

fn carried<T: serde::de::DeserializeOwned>(
    body: &[u8],
    example: &str,
    start: impl FnOnce(T) -> Result<CarryFacts, Busy>,
) -> Response<Body> {
    match serde_json::from_slice(body) {
        Err(error) => {
            problem(StatusCode::BAD_REQUEST, &format!("The body must be JSON such as {example}: {error}."))
        }
        Ok(order) => match start(order) {
            Ok(started) => json(&started),
            Err(busy @ Busy) => problem(StatusCode::CONFLICT, &sentence(&busy)),
        },
    }
}

async fn seeds(State(state): State<ApiState>) -> Response<Body> {
    state.planner.learn().await;
    json(&state.runner.seeds())
}

async fn seed(State(state): State<ApiState>, Path(name): Path<String>) -> Response<Body> {
    state.planner.learn().await;
    seed_answer(state.runner.seed(&name))
}

#[derive(Deserialize)]
struct RunHow {
    /// Outside the seed's hours, too.
    #[serde(default)]
    now: bool,
}

async fn run_seed(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(RunHow { now }): Query<RunHow>,
) -> Response<Body> {
    state.planner.learn().await;
    seed_answer(state.runner.run(&name, now).await)
}

async fn stop_seed(State(state): State<ApiState>, Path(name): Path<String>) -> Response<Body> {
    seed_answer(state.runner.stop(&name).await)
}

#[derive(Deserialize)]
struct Between {
    from: Option<String>,
    to: Option<String>,
}

async fn verify_seed(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(Between { from, to }): Query<Between>,
) -> Response<Body> {
    let upgrade = match (from, to) {
        (Some(from), Some(to)) => Some(SeedUpgrade { from, to }),
        (None, None) => None,
        _ => return problem(StatusCode::BAD_REQUEST, "An upgrade has both: from=SUITE and to=SUITE."),
    };
    match state.verifier.start(&name, upgrade) {
        Ok(Ok(begun)) => json(&begun),
        Ok(Err(running)) => problem(StatusCode::CONFLICT, &sentence(&running)),
        Err(error) => unplanned(&error),
    }
}

/// The newest verification of a seed.
async fn look_at_verification(State(state): State<ApiState>, Path(name): Path<String>) -> Response<Body> {
    let newest = state.verifier.newest();
    if newest.number == 0 || newest.seed != name {
        return problem(StatusCode::NOT_FOUND, "The seed was not verified last: have it done with POST.");
    }
    json(&newest)
}

fn seed_answer(state: Result<SeedState, PlanError>) -> Response<Body> {
    match state {
        Ok(state) => json(&state),
        Err(error) => unplanned(&error),
    }
}

fn unplanned(error: &PlanError) -> Response<Body> {
    let status = match error {
        PlanError::Unknown(..) => StatusCode::NOT_FOUND,
        PlanError::NotHere(_) | PlanError::Selections { .. } => StatusCode::CONFLICT,
        PlanError::Failed { .. } | PlanError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        PlanError::Assembly(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    problem(status, &sentence(error))
}

/// A plan from what is here.
async fn look_at_plan(State(state): State<ApiState>, Path(name): Path<String>) -> Response<Body> {
    planned(&state, &name, false).await
}

/// A plan, for which what is not here is fetched.
async fn plan(State(state): State<ApiState>, Path(name): Path<String>) -> Response<Body> {
    planned(&state, &name, true).await
}

async fn planned(state: &ApiState, name: &str, fetch: bool) -> Response<Body> {
    let plan = match state.planner.plan(name, fetch, REFRESH_WAIT).await {
        Ok(Some(plan)) => plan,
        // Asking again joins what is under way.
        Ok(None) => return answer(StatusCode::ACCEPTED, "application/json", "{\"state\":\"running\"}\n"),
        Err(error) => return unplanned(&error),
    };
    // A plan of a whole release is tens of megabytes of JSON.
    match tokio::task::spawn_blocking(move || json(&PlanFacts::from(&*plan))).await {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}

#[derive(Deserialize)]
struct Upgrade {
    from: String,
    to: String,
}

/// A rehearsal with what is here.
async fn look_at_rehearsal(state: State<ApiState>, upgrade: Query<Upgrade>) -> Response<Body> {
    rehearsed(&state, &upgrade, false).await
}

/// A rehearsal for which the indices that are not here are fetched.
async fn rehearse(state: State<ApiState>, upgrade: Query<Upgrade>) -> Response<Body> {
    rehearsed(&state, &upgrade, true).await
}

async fn rehearsed(state: &ApiState, Upgrade { from, to }: &Upgrade, fetch: bool) -> Response<Body> {
    let sane = |name: &str| !name.is_empty() && name.len() <= 100 && !name.contains(['/', '%', ' ']);
    if !sane(from) || !sane(to) {
        let detail = "The releases are given as from=noble&to=resolute: names of suites, without a pocket.";
        return problem(StatusCode::BAD_REQUEST, detail);
    }
    match state.planner.rehearse(from, to, fetch, REFRESH_WAIT).await {
        Ok(Some(found)) => json(&*found),
        // Asking again joins what is under way.
        Ok(None) => answer(StatusCode::ACCEPTED, "application/json", "{\"state\":\"running\"}\n"),
        Err(error) => unplanned(&error),
    }
}

#[derive(Deserialize)]
struct Which {
    repo: Option<String>,
    suite: Option<String>,
}

async fn refresh(
    State(state): State<ApiState>,
    Query(Which { repo, suite }): Query<Which>,
) -> Response<Body> {
    if suite.is_some() && repo.is_none() {
        return problem(StatusCode::BAD_REQUEST, "A suite is looked for in a repository: add repo=NAME.");
    }
    match state.cache.refresh_suites(repo.as_deref(), suite.as_deref(), REFRESH_WAIT).await {
        Ok(refreshed) => json(&refreshed),
        Err(unknown) => problem(StatusCode::NOT_FOUND, &sentence(&unknown)),
    }
}

#[derive(Deserialize)]
struct To {
    to: Option<i64>,
}

async fn promote(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Query(To { to }): Query<To>,
) -> Response<Body> {
    moved(state.cache.promote(&name, to).await)
}

async fn roll_back(State(state): State<ApiState>, Path(name): Path<String>) -> Response<Body> {
    moved(state.cache.roll_back(&name).await)
}

fn moved(result: Result<crate::suite::Moved, NotMoved>) -> Response<Body> {
    match result {
        Ok(moved) => json(&moved),
        Err(error @ (NotMoved::Unknown { .. } | NotMoved::NoGeneration(_))) => {
            problem(StatusCode::NOT_FOUND, &sentence(&error))
        }
        Err(error @ (NotMoved::NoPast(_) | NotMoved::NotReady(..))) => {
            problem(StatusCode::CONFLICT, &sentence(&error))
        }
        Err(error @ NotMoved::Store(_)) => failed(&error),
    }
}

fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_string(value) {
        Ok(json) => answer(StatusCode::OK, "application/json", json + "\n"),
        Err(error) => failed(&error),
    }
}

/// An error as a sentence.
fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + characters.as_str() + "."
    })
}

/// Knows the token, and who has shown wrong ones.
pub struct TokenGuard {
    /// Hashes are compared instead of tokens: how long that takes tells nothing about the token.
    token: Digest,
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
}

/// Wrong tokens of one address.
#[derive(Clone, Copy)]
struct Wrong {
    times: u32,
    since: Instant,
}

/// What a request's token is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// It is the one.
    Right,
    /// It is not, or there is none.
    Wrong,
    /// Too many wrong ones came from this address lately; this one was not looked at.
    Locked,
}

impl TokenGuard {
    fn new(token: &str) -> Self {
        Self { token: Digest::of(token.as_bytes()), wrong: Mutex::default() }
    }

    fn judge(&self, headers: &HeaderMap, client: IpAddr, now: Instant) -> Judged {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let shown = shown.and_then(|shown| {
            let (scheme, token) = shown.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        self.judge_token(shown, client, now)
    }

    /// What a token is worth that `client` shows.
    pub fn judge_token(&self, shown: Option<&str>, client: IpAddr, now: Instant) -> Judged {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, wrong| now.duration_since(wrong.since) < LOCKED_FOR);
        if wrong.get(&client).is_some_and(|wrong| wrong.times >= WRONG_TOKENS) {
            return Judged::Locked;
        }
        if shown.is_some_and(|shown| Digest::of(shown.as_bytes()) == self.token) {
            return Judged::Right;
        }
        if wrong.len() < REMEMBERED || wrong.contains_key(&client) {
            wrong.entry(client).or_insert(Wrong { times: 0, since: now }).times += 1;
        }
        Judged::Wrong
    }
}

async fn authorized(State(guard): State<Arc<TokenGuard>>, request: Request, next: Next) -> Response<Body> {
    let client = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0.ip().to_canonical());
    match guard.judge(request.headers(), client, Instant::now()) {
        Judged::Right => next.run(request).await.into_response(),
        Judged::Wrong => {
            tracing::warn!(%client, "a change was asked for without the right token");
            let mut response = problem(
                StatusCode::UNAUTHORIZED,
                "Changes need the header Authorization: Bearer with the token in <store>/admin-token.",
            );
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        Judged::Locked => {
            let mut response = problem(
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong tokens came from your address. Try again in a minute.",
            );
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("60"));
            response
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> TokenGuard {
        TokenGuard::new("secret")
    }

    fn shows(authorization: &str) -> HeaderMap {
        let value = HeaderValue::from_str(authorization).unwrap();
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    }

    #[test]
    fn only_the_token_is_right() {
        let (guard, client, now) = (guard(), IpAddr::V4(Ipv4Addr::LOCALHOST), Instant::now());
        assert_eq!(guard.judge(&shows("Bearer secret"), client, now), Judged::Right);
        assert_eq!(guard.judge(&shows("bearer secret"), client, now), Judged::Right);
        for wrong in ["Bearer secre", "Bearer secret2", "Bearer", "Basic secret", "secret"] {
            assert_eq!(guard.judge(&shows(wrong), client, now), Judged::Wrong, "{wrong}");
        }
        assert_eq!(guard.judge(&HeaderMap::new(), client, now), Judged::Wrong);
    }

    #[test]
    fn too_many_wrong_tokens_lock_one_address_for_a_while() {
        let (guard, client, now) = (guard(), IpAddr::V4(Ipv4Addr::LOCALHOST), Instant::now());
        for _ in 0..WRONG_TOKENS {
            assert_eq!(guard.judge(&shows("Bearer x"), client, now), Judged::Wrong);
        }
        assert_eq!(guard.judge(&shows("Bearer secret"), client, now), Judged::Locked);
        let other = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
        assert_eq!(guard.judge(&shows("Bearer secret"), other, now), Judged::Right);
        assert_eq!(guard.judge(&shows("Bearer secret"), client, now + LOCKED_FOR), Judged::Right);
    }
}
