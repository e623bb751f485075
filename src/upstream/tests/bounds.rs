//! Bounds on headers and on transfers at the same time.

use std::pin::pin;

use super::origin::{Origin, Reply};
use super::*;

#[tokio::test]
async fn too_many_header_fields_are_refused() {
    let origin = Origin::start(|seen| {
        let count: usize = seen.path()[1..].parse().unwrap();
        let fields = "X: v\r\n".repeat(count);
        Reply::bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok"))
    })
    .await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    assert_eq!(read(get(&client, origin.url("/99")).await.unwrap()).await.unwrap(), b"ok");
    let error = get(&client, origin.url("/100")).await.unwrap_err();
    assert_eq!(error.reason(), "protocol", "{error}");
}

#[tokio::test]
async fn an_endless_header_is_refused() {
    let origin = Origin::start(|_| Reply::bytes("HTTP/1.1 200 OK\r\nX: ").then_repeat(&[b'v'; 4096])).await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let error = get(&client, origin.url("/a")).await.unwrap_err();
    assert_eq!(error.reason(), "protocol", "{error}");
}

#[tokio::test]
async fn a_big_header_is_refused_though_it_parses() {
    let origin = Origin::start(|_| {
        Reply::bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {}\r\n\r\n", "v".repeat(70_000)))
    })
    .await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let error = get(&client, origin.url("/a")).await.unwrap_err();
    assert!(error.to_string().contains("more than 65536 bytes"), "{error}");
}

/// The second waits while the first body is unread, a different origin is not held up, and the end of the
/// first body lets the second go.
#[tokio::test]
async fn one_transfer_more_than_allowed_waits() {
    let busy = Origin::start(|_| Reply::ok("hello")).await;
    let other = Origin::start(|_| Reply::ok("there")).await;
    let config = Config { connections_per_host: 1, connections: 2, ..config() };
    let client = client(&config, &[&busy.url("/"), &other.url("/")], &[]);
    let first = get(&client, busy.url("/1")).await.unwrap();
    let mut second = pin!(get(&client, busy.url("/2")));
    let third = async { read(get(&client, other.url("/3")).await.unwrap()).await };
    tokio::select! {
        biased;
        early = &mut second => panic!("not held up: {early:?}"),
        third = third => assert_eq!(third.unwrap(), b"there"),
    }
    assert_eq!(busy.seen().len(), 1);

    let mut first = first;
    while first.body.chunk().await.unwrap().is_some() {}
    let second = second.await.unwrap();
    // The first body still lives, but it has ended.
    drop(first);
    assert_eq!(read(second).await.unwrap(), b"hello");
}

#[tokio::test]
async fn a_dropped_body_and_a_failed_request_free_their_places() {
    let origin = Origin::start(|seen| match seen.path() {
        "/endless" => Reply::bytes("HTTP/1.1 200 OK\r\n\r\n").then_repeat(&[b'x'; 4096]),
        "/garbage" => Reply::bytes("?\r\n\r\n").then_close(),
        _ => Reply::ok("hello"),
    })
    .await;
    let config = Config { connections_per_host: 1, connections: 1, ..config() };
    let client = client(&config, &[&origin.url("/")], &[]);
    drop(get(&client, origin.url("/endless")).await.unwrap());
    get(&client, origin.url("/garbage")).await.unwrap_err();
    assert_eq!(read(get(&client, origin.url("/a")).await.unwrap()).await.unwrap(), b"hello");
}
