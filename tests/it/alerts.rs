//! What is shipped for Prometheus and Grafana, against what the server really says.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::client::get;
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Key, Package, Repository};
use crate::support::server::TestServer;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// The names of metrics in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let word = |character: char| !(character.is_ascii_alphanumeric() || character == '_' || character == ':');
    // With a colon it is a rule's own name.
    text.split(word).filter(|word| word.starts_with("lumbung_") && !word.contains(':')).collect()
}

#[tokio::test]
async fn every_metric_that_rules_and_graphs_use_is_there() {
    let key = Key::generate("Ubuntu");
    let origin = Origin::start().await;
    let archive = Repository::new("noble").package(Package::new("nano", "7.2-1")).signed_by(&key).publish();
    archive.to(&origin, "/ubuntu");
    let folder = tempfile::TempDir::new().expect("a folder");
    let keyring = folder.path().join("archive.gpg");
    std::fs::write(&keyring, key.keyring()).expect("a keyring");
    let server = TestServer::start(&format!(
        "[upstream]\nretries = 0\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\nkeyring = \"{}\"\n",
        origin.url("/ubuntu"),
        keyring.display()
    ))
    .await;
    // What has never happened has no row: a package that is not what its index says, and an upstream that is gone.
    let nano = "/ubuntu/pool/main/n/nano/nano_7.2-1_amd64.deb";
    let mut wrong = archive.bytes(&nano["/ubuntu/".len()..]).to_vec();
    let last = wrong.last_mut().expect("a package has bytes");
    *last ^= 1;
    origin.route(nano, Reply::ok(wrong));
    for path in ["/ubuntu/dists/noble/InRelease", "/ubuntu/dists/noble/main/binary-amd64/Packages.xz", nano] {
        get(server.address(), path, &[]).await;
    }
    origin.stop().await;
    get(server.address(), "/ubuntu/pool/main/n/nano/nano_7.2-2_amd64.deb", &[]).await;
    let page = get(server.admin(), "/metrics", &[]).await.text();
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut used = 0;
    for file in ["prometheus/lumbung.rules.yml", "grafana/lumbung.json"] {
        let text = std::fs::read_to_string(format!("{FOLDER}/{file}")).expect("the file");
        for name in names(&text) {
            let ends = ["_total", "_bucket", "_sum", "_count"];
            let family = ends.into_iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(families.contains(family), "{file} uses {name}, which is not among {families:?}");
            used += 1;
        }
    }
    assert!(used > 15, "{used} names");
    let graphs = std::fs::read_to_string(format!("{FOLDER}/grafana/lumbung.json")).expect("the file");
    serde_json::from_str::<serde_json::Value>(&graphs).expect("JSON");
}

#[test]
fn the_rules_fire_when_they_should() {
    for words in [&["check", "rules", "lumbung.rules.yml"], &["test", "rules", "lumbung.rules.test.yml"]] {
        let mut promtool = Command::new("promtool");
        let output = promtool.args(words).current_dir(format!("{FOLDER}/prometheus")).output();
        let output = output.expect("promtool; tests/run installs it");
        assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
