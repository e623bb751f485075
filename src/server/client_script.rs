//! The script that points a desktop here, filled in for this server.
//!
//! The script itself is `cli/client.sh`; it works on any desktop with a POSIX shell and awk. What is
//! filled in comes from types that cannot hold a quote or a line break, and is quoted all the same.

use crate::repo::{self, Alias, HostPattern};
use crate::safe_url::BaseUrl;

const TEMPLATE: &str = include_str!("../cli/client.sh");

/// How a desktop uses this server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ClientMode {
    /// Its package sources name this server.
    #[default]
    Mirror,
    /// Its package sources stay; apt asks through this server.
    Proxy,
}

impl ClientMode {
    /// The word on the script's command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mirror => "mirror",
            Self::Proxy => "proxy",
        }
    }
}

/// A repository as desktops know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRepo {
    /// Its name here: the first part of its address.
    pub name: String,
    /// What it stands in for: its upstreams and aliases.
    pub locations: Vec<Alias>,
}

impl From<&repo::Config> for ClientRepo {
    fn from(config: &repo::Config) -> Self {
        let upstreams = config.upstreams.iter().cloned().map(Alias::from);
        Self {
            name: config.name.to_string(),
            locations: upstreams.chain(config.aliases.iter().cloned()).collect(),
        }
    }
}

/// The script for desktops that reach this server at `server`; `mode` is what it does unless told
/// otherwise.
#[must_use]
pub fn client_script(server: &BaseUrl, mode: ClientMode, repos: &[ClientRepo]) -> String {
    let rules: Vec<String> = repos
        .iter()
        .flat_map(|repo| repo.locations.iter().map(move |location| rule(&repo.name, location)))
        .collect();
    let server = server.to_string();
    TEMPLATE
        .replace("'@SERVER@'", &quoted(server.trim_end_matches('/')))
        .replace("'@MODE@'", &quoted(mode.as_str()))
        .replace("'@RULES@'", &quoted(&rules.join("\n")))
}

/// `name host port path`, as the script reads it. The port is `-` for the scheme's own, because a
/// source that names the same place by http or https is the same repository.
fn rule(name: &str, location: &Alias) -> String {
    let host = match &location.host {
        HostPattern::Exact(host) => host.to_string(),
        HostPattern::Below(host) => format!("*.{host}"),
    };
    let default = location.port == location.scheme.default_port();
    let port = if default { "-".to_owned() } else { location.port.to_string() };
    format!("{name} {host} {port} /{}", location.path.encoded())
}

/// A word that a shell takes as it is.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
#[path = "client_script_tests.rs"]
mod tests;
