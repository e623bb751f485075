//! A report for a spreadsheet: RFC 4180, with a line of names.

use jiff::tz::TimeZone;

use super::calendar::local;
use super::report::{By, Row};

/// The rows as CSV. Times are local, ratios have four digits; a name that a spreadsheet would take for a formula
/// has an apostrophe in front, since names of offices and packages come from elsewhere.
///
/// # Errors
/// Only when writing to memory fails.
pub fn csv(by: By, rows: &[Row], zone: &TimeZone) -> std::io::Result<String> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::with_capacity(4096));
    writer.write_record(columns(by))?;
    for row in rows {
        writer.write_record(columns(by).iter().map(|column| cell(row, column, zone)))?;
    }
    let bytes = writer.into_inner().map_err(|error| std::io::Error::other(error.to_string()))?;
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

/// The fields that rows of this kind have, named as in JSON.
fn columns(by: By) -> Vec<&'static str> {
    let mut columns = vec![by.as_str()];
    let counts = ["hits", "misses", "errors"];
    let bytes = ["served_bytes", "served_from_store", "served_from_upstream"];
    if by == By::Client {
        columns.push("office");
    }
    columns.push("requests");
    if by != By::Package {
        columns.extend(counts);
    }
    columns.extend(bytes);
    if matches!(by, By::Repo | By::Day) {
        columns.extend(["upstream_bytes", "wan_saved"]);
    }
    if by != By::Package {
        columns.push("hit_ratio_requests");
    }
    columns.push("hit_ratio_bytes");
    if by == By::Client {
        columns.extend(["last_seen", "last_update"]);
    }
    columns
}

fn cell(row: &Row, column: &str, zone: &TimeZone) -> String {
    let text = |text: &Option<String>| text.as_deref().map(harmless).unwrap_or_default();
    let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
    let ratio = |ratio: Option<f64>| ratio.map(|ratio| format!("{ratio:.4}")).unwrap_or_default();
    let time = |time: Option<i64>| {
        time.map(|time| local(time, zone).strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default()
    };
    match column {
        "repo" => text(&row.repo),
        "client" => text(&row.client),
        "package" => text(&row.package),
        "day" => text(&row.day),
        "office" => text(&row.office),
        "requests" => row.requests.to_string(),
        "hits" => number(row.hits),
        "misses" => number(row.misses),
        "errors" => number(row.errors),
        "served_bytes" => row.served_bytes.to_string(),
        "served_from_store" => row.served_from_store.to_string(),
        "served_from_upstream" => row.served_from_upstream.to_string(),
        "upstream_bytes" => number(row.upstream_bytes),
        "wan_saved" => number(row.wan_saved),
        "hit_ratio_requests" => ratio(row.hit_ratio_requests),
        "hit_ratio_bytes" => ratio(row.hit_ratio_bytes),
        "last_seen" => time(row.last_seen),
        "last_update" => time(row.last_update),
        _ => String::new(),
    }
}

/// A text that no spreadsheet computes.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_lines_and_formulas_stay_text() {
        let office = |name: &str| Row { office: Some(name.to_owned()), requests: 1, ..Row::default() };
        let rows = [office("Dinas \"A\", B"), office("=1+1"), office("two\r\nlines"), office("@x")];
        let text = csv(By::Office, &rows, &TimeZone::UTC).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        assert_eq!(reader.headers().unwrap().iter().next(), Some("office"));
        let names: Vec<String> = reader.records().map(|record| record.unwrap()[0].to_owned()).collect();
        assert_eq!(names, ["Dinas \"A\", B", "'=1+1", "two\r\nlines", "'@x"]);
        assert!(text.contains("\"Dinas \"\"A\"\", B\",1,") && text.ends_with("\r\n"), "{text}");
    }

    #[test]
    fn every_column_has_its_field() {
        let row = Row {
            last_seen: Some(1_795_521_600),
            last_update: Some(0),
            hits: Some(3),
            misses: Some(1),
            errors: Some(0),
            upstream_bytes: Some(7),
            wan_saved: Some(8),
            hit_ratio_requests: Some(0.75),
            hit_ratio_bytes: Some(1.0),
            repo: Some("a".to_owned()),
            client: Some("b".to_owned()),
            package: Some("c".to_owned()),
            day: Some("d".to_owned()),
            office: Some("e".to_owned()),
            ..Row::default()
        };
        let json = serde_json::to_value(&row).unwrap();
        for by in By::ALL {
            for column in columns(by) {
                assert!(json.get(column).is_some(), "{column} is no field of the JSON");
                assert!(!cell(&row, column, &TimeZone::UTC).is_empty(), "{column}");
            }
        }
        assert_eq!(cell(&row, "last_seen", &TimeZone::UTC), "2026-11-24 12:00:00");
    }
}
