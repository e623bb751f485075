//! Upstreams that lie, rave, or lead elsewhere: nothing of it enters the store or a client's header.

use rstest::rstest;

use super::stored_objects;
use crate::requests::{repo, ubuntu};
use crate::support::client::{End, get};
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

const PATH: &str = "/ubuntu/pool/a_1_amd64.deb";

async fn server(origin: &Origin) -> TestServer {
    let config =
        format!("[upstream]\nretries = 0\nidle_timeout = \"2 s\"\nmax_object = \"1 MB\"\n{}", ubuntu(origin));
    TestServer::start(&config).await
}

/// The bad answer reaches no client as a whole, leaves nothing, and a later good one is taken.
async fn assert_refused(origin: &Origin, bad: Reply) {
    origin.route(PATH, bad);
    let server = server(origin).await;
    let answer = get(server.address(), PATH, &[]).await;
    assert!(answer.status != 200 || answer.end != End::Complete, "{answer:?}");
    if answer.status != 200 {
        assert_eq!(answer.status, 503);
        assert!(answer.text().starts_with("Lumbung: "), "{}", answer.text());
    }
    assert_eq!(stored_objects(&server.store()), 0);
    origin.route(PATH, Reply::ok("good"));
    let good = get(server.address(), PATH, &[]).await;
    assert_eq!((good.status, good.text().as_str()), (200, "good"));
}

#[rstest]
#[case::lengths_differ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")]
#[case::length_sign("HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello")]
#[case::length_negative("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nhello")]
#[case::length_and_chunks(
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)]
#[case::other_coding("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
#[case::bad_chunk("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n")]
#[case::chunks_without_end("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")]
#[case::short("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello")]
#[case::no_colon("HTTP/1.1 200 OK\r\nnonsense\r\nContent-Length: 5\r\n\r\nhello")]
#[case::nul("HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 5\r\n\r\nhello")]
#[case::cr_in_tag("HTTP/1.1 200 OK\r\nETag: \"a\rSet-Cookie: x\"\r\nContent-Length: 5\r\n\r\nhello")]
#[case::garbage("\x01\x02\x03\x04 no HTTP at all\r\n\r\n")]
#[case::ssh("SSH-2.0-OpenSSH_9.2\r\n")]
#[case::nothing("")]
#[case::http09("<html>hello</html>")]
#[case::upgrade("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nhello")]
#[case::part("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello")]
#[case::part_without_range("HTTP/1.1 206 Partial Content\r\nContent-Length: 5\r\n\r\nhello")]
#[case::not_modified("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n")]
#[case::no_content("HTTP/1.1 204 No Content\r\n\r\n")]
#[case::accepted("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nhello")]
#[case::odd_status("HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello")]
#[case::login_page("HTTP/1.1 200 OK\r\nContent-Type: Text/HTML\r\nContent-Length: 5\r\n\r\nhello")]
#[tokio::test]
async fn answers_that_make_no_sense_are_not_taken(#[case] bytes: &'static str) {
    let origin = Origin::start().await;
    assert_refused(&origin, Reply::raw(bytes)).await;
}

#[tokio::test]
async fn a_swollen_header_is_not_taken() {
    let origin = Origin::start().await;
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 5\r\n\r\nhello", "X-A: b\r\n".repeat(200));
    assert_refused(&origin, Reply::raw(many)).await;
    let long = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\nContent-Length: 5\r\n\r\nhello", "a".repeat(100_000));
    assert_refused(&origin, Reply::raw(long)).await;
}

#[tokio::test]
async fn more_than_the_largest_object_is_not_taken() {
    let origin = Origin::start().await;
    assert_refused(&origin, Reply::ok("announced").content_length(1_000_001)).await;
    assert_refused(&origin, Reply::ok(vec![7; 100_000]).endless()).await;
    assert_refused(&origin, Reply::ok(vec![7; 1_000_001]).chunked()).await;
}

#[tokio::test]
async fn an_endless_body_that_is_not_stored_ends_too() {
    let origin = Origin::start().await;
    origin.route("/files/x", Reply::ok(vec![7; 100_000]).header("Cache-Control", "no-store").endless());
    let config = "[upstream]\nretries = 0\nmax_object = \"1 MB\"\n".to_owned()
        + &repo("files", "http", &origin.url("/files"));
    let server = TestServer::start(&config).await;
    let answer = get(server.address(), "/files/x", &[]).await;
    assert!(matches!(answer.end, End::Cut(_)) && answer.body.len() <= 1_000_000, "{:?}", answer.end);
}

#[tokio::test]
async fn bytes_beyond_the_announced_length_are_nobodys() {
    let origin = Origin::start().await;
    let reply =
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngoodHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    origin.route(PATH, Reply::raw(reply));
    origin.route("/ubuntu/pool/b_1_amd64.deb", Reply::ok("other"));
    let server = server(&origin).await;
    assert_eq!(get(server.address(), PATH, &[]).await.text(), "good");
    assert_eq!(get(server.address(), "/ubuntu/pool/b_1_amd64.deb", &[]).await.text(), "other");
    assert_eq!(get(server.address(), PATH, &[]).await.text(), "good");
}

#[tokio::test]
async fn headers_of_upstream_do_not_reach_the_client() {
    let origin = Origin::start().await;
    let mut reply =
        b"HTTP/1.1 200 OK\r\nETag: \"\xff\"\r\nContent-Type: a/b\xff\r\nLast-Modified: yesterday\r\n"
            .to_vec();
    reply.extend_from_slice(
        b"X-Evil: 1\r\nConnection: X-Evil\r\nKeep-Alive: 9\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\ngood",
    );
    origin.route(PATH, Reply::raw(reply));
    let server = server(&origin).await;
    for _ in 0..2 {
        let answer = get(server.address(), PATH, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "good"));
        let mut names: Vec<_> = answer.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
        names.sort();
        names.retain(|name| name != "age");
        let known = [
            "accept-ranges",
            "cache-status",
            "content-length",
            "content-type",
            "date",
            "etag",
            "last-modified",
            "via",
        ];
        assert_eq!(names, known);
        assert!(answer.headers.iter().all(|(_, value)| value.is_ascii()));
        crate::requests::until_stored(server.address(), PATH).await;
    }
}

#[tokio::test]
async fn redirects_lead_to_no_private_address() {
    let origin = Origin::start().await;
    let other = Origin::start().await;
    other.answer_everything(Some(Reply::ok("secret")));
    for target in [
        other.url("/secret"),
        "http://10.0.0.1/".to_owned(),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[::1]/".to_owned(),
        "http://[::ffff:127.0.0.1]/".to_owned(),
        "http://2130706433/".to_owned(),
        "http://0/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/x".to_owned(),
        format!("http://user:word@{}/ubuntu/x", origin.address()),
        "http://".to_owned(),
        PATH.to_owned(),
    ] {
        assert_refused(&origin, Reply::redirect(&target)).await;
    }
    assert_eq!(other.requests().len(), 0);
    // One within the configured origin is followed, here and not by the client.
    origin.route(PATH, Reply::redirect("/elsewhere/a.deb"));
    origin.route("/elsewhere/a.deb", Reply::ok("moved"));
    let server = server(&origin).await;
    let answer = get(server.address(), PATH, &[]).await;
    assert_eq!((answer.status, answer.text().as_str(), answer.header("location")), (200, "moved", None));
}

#[rstest]
#[case(401, 401)]
#[case(403, 403)]
#[case(407, 407)]
#[case(410, 404)]
#[case(451, 451)]
#[case(500, 503)]
#[case(502, 503)]
#[case(300, 503)]
#[tokio::test]
async fn error_answers_are_not_kept(#[case] upstream: u16, #[case] told: u16) {
    let origin = Origin::start().await;
    origin.route(
        PATH,
        Reply::status(upstream).header("WWW-Authenticate", "Basic").header("Cache-Control", "max-age=600"),
    );
    let server = server(&origin).await;
    let answer = get(server.address(), PATH, &[]).await;
    assert_eq!(answer.status, told);
    assert_eq!((answer.header("www-authenticate"), answer.text().contains("Lumbung: ")), (None, true));
    assert_eq!(stored_objects(&server.store()), 0);
}

#[tokio::test]
async fn a_probe_of_upstream_is_held_to_the_same() {
    let origin = Origin::start().await;
    origin.route(PATH, Reply::raw("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"));
    let server = server(&origin).await;
    let answer = crate::support::client::ask(server.address(), "HEAD", PATH, &[]).await;
    assert_eq!(answer.status, 503);
}
