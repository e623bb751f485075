//! The administrators' API for suites, and what is seen of suites elsewhere.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{ask, get};
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Key, Package, Repository, day};
use crate::support::server::TestServer;

/// A signed archive, a server of it, and the folder of its keyring.
async fn served() -> (Repository, Origin, TestServer, TempDir) {
    let key = Key::generate("Ubuntu");
    let noble = Repository::new("noble").package(Package::new("nano", "7.2-1")).signed_by(&key);
    let origin = Origin::start().await;
    noble.publish().to(&origin, "/ubuntu");
    let folder = TempDir::new().expect("a folder");
    let keyring = folder.path().join("archive.gpg");
    std::fs::write(&keyring, key.keyring()).expect("a keyring");
    let server = TestServer::start(&format!(
        "[upstream]\nretries = 0\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n\
         keyring = \"{}\"\ncheck_every = \"0 s\"\nlegacy_sha1 = true\n[[channel]]\nname = \"pilot\"\n",
        origin.url("/ubuntu"),
        keyring.display()
    ))
    .await;
    (noble, origin, server, folder)
}

async fn look(server: &TestServer, path: &str) -> Value {
    let answer = get(server.admin(), path, &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{path}");
    serde_json::from_str(&answer.text()).expect("JSON")
}

async fn post(server: &TestServer, path: &str, token: &str) -> (u16, Value) {
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), "POST", path, &headers).await;
    (answer.status, serde_json::from_str(&answer.text()).expect("JSON"))
}

#[tokio::test]
async fn a_suite_is_known_once_it_was_asked_for_with_its_generations_and_channels() {
    let (noble, origin, server, _keyring) = served().await;
    assert_eq!(look(&server, "/api/v1/suites").await, serde_json::json!([]));
    get(server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    post(&server, "/api/v1/channels/pilot/promote", &server.admin_token()).await;
    noble.date(day(1)).publish().to(&origin, "/ubuntu");
    get(server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    let suites = look(&server, "/api/v1/suites").await;
    assert_eq!(
        (&suites[0]["suite"], &suites[0]["generation"]),
        (&"dists/noble".into(), &2.into()),
        "{suites}"
    );
    for name in ["noble", "dists/noble"] {
        let suite = look(&server, &format!("/api/v1/suites/ubuntu/{name}")).await;
        let generations: Vec<_> = suite["generations"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|generation| (generation["id"].clone(), generation["channels"].clone()))
            .collect();
        let expected = [(2.into(), serde_json::json!(["live"])), (1.into(), serde_json::json!(["pilot"]))];
        assert_eq!(generations, expected, "{suite}");
        assert_eq!(suite["components"], serde_json::json!(["main"]));
    }
    let channels = look(&server, "/api/v1/channels").await;
    assert_eq!(channels[0]["suites"][0]["generation"], 1, "{channels}");
    assert_eq!(channels[0]["suites"][0]["current"], false);
    for missing in ["/api/v1/suites/ubuntu/jammy", "/api/v1/suites/debian/noble"] {
        let answer = get(server.admin(), missing, &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, Some("application/problem+json")));
    }
}

#[tokio::test]
async fn a_refresh_asks_upstream_at_once_and_fetches_an_unknown_suite() {
    let (noble, origin, server, _keyring) = served().await;
    let token = server.admin_token();
    let (status, refreshed) = post(&server, "/api/v1/suites/refresh?repo=ubuntu&suite=noble", &token).await;
    assert_eq!(
        (status, &refreshed[0]["state"], &refreshed[0]["generation"]),
        (200, &"current".into(), &1.into())
    );
    noble.date(day(1)).publish().to(&origin, "/ubuntu");
    let (_, refreshed) = post(&server, "/api/v1/suites/refresh", &token).await;
    assert_eq!(refreshed[0]["generation"], 2, "{refreshed}");
    let (_, refreshed) = post(&server, "/api/v1/suites/refresh?repo=ubuntu&suite=jammy", &token).await;
    assert_eq!(refreshed[0]["state"], "failed", "{refreshed}");
    assert_eq!(post(&server, "/api/v1/suites/refresh?repo=debian", &token).await.0, 404);
    assert_eq!(post(&server, "/api/v1/suites/refresh?suite=noble", &token).await.0, 400);
}

#[tokio::test]
async fn changes_need_the_token_and_too_many_wrong_ones_are_turned_away() {
    let (_, origin, server, _keyring) = served().await;
    let token = server.admin_token();
    for path in ["suites/refresh", "channels/pilot/promote", "channels/pilot/rollback"] {
        let path = format!("/api/v1/{path}");
        let answer = ask(server.admin(), "POST", &path, &[("Content-Length", "0")]).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path}");
        assert_eq!(get(server.admin(), &path, &[]).await.status, 405, "{path}");
    }
    for _ in 0..7 {
        assert_eq!(post(&server, "/api/v1/suites/refresh", "wrong").await.0, 401);
    }
    assert_eq!(post(&server, "/api/v1/suites/refresh", &token).await.0, 429);
    assert!(origin.requests().is_empty());
    // Looking goes on.
    look(&server, "/api/v1/suites").await;
}

#[tokio::test]
async fn what_keeps_a_suite_back_is_an_event_a_metric_and_in_the_status() {
    let (noble, origin, server, _keyring) = served().await;
    get(server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    let other = noble.date(day(1)).signed_by(&Key::generate("Mallory")).publish();
    other.to(&origin, "/ubuntu");
    get(server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    let events = look(&server, "/api/v1/events").await;
    let kinds: Vec<_> =
        events.as_array().expect("a list").iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds, ["adopted", "verify-failure", "pending"], "{events}");
    assert_eq!(look(&server, "/api/v1/events?since=2").await.as_array().map(Vec::len), Some(1));
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    let row = r#"lumbung_suite_generation_pending{repo="ubuntu",suite="dists/noble"} 1"#;
    assert!(metrics.lines().any(|line| line == row), "{metrics}");
    assert!(
        metrics.contains(r#"lumbung_suite_age_seconds{repo="ubuntu",suite="dists/noble"} "#),
        "{metrics}"
    );
    let status = look(&server, "/api/v1/status").await;
    assert!(status["suites"][0]["problem"].is_string(), "{status}");
    assert_eq!(status["repos"][0]["legacy_sha1"], true);
}

#[tokio::test]
async fn a_date_that_goes_back_is_an_event() {
    let (noble, origin, server, _keyring) = served().await;
    noble.clone().date(day(2)).publish().to(&origin, "/ubuntu");
    get(server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    // A server that knows conditions would say that nothing has changed since the later date.
    let older = noble.date(day(1)).publish().bytes("dists/noble/InRelease");
    origin.route("/ubuntu/dists/noble/InRelease", Reply::ok(older).no_conditions());
    get(server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
    let events = look(&server, "/api/v1/events").await.to_string();
    assert!(events.contains("date-back"), "{events}");
}
