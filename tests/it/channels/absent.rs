//! What is taken out of the configuration is let go after a week, and finds everything as it was if it comes
//! back before.

use super::*;

const DAY: Duration = Duration::from_hours(24);

/// The same archive with another channel than `pilot`.
fn without_pilot(archive: &Archive) -> String {
    archive.configuration("", "").replace("name = \"pilot\"", "name = \"other\"")
}

/// The same archive under another name.
fn renamed(archive: &Archive) -> String {
    archive.configuration("", "").replace("name = \"ubuntu\"", "name = \"ubuntuu\"")
}

/// The texts of events that tell of what is not configured.
async fn told(server: &TestServer) -> Vec<String> {
    let page = get(server.admin(), "/api/v1/events", &[]).await.text();
    let events: Vec<Value> = serde_json::from_str(&page).expect("JSON");
    let ours = events.iter().filter(|event| event["kind"] == "not-configured");
    ours.map(|event| event["text"].as_str().expect("a text").to_owned()).collect()
}

/// A server on which `pilot` stays behind at the first generation.
async fn with_a_channel(archive: &Archive) -> TestServer {
    let server = archive.serve("", "").await;
    update(&server, "/ubuntu").await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    server
}

#[tokio::test]
async fn a_channel_that_comes_back_within_a_week_shows_what_it_showed() {
    let archive = Archive::start().await;
    let mut server = with_a_channel(&archive).await;
    server.restart_with(&without_pilot(&archive)).await;
    assert!(told(&server).await[0].contains("the channel pilot is not configured any more"));
    server.clock().advance(6 * DAY);
    server.restart().await;
    assert_eq!(told(&server).await, Vec::<String>::new(), "it is told once");
    server.restart_with(&archive.configuration("", "")).await;
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.first, SUITE);
    // The week begins anew.
    server.restart_with(&without_pilot(&archive)).await;
    server.clock().advance(6 * DAY);
    server.restart_with(&archive.configuration("", "")).await;
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.first, SUITE);
}

#[tokio::test]
async fn a_channel_that_is_gone_for_a_week_is_forgotten() {
    let archive = Archive::start().await;
    let mut server = with_a_channel(&archive).await;
    server.restart_with(&without_pilot(&archive)).await;
    server.clock().advance(8 * DAY);
    server.restart().await;
    assert!(told(&server).await[0].contains("is let go"));
    server.restart_with(&archive.configuration("", "")).await;
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.second, SUITE);
    assert_eq!(change(&server, "/api/v1/channels/pilot/rollback").await.0, 409);
}

#[tokio::test]
async fn a_repository_that_comes_back_within_a_week_needs_no_upstream() {
    let archive = Archive::start().await;
    let mut server = with_a_channel(&archive).await;
    archive.origin.stop().await;
    server.restart_with(&renamed(&archive)).await;
    assert!(told(&server).await[0].contains("the repository ubuntu is not configured any more"));
    server.clock().advance(6 * DAY);
    server.restart().await;
    server.restart_with(&archive.configuration("", "")).await;
    for (base, publication) in [("/ubuntu", &archive.second), ("/ubuntu@pilot", &archive.first)] {
        for path in [SUITE, INDEX] {
            assert_bytes(&ok(&server, &format!("{base}/{path}")).await, publication, path);
        }
    }
}

#[tokio::test]
async fn a_repository_that_is_gone_for_a_week_is_forgotten_and_holds_nothing() {
    let archive = Archive::start().await;
    let mut server = with_a_channel(&archive).await;
    let held = async |server: &TestServer| {
        let page = get(server.admin(), "/api/v1/status", &[]).await.text();
        let status: Value = serde_json::from_str(&page).expect("JSON");
        status["store"]["held_bytes"].as_u64().expect("a number")
    };
    server.restart_with(&renamed(&archive)).await;
    assert!(held(&server).await > 0);
    server.clock().advance(8 * DAY);
    server.restart().await;
    assert!(told(&server).await[0].contains("the repository ubuntu has not been configured for 7 days"));
    assert_eq!(held(&server).await, 0);
    server.restart_with(&archive.configuration("", "")).await;
    let suites = get(server.admin(), "/api/v1/suites", &[]).await.text();
    assert_eq!(suites.trim(), "[]");
    // It begins anew.
    assert_bytes(&ok(&server, &format!("/ubuntu/{SUITE}")).await, &archive.second, SUITE);
}
