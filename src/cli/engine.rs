//! The running server, or the store itself where none runs: who answers questions about suites.

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
    asking: &args::Asking,
    question: Question<'_>,
    offline: impl AsyncFnOnce(&Offline) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let config = Config::load(asking.file.config.as_deref())?;
    let remote = Remote::new(asking.admin.unwrap_or(config.server.admin), &config.store.path)?;
    let asked = match question {
        Question::Look(path) => remote.get(path).await?,
        Question::Change(path) => remote.post(path).await?,
    };
    if let Asked::Answer(answer) = asked {
        return Ok(answer);
    }
    let opened = open(config, &remote).await?;
    let done = offline(&opened).await;
    opened.close().await;
    done
}

/// Opens the store of a server that does not run.
pub(super) async fn open(config: Config, remote: &Remote) -> anyhow::Result<Offline> {
    let store = config.store.path.clone();
    anyhow::ensure!(
        store.join("format").exists(),
        "no server answers at http://{}, and there is no store in {}: is the server running, and is this its \
         configuration? (--admin, --config)",
        remote.address(),
        store.display()
    );
    let opened = Offline::open(config, Clock::system()).await;
    opened.with_context(|| {
        format!("no server answers at http://{}, and the store cannot be opened instead", remote.address())
    })
}

/// What is asked: a path with its query, encoded.
#[derive(Debug, Clone, Copy)]
pub(super) enum Question<'a> {
    /// To see something.
    Look(&'a str),
    /// To have something changed.
    Change(&'a str),
}
