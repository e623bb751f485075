//! One transfer from upstream serves everybody who asks while it runs.

use rstest::rstest;

use crate::fragments::{QUICK, apt};
use crate::support::client::{Connection, End, Response, ask, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;
use crate::support::{noise, sha256};

const SIZE: usize = 300_000;
/// Where the origin stops and waits.
const HALF: usize = 150_000;
const DEB: &str = "/u/pool/main/a/a_1_amd64.deb";
const INDEX: &str = "/u/dists/noble/main/binary-amd64/Packages.xz";

/// A server with one upstream.
async fn one_upstream(more: &str) -> (Origin, TestServer) {
    let origin = Origin::start().await;
    let server = TestServer::start(&format!("{more}{}", apt(&[&origin]))).await;
    (origin, server)
}

fn by_hash(body: &[u8]) -> String {
    format!("/u/dists/noble/main/binary-amd64/by-hash/SHA256/{}", sha256(body))
}

/// A client whose request for `path` has got a head.
async fn started(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> (Connection, Response) {
    let mut client = Connection::open(server.address()).await;
    client.send(request(server.address(), "GET", path, headers)).await;
    let head = client.head().await.expect("an answer");
    (client, head)
}

#[rstest]
#[case::package(DEB)]
#[case::index(INDEX)]
#[case::release("/u/dists/noble/InRelease")]
#[case::by_hash("by-hash")]
#[case::other("/u/project/notes.txt")]
#[tokio::test]
async fn fifty_clients_share_one_request_and_stream_while_it_runs(#[case] path: &str) {
    let (origin, server) = one_upstream("").await;
    let body = noise(path, SIZE);
    let by_hash = by_hash(&body);
    let path = if path == "by-hash" { &by_hash } else { path };
    let gate = Gate::new();
    origin.route(path, Reply::ok(body.clone()).pause_after(HALF as u64, &gate));
    let mut clients = Vec::new();
    for _ in 0..50 {
        let mut client = Connection::open(server.address()).await;
        client.send(request(server.address(), "GET", path, &[])).await;
        clients.push(client);
    }
    let mut streaming = Vec::new();
    for mut client in clients {
        let head = client.head().await.expect("an answer");
        assert_eq!(head.header("content-length"), Some("300000"));
        assert_eq!(client.bytes(50_000).await, body[..50_000]);
        streaming.push(client);
    }
    assert_eq!(origin.log().answering(path), 1, "the origin is still in mid-body");
    gate.open();
    for mut client in streaming {
        assert!(client.bytes(SIZE - 50_000).await == body[50_000..]);
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn fifty_clients_learn_from_one_request_that_there_is_nothing() {
    let (origin, server) = one_upstream("").await;
    let clients: Vec<_> = (0..50)
        .map(|_| tokio::spawn(get_owned(server.address(), "/u/dists/noble/main/i18n/Translation-id")))
        .collect();
    for client in clients {
        assert_eq!(client.await.expect("an answer").status, 404);
    }
    assert_eq!(origin.requests().len(), 1);
}

async fn get_owned(address: std::net::SocketAddr, path: &'static str) -> Response {
    get(address, path, &[]).await
}

#[tokio::test]
async fn a_flight_outlives_the_client_that_began_it() {
    let (origin, server) = one_upstream("").await;
    let (body, gate) = (noise("leaver", SIZE), Gate::new());
    origin.route(DEB, Reply::ok(body.clone()).pause_after(HALF as u64, &gate));
    let (mut first, _) = started(&server, DEB, &[]).await;
    first.bytes(1000).await;
    let (mut second, head) = started(&server, DEB, &[]).await;
    assert_eq!(head.header("cache-status"), Some("lumbung; fwd=uri-miss; collapsed"));
    first.abort();
    second.bytes(1000).await;
    gate.open();
    assert!(second.bytes(SIZE - 1000).await == body[1000..]);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_flight_outlives_all_its_clients() {
    let (origin, server) = one_upstream("").await;
    let (body, gate) = (noise("leavers", SIZE), Gate::new());
    origin.route(DEB, Reply::ok(body.clone()).pause_after(HALF as u64, &gate));
    for _ in 0..2 {
        let (mut client, _) = started(&server, DEB, &[]).await;
        client.bytes(1000).await;
        client.abort();
    }
    gate.open();
    origin.log().wait_until("the end of the answer", |log| log.answering(DEB) == 0).await;
    let answer = get(server.address(), DEB, &[]).await;
    assert!(answer.is_complete() && answer.body == body);
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(origin.log().body_bytes(DEB), SIZE as u64);
}

#[tokio::test]
async fn ranges_join_a_running_flight() {
    let (origin, server) = one_upstream("").await;
    let (body, gate) = (noise("ranges", SIZE), Gate::new());
    origin.route(DEB, Reply::ok(body.clone()).pause_after(HALF as u64, &gate));
    let (mut whole, head) = started(&server, DEB, &[]).await;
    let date = head.header("last-modified").expect("a date").to_owned();
    whole.bytes(HALF).await;

    let here = get(server.address(), DEB, &[("Range", "bytes=10-19"), ("If-Range", &date)]).await;
    assert_eq!((here.status, here.header("content-range")), (206, Some("bytes 10-19/300000")));
    assert_eq!(here.body, body[10..20]);
    let beyond = get(server.address(), DEB, &[("Range", "bytes=300000-")]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, Some("bytes */300000")));

    let (mut later, head) = started(&server, DEB, &[("Range", "bytes=200000-200009")]).await;
    assert_eq!((head.status, head.header("content-range")), (206, Some("bytes 200000-200009/300000")));
    let (mut suffix, head) = started(&server, DEB, &[("Range", "bytes=-10")]).await;
    assert_eq!((head.status, head.header("content-range")), (206, Some("bytes 299990-299999/300000")));
    assert!(later.is_quiet() && suffix.is_quiet());
    gate.open();
    assert_eq!(later.bytes(10).await, body[200_000..200_010]);
    assert_eq!(suffix.bytes(10).await, body[299_990..]);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn head_and_conditions_are_answered_from_a_flying_head() {
    let (origin, server) = one_upstream("").await;
    let gate = Gate::new();
    origin.route(DEB, Reply::ok(noise("head", SIZE)).pause_after(HALF as u64, &gate));
    let (_flying, head) = started(&server, DEB, &[]).await;
    let (tag, date) = (head.header("etag").expect("a tag"), head.header("last-modified").expect("a date"));
    let probe = ask(server.address(), "HEAD", DEB, &[]).await;
    assert_eq!((probe.status, probe.header("content-length")), (200, Some("300000")));
    assert_eq!((probe.header("etag"), probe.header("last-modified")), (Some(tag), Some(date)));
    for (name, value) in [("If-None-Match", tag), ("If-Modified-Since", date)] {
        assert_eq!(get(server.address(), DEB, &[(name, value)]).await.status, 304, "{name}");
    }
    assert_eq!(get(server.address(), DEB, &[("If-Match", "\"other\"")]).await.status, 412);
    assert_eq!(origin.requests().len(), 1);
    gate.open();
}

#[tokio::test]
async fn tags_and_dates_of_the_flight_hold_after_it() {
    let (origin, server) = one_upstream("").await;
    let body = noise("tags", SIZE);
    origin.route(DEB, Reply::ok(body.clone()).etag("\"theirs\""));
    let flying = get(server.address(), DEB, &[]).await;
    assert_eq!(flying.body, body);
    for name in ["etag", "last-modified"] {
        let condition = flying.header(name).expect("a validator");
        let rest = get(server.address(), DEB, &[("Range", "bytes=299999-"), ("If-Range", condition)]).await;
        assert_eq!((rest.status, rest.body.as_slice()), (206, &body[299_999..]), "{name}");
    }
    assert_eq!(origin.requests().len(), 1);
}

#[rstest]
#[case::plain(DEB)]
#[case::index(INDEX)]
#[tokio::test]
async fn a_body_of_unknown_length_streams_whole_and_is_kept(#[case] path: &str) {
    let (origin, server) = one_upstream("").await;
    let (body, gate) = (noise("chunked", SIZE), Gate::new());
    origin.route(path, Reply::ok(body.clone()).chunked().pause_after(HALF as u64, &gate));
    // A part cannot be promised of what has no known end.
    let (mut client, head) = started(&server, path, &[("Range", "bytes=5-9")]).await;
    assert_eq!((head.status, head.header("content-length")), (200, None));
    gate.open();
    let answer = client.body(head).await;
    assert!(answer.is_complete() && answer.body == body, "{:?}", answer.end);
    let again = get(server.address(), path, &[("Range", "bytes=5-9")]).await;
    assert_eq!((again.status, again.header("content-range")), (206, Some("bytes 5-9/300000")));
    assert_eq!(again.body, body[5..10]);
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn a_broken_body_of_unknown_length_does_not_look_whole() {
    let (origin, server) = one_upstream(QUICK).await;
    let body = noise("broken", SIZE);
    let good = Reply::ok(body.clone());
    origin.route(DEB, good.clone().chunked().no_ranges().truncate_after(HALF as u64));
    let answer = get(server.address(), DEB, &[]).await;
    assert!(matches!(answer.end, End::Cut(_)), "{:?}", answer.end);
    assert!(body.starts_with(&answer.body));
    origin.route(DEB, good);
    let again = get(server.address(), DEB, &[]).await;
    assert!(again.is_complete() && again.body == body);
}

#[rstest]
#[case::package(DEB)]
#[case::index(INDEX)]
#[case::by_hash("by-hash")]
#[tokio::test]
async fn an_empty_body_is_a_body(#[case] path: &str, #[values(false, true)] chunked: bool) {
    let (origin, server) = one_upstream("").await;
    let by_hash = by_hash(b"");
    let path = if path == "by-hash" { &by_hash } else { path };
    let reply = Reply::ok("");
    origin.route(path, if chunked { reply.chunked() } else { reply });
    for _ in 0..2 {
        let answer = get(server.address(), path, &[]).await;
        assert_eq!((answer.status, answer.is_complete(), answer.body.len()), (200, true, 0));
    }
    assert_eq!(origin.requests().len(), 1);
}
