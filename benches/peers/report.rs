//! The table: medians, ratios to the reference within each round, and their spread.

use std::fmt;
use std::time::Duration;

use crate::case::Unit;
use crate::load::Load;

/// Below this share of a CPU the server was waiting for the generator.
const BUSY: f64 = 0.9;

/// One case at one contestant in one round.
#[derive(Debug, Clone, Copy)]
pub struct Measurement {
    pub cpu: Duration,
    pub load: Load,
    pub unit: Unit,
}

impl Measurement {
    /// CPU time for one unit, in microseconds (request) or milliseconds (gigabyte).
    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    fn cost(&self) -> f64 {
        match self.unit {
            Unit::Request => self.cpu.as_secs_f64() * 1e6 / self.load.requests as f64,
            Unit::Gigabyte => self.cpu.as_secs_f64() * 1e3 / (self.load.bytes as f64 / 1e9),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of a few seconds")]
    fn rate(&self) -> f64 {
        self.load.requests as f64 / self.load.duration.as_secs_f64()
    }

    fn busy(&self) -> f64 {
        self.cpu.as_secs_f64() / self.load.duration.as_secs_f64()
    }
}

/// Everything that was measured. The first contestant is the reference.
pub struct Report {
    contestants: Vec<&'static str>,
    rows: Vec<(&'static str, &'static str, Vec<Measurement>)>,
}

impl Report {
    pub const fn new(contestants: Vec<&'static str>) -> Self {
        Self { contestants, rows: Vec::new() }
    }

    pub fn add(&mut self, case: &'static str, contestant: &'static str, measurement: Measurement) {
        match self.rows.iter_mut().find(|row| (row.0, row.1) == (case, contestant)) {
            Some(row) => row.2.push(measurement),
            None => self.rows.push((case, contestant, vec![measurement])),
        }
    }

    fn of(&self, case: &str, contestant: &str) -> &[Measurement] {
        self.rows.iter().find(|row| (row.0, row.1) == (case, contestant)).map_or(&[], |row| &row.2)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| case | server | CPU | CPU ÷ {reference} | requests/s | rate ÷ {reference} | p50 | p99 | CPU in use |",
            reference = self.contestants[0]
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- | --- |")?;
        for (case, contestant, measured) in &self.rows {
            let reference = self.of(case, self.contestants[0]);
            let pairs = || measured.iter().zip(reference);
            let cost = Spread::of(pairs().map(|(own, other)| own.cost() / other.cost()));
            let rate = Spread::of(pairs().map(|(own, other)| own.rate() / other.rate()));
            let median = |figure: fn(&Measurement) -> f64| Spread::of(measured.iter().map(figure)).median;
            let unit = match measured[0].unit {
                Unit::Request => "µs",
                Unit::Gigabyte => "ms/GB",
            };
            let busy = median(Measurement::busy);
            writeln!(
                f,
                "| {case} | {contestant} | {:.1} {unit} | {cost} | {:.0} | {rate} | {:.2} ms | {:.2} ms | {:.0} %{} |",
                median(Measurement::cost),
                median(Measurement::rate),
                median(|own| own.load.median.as_secs_f64() * 1e3),
                median(|own| own.load.p99.as_secs_f64() * 1e3),
                busy * 100.0,
                if busy < BUSY { ", generator's limit" } else { "" },
            )?;
        }
        Ok(())
    }
}

/// A median between its extremes.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Self { least: at(0), median: at(values.len() / 2), most: at(values.len().saturating_sub(1)) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}
