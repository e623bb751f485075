//! How many instructions each benchmark took when it was last looked at.

use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig};

/// A benchmark's name and its instructions. A change that makes one cheaper, or dearer for a reason that its
/// commit tells, writes the new figure down here.
const RECORDED: &str = include_str!("recorded.txt");

/// How much more than was recorded is still taken for the same: compilers and libraries move a little.
const MORE_PERCENT: u64 = 10;

/// Fails a benchmark that takes notably more than was recorded.
///
/// # Panics
/// When nothing was recorded.
pub fn recorded(name: &str) -> LibraryBenchmarkConfig {
    let mut rows = RECORDED.lines().filter_map(|line| line.split_once(' '));
    let count =
        rows.find(|(known, _)| *known == name).and_then(|(_, count)| count.trim().parse::<u64>().ok());
    let Some(count) = count else { panic!("nothing is recorded for {name} in recorded.txt") };
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(Callgrind::default().hard_limits([(EventKind::Ir, count + count * MORE_PERCENT / 100)]));
    config
}
