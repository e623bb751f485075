//! Arguments in, exit code out; everything between is the library's.

use std::process::ExitCode;

fn main() -> ExitCode {
    lumbung::cli::run()
}
