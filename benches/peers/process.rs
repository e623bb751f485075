//! What a server's processes use.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::contestant::GENERATOR_CPU;

/// What the kernel counts in: a hundredth of a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// How often memory is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// Moves this process, with all that it starts later, to the generator's CPU.
pub fn pin() -> anyhow::Result<()> {
    let process = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", GENERATOR_CPU, &process])
        .stdout(std::process::Stdio::null())
        .status()
        .context("taskset could not be started")?;
    anyhow::ensure!(status.success(), "taskset failed: this needs two CPUs");
    Ok(())
}

/// User and system time of a process and its children, ended threads included.
pub fn used(process: u32) -> anyhow::Result<Duration> {
    let mut sum = alone(process)?;
    for child in children(process)? {
        sum += used(child)?;
    }
    Ok(sum)
}

/// The same without its children.
fn alone(process: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace().collect();
    Ok(TICK * (fields[11].parse::<u32>()? + fields[12].parse::<u32>()?))
}

/// Bytes of memory that only a process and its children have.
pub fn private(process: u32) -> anyhow::Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let mut sum = 0;
    for line in rollup.lines().filter(|line| line.starts_with("Private_")) {
        let kib: u64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        sum += kib * 1024;
    }
    for child in children(process)? {
        sum += private(child)?;
    }
    Ok(sum)
}

fn children(process: u32) -> anyhow::Result<Vec<u32>> {
    let list = fs::read_to_string(format!("/proc/{process}/task/{process}/children"))?;
    list.split_whitespace().map(|child| Ok(child.parse()?)).collect()
}

/// Watches the private memory of a server.
pub struct Watch {
    most: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub fn new(process: u32) -> Self {
        let (most, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (seen, stop) = (Arc::clone(&most), Arc::clone(&ended));
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                // It may have ended.
                seen.fetch_max(private(process).unwrap_or(0), Ordering::Relaxed);
                #[expect(clippy::disallowed_methods, reason = "a thread that only samples")]
                std::thread::sleep(PAUSE);
            }
        });
        Self { most, ended, thread }
    }

    /// The most that it had at any look.
    pub fn end(self) -> u64 {
        self.ended.store(true, Ordering::Relaxed);
        // A panic in there has said why.
        let _ = self.thread.join();
        self.most.load(Ordering::Relaxed)
    }
}

/// A stretch of time in which CPU is used.
pub struct Stretch {
    process: u32,
    used: Duration,
    own: Duration,
    began: Instant,
}

/// What a stretch took.
pub struct Took {
    /// Of the server.
    pub cpu: Duration,
    /// Share of its CPU that this process used: generator and origin.
    pub busy: f64,
}

impl Stretch {
    pub fn begin(process: u32) -> anyhow::Result<Self> {
        let own = alone(std::process::id())?;
        Ok(Self { process, used: used(process)?, own, began: Instant::now() })
    }

    pub fn end(&self) -> anyhow::Result<Took> {
        let wall = self.began.elapsed();
        let cpu = used(self.process)?.saturating_sub(self.used);
        let own = alone(std::process::id())?.saturating_sub(self.own);
        Ok(Took { cpu, busy: own.as_secs_f64() / wall.as_secs_f64() })
    }
}
