//! Small files that are not in the cache, asked for one after the other.

use super::{Case, KIB, float};
use crate::bench::Bench;
use crate::client::{self, Crowd};
use crate::contestant::Kind;
use crate::files::Files;
use crate::process::Stretch;
use crate::report::{Bar, Figure, Report};

static FIGURES: [Figure; 2] = [
    Figure { name: "first byte after the direct request's", unit: "ms", bars: &[Bar::AtMost(0.3)] },
    Figure { name: "CPU", unit: "ms", bars: &[Bar::AtMost(0.4)] },
];

pub struct SmallMiss {
    files: Files,
}

impl SmallMiss {
    pub fn new(smoke: bool) -> Self {
        Self { files: Files::new("miss", if smoke { 20 } else { 500 }, &[4 * KIB]) }
    }
}

impl Case for SmallMiss {
    fn name(&self) -> &'static str {
        "small miss"
    }

    fn files(&self) -> Vec<Files> {
        vec![self.files.clone()]
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        let paths: Vec<_> = self.files.list().map(|(path, _)| path).collect();
        let direct = client::alone(&bench.origin.order(&bench.site), paths.clone())?;
        let direct = Crowd::quantile(&direct.first_byte, 0.5);
        let peers = [Kind::ProxyCache, Kind::Varnish, Kind::AptCacherNg, Kind::AptCacherRs];
        for kind in bench.field(&[Kind::Lumbung], &peers) {
            let Some(contestant) = bench.cold(kind, self.name(), report)? else { continue };
            let stretch = Stretch::begin(contestant.process)?;
            let crowd = client::crowd(&contestant.order(&bench.site), vec![paths.clone()])?;
            let took = stretch.end()?;
            if bench.failed(&crowd, kind, self.name(), report)? {
                continue;
            }
            let [first_byte, cpu] = &FIGURES;
            report.add(self.name(), first_byte, kind, Crowd::quantile(&crowd.first_byte, 0.5) - direct);
            report.add(self.name(), cpu, kind, took.cpu.as_secs_f64() * 1e3 / float(paths.len() as u64));
        }
        Ok(())
    }
}
