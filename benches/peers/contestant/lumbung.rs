//! Lumbung with its defaults: signatures and hashes checked, access log and metrics on.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Contestant, Kind, Site, Starting, free_address, pinned};
use crate::client;
use crate::files::{IN_RELEASE, PACKAGES};

/// What differs from the usual setting.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// A store that is there already, instead of an empty one.
    pub store: Option<PathBuf>,
    /// Nothing vouches for the files, and nothing is read before the first request.
    pub unsigned: bool,
}

/// Starts it in front of the origin, and has a client read the suite, as every desktop does first.
pub fn start(site: &Site, settings: &Settings) -> anyhow::Result<Contestant> {
    let home = site.home("lumbung")?;
    let (address, admin) = (free_address()?, free_address()?);
    let store = settings.store.clone().unwrap_or_else(|| home.join("store"));
    let trust = if settings.unsigned {
        "trust = \"none\"".to_owned()
    } else {
        format!("keyring = \"{}\"", site.keyring().display())
    };
    let configuration = format!(
        "[server]\nlisten = \"{address}\"\nadmin = \"{admin}\"\n\
         [store]\npath = \"{store}\"\nmin_free = \"0 B\"\n\
         [[repo]]\nname = \"debian\"\nkind = \"apt\"\n{trust}\nupstreams = [\"http://{origin}\"]\n",
        store = store.display(),
        origin = site.origin,
    );
    let file = home.join("lumbung.toml");
    std::fs::write(&file, configuration)?;
    let mut command = pinned(program());
    command.args(["serve", "--config"]).arg(&file);
    let contestant = run(address, home, command)?;
    if !settings.unsigned {
        let texts = vec![IN_RELEASE.to_owned(), PACKAGES.to_owned()];
        client::alone(&contestant.order(site), texts)?;
    }
    Ok(contestant)
}

fn run(address: SocketAddr, home: PathBuf, command: std::process::Command) -> anyhow::Result<Contestant> {
    Starting { kind: Kind::Lumbung, address, prefix: "/debian".to_owned(), home, command }.run()
}

/// The program that was built along with this benchmark, or the one that `LUMBUNG` names.
pub fn program() -> PathBuf {
    std::env::var_os("LUMBUNG").map_or_else(|| env!("CARGO_BIN_EXE_lumbung").into(), PathBuf::from)
}
