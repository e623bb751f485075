//! `lumbung seed verify`: the proof before a rollout.

use std::fmt::Write as _;
use std::time::Duration;

use super::super::engine;
use super::super::follow::{Work, follow, pace};
use super::super::remote::{Asked, Remote, encoded};
use super::super::{Ending, args, output};
use crate::config::Config;
use crate::seed::{Upgrade, Verifier, VerifyFacts};
use crate::status::bytes_in_words;

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
                Asked::Answer(facts) => Ok(Some(facts)),
                Asked::NotRunning => anyhow::bail!("the server has stopped, and its verifying with it"),
            })
            .await?
        }
        Asked::NotRunning => {
            let opened = engine::open(config, &remote).await?;
            let verifier = Verifier::new(opened.cache().clone(), opened.planner().clone());
            let done = async {
                let begun = verifier.start(name, upgrade)??;
                follow(begun, async || Ok(Some(verifier.newest()))).await
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

impl Work for VerifyFacts {
    const ANOTHER: &str = "verification";

    fn number(&self) -> u64 {
        self.number
    }

    fn is_running(&self) -> bool {
        self.running
    }

    /// `1.2 GB of 4 GB, 12 of 80 files hashed, 48 MB/s, 58 s left`.
    fn words(&self, elapsed: Duration) -> String {
        format!(
            "{} of {}, {} of {} files hashed{}",
            bytes_in_words(self.bytes_done),
            bytes_in_words(self.bytes),
            self.files_done,
            self.files,
            pace(self.bytes_done, self.bytes, elapsed)
        )
    }
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
