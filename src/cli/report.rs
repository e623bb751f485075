//! `lumbung report`: what was asked for, by whom, and what it saved.

use jiff::tz::TimeZone;

use super::args::ReportFormat;
use super::remote::{Asked, Remote};
use super::{Ending, args, output};
use crate::clock::Clock;
use crate::config::Config;
use crate::history::{self, By, FILE, Query, Reader, Row};
use crate::status::{bytes_in_words, columns};

pub(super) fn run(args: &args::Report) -> anyhow::Result<Ending> {
    let config = Config::load(args.file.config.as_deref())?;
    let zone = config.wan.zone.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let rows = runtime.block_on(rows(args, &config))?;
    match args.format {
        ReportFormat::Json => output::answer(true, &rows, String::new),
        ReportFormat::Csv => {
            output::data(&history::csv(args.by, &rows, &zone)?);
            Ok(Ending::Done)
        }
        ReportFormat::Table => {
            output::data(&table(args.by, &rows, &zone));
            Ok(Ending::Done)
        }
    }
}

/// From the running server, which writes what it has in memory first; or from the file.
async fn rows(args: &args::Report, config: &Config) -> anyhow::Result<Vec<Row>> {
    let remote = Remote::new(args.admin.unwrap_or(config.server.admin), &config.store.path)?;
    let path = format!("/api/v1/report?by={}&since={}h", args.by, args.since.div_ceil(3600));
    if let Asked::Answer(rows) = remote.get(&path).await? {
        return Ok(rows);
    }
    let (file, zone) = (config.store.path.join(FILE), config.wan.zone.clone());
    let query = Query { by: args.by, since: args.since };
    let read = move || Reader::open(&file, zone, Clock::system().unix())?.report(query);
    Ok(tokio::task::spawn_blocking(read).await??)
}

/// The rows for a terminal.
fn table(by: By, rows: &[Row], zone: &TimeZone) -> String {
    if rows.is_empty() {
        return "Nothing was asked for in this time.\n".to_owned();
    }
    let mut head = vec![by.as_str().to_uppercase()];
    let mut titles = vec!["REQUESTS", "SENT", "HIT RATE", "OF BYTES"];
    match by {
        By::Repo | By::Day => titles.extend(["OVER WAN", "SAVED"]),
        By::Client => titles.extend(["OFFICE", "LAST SEEN", "LAST UPDATE"]),
        By::Office | By::Package => {}
    }
    head.extend(titles.into_iter().map(str::to_owned));
    let line = |row: &Row| {
        let name = match row.subject(by) {
            "" => "(none)",
            name => name,
        };
        let mut cells = vec![
            plain(name),
            row.requests.to_string(),
            bytes_in_words(row.served_bytes),
            percent(row.hit_ratio_requests),
            percent(row.hit_ratio_bytes),
        ];
        match by {
            By::Repo | By::Day => cells.extend([
                bytes_in_words(row.upstream_bytes.unwrap_or(0)),
                bytes_in_words(row.wan_saved.unwrap_or(0)),
            ]),
            By::Client => cells.extend([
                plain(row.office.as_deref().filter(|office| !office.is_empty()).unwrap_or("(none)")),
                time(row.last_seen, zone),
                time(row.last_update, zone),
            ]),
            By::Office | By::Package => {}
        }
        cells
    };
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(rows.iter().map(line)).collect();
    columns(&lines)
}

/// A name without what could command a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '?' } else { character }).collect()
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

fn time(time: Option<i64>, zone: &TimeZone) -> String {
    let Some(time) = time else { return "-".to_owned() };
    history::local(time, zone).strftime("%Y-%m-%d %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_names_what_belongs_to_none() {
        let row = Row {
            office: Some(String::new()),
            requests: 4,
            served_bytes: 2_000_000,
            hit_ratio_bytes: Some(0.5),
            ..Row::default()
        };
        let text = table(By::Office, &[row], &TimeZone::UTC);
        assert!(text.starts_with("OFFICE ") && text.contains("(none)") && text.contains("50.0 %"), "{text}");
        assert!(table(By::Day, &[], &TimeZone::UTC).contains("Nothing was asked for"));
    }
}
