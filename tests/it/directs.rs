//! What belongs to one client alone never enters the store.

use rstest::rstest;

use crate::fragments::{QUICK, apt, repo, warm};
use crate::support::client::{End, ask, get};
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;
use crate::support::sha256;

const DEB: &str = "/u/pool/main/a/a_1_amd64.deb";
const NOTES: &str = "/u/notes.txt";

#[rstest]
#[case("Set-Cookie", "session=1")]
#[case("Cache-Control", "private")]
#[case("Cache-Control", "no-store")]
#[case("Cache-Control", "max-age=60, Private=\"x\"")]
#[case("Vary", "*")]
#[tokio::test]
async fn answers_made_for_one_client_are_passed_to_each_by_a_request_of_its_own(
    #[case] name: &str,
    #[case] value: &str,
    #[values("http", "apt")] kind: &str,
) {
    let origin = Origin::start().await;
    let mut server = TestServer::start(&repo(kind, &[&origin])).await;
    for path in [NOTES, DEB] {
        let reply = |text: &str| Reply::ok(text.to_owned()).header(name, value);
        // The first answer shows that it must not be kept, and nobody gets it.
        origin.route_in_turn(path, [reply("0"), reply("1"), reply("2"), reply("3")]);
        for expected in ["1", "2"] {
            let answer = get(server.address(), path, &[]).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, expected));
            assert_eq!(answer.header("set-cookie"), None);
            let status = answer.header("cache-status").unwrap_or_default();
            assert!(status.starts_with("lumbung; fwd=bypass; detail="), "{status}");
        }
        server.restart().await;
        origin.route(path, Reply::ok("for all"));
        assert_eq!(get(server.address(), path, &[]).await.text(), "for all", "something was kept");
    }
}

#[tokio::test]
async fn what_turned_personal_is_passed_on_and_the_copy_bridges_an_outage() {
    let origin = Origin::start().await;
    let server = TestServer::start(&format!("{QUICK}{}", repo("http", &[&origin]))).await;
    let minute = Reply::ok("shared").header("Cache-Control", "max-age=60");
    origin.route_in_turn(NOTES, [minute, Reply::ok("own").header("Cache-Control", "no-store")]);
    assert_eq!(warm(&server, NOTES).await.text(), "shared");
    server.clock().advance(std::time::Duration::from_secs(61));
    origin.route(NOTES, Reply::ok("own").no_conditions().header("Cache-Control", "no-store"));
    assert_eq!(get(server.address(), NOTES, &[]).await.text(), "own");
    origin.stop().await;
    assert_eq!(get(server.address(), NOTES, &[]).await.text(), "shared");
}

#[tokio::test]
async fn a_login_page_does_not_slip_past_the_store() {
    let origin = Origin::start().await;
    let server = TestServer::start(&format!("{QUICK}{}", apt(&[&origin]))).await;
    origin.route(DEB, Reply::ok("package").header("Set-Cookie", "a=b"));
    assert_eq!(get(server.address(), DEB, &[]).await.text(), "package");
    origin.answer_everything(Some(Reply::portal().header("Set-Cookie", "a=b")));
    let answer = get(server.address(), DEB, &[]).await;
    assert_eq!(answer.status, 503);
    assert!(answer.reason.contains("login page"), "{}", answer.reason);
}

#[tokio::test]
async fn credentials_stay_here_and_change_nothing() {
    let origin = Origin::start().await;
    let server = TestServer::start(&apt(&[&origin])).await;
    origin.route(DEB, Reply::ok("package"));
    let secret = [("Authorization", "Basic c2VjcmV0"), ("Cookie", "a=b"), ("X-Own", "1"), ("Referer", "x")];
    for headers in [&secret[..], &[]] {
        assert_eq!(get(server.address(), DEB, headers).await.text(), "package");
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 1);
    let mut names: Vec<_> = requests[0].headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["accept", "accept-encoding", "host", "user-agent"]);
}

#[rstest]
#[case(500)]
#[case(403)]
#[case(404)]
#[case(410)]
#[case(206)]
#[case(300)]
#[case(204)]
#[tokio::test]
async fn errors_and_parts_are_not_kept(#[case] status: u16, #[values(DEB, NOTES)] path: &str) {
    let origin = Origin::start().await;
    let server = TestServer::start(&format!("{QUICK}{}", apt(&[&origin]))).await;
    let part = Reply::ok("part").header("Content-Range", "bytes 0-3/9");
    origin.route(path, part.header("Cache-Control", "max-age=900").with_status(status));
    assert!(get(server.address(), path, &[]).await.status >= 400);
    server.clock().advance(std::time::Duration::from_secs(16));
    origin.route(path, Reply::ok("whole"));
    assert_eq!(get(server.address(), path, &[]).await.text(), "whole");
}

#[tokio::test]
async fn a_probe_fetches_no_body() {
    let origin = Origin::start().await;
    let server = TestServer::start(&apt(&[&origin])).await;
    origin.route(DEB, Reply::ok("package"));
    let probe = ask(server.address(), "HEAD", DEB, &[]).await;
    assert_eq!((probe.status, probe.header("content-length")), (200, Some("7")));
    let missing = ask(server.address(), "HEAD", "/u/pool/main/b/b_1_all.deb", &[]).await;
    assert_eq!(missing.status, 404);
    assert_eq!(origin.log().all_body_bytes(), 0);
    assert!(origin.requests().iter().all(|request| request.method == "HEAD"));
}

#[tokio::test]
async fn a_passed_body_that_breaks_does_not_look_whole() {
    let origin = Origin::start().await;
    let server = TestServer::start(&format!("{QUICK}{}", apt(&[&origin]))).await;
    for (path, reply) in [(DEB, Reply::ok(vec![b'x'; 5000])), (NOTES, Reply::ok(vec![b'x'; 5000]).chunked())]
    {
        origin.route(path, reply.header("Cache-Control", "no-store").truncate_after(2000));
        let answer = get(server.address(), path, &[]).await;
        assert!(matches!(answer.end, End::Cut(_)), "{:?}", answer.end);
    }
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_kept_only_if_its_hash_is_known() {
    let origin = Origin::start().await;
    let server = TestServer::start(&apt(&[&origin])).await;
    let by_hash = format!("/u/dists/noble/main/binary-amd64/by-hash/SHA256/{}", sha256(b"body"));
    for path in [DEB, NOTES, &by_hash] {
        origin.route(path, Reply::ok("body").no_length_close());
        for _ in 0..2 {
            assert_eq!(get(server.address(), path, &[]).await.text(), "body");
        }
    }
    assert_eq!((origin.requests_to(DEB).len(), origin.requests_to(NOTES).len()), (3, 3));
    assert_eq!(origin.requests_to(&by_hash).len(), 1);
}
