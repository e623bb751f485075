//! Ending with grace, up to a deadline.

use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::requests::{PACKAGE, SIZE, ubuntu};
use crate::support::PATIENCE;
use crate::support::client::{Connection, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::{Process, TestServer};

async fn origin(gate: &Gate) -> Origin {
    let origin = Origin::start().await;
    origin.route(PACKAGE, Reply::ok(vec![7; SIZE]).pause_after(SIZE as u64 / 2, gate));
    origin
}

#[tokio::test]
async fn a_body_in_flight_ends_well_and_nobody_new_is_served() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let mut server = TestServer::start(&ubuntu(&origin)).await;
    let address = server.address();
    let mut resting = Connection::open(address).await;
    resting.send(request(address, "GET", "/", &[])).await;
    assert_eq!(resting.response().await.status, 406);
    let mut client = Connection::open(address).await;
    client.send(request(address, "GET", PACKAGE, &[])).await;
    let head = client.head().await.unwrap();
    let during = async {
        let refused = async { while TcpStream::connect(address).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, refused).await.expect("new connections are refused");
        // A connection between requests has nothing to wait for.
        assert_eq!(resting.rest().await.unwrap(), b"");
        gate.open();
        client.body(head).await
    };
    let ((), answer) = tokio::join!(server.stop(), during);
    assert!(answer.is_complete() && answer.body.len() == SIZE);
}

#[tokio::test]
async fn the_deadline_cuts_what_is_left() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let config = format!("[server]\nshutdown_grace = \"200 ms\"\n{}", ubuntu(&origin));
    let mut server = TestServer::start(&config).await;
    let mut client = Connection::open(server.address()).await;
    client.send(request(server.address(), "GET", PACKAGE, &[])).await;
    let head = client.head().await.unwrap();
    server.stop().await;
    assert!(!client.body(head).await.is_complete());
}

#[tokio::test]
async fn the_deadline_is_told_to_the_administrator() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let config = format!("[server]\nshutdown_grace = \"200 ms\"\n{}", ubuntu(&origin));
    let mut process = Process::start(&config).await;
    let mut client = Connection::open(process.address()).await;
    client.send(request(process.address(), "GET", PACKAGE, &[])).await;
    let head = client.head().await.unwrap();
    process.signal(Signal::TERM);
    assert!(process.ended().await.success());
    assert!(!client.body(head).await.is_complete());
    let log = process.log().join("\n");
    assert!(log.contains("cut at the end of the grace time") && log.contains("\"connections\":1"), "{log}");
}
