//! `lumbung rehearse`: would the desktops seen here find every file of an upgrade?

use std::fmt::Write as _;

use serde::Deserialize;

use super::engine::{OFFLINE_REFRESH, Question, ask};
use super::remote::encoded;
use super::{Ending, args, output};
use crate::app::Offline;
use crate::seed::{RehearsalFacts, RehearsedRepo};
use crate::status::{bytes_in_words, columns};

/// Most files and packages that the text names.
const NAMED: usize = 20;

pub(super) fn run(args: &args::Rehearse) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(rehearse(args))
}

/// What the server answers: what it found, or that it is still looking.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer {
    Done(Box<RehearsalFacts>),
    Running {
        #[expect(dead_code, reason = "the field tells this answer from the other")]
        state: String,
    },
}

async fn rehearse(args: &args::Rehearse) -> anyhow::Result<Ending> {
    let path = format!("/api/v1/rehearse?from={}&to={}", encoded(&args.from), encoded(&args.to));
    let offline = async |store: &Offline| {
        let found = store.planner().rehearse(&args.from, &args.to, true, OFFLINE_REFRESH).await?;
        let found = found.ok_or_else(|| anyhow::anyhow!("what the upgrade is made from does not come"))?;
        Ok(Answer::Done(Box::new(RehearsalFacts::clone(&found))))
    };
    let found = loop {
        // The server answers before patience ends; asking again joins what is under way.
        match ask(&args.asking, Question::Change(&path), offline).await? {
            Answer::Done(found) => break found,
            Answer::Running { .. } => {
                output::progress(&format!("fetching and reading the indices of {}", args.to));
            }
        }
    };
    output::progress_done();
    output::answer(args.asking.json, &found, || text(&found))?;
    Ok(if found.ready { Ending::Done } else { Ending::Problem })
}

fn text(found: &RehearsalFacts) -> String {
    let RehearsalFacts { from, to, .. } = found;
    if found.repos.is_empty() {
        return format!(
            "No desktop was seen to use {from}: there is nothing to rehearse. Desktops are known by what they ask \
             for; `lumbung suite list` shows the suites that are used.\n"
        );
    }
    let mut text = String::new();
    for repo in &found.repos {
        repo_text(&mut text, repo, from, to);
    }
    // A failure to write to a string does not happen.
    let _ = if found.ready {
        writeln!(text, "READY: an upgrade from {from} to {to} needs nothing that is not here.")
    } else {
        writeln!(text, "NOT READY for an upgrade from {from} to {to}: see above.")
    };
    text
}

fn repo_text(text: &mut String, repo: &RehearsedRepo, from: &str, to: &str) {
    let suites: Vec<_> = repo.to_suites.iter().map(|suite| suite.suite.as_str()).collect();
    // A failure to write to a string does not happen.
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    line("repository", repo.repo.clone());
    line("from", repo.from_suites.join(", "));
    if let Some(problem) = &repo.problem {
        line("problem", problem.clone());
        text.push('\n');
        return;
    }
    line("to", suites.join(", "));
    line("desktops", format!("{}, {} different sets of packages", repo.desktops, repo.sets.len()));
    line("in all", format!("{}, {} files", bytes_in_words(repo.bytes), repo.files));
    line("missing", format!("{}, {} files", bytes_in_words(repo.bytes_missing), repo.files_missing));
    text.push('\n');
    let mut rows = vec![["DESKTOPS", "OFFICES", "PACKAGES", "FILES", "MISSING", "BYTES"].map(str::to_owned)];
    rows.extend(repo.sets.iter().take(NAMED).map(|set| {
        let desktops = if set.desktops == 0 { "earlier ones".to_owned() } else { set.desktops.to_string() };
        [
            desktops,
            set.offices.join(", "),
            set.packages.to_string(),
            set.files.to_string(),
            set.files_missing.to_string(),
            bytes_in_words(set.bytes_missing),
        ]
    }));
    *text += &columns(&rows);
    list(
        text,
        "These files are not here:",
        repo.files_missing,
        repo.missing.iter().map(|file| file.path.clone()),
    );
    let orphans = &repo.without_successor;
    let title = format!("{to} has no package under these names, nor one that provides them:");
    list(
        text,
        &title,
        orphans.len() as u64,
        orphans.iter().map(|orphan| format!("{} ({} desktops)", orphan.package, orphan.desktops)),
    );
    let unresolved = repo.unresolved.iter().map(|one| format!("{}: {}", one.package, one.reason));
    list(text, "This cannot be resolved:", repo.unresolved.len() as u64, unresolved);
    if repo.files_missing > 0 {
        *text += &advice(repo, from, to);
    }
    text.push('\n');
}

fn list(text: &mut String, title: &str, count: u64, lines: impl Iterator<Item = String>) {
    if count == 0 {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for line in lines.take(NAMED) {
        let _ = writeln!(text, "  {line}");
    }
    if count > NAMED as u64 {
        let _ = writeln!(text, "  and {} more; --json lists them", count - NAMED as u64);
    }
}

/// What to do about missing files.
fn advice(repo: &RehearsedRepo, from: &str, to: &str) -> String {
    if repo.seeds.is_empty() {
        let quoted = |suite: &str| format!("\"{}\"", suite.trim_start_matches("dists/"));
        let suites: Vec<_> = repo.to_suites.iter().map(|suite| quoted(&suite.suite)).collect();
        return format!(
            "\nTo have them fetched, add a seed for {to} to the configuration, and run it:\n\n  [[seed]]\n  name = \
             \"{to}\"\n  repo = \"{}\"\n  suites = [{}]\n  architectures = [\"amd64\"]\n  packages = \"learned\"\n\n  \
             lumbung seed run {to} --wait\n\nWhat desktops have not asked for in 60 days is not learned: name it there, \
             too.\n",
            repo.repo,
            suites.join(", ")
        );
    }
    let runs: Vec<_> = repo.seeds.iter().map(|seed| format!("  lumbung seed run {seed} --wait\n")).collect();
    format!(
        "\nTo have them fetched, run what is configured for {to}, and rehearse again:\n\n{}\nIf files are missing after \
         that, no seed names them: add the packages, or \"learned\" for what desktops with {from} ask for.\n",
        runs.concat()
    )
}
