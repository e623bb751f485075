//! What is in the cache and in memory: small files, mixed ones, large ones, and those that are not sent again.

use super::{Case, KIB, MIB, float};
use crate::bench::Bench;
use crate::contestant::Kind;
use crate::files::Files;
use crate::load::Asking;
use crate::process;
use crate::report::{Bar, Figure, Report};

static SMALL: [Figure; 2] = [
    Figure { name: "CPU", unit: "µs", bars: &[Bar::TimesAtMost(Kind::Static, 0.9)] },
    Figure { name: "requests", unit: "/s", bars: &[Bar::TimesAtLeast(Kind::Static, 1.1)] },
];
static MIXED: [Figure; 2] = [
    Figure {
        name: "CPU",
        unit: "µs",
        bars: &[Bar::TimesAtMost(Kind::Static, 1.0), Bar::TimesAtMost(Kind::AptCacherRs, 0.4)],
    },
    Figure { name: "requests", unit: "/s", bars: &[] },
];
static LARGE: [Figure; 2] = [
    Figure { name: "CPU", unit: "ms/GB", bars: &[Bar::TimesAtMost(Kind::Static, 1.05)] },
    Figure { name: "rate", unit: "GB/s", bars: &[] },
];
static UNSENT: [Figure; 2] = [
    Figure { name: "CPU", unit: "µs", bars: &[Bar::TimesAtMost(Kind::Static, 1.0)] },
    Figure { name: "requests", unit: "/s", bars: &[] },
];
static RANGE: [Figure; 2] = [
    Figure { name: "CPU", unit: "ms/GB", bars: &[Bar::TimesAtMost(Kind::Static, 1.0)] },
    Figure { name: "rate", unit: "GB/s", bars: &[] },
];

/// Peers that are asked along.
const PEERS: [Kind; 4] = [Kind::ProxyCache, Kind::Varnish, Kind::AptCacherNg, Kind::AptCacherRs];

/// A number of connections that ask for files, each for one after the other.
pub struct Hits {
    name: String,
    files: Files,
    connections: usize,
    header: Option<(&'static str, &'static str)>,
    figures: &'static [Figure; 2],
    /// Whether costs are counted by the gigabyte instead of by the request.
    by_bytes: bool,
    named: &'static [Kind],
    peers: &'static [Kind],
}

pub fn all(smoke: bool) -> Vec<Hits> {
    let small = Files::new("small", 1, &[32 * KIB]);
    // Sizes as in an archive: many indices and small packages, few of some hundred kilobytes.
    let mixed = [700, 2 * KIB, 5 * KIB, 9 * KIB, 14 * KIB, 24 * KIB, 40 * KIB, 70 * KIB, 130 * KIB, 6 * KIB];
    let mixed = Files::new("mixed", if smoke { 50 } else { 2000 }, &mixed);
    let large = Files::new("large", 1, &[if smoke { 3 * MIB } else { 100 * MIB }]);
    let huge = Files::new("huge", 1, &[if smoke { 4 * MIB } else { 1024 * MIB }]);
    let hits = |name: String, files: &Files, connections, figures| Hits {
        name,
        files: files.clone(),
        connections,
        header: None,
        figures,
        by_bytes: false,
        named: &[Kind::Static, Kind::Lumbung],
        peers: &[],
    };
    let mut all = Vec::new();
    for connections in [1, 32, 256] {
        let case = hits(format!("hit 32 KiB × {connections}"), &small, connections, &SMALL);
        all.push(Hits { peers: if connections == 32 { &PEERS } else { &[] }, ..case });
    }
    let case = hits("hit 2,000 mixed × 32".to_owned(), &mixed, 32, &MIXED);
    all.push(Hits { named: &[Kind::Static, Kind::AptCacherRs, Kind::Lumbung], peers: &PEERS[..3], ..case });
    for connections in [1, 8, 64] {
        let case = hits(format!("hit 100 MiB × {connections}"), &large, connections, &LARGE);
        all.push(Hits { by_bytes: true, ..case });
    }
    let case = hits("304 × 32".to_owned(), &small, 32, &UNSENT);
    all.push(Hits { header: Some(("If-Modified-Since", "Fri, 01 Jan 2038 00:00:00 GMT")), ..case });
    let case = hits("range of 1 MiB in 1 GiB × 8".to_owned(), &huge, 8, &RANGE);
    all.push(Hits { header: Some(("Range", "bytes=3000000-4048575")), by_bytes: true, ..case });
    all
}

impl Case for Hits {
    fn name(&self) -> &str {
        &self.name
    }

    fn files(&self) -> Vec<Files> {
        vec![self.files.clone()]
    }

    fn is_warm(&self) -> bool {
        true
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        let Self { files, connections, header, .. } = self;
        let asking = Asking { files, connections: *connections, header: *header, seconds: bench.seconds };
        for kind in bench.field(self.named, self.peers) {
            let begun = bench.warm_or_note(kind, files, &self.name, report)?;
            let Some(contestant) = begun else { continue };
            let before = process::used(contestant.process)?;
            let load = asking.run(&contestant, &bench.site.folder)?;
            let cpu = process::used(contestant.process)?.saturating_sub(before);
            let (requests, gigabytes) = (float(load.requests), float(load.bytes) / 1e9);
            let seconds = load.duration.as_secs_f64();
            let [cost, rate] = if self.by_bytes {
                [cpu.as_secs_f64() * 1e3 / gigabytes, gigabytes / seconds]
            } else {
                [cpu.as_secs_f64() * 1e6 / requests, requests / seconds]
            };
            let [first, second] = self.figures;
            report.add(&self.name, first, kind, cost);
            report.add(&self.name, second, kind, rate);
            if cpu.as_secs_f64() < 0.9 * seconds {
                report.note(&self.name, kind, "waited for the generator");
            }
            if header.is_none() {
                bench.compare(&contestant, &files.first(20))?;
            }
        }
        Ok(())
    }
}
