//! The only place that prints.
//!
//! A reader that went away (`lumbung status | head -1`) is no problem worth a message: what is printed
//! after that is dropped.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::Ending;

/// Prints what was asked for, as it is.
pub(super) fn data(text: &dyn Display) {
    let mut out = io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Prints an answer: as JSON, or in words.
///
/// # Errors
/// When it cannot be written as JSON.
pub(super) fn answer(
    json: bool,
    value: &impl Serialize,
    words: impl FnOnce() -> String,
) -> anyhow::Result<Ending> {
    let text = if json { serde_json::to_string_pretty(value)? + "\n" } else { words() };
    data(&text);
    Ok(Ending::Done)
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

/// Whether what is said about long work is read as it is written.
pub(super) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Says on standard error how far something is: on a terminal in place of what was said before.
pub(super) fn progress(text: &dyn Display) {
    let mut err = io::stderr().lock();
    // The start of the line, and clear to its end.
    let _ = if is_watched() { write!(err, "\r\x1b[K{text}") } else { writeln!(err, "{text}") };
    let _ = err.flush();
}

/// Takes the last [`progress`] off a terminal.
pub(super) fn progress_done() {
    if is_watched() {
        progress(&"");
    }
}

/// A bar on standard error that shows how far something is, on a terminal only.
pub(super) struct Bar(ProgressBar);

impl Bar {
    pub(super) fn new(name: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
        // The template is one of ours; a default would do.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {wide_bar} {percent}%\n{spinner} {msg}") {
            bar.set_style(style);
        }
        bar.set_prefix(name.to_owned());
        Self(bar)
    }

    /// Shows `done` of `all` bytes, and words.
    pub(super) fn set(&self, done: u64, all: u64, words: &str) {
        self.0.set_length(all);
        self.0.set_position(done.min(all));
        self.0.set_message(words.to_owned());
        self.0.tick();
    }

    /// Takes it off the terminal.
    pub(super) fn done(&self) {
        self.0.finish_and_clear();
    }
}

/// A point in time, in seconds since 1970, as tables show it in UTC.
pub(super) fn date(seconds: Option<i64>) -> String {
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| "-".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

/// Says something on standard error.
pub(super) fn note(text: &dyn Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says on standard error what went wrong, with its causes.
pub(super) fn problem(error: &anyhow::Error) {
    let _ = writeln!(io::stderr().lock(), "lumbung: {error:#}");
}
