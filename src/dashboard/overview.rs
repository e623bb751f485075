//! The first page: is it well, and what is it worth?

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::answers::Unmade;
use super::chart::{self, Chart};
use super::look::{Look, share};
use super::{Dashboard, Inner, query};
use crate::history::{Point, Window};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview<'a> {
    look: &'a Look,
    title: &'a str,
    attention: Vec<String>,
    figures: Vec<Figure>,
    wan: Wan,
    windows: Vec<Tab>,
    bytes: Chart,
    rates: Chart,
    buckets: Vec<[String; 5]>,
}

/// A number that stands out, and what it means.
struct Figure {
    value: String,
    name: &'static str,
}

/// The line now.
struct Wan {
    rate: String,
    limit: Option<String>,
    percent: u64,
    waiting: String,
    change: Option<String>,
}

struct Tab {
    query: &'static str,
    name: &'static str,
    here: bool,
}

pub(super) async fn page(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
    let window = match query(request.uri(), "window").as_deref() {
        Some("hour") => Window::Hour,
        Some("month") => Window::Month,
        _ => Window::Day,
    };
    let visitor = dashboard.visitor(&request);
    dashboard.show(visitor, move |inner, look| overview(inner, look, window)).await
}

fn overview(inner: &Inner, look: &Look, window: Window) -> Result<String, Unmade> {
    let status = (inner.parts.status)();
    inner.parts.history.flush()?;
    let reader = inner.parts.history.reader()?;
    let points = reader.series(window)?;
    let (served, fetched) = reader.ever()?;
    let sum = |field: &dyn Fn(&Point) -> u64| points.iter().map(field).sum::<u64>();
    let figures = vec![
        Figure {
            value: look.percent(share(sum(&|point| point.hits), sum(&|point| point.answered))),
            name: look.t("of requests without a new transfer", "permintaan tanpa transfer baru"),
        },
        Figure {
            value: look.percent(share(sum(&|point| point.from_store), sum(&|point| point.served))),
            name: look.t("of bytes were here already", "bita sudah tersedia di sini"),
        },
        Figure {
            value: look.bytes(served.saturating_sub(fetched)),
            name: look.t("WAN traffic saved so far", "lalu lintas WAN dihemat sejauh ini"),
        },
        Figure { value: look.bytes(status.store.bytes), name: look.t("kept in the store", "tersimpan") },
    ];
    let bucket = |point: &Point| {
        [
            chart::label(look, window, point.start),
            look.bytes(point.served),
            look.bytes(point.fetched),
            look.share(point.hits, point.answered),
            look.share(point.from_store, point.served),
        ]
    };
    let tab = |query, name, this| Tab { query, name, here: window == this };
    let page = Overview {
        look,
        title: look.t("Overview", "Ikhtisar"),
        attention: status.attention_in(look.language),
        figures,
        wan: wan(look, &status.wan),
        windows: vec![
            tab("hour", look.t("Hour", "Jam"), Window::Hour),
            tab("day", look.t("Day", "Hari"), Window::Day),
            tab("month", look.t("Month", "Bulan"), Window::Month),
        ],
        bytes: chart::bytes(look, window, &points),
        rates: chart::hit_rate(look, window, &points),
        buckets: points.iter().rev().map(bucket).collect(),
    };
    Ok(page.render()?)
}

fn wan(look: &Look, wan: &crate::status::Wan) -> Wan {
    let waiting = wan.waiting;
    let change = wan.change.map(|change| {
        let limit = change
            .limit
            .map_or_else(|| look.t("unlimited", "tanpa batas").to_owned(), |limit| look.rate(limit));
        format!("{} {}: {limit}", look.t("From", "Mulai"), look.time(change.at))
    });
    Wan {
        rate: look.rate(wan.rate),
        limit: wan.limit.map(|limit| look.rate(limit)),
        percent: wan.limit.map_or(0, |limit| (wan.rate.saturating_mul(100) / limit.max(1)).min(100)),
        waiting: format!(
            "{} {}, {} {}, {} {}",
            waiting.client,
            look.t("for desktops", "untuk komputer"),
            waiting.refresh,
            look.t("for suites", "untuk suite"),
            waiting.seed,
            look.t("for seeds", "untuk persediaan"),
        ),
        change,
    }
}
