//! `lumbung seed verify`: the proof before a rollout.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::super::engine;
use super::super::remote::{Asked, Remote, encoded};
use super::super::{Ending, args, output};
use crate::config::Config;
use crate::seed::{Upgrade, Verifier, VerifyFacts};
use crate::status::bytes_in_words;

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Between two lines that say so where nobody watches.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// Has a seed verified, and waits for the end.
pub(super) async fn verify(
    args: &args::Seed,
    name: &str,
    upgrade: Option<Upgrade>,
) -> anyhow::Result<Ending> {
    let config = Config::load(args.asking.file.config.as_deref())?;
    let remote = Remote::new(args.asking.admin.unwrap_or(config.server.admin), &config.store.path)?;
    let path = format!("/api/v1/seeds/{}/verify", encoded(name));
    let between = upgrade
        .as_ref()
        .map(|upgrade| format!("?from={}&to={}", encoded(&upgrade.from), encoded(&upgrade.to)));
    let order = format!("{path}{}", between.unwrap_or_default());
    let ended = match remote.post(&order).await? {
        Asked::Answer(begun) => {
            follow(begun, async || match remote.get(&path).await? {
                Asked::Answer(facts) => Ok(facts),
                Asked::NotRunning => anyhow::bail!("the server has stopped, and its verifying with it"),
            })
            .await?
        }
        Asked::NotRunning => {
            let opened = engine::open(config, &remote).await?;
            let verifier = Verifier::new(opened.cache().clone(), opened.planner().clone());
            let done = async {
                let begun = verifier.start(name, upgrade)??;
                follow(begun, async || Ok(verifier.newest())).await
            };
            let done = done.await;
            drop(verifier);
            opened.close().await;
            done?
        }
    };
    output::answer(args.asking.json, &ended, || text(&ended))?;
    Ok(if ended.complete { Ending::Done } else { Ending::Problem })
}

/// Watches until it has ended, and says meanwhile how far it is.
async fn follow(
    begun: VerifyFacts,
    look: impl AsyncFn() -> anyhow::Result<VerifyFacts>,
) -> anyhow::Result<VerifyFacts> {
    let bar = output::Bar::new(&begun.seed);
    let (number, mut facts, mut said) = (begun.number, begun, Instant::now());
    while facts.running {
        let words = format!(
            "{} of {} files, {} of {} hashed",
            facts.files_done,
            facts.files,
            bytes_in_words(facts.bytes_done),
            bytes_in_words(facts.bytes)
        );
        bar.set(facts.bytes_done, facts.bytes, &words);
        if !output::is_watched() && said.elapsed() >= SAY_EVERY {
            output::note(&words);
            said = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
        facts = look().await?;
        anyhow::ensure!(facts.number == number, "another verification has begun meanwhile");
    }
    bar.done();
    Ok(facts)
}

fn text(facts: &VerifyFacts) -> String {
    let what = match &facts.upgrade {
        Some(Upgrade { from, to }) => format!("upgrading from {from} to {to} with {}", facts.seed),
        None => format!("with {}", facts.seed),
    };
    if let Some(problem) = &facts.problem {
        return format!("NOT READY. A desktop {what} was not looked at: {problem}.\n");
    }
    let mut text = if facts.complete {
        format!(
            "Ready: a desktop {what} finds everything here, {} packages, {} files, {}, each asked for and hashed.\n",
            facts.packages,
            facts.files,
            bytes_in_words(facts.bytes)
        )
    } else {
        format!("NOT READY. A desktop {what} would not find {} files here.\n", facts.missing_files)
    };
    // A failure to write to a string does not happen.
    for file in &facts.missing {
        let _ = writeln!(text, "  {}: {}", file.path, file.reason);
    }
    let further = facts.missing_files.saturating_sub(facts.missing.len() as u64);
    if further > 0 {
        let _ = writeln!(text, "  and {further} more");
    }
    if !facts.unresolved.is_empty() {
        text += "apt would refuse these, whatever is here:\n";
    }
    for one in &facts.unresolved {
        let _ = writeln!(text, "  {}: {}", one.package, one.reason);
    }
    text
}
