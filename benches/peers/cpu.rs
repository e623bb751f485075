//! CPU time of a server.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;

/// What the kernel counts in: a hundredth of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// User and system time of a process and its children, ended threads included.
pub fn used(process: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace().collect();
    let ticks: u32 = fields[11].parse::<u32>()? + fields[12].parse::<u32>()?;
    let mut sum = TICK * ticks;
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    for child in children.split_whitespace() {
        sum += used(child.parse()?)?;
    }
    Ok(sum)
}
