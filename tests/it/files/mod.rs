//! Repositories of kind `files`: release images with signed checksum lists, files with given hashes.
//!
//! Every test has a publisher with a key, an origin that serves below `/r`, and a server with one repository
//! `r` that trusts the key.

mod given;
mod huge;
mod lists;
mod streaming;
mod trust;
mod upgrader;
mod zsync;

use std::time::Duration;

use tempfile::TempDir;

use crate::support::client::{Response, get};
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Key, day};
use crate::support::server::TestServer;
use crate::support::sha256;

/// Time limits: what upstream does not do is noticed soon.
const LIMITS: &str = "[upstream]\nconnect_timeout = \"2 s\"\nidle_timeout = \"1 s\"\npatience = \"20 s\"\n\
    retries = 1\n";

/// Longer than a list is served unchecked.
const STALE: Duration = Duration::from_mins(11);

const LIST: &str = "/r/24.04/SHA256SUMS";
const SIGNATURE: &str = "/r/24.04/SHA256SUMS.gpg";
const IMAGE: &str = "/r/24.04/desktop.iso";

/// A publisher, its origin, and a server that trusts it.
struct Setup {
    key: Key,
    origin: Origin,
    _folder: TempDir,
    server: TestServer,
}

impl Setup {
    async fn new() -> Self {
        Self::with("", &[]).await
    }

    /// With more lines for the repository, and further upstreams after the origin.
    async fn with(more: &str, further: &[&Origin]) -> Self {
        let (key, folder, origin) =
            (Key::generate("Images"), TempDir::new().expect("a folder"), Origin::start().await);
        let keyring = folder.path().join("images.gpg");
        std::fs::write(&keyring, key.keyring()).expect("a keyring");
        let keyring = keyring.display().to_string();
        let upstreams: Vec<_> =
            std::iter::once(&origin).chain(further.iter().copied()).map(|origin| origin.url("/r")).collect();
        let server = TestServer::start(&format!(
            "{LIMITS}[[repo]]\nname = \"r\"\nkind = \"files\"\nupstreams = {upstreams:?}\n\
             aliases = \"http://releases.example\"\nkeyring = {keyring:?}\n{more}"
        ))
        .await;
        Self { key, origin, _folder: folder, server }
    }

    /// Publishes a list with its signature, dated `age` days after the first.
    fn publish(&self, path: &str, list: &str, age: u64) {
        self.publish_at(&self.origin, path, list, age);
    }

    fn publish_at(&self, origin: &Origin, path: &str, list: &str, age: u64) {
        let signature = self.key.sign(list.as_bytes());
        origin.route(path, Reply::ok(list.to_owned()).last_modified(day(age)));
        origin.route(&format!("{path}.gpg"), Reply::ok(signature).last_modified(day(age)));
    }

    async fn get(&self, path: &str) -> Response {
        get(self.server.address(), path, &[]).await
    }

    /// Whether these bytes are in the store.
    fn has(&self, bytes: &[u8]) -> bool {
        let name = sha256(bytes);
        self.server.store().join("objects").join(&name[..2]).join(&name[2..]).exists()
    }
}

/// A line of a list.
fn line(name: &str, bytes: &[u8]) -> String {
    format!("{} *{name}\n", sha256(bytes))
}

/// Asserts a whole answer with these bytes.
fn assert_whole(answer: &Response, bytes: &[u8]) {
    assert_eq!((answer.status, answer.is_complete()), (200, true), "{}", answer.text());
    assert!(answer.body == bytes, "other bytes");
}
