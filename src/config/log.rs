//! `[log]`: as written, with defaults, validated.

use super::reader::Table;
use crate::telemetry::{LogConfig, LogFormat};

/// Reads the section. Its keys contradict nothing, so that one step does.
pub(super) fn read(table: Table<'_>) -> LogConfig {
    let default = LogConfig::default();
    let format = table.item("format").and_then(|item| item.read(format)).map(|given| given.value);
    let level = table.item("level").and_then(|item| item.read(level)).map(|given| given.value);
    table.finish();
    LogConfig { format: format.unwrap_or(default.format), level: level.unwrap_or(default.level) }
}

fn format(text: &str) -> Result<LogFormat, &'static str> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("it must be \"text\" or \"json\""),
    }
}

fn level(text: &str) -> Result<String, String> {
    let config = LogConfig { format: LogFormat::Text, level: text.to_owned() };
    config.filter().map_err(|why| why.to_string())?;
    Ok(config.level)
}
