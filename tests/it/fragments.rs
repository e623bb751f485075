//! Pieces of configuration that several tests use.

use crate::support::origin::Origin;

/// Time limits that let a test see what happens after them.
pub const QUICK: &str = "[upstream]\nconnect_timeout = \"2 s\"\nidle_timeout = \"300 ms\"\n\
    patience = \"300 ms\"\nretries = 2\n";

/// An apt repository `u`, which every origin serves below `/u`.
pub fn apt(origins: &[&Origin]) -> String {
    repo("apt", origins)
}

/// A repository `u` of any kind, which every origin serves below `/u`.
pub fn repo(kind: &str, origins: &[&Origin]) -> String {
    let urls: Vec<_> = origins.iter().map(|origin| format!("{:?}", origin.url("/u"))).collect();
    format!(
        "[[repo]]\nname = \"u\"\nkind = \"{kind}\"\nupstreams = [{}]\ntrust = \"none\"\n\
         check_every = \"10 min\"\n",
        urls.join(", ")
    )
}
