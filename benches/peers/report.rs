//! The table: each figure's median between its extremes, its ratios within the rounds, and its bars.

use std::fmt;

use crate::contestant::Kind;

/// Above this share of a CPU the generator may have been the limit.
const BUSY: f64 = 0.9;

/// Something that is measured in a case.
pub struct Figure {
    pub name: &'static str,
    pub unit: &'static str,
    pub bars: &'static [Bar],
}

/// What must be reached.
#[derive(Debug, Clone, Copy)]
pub enum Bar {
    AtMost(f64),
    AtLeast(f64),
    /// As a multiple of somebody else's in the same round.
    TimesAtMost(Kind, f64),
    TimesAtLeast(Kind, f64),
}

struct Row {
    case: String,
    figure: &'static Figure,
    /// Round, who, how much.
    values: Vec<(usize, Kind, f64)>,
}

/// Everything that was measured.
pub struct Report {
    /// The round that runs.
    pub round: usize,
    machine: String,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    pub const fn new(machine: String) -> Self {
        Self { round: 0, machine, rows: Vec::new(), notes: Vec::new() }
    }

    pub fn add(&mut self, case: &str, figure: &'static Figure, kind: Kind, value: f64) {
        let value = (self.round, kind, value);
        match self.rows.iter_mut().find(|row| row.case == case && row.figure.name == figure.name) {
            Some(row) => row.values.push(value),
            None => self.rows.push(Row { case: case.to_owned(), figure, values: vec![value] }),
        }
    }

    /// Something to know about a case; said once.
    pub fn note(&mut self, case: &str, kind: Kind, text: &str) {
        let note = format!("{case}, {}: {text}", kind.name());
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// How busy the generator was.
    pub fn generator(&mut self, case: &str, kind: Kind, busy: f64) {
        if busy > BUSY {
            self.note(case, kind, "the generator was busy all the time and may have been the limit");
        }
    }
}

impl Row {
    fn of(&self, kind: Kind) -> Spread {
        Spread::of(self.values.iter().filter(|value| value.1 == kind).map(|value| value.2))
    }

    /// Lumbung's figure as a multiple of somebody's in the same rounds.
    fn ratio(&self, to: Kind) -> Spread {
        let own = self.values.iter().filter(|value| value.1 == Kind::Lumbung);
        Spread::of(own.filter_map(|own| {
            let other = self.values.iter().find(|value| value.0 == own.0 && value.1 == to)?;
            Some(own.2 / other.2)
        }))
    }

    /// A bar in words, what was reached, and whether that is enough.
    fn judged(&self, bar: Bar) -> (String, String, bool) {
        let unit = self.figure.unit;
        match bar {
            Bar::AtMost(most) => {
                let own = self.of(Kind::Lumbung);
                (format!("≤ {most} {unit}"), own.to_string(), own.median <= most)
            }
            Bar::AtLeast(least) => {
                let own = self.of(Kind::Lumbung);
                (format!("≥ {least} {unit}"), own.to_string(), own.median >= least)
            }
            Bar::TimesAtMost(kind, most) => {
                let ratio = self.ratio(kind);
                (format!("≤ {most} × {}", kind.name()), format!("{ratio} ×"), ratio.median <= most)
            }
            Bar::TimesAtLeast(kind, least) => {
                let ratio = self.ratio(kind);
                (format!("≥ {least} × {}", kind.name()), format!("{ratio} ×"), ratio.median >= least)
            }
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = [Kind::Lumbung]
            .into_iter()
            .chain(Kind::ALL)
            .filter(|kind| self.rows.iter().any(|row| row.values.iter().any(|value| value.1 == *kind)))
            .fold(Vec::new(), |mut kinds, kind| {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
                kinds
            });
        writeln!(f, "Medians of {} rounds; least and most in parentheses.", self.round + 1)?;
        writeln!(f, "{}.\n", self.machine)?;
        write!(f, "| case | figure |")?;
        kinds.iter().try_for_each(|kind| write!(f, " {} |", kind.name()))?;
        writeln!(f, " bar | reached | |")?;
        writeln!(f, "|{}", " --- |".repeat(kinds.len() + 5))?;
        for row in &self.rows {
            let Figure { name, unit, bars } = row.figure;
            write!(f, "| {} | {name}{}{unit} |", row.case, if unit.is_empty() { "" } else { ", " })?;
            for kind in &kinds {
                let spread = row.of(*kind);
                if spread.median.is_nan() {
                    write!(f, " |")
                } else {
                    write!(f, " {} |", Short(spread.median))
                }?;
            }
            let judged: Vec<_> = bars.iter().map(|bar| row.judged(*bar)).collect();
            let column = |text: fn(&(String, String, bool)) -> &str| {
                judged.iter().map(text).collect::<Vec<_>>().join("; ")
            };
            let own =
                if judged.is_empty() { row.of(Kind::Lumbung).to_string() } else { column(|bar| &bar.1) };
            let verdict = column(|bar| if bar.2 { "✓" } else { "✗" });
            writeln!(f, " {} | {own} | {verdict} |", column(|bar| &bar.0))?;
        }
        if !self.notes.is_empty() {
            writeln!(f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "- {note}"))
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
        write!(f, "{} ({}–{})", Short(self.median), Short(self.least), Short(self.most))
    }
}

/// A number with three digits that mean something.
struct Short(f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            value if value >= 100.0 => write!(f, "{:.0}", self.0),
            value if value >= 10.0 => write!(f, "{:.1}", self.0),
            _ => write!(f, "{:.2}", self.0),
        }
    }
}
