//! Lumbung beside its peers, on this machine, in one command:
//!
//! ```text
//! cargo bench --bench peers                          everything
//! cargo bench --bench peers -- --cases herd,mixed    the cases with one of these in their names
//! cargo bench --bench peers -- --rounds 3 --seconds 2 --peer-rounds 1
//! cargo bench --bench peers -- --markdown FILE       the table to a file, too: what the README shows
//! cargo bench --bench peers -- --list                names of all cases
//! cargo bench --bench peers -- --smoke               does it run? Numbers mean nothing
//! LUMBUNG=… cargo bench --bench peers                another build of it than the one made along
//! ```
//!
//! Each [contestant](contestant) has the configuration that a careful administrator would write, and runs on
//! CPU 0. The generator, which is this program or `wrk`, and the [origin] behind a line of a given rate run on
//! CPU 1. Rounds are interleaved, so that what else the machine does hits everyone alike, and each figure is
//! the median of its rounds between its extremes. What to trust is the CPU time of the server's processes and
//! ratios within the same round. Where the generator was busy all the time, and so may have been the limit,
//! the table says so.
//!
//! Every body of the cases that fetch is compared byte by byte as it comes. What `wrk` asks for is fetched
//! twice and compared before it is measured, and once afterwards.
//!
//! Needs `nginx`, `wrk` and `taskset`; `varnishd`, `apt-cacher-ng` (all from Debian) and `apt-cacher-rs`
//! (`cargo install apt-cacher-rs`) take part where they are installed. Nothing leaves the machine.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]
#![expect(clippy::expect_used, reason = "a lock that a panic has poisoned ends the benchmark")]

#[path = "../../tests/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    clippy::pedantic,
    clippy::expect_used,
    reason = "made for tests, which use all of it"
)]
mod support;

mod bench;
mod cases;
mod client;
mod content;
mod contestant;
mod files;
mod load;
mod machine;
mod origin;
mod process;
mod report;

use std::path::PathBuf;

use anyhow::Context as _;

use bench::Bench;
use cases::Case;
use report::Report;

/// What was asked for on the command line.
pub struct Options {
    smoke: bool,
    list: bool,
    rounds: usize,
    /// Rounds in which those take part whom no bar names.
    peer_rounds: usize,
    /// How long `wrk` asks, in seconds.
    seconds: u64,
    cases: Vec<String>,
    markdown: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::from_arguments()?;
    let all = cases::all(options.smoke);
    if options.list {
        for case in &all {
            println!("{}", case.name());
        }
        return Ok(());
    }
    let wanted = |case: &dyn Case| {
        options.cases.is_empty() || options.cases.iter().any(|part| case.name().contains(part.as_str()))
    };
    let chosen: Vec<_> = all.iter().map(|case| &**case).filter(|case| wanted(*case)).collect();
    anyhow::ensure!(!chosen.is_empty(), "no case has such a name; --list shows all");
    process::pin()?;
    let mut bench = Bench::new(&options, &chosen)?;
    let mut report = Report::new(machine::describe()?);
    for round in 0..options.rounds {
        bench.peers = round < options.peer_rounds;
        report.round = round;
        for case in &chosen {
            let began = std::time::Instant::now();
            case.run(&bench, &mut report).with_context(|| case.name().to_owned())?;
            println!(
                "round {} of {}: {} ({:.1} s)",
                round + 1,
                options.rounds,
                case.name(),
                began.elapsed().as_secs_f64()
            );
        }
    }
    println!("\n{report}");
    if let Some(file) = &options.markdown {
        std::fs::write(file, report.to_string()).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

impl Options {
    fn from_arguments() -> anyhow::Result<Self> {
        let mut options = Self {
            smoke: false,
            list: false,
            rounds: 5,
            peer_rounds: usize::MAX,
            seconds: 3,
            cases: Vec::new(),
            markdown: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
            match argument.as_str() {
                "--smoke" => (options.smoke, options.rounds, options.seconds) = (true, 1, 1),
                "--list" => options.list = true,
                "--rounds" => options.rounds = value()?.parse()?,
                "--peer-rounds" => options.peer_rounds = value()?.parse()?,
                "--seconds" => options.seconds = value()?.parse()?,
                "--cases" => options.cases = value()?.split(',').map(str::to_owned).collect(),
                "--markdown" => options.markdown = Some(value()?.into()),
                // Given by cargo to every benchmark.
                "--bench" => {}
                other => anyhow::bail!("{other} is not known here; see the top of benches/peers/main.rs"),
            }
        }
        Ok(options)
    }
}
