//! The generator of hits: `wrk`, on the generator's CPU.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use crate::contestant::{Contestant, GENERATOR_CPU};
use crate::files::Files;

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
   io.write(string.format("RESULT %d %d %d %d\n", summary.requests, summary.duration, summary.bytes,
      e.connect + e.read + e.write + e.status + e.timeout))
end
"#;

/// What is asked, by how many, and for how long.
pub struct Asking<'a> {
    pub files: &'a Files,
    pub connections: usize,
    /// A header of each request.
    pub header: Option<(&'static str, &'static str)>,
    pub seconds: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub requests: u64,
    pub duration: Duration,
    /// Bytes received, heads included.
    pub bytes: u64,
}

impl Asking<'_> {
    /// Asks one contestant.
    ///
    /// # Errors
    /// Also where any request failed.
    pub fn run(&self, contestant: &Contestant, folder: &Path) -> anyhow::Result<Load> {
        let script = folder.join("load.lua");
        std::fs::write(&script, SCRIPT)?;
        let list = folder.join("paths");
        let paths: Vec<_> =
            self.files.list().map(|(path, _)| format!("{}{path}\n", contestant.prefix)).collect();
        std::fs::write(&list, paths.concat())?;
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", GENERATOR_CPU, "wrk", "--threads", "1", "--timeout", "30s"]);
        command.args(["--connections", &self.connections.to_string()]);
        command.args(["--duration", &format!("{}s", self.seconds)]);
        if let Some((name, value)) = self.header {
            command.args(["--header", &format!("{name}: {value}")]);
        }
        command
            .arg("--script")
            .arg(&script)
            .arg(format!("http://{}", contestant.address))
            .arg("--")
            .arg(&list);
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("wrk (through taskset) could not be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("RESULT "));
        let line = line.with_context(|| format!("wrk said no result:\n{text}"))?;
        let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let [requests, duration, bytes, errors] = numbers[..] else { anyhow::bail!("wrk said {line:?}") };
        anyhow::ensure!(requests > 0, "{} answered nothing", contestant.name());
        anyhow::ensure!(errors == 0, "{errors} requests failed at {}", contestant.name());
        Ok(Load { requests, duration: Duration::from_micros(duration), bytes })
    }
}
