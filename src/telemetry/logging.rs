//! Log lines: to standard error, for people or for machines, never twice.

use std::io;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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

/// Sends this process's log lines to standard error. Returns `false`, and changes nothing, when the
/// process logs already: an embedder's subscriber, or that of a server started earlier, stays.
///
/// # Errors
/// [`LogError`] when the level is none.
pub fn init(config: &LogConfig) -> Result<bool, LogError> {
    let registry = tracing_subscriber::registry().with(config.filter()?);
    let done = match config.format {
        LogFormat::Text => {
            let colours = io::IsTerminal::is_terminal(&io::stderr());
            registry.with(fmt::layer().with_writer(io::stderr).with_ansi(colours)).try_init()
        }
        LogFormat::Json => {
            // Without the module, whose key would be that of a request's target: the later of two wins
            // in most readers.
            let lines = fmt::layer().json().flatten_event(true).with_target(false);
            registry.with(lines.with_writer(io::stderr).with_ansi(false)).try_init()
        }
    };
    Ok(done.is_ok())
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
        assert!(!init(&config("off")).unwrap());
        assert!(init(&config("loud")).is_err());
    }
}
