//! Lumbung beside its peers, on this machine, in one command:
//!
//! ```text
//! cargo bench --bench peers                    everything, about ten minutes
//! cargo bench --bench peers -- --case mixed    the cases with this in their names
//! cargo bench --bench peers -- --smoke         does it run? Numbers mean nothing
//! ```
//!
//! Each [contestant](contestant) is started with the configuration that a careful administrator would
//! write, serves the same files from memory on CPU 0, and is asked by `wrk` on CPU 1. Rounds are
//! interleaved, so that what else the machine does hits everyone alike, and each figure is the median of
//! its rounds beside its spread. What to trust is the CPU time of the server's processes and its ratio to
//! the reference (the first contestant) within the same round; rates depend on the generator, whose limit
//! is named where it was met.
//!
//! Before anything is measured, every file is fetched from every contestant and compared.
//!
//! Needs `nginx`, `wrk` and `taskset` (Debian: nginx, wrk, util-linux). Nothing leaves the machine.

#![expect(clippy::print_stdout, reason = "a benchmark's result is its output")]

mod case;
mod contestant;
mod cpu;
mod fetch;
mod files;
mod load;
mod report;

use std::time::Duration;

use anyhow::Context as _;

use case::Case;
use contestant::Contestant;
use report::{Measurement, Report};

/// What was asked for on the command line.
struct Options {
    smoke: bool,
    rounds: usize,
    duration: Duration,
    case: Option<String>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::from_arguments()?;
    let folder = tempfile::Builder::new().prefix("peers").tempdir()?;
    let cases = Case::all(options.smoke);
    let chosen: Vec<_> = cases
        .iter()
        .filter(|case| options.case.as_ref().is_none_or(|part| case.name.contains(part.as_str())))
        .collect();
    let root = folder.path().join("files");
    for case in &chosen {
        files::make(&root, &case.files)?;
    }
    let nginx = contestant::nginx(folder.path(), &root)?;
    let lumbung = contestant::lumbung(folder.path(), nginx.address)?;
    let contestants = [nginx, lumbung];
    for case in &chosen {
        for contestant in &contestants {
            fetch::check(contestant, &root, &case.files)
                .with_context(|| format!("{} in {}", contestant.name, case.name))?;
        }
    }
    let mut report = Report::new(contestants.iter().map(|contestant| contestant.name).collect());
    for round in 1..=options.rounds {
        for case in &chosen {
            for contestant in &contestants {
                report.add(case.name, contestant.name, measure(case, contestant, folder.path(), &options)?);
            }
        }
        if !options.smoke {
            println!("round {round} of {} done", options.rounds);
        }
    }
    println!("{report}");
    Ok(())
}

fn measure(
    case: &Case,
    contestant: &Contestant,
    folder: &std::path::Path,
    options: &Options,
) -> anyhow::Result<Measurement> {
    let before = cpu::used(contestant.process)?;
    let load = load::run(case, contestant, folder, options.duration)?;
    let cpu = cpu::used(contestant.process)?.saturating_sub(before);
    anyhow::ensure!(load.requests > 0, "{} answered nothing in {}", contestant.name, case.name);
    anyhow::ensure!(
        load.errors == 0,
        "{} requests of {} failed at {}",
        load.errors,
        case.name,
        contestant.name
    );
    Ok(Measurement { cpu, load, unit: case.unit })
}

impl Options {
    fn from_arguments() -> anyhow::Result<Self> {
        let mut options = Self { smoke: false, rounds: 5, duration: Duration::from_secs(4), case: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--smoke" => {
                    (options.smoke, options.rounds, options.duration) = (true, 1, Duration::from_secs(1));
                }
                "--rounds" => {
                    options.rounds = arguments.next().context("--rounds needs a number")?.parse()?;
                }
                "--case" => options.case = Some(arguments.next().context("--case needs a part of a name")?),
                // Given by cargo to every benchmark.
                "--bench" => {}
                other => anyhow::bail!("{other} is not known here; see the top of benches/peers/main.rs"),
            }
        }
        Ok(options)
    }
}
