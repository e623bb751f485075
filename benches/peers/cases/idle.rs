//! Desktops that have asked once and keep their connections.

use super::{Case, KIB, mib};
use crate::bench::Bench;
use crate::client::Idle as Connections;
use crate::contestant::Kind;
use crate::files::Files;
use crate::process;
use crate::report::{Bar, Figure, Report};

static FIGURE: Figure = Figure { name: "private memory", unit: "MiB", bars: &[Bar::AtMost(120.0)] };

pub struct Idle {
    files: Files,
    count: usize,
}

impl Idle {
    pub fn new(smoke: bool) -> Self {
        Self { files: Files::new("idle", 1, &[8 * KIB]), count: if smoke { 50 } else { 10_000 } }
    }
}

impl Case for Idle {
    fn name(&self) -> &'static str {
        "10,000 idle connections"
    }

    fn files(&self) -> Vec<Files> {
        vec![self.files.clone()]
    }

    fn is_warm(&self) -> bool {
        true
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        let path = self.files.list().map(|(path, _)| path).next().unwrap_or_default();
        for kind in bench.field(&[Kind::Lumbung], &[Kind::Static, Kind::ProxyCache]) {
            let Some(contestant) = bench.cold(kind, self.name(), report)? else { continue };
            let connections = Connections::open(&contestant.order(&bench.site), &path, self.count)?;
            report.add(self.name(), &FIGURE, kind, mib(process::private(contestant.process)?));
            drop(connections);
        }
        Ok(())
    }
}
