//! `lumbung serve`: build the server, run it until a signal.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::{Ending, args};
use crate::app::{App, Source};
use crate::clock::Clock;
use crate::config::{Config, Overrides};
use crate::telemetry;

pub(super) fn run(args: &args::Serve) -> anyhow::Result<Ending> {
    let source = Source {
        file: args.file.config.clone(),
        overrides: Overrides { listen: args.listen.clone(), admin: args.admin, store: args.store.clone() },
    };
    let config = Config::load(source.file.as_deref())?.apply(source.overrides.clone())?;
    let log = telemetry::init(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything starts, so that a signal during start-up is not lost.
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP cannot be watched")?;
        let app = App::build(config, Clock::system()).await?.reloading_from(source, log);
        let reloader = app.reloader();
        // It ends with the runtime.
        tokio::spawn(async move {
            while hangup.recv().await.is_some() {
                // The log says what came of it.
                let _ = reloader.reload().await;
            }
        });
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
