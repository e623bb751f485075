//! One client fetches a large file that is not in the cache.

use super::{Case, MIB, float};
use crate::bench::Bench;
use crate::client;
use crate::contestant::Kind;
use crate::files::Files;
use crate::process::Stretch;
use crate::report::{Bar, Figure, Report};

static FIGURES: [Figure; 2] = [
    Figure { name: "CPU", unit: "s/GB", bars: &[Bar::AtMost(0.9)] },
    Figure { name: "rate ÷ the direct one", unit: "", bars: &[Bar::AtLeast(0.97)] },
];

/// Bytes per second of the line: 1 Gbit/s.
const LINE: f64 = 125e6;

pub struct ColdFile {
    file: Files,
}

impl ColdFile {
    pub fn new(smoke: bool) -> Self {
        Self { file: Files::new("cold1g", 1, &[if smoke { 8 * MIB } else { 1024 * MIB }]) }
    }
}

impl Case for ColdFile {
    fn name(&self) -> &'static str {
        "cold 1 GiB"
    }

    fn files(&self) -> Vec<Files> {
        vec![self.file.clone()]
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        let paths: Vec<_> = self.file.list().map(|(path, _)| path).collect();
        bench.origin.set_line(Some(LINE));
        let direct = client::alone(&bench.origin.order(&bench.site), paths.clone())?;
        for kind in bench.field(&[Kind::Lumbung], &[Kind::ProxyCache, Kind::Varnish, Kind::AptCacherRs]) {
            bench.origin.set_line(None);
            let Some(contestant) = bench.cold(kind, self.name(), report)? else { continue };
            bench.origin.set_line(Some(LINE));
            let stretch = Stretch::begin(contestant.process)?;
            let crowd = client::crowd(&contestant.order(&bench.site), vec![paths.clone()])?;
            let took = stretch.end()?;
            if bench.failed(&crowd, kind, self.name(), report)? {
                continue;
            }
            let [cpu, rate] = &FIGURES;
            report.add(self.name(), cpu, kind, took.cpu.as_secs_f64() / (float(self.file.bytes()) / 1e9));
            report.add(self.name(), rate, kind, direct.wall.as_secs_f64() / crowd.wall.as_secs_f64());
            report.generator(self.name(), kind, took.busy);
        }
        bench.origin.set_line(None);
        Ok(())
    }
}
