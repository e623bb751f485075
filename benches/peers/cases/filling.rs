//! An empty cache is filled with small files by several clients.

use super::{Case, KIB, float};
use crate::bench::Bench;
use crate::client;
use crate::contestant::Kind;
use crate::files::Files;
use crate::process::Stretch;
use crate::report::{Bar, Figure, Report};

static FIGURES: [Figure; 3] = [
    Figure { name: "misses", unit: "/s", bars: &[Bar::AtLeast(2500.0)] },
    Figure { name: "CPU", unit: "ms", bars: &[] },
    Figure { name: "errors", unit: "", bars: &[Bar::AtMost(0.0)] },
];

const CLIENTS: usize = 64;

pub struct Filling {
    files: Files,
}

impl Filling {
    pub fn new(smoke: bool) -> Self {
        Self { files: Files::new("filling", if smoke { 200 } else { 20_000 }, &[2 * KIB]) }
    }
}

impl Case for Filling {
    fn name(&self) -> &'static str {
        "filling with 20,000"
    }

    fn files(&self) -> Vec<Files> {
        vec![self.files.clone()]
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        let paths: Vec<_> = self.files.list().map(|(path, _)| path).collect();
        let share = paths.len().div_ceil(CLIENTS);
        for kind in bench.field(&[Kind::Lumbung], &[Kind::ProxyCache, Kind::AptCacherRs]) {
            let Some(contestant) = bench.cold(kind, self.name(), report)? else { continue };
            let stretch = Stretch::begin(contestant.process)?;
            let lists = paths.chunks(share).map(<[String]>::to_vec).collect();
            let crowd = client::crowd(&contestant.order(&bench.site), lists)?;
            let took = stretch.end()?;
            for error in crowd.errors.iter().take(2) {
                report.note(self.name(), kind, error);
            }
            let done = float(crowd.whole.len() as u64);
            let values = [
                done / crowd.wall.as_secs_f64(),
                took.cpu.as_secs_f64() * 1e3 / done,
                float(crowd.errors.len() as u64),
            ];
            for (figure, value) in FIGURES.iter().zip(values) {
                report.add(self.name(), figure, kind, value);
            }
            report.generator(self.name(), kind, crowd.busy);
        }
        Ok(())
    }
}
