//! Long work that goes on elsewhere: how far it is, until it has ended.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::output;
use crate::status::{bytes_in_words, seconds_in_words};

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Between two lines that say so where nobody watches.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// One piece of such work, as it tells of itself.
pub(super) trait Work {
    /// What a second one of it is.
    const ANOTHER: &str;

    /// Its number since the program that does it started.
    fn number(&self) -> u64;

    /// Whether it has not ended.
    fn is_running(&self) -> bool;

    /// How far it is, after so long.
    fn words(&self, elapsed: Duration) -> String;
}

/// Watches until it has ended, and says meanwhile how far it is.
pub(super) async fn follow<W: Work>(
    begun: W,
    look: impl AsyncFn() -> anyhow::Result<Option<W>>,
) -> anyhow::Result<W> {
    let started = Instant::now();
    let (number, mut work) = (begun.number(), begun);
    let mut said = started;
    while work.is_running() {
        if output::is_watched() || said.elapsed() >= SAY_EVERY {
            output::progress(&work.words(started.elapsed()));
            said = Instant::now();
        }
        tokio::time::sleep(LOOK_EVERY).await;
        work = look().await?.context("the server has been started anew meanwhile")?;
        anyhow::ensure!(work.number() == number, "another {} has begun meanwhile", W::ANOTHER);
    }
    output::progress_done();
    Ok(work)
}

/// `, 48 MB/s, 58 s left`; nothing before anything is done.
pub(super) fn pace(done: u64, total: u64, elapsed: Duration) -> String {
    let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let rate = done.saturating_mul(1000).checked_div(milliseconds).unwrap_or(0);
    let left = total.saturating_sub(done).checked_div(rate);
    left.map(|left| format!(", {}/s, {} left", bytes_in_words(rate), seconds_in_words(left)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_what_was_done() {
        let pace = |done, seconds| pace(done, 10_000_000, Duration::from_secs(seconds));
        assert_eq!(pace(4_000_000, 2), ", 2 MB/s, 3 s left");
        assert_eq!(pace(0, 2), "");
        assert_eq!(pace(5, 0), "");
    }
}
