//! How long a client may keep the server waiting.

use std::time::{Duration, Instant};

use tokio::net::TcpSocket;

use crate::requests::{repo, ubuntu, until_stored};
use crate::support::PATIENCE;
use crate::support::client::{Connection, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

const PATH: &str = "/ubuntu/pool/a_1_amd64.deb";

/// A time that is over soon, and one that is over too late for any test.
const SHORT: &str = "200 ms";
const LONG: &str = "10 min";

async fn server(origin: &Origin, header: &str, idle: &str, stall: &str) -> TestServer {
    let config = format!(
        "[server]\nheader_timeout = \"{header}\"\nidle_timeout = \"{idle}\"\nstall_timeout = \"{stall}\"\n{}{}",
        ubuntu(origin),
        repo("files", "http", &origin.url("/files"))
    );
    TestServer::start(&config).await
}

/// Waits until so many connections of clients are open.
async fn until_open(server: &TestServer, count: usize) {
    let wanted = format!("lumbung_client_connections {count}");
    let open = async {
        while !get(server.admin(), "/metrics", &[]).await.text().lines().any(|line| line == wanted) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, open).await.unwrap_or_else(|_| panic!("never {wanted}"));
}

#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let origin = Origin::start().await;
    let server = server(&origin, SHORT, LONG, LONG).await;
    for beginning in ["", "\r\n", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX-A: b"] {
        let mut connection = Connection::open(server.address()).await;
        connection.send(beginning).await;
        assert_eq!(connection.rest().await.unwrap(), b"", "{beginning:?}");
    }
    // The next head on a connection is held to the same.
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "GET", "/", &[])).await;
    assert_eq!(connection.response().await.status, 406);
    connection.send("GET / HT").await;
    assert_eq!(connection.rest().await.unwrap(), b"");
    // Also when it began together with the one before.
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "GET", "/", &[]) + "GET / HT").await;
    assert_eq!(connection.response().await.status, 406);
    assert_eq!(connection.rest().await.unwrap(), b"");
}

#[tokio::test]
async fn a_head_that_comes_drop_by_drop_is_not_waited_for() {
    let origin = Origin::start().await;
    let server = server(&origin, SHORT, LONG, LONG).await;
    for first in ["GET / HTTP/1.1\r\nHost: x\r\nX-A: ".to_owned(), "\r\n".to_owned()] {
        let mut connection = Connection::open(server.address()).await;
        connection.send(first).await;
        let begun = Instant::now();
        // The drops are the attack, not a way of waiting.
        while connection.try_send("\n").await.is_ok() && connection.is_quiet() {
            assert!(begun.elapsed() < PATIENCE, "still waited for");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test]
async fn a_connection_at_rest_is_closed_after_its_time_and_not_before() {
    let origin = Origin::start().await;
    let server = server(&origin, LONG, SHORT, LONG).await;
    let mut connection = Connection::open(server.address()).await;
    for _ in 0..2 {
        connection.send(request(server.address(), "GET", "/", &[])).await;
        assert_eq!(connection.response().await.status, 406);
    }
    let rests = Instant::now();
    assert_eq!(connection.rest().await.unwrap(), b"");
    assert!(rests.elapsed() >= Duration::from_millis(190), "{:?}", rests.elapsed());
}

#[tokio::test]
async fn who_waits_for_an_answer_owes_nothing() {
    let (origin, head, middle) = (Origin::start().await, Gate::new(), Gate::new());
    let body = vec![7; 100_000];
    origin.route(PATH, Reply::ok(body.clone()).delay_until(&head).pause_after(50_000, &middle));
    origin.route("/files/x", Reply::ok("posted").delay_until(&middle));
    let server = server(&origin, SHORT, SHORT, SHORT).await;
    let silence = || async {
        // Another connection is cut for its silence meanwhile: so much time has passed.
        for _ in 0..2 {
            assert_eq!(Connection::open(server.address()).await.rest().await.unwrap(), b"");
        }
    };
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "GET", PATH, &[])).await;
    let mut posting = Connection::open(server.address()).await;
    posting.send("POST /files/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello").await;
    head.reached_by(1).await;
    middle.reached_by(1).await;
    silence().await;
    head.open();
    let answer = connection.head().await.unwrap();
    connection.bytes(50_000).await;
    silence().await;
    middle.open();
    assert_eq!(answer.status, 200);
    assert_eq!(connection.bytes(50_000).await.len(), 50_000);
    assert_eq!(posting.response().await.text(), "posted");
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_while_others_stream_on() {
    let origin = Origin::start().await;
    let body = vec![7; 30_000_000];
    origin.route(PATH, Reply::ok(body.clone()));
    let server = server(&origin, LONG, LONG, "500 ms").await;
    let mut stalled = Connection::open(server.address()).await;
    stalled.send(request(server.address(), "GET", PATH, &[])).await;
    let head = stalled.head().await.unwrap();
    let others = [get(server.address(), PATH, &[]).await, get(server.address(), PATH, &[]).await];
    assert!(others.iter().all(|answer| answer.is_complete() && answer.body.len() == body.len()));
    until_open(&server, 0).await;
    let cut = stalled.body(head).await;
    assert!(!cut.is_complete() && cut.body.len() < body.len());
    assert_eq!(origin.requests_to(PATH).len(), 1);
}

/// A short body is wholly in the server's buffer when its client stops reading: nothing is left to send but
/// to the kernel. Such a connection looks like one between two requests.
#[tokio::test]
async fn a_client_that_takes_no_short_answers_is_cut_too() {
    let origin = Origin::start().await;
    origin.route(PATH, Reply::ok(vec![7; 60_000]));
    let server = server(&origin, LONG, LONG, "500 ms").await;
    get(server.address(), PATH, &[]).await;
    until_stored(server.address(), PATH).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8192).unwrap();
    let client = socket.connect(server.address()).await.unwrap();
    let requests = request(server.address(), "GET", PATH, &[]).repeat(400);
    let sending = async {
        let mut sent = 0;
        while sent < requests.len() {
            client.writable().await.unwrap();
            match client.try_write(&requests.as_bytes()[sent..]) {
                Ok(count) => sent += count,
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    };
    // What the server does not read either stays here.
    let _ = tokio::time::timeout(Duration::from_secs(1), sending).await;
    until_open(&server, 0).await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let origin = Origin::start().await;
    let server = server(&origin, LONG, LONG, SHORT).await;
    let mut connection = Connection::open(server.address()).await;
    connection.send("POST /files/x HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\nhello").await;
    let answer = connection.response().await;
    assert!((400..500).contains(&answer.status) && answer.text().contains("in time"), "{answer:?}");
    assert_eq!(connection.rest().await.unwrap_or_default(), b"");
    assert_eq!(origin.requests().len(), 0);
}
