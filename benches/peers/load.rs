//! The generator: `wrk` on a CPU of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::case::Case;
use crate::contestant::Contestant;

/// The CPU that the generator runs on.
const CPU: &str = "1";

/// Asks for the paths of a file in turn, and says what came of it in one line of numbers.
const SCRIPT: &str = r#"
local paths, at = {}, 0
function init(arguments)
   for line in io.lines(arguments[1]) do paths[#paths + 1] = wrk.format("GET", line) end
end
function request()
   at = at % #paths + 1
   return paths[at]
end
function done(summary, latency, requests)
   local e = summary.errors
   io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
      e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"#;

/// What came of a case.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub requests: u64,
    pub duration: Duration,
    /// Bytes received, heads included.
    pub bytes: u64,
    pub errors: u64,
    /// From request to the last byte of its answer.
    pub median: Duration,
    pub p99: Duration,
}

/// Runs one case against one contestant.
pub fn run(case: &Case, contestant: &Contestant, folder: &Path, duration: Duration) -> anyhow::Result<Load> {
    let script = folder.join("load.lua");
    std::fs::write(&script, SCRIPT)?;
    let list = folder.join("paths");
    let paths: Vec<_> = case.files.list().map(|(path, _)| format!("{}{path}\n", contestant.prefix)).collect();
    std::fs::write(&list, paths.concat())?;
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CPU, "wrk", "--threads", "1", "--timeout", "30s"]);
    command.args(["--connections", &case.connections.to_string()]);
    command.args(["--duration", &format!("{}s", duration.as_secs())]);
    if let Some((name, value)) = case.header {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    command.arg("--script").arg(&script).arg(format!("http://{}", contestant.address)).arg("--").arg(&list);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("wrk (through taskset) could not be started")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
    let line = line.with_context(|| format!("wrk said no result:\n{text}"))?;
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [requests, duration, bytes, errors, median, p99] = numbers[..] else {
        anyhow::bail!("wrk said {line:?}");
    };
    let micros = Duration::from_micros;
    Ok(Load { requests, duration: micros(duration), bytes, errors, median: micros(median), p99: micros(p99) })
}
