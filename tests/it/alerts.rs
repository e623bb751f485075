//! What is shipped for Prometheus and Grafana, against what the server really says.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::client::get;
use crate::support::origin::Origin;
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
    let origin = Origin::start().await;
    let server = TestServer::start(&format!(
        "[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\ntrust = \"none\"\n",
        origin.url("/ubuntu")
    ))
    .await;
    let page = get(server.admin(), "/metrics", &[]).await.text();
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let mut used = 0;
    for file in ["prometheus/lumbung.rules.yml", "grafana/lumbung.json"] {
        let text = std::fs::read_to_string(format!("{FOLDER}/{file}")).expect("the file");
        for name in names(&text) {
            let family =
                ["_total", "_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
            assert!(families.contains(family.unwrap_or(name)), "{file} uses {name}, which is not there");
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
