//! Desktops that fetch about as apt does: the release file, then the indices, then the packages with ten requests
//! ahead; what breaks is resumed. (apt sends them down one
//! connection. Here each has its own, which makes the same files wanted at the same time.)

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::StreamExt as _;
use reqwest::header::{CONTENT_RANGE, RANGE};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// A file of the plan.
#[derive(Debug, Clone, Deserialize)]
pub struct Wanted {
    /// Below the repository's root.
    pub path: String,
    pub size: u64,
    pub sha256: Option<String>,
}

/// What became of a rollout.
pub struct Round {
    /// How long each desktop took, in seconds, shortest first.
    took: Vec<f64>,
    /// Answers that broke or stalled and were resumed.
    pub interrupted: u64,
    /// What all of them received.
    pub bytes: u64,
}

/// What a desktop needs before it can ask for what follows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Release,
    Index,
    Package,
}

impl Wanted {
    fn step(&self) -> Step {
        if !self.path.starts_with("dists/") {
            Step::Package
        } else if self.path.ends_with("Release") {
            Step::Release
        } else {
            Step::Index
        }
    }
}

/// Requests that a desktop has under way.
const AHEAD: usize = 10;

/// Between the starts of two desktops.
const STAGGER: Duration = Duration::from_millis(200);

/// apt gives up on an answer that is silent for so long, and tries again.
const SILENCE: Duration = Duration::from_secs(30);
const TRIES: u32 = 20;

impl Round {
    pub fn slowest(&self) -> f64 {
        self.took.last().copied().unwrap_or_default()
    }

    pub fn median(&self) -> f64 {
        self.took.get(self.took.len() / 2).copied().unwrap_or_default()
    }
}

/// Lets `count` desktops fetch everything. Every one of them checks every file's length, the first one its hash.
pub async fn roll_out(server: SocketAddr, wanted: &[Wanted], count: usize) -> anyhow::Result<Round> {
    let wanted: Arc<[Wanted]> = wanted.into();
    let mut desktops = Vec::new();
    for number in 0..count {
        let wanted = Arc::clone(&wanted);
        desktops.push(tokio::spawn(async move {
            tokio::time::sleep(STAGGER * u32::try_from(number)?).await;
            let begun = Instant::now();
            let client = reqwest::Client::builder().no_proxy().read_timeout(SILENCE).build()?;
            let mut interrupted = 0;
            for step in [Step::Release, Step::Index, Step::Package] {
                let client = client.clone();
                let files = wanted.iter().filter(|file| file.step() == step).cloned().collect::<Vec<_>>();
                let fetching = files.into_iter().map(move |file| {
                    let client = client.clone();
                    async move {
                        let url = format!("http://{server}/archive/{}", file.path);
                        fetch(&client, &url, &file, number == 0).await
                    }
                });
                let mut fetching = futures_util::stream::iter(fetching).buffer_unordered(AHEAD);
                while let Some(times) = fetching.next().await {
                    interrupted += times?;
                }
            }
            let bytes = wanted.iter().map(|file| file.size).sum::<u64>();
            anyhow::Ok((begun.elapsed().as_secs_f64(), interrupted, bytes))
        }));
    }
    let mut round = Round { took: Vec::new(), interrupted: 0, bytes: 0 };
    for desktop in desktops {
        let (took, interrupted, bytes) = desktop.await??;
        round.took.push(took);
        round.interrupted += interrupted;
        round.bytes += bytes;
    }
    round.took.sort_by(f64::total_cmp);
    Ok(round)
}

/// Fetches one file. How often it was interrupted.
async fn fetch(client: &reqwest::Client, url: &str, file: &Wanted, hash: bool) -> anyhow::Result<u64> {
    let (mut had, mut hasher, mut interrupted) = (0, Sha256::new(), 0);
    for _ in 0..TRIES {
        let mut request = client.get(url);
        if had > 0 {
            request = request.header(RANGE, format!("bytes={had}-"));
        }
        match request.send().await {
            Ok(mut answer) if answer.status().is_success() => {
                if answer.headers().get(CONTENT_RANGE).is_none() {
                    (had, hasher) = (0, Sha256::new());
                }
                while let Ok(Some(piece)) = answer.chunk().await {
                    had += piece.len() as u64;
                    if hash {
                        hasher.update(&piece);
                    }
                }
            }
            _ => tokio::time::sleep(Duration::from_secs(1)).await,
        }
        if had == file.size {
            let found = lumbung::digest::Digest::from_bytes(hasher.finalize().into()).to_string();
            let right = !hash || file.sha256.as_ref().is_none_or(|wanted| *wanted == found);
            anyhow::ensure!(right, "{url} has other bytes than the plan says");
            return Ok(interrupted);
        }
        interrupted += 1;
    }
    Err(anyhow::anyhow!("{had} bytes of {}", file.size)).with_context(|| format!("{url} does not come"))
}
