//! The command line: each command turns arguments into one call and prints what comes back.
//!
//! Only [`output`] prints. Standard output carries what was asked for, standard error what is said
//! about it. A command ends with 0 when done, 1 when it found or met a problem, 2 when it was called
//! wrongly.

mod args;
mod carry;
mod check;
mod client;
mod engine;
mod follow;
mod generate;
mod output;
mod rehearse;
mod reload;
mod remote;
mod report;
mod seed;
mod serve;
mod status;
mod suite;
mod verify;
mod why;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Done: 0.
    Done,
    /// A problem was found and has been reported: 1.
    Problem,
}

/// Runs the command that this process was started with.
#[must_use]
pub fn run() -> ExitCode {
    // Wrong usage, `--help` and `--version` end here, with clap's words and its 2 or 0.
    let args = Args::parse();
    let ending = match args.command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Check(check) => check::run(&check),
        Command::Status(status) => status::run(&status),
        Command::Report(report) => report::run(&report),
        Command::Seed(seed) => seed::run(&seed),
        Command::Rehearse(rehearse) => rehearse::run(&rehearse),
        Command::Suite(suite) => suite::run(&suite),
        Command::Verify(verify) => verify::run(&verify),
        Command::Import(import) => carry::import(&import),
        Command::Export(export) => carry::export(&export),
        Command::Reload(reload) => reload::run(&reload),
        Command::Client(client) => client::run(&client),
        Command::Why(why) => why::run(&why),
        Command::Completions { shell } => Ok(generate::completions(shell)),
        Command::Man => generate::man(),
    };
    match ending {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Problem) => ExitCode::FAILURE,
        Err(error) => {
            output::problem(&error);
            ExitCode::FAILURE
        }
    }
}
