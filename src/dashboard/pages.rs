//! The lists: each turns facts into tables.

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;

use super::answers::{Lists, Unmade};
use super::look::Look;
use super::table::{Cell, Table, Tone, verdict};
use super::{Dashboard, Inner};
use crate::cache::EventKind;
use crate::history::{By, Query, Row};
use crate::seed::{RunFacts, SeedState, State as RunState};
use crate::suite::{ChannelFacts, SuiteFacts};

/// How far back lists of what was asked for go, in seconds.
const LOOKED_BACK: u64 = 30 * 86_400;

/// Desktops and packages shown, at most; a report has them all.
const SHOWN: usize = 1000;

/// A desktop that has not asked for news this long needs somebody's eye, in seconds.
const OLD: i64 = 7 * 86_400;

/// Makes a page of tables.
async fn lists(
    dashboard: Dashboard,
    request: Request,
    title: (&'static str, &'static str),
    make: impl FnOnce(&Inner, &Look) -> Result<Vec<Table>, Unmade> + Send + 'static,
) -> Response<Body> {
    let visitor = dashboard.visitor(&request);
    drop(request);
    let make = move |inner: &Inner, look: &Look| {
        let page = Lists { look, title: look.t(title.0, title.1), tables: make(inner, look)? };
        Ok(page.render()?)
    };
    dashboard.show(visitor, make).await
}

pub(super) async fn repositories(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
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

pub(super) async fn flights(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
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

pub(super) async fn seeds(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
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

pub(super) async fn channels(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
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

pub(super) async fn offices(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
    lists(dashboard, request, ("Offices", "Kantor"), |inner, look| {
        let rows = history(inner, By::Office)?;
        let empty = look
            .t("Nothing was asked for in the last 30 days.", "Tidak ada permintaan dalam 30 hari terakhir.");
        let mut table = Table::new("offices", look.t("Last 30 days", "30 hari terakhir"), empty)
            .texts([look.t("Office", "Kantor"), look.t("Sees channel", "Melihat kanal")])
            .numbers([
                look.t("Requests", "Permintaan"),
                look.t("Sent", "Terkirim"),
                look.t("Hit rate", "Tingkat hit"),
                look.t("Of bytes", "Dari bita"),
                look.t("Errors", "Galat"),
            ]);
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

pub(super) async fn desktops(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
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
            .numbers([
                look.t("Requests", "Permintaan"),
                look.t("Sent", "Terkirim"),
                look.t("Hit rate", "Tingkat hit"),
                look.t("Of bytes", "Dari bita"),
                look.t("Errors", "Galat"),
            ]);
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

pub(super) async fn packages(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
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

pub(super) async fn store(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
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

pub(super) async fn events(State(dashboard): State<Dashboard>, request: Request) -> Response<Body> {
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

fn history(inner: &Inner, by: By) -> Result<Vec<Row>, Unmade> {
    inner.parts.history.flush()?;
    Ok(inner.parts.history.reader()?.report(Query { by, since: LOOKED_BACK })?)
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
