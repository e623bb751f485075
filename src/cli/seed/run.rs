//! `lumbung seed run`, `stop` and `status`: by the running server, or here where none runs.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::super::engine::{self, Question, ask};
use super::super::remote::{Asked, Remote, encoded};
use super::super::{Ending, args, output};
use crate::config::Config;
use crate::seed::{SeedState, State};
use crate::status::{bytes_in_words, columns, local_time, seconds_in_words};

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Between two lines that say so where nobody watches.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// How long a server that restarts may be away from those who follow a run.
const AWAY: Duration = Duration::from_mins(2);

/// Has a seed run, and with `wait` follows it to its end.
pub(super) async fn run(args: &args::Seed, name: &str, wait: bool, now: bool) -> anyhow::Result<Ending> {
    let config = Config::load(args.asking.file.config.as_deref())?;
    let remote = Remote::new(args.asking.admin.unwrap_or(config.server.admin), &config.store.path)?;
    let path = format!("/api/v1/seeds/{}", encoded(name));
    let begun: SeedState = match remote.post(&format!("{path}/run?now={now}")).await? {
        Asked::Answer(begun) => begun,
        Asked::NotRunning => return run_here(args, config, &remote, name, now).await,
    };
    if !wait {
        return output::answer(args.asking.json, &begun, || begun_text(&begun));
    }
    let mut missed: Option<Instant> = None;
    let look = async || {
        loop {
            match remote.get(&path).await {
                Ok(Asked::Answer(state)) => {
                    missed = None;
                    return Ok(state);
                }
                Err(error) if missed.is_none() => output::note(&format!("{error:#}")),
                Ok(Asked::NotRunning) | Err(_) => {}
            }
            // A server that comes back goes on with it.
            let since = *missed.get_or_insert_with(Instant::now);
            anyhow::ensure!(
                since.elapsed() < AWAY,
                "the server has been away for {} s; it goes on with the seed when it is started again",
                AWAY.as_secs()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let ended = follow(begun, look).await?;
    conclude(args, &ended)
}

/// Runs it without a server, always to its end.
async fn run_here(
    args: &args::Seed,
    config: Config,
    remote: &Remote,
    name: &str,
    now: bool,
) -> anyhow::Result<Ending> {
    let opened = engine::open(config, remote).await?;
    let runner = opened.runner().clone();
    let followed = async {
        let begun = runner.run(name, now).await?;
        tokio::select! {
            ended = follow(begun, async || Ok(runner.seed(name)?)) => ended,
            signal = interrupted() => {
                signal?;
                Ok(runner.stop(name).await?)
            }
        }
    };
    let ended = followed.await;
    drop(runner);
    opened.close().await;
    conclude(args, &ended?)
}

/// Resolves when the command is told to end.
async fn interrupted() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => done,
        _ = terminate.recv() => Ok(()),
    }
}

pub(super) async fn stop(args: &args::Seed, name: &str) -> anyhow::Result<Ending> {
    let path = format!("/api/v1/seeds/{}/stop", encoded(name));
    let offline = async |store: &crate::app::Offline| Ok(store.runner().stop(name).await?);
    let state: SeedState = ask(&args.asking, Question::Change(&path), offline).await?;
    output::answer(args.asking.json, &state, || summary(&state))
}

pub(super) async fn status(args: &args::Seed, name: Option<&str>) -> anyhow::Result<Ending> {
    if let Some(name) = name {
        let path = format!("/api/v1/seeds/{}", encoded(name));
        let offline = async |store: &crate::app::Offline| Ok(store.runner().seed(name)?);
        let state: SeedState = ask(&args.asking, Question::Look(&path), offline).await?;
        return output::answer(args.asking.json, &state, || summary(&state));
    }
    let look = Question::Look("/api/v1/seeds");
    let offline = async |store: &crate::app::Offline| Ok(store.runner().seeds());
    let seeds: Vec<SeedState> = ask(&args.asking, look, offline).await?;
    output::answer(args.asking.json, &seeds, || table(&seeds))
}

/// Watches a run until it has ended, and says meanwhile how far it is.
async fn follow(
    begun: SeedState,
    mut look: impl AsyncFnMut() -> anyhow::Result<SeedState>,
) -> anyhow::Result<SeedState> {
    let bar = output::Bar::new(&begun.seed.seed);
    let mut state = begun;
    let mut said: Option<(Instant, State)> = None;
    while state.run.journal.state.is_active() {
        let journal = &state.run.journal;
        bar.set(journal.bytes_done + state.run.bytes_received, journal.bytes, &progress(&state));
        let due = said.is_none_or(|(at, told)| told != journal.state || at.elapsed() >= SAY_EVERY);
        if due && !output::is_watched() {
            output::note(&format!("{}: {}", state.seed.seed, progress(&state)));
            said = Some((Instant::now(), journal.state));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        state = look().await?;
    }
    bar.done();
    Ok(state)
}

/// `12 of 40 files, 1.2 GB of 4 GB, 2 MB/s, 23 min 20 s left`.
fn progress(state: &SeedState) -> String {
    let (run, journal) = (&state.run, &state.run.journal);
    let opens = || match (run.opens_at, &state.seed.hours) {
        (Some(at), Some(hours)) => {
            format!("until {}; its hours are {hours} (--now does not wait)", local_time(at))
        }
        _ => "for its hours".to_owned(),
    };
    match journal.state {
        State::Waiting => return format!("waits {}", opens()),
        State::Planning => return "finding out what is missing".to_owned(),
        _ => {}
    }
    let mut text = format!(
        "{} of {} files, {} of {}",
        journal.files_done,
        journal.files,
        bytes_in_words(journal.bytes_done + run.bytes_received),
        bytes_in_words(journal.bytes)
    );
    // A failure to write to a string does not happen.
    if journal.state == State::Paused {
        let _ = write!(text, ", rests {}", opens());
    } else if let Some(rate) = run.bytes_per_second {
        let _ = write!(text, ", {}/s", bytes_in_words(rate));
    }
    if let Some(left) = run.seconds_left {
        let _ = write!(text, ", {} left", seconds_in_words(left));
    }
    if journal.failed > 0 {
        let _ = write!(text, ", {} could not be had", journal.failed);
    }
    text
}

fn conclude(args: &args::Seed, ended: &SeedState) -> anyhow::Result<Ending> {
    output::answer(args.asking.json, ended, || summary(ended))?;
    Ok(if ended.run.journal.state == State::Done { Ending::Done } else { Ending::Problem })
}

fn begun_text(begun: &SeedState) -> String {
    let name = &begun.seed.seed;
    let waits = begun.run.opens_at.filter(|_| !begun.run.journal.now);
    match waits {
        Some(at) => format!(
            "The seed {name} runs from {} on, within its hours; --now does not wait for them.\n",
            local_time(at)
        ),
        None => format!("The seed {name} runs; `lumbung seed status {name}` says how far it is.\n"),
    }
}

/// How a seed stands, with what could not be had.
fn summary(state: &SeedState) -> String {
    let (name, journal) = (&state.seed.seed, &state.run.journal);
    let left = bytes_in_words(state.run.bytes_missing.unwrap_or(0));
    let mut text = match journal.state {
        State::Idle => format!("{name}: was never run.\n"),
        State::Done => format!(
            "{name}: everything is here, {} packages, {} files, {}.\n",
            journal.packages,
            journal.files,
            bytes_in_words(journal.bytes)
        ),
        State::Incomplete => {
            format!("{name}: INCOMPLETE. {} files could not be had, {left} are missing.\n", journal.failed)
        }
        State::Failed => {
            format!("{name}: FAILED. It cannot run: {}.\n", journal.problem.as_deref().unwrap_or("unknown"))
        }
        State::Stopped => format!("{name}: stopped; {left} are missing. What has come is kept.\n"),
        State::Waiting | State::Planning | State::Running | State::Paused => {
            format!("{name}: {}: {}\n", journal.state.as_str(), progress(state))
        }
    };
    for file in &journal.failures {
        let _ = writeln!(text, "  {}: {}", file.path, file.reason);
    }
    let further = journal.failed.saturating_sub(journal.failures.len() as u64);
    if further > 0 {
        let _ = writeln!(text, "  and {further} more; the log names them");
    }
    if journal.unresolved > 0 {
        let _ = writeln!(
            text,
            "{} packages cannot be resolved; `lumbung seed plan {name}` says why.",
            journal.unresolved
        );
    }
    text
}

fn table(seeds: &[SeedState]) -> String {
    if seeds.is_empty() {
        return "No seed is configured: add a [[seed]] to the configuration.\n".to_owned();
    }
    let mut rows = vec![["SEED", "STATE", "FILES", "HERE", "MISSING", "LEFT", "HOURS"].map(str::to_owned)];
    rows.extend(seeds.iter().map(|state| {
        let (run, journal) = (&state.run, &state.run.journal);
        let nothing = || "-".to_owned();
        [
            state.seed.seed.clone(),
            journal.state.as_str().to_owned(),
            format!("{} of {}", journal.files_done, journal.files),
            format!("{} of {}", bytes_in_words(journal.bytes_done), bytes_in_words(journal.bytes)),
            run.bytes_missing.map_or_else(nothing, bytes_in_words),
            run.seconds_left.map_or_else(nothing, seconds_in_words),
            state.seed.hours.clone().unwrap_or_else(|| "always".to_owned()),
        ]
    }));
    columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(state: State) -> SeedState {
        let text = r#"{"seed":"s","repo":"u","suites":[],"components":[],"architectures":[],"wanted":"",
            "hours":"18:00-06:00","budget":null,"run":{"bytes_missing":300000000,"bytes_received":5000000,
            "bytes_per_second":2000000,"seconds_left":1400,"opens_at":null,"files":40,"files_done":12,
            "bytes":400000000,"bytes_done":100000000}}"#;
        let mut told: SeedState = serde_json::from_str(text).unwrap();
        told.run.journal.state = state;
        told
    }

    #[test]
    fn progress_tells_files_bytes_rate_and_time_left() {
        let told = progress(&state(State::Running));
        assert_eq!(told, "12 of 40 files, 105 MB of 400 MB, 2 MB/s, 23 min 20 s left");
        let mut paused = state(State::Paused);
        paused.run.opens_at = Some(0);
        assert!(progress(&paused).contains("rests until") && progress(&paused).contains("18:00-06:00"));
    }

    #[test]
    fn a_summary_names_what_could_not_be_had() {
        let mut told = state(State::Incomplete);
        told.run.journal.failed = 2;
        told.run.journal.failures =
            vec![crate::seed::FailedFile { path: "pool/a.deb".into(), reason: "gone".into() }];
        let text = summary(&told);
        assert!(text.contains("  pool/a.deb: gone\n  and 1 more"), "{text}");
    }
}
