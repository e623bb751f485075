//! Good answers, and the ways in which transfers break.

use http::{HeaderValue, Method, StatusCode};
use rstest::rstest;

use super::*;
use crate::wan::Governor;
use origin::{Origin, Reply};

#[tokio::test]
async fn what_goes_over_the_wire_is_what_was_asked_and_three_fields() {
    let origin = Origin::start(|_| Reply::ok("hello")).await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let mut request = Request::get(origin.url("/pool/a%2Bb?q=1"), Class::Client);
    request.headers.insert("range", HeaderValue::from_static("bytes=0-"));
    request.headers.insert("host", HeaderValue::from_static("other.example"));
    request.headers.insert("accept-encoding", HeaderValue::from_static("gzip"));

    let response = client.send(request).await.unwrap();
    assert_eq!((response.status, response.url.clone()), (StatusCode::OK, origin.url("/pool/a%2Bb?q=1")));
    assert_eq!(read(response).await.unwrap(), b"hello");

    let head = &origin.seen()[0].head;
    let mut lines: Vec<_> = head.trim_end().lines().collect();
    assert_eq!(lines.remove(0), "GET /pool/a%2Bb?q=1 HTTP/1.1");
    lines.sort_unstable();
    let expected = [
        "accept-encoding: identity",
        "accept: */*",
        &format!("host: {}", origin.address),
        "range: bytes=0-",
        concat!("user-agent: lumbung/", env!("CARGO_PKG_VERSION")),
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let origin = Origin::start(|_| Reply::ok("hello")).await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    for _ in 0..3 {
        read(get(&client, origin.url("/a")).await.unwrap()).await.unwrap();
    }
    let connections: Vec<_> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0, 0, 0]);
}

#[tokio::test]
async fn bodies_are_sent_and_heads_have_none() {
    let origin = Origin::start(|seen| match seen.head.split(' ').next() {
        Some("HEAD") => Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n"),
        _ => Reply::ok("taken"),
    })
    .await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let head = client.send(Request::head(origin.url("/a"), Class::Client)).await.unwrap();
    assert_eq!(head.headers["content-length"], "5000000");
    assert_eq!(read(head).await.unwrap(), b"");

    let mut post = Request::get(origin.url("/a"), Class::Client);
    post.method = Method::POST;
    post.body = Some("payload".into());
    assert_eq!(read(client.send(post).await.unwrap()).await.unwrap(), b"taken");
    assert!(origin.seen()[1].head.ends_with("payload"));
}

#[tokio::test]
async fn statuses_are_answers() {
    let origin = Origin::start(|_| Reply::bytes("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nwait")).await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let response = get(&client, origin.url("/a?secret")).await.unwrap();
    let error = response.status_error();
    assert_eq!(error.to_string(), format!("{} answered 503 Service Unavailable", origin.address));
    assert_eq!(
        (error.reason(), error.is_transient(), error.host()),
        ("status", true, &*origin.address.to_string())
    );
    assert_eq!(read(response).await.unwrap(), b"wait");
}

#[tokio::test]
async fn content_codings_are_left_alone() {
    let gzip: &[u8] = &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let origin = Origin::start(move |_| {
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", gzip.len());
        Reply::bytes([head.as_bytes(), gzip].concat())
    })
    .await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let response = get(&client, origin.url("/a")).await.unwrap();
    assert_eq!(response.headers["content-encoding"], "gzip");
    assert_eq!(read(response).await.unwrap(), gzip);
}

#[tokio::test]
async fn a_part_is_checked_and_described() {
    let origin = Origin::start(|_| {
        Reply::bytes("HTTP/1.1 206 Part\r\nContent-Range: bytes 3-4/5\r\nContent-Length: 2\r\n\r\nlo")
    })
    .await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let mut request = Request::get(origin.url("/a"), Class::Client);
    let unasked = client.send(request.clone()).await.unwrap_err();
    assert_eq!(unasked.reason(), "protocol");
    request.headers.insert("range", HeaderValue::from_static("bytes=3-"));
    let response = client.send(request).await.unwrap();
    let range = response.content_range.unwrap();
    assert_eq!((range.first, range.last, range.total), (3, 4, Some(5)));
    assert_eq!(read(response).await.unwrap(), b"lo");
}

/// A body that ends wrongly never ends well, however often it is asked.
#[rstest]
#[case::cut_short(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").then_close(), "truncated")]
#[case::cut_in_chunks(Reply::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").then_close(), "truncated")]
#[case::cut_in_a_chunk(Reply::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello").then_close(), "truncated")]
#[case::broken(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").then_reset(), "reset")]
#[case::silent(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello").then_hang(), "timeout")]
#[case::no_chunk_size(Reply::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n").then_hang(), "protocol")]
#[case::endless(Reply::bytes("HTTP/1.1 200 OK\r\n\r\n").then_repeat(&[b'x'; 4096]), "too-large")]
#[tokio::test]
async fn a_body_that_breaks(#[case] reply: Reply, #[case] reason: &str) {
    let reply = std::sync::Mutex::new(Some(reply));
    let origin = Origin::start(move |_| reply.lock().unwrap().take().unwrap()).await;
    let client = client(&impatient(), &[&origin.url("/")], &[]);
    let mut response = get(&client, origin.url("/a?secret")).await.unwrap();
    let mut received = 0;
    let error = loop {
        match response.body.chunk().await {
            Ok(Some(bytes)) => received += bytes.len(),
            Ok(None) => panic!("a good end after {received} bytes"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.to_string().contains(&origin.address.to_string()) && !error.to_string().contains("secret"));
    assert_eq!(error.is_transient(), matches!(reason, "truncated" | "reset" | "timeout"));
    assert!(received <= 1 << 20);
    assert_eq!(response.body.chunk().await, Err(error));
}

/// Heads that are none.
#[rstest]
#[case::closed(Reply::bytes("").then_close(), "reset")]
#[case::broken(Reply::bytes("HTTP/1.1 200").then_reset(), "reset")]
#[case::silent(Reply::bytes("").then_hang(), "timeout")]
#[case::half_a_head(Reply::bytes("HTTP/1.1 200 OK\r\nContent-").then_hang(), "timeout")]
#[case::only_early_hints(Reply::bytes("HTTP/1.1 103 Early\r\n\r\n").then_hang(), "timeout")]
#[case::garbage(Reply::bytes("<html>Please log in</html>\r\n\r\n").then_hang(), "protocol")]
#[case::bad_status(Reply::bytes("HTTP/1.1 2x0 OK\r\n\r\n").then_hang(), "protocol")]
#[case::old(Reply::bytes("HTTP/0.9 200 OK\r\n\r\n").then_hang(), "protocol")]
#[case::bad_field(Reply::bytes("HTTP/1.1 200 OK\r\nno colon\r\n\r\n").then_hang(), "protocol")]
#[case::two_lengths(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello").then_hang(), "protocol")]
#[case::two_lengths_in_one(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello").then_hang(), "protocol")]
#[case::two_framings(
    Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "protocol"
)]
#[case::coded(
    Reply::bytes("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "protocol"
)]
#[case::upgrade(Reply::bytes("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n").then_hang(), "protocol")]
#[case::unasked_part(
    Reply::bytes("HTTP/1.1 206 Part\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1\r\n\r\nx"),
    "protocol"
)]
#[case::too_long(Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n").then_hang(), "too-large")]
#[tokio::test]
async fn a_head_that_makes_no_sense(#[case] reply: Reply, #[case] reason: &str) {
    let reply = std::sync::Mutex::new(Some(reply));
    let origin = Origin::start(move |_| reply.lock().unwrap().take().unwrap()).await;
    let client = client(&impatient(), &[&origin.url("/")], &[]);
    let error = get(&client, origin.url("/a?secret")).await.unwrap_err();
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.to_string().contains(&origin.address.to_string()) && !error.to_string().contains("secret"));
}

/// More than was announced is not part of the body, and not of the next answer either.
#[tokio::test]
async fn what_follows_a_body_is_dropped_with_its_connection() {
    let origin = Origin::start(|seen| match seen.connection {
        0 => Reply::bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        _ => Reply::ok("good"),
    })
    .await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    assert_eq!(read(get(&client, origin.url("/a")).await.unwrap()).await.unwrap(), b"hello");
    assert_eq!(read(get(&client, origin.url("/b")).await.unwrap()).await.unwrap(), b"good");
}

#[tokio::test]
async fn bytes_that_keep_coming_are_waited_for() {
    // Longer in all than the idle time-out; each pause is shorter.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        origin::read_head(&mut stream).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n").await.unwrap();
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.write_all(b"x").await.unwrap();
        }
    });
    let config = Config { idle_timeout: Duration::from_millis(600), ..config() };
    let client = client(&config, &[&url], &[]);
    assert_eq!(read(get(&client, &url).await.unwrap()).await.unwrap(), b"xxxxxxxx");
}

#[tokio::test]
async fn nobody_listens_and_nobody_has_that_name() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/a?secret");
    let client = client(&config(), &[&format!("http://{closed}"), "http://unknown.test"], &[]);
    let error = get(&client, url).await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("connect", true), "{error}");
    assert!(
        error.to_string().starts_with(&format!("cannot connect to {closed}: Connection refused")),
        "{error}"
    );

    let error = get(&client, "http://unknown.test/a").await.unwrap_err();
    assert_eq!((error.reason(), error.is_transient()), ("dns", true), "{error}");
    assert_eq!(error.to_string(), "the name unknown.test was not found: no such name");
}

#[tokio::test]
async fn looking_up_a_name_counts_as_connecting() {
    let config = Config { connect_timeout: Duration::from_millis(100), ..config() };
    let origin = "http://slow.test".parse::<BaseUrl>().unwrap().origin;
    let client =
        Client::with_resolver(&config, &[origin], &Governor::unlimited(), Arc::new(Silence)).unwrap();
    let error = get(&client, "http://slow.test/a").await.unwrap_err();
    assert_eq!(error.reason(), "timeout");
    assert_eq!(error.to_string(), "slow.test sent nothing for 100ms while we waited for a connection");
}
