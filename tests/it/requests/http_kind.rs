//! Repositories of kind `http` are cached by their own headers (RFC 9111).

use std::time::Duration;

use rstest::rstest;

use super::{repo, ubuntu, until_stored};
use crate::support::client::{Connection, ask, get};
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

const PATH: &str = "/files/data";

async fn server(origin: &Origin) -> TestServer {
    TestServer::start(&(repo("files", "http", &origin.url("/files")) + &ubuntu(origin))).await
}

#[tokio::test]
async fn an_answer_is_fresh_for_as_long_as_it_says_and_then_confirmed_by_its_tag() {
    let origin = Origin::start().await;
    let reply = Reply::ok("data").no_validators().etag("\"v1\"").header("Cache-Control", "max-age=60");
    origin.route(PATH, reply);
    let server = server(&origin).await;
    get(server.address(), PATH, &[]).await;
    until_stored(server.address(), PATH).await;
    server.clock().advance(Duration::from_secs(30));
    assert_eq!(get(server.address(), PATH, &[]).await.header("cache-status"), Some("lumbung; hit"));
    assert_eq!(origin.requests_to(PATH).len(), 1);
    server.clock().advance(Duration::from_mins(1));
    let confirmed = get(server.address(), PATH, &[]).await;
    assert_eq!((confirmed.status, confirmed.text().as_str()), (200, "data"));
    assert_eq!(confirmed.header("cache-status"), Some("lumbung; fwd=stale; fwd-status=304"));
    let requests = origin.requests_to(PATH);
    assert_eq!((requests.len(), requests[1].header("if-none-match")), (2, Some("\"v1\"")));
    // The confirmation renews it.
    server.clock().advance(Duration::from_secs(30));
    assert_eq!(get(server.address(), PATH, &[]).await.header("cache-status"), Some("lumbung; hit"));
    assert_eq!(origin.requests_to(PATH).len(), 2);
    // And a new version replaces it.
    let newer = Reply::ok("newer").no_validators().etag("\"v2\"").header("Cache-Control", "max-age=60");
    origin.route(PATH, newer);
    server.clock().advance(Duration::from_mins(1));
    assert_eq!(get(server.address(), PATH, &[]).await.text(), "newer");
}

#[rstest]
#[case::no_store("Cache-Control", "no-store")]
#[case::private("Cache-Control", "max-age=60, private")]
#[case::vary("Vary", "*")]
#[case::vary_among_others("Vary", "Accept, *")]
#[case::cookie("Set-Cookie", "who=you")]
#[tokio::test]
async fn what_is_made_for_one_is_not_kept_for_others(#[case] name: &str, #[case] value: &str) {
    let origin = Origin::start().await;
    let mine = Reply::ok("mine").header("Cache-Control", "max-age=60").header(name, value);
    origin.route(PATH, mine);
    let mut server = server(&origin).await;
    let first = get(server.address(), PATH, &[]).await;
    assert_eq!((first.status, first.text().as_str()), (200, "mine"));
    assert!(first.header("cache-status").unwrap().starts_with("lumbung; fwd=bypass"), "{first:?}");
    assert_eq!(first.header("set-cookie"), None);
    origin.route(PATH, Reply::ok("yours").header("Cache-Control", "no-store"));
    assert_eq!(get(server.address(), PATH, &[]).await.text(), "yours");
    // Nothing has been left for the next start either.
    server.restart().await;
    origin.stop().await;
    assert_eq!(get(server.address(), PATH, &[]).await.status, 503);
}

#[tokio::test]
async fn a_query_is_part_of_the_name() {
    let origin = Origin::start().await;
    for version in ["1", "2"] {
        let reply = Reply::ok(format!("version {version}")).header("Cache-Control", "max-age=60");
        origin.route(&format!("{PATH}?v={version}"), reply);
    }
    let server = server(&origin).await;
    for version in ["1", "2", "1", "2"] {
        let target = format!("{PATH}?v={version}");
        assert_eq!(get(server.address(), &target, &[]).await.text(), format!("version {version}"));
        until_stored(server.address(), &target).await;
    }
    let targets: Vec<_> = origin.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/files/data?v=1", "/files/data?v=2"]);
}

#[tokio::test]
async fn a_post_passes_through_with_its_body_and_without_secrets() {
    let origin = Origin::start().await;
    origin.route(PATH, Reply::ok("accepted").with_status(202).header("Set-Cookie", "who=you"));
    let server = server(&origin).await;
    for _ in 0..2 {
        let mut connection = Connection::open(server.address()).await;
        connection
            .send(format!(
                "POST {PATH}?q=1 HTTP/1.1\r\nHost: x\r\nContent-Type: text/x-test\r\nCookie: a=b\r\n\
                 Authorization: Basic eDp5\r\nX-Other: 1\r\nContent-Length: 5\r\n\r\nhello"
            ))
            .await;
        let answer = connection.response().await;
        assert_eq!((answer.status, answer.text().as_str()), (202, "accepted"));
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.header("cache-status"), Some("lumbung; fwd=bypass; detail=method"));
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/files/data?q=1"));
        assert_eq!(request.header("content-type"), Some("text/x-test"));
        assert_eq!(request.body, b"hello");
        let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        let known = ["accept", "accept-encoding", "content-length", "content-type", "host", "user-agent"];
        assert!(names.iter().all(|name| known.contains(&name.as_str())), "{names:?}");
    }
    // It was not taken for the answer to a GET.
    origin.route(PATH, Reply::ok("read").header("Cache-Control", "max-age=60"));
    assert_eq!(get(server.address(), &format!("{PATH}?q=1"), &[]).await.text(), "read");
}

#[tokio::test]
async fn a_post_in_chunks_passes_through() {
    let origin = Origin::start().await;
    origin.route(PATH, Reply::ok("accepted"));
    let server = server(&origin).await;
    let mut connection = Connection::open(server.address()).await;
    let head = format!("POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    connection.send(head + "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n").await;
    assert_eq!(connection.response().await.text(), "accepted");
    assert_eq!(origin.requests()[0].body, b"hello");
}

#[rstest]
#[case("POST")]
#[case("PUT")]
#[case("DELETE")]
#[case("OPTIONS")]
#[case("PATCH")]
#[tokio::test]
async fn an_apt_repository_is_only_read(#[case] method: &str) {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let answer = ask(server.address(), method, "/ubuntu/pool/a_1.deb", &[]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")));
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn only_a_short_list_of_headers_goes_upstream() {
    let origin = Origin::start().await;
    origin.route("/ubuntu/pool/a_1_amd64.deb", Reply::ok("a package"));
    origin.route(PATH, Reply::ok("data").header("Cache-Control", "no-store"));
    let server = server(&origin).await;
    let headers = [
        ("Cookie", "a=b"),
        ("Authorization", "Basic eDp5"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("X-Forwarded-For", "10.1.2.3"),
        ("Accept-Encoding", "gzip"),
        ("User-Agent", "Debian APT-HTTP/1.3 (2.6.2)"),
        ("Referer", "http://secret.example/"),
    ];
    for target in ["/ubuntu/pool/a_1_amd64.deb", PATH] {
        assert_eq!(get(server.address(), target, &headers).await.status, 200);
    }
    assert!(!origin.requests().is_empty());
    for request in origin.requests() {
        assert_eq!(request.header("host"), Some(origin.address().to_string().as_str()));
        assert_eq!(request.header("accept-encoding"), Some("identity"));
        assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("lumbung/")));
        let known = ["accept", "accept-encoding", "host", "user-agent"];
        let others: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| !known.contains(&name.to_ascii_lowercase().as_str()))
            .collect();
        assert!(others.is_empty(), "{others:?}");
    }
}
