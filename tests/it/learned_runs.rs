//! What is learned comes by itself, and does what it is for.

use std::time::Duration;

use serde_json::Value;

use crate::learning::{Publisher, desktop};
use crate::support::PATIENCE;
use crate::support::client::{ask, get, get_from};
use crate::support::repository::Package;
use crate::support::server::TestServer;

async fn json(server: &TestServer, path: &str) -> Value {
    serde_json::from_str(&get(server.admin(), path, &[]).await.text()).expect("JSON")
}

async fn post(server: &TestServer, path: &str) -> Value {
    let authorization = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), "POST", path, &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// Waits until the seed has everything.
async fn complete(server: &TestServer, seed: &str, generation: i64) {
    let done = async {
        loop {
            let state = json(server, &format!("/api/v1/seeds/{seed}")).await;
            let run = &state["run"];
            let suites = run["suites"].as_array().cloned().unwrap_or_default();
            let newest = suites.iter().any(|suite| suite["generation"] == generation);
            if newest && run["state"] == "done" {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.expect("a seed that is complete");
}

#[tokio::test]
async fn after_a_new_generation_the_newest_versions_come_before_anybody_asks() {
    let publisher = Publisher::new().await;
    let at = |version| [Package::new("game", version), Package::new("unloved", version)];
    publisher.publish("noble", 0, &at("1"));
    // At any hour: a test's clock says nothing about the night.
    let server = TestServer::start(&publisher.fragment("[learned]\nhours = \"00:00-24:00\"\n")).await;
    desktop(&server, "127.0.1.1", "noble", &["game_1_amd64.deb"]).await;
    publisher.publish("noble", 1, &at("2"));
    server.clock().advance(Duration::from_hours(1));
    desktop(&server, "127.0.1.1", "noble", &[]).await;
    server.clock().advance(Duration::from_mins(2));
    complete(&server, "learned", 2).await;
    let asked =
        |name: &str| publisher.origin.requests().iter().filter(|one| one.target.contains(name)).count();
    assert_eq!((asked("game_2"), asked("unloved")), (1, 0));

    // A desktop has it from here, and it shows whom that is owed to.
    let client = "127.0.1.2".parse().expect("an address");
    let got = get_from(client, server.address(), "/ubuntu/pool/main/g/game/game_2_amd64.deb").await;
    assert_eq!((got.status, asked("game_2")), (200, 1));
    let counted = async {
        while json(&server, "/api/v1/status").await["totals"]["seeds"]["first"] != 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("a hit that seeding made");
}

#[tokio::test]
async fn a_seed_that_was_run_makes_the_rehearsal_say_yes() {
    let publisher = Publisher::new().await;
    publisher.publish("noble", 0, &[Package::new("editor", "1"), Package::new("old", "1")]);
    publisher.publish("next", 0, &[Package::new("editor", "2").depends("lib2"), Package::new("lib2", "2")]);
    let seed = "[[seed]]\nname = \"upgrade\"\nrepo = \"ubuntu\"\nsuites = [\"next\"]\narchitectures = [\"amd64\"]\n\
                packages = \"learned\"\n";
    let server = TestServer::start(&publisher.fragment(seed)).await;
    desktop(&server, "127.0.1.1", "noble", &["editor_1_amd64.deb", "old_1_amd64.deb"]).await;
    let path = "/api/v1/rehearse?from=noble&to=next";
    let before = post(&server, path).await;
    assert_eq!(
        (&before["ready"], &before["repos"][0]["files_missing"]),
        (&false.into(), &2.into()),
        "{before:#}"
    );
    assert_eq!(before["repos"][0]["seeds"], serde_json::json!(["upgrade"]));
    let generation = before["repos"][0]["to_suites"][0]["generation"].as_i64().expect("a number");
    post(&server, "/api/v1/seeds/upgrade/run").await;
    complete(&server, "upgrade", generation).await;
    let after = post(&server, path).await;
    assert_eq!(after["ready"], true, "{after:#}");
    // And an upgrade asks upstream for no package.
    let before = publisher.origin.requests().len();
    desktop(&server, "127.0.1.1", "next", &["editor_2_amd64.deb", "lib2_2_amd64.deb"]).await;
    let asked: Vec<_> = publisher.origin.requests()[before..].iter().map(|one| one.target.clone()).collect();
    assert!(!asked.iter().any(|target| target.ends_with(".deb")), "{asked:?}");
}
