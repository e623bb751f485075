//! Who asked, from where, and for what.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::super::Dashboard;
use super::super::look::Look;
use super::super::table::{Cell, Table, verdict};
use super::{history, lists};
use crate::history::{By, Row};

/// Desktops shown, at most; a report has them all.
const SHOWN: usize = 1000;

/// A desktop that has not asked for news this long needs somebody's eye, in seconds.
const OLD: i64 = 7 * 86_400;

pub(in crate::dashboard) async fn offices(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    lists(dashboard, request, ("Offices", "Kantor"), |inner, look| {
        let rows = history(inner, By::Office)?;
        let empty = look
            .t("Nothing was asked for in the last 30 days.", "Tidak ada permintaan dalam 30 hari terakhir.");
        let mut table = Table::new("offices", look.t("Last 30 days", "30 hari terakhir"), empty)
            .texts([look.t("Office", "Kantor"), look.t("Sees channel", "Melihat kanal")])
            .numbers(count_columns(look));
        let offices = inner.parts.offices.load();
        let mut quiet: Vec<&str> = offices.iter().map(|office| &*office.name).collect();
        let channel = |name: &str| {
            let office = offices.iter().find(|office| *office.name == *name);
            office.map_or_else(|| "live".to_owned(), |office| office.channel.to_string())
        };
        for row in &rows {
            let name = row.subject(By::Office);
            quiet.retain(|office| *office != name);
            table.row([look.named(name).into(), channel(name).into()].into_iter().chain(counts(look, row)));
        }
        for name in quiet {
            let nothing = counts(look, &Row::default());
            table.row([name.into(), channel(name).into()].into_iter().chain(nothing));
        }
        Ok(vec![table])
    })
    .await
}

pub(in crate::dashboard) async fn desktops(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    lists(dashboard, request, ("Desktops", "Komputer"), |inner, look| {
        let mut rows = history(inner, By::Client)?;
        let stale = |row: &Row| row.last_update.is_none_or(|update| look.now - update > OLD);
        let behind = rows.iter().filter(|row| stale(row)).count() as u64;
        // Those that need an eye come first, then the latest.
        rows.sort_by_key(|row| (!stale(row), std::cmp::Reverse(row.last_seen)));
        let intro = format!(
            "{}: {}. {}: {}.",
            look.t("Seen in the last 30 days", "Terlihat dalam 30 hari terakhir"),
            look.number(rows.len() as u64),
            look.t(
                "Have not asked for updates for more than 7 days",
                "Tidak meminta pembaruan lebih dari 7 hari"
            ),
            look.number(behind),
        );
        let empty = look.t("No desktop has been seen.", "Belum ada komputer yang terlihat.");
        let mut table = Table::new("desktops", look.t("Desktops", "Komputer"), empty)
            .intro(intro)
            .texts([
                look.t("Address", "Alamat"),
                look.t("Office", "Kantor"),
                look.t("Last seen", "Terakhir terlihat"),
                look.t("Last looked for updates", "Terakhir mencari pembaruan"),
            ])
            .numbers(count_columns(look));
        for row in rows.iter().take(SHOWN) {
            let seen = row.last_seen.map(|seen| look.ago(seen)).unwrap_or_default();
            let update = row.last_update.map_or_else(
                || look.t("not in 30 days", "tidak dalam 30 hari").to_owned(),
                |at| look.ago(at),
            );
            let head = [
                row.subject(By::Client).into(),
                look.named(row.office.as_deref().unwrap_or_default()).into(),
                seen.into(),
                verdict(!stale(row), update),
            ];
            table.row(head.into_iter().chain(counts(look, row)));
        }
        Ok(vec![table])
    })
    .await
}

pub(in crate::dashboard) async fn packages(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    lists(dashboard, request, ("Packages", "Paket"), |inner, look| {
        let mut rows = history(inner, By::Package)?;
        rows.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.package.cmp(&b.package)));
        let empty = look.t(
            "No package was asked for in the last 30 days.",
            "Tidak ada paket yang diminta dalam 30 hari terakhir.",
        );
        let mut table = Table::new(
            "packages",
            look.t("Most asked for in 30 days", "Paling banyak diminta dalam 30 hari"),
            empty,
        )
        .texts([look.t("Package", "Paket")])
        .numbers([
            look.t("Requests", "Permintaan"),
            look.t("Sent", "Terkirim"),
            look.t("Already here, of bytes", "Sudah tersedia, dari bita"),
        ]);
        for row in rows.iter().take(100) {
            table.row([
                row.subject(By::Package).into(),
                look.number(row.requests).into(),
                look.bytes(row.served_bytes).into(),
                look.percent(row.hit_ratio_bytes).into(),
            ]);
        }
        Ok(vec![table])
    })
    .await
}

/// The heads of [`counts`].
fn count_columns(look: &Look) -> [&'static str; 5] {
    [
        look.t("Requests", "Permintaan"),
        look.t("Sent", "Terkirim"),
        look.t("Hit rate", "Tingkat hit"),
        look.t("Of bytes", "Dari bita"),
        look.t("Errors", "Galat"),
    ]
}

/// Requests, bytes, both rates, errors.
fn counts(look: &Look, row: &Row) -> [Cell; 5] {
    let errors = row.errors.unwrap_or(0);
    [
        look.number(row.requests).into(),
        look.bytes(row.served_bytes).into(),
        look.percent(row.hit_ratio_requests).into(),
        look.percent(row.hit_ratio_bytes).into(),
        look.number(errors).into(),
    ]
}
