//! Verified suites: signatures, the chain of hashes, whole generations.
//!
//! Every test has a publisher with a key, one or more origins that serve what was published below `/u`, and
//! a server with one repository `u` that trusts the key.

mod chain;
mod generations;
mod odd;
mod outages;
mod real_clients;
mod restarts;
mod same_bytes;
mod trust;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::support::apt::{Apt, Source};
use crate::support::client::{Response, get};
use crate::support::origin::Origin;
use crate::support::repository::{Compression, Key, Package, Repository};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, sha256};

const IN_RELEASE: &str = "/u/dists/noble/InRelease";
const PACKAGES: &str = "main/binary-amd64/Packages.xz";
const TRANSLATION: &str = "main/i18n/Translation-en.xz";

/// Time limits: what upstream does not do is noticed soon, and desktops wait until it is.
const LIMITS: &str = "[upstream]\nconnect_timeout = \"2 s\"\nidle_timeout = \"1 s\"\npatience = \"20 s\"\n\
    retries = 2\n";

/// Longer than a suite is served unchecked.
const STALE: Duration = Duration::from_mins(11);

/// Longer than the pause between two attempts at a suite that is not whole.
const RETRY: Duration = Duration::from_secs(61);

/// Keyrings in files of their own.
struct Keyrings(TempDir);

impl Keyrings {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder for keyrings"))
    }

    fn write(&self, name: &str, keyring: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, keyring).expect("a keyring");
        path
    }
}

/// A publisher, its origins, and a server that trusts it.
struct Setup {
    key: Key,
    origins: Vec<Origin>,
    _keyrings: Keyrings,
    server: TestServer,
}

impl Setup {
    async fn new() -> Self {
        Self::with(1, "").await
    }

    /// With so many origins and more lines for the repository.
    async fn with(origins: usize, more: &str) -> Self {
        let (key, keyrings) = (Key::generate("Publisher"), Keyrings::new());
        let mut started = Vec::new();
        for _ in 0..origins {
            started.push(Origin::start().await);
        }
        let keyring = keyrings.write("publisher.gpg", &key.keyring());
        let origins: Vec<&Origin> = started.iter().collect();
        let server = TestServer::start(&format!("{}{more}", fragment(&origins, &[keyring]))).await;
        Self { key, origins: started, _keyrings: keyrings, server }
    }

    fn origin(&self) -> &Origin {
        &self.origins[0]
    }

    /// The suite `noble` in its first generation, signed.
    fn first(&self) -> Repository {
        noble().signed_by(&self.key)
    }

    async fn get(&self, path: &str) -> Response {
        get(self.server.address(), path, &[]).await
    }

    fn desktop(&self) -> Apt {
        self.desktop_with(|source| source)
    }

    fn desktop_with(&self, change: impl FnOnce(Source) -> Source) -> Apt {
        let source = Source::apt(self.server.url("/u"), "noble", "main").signed_by(self.key.keyring());
        Apt::new(&[change(source)])
    }

    /// Moves time until the release file is `wanted`.
    async fn switched_to(&self, wanted: &[u8]) {
        let switch = async {
            while self.get(IN_RELEASE).await.body != wanted {
                self.server.clock().advance(RETRY);
            }
        };
        tokio::time::timeout(PATIENCE, switch).await.expect("the new generation");
    }

    async fn metric(&self, line: &str) -> bool {
        let metrics = get(self.server.admin(), "/metrics", &[]).await.text();
        metrics.lines().any(|known| known == line)
    }
}

/// A configuration with a repository `u` of these origins that trusts these keyrings.
fn fragment(origins: &[&Origin], keyrings: &[PathBuf]) -> String {
    let urls: Vec<_> = origins.iter().map(|origin| origin.url("/u")).collect();
    format!("{LIMITS}[[repo]]\nname = \"u\"\nkind = \"apt\"\nupstreams = {urls:?}\nkeyring = {keyrings:?}\n")
}

/// Two packages in a suite, indices compressed, unsigned.
fn noble() -> Repository {
    Repository::new("noble")
        .compressions(&[Compression::Xz, Compression::Gzip])
        .package(Package::new("nano", "7.2-1").payload_size(200_000))
        .package(Package::new("hello", "2.10-1"))
}

/// One file that a release file lists.
#[derive(Debug, Clone)]
struct Listed {
    hash: String,
    path: String,
}

/// What a release file, signed or not, lists by SHA-256.
fn listed(release: &[u8]) -> Vec<Listed> {
    let text = String::from_utf8_lossy(release);
    let lines = text.lines().skip_while(|line| *line != "SHA256:").skip(1);
    let lines = lines.take_while(|line| line.starts_with(' '));
    lines
        .map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            Listed { hash: words[0].to_owned(), path: words[2].to_owned() }
        })
        .collect()
}

/// Where an index of `noble` is published by its hash.
fn by_hash(release: &[u8], index: &str) -> String {
    let listed = listed(release).into_iter().find(|listed| listed.path == index).expect("a listed index");
    let (folder, _) = index.rsplit_once('/').expect("a folder");
    format!("/u/dists/noble/{folder}/by-hash/SHA256/{}", listed.hash)
}

/// What a client of `noble` sees: the release file, and indices that fit it, by both their names.
///
/// # Panics
/// When something is missing or does not fit.
async fn consistent(server: SocketAddr, indices: &[&str]) -> Vec<u8> {
    let release = get(server, IN_RELEASE, &[]).await;
    assert_eq!((release.status, release.is_complete()), (200, true), "{}", release.text());
    let all = listed(&release.body);
    for index in indices {
        let listed = all.iter().find(|listed| listed.path == *index).expect("a listed index");
        for path in [format!("/u/dists/noble/{index}"), by_hash(&release.body, index)] {
            let answer = get(server, &path, &[]).await;
            assert_eq!((answer.status, answer.is_complete()), (200, true), "{path}: {}", answer.text());
            assert_eq!(sha256(&answer.body), listed.hash, "{path}");
        }
    }
    release.body
}

/// All objects of a store, as their hashes in order, each of which is checked.
fn objects(store: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(store.join("objects")).expect("a store") {
        let folder = folder.expect("a folder of the store").path();
        for file in std::fs::read_dir(&folder).into_iter().flatten() {
            let file = file.expect("an object").path();
            let mut name = String::new();
            for part in [&folder, &file] {
                let part = part.file_name().expect("a name").to_string_lossy();
                let _ = write!(name, "{part}");
            }
            assert_eq!(crate::support::sha256_file(&file).expect("an object"), name, "{}", file.display());
            found.push(name);
        }
    }
    found.sort();
    found
}

/// Asserts that nothing in the store is wrong, and nothing is `bytes`.
fn assert_not_stored(server: &TestServer, bytes: &[u8]) {
    assert!(!objects(&server.store()).contains(&sha256(bytes)), "wrong bytes are in the store");
}
