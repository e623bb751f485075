//! `lumbung verify`: hashes the whole store, by the running server or, where none runs, here.

use std::fmt::Write as _;
use std::time::Duration;

use super::follow::{Work, follow, pace};
use super::remote::{Asked, Remote};
use super::{Ending, args, engine, output};
use crate::cache::{DamagedObject, ScrubFacts, ScrubOrder};
use crate::config::Config;
use crate::server::api::StoreFacts;
use crate::status::bytes_in_words;

pub(super) fn run(args: &args::Verify) -> anyhow::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(verify(args))?;
    if args.json {
        output::data(&(serde_json::to_string_pretty(&ended)? + "\n"));
    } else {
        output::data(&text(&ended));
    }
    if let Some(problem) = &ended.problem {
        anyhow::bail!("not everything was looked at: {problem}");
    }
    Ok(if ended.damaged_objects > 0 { Ending::Problem } else { Ending::Done })
}

/// Has it done, and waits for the end.
async fn verify(args: &args::Verify) -> anyhow::Result<ScrubFacts> {
    let config = Config::load(args.file.config.as_deref())?;
    let remote = Remote::new(args.admin.unwrap_or(config.server.admin), &config.store.path)?;
    let order = ScrubOrder { repair: args.repair, rate: args.rate };
    let begun = match remote.post_json("/api/v1/store/verify", &order).await? {
        Asked::Answer(begun) => begun,
        Asked::NotRunning => return verify_here(config, &remote, order).await,
    };
    follow(begun, async || match remote.get::<StoreFacts>("/api/v1/store").await? {
        Asked::Answer(store) => Ok(store.verify),
        Asked::NotRunning => anyhow::bail!("the server has stopped, and its verifying with it"),
    })
    .await
}

/// Does it without a server. Only the server fetches.
async fn verify_here(config: Config, remote: &Remote, order: ScrubOrder) -> anyhow::Result<ScrubFacts> {
    let opened = engine::open(config, remote).await?;
    if order.repair {
        output::note(&"No server is running: damaged objects are set aside, and not fetched again.");
    }
    let cache = opened.cache().clone();
    let order = ScrubOrder { repair: false, ..order };
    let done = async {
        let starter = cache.clone();
        let begun = tokio::task::spawn_blocking(move || starter.start_scrub(order)).await??;
        follow(begun, async || Ok(cache.scrub())).await
    };
    let done = done.await;
    drop(cache);
    opened.close().await;
    done
}

impl Work for ScrubFacts {
    const ANOTHER: &str = "verifying";

    fn number(&self) -> u64 {
        self.number
    }

    fn is_running(&self) -> bool {
        self.running
    }

    /// `1.2 GB of 4 GB, 48 MB/s, 58 s left`.
    fn words(&self, elapsed: Duration) -> String {
        let mut text = format!(
            "{} of {}, {} of {} objects",
            bytes_in_words(self.bytes_done),
            bytes_in_words(self.bytes_total),
            self.objects_done,
            self.objects_total
        );
        text += &pace(self.bytes_done, self.bytes_total, elapsed);
        // A failure to write to a string does not happen.
        if self.damaged_objects > 0 {
            let _ = write!(text, ", {} DAMAGED", self.damaged_objects);
        }
        text
    }
}

fn text(facts: &ScrubFacts) -> String {
    let mut text = format!(
        "{} objects hashed, {}: {}\n",
        facts.objects_done,
        bytes_in_words(facts.bytes_done),
        match facts.damaged_objects {
            0 => "nothing is damaged.".to_owned(),
            count => format!("{count} DAMAGED, set aside."),
        }
    );
    for object in &facts.damaged {
        text += &damaged(object);
    }
    let further = facts.damaged_objects.saturating_sub(facts.damaged.len() as u64);
    if further > 0 {
        let _ = writeln!(text, "and {further} more; the log names them");
    }
    text
}

fn damaged(object: &DamagedObject) -> String {
    let state = match object.repaired {
        Some(true) => "fetched again",
        Some(false) => "NOT fetched again",
        None => "fetched again when it is asked for",
    };
    let size = bytes_in_words(object.size);
    let mut text = format!("  {} ({size}): {}; {state}\n", object.digest, object.why);
    for name in &object.names {
        let _ = writeln!(text, "    {name}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_tells_bytes_rate_and_time_left() {
        let facts = ScrubFacts {
            objects_done: 3,
            objects_total: 9,
            bytes_done: 100_000_000,
            bytes_total: 400_000_000,
            ..ScrubFacts::default()
        };
        let told = facts.words(Duration::from_secs(2));
        assert_eq!(told, "100 MB of 400 MB, 3 of 9 objects, 50 MB/s, 6 s left");
        assert_eq!(facts.words(Duration::ZERO), "100 MB of 400 MB, 3 of 9 objects");
    }
}
