//! What administrators and their tools ask, on an address of its own.
//!
//! `/metrics` for Prometheus, `/healthz` (the process lives) and `/readyz` (the store is open, the
//! listeners are up) for whoever restarts things, `/api/v1/status` for scripts and the command line,
//! all of which only reads; what changes something is in [`api`](super::api), and pages for people are in
//! [`dashboard`](crate::dashboard). Errors are problem details as RFC 9457 describes them.
//!
//! It stays answering while the data path is busy: collecting a [`Status`] may touch the disk and runs
//! off the runtime's workers, every answer has a time limit, and a handler that panics costs one 500.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::middleware::map_response;
use axum::routing::get;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::timeout::TimeoutLayer;

use crate::status::Status;
use crate::telemetry::Metrics;

/// The longest an answer takes before it becomes a 503.
const TIME_LIMIT: Duration = Duration::from_secs(10);
/// The largest request body read, in bytes. Nothing here needs one yet.
const BODY_LIMIT: usize = 64 * 1024;

/// Collects a [`Status`]; may block for as long as a look at the file system does.
pub type StatusSource = Arc<dyn Fn() -> Status + Send + Sync>;

/// What the answers are made from.
#[derive(Clone)]
pub struct AdminState {
    /// Where the facts come from.
    pub status: StatusSource,
    /// Where the numbers are.
    pub metrics: Metrics,
    /// Set while the server serves: after start-up, until a shutdown begins.
    pub ready: Arc<AtomicBool>,
}

/// The administrators' routes.
pub fn router(state: AdminState) -> Router {
    with(state, Router::new())
}

/// The administrators' routes, and those of `further` under the same limits.
pub fn with(state: AdminState, further: Router) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/api/v1/status", get(status))
        .fallback(|| async { problem(StatusCode::NOT_FOUND, "There is nothing at this address.") })
        .method_not_allowed_fallback(|| async {
            problem(
                StatusCode::METHOD_NOT_ALLOWED,
                "This address does not know the method; the header Allow names those that it knows.",
            )
        })
        .with_state(state)
        .merge(further)
        .layer(RequestBodyLimitLayer::new(BODY_LIMIT))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, TIME_LIMIT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(map_response(guard))
}

async fn healthz() -> Response<Body> {
    answer(StatusCode::OK, "text/plain; charset=utf-8", "ok\n")
}

async fn readyz(State(state): State<AdminState>) -> Response<Body> {
    if state.ready.load(Ordering::Acquire) {
        answer(StatusCode::OK, "text/plain; charset=utf-8", "ready\n")
    } else {
        problem(StatusCode::SERVICE_UNAVAILABLE, "The server is starting or shutting down.")
    }
}

async fn status(State(state): State<AdminState>) -> Response<Body> {
    match collect(&state).await.map(|status| serde_json::to_string(&status)) {
        Ok(Ok(json)) => answer(StatusCode::OK, "application/json", json + "\n"),
        Ok(Err(error)) => failed(&error),
        Err(response) => response,
    }
}

async fn metrics(State(state): State<AdminState>) -> Response<Body> {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match collect(&state).await.map(|status| state.metrics.encode(&status)) {
        Ok(Ok(text)) => answer(StatusCode::OK, OPEN_METRICS, text),
        Ok(Err(error)) => failed(&error),
        Err(response) => response,
    }
}

/// The facts, collected where blocking is allowed; the error is the answer to give instead.
async fn collect(state: &AdminState) -> Result<Status, Response<Body>> {
    let source = Arc::clone(&state.status);
    tokio::task::spawn_blocking(move || source()).await.map_err(|error| failed(&error))
}

pub(super) fn failed(error: &dyn std::error::Error) -> Response<Body> {
    tracing::error!(%error, "an administrator's page could not be made");
    problem(StatusCode::INTERNAL_SERVER_ERROR, "The answer could not be made; the log says why.")
}

#[expect(clippy::needless_pass_by_value, reason = "tower-http hands the panic over by value")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    let words = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    tracing::error!(panic = words, "a handler of the administrators' pages panicked");
    problem(StatusCode::INTERNAL_SERVER_ERROR, "The answer could not be made; the log says why.")
}

/// RFC 9457 problem details: the status's own words are the title, `detail` says what to do.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let title = status.canonical_reason().unwrap_or("Error");
    let problem = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail,
    });
    answer(status, "application/problem+json", format!("{problem}\n"))
}

pub(crate) fn answer(status: StatusCode, kind: &'static str, body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Nothing here is to be framed, sniffed, or to load anything from elsewhere; and nothing to be cached that does
/// not say so itself.
async fn guard(mut response: Response<Body>) -> Response<Body> {
    const GUARDS: [(header::HeaderName, &str); 4] = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        // With `no-referrer`, a browser says of its own forms that they came from `null`.
        (header::REFERRER_POLICY, "same-origin"),
    ];
    for (name, value) in GUARDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use http_body_util::BodyExt as _;
    use rstest::rstest;
    use tower::ServiceExt as _;

    use super::*;
    use crate::status::tests::example;

    fn state(source: impl Fn() -> Status + Send + Sync + 'static) -> AdminState {
        AdminState {
            status: Arc::new(source),
            metrics: Metrics::new(&["ubuntu"]),
            ready: Arc::new(AtomicBool::new(true)),
        }
    }

    async fn ask(state: AdminState, method: &str, path: &str) -> (Response<()>, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let (parts, body) = router(state).oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (Response::from_parts(parts, ()), String::from_utf8(body.to_vec()).unwrap())
    }

    fn kind<T>(response: &Response<T>) -> &str {
        response.headers()[header::CONTENT_TYPE].to_str().unwrap()
    }

    #[rstest]
    #[case(
        "/metrics",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "lumbung_store_objects 34567"
    )]
    #[case("/healthz", "text/plain; charset=utf-8", "ok\n")]
    #[case("/readyz", "text/plain; charset=utf-8", "ready\n")]
    #[case("/api/v1/status", "application/json", "\"objects\":34567")]
    #[tokio::test]
    async fn every_address_answers(#[case] path: &str, #[case] content: &str, #[case] words: &str) {
        let (response, body) = ask(state(example), "GET", path).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(kind(&response), content);
        assert!(body.contains(words), "{words:?} in {body}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert!(response.headers().contains_key(header::CONTENT_SECURITY_POLICY));
        let (response, body) = ask(state(example), "HEAD", path).await;
        assert_eq!((response.status(), body.as_str()), (StatusCode::OK, ""));
    }

    #[tokio::test]
    async fn the_status_can_be_read_back() {
        let (_, body) = ask(state(example), "GET", "/api/v1/status").await;
        assert_eq!(serde_json::from_str::<Status>(&body).unwrap(), example());
    }

    #[rstest]
    #[case("GET", "/nothing", StatusCode::NOT_FOUND)]
    #[case("GET", "/api/v1/nothing", StatusCode::NOT_FOUND)]
    #[case("POST", "/api/v1/status", StatusCode::METHOD_NOT_ALLOWED)]
    #[case("DELETE", "/healthz", StatusCode::METHOD_NOT_ALLOWED)]
    #[tokio::test]
    async fn errors_are_problem_details(
        #[case] method: &str,
        #[case] path: &str,
        #[case] status: StatusCode,
    ) {
        let (response, body) = ask(state(example), method, path).await;
        assert_eq!(response.status(), status);
        assert_eq!(kind(&response), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["status"], status.as_u16());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        if status == StatusCode::METHOD_NOT_ALLOWED {
            assert_eq!(response.headers()[header::ALLOW], "GET,HEAD");
        }
    }

    #[tokio::test]
    async fn readiness_follows_the_flag_while_health_stays() {
        let state = state(example);
        state.ready.store(false, Ordering::Release);
        assert_eq!(ask(state.clone(), "GET", "/readyz").await.0.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(state, "GET", "/healthz").await.0.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer_with_words() {
        let state = state(|| panic!("the source is broken"));
        let (response, body) = ask(state, "GET", "/api/v1/status").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(kind(&response), "application/problem+json");
        assert!(!body.contains("broken"), "{body}");
        assert_eq!(response.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    }
}
