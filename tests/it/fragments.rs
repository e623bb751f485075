//! What several tests of the cache begin with: pieces of configuration, and something kept.

use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::client::{Response, get};
use crate::support::origin::Origin;
use crate::support::server::TestServer;

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

/// Asks for `path` and waits until the answer is kept: a client has its last byte a little earlier.
pub async fn warm(server: &TestServer, path: &str) -> Response {
    let answer = get(server.address(), path, &[]).await;
    assert!(answer.is_complete(), "{:?}", answer.end);
    settled(server).await;
    answer
}

/// Waits until no transfer is under way.
pub async fn settled(server: &TestServer) {
    let none = async {
        loop {
            let status = get(server.admin(), "/api/v1/status", &[]).await;
            let status: Value = serde_json::from_slice(&status.body).expect("a status");
            if status["flights"].as_array().is_some_and(Vec::is_empty) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, none).await.expect("an end of all transfers");
}
