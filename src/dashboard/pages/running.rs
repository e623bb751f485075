//! What is being fetched, and what is to be here before anybody asks.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::super::Dashboard;
use super::super::look::Look;
use super::super::table::{Cell, Table, Tone, verdict};
use super::lists;
use crate::seed::{RunFacts, SeedState, State as RunState};

pub(in crate::dashboard) async fn flights(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    lists(dashboard, request, ("Transfers", "Transfer"), |inner, look| {
        let empty = look.t("Nothing is being fetched.", "Tidak ada yang sedang diambil.");
        let mut table = Table::new(
            "flights",
            look.t("Running transfers from upstreams", "Transfer yang berjalan"),
            empty,
        )
        .texts([look.t("Repository", "Repositori"), look.t("File", "Berkas"), look.t("Progress", "Kemajuan")])
        .numbers([
            look.t("Received", "Diterima"),
            look.t("Clients", "Klien"),
            look.t("Running for", "Lamanya"),
        ]);
        for flight in (inner.parts.status)().flights {
            let percent = flight
                .total
                .filter(|total| *total > 0)
                .map(|total| (flight.received.saturating_mul(100) / total).min(100));
            let total = flight.total.map(|total| format!(" / {}", look.bytes(total))).unwrap_or_default();
            table.row([
                flight.repo.into(),
                flight.path.into(),
                Cell {
                    text: percent.map_or_else(|| "–".to_owned(), |percent| format!("{percent} %")),
                    tone: Tone::Plain,
                    percent,
                },
                format!("{}{total}", look.bytes(flight.received)).into(),
                look.number(flight.readers).into(),
                look.duration(flight.seconds).into(),
            ]);
        }
        Ok(vec![table])
    })
    .await
}

pub(in crate::dashboard) async fn seeds(
    State(dashboard): State<Dashboard>,
    request: Request,
) -> Response<Body> {
    lists(dashboard, request, ("Seeds", "Persediaan"), |inner, look| {
        let empty = look.t("No [[seed]] is configured.", "Belum ada [[seed]] dalam konfigurasi.");
        let mut table = Table::new("seeds", look.t("Seeds", "Persediaan"), empty)
            .intro(look.t(
                "What is to be here before anybody asks. `lumbung seed plan NAME` says what is missing.",
                "Yang harus tersedia sebelum diminta. `lumbung seed plan NAMA` menunjukkan yang kurang.",
            ))
            .texts([
                look.t("Name", "Nama"),
                look.t("Repository", "Repositori"),
                look.t("Suites (generation)", "Suite (generasi)"),
                look.t("Wanted", "Yang diinginkan"),
                look.t("Hours", "Jam"),
                look.t("State", "Keadaan"),
            ])
            .numbers([look.t("Missing", "Kurang")]);
        for SeedState { seed, run } in (inner.parts.status)().seeds {
            let suite = |suite: &crate::seed::SeedSuite| match suite.generation {
                Some(generation) => format!("{} ({generation})", suite.suite),
                None => format!("{} ({})", suite.suite, look.t("not here yet", "belum ada")),
            };
            let suites: Vec<String> = seed.suites.iter().map(suite).collect();
            table.row([
                seed.seed.into(),
                seed.repo.into(),
                suites.join(", ").into(),
                seed.wanted.into(),
                seed.hours.unwrap_or_else(|| look.t("always", "selalu").to_owned()).into(),
                seed_state(look, &run),
                run.bytes_missing.map_or_else(|| "–".to_owned(), |bytes| look.bytes(bytes)).into(),
            ]);
        }
        Ok(vec![table])
    })
    .await
}

/// How a seed stands, with how far it is and what went wrong.
fn seed_state(look: &Look, run: &RunFacts) -> Cell {
    let journal = &run.journal;
    let state = match journal.state {
        RunState::Idle => look.t("never run", "belum pernah dijalankan"),
        RunState::Waiting => look.t("waits for its hours", "menunggu jamnya"),
        RunState::Planning => look.t("planning", "merencanakan"),
        RunState::Running => look.t("fetching", "mengambil"),
        RunState::Paused => look.t("paused until its hours", "berhenti sampai jamnya"),
        RunState::Done => return verdict(true, look.t("complete", "lengkap")),
        RunState::Incomplete => {
            let what = look.t("files could not be had", "berkas tidak dapat diambil");
            return verdict(false, format!("{} {what}", look.number(journal.failed)));
        }
        RunState::Failed => {
            let problem = journal.problem.as_deref().unwrap_or_default();
            return verdict(false, format!("{}: {problem}", look.t("cannot run", "tidak dapat berjalan")));
        }
        RunState::Stopped => look.t("stopped", "dihentikan"),
    };
    let percent = run
        .bytes_missing
        .filter(|_| journal.state.is_active() && journal.bytes > 0)
        .map(|missing| 100 - (missing.saturating_mul(100) / journal.bytes).min(100));
    Cell { text: state.to_owned(), tone: Tone::Plain, percent }
}
