//! The cases, each in a file of its own.

mod cold_file;
mod cold_pages;
mod filling;
mod herd;
mod hits;
mod idle;
mod index_form;
mod many_objects;
mod rollout;
mod small_miss;

use crate::bench::Bench;
use crate::files::Files;
use crate::report::Report;

/// Something that is measured, once in each round.
pub trait Case {
    /// A short name.
    fn name(&self) -> &str;

    /// What the origin must have for it.
    fn files(&self) -> Vec<Files>;

    /// Whether these files are also to lie on the disk, for who serves plain ones.
    fn is_warm(&self) -> bool {
        false
    }

    /// Measures it for everybody.
    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()>;
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Every case; smaller ones for a smoke test.
pub fn all(smoke: bool) -> Vec<Box<dyn Case>> {
    let mut all: Vec<Box<dyn Case>> = Vec::new();
    all.extend(hits::all(smoke).into_iter().map(|case| Box::new(case) as Box<dyn Case>));
    all.push(Box::new(cold_pages::ColdPages::new(smoke)));
    all.extend(herd::all(smoke).into_iter().map(|case| Box::new(case) as Box<dyn Case>));
    all.push(Box::new(rollout::Rollout::new(smoke)));
    all.push(Box::new(small_miss::SmallMiss::new(smoke)));
    all.push(Box::new(cold_file::ColdFile::new(smoke)));
    all.push(Box::new(filling::Filling::new(smoke)));
    all.push(Box::new(many_objects::ManyObjects::new(smoke)));
    all.push(Box::new(index_form::IndexForm::new(smoke)));
    all.push(Box::new(idle::Idle::new(smoke)));
    all
}

/// Bytes as mebibytes.
#[expect(clippy::cast_precision_loss, reason = "sizes stay far below what a float holds exactly")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below what a float holds exactly")]
const fn float(count: u64) -> f64 {
    count as f64
}
