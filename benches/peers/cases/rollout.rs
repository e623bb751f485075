//! A release is rolled out: everybody fetches the same list of cold files, one after the other.

use super::{Case, KIB, float};
use crate::bench::Bench;
use crate::client;
use crate::contestant::Kind;
use crate::files::Files;
use crate::process::Stretch;
use crate::report::{Bar, Figure, Report};

static FIGURES: [Figure; 5] = [
    Figure { name: "from upstream", unit: "×", bars: &[Bar::AtMost(1.0)] },
    Figure { name: "upstream connections", unit: "", bars: &[Bar::AtMost(16.0)] },
    Figure { name: "wall ÷ ideal", unit: "", bars: &[Bar::AtMost(1.3)] },
    Figure { name: "CPU", unit: "s", bars: &[Bar::TimesAtMost(Kind::ProxyCache, 1.0)] },
    Figure { name: "errors", unit: "", bars: &[Bar::AtMost(0.0)] },
];

/// Bytes per second of the line.
const LINE: f64 = 10e6;

pub struct Rollout {
    clients: usize,
    files: Files,
}

impl Rollout {
    pub fn new(smoke: bool) -> Self {
        let sizes = [20 * KIB, 60 * KIB, 400 * KIB, 8 * KIB, 150 * KIB, 30 * KIB];
        let (clients, count) = if smoke { (5, 12) } else { (200, 300) };
        Self { clients, files: Files::new("rollout", count, &sizes) }
    }
}

impl Case for Rollout {
    fn name(&self) -> &'static str {
        "rollout"
    }

    fn files(&self) -> Vec<Files> {
        vec![self.files.clone()]
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        let paths: Vec<_> = self.files.list().map(|(path, _)| path).collect();
        let ideal = float(self.files.bytes()) / LINE;
        for kind in bench.field(&[Kind::ProxyCache, Kind::Lumbung], &[Kind::Varnish, Kind::AptCacherRs]) {
            let Some(contestant) = bench.cold(kind, self.name(), report)? else { continue };
            bench.origin.set_line(Some(LINE));
            let stretch = Stretch::begin(contestant.process)?;
            let crowd = client::crowd(&contestant.order(&bench.site), vec![paths.clone(); self.clients])?;
            let took = stretch.end()?;
            for error in crowd.errors.iter().take(2) {
                report.note(self.name(), kind, error);
            }
            let values = [
                float(bench.origin.sent()) / float(self.files.bytes()),
                float(bench.origin.peak() as u64),
                crowd.wall.as_secs_f64() / ideal,
                took.cpu.as_secs_f64(),
                float(crowd.errors.len() as u64),
            ];
            for (figure, value) in FIGURES.iter().zip(values) {
                report.add(self.name(), figure, kind, value);
            }
            report.generator(self.name(), kind, crowd.busy);
            bench.origin.set_line(None);
        }
        Ok(())
    }
}
