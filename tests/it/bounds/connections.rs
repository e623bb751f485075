//! How many connections there may be, from whom, and to whom.

use crate::requests::ubuntu;
use crate::support::PATIENCE;
use crate::support::client::{Connection, ask, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

async fn server(origin: &Origin, lines: &str) -> TestServer {
    TestServer::start(&format!("{lines}\n{}", ubuntu(origin))).await
}

/// A connection that is being served, and stays open.
async fn served(server: &TestServer) -> Connection {
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "GET", "/", &[])).await;
    assert_eq!(connection.response().await.status, 406);
    connection
}

#[tokio::test]
async fn connections_beyond_all_places_wait_for_one() {
    let origin = Origin::start().await;
    let server = server(&origin, "[server]\nmax_connections = 2\nmax_connections_per_client = 2").await;
    let (mut first, second) = (served(&server).await, served(&server).await);
    let mut third = Connection::open(server.address()).await;
    third.send(request(server.address(), "GET", "/", &[])).await;
    for _ in 0..10 {
        first.send(request(server.address(), "GET", "/", &[])).await;
        assert_eq!(first.response().await.status, 406);
    }
    assert!(third.is_quiet());
    drop(second);
    assert_eq!(third.response().await.status, 406);
}

#[tokio::test]
async fn one_address_cannot_take_all_places() {
    let origin = Origin::start().await;
    let server = server(&origin, "[server]\nmax_connections = 10\nmax_connections_per_client = 2").await;
    let places = (served(&server).await, served(&server).await);
    let mut third = Connection::open(server.address()).await;
    let answer = third.response().await;
    assert_eq!((answer.status, answer.reason.as_str()), (503, "Too many connections from your address"));
    // apt tries a 503 again only if it has a body; its length is right when the end comes after it.
    assert!(answer.is_complete() && answer.text().ends_with("Try later\n"), "{answer:?}");
    assert_eq!(third.rest().await.unwrap(), b"");
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    assert!(metrics.contains("lumbung_refused_total{reason=\"connections\"} 1"), "{metrics}");
    drop(places);
    let free = async {
        while get(server.address(), "/", &[]).await.status != 406 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, free).await.expect("places are free again");
}

#[tokio::test]
async fn connections_to_upstreams_are_bounded() {
    for lines in [
        "[upstream]\nconnections = 2\nconnections_per_host = 2",
        "[upstream]\nconnections = 9\nconnections_per_host = 2",
    ] {
        let (origin, gate) = (Origin::start().await, Gate::new());
        let path = |number: usize| format!("/ubuntu/pool/p{number}_1_amd64.deb");
        for number in 0..6 {
            origin.route(&path(number), Reply::ok(format!("package {number}")).delay_until(&gate));
        }
        let server = server(&origin, lines).await;
        let mut clients = Vec::new();
        for number in 0..6 {
            let mut client = Connection::open(server.address()).await;
            client.send(request(server.address(), "GET", &path(number), &[])).await;
            clients.push(client);
        }
        gate.reached_by(2).await;
        assert_eq!(origin.requests().len(), 2);
        gate.open();
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(client.response().await.text(), format!("package {number}"));
        }
        // Two connections were enough for all six, one after another.
        assert_eq!((origin.log().connections(), origin.requests().len()), (2, 6));
    }
}

#[tokio::test]
async fn clients_from_elsewhere_are_told_why_not() {
    let origin = Origin::start().await;
    let server =
        server(&origin, "[server]\nclients = [\"10.0.0.0/8\", \"fd00::/8\"]\ntunnels = [\"127.0.0.1:9\"]")
            .await;
    for (method, target) in [
        ("GET", "/ubuntu/pool/a_1_amd64.deb"),
        ("GET", "/"),
        ("GET", "/client.sh"),
        ("GET", "/../x"),
        ("POST", "/ubuntu/x"),
        ("CONNECT", "127.0.0.1:9"),
        ("CONNECT", "127.0.0.1:443"),
    ] {
        let answer = ask(server.address(), method, target, &[]).await;
        assert_eq!(answer.status, 403, "{method} {target}");
        assert!(answer.reason.contains("not among the networks"), "{}", answer.reason);
        assert!(answer.text().contains("clients under [server]"), "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let head = ask(server.address(), "HEAD", "/", &[]).await;
    assert_eq!((head.status, head.body.len()), (403, 0));
    assert_eq!(origin.log().connections(), 0);
}
