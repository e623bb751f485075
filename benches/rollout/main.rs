//! A rollout in miniature: many desktops fetch the same packages at once, behind a thin, flaky line.
//!
//! ```text
//! cargo bench --bench rollout -- --folder DIR --keyring FILE --suite NAME --components main --packages A,B,C
//! ```
//!
//! `DIR` is what a web server would serve of an archive: `dists/` with a signed suite, and `pool/`. Lumbung plans
//! the packages as a seed, and what the plan lists (release file, indices, every package with what it needs) is
//! what each desktop fetches. Two rounds are run, each on an empty store:
//!
//! - *unseeded*: the desktops come, and everything crosses the line for the first time. It should cross once, and
//!   the line should be full until it has.
//! - *seeded*: `lumbung seed run` goes first, over a line without limits; then the desktops come. Nothing but checks
//!   of the release file should cross.
//!
//! The [line](relay) between Lumbung and the archive's server has 10 Mbit/s, 200 ms there and back, loses one packet
//! in a hundred, and is dead for 30 s every now and then. Further options: `--recommends no`, `--clients 100`,
//! `--rate 10` (Mbit/s), `--drop-every 90` (seconds of life between two deaths; 0 for none).
//!
//! Needs `nginx`. Nothing leaves the machine.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod desktops;
mod programs;
mod relay;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use desktops::{Wanted, roll_out};
use programs::{Archive, Lumbung};
use relay::{Line, Shape};

/// What was asked for on the command line.
struct Options {
    folder: PathBuf,
    keyring: PathBuf,
    suite: String,
    components: Vec<String>,
    packages: Vec<String>,
    recommends: bool,
    clients: usize,
    shape: Shape,
}

fn main() -> anyhow::Result<()> {
    let Some(options) = Options::from_arguments()? else {
        println!("nothing to roll out: give --folder, --keyring, --suite and --packages");
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(run(&options))
}

impl Options {
    /// `None` when there is no folder, as when all benchmarks are only tried.
    fn from_arguments() -> anyhow::Result<Option<Self>> {
        let mut options = Self {
            folder: PathBuf::new(),
            keyring: PathBuf::new(),
            suite: String::new(),
            components: vec!["main".to_owned()],
            packages: Vec::new(),
            recommends: true,
            clients: 100,
            shape: Shape { rate: 1_250_000, drop_every: Duration::from_secs(90), ..Shape::default() },
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            // cargo adds this one.
            if name == "--bench" || name == "--test" {
                continue;
            }
            let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
            match name.as_str() {
                "--folder" => options.folder = value.into(),
                "--keyring" => options.keyring = value.into(),
                "--suite" => options.suite = value,
                "--components" => options.components = value.split(',').map(str::to_owned).collect(),
                "--packages" => options.packages = value.split(',').map(str::to_owned).collect(),
                "--recommends" => options.recommends = value != "no",
                "--clients" => options.clients = value.parse()?,
                "--rate" => options.shape.rate = value.parse::<u64>()? * 125_000,
                "--drop-every" => options.shape.drop_every = Duration::from_secs(value.parse()?),
                _ => anyhow::bail!("there is no option {name}"),
            }
        }
        Ok((!options.folder.as_os_str().is_empty()).then_some(options))
    }
}

async fn run(options: &Options) -> anyhow::Result<()> {
    let scratch = tempfile::Builder::new().prefix("rollout").tempdir()?;
    let archive = Archive::serve(scratch.path(), &options.folder).await?;
    let seed = programs::Seed {
        keyring: options.keyring.clone(),
        suite: options.suite.clone(),
        components: options.components.clone(),
        packages: options.packages.clone(),
        recommends: options.recommends,
    };
    let wanted = plan(scratch.path(), &archive, &seed, options).await?;
    let unique: u64 = wanted.iter().map(|file| file.size).sum();
    println!(
        "{} desktops, each fetching {} files, {:.1} MB; the line: {:.0} Mbit/s, {} ms, 1 packet in {:.0} lost, dead for \
         {} s after every {} s\n",
        options.clients,
        wanted.len(),
        unique as f64 / 1e6,
        options.shape.rate as f64 * 8.0 / 1e6,
        2 * options.shape.delay.as_millis(),
        1.0 / options.shape.loss,
        options.shape.drop_for.as_secs(),
        options.shape.drop_every.as_secs()
    );

    let line = Line::to(archive.address(), options.shape).await?;
    let server = Lumbung::start(scratch.path(), "unseeded", line.address(), &seed).await?;
    line.shape(true);
    let begun = Instant::now();
    let round = roll_out(server.address(), &wanted, options.clients).await?;
    let (took, used) = (begun.elapsed(), line.use_until_now());
    let fetched = server.upstream_bytes().await?;
    println!("unseeded");
    row("all desktops done after", format!("{:.0} s", took.as_secs_f64()));
    row("slowest and median desktop", format!("{:.0} s, {:.0} s", round.slowest(), round.median()));
    row("interruptions that desktops saw", round.interrupted.to_string());
    row(
        "from upstream",
        format!("{:.1} MB, {:+.2} % of what is unique", fetched as f64 / 1e6, percent(fetched, unique)),
    );
    row(
        "over the line, heads included",
        format!("{:.1} MB, {:+.2} %", used.bytes as f64 / 1e6, percent(used.bytes, unique)),
    );
    row(
        "line full, while alive and wanted",
        format!("{:.1} % of {:.0} s alive, {:.0} s dead", used.full * 100.0, used.alive, used.dead),
    );
    row("served to desktops", format!("{:.2} GB", round.bytes as f64 / 1e9));
    server.stop()?;

    println!("\nseeded");
    line.shape(false);
    let server = Lumbung::start(scratch.path(), "seeded", line.address(), &seed).await?;
    let begun = Instant::now();
    server.seed()?;
    let seeded = line.use_until_now();
    row("seeding, over a line without limits", format!("{:.0} s", begun.elapsed().as_secs_f64()));
    row(
        "it fetched",
        format!("{:.1} MB, {:+.2} %", seeded.bytes as f64 / 1e6, percent(seeded.bytes, unique)),
    );
    line.shape(true);
    let before = archive.requests()?.len();
    let begun = Instant::now();
    let round = roll_out(server.address(), &wanted, options.clients).await?;
    row("all desktops done after", format!("{:.0} s", begun.elapsed().as_secs_f64()));
    row("slowest and median desktop", format!("{:.0} s, {:.0} s", round.slowest(), round.median()));
    let asked = archive.requests()?.split_off(before);
    let other: HashSet<_> = asked.iter().filter(|request| !request.contains("Release")).collect();
    row("over the line", format!("{} bytes", line.use_until_now().bytes));
    row("asked of the archive", format!("{} times, {} beside release files", asked.len(), other.len()));
    server.stop()
}

/// What a desktop fetches: the files of the seed that the folder has.
async fn plan(
    scratch: &std::path::Path,
    archive: &Archive,
    seed: &programs::Seed,
    options: &Options,
) -> anyhow::Result<Vec<Wanted>> {
    let server = Lumbung::start(scratch, "plan", archive.address(), seed).await?;
    let planned = server.plan()?;
    server.stop()?;
    let (here, missing): (Vec<_>, Vec<_>) =
        planned.into_iter().partition(|file| options.folder.join(&file.path).exists());
    if !missing.is_empty() {
        println!("{} planned files are not in the folder and are left out", missing.len());
    }
    anyhow::ensure!(!here.is_empty(), "nothing of the plan is in the folder");
    Ok(here)
}

fn row(what: &str, value: impl std::fmt::Display) {
    println!("  {what:<36} {value}");
}

fn percent(bytes: u64, of: u64) -> f64 {
    (bytes as f64 / of as f64 - 1.0) * 100.0
}
