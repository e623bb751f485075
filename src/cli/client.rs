//! `lumbung client`: the script that points a desktop here.

use anyhow::Context as _;

use super::{Ending, args, output};
use crate::config::Config;
use crate::server::client_script::{ClientRepo, client_script};

pub(super) fn run(args: &args::Client) -> anyhow::Result<Ending> {
    let config = Config::load(args.file.config.as_deref())?;
    let server = match (&args.server, &config.server.public_url) {
        (Some(server), _) => server.clone(),
        (None, Some(url)) => url.parse().with_context(|| format!("[server] public_url {url}"))?,
        (None, None) => anyhow::bail!(
            "how do desktops reach this server? Say it with --server http://NAME:3142, or set \
             [server] public_url in the configuration"
        ),
    };
    let repos: Vec<ClientRepo> = config.repos.iter().map(ClientRepo::from).collect();
    output::data(&client_script(&server, args.mode, &repos));
    Ok(Ending::Done)
}
