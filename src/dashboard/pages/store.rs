//! What is kept, and how much room there is.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::super::Dashboard;
use super::super::table::{Cell, Table, Tone, verdict};
use super::{history, lists};
use crate::history::By;

pub(in crate::dashboard) async fn store(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    lists(dashboard, request, ("Store", "Penyimpanan"), |inner, look| {
        let store = (inner.parts.status)().store;
        let month = history(inner, By::Day)?;
        let grown: u64 = month.iter().filter_map(|row| row.upstream_bytes).sum();
        let mut table = Table::new("store", look.t("Use", "Pemakaian"), "")
            .texts([look.t("What", "Apa"), look.t("How much", "Berapa")]);
        let used = store.limit.map(|limit| (store.bytes.saturating_mul(100) / limit.max(1)).min(100));
        let held = format!(
            "{} ({} {})",
            look.bytes(store.bytes),
            look.number(store.objects),
            look.t("objects", "objek")
        );
        table
            .row([look.t("Held", "Tersimpan").into(), Cell { text: held, tone: Tone::Plain, percent: used }]);
        let limit = store.limit.map_or_else(
            || look.t("free space alone", "ruang kosong saja").to_owned(),
            |limit| look.bytes(limit),
        );
        table.row([look.t("Limit", "Batas").into(), limit.into()]);
        let free = format!(
            "{} ({} {})",
            look.bytes(store.free),
            look.bytes(store.min_free),
            look.t("stay free", "dibiarkan kosong")
        );
        table.row([
            look.t("Free on the disk", "Kosong di disk").into(),
            verdict(store.free >= store.min_free, free),
        ]);
        let room = if store.full {
            verdict(
                false,
                look.t(
                    "no: new files are passed on without being kept",
                    "tidak: berkas baru diteruskan tanpa disimpan",
                ),
            )
        } else {
            verdict(true, look.t("yes", "ya"))
        };
        table.row([look.t("Room for more", "Ada ruang").into(), room]);
        let needed = format!("{} {}", look.bytes(store.held_bytes), store.held_by.join(", "));
        table.row([
            look.t("Never removed: suites, channels", "Tidak dihapus: suite, kanal").into(),
            needed.into(),
        ]);
        table.row([
            look.t("Removed to make room, since the start", "Dihapus untuk memberi ruang, sejak awal").into(),
            look.bytes(store.evicted_bytes).into(),
        ]);
        table.row([
            look.t("Came over the WAN in 30 days", "Masuk lewat WAN dalam 30 hari").into(),
            look.bytes(grown).into(),
        ]);
        Ok(vec![table])
    })
    .await
}
