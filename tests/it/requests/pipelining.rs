//! Many requests at once on one connection: answered in order, fetched at the same time.

use super::{ubuntu, until_stored};
use crate::support::client::{Connection, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

fn path(number: usize) -> String {
    format!("/ubuntu/pool/p{number}_1_amd64.deb")
}

/// Packages 0 up to `count`, whose heads wait at the gate.
fn gated(origin: &Origin, count: usize, gate: &Gate) {
    for number in 0..count {
        origin.route(&path(number), Reply::ok(format!("package {number}")).delay_until(gate));
    }
}

async fn expect_in_order(connection: &mut Connection, numbers: impl IntoIterator<Item = usize>) {
    for number in numbers {
        let answer = connection.response().await;
        assert_eq!((answer.status, answer.text()), (200, format!("package {number}")));
    }
}

#[tokio::test]
async fn ten_misses_are_fetched_at_the_same_time() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    gated(&origin, 10, &gate);
    let server = TestServer::start(&ubuntu(&origin)).await;
    let mut connection = Connection::open(server.address()).await;
    let requests: String = (0..10).map(|n| request(server.address(), "GET", &path(n), &[])).collect();
    connection.send(requests).await;
    gate.reached_by(10).await;
    assert!(connection.is_quiet());
    gate.open();
    expect_in_order(&mut connection, 0..10).await;
    assert_eq!(origin.requests().len(), 10);
}

#[tokio::test]
async fn requests_that_come_in_pieces_are_fetched_as_they_come() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    gated(&origin, 10, &gate);
    let server = TestServer::start(&ubuntu(&origin)).await;
    let mut connection = Connection::open(server.address()).await;
    for number in 0..10 {
        let text = request(server.address(), "GET", &path(number), &[]);
        // The server has seen everything before, so each piece is a read of its own.
        let (half, rest) = text.split_at(text.len() / 2 + number);
        connection.send(half).await;
        connection.send(rest).await;
        gate.reached_by(number + 1).await;
    }
    assert!(connection.is_quiet());
    gate.open();
    expect_in_order(&mut connection, 0..10).await;
    assert_eq!(origin.requests().len(), 10);
}

#[tokio::test]
async fn a_hit_behind_a_miss_waits_its_turn_and_holds_up_nobody() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    gated(&origin, 3, &gate);
    origin.route(&path(1), Reply::ok("package 1"));
    let server = TestServer::start(&ubuntu(&origin)).await;
    get(server.address(), &path(1), &[]).await;
    until_stored(server.address(), &path(1)).await;
    let mut connection = Connection::open(server.address()).await;
    for number in 0..3 {
        connection.send(request(server.address(), "GET", &path(number), &[])).await;
    }
    // They start together; which of them upstream hears of first is not said.
    origin.wait_for(&path(2), 1).await;
    assert_eq!(origin.wait_for(&path(0), 1).await.len(), 1);
    assert!(connection.is_quiet());
    gate.open();
    expect_in_order(&mut connection, 0..3).await;
    assert_eq!(origin.requests_to(&path(1)).len(), 1);
}

#[tokio::test]
async fn misses_behind_a_long_body_begin_while_it_streams() {
    let (origin, gate, middle) = (Origin::start().await, Gate::new(), Gate::new());
    gated(&origin, 4, &gate);
    origin.route("/ubuntu/pool/long_1_amd64.deb", Reply::ok(vec![7; 100_000]).pause_after(50_000, &middle));
    let server = TestServer::start(&ubuntu(&origin)).await;
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "GET", "/ubuntu/pool/long_1_amd64.deb", &[])).await;
    let long = connection.head().await.unwrap();
    connection.bytes(50_000).await;
    for number in 0..4 {
        connection.send(request(server.address(), "GET", &path(number), &[])).await;
    }
    gate.reached_by(4).await;
    middle.open();
    gate.open();
    assert_eq!(long.header("content-length"), Some("100000"));
    connection.bytes(50_000).await;
    expect_in_order(&mut connection, 0..4).await;
}

#[tokio::test]
async fn a_failure_among_them_is_told_in_its_place() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    gated(&origin, 3, &gate);
    origin.remove(&path(1));
    let server = TestServer::start(&ubuntu(&origin)).await;
    let mut connection = Connection::open(server.address()).await;
    let requests: String = (0..3).map(|n| request(server.address(), "GET", &path(n), &[])).collect();
    connection.send(requests).await;
    gate.reached_by(2).await;
    gate.open();
    let statuses = [
        connection.response().await.status,
        connection.response().await.status,
        connection.response().await.status,
    ];
    assert_eq!(statuses, [200, 404, 200]);
    assert_eq!(origin.requests().len(), 3);
}

#[tokio::test]
async fn looking_ahead_has_a_bound_and_deep_pipelines_are_answered_all_the_same() {
    const DEEP: usize = 60;
    let (origin, gate) = (Origin::start().await, Gate::new());
    gated(&origin, DEEP, &gate);
    let config = format!("[upstream]\nconnections = 100\nconnections_per_host = 100\n{}", ubuntu(&origin));
    let server = TestServer::start(&config).await;
    let mut connection = Connection::open(server.address()).await;
    let requests: String = (0..DEEP).map(|n| request(server.address(), "GET", &path(n), &[])).collect();
    connection.send(requests).await;
    gate.reached_by(17).await;
    assert!(origin.requests().len() <= 17, "{}", origin.requests().len());
    gate.open();
    expect_in_order(&mut connection, 0..DEEP).await;
}

#[tokio::test]
async fn nothing_is_fetched_for_requests_behind_the_last_one() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    gated(&origin, 2, &gate);
    let server = TestServer::start(&ubuntu(&origin)).await;
    for (first, version) in [("Connection: close\r\n", "1.1"), ("", "1.0")] {
        let mut connection = Connection::open(server.address()).await;
        let head = |number, more| format!("GET {} HTTP/{version}\r\nHost: x\r\n{more}\r\n", path(number));
        connection.send(head(0, first) + &head(1, "")).await;
        gate.reached_by(1).await;
        gate.open();
        expect_in_order(&mut connection, [0]).await;
        assert!(connection.rest().await.is_ok_and(|rest| rest.is_empty()));
        assert_eq!(origin.requests_to(&path(1)).len(), 0);
    }
}

#[tokio::test]
async fn nothing_is_fetched_ahead_for_a_client_that_is_not_served() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    gated(&origin, 3, &gate);
    let config = format!("[server]\nclients = [\"10.0.0.0/8\"]\n{}", ubuntu(&origin));
    let server = TestServer::start(&config).await;
    let mut connection = Connection::open(server.address()).await;
    let requests: String = (0..3).map(|n| request(server.address(), "GET", &path(n), &[])).collect();
    connection.send(requests).await;
    assert_eq!(connection.response().await.status, 403);
    let _ = connection.rest().await;
    assert_eq!(origin.requests().len(), 0);
}
