//! A hit in memory, asked for again and again, while others read files that are not in memory.

use super::{Case, KIB, MIB};
use crate::bench::{Bench, forget};
use crate::client::{self, Crowd};
use crate::contestant::Kind;
use crate::files::Files;
use crate::report::{Bar, Figure, Report};

static FIGURES: [Figure; 2] = [
    Figure { name: "p99 of the hit", unit: "ms", bars: &[Bar::AtMost(5.0)] },
    Figure { name: "p50 of the hit", unit: "ms", bars: &[] },
];

/// Who read from the disk.
const READERS: usize = 16;

pub struct ColdPages {
    hot: Files,
    cold: Files,
    times: usize,
}

impl ColdPages {
    pub fn new(smoke: bool) -> Self {
        let (size, times) = if smoke { (MIB, 50) } else { (48 * MIB, 3000) };
        Self { hot: Files::new("hot", 1, &[32 * KIB]), cold: Files::new("cold", READERS, &[size]), times }
    }
}

impl Case for ColdPages {
    fn name(&self) -> &'static str {
        "cold page cache"
    }

    fn files(&self) -> Vec<Files> {
        vec![self.hot.clone(), self.cold.clone()]
    }

    fn is_warm(&self) -> bool {
        true
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        for kind in bench.field(&[Kind::Static, Kind::Lumbung], &[]) {
            bench.warm(kind, &self.hot)?;
            let contestant = bench.warm(kind, &self.cold)?;
            forget(if kind == Kind::Static { &bench.site.folder } else { &contestant.home })?;
            bench.compare(&contestant, &self.hot)?;
            let order = contestant.order(&bench.site);
            let hot: Vec<_> = self.hot.list().map(|(path, _)| path).collect();
            let lists = self.cold.list().map(|(path, _)| vec![path]).collect();
            let hits = hot.iter().cycle().take(self.times).cloned().collect();
            // On a thread of its own: who reads cold files would keep it waiting by the checking of their bytes.
            let (cold, hits) = std::thread::scope(|scope| {
                let hits = scope.spawn(|| client::alone(&order, hits));
                (client::crowd(&order, lists), hits.join())
            });
            let (cold, hits) = (cold?, hits.map_err(|_| anyhow::anyhow!("the client of hits ended"))??);
            anyhow::ensure!(cold.errors.is_empty(), "{}", cold.errors.join("; "));
            // While any cold file was on its way; both began to ask within a millisecond or two.
            let timings = hits.clients.iter().flat_map(|client| &client.timings);
            let during = timings.filter(|timing| timing.began <= cold.wall);
            let mut seen: Vec<_> = during.map(|timing| timing.whole).collect();
            seen.sort_unstable();
            let [p99, p50] = &FIGURES;
            report.add(self.name(), p99, kind, Crowd::quantile(&seen, 0.99));
            report.add(self.name(), p50, kind, Crowd::quantile(&seen, 0.5));
            report.generator(self.name(), kind, cold.busy);
        }
        Ok(())
    }
}
