//! `lumbung serve`: build the server, run it until a signal.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::{Ending, args};
use crate::app::App;
use crate::clock::Clock;
use crate::config::{Config, Overrides};
use crate::telemetry;

pub(super) fn run(args: &args::Serve) -> anyhow::Result<Ending> {
    let config = configured(args)?;
    telemetry::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything starts, so that a signal during start-up is not lost.
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
        let app = App::build(config, Clock::system()).await?;
        tracing::info!(listen = ?app.addresses(), admin = %app.admin_address(), "serving");
        app.run(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("stopping");
        })
        .await
    })?;
    Ok(Ending::Done)
}

/// The configuration, with what the command line says in its place.
fn configured(args: &args::Serve) -> anyhow::Result<Config> {
    let overrides = Overrides { listen: args.listen.clone(), admin: args.admin, store: args.store.clone() };
    Ok(Config::load(args.file.config.as_deref())?.apply(overrides)?)
}
