//! The only place that prints.
//!
//! A reader that went away (`lumbung status | head -1`) is no problem worth a message: what is printed
//! after that is dropped.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

/// Prints what was asked for, as it is.
pub(super) fn data(text: &dyn Display) {
    let mut out = io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Prints bytes that were asked for.
pub(super) fn bytes(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Prints a new picture of something watched: on a terminal in place of the one before, elsewhere
/// below it.
pub(super) fn picture(text: &dyn Display) {
    if io::stdout().is_terminal() {
        // Home, clear to the end; less flicker than clearing first.
        data(&format_args!("\x1b[H\x1b[J{text}"));
    } else {
        data(&format_args!("{text}\n"));
    }
}

/// Says on standard error what went wrong, with its causes.
pub(super) fn problem(error: &anyhow::Error) {
    let _ = writeln!(io::stderr().lock(), "lumbung: {error:#}");
}
