//! Log lines: to standard error, for people or for machines, never twice.

use std::io;

use serde::{Deserialize, Serialize};
use tracing_subscriber::layer::{Layered, SubscriberExt as _};
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line an event; colours on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// A level (`error`, `warn`, `info`, `debug`, `trace`), or directives as tracing's `EnvFilter`
    /// reads them: `info,lumbung::upstream=debug`.
    pub level: String,
}

impl Default for LogConfig {
    /// Text at `info`: an administrator sees every start, stop and degradation, but no request.
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// The level is none.
#[derive(Debug, thiserror::Error)]
#[error("`{level}` is no log level: {reason}; use error, warn, info, debug or trace")]
pub struct LogError {
    level: String,
    reason: String,
}

impl LogConfig {
    /// The filter that [`LogConfig::level`] describes.
    ///
    /// # Errors
    /// [`LogError`] when it describes none, so that a configuration can be refused before it is used.
    pub fn filter(&self) -> Result<EnvFilter, LogError> {
        let refuse = |reason: String| LogError { level: self.level.clone(), reason };
        if self.level.trim().is_empty() {
            return Err(refuse("it is empty".to_owned()));
        }
        // A lone word that is no level would be taken for the name of a module, and silence the rest.
        let lone = !self.level.contains([',', '=', '[']);
        if lone && self.level.trim().parse::<tracing_subscriber::filter::LevelFilter>().is_err() {
            return Err(refuse("it is not one of the levels".to_owned()));
        }
        EnvFilter::try_new(self.level.trim()).map_err(|error| refuse(error.to_string()))
    }
}

/// Changes what is logged, and how, while the process runs.
#[derive(Clone)]
pub struct LogControl {
    filter: Handle<EnvFilter, Registry>,
    lines: Handle<Printer, Filtered>,
}

/// The registry below the filter.
type Filtered = Layered<reload::Layer<EnvFilter, Registry>, Registry>;

/// What makes lines of events.
type Printer = Box<dyn Layer<Filtered> + Send + Sync>;

impl LogControl {
    /// Logs as `config` says from the next event on.
    ///
    /// # Errors
    /// [`LogError`] when the level is none; nothing has changed then.
    pub fn follow(&self, config: &LogConfig) -> Result<(), LogError> {
        let filter = config.filter()?;
        // Fails only once the process's subscriber is gone, and then nothing is logged at all.
        let _ = self.filter.reload(filter);
        let _ = self.lines.reload(printer(config.format));
        Ok(())
    }
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl").finish_non_exhaustive()
    }
}

/// Sends this process's log lines to standard error. Returns `None`, and changes nothing, when the
/// process logs already: an embedder's subscriber, or that of a server started earlier, stays.
///
/// # Errors
/// [`LogError`] when the level is none.
pub fn init(config: &LogConfig) -> Result<Option<LogControl>, LogError> {
    let (filter, filter_handle) = reload::Layer::new(config.filter()?);
    let (lines, lines_handle) = reload::Layer::new(printer(config.format));
    let done = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Ok(done.is_ok().then_some(LogControl { filter: filter_handle, lines: lines_handle }))
}

fn printer(format: LogFormat) -> Printer {
    match format {
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            Box::new(fmt::layer().with_writer(io::stderr).with_ansi(colours))
        }
        LogFormat::Json => {
            // Without the module, whose key would be that of a request's target: the later of two wins
            // in most readers.
            let lines = fmt::layer().json().flatten_event(true).with_target(false);
            Box::new(lines.with_writer(io::stderr).with_ansi(false))
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn config(level: &str) -> LogConfig {
        LogConfig { format: LogFormat::Json, level: level.to_owned() }
    }

    #[rstest]
    #[case("info")]
    #[case(" WARN ")]
    #[case("off")]
    #[case("info,lumbung::upstream=debug")]
    fn levels_and_directives_are_taken(#[case] level: &str) {
        assert!(config(level).filter().is_ok());
    }

    #[rstest]
    #[case("")]
    #[case("loud")]
    #[case("lumbung=loud")]
    fn other_words_are_refused_with_the_allowed_ones(#[case] level: &str) {
        let message = config(level).filter().unwrap_err().to_string();
        assert!(message.contains(level) && message.contains("warn, info"), "{message}");
    }

    #[test]
    fn a_second_start_in_one_process_keeps_the_first_subscriber() {
        // Another test of this process may have been first; the second call here never is.
        init(&config("off")).unwrap();
        assert!(init(&config("off")).unwrap().is_none());
        assert!(init(&config("loud")).is_err());
    }
}
