//! `lumbung export` and `lumbung import`: the road without a line.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::follow::{Work, follow, pace};
use super::remote::{Asked, Remote};
use super::{Ending, args, engine, output};
use crate::app::Offline;
use crate::carry::{Busy, Carrier, CarryFacts, CarryKind, ExportOrder, ImportOrder};
use crate::config::Config;
use crate::status::{bytes_in_words, columns};

pub(super) fn export(args: &args::Export) -> anyhow::Result<Ending> {
    let since = args.since.as_ref().map(|since| match since.parse::<i64>() {
        Ok(_) => Ok(since.clone()),
        Err(_) => absolute(Path::new(since)).map(|path| path.display().to_string()),
    });
    let order = ExportOrder { seed: args.seed.clone(), to: absolute(&args.to)?, since: since.transpose()? };
    run(&args.asking, "/api/v1/export", &order, |carrier| carrier.start_export(order.clone()))
}

pub(super) fn import(args: &args::Import) -> anyhow::Result<Ending> {
    let paths = args.paths.iter().map(|path| absolute(path)).collect::<anyhow::Result<_>>()?;
    let order = ImportOrder { paths, dry_run: args.dry_run };
    run(&args.asking, "/api/v1/import", &order, |carrier| carrier.start_import(order.clone()))
}

/// The server has another working folder than whoever calls.
fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| path.display().to_string())
}

fn run(
    asking: &args::Asking,
    path: &str,
    order: &impl serde::Serialize,
    start: impl FnOnce(&Carrier) -> Result<CarryFacts, Busy>,
) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(async {
        let config = Config::load(asking.file.config.as_deref())?;
        let remote = Remote::new(asking.admin.unwrap_or(config.server.admin), &config.store.path)?;
        match remote.post_json::<CarryFacts>(path, order).await? {
            Asked::Answer(begun) => {
                follow(begun, async || match remote.get::<Option<CarryFacts>>("/api/v1/carry").await? {
                    Asked::Answer(facts) => Ok(facts),
                    Asked::NotRunning => anyhow::bail!("the server has stopped, and its work with it"),
                })
                .await
            }
            Asked::NotRunning => {
                let opened = engine::open(config, &remote).await?;
                let ended = here(&opened, start).await;
                opened.close().await;
                ended
            }
        }
    })?;
    if asking.json {
        output::data(&(serde_json::to_string_pretty(&ended)? + "\n"));
    } else {
        output::data(&text(&ended));
    }
    if let Some(problem) = &ended.problem {
        anyhow::bail!("{problem}");
    }
    let pending = ended.suites.iter().any(|suite| suite.problem.is_some());
    Ok(if ended.refused_files > 0 || pending { Ending::Problem } else { Ending::Done })
}

/// Does it without a server.
async fn here(
    opened: &Offline,
    start: impl FnOnce(&Carrier) -> Result<CarryFacts, Busy>,
) -> anyhow::Result<CarryFacts> {
    let carrier = Carrier::new(opened.cache().clone(), opened.planner().clone());
    let begun = start(&carrier)?;
    follow(begun, async || Ok(carrier.facts())).await
}

impl Work for CarryFacts {
    const ANOTHER: &str = "export or import";

    fn number(&self) -> u64 {
        self.number
    }

    fn is_running(&self) -> bool {
        self.running
    }

    /// `1.2 GB of 4 GB, 12 of 80 files, 48 MB/s, 58 s left: pool/…`.
    fn words(&self, elapsed: Duration) -> String {
        if self.files_total == 0 {
            return self.step.clone();
        }
        let mut text = format!(
            "{} of {}, {} of {} files",
            bytes_in_words(self.bytes_done),
            bytes_in_words(self.bytes_total),
            self.files_done,
            self.files_total
        );
        text += &pace(self.bytes_done, self.bytes_total, elapsed);
        // A failure to write to a string does not happen.
        if self.refused_files > 0 {
            let _ = write!(text, ", {} REFUSED", self.refused_files);
        }
        if !self.step.is_empty() {
            let _ = write!(text, ": {}", shortened(&self.step));
        }
        text
    }
}

/// The end of a long name, which tells more than its beginning.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 40;
    let count = name.chars().count();
    if count <= LONGEST {
        name.to_owned()
    } else {
        format!("…{}", name.chars().skip(count - LONGEST).collect::<String>())
    }
}

fn text(facts: &CarryFacts) -> String {
    let mut text = String::new();
    let mut line = |line: String| text += &(line + "\n");
    if let Some(bundle) = &facts.bundle {
        line(format!("This is {bundle}."));
    }
    if !facts.suites.is_empty() {
        let mut rows = vec![["REPOSITORY", "SUITE", "DATED", "STATE", "SIGNED BY"].map(str::to_owned)];
        rows.extend(facts.suites.iter().map(|suite| {
            let mut state = suite.standing.as_str().to_owned();
            if let Some(generation) = suite.generation {
                let _ = write!(state, ", generation {generation}");
            }
            if let Some(problem) = &suite.problem {
                let _ = write!(state, ": {problem}");
            }
            [
                suite.repo.clone(),
                suite.suite.clone(),
                output::date(suite.date),
                state,
                suite.signers.join(", "),
            ]
        }));
        line(columns(&rows));
    }
    let (new, present) = match (facts.kind, facts.dry_run) {
        (CarryKind::Export, _) => ("written and read back", "there already, and right"),
        (CarryKind::Import, true) => ("would be taken in", "here already"),
        (CarryKind::Import, false) => ("taken in", "here already"),
    };
    line(format!("{} files, {}: {new}", facts.new_files, bytes_in_words(facts.new_bytes)));
    line(format!("{} files, {}: {present}", facts.present_files, bytes_in_words(facts.present_bytes)));
    if facts.left_out_files > 0 {
        line(format!("{} files: left out, the other side has them", facts.left_out_files));
    }
    if facts.refused_files > 0 {
        line(format!("{} files REFUSED:", facts.refused_files));
        for refused in &facts.refused {
            line(format!("  {}\n    {}", refused.name, refused.reason));
        }
        let further = facts.refused_files.saturating_sub(facts.refused.len() as u64);
        if further > 0 {
            line(format!("  and {further} more; the log names them"));
        }
    }
    text
}
