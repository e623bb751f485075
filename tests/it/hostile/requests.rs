//! Raw bytes that no honest client sends: refused with 4xx or the end of the connection, never passed on.

use rstest::rstest;

use crate::requests::{repo, ubuntu};
use crate::support::client::{Connection, get};
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

struct Setup {
    origin: Origin,
    server: TestServer,
}

impl Setup {
    async fn new() -> Self {
        let origin = Origin::start().await;
        origin.answer_everything(Some(Reply::ok("secret")));
        let config = format!("{}{}", ubuntu(&origin), repo("files", "http", &origin.url("/files")));
        Self { server: TestServer::start(&config).await, origin }
    }

    /// The status of the answer to these bytes, or `None` when the connection just ends.
    async fn status(&self, bytes: impl AsRef<[u8]>) -> Option<u16> {
        let mut connection = Connection::open(self.server.address()).await;
        // It may have been refused before it was all read.
        let _ = connection.try_send(bytes).await;
        connection.finish_sending().await;
        connection.head().await.ok().map(|head| head.status)
    }

    /// Nothing went upstream, and others are served as before.
    async fn assert_unimpressed(&self) {
        let answer = get(self.server.address(), "/ubuntu/pool/good_1_amd64.deb", &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "secret"));
        let seen: Vec<_> = self.origin.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(seen, ["/ubuntu/pool/good_1_amd64.deb"]);
    }
}

fn with_target(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
}

#[rstest]
#[case::plain("/ubuntu/../../etc/passwd")]
#[case::at_the_end("/ubuntu/dists/..")]
#[case::before_the_name("/../ubuntu/x")]
#[case::encoded("/ubuntu/%2e%2e/%2e%2e/etc/passwd")]
#[case::half_encoded("/ubuntu/.%2E/x")]
#[case::encoded_slash("/ubuntu/..%2f..%2fetc/passwd")]
#[case::only_encoded_slash("/ubuntu/a%2Fb")]
#[case::backslash("/ubuntu/..\\..\\x")]
#[case::encoded_backslash("/ubuntu/..%5c..%5Cx")]
#[case::overlong_utf8("/ubuntu/%c0%ae%c0%ae/x")]
#[case::cacher_form("/127.0.0.1/ubuntu/../x")]
#[case::https_form("/HTTPS///127.0.0.1/%2e%2e/x")]
#[case::proxy_form("http://ORIGIN/ubuntu/../files/x")]
#[case::proxy_form_encoded("http://ORIGIN/ubuntu/%2e%2e/files/x")]
#[case::out_of_the_folder("http://ORIGIN/ubuntu/%2e./%2e./secret")]
#[case::nul("/ubuntu/a%00b")]
#[case::line_break("/ubuntu/a%0d%0aHost:%20x")]
#[case::control("/ubuntu/a%1bb")]
#[case::delete("/ubuntu/a%7fb")]
#[case::c1_control("/ubuntu/a%c2%85b")]
#[case::not_utf8("/ubuntu/a%ff")]
#[case::half_an_escape("/ubuntu/a%2")]
#[case::no_escape("/ubuntu/a%zz")]
#[case::lonely_percent("/ubuntu/%")]
#[case::raw_tab("/ubuntu/a\tb")]
#[case::raw_nul("/ubuntu/a\0b")]
#[case::raw_escape("/ubuntu/a\x1bb")]
#[case::space("/ubuntu/a b")]
#[case::query_control("/files/a?\x01")]
#[tokio::test]
async fn paths_that_are_not_plain_are_refused(#[case] target: &str) {
    let setup = Setup::new().await;
    let target = target.replace("ORIGIN", &setup.origin.address().to_string());
    assert_eq!(setup.status(with_target(&target)).await, Some(400));
    setup.assert_unimpressed().await;
}

#[tokio::test]
async fn an_encoding_is_taken_off_once() {
    let setup = Setup::new().await;
    for target in ["/ubuntu/%252e%252e/secret", "/ubuntu/..../x", "/ubuntu/..%252fx"] {
        assert_eq!(get(setup.server.address(), target, &[]).await.status, 200);
    }
    let seen: Vec<_> = setup.origin.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(seen, ["/ubuntu/%252e%252e/secret", "/ubuntu/..../x", "/ubuntu/..%252fx"]);
}

#[rstest]
#[case::none("")]
#[case::two("Host: x\r\nHost: x\r\n")]
#[case::two_different("Host: x\r\nhost: y\r\n")]
#[case::empty("Host: \r\n")]
#[case::userinfo("Host: user:word@x\r\n")]
#[case::path("Host: x/y\r\n")]
#[case::space("Host: x y\r\n")]
#[case::list("Host: x, y\r\n")]
#[case::port("Host: x:99999\r\n")]
#[case::port_0("Host: x:0\r\n")]
#[case::port_word("Host: x:http\r\n")]
#[case::port_sign("Host: x:+80\r\n")]
#[case::two_ports("Host: x:80:80\r\n")]
#[case::brackets("Host: [::g]\r\n")]
#[case::open_bracket("Host: [::1\r\n")]
#[case::short_address("Host: 127.1\r\n")]
#[case::number("Host: 2130706433\r\n")]
#[case::hexadecimal("Host: 0x7f000001\r\n")]
#[case::not_ascii("Host: bücher\r\n")]
#[case::control("Host: x\x01\r\n")]
#[case::dots("Host: a..b\r\n")]
#[tokio::test]
async fn a_host_that_is_none_is_refused(#[case] fields: &str) {
    let setup = Setup::new().await;
    for target in ["/ubuntu/pool/b_1_amd64.deb", "/", &setup.origin.url("/ubuntu/x")] {
        let status = setup.status(format!("GET {target} HTTP/1.1\r\n{fields}\r\n")).await;
        assert_eq!(status, Some(400), "{target}");
    }
    setup.assert_unimpressed().await;
}

#[rstest]
#[case("ftp://ORIGIN/ubuntu/x")]
#[case("file:///etc/passwd")]
#[case("gopher://ORIGIN/ubuntu/x")]
#[case("javascript:alert(1)")]
#[case("http://user:word@ORIGIN/ubuntu/x")]
#[case("http://user@ORIGIN/ubuntu/x")]
#[case("http://@ORIGIN/ubuntu/x")]
#[case("http:///ubuntu/x")]
#[case("http://127.0.0.1:0/ubuntu/x")]
#[case("http://127.0.0.1:99999/ubuntu/x")]
#[case("http://127.1/ubuntu/x")]
#[case("http://[::1/ubuntu/x")]
#[case("http://127.0.0.1:80:80/ubuntu/x")]
#[case("http:/ubuntu/x")]
#[case("127.0.0.1:80")]
#[case("ubuntu/x")]
#[tokio::test]
async fn addresses_that_are_none_are_refused(#[case] target: &str) {
    let setup = Setup::new().await;
    let target = target.replace("ORIGIN", &setup.origin.address().to_string());
    let status = setup.status(with_target(&target)).await;
    assert!(status.is_some_and(|status| matches!(status, 400 | 403 | 404)), "{status:?}");
    setup.assert_unimpressed().await;
}

#[rstest]
#[case("FOO")]
#[case("TRACE")]
#[case("PROPFIND")]
#[case("PURGE")]
#[case("get")]
#[case("Get")]
#[case("head")]
#[case("GETT")]
#[case("POST")]
#[case("PUT")]
#[case("DELETE")]
#[tokio::test]
async fn other_methods_are_not_allowed_and_not_passed_on(#[case] method: &str) {
    let setup = Setup::new().await;
    let own = format!("http://{}/ubuntu/x", setup.server.address());
    for target in ["/ubuntu/pool/a_1_amd64.deb", "/", &setup.origin.url("/ubuntu/x"), &own] {
        let status = setup.status(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(status, Some(405), "{target}");
    }
    if !matches!(method, "POST" | "PUT" | "DELETE") {
        let status = setup.status(format!("{method} /files/x HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(status, Some(405));
    }
    setup.assert_unimpressed().await;
}

#[rstest]
#[case::body("Content-Length: 5\r\n\r\nhello")]
#[case::lengths_equal("Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello")]
#[case::lengths_different("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")]
#[case::length_list("Content-Length: 5, 5\r\n\r\nhello")]
#[case::length_sign("Content-Length: +5\r\n\r\nhello")]
#[case::length_negative("Content-Length: -5\r\n\r\nhello")]
#[case::length_word("Content-Length: five\r\n\r\nhello")]
#[case::length_huge("Content-Length: 99999999999999999999\r\n\r\nhello")]
#[case::length_and_chunks("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
#[case::chunks_and_length("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n")]
#[case::chunks("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")]
#[case::other_coding("Transfer-Encoding: gzip\r\n\r\nhello")]
#[case::coding_after_chunks("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")]
#[case::folded("X-A: b\r\n c\r\n\r\n")]
#[case::folded_length("Content-Length:\r\n 5\r\n\r\nhello")]
#[case::no_colon("nonsense\r\n\r\n")]
#[case::empty_name(": x\r\n\r\n")]
#[case::space_before_colon("X-A : b\r\n\r\n")]
#[case::space_in_name("X A: b\r\n\r\n")]
#[case::nul_in_value("X-A: b\0c\r\n\r\n")]
#[case::bare_cr("X-A: b\rc\r\n\r\n")]
#[case::not_ascii_name("X-\u{e4}: b\r\n\r\n")]
#[tokio::test]
async fn heads_that_are_ambiguous_or_broken_are_refused(#[case] fields: &str) {
    let setup = Setup::new().await;
    for target in ["/ubuntu/pool/b_1_amd64.deb", "/files/x"] {
        let bytes = format!(
            "GET {target} HTTP/1.1\r\nHost: x\r\n{fields}GET /ubuntu/smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
        );
        let mut connection = Connection::open(setup.server.address()).await;
        let _ = connection.try_send(bytes).await;
        connection.finish_sending().await;
        let status = connection.head().await.map(|head| head.status).expect("an answer");
        assert!((400..500).contains(&status), "{target}: {status}");
        // What stands behind it is not taken for a request.
        let rest = connection.rest().await.unwrap_or_default();
        assert!(!rest.windows(9).any(|bytes| bytes == b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&rest));
    }
    setup.assert_unimpressed().await;
}

#[rstest]
#[case::line(format!("GET /ubuntu/{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000)), &[414, 431])]
#[case::path(format!("GET /ubuntu/{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(3000)), &[414])]
#[case::encoded_path(format!("GET /ubuntu/{} HTTP/1.1\r\nHost: x\r\n\r\n", "%61".repeat(3000)), &[414])]
#[case::query(format!("GET /files/x?{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(5000)), &[414])]
#[case::field(format!("GET /ubuntu/x HTTP/1.1\r\nHost: x\r\nX-A: {}\r\n\r\n", "a".repeat(20_000)), &[431])]
#[case::endless_field(format!("GET /ubuntu/x HTTP/1.1\r\nHost: x\r\nX-A: {}", "a".repeat(200_000)), &[431])]
#[case::fields(format!("GET /ubuntu/x HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-A: b\r\n".repeat(150)), &[431])]
#[case::method(format!("{} /ubuntu/x HTTP/1.1\r\nHost: x\r\n\r\n", "A".repeat(20_000)), &[400, 431])]
#[tokio::test]
async fn what_is_too_long_is_refused(#[case] bytes: String, #[case] statuses: &[u16]) {
    let setup = Setup::new().await;
    let status = setup.status(bytes).await;
    assert!(status.is_some_and(|status| statuses.contains(&status)), "{status:?}");
    setup.assert_unimpressed().await;
}

#[rstest]
#[case::nothing(b"")]
#[case::garbage(b"\x00\x01\x02\x03garbage\xff\xfe\r\n\r\n")]
#[case::words(b"hello there\r\n\r\n")]
#[case::tls(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n\r\n")]
#[case::http2(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")]
#[case::http09(b"GET /ubuntu/x\r\n")]
#[case::version_2(b"GET /ubuntu/x HTTP/2.0\r\nHost: x\r\n\r\n")]
#[case::version_12(b"GET /ubuntu/x HTTP/1.2\r\nHost: x\r\n\r\n")]
#[case::version_odd(b"GET /ubuntu/x HTTP/9\r\nHost: x\r\n\r\n")]
#[case::version_missing(b"GET /ubuntu/x \r\nHost: x\r\n\r\n")]
#[case::ssh(b"SSH-2.0-OpenSSH_9.2\r\n")]
#[case::smtp(b"EHLO x\r\nMAIL FROM:<a@b>\r\n")]
#[case::cut_short(b"GET /ubuntu/x HTTP/1.1\r\nHost: x\r\n")]
#[case::only_line_ends(b"\r\n\r\n\r\n\r\n\r\n")]
#[case::asterisk(b"GET * HTTP/1.1\r\nHost: x\r\n\r\n")]
#[tokio::test]
async fn what_is_no_request_gets_no_service(#[case] bytes: &[u8]) {
    let setup = Setup::new().await;
    let status = setup.status(bytes).await;
    assert!(status.is_none_or(|status| (400..500).contains(&status)), "{status:?}");
    setup.assert_unimpressed().await;
}

#[tokio::test]
async fn names_from_a_request_do_not_break_the_answer() {
    let setup = Setup::new().await;
    let answer = get(setup.server.address(), "/%3Cscript%3E%E2%80%AE/x", &[]).await;
    assert_eq!(answer.status, 404);
    assert!(answer.reason.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{}", answer.reason);
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}
