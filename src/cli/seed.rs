//! `lumbung seed`: what is to be here before anybody asks.

mod run;
mod verify;

use std::fmt::Write as _;

use serde::Deserialize;

use super::engine::{OFFLINE_REFRESH, Question, ask};
use super::remote::encoded;
use super::{Ending, args, output};
use crate::app::Offline;
use crate::seed::{PlanFacts, SeedFacts, Upgrade};
use crate::status::{bytes_in_words, columns, seconds_in_words};

pub(super) fn run(args: &args::Seed) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match &args.command {
            args::SeedCommand::List => list(args).await,
            args::SeedCommand::Plan { name } => plan(args, name).await,
            args::SeedCommand::Run { name, wait, now } => run::run(args, name, *wait, *now).await,
            args::SeedCommand::Status { name } => run::status(args, name.as_deref()).await,
            args::SeedCommand::Stop { name } => run::stop(args, name).await,
            args::SeedCommand::Verify { name, upgrade_from, to } => {
                let upgrade = upgrade_from.clone().zip(to.clone());
                verify::verify(args, name, upgrade.map(|(from, to)| Upgrade { from, to })).await
            }
        }
    })
}

async fn list(args: &args::Seed) -> anyhow::Result<Ending> {
    let look = Question::Look("/api/v1/seeds");
    let offline = async |store: &Offline| Ok(store.planner().seeds());
    let seeds: Vec<SeedFacts> = ask(&args.asking, look, offline).await?;
    output::answer(args.asking.json, &seeds, || list_text(&seeds))
}

fn list_text(seeds: &[SeedFacts]) -> String {
    if seeds.is_empty() {
        return "No seed is configured, and nothing has been learned yet: add a [[seed]] to the configuration.\n".to_owned();
    }
    let mut rows = vec![["SEED", "REPOSITORY", "SUITES", "FOR", "WANTED", "HOURS"].map(str::to_owned)];
    rows.extend(seeds.iter().map(|seed| {
        let suites = seed.suites.iter().map(|suite| match suite.generation {
            Some(_) => suite.suite.clone(),
            None => format!("{} (not here)", suite.suite),
        });
        [
            seed.seed.clone(),
            seed.repo.clone(),
            suites.collect::<Vec<_>>().join(", "),
            seed.architectures.join(", "),
            seed.wanted.clone(),
            seed.hours.clone().unwrap_or_else(|| "always".to_owned()),
        ]
    }));
    columns(&rows)
}

/// What the server answers: the plan, or that it is still being made.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum PlanAnswer {
    Made(Box<PlanFacts>),
    Running {
        #[expect(dead_code, reason = "the field tells this answer from the other")]
        state: String,
    },
}

async fn plan(args: &args::Seed, name: &str) -> anyhow::Result<Ending> {
    let path = format!("/api/v1/seeds/{}/plan", encoded(name));
    let offline = async |store: &Offline| {
        let plan = store.planner().plan(name, true, OFFLINE_REFRESH).await?;
        let plan = plan.ok_or_else(|| anyhow::anyhow!("what the plan is made from does not come"))?;
        Ok(PlanAnswer::Made(Box::new(PlanFacts::from(&*plan))))
    };
    let plan = loop {
        // The server answers before patience ends; asking again joins what is under way.
        match ask(&args.asking, Question::Change(&path), offline).await? {
            PlanAnswer::Made(plan) => break plan,
            PlanAnswer::Running { .. } => {
                output::progress(&"fetching and reading the indices of the seed's suites");
            }
        }
    };
    output::progress_done();
    output::answer(args.asking.json, &plan, || plan_text(&plan))?;
    Ok(if plan.unresolved.is_empty() { Ending::Done } else { Ending::Problem })
}

/// How long what is missing takes.
fn time_text(plan: &PlanFacts) -> String {
    if plan.bytes_missing == 0 {
        return "none: everything is here".to_owned();
    }
    match (plan.seconds_at_limit, plan.bytes_per_second, plan.seconds_until_no_limit) {
        (Some(seconds), Some(rate), _) => {
            let (time, rate) = (seconds_in_words(seconds), bytes_in_words(rate));
            format!("{time} at {rate}/s, if nobody else uses the line")
        }
        (_, _, Some(later)) if plan.bytes_without_limit < plan.bytes_missing => {
            let (rest, later) = (bytes_in_words(plan.bytes_without_limit), seconds_in_words(later));
            format!("{rest} are left when the limit ends in {later}; then as fast as the line is")
        }
        _ => "as fast as the line is: it has no limit then".to_owned(),
    }
}

/// The seed's hours, and what they mean for what is missing.
fn hours_text(plan: &PlanFacts, hours: &str) -> String {
    match (plan.seconds_within_hours, plan.seconds_until_no_limit) {
        (Some(within), _) if plan.bytes_missing > 0 => {
            format!("{hours}: done in {}", seconds_in_words(within))
        }
        (_, Some(later)) if later > 0 && plan.bytes_without_limit == plan.bytes_missing => {
            format!("{hours}: begins in {}", seconds_in_words(later))
        }
        _ => hours.to_owned(),
    }
}

fn plan_text(plan: &PlanFacts) -> String {
    let suites = plan.suites.iter().map(|suite| format!("{} (generation {})", suite.suite, suite.generation));
    let mut text = format!("{} from {}\n", plan.seed, plan.repo);
    let here = plan.files.iter().filter(|file| file.present).count();
    // A failure to write to a string does not happen.
    let mut pair = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    pair("suites", suites.collect::<Vec<_>>().join(", "));
    pair("packages", plan.packages.to_string());
    pair("in all", format!("{}, {} files", bytes_in_words(plan.bytes), plan.files.len()));
    pair("here", format!("{}, {here} files", bytes_in_words(plan.bytes_present)));
    pair("missing", format!("{}, {} files", bytes_in_words(plan.bytes_missing), plan.files.len() - here));
    if plan.left_out_files > 0 {
        pair(
            "left out",
            format!("{}, {} files, by the budget", bytes_in_words(plan.left_out_bytes), plan.left_out_files),
        );
    }
    pair("time", time_text(plan));
    if let Some(hours) = &plan.hours {
        pair("hours", hours_text(plan, hours));
    }
    if !plan.unresolved.is_empty() {
        text += "\nThis cannot be resolved:\n";
        let mut rows = vec![["PACKAGE", "WHY"].map(str::to_owned)];
        rows.extend(plan.unresolved.iter().map(|one| [one.package.clone(), one.reason.clone()]));
        text += &columns(&rows);
    }
    text
}
