//! What `why` says, over the API and on the command line, with and without a server.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{ask, get};
use crate::support::origin::Origin;
use crate::support::program::lumbung;
use crate::support::repository::{Key, Package, Publication, Repository};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, sha256};

const NANO: &str = "pool/main/n/nano/nano_7.2-1_amd64.deb";
const INDEX: &str = "dists/noble/main/binary-amd64/Packages.xz";

struct World {
    key: Key,
    archive: Publication,
    origin: Origin,
    server: TestServer,
    folder: TempDir,
    configuration: String,
}

async fn world() -> World {
    let key = Key::generate("Ubuntu");
    let noble = Repository::new("noble").package(Package::new("nano", "7.2-1").payload_size(50_000));
    let archive = noble.signed_by(&key).publish();
    let origin = Origin::start().await;
    archive.to(&origin, "/ubuntu");
    let folder = TempDir::new().expect("a folder");
    let keyring = folder.path().join("archive.gpg");
    std::fs::write(&keyring, key.keyring()).expect("a keyring");
    let configuration = format!(
        "[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\nkeyring = \"{}\"\n\
         aliases = \"http://archive.example/ubuntu\"\n[[channel]]\nname = \"pilot\"\n\
         [[office]]\nname = \"Bappeda\"\nnetworks = \"10.20.1.0/24\"\nchannel = \"pilot\"\n",
        origin.url("/ubuntu"),
        keyring.display()
    );
    let server = TestServer::start(&configuration).await;
    World { key, archive, origin, server, folder, configuration }
}

impl World {
    async fn why(&self, query: &str) -> Value {
        let answer = get(self.server.admin(), &format!("/api/v1/why?url={query}"), &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_str(&answer.text()).expect("JSON")
    }

    async fn fetch(&self, path: &str) {
        let answer = get(self.server.address(), &format!("/ubuntu/{path}"), &[]).await;
        assert!(answer.status == 200 && answer.is_complete());
    }

    /// A configuration file that names the store and `admin`.
    fn file(&self, admin: &str) -> String {
        let file = self.folder.path().join("lumbung.toml");
        let text = format!(
            "[server]\nadmin = \"{admin}\"\n[store]\npath = \"{}\"\nmin_free = \"0 B\"\n{}",
            self.server.store().display(),
            self.configuration
        );
        std::fs::write(&file, text).expect("a file");
        file.display().to_string()
    }
}

#[tokio::test]
async fn a_package_is_explained_down_to_signer_index_and_hash() {
    let world = world().await;
    let before = world.why(&format!("/ubuntu/{NANO}")).await;
    assert_eq!((&before["known"], &before["decision"]), (&"unlisted".into(), &"pass".into()), "{before}");
    world.fetch("dists/noble/InRelease").await;
    world.fetch(INDEX).await;
    let hash = format!("sha256:{}", sha256(&world.archive.bytes(NANO)));
    let listed = world.why(&format!("http://archive.example/ubuntu/{NANO}")).await;
    let expected = serde_json::json!({
        "rule": "the host archive.example belongs to an upstream or alias of ubuntu",
        "repo": "ubuntu", "path": NANO, "class": "immutable", "trust": "signature", "channel": "live",
        "known": "listed", "suite": "dists/noble", "generation": 1, "listed_by": INDEX, "expected_hash": hash,
        "expected_size": world.archive.bytes(NANO).len(), "present": false, "decision": "fetch",
    });
    for (name, value) in expected.as_object().expect("an object") {
        assert_eq!(&listed[name], value, "{name} in {listed}");
    }
    let signer = listed["signers"][0].as_str().expect("a signer");
    assert!(world.key.keyring().len() > 10 && signer.len() == 40, "{signer}");
    world.fetch(NANO).await;
    // The client has the last byte before the transfer is stored.
    let stored = async {
        loop {
            let here = world.why(&format!("/ubuntu/{NANO}")).await;
            if here["decision"] != "join" {
                break here;
            }
        }
    };
    let here = tokio::time::timeout(PATIENCE, stored).await.expect("a stored package");
    assert_eq!((&here["present"], &here["decision"]), (&true.into(), &"serve".into()), "{here}");
    assert_eq!(here["upstream"], world.origin.url(&format!("/ubuntu/{NANO}")), "{here}");
    assert_eq!(here["sha256"], sha256(&world.archive.bytes(NANO)));
}

#[tokio::test]
async fn a_release_file_is_explained_with_its_age_and_what_happens_next() {
    let world = world().await;
    let target = "/ubuntu/dists/noble/InRelease";
    assert_eq!(world.why(target).await["known"], "unknown-suite");
    world.fetch("dists/noble/InRelease").await;
    let young = world.why(target).await;
    assert_eq!((&young["known"], &young["decision"]), (&"release-file".into(), &"serve".into()), "{young}");
    world.server.clock().advance(std::time::Duration::from_hours(1));
    let old = world.why(target).await;
    assert_eq!(old["decision"], "check", "{old}");
    assert!(old["age_seconds"].as_u64().is_some_and(|age| age >= 3600), "{old}");
}

#[tokio::test]
async fn an_explanation_is_of_the_channel_that_the_client_sees_and_fetches_nothing() {
    let world = world().await;
    world.fetch("dists/noble/InRelease").await;
    let asked = world.origin.requests().len();
    assert_eq!(world.why("/ubuntu/dists/noble/InRelease&client=10.20.1.7").await["channel"], "pilot");
    assert_eq!(world.why("/ubuntu/dists/noble/InRelease&client=10.20.2.7").await["channel"], "live");
    assert_eq!(world.why("/ubuntu@pilot/dists/noble/InRelease").await["channel"], "pilot");
    let own = world.server.url("/snapshot/pilot/ubuntu/dists/noble/InRelease");
    assert_eq!(world.why(&own).await["channel"], "pilot");
    for refused in ["http://elsewhere.example/x", "/debian/x", "/", "/ubuntu@nowhere/x"] {
        let answer = get(world.server.admin(), &format!("/api/v1/why?url={refused}"), &[]).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (404, Some("application/problem+json")),
            "{refused}"
        );
    }
    assert_eq!(get(world.server.admin(), "/api/v1/why?url=nonsense", &[]).await.status, 400);
    assert_eq!(world.origin.requests().len(), asked);
}

#[tokio::test]
async fn the_commands_ask_the_server_and_without_one_the_store() {
    let mut world = world().await;
    world.fetch("dists/noble/InRelease").await;
    let admin = world.server.admin().to_string();
    let file = world.file(&admin);
    let target = "/ubuntu/dists/noble/InRelease";
    let (code, list, _) = lumbung(&["suite", "list", "--config", &file]).await.parts();
    assert!(code == Some(0) && list.contains("dists/noble"), "{list}");
    let (code, promoted, said) =
        lumbung(&["suite", "promote", "pilot", "--config", &file, "--json"]).await.parts();
    assert_eq!(code, Some(0), "{said}");
    let promoted: Value = serde_json::from_str(&promoted).expect("JSON");
    assert_eq!(promoted["suites"][0]["to"], 1, "{promoted}");
    let (code, why, _) = lumbung(&["why", target, "--config", &file]).await.parts();
    assert!(code == Some(0) && why.contains("generation") && why.contains("because"), "{why}");
    let (code, _, said) = lumbung(&["suite", "promote", "stable", "--config", &file]).await.parts();
    assert!(code == Some(1) && said.contains("no channel \"stable\""), "{said}");
    let (code, refreshed, _) =
        lumbung(&["suite", "refresh", "ubuntu", "noble", "--config", &file]).await.parts();
    assert!(code == Some(0) && refreshed.contains("current"), "{refreshed}");

    world.server.stop().await;
    let (code, list, said) = lumbung(&["suite", "list", "--config", &file, "--json"]).await.parts();
    assert_eq!(code, Some(0), "{said}");
    let list: Value = serde_json::from_str(&list).expect("JSON");
    assert_eq!(list[0]["suite"], "dists/noble", "{list}");
    let (code, shown, said) = lumbung(&["suite", "show", "ubuntu", "noble", "--config", &file]).await.parts();
    assert!(code == Some(0) && shown.contains("live, pilot"), "{shown} {said}");
    let (code, channels, _) = lumbung(&["suite", "channels", "--config", &file]).await.parts();
    assert!(code == Some(0) && channels.contains("pilot") && channels.contains("by hand"), "{channels}");
    let (code, _, said) = lumbung(&["suite", "rollback", "pilot", "--config", &file]).await.parts();
    assert!(code == Some(1) && said.contains("nothing to go back to"), "{said}");
    let (code, why, said) = lumbung(&["why", target, "--config", &file, "--json"]).await.parts();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(serde_json::from_str::<Value>(&why).expect("JSON")["generation"], 1);
}

#[tokio::test]
async fn a_missing_token_is_told_with_the_place_where_it_is_looked_for() {
    let world = world().await;
    let admin = world.server.admin().to_string();
    let file = world.file(&admin);
    std::fs::remove_file(world.server.store().join("admin-token")).expect("a token");
    let (code, _, said) = lumbung(&["suite", "promote", "pilot", "--config", &file]).await.parts();
    assert!(code == Some(1) && said.contains("admin-token"), "{said}");
    let unasked =
        ask(world.server.admin(), "POST", "/api/v1/suites/refresh", &[("Content-Length", "0")]).await;
    assert_eq!(unasked.status, 401);
}
