//! The road without a line: exports, imports, and servers that never had an upstream.

mod acng;
mod broken;
mod bundle;
mod commands;
mod sources;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::apt::{Apt, Source};
use crate::support::client::{Connection, get};
use crate::support::origin::Origin;
use crate::support::repository::{Compression, Key, Package, Repository, day};
use crate::support::server::TestServer;

/// A publisher, a server beside it with a seed, and a server that has no line.
struct World {
    key: Key,
    origin: Origin,
    folder: TempDir,
    server: TestServer,
    office: TestServer,
}

impl World {
    async fn new() -> Self {
        let (key, folder) = (Key::generate("Ubuntu"), TempDir::new().expect("a folder"));
        let origin = Origin::start().await;
        std::fs::write(folder.path().join("archive.gpg"), key.keyring()).expect("a keyring");
        let server = TestServer::start(&fragment(folder.path(), &origin.url("/ubuntu"))).await;
        let office = TestServer::start(&fragment(folder.path(), &nowhere())).await;
        let world = Self { key, origin, folder, server, office };
        world.first().publish().to(&world.origin, "/ubuntu");
        world
    }

    fn first(&self) -> Repository {
        Repository::new("noble")
            .compressions(&[Compression::Xz])
            .package(Package::new("desktop", "1").depends("editor, libc6"))
            .package(Package::new("editor", "2").depends("libc6").payload_size(300_000))
            .package(Package::new("libc6", "2.39").payload_size(40_000))
            .package(Package::new("unwanted", "1"))
            .signed_by(&self.key)
    }

    /// The state a day later: another editor.
    fn second(&self) -> Repository {
        self.first()
            .without_packages()
            .date(day(1))
            .package(Package::new("desktop", "1").depends("editor, libc6"))
            .package(Package::new("editor", "3").depends("libc6").payload_size(200_000))
            .package(Package::new("libc6", "2.39").payload_size(40_000))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn export(&self, to: &Path, since: Option<&str>) -> Value {
        let order = json!({ "seed": "s", "to": to, "since": since });
        carry(&self.server, "/api/v1/export", &order).await
    }

    async fn import(&self, paths: &[PathBuf], dry_run: bool) -> Value {
        import(&self.office, paths, dry_run).await
    }

    /// A desktop of the office.
    fn desktop(&self) -> Apt {
        self.desktop_of(&self.office.url("/ubuntu"))
    }

    fn desktop_of(&self, base: &str) -> Apt {
        Apt::new(&[Source::apt(base, "noble", "main").signed_by(self.key.keyring())])
    }
}

fn fragment(folder: &Path, upstream: &str) -> String {
    format!(
        "[upstream]\nretries = 0\npatience = \"200 ms\"\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\n\
         upstreams = [{upstream:?}]\naliases = \"http://archive.example/ubuntu\"\nkeyring = {:?}\n\
         [[seed]]\nname = \"s\"\nrepo = \"ubuntu\"\nsuites = [\"noble\"]\narchitectures = [\"amd64\"]\n\
         packages = [\"desktop\"]\n",
        folder.join("archive.gpg").display().to_string()
    )
}

/// An upstream where nobody listens.
fn nowhere() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    format!("http://{}/ubuntu", listener.local_addr().expect("an address"))
}

async fn import(server: &TestServer, paths: &[PathBuf], dry_run: bool) -> Value {
    carry(server, "/api/v1/import", &json!({ "paths": paths, "dry_run": dry_run })).await
}

/// Has something carried, and waits for its end.
async fn carry(server: &TestServer, path: &str, order: &Value) -> Value {
    let begun = post(server.admin(), path, &server.admin_token(), order).await;
    ended(server.admin(), &begun).await
}

async fn post(admin: SocketAddr, path: &str, token: &str, order: &Value) -> Value {
    let body = order.to_string();
    let mut connection = Connection::open(admin).await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.send(request).await;
    let answer = connection.response().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

async fn ended(admin: SocketAddr, begun: &Value) -> Value {
    let ended = async {
        loop {
            let facts: Value =
                serde_json::from_slice(&get(admin, "/api/v1/carry", &[]).await.body).expect("JSON");
            assert_eq!(facts["number"], begun["number"]);
            if facts["running"] == false {
                return facts;
            }
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("an end of it")
}

/// Asserts that the job did all it should.
fn assert_done(facts: &Value) {
    assert_eq!((&facts["problem"], &facts["refused_files"]), (&Value::Null, &json!(0)), "{facts:#}");
}

/// The names of what was refused, with the reasons.
fn refused(facts: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let list = facts["refused"].as_array().expect("a list");
    list.iter().map(|one| (text(&one["name"]), text(&one["reason"]))).collect()
}

fn suite(facts: &Value) -> &Value {
    assert_eq!(facts["suites"].as_array().map(Vec::len), Some(1), "{facts:#}");
    &facts["suites"][0]
}

/// Changes one bit of a file in its middle.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("a file");
}

/// Asserts that the machine's own tools find a bundle whole.
fn assert_sums(bundle: &Path) {
    let checked = Command::new("sha256sum")
        .args(["--check", "--strict", "--quiet", "SHA256SUMS"])
        .current_dir(bundle)
        .output()
        .expect("sha256sum");
    assert!(checked.status.success(), "{checked:?}");
}
