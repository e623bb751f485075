//! What becomes of the connection after an answer.

use super::{PACKAGE, ubuntu};
use crate::support::client::{Connection, End, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

async fn server(origin: &Origin) -> TestServer {
    origin.route(PACKAGE, Reply::ok("a package"));
    TestServer::start(&ubuntu(origin)).await
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let mut connection = Connection::open(server.address()).await;
    for (target, status) in
        [(PACKAGE, 200), ("/none/x", 404), (PACKAGE, 200), ("http://x.example/", 403), ("/", 406)]
    {
        connection.send(request(server.address(), "GET", target, &[])).await;
        let answer = connection.response().await;
        assert_eq!((answer.status, answer.version), (status, 1), "{target}");
        assert!(answer.is_complete());
    }
}

/// That a `Host` was good once on a connection says nothing of another one.
#[tokio::test]
async fn every_request_has_a_host_of_its_own() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let mut connection = Connection::open(server.address()).await;
    for (hosts, status) in [
        ("Host: mirror:3142\r\n", 200),
        ("Host: mirror:3142\r\n", 200),
        ("Host: mirror:3142x\r\n", 400),
        ("Host: other\r\n", 200),
        ("Host: mirror:3142\r\nHost: mirror:3142\r\n", 400),
        ("", 400),
        ("Host: mirror:3142\r\n", 200),
    ] {
        connection.send(format!("GET {PACKAGE} HTTP/1.1\r\n{hosts}\r\n")).await;
        let answer = connection.response().await;
        assert_eq!(answer.status, status, "{hosts:?}");
    }
}

#[tokio::test]
async fn it_ends_when_the_client_says_so() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "GET", PACKAGE, &[("Connection", "close")])).await;
    let answer = connection.response().await;
    assert_eq!((answer.text().as_str(), answer.header("connection")), ("a package", Some("close")));
    assert_eq!(connection.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn an_old_client_is_answered_in_its_version() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    for hosts in ["", "Host: x\r\n"] {
        let mut connection = Connection::open(server.address()).await;
        connection.send(format!("GET {PACKAGE} HTTP/1.0\r\n{hosts}\r\n")).await;
        let answer = connection.response().await;
        assert_eq!((answer.version, answer.status, answer.text().as_str()), (0, 200, "a package"));
        assert_eq!(connection.rest().await.unwrap(), b"");
    }
    let mut connection = Connection::open(server.address()).await;
    for _ in 0..2 {
        connection.send(format!("GET {PACKAGE} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")).await;
        let answer = connection.response().await;
        assert_eq!((answer.text().as_str(), answer.header("connection")), ("a package", Some("keep-alive")));
    }
}

/// Neither chunks nor a length tell an HTTP/1.0 client where the body ends, so the end of the connection
/// has to look wrong when it is.
#[tokio::test]
async fn a_cut_body_never_looks_whole_to_an_old_client() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    let body = vec![7; 100_000];
    origin
        .route(PACKAGE, Reply::ok(body.clone()).chunked().pause_after(50_000, &gate).truncate_after(50_000));
    origin.route("/ubuntu/pool/whole_1_amd64.deb", Reply::ok(body.clone()).chunked());
    let server = TestServer::start(&format!("[upstream]\nretries = 0\n{}", ubuntu(&origin))).await;
    let mut connection = Connection::open(server.address()).await;
    connection.send(format!("GET {PACKAGE} HTTP/1.0\r\n\r\n")).await;
    let head = connection.head().await.unwrap();
    assert_eq!(
        (head.status, head.header("content-length"), head.header("transfer-encoding")),
        (200, None, None)
    );
    connection.bytes(50_000).await;
    gate.open();
    assert!(matches!(connection.body(head).await.end, End::Cut(_)));

    let mut connection = Connection::open(server.address()).await;
    connection.send("GET /ubuntu/pool/whole_1_amd64.deb HTTP/1.0\r\n\r\n").await;
    let whole = connection.response().await;
    assert!(whole.is_complete() && whole.body == body);
}

#[tokio::test]
async fn a_client_that_has_said_all_is_still_answered() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    origin.route(PACKAGE, Reply::ok("a package").delay_until(&gate));
    let server = TestServer::start(&ubuntu(&origin)).await;
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "GET", PACKAGE, &[]).repeat(2)).await;
    connection.finish_sending().await;
    gate.reached_by(1).await;
    gate.open();
    assert_eq!(connection.response().await.text(), "a package");
    assert_eq!(connection.response().await.text(), "a package");
    assert_eq!(connection.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn lines_may_end_as_some_old_tools_end_them() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let mut connection = Connection::open(server.address()).await;
    connection
        .send(format!("\r\nGET {PACKAGE} HTTP/1.1\nHost: x\n\nGET {PACKAGE} HTTP/1.1\r\nHost: x\r\n\r\n"))
        .await;
    assert_eq!(connection.response().await.text(), "a package");
    assert_eq!(connection.response().await.text(), "a package");
}
