//! `lumbung suite`: what is served of each suite, and the channels.

use std::fmt::Write as _;

use super::engine::{OFFLINE_REFRESH, Question, ask};
use super::remote::encoded;
use super::{Ending, args, output};
use crate::status::{columns, seconds_in_words};
use crate::suite::{ChannelFacts, Moved, RefreshFacts, SuiteDetail, SuiteFacts};

pub(super) fn run(args: &args::Suite) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match &args.command {
            args::SuiteCommand::List => list(args).await,
            args::SuiteCommand::Show { repo, suite } => show(args, repo, suite).await,
            args::SuiteCommand::Refresh { repo, suite } => {
                refresh(args, repo.as_deref(), suite.as_deref()).await
            }
            args::SuiteCommand::Channels => channels(args).await,
            args::SuiteCommand::Promote { channel, to } => promote(args, channel, *to).await,
            args::SuiteCommand::Rollback { channel } => roll_back(args, channel).await,
        }
    })
}

async fn list(args: &args::Suite) -> anyhow::Result<Ending> {
    let look = Question::Look("/api/v1/suites");
    let suites: Vec<SuiteFacts> = ask(&args.asking, look, async |store| Ok(store.cache().suites())).await?;
    output::answer(args.asking.json, &suites, || list_text(&suites))
}

fn list_text(suites: &[SuiteFacts]) -> String {
    if suites.is_empty() {
        return "No suite is known yet: nobody has asked for one.\n".to_owned();
    }
    let mut rows =
        vec![["REPOSITORY", "SUITE", "GENERATION", "DATED", "ASKED UPSTREAM", "STATE"].map(str::to_owned)];
    rows.extend(suites.iter().map(|suite| {
        let state =
            suite.problem.as_ref().map_or("current".to_owned(), |problem| format!("PENDING: {problem}"));
        [
            suite.repo.clone(),
            suite.suite.clone(),
            suite.generation.to_string(),
            output::date(suite.date),
            format!("{} ago", seconds_in_words(suite.age_seconds)),
            if suite.legacy_sha1 { format!("{state} (SHA-1 signatures count)") } else { state },
        ]
    }));
    columns(&rows)
}

async fn show(args: &args::Suite, repo: &str, suite: &str) -> anyhow::Result<Ending> {
    // The slashes of a folder are those of the path.
    let folder: Vec<_> = suite.split('/').map(encoded).collect();
    let path = format!("/api/v1/suites/{}/{}", encoded(repo), folder.join("/"));
    let offline = async |store: &crate::app::Offline| Ok(store.cache().suite(repo, suite)?);
    let detail: SuiteDetail = ask(&args.asking, Question::Look(&path), offline).await?;
    output::answer(args.asking.json, &detail, || show_text(&detail))
}

fn show_text(detail: &SuiteDetail) -> String {
    let facts = &detail.facts;
    let mut text = format!("{} {}\n", facts.repo, facts.suite);
    let mut pair = |name: &str, value: String| {
        if !value.is_empty() {
            let _ = writeln!(text, "  {name:<15} {value}");
        }
    };
    pair("origin", detail.origin.clone().unwrap_or_default());
    pair("codename", detail.codename.clone().unwrap_or_default());
    pair("components", detail.components.join(", "));
    pair("architectures", detail.architectures.join(", "));
    pair(
        "valid until",
        if facts.valid_until.is_some() { output::date(facts.valid_until) } else { String::new() },
    );
    pair("asked upstream", format!("{} ago", seconds_in_words(facts.age_seconds)));
    pair("signed by", facts.signers.join(", "));
    pair("PENDING", facts.problem.clone().unwrap_or_default());
    text.push('\n');
    let mut rows = vec![["GENERATION", "DATED", "CURRENT FROM", "UNTIL", "CHANNELS"].map(str::to_owned)];
    rows.extend(detail.generations.iter().map(|generation| {
        [
            generation.id.to_string(),
            output::date(generation.date),
            output::date(Some(generation.adopted_at)),
            generation.superseded_at.map_or_else(|| "now".to_owned(), |at| output::date(Some(at))),
            generation.channels.join(", "),
        ]
    }));
    text + columns(&rows).as_str()
}

async fn refresh(args: &args::Suite, repo: Option<&str>, suite: Option<&str>) -> anyhow::Result<Ending> {
    let mut path = "/api/v1/suites/refresh".to_owned();
    if let Some(repo) = repo {
        let _ = write!(path, "?repo={}", encoded(repo));
    }
    if let Some(suite) = suite {
        let _ = write!(path, "&suite={}", encoded(suite));
    }
    let refreshed: Vec<RefreshFacts> = loop {
        let offline = async |store: &crate::app::Offline| {
            Ok(store.cache().refresh_suites(repo, suite, OFFLINE_REFRESH).await?)
        };
        let refreshed: Vec<RefreshFacts> = ask(&args.asking, Question::Change(&path), offline).await?;
        // The server answers before the proxies' patience ends; asking again joins what is under way.
        if refreshed.iter().all(|suite| suite.state != "running") {
            break refreshed;
        }
    };
    output::answer(args.asking.json, &refreshed, || refresh_text(&refreshed))?;
    let failed = refreshed.iter().any(|suite| suite.state == "failed");
    Ok(if failed { Ending::Problem } else { Ending::Done })
}

fn refresh_text(refreshed: &[RefreshFacts]) -> String {
    let mut rows = vec![["REPOSITORY", "SUITE", "GENERATION", "STATE"].map(str::to_owned)];
    rows.extend(refreshed.iter().map(|suite| {
        let state =
            suite.problem.as_ref().map_or_else(|| suite.state.clone(), |why| format!("FAILED: {why}"));
        let generation = suite.generation.map_or_else(|| "-".to_owned(), |id| id.to_string());
        [suite.repo.clone(), suite.suite.clone(), generation, state]
    }));
    columns(&rows)
}

async fn channels(args: &args::Suite) -> anyhow::Result<Ending> {
    let look = Question::Look("/api/v1/channels");
    let channels: Vec<ChannelFacts> =
        ask(&args.asking, look, async |store| Ok(store.cache().channels()?)).await?;
    output::answer(args.asking.json, &channels, || channels_text(&channels))
}

fn channels_text(channels: &[ChannelFacts]) -> String {
    if channels.is_empty() {
        return "No channel is configured beside live. Add a [[channel]].\n".to_owned();
    }
    let mut rows =
        vec![["CHANNEL", "MOVED", "REPOSITORY", "SUITE", "GENERATION", "DATED", "SINCE"].map(str::to_owned)];
    for channel in channels {
        let mut moved = channel
            .after_seconds
            .map_or_else(|| "by hand".to_owned(), |after| format!("after {}", seconds_in_words(after)));
        if channel.rolled_back_at.is_some() {
            let _ = write!(moved, ", rolled back {}", output::date(channel.rolled_back_at));
        }
        if channel.suites.is_empty() {
            let dash = || "-".to_owned();
            rows.push([channel.name.clone(), moved.clone(), dash(), dash(), dash(), dash(), dash()]);
        }
        for shown in &channel.suites {
            let current = if shown.current { " (current)" } else { "" };
            rows.push([
                channel.name.clone(),
                moved.clone(),
                shown.repo.clone(),
                shown.suite.clone(),
                format!("{}{current}", shown.generation),
                output::date(shown.date),
                shown.since.map_or_else(|| "follows live".to_owned(), |since| output::date(Some(since))),
            ]);
        }
    }
    let waits = channels.iter().flat_map(|channel| &channel.waits_for);
    waits.fold(columns(&rows), |text, sentence| text + sentence.as_str() + "\n")
}

async fn promote(args: &args::Suite, channel: &str, to: Option<i64>) -> anyhow::Result<Ending> {
    let to_query = to.map(|to| format!("?to={to}")).unwrap_or_default();
    let path = format!("/api/v1/channels/{}/promote{to_query}", encoded(channel));
    let offline = async |store: &crate::app::Offline| Ok(store.cache().promote(channel, to).await?);
    let moved: Moved = ask(&args.asking, Question::Change(&path), offline).await?;
    output::answer(args.asking.json, &moved, || moved_text(&moved))
}

async fn roll_back(args: &args::Suite, channel: &str) -> anyhow::Result<Ending> {
    let path = format!("/api/v1/channels/{}/rollback", encoded(channel));
    let offline = async |store: &crate::app::Offline| Ok(store.cache().roll_back(channel).await?);
    let moved: Moved = ask(&args.asking, Question::Change(&path), offline).await?;
    output::answer(args.asking.json, &moved, || moved_text(&moved))
}

fn moved_text(moved: &Moved) -> String {
    if moved.suites.is_empty() {
        return format!("{} is there already: nothing changed.\n", moved.channel);
    }
    let mut rows = vec![["CHANNEL", "REPOSITORY", "SUITE", "FROM", "TO"].map(str::to_owned)];
    rows.extend(moved.suites.iter().map(|suite| {
        let from = suite.from.map_or_else(|| "live".to_owned(), |from| from.to_string());
        [moved.channel.clone(), suite.repo.clone(), suite.suite.clone(), from, suite.to.to_string()]
    }));
    columns(&rows)
}
