//! A store of a million objects beside one of a thousand: what starting, resting and hits cost.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{Case, KIB, float, mib};
use crate::bench::Bench;
use crate::client;
use crate::contestant::{Contestant, Kind, Settings};
use crate::files::Files;
use crate::load::Asking;
use crate::process;
use crate::report::{Bar, Figure, Report};

static FIGURES: [Figure; 3] = [
    Figure { name: "start to first hit", unit: "s", bars: &[Bar::AtMost(0.2)] },
    Figure { name: "idle private memory", unit: "MiB", bars: &[Bar::AtMost(40.0)] },
    Figure { name: "CPU of a hit ÷ that with 1,000 objects", unit: "", bars: &[Bar::AtMost(1.1)] },
];

/// Names of the catalog's rows that are put in: what they say of files is not true, and nobody asks for them.
const ROWS: &str = "
    WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?1)
    INSERT INTO object (digest, size, last_used) SELECT randomblob(32), 40000, 1700000000 + n FROM number;
";
const NAMES: &str = "
    INSERT OR IGNORE INTO entry (repo, path, digest, fetched_at, validated_at, upstream)
    SELECT 'debian', 'pool/main/p/p' || lower(hex(substr(digest, 1, 8))) || '_amd64.deb', digest, last_used, last_used,
           'http://127.0.0.1/'
    FROM object WHERE last_used <= 1700000000 + ?1 AND last_used > 1700000000;
";
const TOTALS: &str =
    "UPDATE totals SET objects = (SELECT count(*) FROM object), bytes = (SELECT sum(size) FROM object)";

pub struct ManyObjects {
    file: Files,
    few: u32,
    many: u32,
}

impl ManyObjects {
    pub fn new(smoke: bool) -> Self {
        let (few, many) = if smoke { (100, 1000) } else { (1000, 1_000_000) };
        Self { file: Files::new("objects", 1, &[32 * KIB]), few, many }
    }

    fn settings(store: PathBuf) -> Settings {
        Settings { store: Some(store), unsigned: true }
    }

    /// A store that holds the file, and so many rows besides; made once.
    fn store(&self, bench: &Bench, rows: u32) -> anyhow::Result<PathBuf> {
        let store = bench.site.folder.join(format!("store{rows}"));
        if store.exists() {
            return Ok(store);
        }
        let contestant = Contestant::lumbung(&bench.site, &Self::settings(store.clone()))?;
        bench.compare(&contestant, &self.file)?;
        drop(contestant);
        insert(&store, rows)?;
        Ok(store)
    }

    fn path(&self) -> String {
        self.file.list().map(|(path, _)| path).next().unwrap_or_default()
    }

    /// The CPU time of a hit in a store, in microseconds.
    fn cost(&self, bench: &Bench, contestant: &Contestant) -> anyhow::Result<f64> {
        let asking = Asking { files: &self.file, connections: 32, header: None, seconds: bench.seconds };
        let before = process::used(contestant.process)?;
        let load = asking.run(contestant, &bench.site.folder)?;
        let cpu = process::used(contestant.process)?.saturating_sub(before);
        Ok(cpu.as_secs_f64() * 1e6 / float(load.requests))
    }
}

impl Case for ManyObjects {
    fn name(&self) -> &'static str {
        "1,000,000 objects"
    }

    fn files(&self) -> Vec<Files> {
        vec![self.file.clone()]
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        let (few, many) = (self.store(bench, self.few)?, self.store(bench, self.many)?);
        let few = Contestant::lumbung(&bench.site, &Self::settings(few))?;
        bench.compare(&few, &self.file)?;
        let usual = self.cost(bench, &few)?;
        drop(few);
        let began = Instant::now();
        let many = Contestant::lumbung(&bench.site, &Self::settings(many))?;
        client::alone(&many.order(&bench.site), vec![self.path()])?;
        let started = began.elapsed();
        // Until what a start does in the background is done.
        wait_until_idle(many.process)?;
        let memory = process::private(many.process)?;
        let values = [started.as_secs_f64(), mib(memory), self.cost(bench, &many)? / usual];
        for (figure, value) in FIGURES.iter().zip(values) {
            report.add(self.name(), figure, Kind::Lumbung, value);
        }
        Ok(())
    }
}

fn insert(store: &Path, rows: u32) -> anyhow::Result<()> {
    let mut catalog = rusqlite::Connection::open(store.join("catalog.sqlite"))?;
    let change = catalog.transaction()?;
    change.execute(ROWS, [rows]).context("objects")?;
    change.execute(NAMES, [rows]).context("entries")?;
    change.execute(TOTALS, [])?;
    change.commit()?;
    catalog.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// Until a process has used no CPU for a moment, for some seconds at most.
fn wait_until_idle(process: u32) -> anyhow::Result<()> {
    const MOMENT: Duration = Duration::from_millis(300);
    for _ in 0..30 {
        let before = process::used(process)?;
        #[expect(clippy::disallowed_methods, reason = "what is waited for is that nothing happens")]
        std::thread::sleep(MOMENT);
        if process::used(process)? == before {
            break;
        }
    }
    Ok(())
}
