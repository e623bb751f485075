//! What happened, newest first.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::super::Dashboard;
use super::super::look::Look;
use super::super::table::{Table, verdict};
use super::lists;
use crate::cache::EventKind;

pub(in crate::dashboard) async fn events(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    lists(dashboard, request, ("Events", "Peristiwa"), |inner, look| {
        let empty = look.t(
            "Nothing has happened since the server started.",
            "Belum ada peristiwa sejak server dijalankan.",
        );
        let mut table = Table::new("events", look.t("Newest first", "Terbaru dahulu"), empty).texts([
            look.t("When", "Kapan"),
            look.t("What", "Apa"),
            look.t("Repository", "Repositori"),
            look.t("Subject", "Perihal"),
            look.t("In words", "Keterangan"),
        ]);
        for event in inner.parts.cache.events(0).into_iter().rev() {
            let bad = matches!(
                event.kind,
                EventKind::Pending
                    | EventKind::SigningKeyChanged
                    | EventKind::DateBack
                    | EventKind::Expired
                    | EventKind::VerifyFailure
                    | EventKind::SeedIncomplete
            );
            let kind = kind(look, event.kind);
            table.row([
                look.time(event.at).into(),
                if bad { verdict(false, kind) } else { kind.into() },
                event.repo.into(),
                event.subject.into(),
                event.text.into(),
            ]);
        }
        Ok(vec![table])
    })
    .await
}

fn kind(look: &Look, kind: EventKind) -> &'static str {
    match kind {
        EventKind::Adopted => look.t("adopted", "diadopsi"),
        EventKind::Pending => look.t("pending", "tertunda"),
        EventKind::SigningKeyChanged => look.t("signing key changed", "kunci penanda tangan berubah"),
        EventKind::DateBack => look.t("older than before", "lebih tua dari sebelumnya"),
        EventKind::Expired => look.t("expired", "kedaluwarsa"),
        EventKind::VerifyFailure => look.t("verification failed", "verifikasi gagal"),
        EventKind::Promoted => look.t("promoted", "dipromosikan"),
        EventKind::RolledBack => look.t("rolled back", "dikembalikan"),
        EventKind::Rescued => look.t("rescued", "diselamatkan"),
        EventKind::SeedStarted => look.t("seed begun", "persediaan dimulai"),
        EventKind::Seeded => look.t("seed complete", "persediaan lengkap"),
        EventKind::SeedIncomplete => look.t("seed incomplete", "persediaan tidak lengkap"),
        EventKind::NotConfigured => look.t("not configured", "tidak dikonfigurasi"),
    }
}
