//! Suites, repositories and their upstreams.

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::super::Dashboard;
use super::super::look::Look;
use super::super::table::{Table, verdict};
use crate::suite::SuiteFacts;

pub(in crate::dashboard) async fn repositories(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    let visitor = dashboard.visitor(&request);
    dashboard
        .show(visitor, |inner, look| {
            let status = (inner.parts.status)();
            let suites =
                status.suites.iter().map(|suite| (suite.repo.clone(), suite.suite.clone())).collect();
            let tables = vec![
                suite_table(look, &status.suites),
                repo_table(look, &status),
                upstream_table(look, &status),
            ];
            let title = look.t("Repositories and suites", "Repositori dan suite");
            Ok(Repositories { look, title, tables, suites }.render()?)
        })
        .await
}

#[derive(Template)]
#[template(path = "repositories.html")]
struct Repositories<'a> {
    look: &'a Look,
    title: &'a str,
    tables: Vec<Table>,
    suites: Vec<(String, String)>,
}

fn suite_table(look: &Look, suites: &[SuiteFacts]) -> Table {
    let mut table = Table::new(
        "suites",
        look.t("Suites", "Suite"),
        look.t("No desktop has asked for a suite yet.", "Belum ada komputer yang meminta suite."),
    )
    .texts([look.t("Repository", "Repositori"), look.t("Suite", "Suite")])
    .numbers([look.t("Generation", "Generasi")])
    .texts([
        look.t("Published", "Diterbitkan"),
        look.t("Last confirmed", "Terakhir diperiksa"),
        look.t("Signed by", "Ditandatangani"),
        look.t("State", "Keadaan"),
    ]);
    for suite in suites {
        let state = match (&suite.problem, suite.pending_since) {
            (Some(problem), since) => {
                let since = since.map(|since| format!(" ({})", look.ago(since))).unwrap_or_default();
                verdict(false, format!("{}{since}: {problem}", look.t("pending", "tertunda")))
            }
            (None, _) => verdict(true, look.t("current", "terkini")),
        };
        let signers: Vec<&str> =
            suite.signers.iter().map(|key| key.get(key.len().saturating_sub(16)..).unwrap_or(key)).collect();
        table.row([
            suite.repo.clone().into(),
            suite.suite.clone().into(),
            look.number(suite.generation.max(0).cast_unsigned()).into(),
            suite.date.map_or_else(|| "–".to_owned(), |date| look.time(date)).into(),
            format!("{} {}", look.duration(suite.age_seconds), look.t("ago", "lalu")).into(),
            if signers.is_empty() { look.t("nobody", "tidak ada").to_owned() } else { signers.join(", ") }
                .into(),
            state,
        ]);
    }
    table
}

fn repo_table(look: &Look, status: &crate::status::Status) -> Table {
    let mut table = Table::new("repos", look.t("Repositories", "Repositori"), "")
        .intro(look.t("Counted since the server started.", "Dihitung sejak server dijalankan."))
        .texts([
            look.t("Name", "Nama"),
            look.t("Kind", "Jenis"),
            look.t("Verified by", "Diverifikasi dengan"),
        ])
        .numbers([
            look.t("Requests", "Permintaan"),
            look.t("Sent", "Terkirim"),
            look.t("Over the WAN", "Lewat WAN"),
            look.t("Errors", "Galat"),
        ]);
    for repo in &status.repos {
        let traffic = repo.traffic;
        let trust = match repo.trust.as_str() {
            "none" => verdict(false, look.t("nothing", "tidak diverifikasi")),
            trust => trust.into(),
        };
        table.row([
            repo.name.clone().into(),
            repo.kind.clone().into(),
            trust,
            look.number(traffic.requests.all()).into(),
            look.bytes(traffic.served_from_store + traffic.served_from_upstream).into(),
            look.bytes(traffic.fetched).into(),
            look.number(traffic.requests.error).into(),
        ]);
    }
    table
}

fn upstream_table(look: &Look, status: &crate::status::Status) -> Table {
    let mut table = Table::new("upstreams", look.t("Upstreams", "Server hulu"), "").texts([
        look.t("Repository", "Repositori"),
        look.t("Address", "Alamat"),
        look.t("State", "Keadaan"),
        look.t("Last failure", "Kegagalan terakhir"),
    ]);
    for repo in &status.repos {
        for upstream in &repo.upstreams {
            let state = if upstream.healthy {
                verdict(true, look.t("answers", "menjawab"))
            } else {
                let wait = upstream.resting_seconds.map(|seconds| look.duration(seconds)).unwrap_or_default();
                verdict(
                    false,
                    format!("{} {wait}", look.t("down, asked again in", "tidak menjawab, dicoba lagi dalam")),
                )
            };
            table.row([
                repo.name.clone().into(),
                upstream.url.clone().into(),
                state,
                upstream.last_error.clone().unwrap_or_default().into(),
            ]);
        }
    }
    table
}
