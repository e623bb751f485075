//! HEAD, and the headers of an answer, while an object is unknown, on its way, and stored.

use std::time::Duration;

use super::{InFlight, PACKAGE, SIZE, ubuntu, until_stored};
use crate::support::client::{Connection, Response, ask, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

/// The `Last-Modified` of the origin's replies.
const DATE: &str = "Sat, 01 Jun 2024 00:00:00 GMT";

fn assert_describes_the_package(answer: &Response) {
    let size = SIZE.to_string();
    for (name, value) in [
        ("content-length", size.as_str()),
        ("last-modified", DATE),
        ("accept-ranges", "bytes"),
        ("via", "1.1 lumbung"),
        ("content-type", "application/octet-stream"),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name} of {answer:?}");
        let count = answer.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name)).count();
        assert_eq!(count, 1, "{name} of {answer:?}");
    }
    let tag = answer.header("etag").expect("an ETag");
    assert!(tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
}

#[tokio::test]
async fn a_miss_a_join_and_a_hit_describe_the_same_object() {
    let mut flying = InFlight::begin().await;
    let server = flying.server.address();
    let mut second = Connection::open(server).await;
    second.send(request(server, "GET", PACKAGE, &[])).await;
    let joined = second.head().await.unwrap();
    let miss = flying.land().await;
    let joined = second.body(joined).await;
    flying.server.clock().advance(Duration::from_secs(100));
    let hit = get(server, PACKAGE, &[]).await;
    for (answer, status, age) in [
        (&miss, "lumbung; fwd=uri-miss; stored", None),
        (&joined, "lumbung; fwd=uri-miss; collapsed", None),
        (&hit, "lumbung; hit", Some(100)),
    ] {
        assert_eq!(answer.status, 200);
        assert_describes_the_package(answer);
        assert!(answer.is_complete() && answer.body == flying.body);
        assert_eq!(answer.header("cache-status"), Some(status));
        // The clock of the system moves along, by less than a minute.
        let seen = answer.header("age").map(|age| age.parse::<u64>().unwrap());
        assert!(seen.is_some() == age.is_some(), "{answer:?}");
        assert!(seen.is_none_or(|seen| (100..160).contains(&seen)), "{seen:?}");
    }
    assert_eq!(miss.header("etag"), joined.header("etag"));
    assert_eq!(flying.origin.requests_to(PACKAGE).len(), 1);
}

#[tokio::test]
async fn head_of_what_nobody_has_asked_for_downloads_nothing() {
    let origin = Origin::start().await;
    origin.route(PACKAGE, Reply::ok(vec![7; SIZE]));
    let server = TestServer::start(&ubuntu(&origin)).await;
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "HEAD", PACKAGE, &[])).await;
    let answer = connection.head().await.unwrap();
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("200000")));
    assert_eq!(answer.header("last-modified"), Some(DATE));
    assert_eq!(answer.header("via"), Some("1.1 lumbung"));
    assert_eq!(answer.header("cache-status"), Some("lumbung; fwd=bypass; detail=head"));
    // What follows on the connection is the next answer, so there was no body.
    connection.send(request(server.address(), "HEAD", "/ubuntu/pool/none_1.deb", &[])).await;
    assert_eq!(connection.head().await.unwrap().status, 404);
    connection.send(request(server.address(), "GET", "/", &[])).await;
    assert_eq!(connection.response().await.status, 406);
    let asked: Vec<_> = origin.requests().into_iter().map(|request| (request.method, request.path)).collect();
    let head = |path: &str| ("HEAD".to_owned(), path.to_owned());
    assert_eq!(asked, [head(PACKAGE), head("/ubuntu/pool/none_1.deb")]);
    assert_eq!(origin.log().all_body_bytes(), 0);
}

#[tokio::test]
async fn head_joins_a_transfer_and_then_the_store() {
    let mut flying = InFlight::begin().await;
    let server = flying.server.address();
    let mut connection = Connection::open(server).await;
    for round in 0..2 {
        connection.send(request(server, "HEAD", PACKAGE, &[])).await;
        connection.send(request(server, "HEAD", PACKAGE, &[("Range", "bytes=5-9")])).await;
        let whole = connection.head().await.unwrap();
        assert_eq!(whole.status, 200);
        assert_describes_the_package(&whole);
        // A range means nothing to HEAD (RFC 9110 §14.2); what is said must describe no other body.
        let part = connection.head().await.unwrap();
        assert_eq!(part.header("content-length"), Some(if part.status == 206 { "5" } else { "200000" }));
        if round == 0 {
            flying.land().await;
        }
    }
    assert_eq!(flying.origin.requests_to(PACKAGE).len(), 1);
}

#[tokio::test]
async fn head_of_a_release_file_says_what_get_would() {
    let origin = Origin::start().await;
    let path = "/ubuntu/dists/noble/InRelease";
    origin.route(path, Reply::ok("a release file").header("Content-Type", "text/plain"));
    let server = TestServer::start(&ubuntu(&origin)).await;
    let head = ask(server.address(), "HEAD", path, &[]).await;
    until_stored(server.address(), path).await;
    let get = get(server.address(), path, &[]).await;
    for name in ["content-length", "last-modified", "content-type", "accept-ranges"] {
        assert_eq!(head.header(name), get.header(name), "{name}");
    }
    assert_eq!((head.status, head.body.len(), get.text().as_str()), (200, 0, "a release file"));
    assert_eq!(origin.requests_to(path).len(), 1);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_framed_and_later_counted() {
    let origin = Origin::start().await;
    origin.route(PACKAGE, Reply::ok(vec![7; SIZE]).chunked());
    let server = TestServer::start(&ubuntu(&origin)).await;
    let miss = get(server.address(), PACKAGE, &[]).await;
    assert!(miss.is_complete() && miss.body.len() == SIZE);
    until_stored(server.address(), PACKAGE).await;
    let hit = get(server.address(), PACKAGE, &[]).await;
    assert_describes_the_package(&hit);
    assert_eq!(hit.body.len(), SIZE);
}

#[tokio::test]
async fn an_empty_file_is_an_empty_answer() {
    let origin = Origin::start().await;
    origin.route(PACKAGE, Reply::ok(""));
    let server = TestServer::start(&ubuntu(&origin)).await;
    let mut connection = Connection::open(server.address()).await;
    for round in 0..2 {
        connection.send(request(server.address(), "GET", PACKAGE, &[])).await;
        let answer = connection.response().await;
        assert_eq!((answer.status, answer.header("content-length")), (200, Some("0")), "round {round}");
        until_stored(server.address(), PACKAGE).await;
    }
}

#[tokio::test]
async fn errors_are_words_and_never_empty() {
    let origin = Origin::start().await;
    let path = "/ubuntu/pool/none_1_amd64.deb";
    let config = format!("[upstream]\nretries = 0\n{}", ubuntu(&origin));
    let server = TestServer::start(&config).await;
    let missing = get(server.address(), path, &[]).await;
    assert_eq!((missing.status, missing.reason.as_str()), (404, "127.0.0.1 has no such file"));
    origin.stop().await;
    let down = get(server.address(), "/ubuntu/pool/other_1_amd64.deb", &[]).await;
    assert_eq!(down.status, 503);
    for answer in [missing, down] {
        assert!(answer.text().starts_with("Lumbung: ") && answer.text().ends_with('\n'), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(answer.header("via"), Some("1.1 lumbung"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
}

/// Whoever asks in the very moment in which the transfer ends finds it on its way or stored: never neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asks_for_a_head_while_a_transfer_ends_never_asks_upstream() {
    let origin = Origin::start().await;
    let server = TestServer::start(&ubuntu(&origin)).await;
    for number in 0..60 {
        let path = format!("/ubuntu/pool/main/h/h{number}_1_amd64.deb");
        let gate = Gate::new();
        origin.route(&path, Reply::ok(vec![7; 1000]).pause_after(500, &gate));
        let mut first = Connection::open(server.address()).await;
        first.send(request(server.address(), "GET", &path, &[])).await;
        gate.reached_by(1).await;
        let address = server.address();
        let asking: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                tokio::spawn(async move { until_stored(address, &path).await })
            })
            .collect();
        gate.open();
        for asking in asking {
            asking.await.unwrap();
        }
        assert!(first.response().await.is_complete());
        assert_eq!(origin.requests_to(&path).len(), 1, "{path}");
    }
}
