//! A [`Status`] in words and columns, for a terminal.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Requests, SeedHits, Status, Wan};
use crate::seed::SeedState;
use crate::units::BitRate;

/// A size for people: `940 MB`, `12.5 GB`. Powers of ten, as disks and lines are sold.
#[must_use]
pub fn bytes_in_words(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut tenths, mut unit) = (bytes / 100, 0);
    while tenths >= 10_000 {
        tenths /= 1000;
        unit += 1;
    }
    if tenths < 1000 && !tenths.is_multiple_of(10) {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    } else {
        format!("{} {}", tenths / 10, UNITS[unit])
    }
}

/// A duration for people: its two largest units, `1 d 2 h`, `45 s`.
#[must_use]
pub fn seconds_in_words(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attention = self.attention();
        writeln!(f, "Lumbung {}, running for {}", self.version, seconds_in_words(self.uptime_seconds))?;
        let listen: Vec<String> = self.listen.iter().map(ToString::to_string).collect();
        write_pairs(
            f,
            &[
                ("configuration", self.config.clone()),
                ("desktops ask", listen.join(", ")),
                ("administrators ask", self.admin.to_string()),
                ("connections", self.connections.to_string()),
            ],
        )?;

        if attention.is_empty() {
            writeln!(f, "\nNothing needs attention.")?;
        } else {
            writeln!(f, "\nNEEDS ATTENTION")?;
            for note in &attention {
                writeln!(f, "  ! {note}")?;
            }
        }
        self.write_totals(f)?;
        self.write_store(f)?;
        writeln!(f, "\nWAN")?;
        write_pairs(f, &wan_in_words(&self.wan))?;
        self.write_repos(f)?;
        self.write_seeds(f)?;
        self.write_flights(f)
    }
}

impl Status {
    fn write_totals(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let traffic = self.totals.traffic;
        writeln!(f, "\nSINCE THE START")?;
        write_pairs(
            f,
            &[
                ("requests", requests_in_words(&traffic.requests)),
                (
                    "sent to desktops",
                    bytes_in_words(traffic.served_from_store + traffic.served_from_upstream),
                ),
                ("came over the WAN", bytes_in_words(traffic.fetched)),
                ("WAN traffic saved", bytes_in_words(self.totals.wan_saved)),
                ("answered without a new transfer", percent(self.totals.hit_ratio_requests)),
                ("bytes that were here already", percent(self.totals.hit_ratio_bytes)),
                ("hits that seeding made", seed_hits_in_words(&traffic.seeds)),
            ],
        )
    }

    fn write_store(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = &self.store;
        let held = format!("{} in {} objects", bytes_in_words(store.bytes), store.objects);
        writeln!(f, "\nSTORE {}", store.path.display())?;
        write_pairs(
            f,
            &[
                ("held", held),
                ("limit", store.limit.map_or_else(|| "none but free space".to_owned(), bytes_in_words)),
                (
                    "free on the disk",
                    format!(
                        "{} ({} are left free)",
                        bytes_in_words(store.free),
                        bytes_in_words(store.min_free)
                    ),
                ),
                ("removed to make room", bytes_in_words(store.evicted_bytes)),
            ],
        )
    }

    fn write_repos(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows =
            vec![["REPOSITORY", "KIND", "TRUST", "REQUESTS", "SENT", "OVER WAN"].map(str::to_owned)];
        for repo in &self.repos {
            let traffic = repo.traffic;
            rows.push([
                repo.name.clone(),
                repo.kind.clone(),
                repo.trust.clone(),
                traffic.requests.all().to_string(),
                bytes_in_words(traffic.served_from_store + traffic.served_from_upstream),
                bytes_in_words(traffic.fetched),
            ]);
        }
        writeln!(f)?;
        write_table(f, &rows)?;

        let mut rows = vec![["UPSTREAM", "OF", "STATE"].map(str::to_owned)];
        for repo in &self.repos {
            for upstream in &repo.upstreams {
                let mut state = if upstream.healthy { "answers" } else { "rests" }.to_owned();
                if let Some(seconds) = upstream.resting_seconds {
                    let _ = write!(state, ", asked again in {}", seconds_in_words(seconds));
                }
                if let Some(error) = &upstream.last_error {
                    let _ = write!(state, "; last failure: {error}");
                }
                rows.push([upstream.url.clone(), repo.name.clone(), state]);
            }
        }
        writeln!(f)?;
        write_table(f, &rows)
    }

    fn write_seeds(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seeds.is_empty() {
            return Ok(());
        }
        let mut rows = vec![["SEED", "OF", "STATE", "MISSING", "LEFT"].map(str::to_owned)];
        let unknown = || "-".to_owned();
        rows.extend(self.seeds.iter().map(|SeedState { seed, run }| {
            [
                seed.seed.clone(),
                seed.repo.clone(),
                run.journal.state.as_str().to_owned(),
                run.bytes_missing.map_or_else(unknown, bytes_in_words),
                run.seconds_left.map_or_else(unknown, seconds_in_words),
            ]
        }));
        writeln!(f)?;
        write_table(f, &rows)?;
        self.channels_wait_for.iter().try_for_each(|waits| writeln!(f, "{waits}"))
    }

    fn write_flights(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flights.is_empty() {
            return writeln!(f, "\nNothing is being fetched.");
        }
        let mut rows = vec![["FETCHING NOW", "OF", "RECEIVED", "CLIENTS", "FOR"].map(str::to_owned)];
        for flight in &self.flights {
            let total = flight.total.map_or_else(|| "?".to_owned(), bytes_in_words);
            rows.push([
                flight.path.clone(),
                flight.repo.clone(),
                format!("{} of {total}", bytes_in_words(flight.received)),
                flight.readers.to_string(),
                seconds_in_words(flight.seconds),
            ]);
        }
        writeln!(f)?;
        write_table(f, &rows)
    }
}

fn seed_hits_in_words(hits: &SeedHits) -> String {
    let SeedHits { hits, first, bytes } = *hits;
    if hits == 0 {
        return "none".to_owned();
    }
    format!("{hits}, {first} of them would have waited; {}", bytes_in_words(bytes))
}

fn wan_in_words(wan: &Wan) -> Vec<(&'static str, String)> {
    let limit = |limit: Option<u64>| {
        limit.map_or_else(|| "unlimited".to_owned(), |bytes| BitRate::of_bytes(bytes).to_string())
    };
    let waiting = wan.waiting;
    let mut pairs = vec![("limit", limit(wan.limit)), ("used now", BitRate::of_bytes(wan.rate).to_string())];
    if let Some(change) = wan.change {
        pairs.push(("next limit", format!("{} from {}", limit(change.limit), local_time(change.at))));
    }
    let waits =
        [(waiting.client, "for desktops"), (waiting.refresh, "for suites"), (waiting.seed, "for seeds")];
    let waits: Vec<String> =
        waits.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if !waits.is_empty() {
        pairs.push(("transfers that wait for their turn", waits.join(", ")));
    }
    pairs
}

/// A point in time on the reader's clock, `Fri 20 Nov 18:00`.
#[must_use]
pub fn local_time(unix: i64) -> String {
    let zone = TimeZone::try_system().unwrap_or(TimeZone::UTC);
    Timestamp::from_second(unix)
        .map_or_else(|_| unix.to_string(), |at| zone.to_datetime(at).strftime("%a %-d %b %H:%M").to_string())
}

fn requests_in_words(requests: &Requests) -> String {
    let parts = [
        (requests.hit, "from the store"),
        (requests.joined, "joined a running transfer"),
        (requests.revalidated, "confirmed by upstream"),
        (requests.miss, "fetched"),
        (requests.stale, "kept copies, unconfirmed"),
        (requests.passed, "past the store"),
        (requests.error, "refused or failed"),
    ];
    let mut words = requests.all().to_string();
    let named: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if !named.is_empty() {
        let _ = write!(words, ": {}", named.join(", "));
    }
    words
}

fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "no request yet".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

fn write_pairs(f: &mut fmt::Formatter<'_>, pairs: &[(&str, String)]) -> fmt::Result {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in pairs {
        writeln!(f, "  {name:width$}  {value}")?;
    }
    Ok(())
}

/// Rows as a table for a terminal, the first one its head.
#[must_use]
pub fn columns<R: AsRef<[String]>>(rows: &[R]) -> String {
    let mut table = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(&mut table, rows);
    table
}

/// Columns as wide as their widest cell; the last one is not padded.
fn write_table<R: AsRef<[String]>>(f: &mut impl fmt::Write, rows: &[R]) -> fmt::Result {
    let mut widths = vec![0; rows.first().map_or(0, |row| row.as_ref().len())];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.as_ref().iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::tests::example;
    use super::*;

    #[rstest]
    #[case(0, "0 B")]
    #[case(999, "999 B")]
    #[case(1000, "1 kB")]
    #[case(1550, "1.5 kB")]
    #[case(123_456, "123 kB")]
    #[case(12_500_000_000, "12.5 GB")]
    #[case(400_000_000_000, "400 GB")]
    #[case(u64::MAX, "18.4 EB")]
    fn sizes_read_well(#[case] bytes: u64, #[case] words: &str) {
        assert_eq!(bytes_in_words(bytes), words);
    }

    #[rstest]
    #[case(0, "0 s")]
    #[case(59, "59 s")]
    #[case(61, "1 min 1 s")]
    #[case(3700, "1 h 1 min")]
    #[case(93_784, "1 d 2 h")]
    fn durations_read_well(#[case] seconds: u64, #[case] words: &str) {
        assert_eq!(seconds_in_words(seconds), words);
    }

    #[test]
    fn the_page_says_what_matters() {
        let page = example().to_string();
        for words in [
            "running for 1 d 2 h",
            "NEEDS ATTENTION",
            "WAN traffic saved                940 MB",
            "answered without a new transfer  92.0 %",
            "101: 90 from the store, 2 joined a running transfer, 8 fetched, 1 refused or failed",
            "12 GB in 34567 objects",
            "rests, asked again in 20 s; last failure: archive.ubuntu.com did not answer within 5 s",
            "5 MB of 20 MB",
        ] {
            assert!(page.contains(words), "{words:?} in\n{page}");
        }
    }

    #[test]
    fn columns_line_up() {
        let page = example().to_string();
        let line = |start: &str| page.lines().find(|line| line.starts_with(start)).unwrap().to_owned();
        let (head, row) = (line("UPSTREAM"), line("http://archive.ubuntu.com"));
        assert_eq!(head.find("STATE"), row.find("rests"));
        assert!(page.lines().all(|line| line.trim_end() == line));
    }
}
