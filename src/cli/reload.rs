//! `lumbung reload`: have the running server read its configuration again.

use std::fmt::Write as _;

use super::remote::{Asked, Remote};
use super::{Ending, args, output};
use crate::config::Config;
use crate::server::api::Reloaded;

pub(super) fn run(args: &args::Reload) -> anyhow::Result<Ending> {
    let asking = &args.asking;
    // The server reads its file itself. What is wrong with this one, which says where the server is, is most
    // likely wrong with that.
    let config = Config::load(asking.file.config.as_deref())
        .map_err(|error| anyhow::anyhow!("{error}\nThe server was not asked, and nothing has changed."))?;
    let admin = asking.admin.unwrap_or(config.server.admin);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let remote = Remote::new(admin, &config.store.path)?;
    match runtime.block_on(remote.post::<Reloaded>("/api/v1/reload"))? {
        Asked::Answer(reloaded) => output::answer(asking.json, &reloaded, || words(&reloaded)),
        Asked::NotRunning => anyhow::bail!(
            "no server answers at http://{}: if that address is new, name the one that the server still has with \
             --admin",
            remote.address()
        ),
    }
}

fn words(reloaded: &Reloaded) -> String {
    let Reloaded { config, changed, needs_restart } = reloaded;
    let mut text = if changed.is_empty() {
        format!("{config} was read again; nothing has changed.\n")
    } else {
        format!("{config} was read again; changed: {}.\n", changed.join(", "))
    };
    if !needs_restart.is_empty() {
        // A failure to write to a string does not happen.
        let _ = writeln!(text, "needs a restart: {}", needs_restart.join(", "));
    }
    text
}
