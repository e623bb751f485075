//! The scriptable origin does what it is told, and records what it sees.

use std::time::Duration;

use crate::support::client::{Connection, End, ask, get};
use crate::support::gate::Gate;
use crate::support::noise;
use crate::support::origin::{DEFAULT_DATE, Origin, Reply};

type Headers<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn a_good_answer_is_whole_and_dated() {
    let origin = Origin::start().await;
    origin.route("/a", Reply::ok("hello").etag("\"1\"").header("X-Own", "yes"));
    let answer = get(origin.address(), "/a", &[]).await;
    assert_eq!((answer.status, answer.reason.as_str(), answer.text().as_str()), (200, "OK", "hello"));
    assert!(answer.is_complete());
    assert_eq!(answer.header("last-modified"), Some("Sat, 01 Jun 2024 00:00:00 GMT"));
    assert_eq!((answer.header("etag"), answer.header("x-own")), (Some("\"1\""), Some("yes")));
    let head = ask(origin.address(), "HEAD", "/a", &[]).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("5")));
    assert_eq!(get(origin.address(), "/b", &[]).await.status, 404);
}

#[tokio::test]
async fn requests_are_recorded_with_headers_in_order_and_decoded_paths() {
    let origin = Origin::start().await;
    origin.route("/a~b", Reply::ok("tilde"));
    origin.route("/a~b?v=2", Reply::ok("query"));
    assert_eq!(get(origin.address(), "/a%7eb", &[("X-B", "2"), ("X-A", "1")]).await.text(), "tilde");
    assert_eq!(get(origin.address(), "http://elsewhere/a~b?v=3", &[]).await.text(), "tilde");
    assert_eq!(get(origin.address(), "/a~b?v=2", &[]).await.text(), "query");
    let requests = origin.wait_for("/a~b", 3).await;
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("GET", "/a%7eb"));
    let names: Vec<_> = requests[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Host", "X-B", "X-A"]);
    assert_eq!(origin.log().body_bytes("/a~b"), 15);
    assert_eq!(origin.log().connections(), 3);
}

#[tokio::test]
async fn ranges_and_conditions_are_honoured_unless_switched_off() {
    let origin = Origin::start().await;
    origin.route("/good", Reply::ok("0123456789").etag("\"x\""));
    origin.route("/plain", Reply::ok("0123456789").no_ranges().no_conditions());
    let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(DEFAULT_DATE));
    let later = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_secs(DEFAULT_DATE + 1));
    let cases: [(Headers<'_>, u16, &str); 9] = [
        (&[("Range", "bytes=3-5")], 206, "345"),
        (&[("Range", "bytes=7-")], 206, "789"),
        (&[("Range", "bytes=-2")], 206, "89"),
        (&[("Range", "bytes=10-")], 416, ""),
        (&[("Range", "bytes=7-"), ("If-Range", &date)], 206, "789"),
        (&[("Range", "bytes=7-"), ("If-Range", &later)], 200, "0123456789"),
        (&[("Range", "bytes=7-"), ("If-Range", "\"x\"")], 206, "789"),
        (&[("If-None-Match", "\"y\""), ("If-Modified-Since", &date)], 200, "0123456789"),
        (&[("If-Modified-Since", &date)], 304, ""),
    ];
    for (headers, status, body) in cases {
        let answer = get(origin.address(), "/good", headers).await;
        assert_eq!((answer.status, answer.text().as_str()), (status, body), "{headers:?}");
        assert_eq!(get(origin.address(), "/plain", headers).await.status, 200, "{headers:?}");
    }
    let part = get(origin.address(), "/good", &[("Range", "bytes=3-5")]).await;
    assert_eq!(part.header("content-range"), Some("bytes 3-5/10"));
}

#[tokio::test]
async fn replies_are_given_in_turn_and_the_last_one_stays() {
    let origin = Origin::start().await;
    origin.route_in_turn("/a", [Reply::status(503), Reply::ok("1"), Reply::ok("2")]);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(get(origin.address(), "/a", &[]).await.text());
    }
    assert_eq!(seen, ["status 503\n", "1", "2", "2"]);
    origin.answer_everything(Some(Reply::portal()));
    assert!(get(origin.address(), "/a", &[]).await.text().contains("log in"));
    origin.answer_everything(None);
    origin.remove("/a");
    assert_eq!(get(origin.address(), "/a", &[]).await.status, 404);
}

#[tokio::test]
async fn a_transfer_waits_at_its_gates() {
    let origin = Origin::start().await;
    let (head, middle) = (Gate::new(), Gate::new());
    let body = noise("gates", 300_000);
    origin.route("/a", Reply::ok(body.clone()).delay_until(&head).pause_after(100_000, &middle));
    let mut connection = Connection::open(origin.address()).await;
    connection.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await;
    head.reached_by(1).await;
    assert!(connection.is_quiet());
    head.open();
    let answer = connection.head().await.unwrap();
    assert_eq!(connection.bytes(100_000).await, body[..100_000]);
    middle.reached_by(1).await;
    assert_eq!((origin.log().body_bytes("/a"), origin.log().answering("/a")), (100_000, 1));
    middle.open();
    assert_eq!(connection.bytes(200_000).await, body[100_000..]);
    assert_eq!(answer.header("content-length"), Some("300000"));
    origin.log().wait_until("the end of the answer", |log| log.answering("/a") == 0).await;
    assert_eq!(origin.log().most_at_once("/a"), 1);
}

#[tokio::test]
async fn broken_transfers_are_visibly_broken() {
    let origin = Origin::start().await;
    let body = noise("broken", 100_000);
    let good = Reply::ok(body.clone());
    origin.route("/short", good.clone().truncate_after(40_000));
    origin.route("/reset", good.clone().reset_after(40_000));
    origin.route("/less", good.clone().content_length(200_000));
    origin.route("/chunks", good.clone().chunked().truncate_after(40_000));
    for (path, bytes) in [("/short", 40_000), ("/less", 100_000), ("/chunks", 40_000)] {
        let answer = get(origin.address(), path, &[]).await;
        assert!(matches!(answer.end, End::Cut(_)), "{path}: {:?}", answer.end);
        assert_eq!(answer.body, body[..bytes], "{path}");
    }
    let reset = get(origin.address(), "/reset", &[]).await;
    assert!(matches!(&reset.end, End::Cut(why) if why.contains("reset")), "{:?}", reset.end);
    assert_eq!(reset.body, body[..reset.body.len()]);
}

#[tokio::test]
async fn other_framings_are_legible() {
    let origin = Origin::start().await;
    let body = noise("framing", 200_000);
    origin.route("/chunked", Reply::ok(body.clone()).chunked());
    origin.route("/close", Reply::ok(body.clone()).no_length_close());
    origin.route("/more", Reply::ok("0123456789").content_length(4));
    origin.route("/raw", Reply::raw("HTTP/1.0 299 Strange Things\r\nA: b\r\n\r\nbody"));
    for path in ["/chunked", "/close"] {
        let answer = get(origin.address(), path, &[]).await;
        assert!(answer.is_complete() && answer.body == body, "{path}: {:?}", answer.end);
        assert_eq!(answer.header("content-length"), None);
    }
    assert_eq!(get(origin.address(), "/more", &[]).await.text(), "0123");
    let raw = get(origin.address(), "/raw", &[]).await;
    assert_eq!(
        (raw.version, raw.status, raw.reason.as_str(), raw.text().as_str()),
        (0, 299, "Strange Things", "body")
    );
}

#[tokio::test]
async fn an_endless_body_ends_with_the_client_and_silence_with_its_patience() {
    let origin = Origin::start().await;
    origin.route("/endless", Reply::ok("abc").endless());
    origin.route("/silent", Reply::hang());
    let mut connection = Connection::open(origin.address()).await;
    connection.send("GET /endless HTTP/1.1\r\nHost: x\r\n\r\n").await;
    connection.head().await.unwrap();
    assert_eq!(connection.bytes(9).await, b"abcabcabc");
    connection.abort();
    origin.log().wait_until("the end of the endless", |log| log.answering("/endless") == 0).await;

    let mut connection = Connection::open(origin.address()).await;
    connection.send("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n").await;
    origin.wait_for("/silent", 1).await;
    assert!(connection.is_quiet());
    drop(connection);
    origin.log().wait_until("the end of the silence", |log| log.answering("/silent") == 0).await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let origin = Origin::start().await;
    origin.route("/a", Reply::ok("first"));
    origin.route("/b", Reply::ok("second").then_close());
    let mut connection = Connection::open(origin.address()).await;
    connection.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(connection.response().await.text(), "first");
    assert_eq!(connection.response().await.text(), "second");
    assert_eq!(connection.rest().await.unwrap(), b"");
    assert_eq!(origin.log().connections(), 1);
}

#[tokio::test]
async fn it_goes_away_and_comes_back() {
    let origin = Origin::start().await;
    let gate = Gate::new();
    origin.route("/a", Reply::ok(noise("a", 50_000)).pause_after(10, &gate));
    let mut connection = Connection::open(origin.address()).await;
    connection.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let head = connection.head().await.unwrap();
    gate.reached_by(1).await;
    origin.stop().await;
    assert!(!connection.body(head).await.is_complete());
    assert!(tokio::net::TcpStream::connect(origin.address()).await.is_err());
    gate.open();
    origin.start_again().await;
    assert!(get(origin.address(), "/a", &[]).await.is_complete());
}

#[tokio::test]
async fn replies_say_what_they_are_told_to() {
    let origin = Origin::start().await;
    origin.route("/moved", Reply::redirect("/there"));
    origin.route("/odd", Reply::ok("body").with_status(503).with_reason("Out To Lunch"));
    let moved = get(origin.address(), "/moved", &[]).await;
    assert_eq!((moved.status, moved.header("location")), (302, Some("/there")));
    let odd = get(origin.address(), "/odd", &[]).await;
    assert_eq!((odd.status, odd.reason.as_str(), odd.text().as_str()), (503, "Out To Lunch", "body"));
    let connections: Vec<_> = origin.requests().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [1, 2]);
    assert_eq!(origin.log().all_body_bytes(), (moved.body.len() + odd.body.len()) as u64);
}

#[tokio::test]
async fn a_client_that_has_said_all_is_still_answered() {
    let origin = Origin::start().await;
    origin.route("/a", Reply::ok("late"));
    let mut connection = Connection::open(origin.address()).await;
    connection.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\n").await;
    connection.finish_sending().await;
    assert_eq!(connection.response().await.text(), "late");
}
