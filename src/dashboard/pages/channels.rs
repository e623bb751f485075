//! What each channel shows, and what `live` has beyond it.

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::super::look::Look;
use super::super::table::{Table, verdict};
use super::super::{Dashboard, Inner};
use crate::suite::{ChannelFacts, SuiteFacts};

#[derive(Template)]
#[template(path = "channels.html")]
struct ChannelPage<'a> {
    look: &'a Look,
    title: &'a str,
    channels: Vec<Shown>,
}

/// A channel with what may be done about it.
struct Shown {
    name: String,
    table: Table,
}

pub(in crate::dashboard) async fn channels(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    let visitor = dashboard.visitor(&request);
    dashboard
        .show(visitor, |inner, look| {
            let (facts, suites) = (inner.parts.cache.channels()?, inner.parts.cache.suites());
            let shown = |facts: &ChannelFacts| Shown {
                name: facts.name.clone(),
                table: channel_table(inner, look, facts, &suites),
            };
            let channels = facts.iter().map(shown).collect();
            Ok(ChannelPage { look, title: look.t("Channels", "Kanal"), channels }.render()?)
        })
        .await
}

fn channel_table(inner: &Inner, look: &Look, facts: &ChannelFacts, suites: &[SuiteFacts]) -> Table {
    let how = facts.after_seconds.map_or_else(
        || look.t("Moved by hand.", "Dipindahkan manual.").to_owned(),
        |after| {
            format!(
                "{} {}.",
                look.t(
                    "Shows by itself what live has had for",
                    "Otomatis menampilkan yang sudah di live selama"
                ),
                look.duration(after)
            )
        },
    );
    let empty = look.t("No suite is known yet.", "Belum ada suite yang dikenal.");
    let mut table = Table::new("", "", empty)
        .intro(how)
        .texts([look.t("Repository", "Repositori"), look.t("Suite", "Suite")]);
    table = table
        .numbers([look.t("Shows generation", "Menampilkan generasi"), look.t("Live has", "Live memiliki")]);
    table = table.texts([look.t("Live has beyond it", "Selisih dengan live"), look.t("Since", "Sejak")]);
    for shown in &facts.suites {
        let same = |suite: &&SuiteFacts| suite.repo == shown.repo && suite.suite == shown.suite;
        let live = suites.iter().find(same).map_or(shown.generation, |suite| suite.generation);
        let difference = if shown.current {
            verdict(true, look.t("nothing: the same as live", "tidak ada: sama dengan live"))
        } else {
            match inner.differences.between(&inner.parts.cache, &shown.repo, shown.generation, live) {
                Some(beyond) => {
                    let files = look.t("files", "berkas");
                    format!("{files}: {}, {}", look.number(beyond.files), look.bytes(beyond.bytes)).into()
                }
                None => look
                    .t("unknown: no desktop uses it yet", "tidak diketahui: belum dipakai komputer")
                    .into(),
            }
        };
        let since = shown
            .since
            .map_or_else(|| look.t("follows live", "mengikuti live").to_owned(), |since| look.time(since));
        table.row([
            shown.repo.clone().into(),
            shown.suite.clone().into(),
            shown.generation.to_string().into(),
            live.to_string().into(),
            difference,
            since.into(),
        ]);
    }
    table
}
