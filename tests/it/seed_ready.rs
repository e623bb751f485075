//! Channels that show only what their seeds have here.

use std::time::Duration;

use serde_json::{Value, json};

use crate::seed_runs::{Publisher, order, until, until_so};
use crate::support::PATIENCE;
use crate::support::client::{ask, get};
use crate::support::gate::Gate;
use crate::support::noise;
use crate::support::origin::Reply;
use crate::support::repository::{Package, day};
use crate::support::server::TestServer;

const CHANNEL: &str = "[[channel]]\nname = \"stable\"\nafter = \"1 min\"\nready_before_promote = true";

async fn channel(server: &TestServer) -> Value {
    let answer = get(server.admin(), "/api/v1/channels", &[]).await;
    let channels: Value = serde_json::from_str(&answer.text()).expect("JSON");
    channels[0].clone()
}

/// Waits until the channel shows this generation.
async fn until_shown(server: &TestServer, generation: u64) -> Value {
    let shown = async {
        loop {
            let channel = channel(server).await;
            if channel["suites"][0]["generation"] == generation && !channel["suites"][0]["since"].is_null() {
                return channel;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, shown).await.expect("a channel that was promoted")
}

async fn post(server: &TestServer, path: &str) -> (u16, String) {
    let authorization = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), "POST", path, &headers).await;
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_waits_until_its_seeds_have_everything() {
    let publisher = Publisher::new(CHANNEL).await;
    let server = TestServer::start(&publisher.fragment).await;
    order(&server, "run").await;
    until(&server, &["done"]).await;
    server.clock().advance(Duration::from_mins(3));
    until_shown(&server, 1).await;

    let next = publisher
        .repository
        .clone()
        .date(day(1))
        .package(Package::new("big", "2").payload(noise("newer", 300_000)))
        .publish();
    next.to(&publisher.origin, "/ubuntu");
    let gate = Gate::new();
    let big = "/ubuntu/pool/main/b/big/big_2_amd64.deb";
    publisher.origin.route(big, Reply::ok(next.deb("big_2_amd64.deb")).pause_after(150_000, &gate));
    assert_eq!(post(&server, "/api/v1/suites/refresh?repo=ubuntu&suite=noble").await.0, 200);
    // The seed follows the new generation by itself, although it has no hours: a channel waits for it.
    server.clock().advance(Duration::from_mins(5));
    until_so(&server, "the new packages", |run| run["bytes_received"].as_u64() > Some(100_000)).await;
    server.clock().advance(Duration::from_mins(5));
    let waiting = channel(&server).await;
    assert_eq!(waiting["suites"][0]["generation"], 1, "{waiting:#}");
    let why = waiting["waits_for"][0].as_str().expect("a sentence");
    assert!(why.contains("the seed s has") && why.contains("left for generation 2 of dists/noble"), "{why}");
    let status = get(server.admin(), "/api/v1/status", &[]).await.text();
    assert!(status.contains("the channel stable waits: the seed s has"), "{status}");
    let (code, text) = post(&server, "/api/v1/channels/stable/promote").await;
    assert!(code == 409 && text.contains("ready_before_promote"), "{code} {text}");

    gate.open();
    until_so(&server, "an end", |run| run["state"] == "done" && run["suites"][0]["generation"] == 2).await;
    server.clock().advance(Duration::from_mins(2));
    let shown = until_shown(&server, 2).await;
    assert_eq!(shown["waits_for"], json!([]));
    publisher.origin.stop().await;
    for path in ["dists/noble/InRelease", "pool/main/b/big/big_2_amd64.deb"] {
        let answer = get(server.address(), &format!("/ubuntu@stable/{path}"), &[]).await;
        assert!(answer.body == next.bytes(path), "{path}: {}", answer.status);
    }
    assert_eq!(post(&server, "/api/v1/channels/stable/rollback").await.0, 200);
    until_shown(&server, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_seed_wants_does_not_wait() {
    let publisher = Publisher::new(CHANNEL).await;
    let fragment = publisher.fragment.replace("suites = [\"noble\"]", "suites = [\"jammy\"]");
    let server = TestServer::start(&fragment).await;
    assert_eq!(post(&server, "/api/v1/suites/refresh?repo=ubuntu&suite=noble").await.0, 200);
    server.clock().advance(Duration::from_mins(3));
    until_shown(&server, 1).await;
    publisher.repository.clone().date(day(1)).publish().to(&publisher.origin, "/ubuntu");
    assert_eq!(post(&server, "/api/v1/suites/refresh?repo=ubuntu&suite=noble").await.0, 200);
    server.clock().advance(Duration::from_mins(3));
    until_shown(&server, 2).await;
}
