//! The running server, or the store itself where none runs: who answers questions about suites.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use serde::de::DeserializeOwned;

use super::args;
use super::remote::{Asked, Remote};
use crate::app::Offline;
use crate::clock::Clock;
use crate::config::Config;

/// How long a refresh without a server may take, for each suite.
pub(super) const OFFLINE_REFRESH: Duration = Duration::from_mins(10);

/// Asks the server, or does it `offline` where none runs.
pub(super) async fn ask<T: DeserializeOwned>(
    file: &args::ConfigFile,
    admin: Option<SocketAddr>,
    question: Question<'_>,
    offline: impl AsyncFnOnce(&Offline) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let config = Config::load(file.config.as_deref())?;
    let remote = Remote::new(admin.unwrap_or(config.server.admin), &config.store.path)?;
    let asked = match question {
        Question::Look(path) => remote.get(path).await?,
        Question::Change(path) => remote.post(path).await?,
    };
    if let Asked::Answer(answer) = asked {
        return Ok(answer);
    }
    let store = config.store.path.clone();
    anyhow::ensure!(
        store.join("format").exists(),
        "no server answers at http://{}, and there is no store in {}: is the server running, and is this its \
         configuration? (--admin, --config)",
        remote.address(),
        store.display()
    );
    let opened = Offline::open(config, Clock::system()).await;
    let opened = opened.with_context(|| {
        format!("no server answers at http://{}, and the store cannot be opened instead", remote.address())
    })?;
    let done = offline(&opened).await;
    opened.close().await;
    done
}

/// What is asked: a path with its query, encoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question<'a> {
    /// To see something.
    Look(&'a str),
    /// To have something changed.
    Change(&'a str),
}
