//! Everybody asks for the same cold file at the same moment.

use std::time::Duration;

use super::{Case, MIB, float, mib};
use crate::bench::Bench;
use crate::client::{self, Crowd};
use crate::contestant::Kind;
use crate::files::Files;
use crate::process::Watch;
use crate::report::{Bar, Figure, Report};

static TWO_HUNDRED: [Figure; 6] = figures(&[Bar::AtMost(1.05)], &[Bar::AtMost(30.0)]);
static FIVE_HUNDRED: [Figure; 6] = figures(&[Bar::AtMost(1.15)], &[Bar::AtMost(30.0)]);
static TWO_THOUSAND: [Figure; 6] = figures(&[Bar::AtMost(1.15)], &[Bar::AtMost(64.0)]);

const fn figures(wall: &'static [Bar], memory: &'static [Bar]) -> [Figure; 6] {
    [
        Figure { name: "from upstream", unit: "×", bars: &[Bar::AtMost(1.0)] },
        Figure { name: "first byte p50", unit: "ms", bars: &[Bar::AtMost(50.0)] },
        Figure { name: "first byte p99", unit: "ms", bars: &[Bar::AtMost(200.0)] },
        Figure { name: "wall ÷ ideal", unit: "", bars: wall },
        Figure { name: "private memory", unit: "MiB", bars: memory },
        Figure { name: "errors", unit: "", bars: &[Bar::AtMost(0.0)] },
    ]
}

const PEERS: [Kind; 3] = [Kind::ProxyCache, Kind::Varnish, Kind::AptCacherRs];

/// Bytes per second of the line.
const LINE: f64 = 20e6;

pub struct Herd {
    name: String,
    clients: usize,
    file: Files,
    figures: &'static [Figure; 6],
}

pub fn all(smoke: bool) -> Vec<Herd> {
    let herd = |clients, size, figures| {
        let (clients, size) = if smoke { (clients / 10, MIB) } else { (clients, size) };
        let file = Files::new(format!("herd{clients}"), 1, &[size]);
        Herd { name: format!("herd of {clients}, {} MiB", size / MIB), clients, file, figures }
    };
    vec![
        herd(200, 50 * MIB, &TWO_HUNDRED),
        herd(500, 50 * MIB, &FIVE_HUNDRED),
        herd(2000, 10 * MIB, &TWO_THOUSAND),
    ]
}

impl Herd {
    fn lists(&self) -> Vec<Vec<String>> {
        let paths: Vec<_> = self.file.list().map(|(path, _)| path).collect();
        vec![paths; self.clients]
    }
}

impl Case for Herd {
    fn name(&self) -> &str {
        &self.name
    }

    fn files(&self) -> Vec<Files> {
        vec![self.file.clone()]
    }

    fn is_warm(&self) -> bool {
        true
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        // What delivering alone takes, from memory.
        let reference = bench.warm(Kind::Static, &self.file)?;
        let delivered = client::crowd(&reference.order(&bench.site), self.lists())?;
        report.generator(&self.name, Kind::Static, delivered.busy);
        let line = Duration::from_secs_f64(float(self.file.bytes()) / LINE);
        let ideal = line.max(delivered.wall).as_secs_f64();
        for kind in bench.field(&[Kind::Lumbung], &PEERS) {
            let Some(contestant) = bench.cold(kind, &self.name, report)? else { continue };
            bench.origin.set_line(Some(LINE));
            let watch = Watch::new(contestant.process);
            let crowd = client::crowd(&contestant.order(&bench.site), self.lists())?;
            let memory = watch.end();
            for error in crowd.errors.iter().take(2) {
                report.note(&self.name, kind, error);
            }
            let values = [
                float(bench.origin.sent()) / float(self.file.bytes()),
                Crowd::quantile(&crowd.first_byte, 0.5),
                Crowd::quantile(&crowd.first_byte, 0.99),
                crowd.wall.as_secs_f64() / ideal,
                mib(memory),
                float(crowd.errors.len() as u64),
            ];
            for (figure, value) in self.figures.iter().zip(values) {
                report.add(&self.name, figure, kind, value);
            }
            report.generator(&self.name, kind, crowd.busy);
            bench.origin.set_line(None);
        }
        Ok(())
    }
}
