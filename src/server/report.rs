//! `GET /api/v1/report`: sums over a time, for scripts, spreadsheets and the command line.

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use serde::Deserialize;

use super::admin::{answer, failed, problem};
use crate::history::{self, By, Error, History};

/// What reports are made from.
#[derive(Clone)]
pub struct ReportState {
    /// Where the sums are.
    pub history: History,
}

/// The route.
pub fn router(state: ReportState) -> Router {
    Router::new().route("/api/v1/report", get(report)).with_state(state)
}

#[derive(Deserialize)]
struct Asked {
    by: Option<String>,
    since: Option<String>,
    format: Option<String>,
}

async fn report(State(state): State<ReportState>, Query(asked): Query<Asked>) -> Response<Body> {
    let by: By = match asked.by.as_deref().unwrap_or(By::default().as_str()).parse() {
        Ok(by) => by,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &format!("{error}; by is something else.")),
    };
    let since = match history::since(asked.since.as_deref().unwrap_or("7d")) {
        Ok(since) => since,
        Err(error) => {
            let detail = format!("The parameter since is no time: {error}, or 7d, 36h, 2w.");
            return problem(StatusCode::BAD_REQUEST, &detail);
        }
    };
    let csv = match asked.format.as_deref() {
        None | Some("json") => false,
        Some("csv") => true,
        Some(_) => return problem(StatusCode::BAD_REQUEST, "The parameter format is json or csv."),
    };
    let made = move || {
        state.history.flush()?;
        let rows = state.history.reader()?.report(history::Query { by, since })?;
        Ok::<_, Error>(if csv {
            history::csv(by, &rows, &state.history.zone()).map_err(|error| error.to_string())
        } else {
            serde_json::to_string(&rows).map(|json| json + "\n").map_err(|error| error.to_string())
        })
    };
    match tokio::task::spawn_blocking(made).await {
        Ok(Ok(Ok(text))) if csv => {
            let mut response = answer(StatusCode::OK, "text/csv; charset=utf-8; header=present", text);
            let name = format!("attachment; filename=\"lumbung-{by}.csv\"");
            if let Ok(name) = HeaderValue::try_from(name) {
                response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
            }
            response
        }
        Ok(Ok(Ok(text))) => answer(StatusCode::OK, "application/json", text),
        Ok(Ok(Err(error))) => failed(&std::io::Error::other(error)),
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}
