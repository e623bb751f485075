//! Upstream's bad day stays upstream.

use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::Value;

use crate::fragments::{QUICK, apt, settled, warm};
use crate::support::client::{Response, get};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::repository::day;
use crate::support::server::TestServer;

const DEB: &str = "/u/pool/main/a/a_1_amd64.deb";
const IN_RELEASE: &str = "/u/dists/noble/InRelease";
const STALE: Duration = Duration::from_mins(11);

/// Longer than any answer that has a copy may take here, shorter than apt's patience.
const SOON: Duration = Duration::from_secs(10);

async fn server(origins: &[&Origin]) -> TestServer {
    TestServer::start(&format!("{QUICK}{}", apt(origins))).await
}

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Down,
    Silent,
    SilentInMidBody,
    Unwell,
    Portal,
    PortalElsewhere,
    Nonsense,
    BreakingOff,
}

impl Trouble {
    /// Makes it so that `origin` has it.
    async fn befall(self, origin: &Origin) {
        let reply = match self {
            Self::Down => return origin.stop().await,
            Self::Silent => Reply::hang(),
            Self::SilentInMidBody => {
                Reply::ok(vec![b'x'; 100]).last_modified(day(1)).no_ranges().pause_after(0, &Gate::new())
            }
            Self::Unwell => Reply::status(503),
            Self::Portal => Reply::portal(),
            Self::PortalElsewhere => Reply::redirect("http://192.168.1.1/login"),
            Self::Nonsense => Reply::raw("SSH-2.0-OpenSSH_9.2p1\r\n"),
            Self::BreakingOff => {
                Reply::ok(vec![b'x'; 100]).last_modified(day(1)).no_ranges().truncate_after(10)
            }
        };
        origin.answer_everything(Some(reply));
    }
}

fn is_unchecked(answer: &Response) -> bool {
    answer
        .header("cache-status")
        .is_some_and(|status| status.starts_with("lumbung; hit; ttl=-1; detail=\"not checked: "))
}

#[rstest]
#[tokio::test]
async fn the_kept_copy_bridges(
    #[values(
        Trouble::Down,
        Trouble::Silent,
        Trouble::Unwell,
        Trouble::Portal,
        Trouble::PortalElsewhere,
        Trouble::Nonsense
    )]
    trouble: Trouble,
) {
    let origin = Origin::start().await;
    let mut server = server(&[&origin]).await;
    origin.route(IN_RELEASE, Reply::ok("body"));
    warm(&server, IN_RELEASE).await;
    server.clock().advance(STALE);
    trouble.befall(&origin).await;
    let began = Instant::now();
    for _ in 0..2 {
        let answer = get(server.address(), IN_RELEASE, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
        assert!(is_unchecked(&answer), "{:?}", answer.header("cache-status"));
        assert!(answer.header("age").is_some_and(|age| age.parse::<u64>().is_ok_and(|age| age >= 660)));
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    // Nor is anything else kept than before.
    server.restart().await;
    assert_eq!(get(server.address(), IN_RELEASE, &[]).await.text(), "body");
}

#[rstest]
#[tokio::test]
async fn a_new_body_that_never_comes_leaves_the_kept_copy(
    #[values(Trouble::SilentInMidBody, Trouble::BreakingOff)] trouble: Trouble,
) {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    origin.route(IN_RELEASE, Reply::ok("body"));
    warm(&server, IN_RELEASE).await;
    server.clock().advance(STALE);
    trouble.befall(&origin).await;
    // Whoever had seen the head of the new body is cut; apt asks again.
    assert!(!get(server.address(), IN_RELEASE, &[]).await.is_complete());
    settled(&server).await;
    origin.answer_everything(None);
    origin.stop().await;
    let answer = get(server.address(), IN_RELEASE, &[]).await;
    assert_eq!((answer.text().as_str(), is_unchecked(&answer)), ("body", true));
}

#[tokio::test]
async fn an_upstream_that_stays_silent_is_waited_for_with_patience_once() {
    let origin = Origin::start().await;
    let limits = "[upstream]\nidle_timeout = \"50 s\"\npatience = \"100 ms\"\n";
    let server = TestServer::start(&format!("{limits}{}", apt(&[&origin]))).await;
    origin.route(IN_RELEASE, Reply::ok("old"));
    warm(&server, IN_RELEASE).await;
    server.clock().advance(STALE);
    let gate = Gate::new();
    origin.route(IN_RELEASE, Reply::ok("newer").last_modified(day(1)).delay_until(&gate));
    let began = Instant::now();
    for _ in 0..3 {
        let answer = get(server.address(), IN_RELEASE, &[]).await;
        assert_eq!((answer.text().as_str(), is_unchecked(&answer)), ("old", true));
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(origin.requests().len(), 2);
    // What comes late is kept all the same.
    gate.open();
    settled(&server).await;
    assert_eq!(get(server.address(), IN_RELEASE, &[]).await.text(), "newer");
}

#[tokio::test]
async fn a_short_trouble_is_waited_out() {
    let origin = Origin::start().await;
    let server = TestServer::start(&apt(&[&origin])).await;
    origin.route(IN_RELEASE, Reply::ok("old"));
    warm(&server, IN_RELEASE).await;
    server.clock().advance(STALE);
    let new = Reply::ok("newer").last_modified(day(1));
    origin.route_in_turn(IN_RELEASE, [Reply::status(503), new]);
    assert_eq!(get(server.address(), IN_RELEASE, &[]).await.text(), "newer");
    origin.route_in_turn(DEB, [Reply::status(502), Reply::portal(), Reply::ok("package")]);
    assert_eq!(get(server.address(), DEB, &[]).await.text(), "package");
}

#[tokio::test]
async fn while_all_upstreams_rest_nobody_waits_and_one_success_ends_it() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    origin.route(IN_RELEASE, Reply::ok("old"));
    warm(&server, IN_RELEASE).await;
    server.clock().advance(STALE);
    origin.answer_everything(Some(Reply::status(503)));
    assert!(is_unchecked(&get(server.address(), IN_RELEASE, &[]).await));
    let asked = origin.requests().len();
    assert_eq!(asked, 3, "two failures are enough where a copy is at hand");
    assert!(is_unchecked(&get(server.address(), IN_RELEASE, &[]).await));
    assert_eq!(origin.requests().len(), asked);

    origin.answer_everything(None);
    origin.route(IN_RELEASE, Reply::ok("newer").last_modified(day(1)));
    origin.route(DEB, Reply::ok("package"));
    assert_eq!(get(server.address(), DEB, &[]).await.text(), "package");
    assert_eq!(get(server.address(), IN_RELEASE, &[]).await.text(), "newer");
}

#[rstest]
#[case::down(Trouble::Down, "connect")]
#[case::silent(Trouble::Silent, "sent nothing")]
#[case::unwell(Trouble::Unwell, "503")]
#[case::portal(Trouble::Portal, "login page")]
#[case::portal_elsewhere(Trouble::PortalElsewhere, "redirects to 192.168.1.1")]
#[tokio::test]
async fn without_a_copy_apt_learns_why_and_tries_again(
    #[case] trouble: Trouble,
    #[case] words: &str,
    #[values(DEB, IN_RELEASE)] path: &str,
) {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    origin.route(path, Reply::ok("body"));
    trouble.befall(&origin).await;
    let began = Instant::now();
    let answer = get(server.address(), path, &[]).await;
    assert_eq!(answer.status, 503);
    assert!(answer.reason.contains(words), "{}", answer.reason);
    // apt does not try an empty 503 again.
    assert!(answer.is_complete() && answer.text().contains(words), "{}", answer.text());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    if matches!(trouble, Trouble::Down) {
        origin.start_again().await;
    }
    origin.answer_everything(None);
    assert_eq!(get(server.address(), path, &[]).await.text(), "body");
}

#[tokio::test]
async fn what_is_missing_is_asked_for_again_after_a_quarter_of_a_minute() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    for _ in 0..3 {
        let answer = get(server.address(), DEB, &[]).await;
        assert_eq!((answer.status, answer.text().contains("no such file")), (404, true));
    }
    assert_eq!(origin.requests().len(), 1);
    origin.route(DEB, Reply::ok("published"));
    server.clock().advance(Duration::from_secs(13));
    assert_eq!(get(server.address(), DEB, &[]).await.status, 404);
    server.clock().advance(Duration::from_secs(2));
    assert_eq!(get(server.address(), DEB, &[]).await.text(), "published");
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn a_suites_file_that_upstream_has_lost_is_kept() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    origin.route(IN_RELEASE, Reply::ok("body"));
    warm(&server, IN_RELEASE).await;
    origin.remove(IN_RELEASE);
    server.clock().advance(STALE);
    for _ in 0..3 {
        let answer = get(server.address(), IN_RELEASE, &[]).await;
        assert_eq!((answer.text().as_str(), is_unchecked(&answer)), ("body", true));
    }
    assert_eq!(origin.requests().len(), 2, "desktops that ask together make one question");
}

#[tokio::test]
async fn anything_else_that_upstream_has_lost_is_gone() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let path = "/u/project/notes.txt";
    origin.route(path, Reply::ok("body").header("Cache-Control", "max-age=60"));
    warm(&server, path).await;
    server.clock().advance(STALE);
    origin.answer_everything(Some(Reply::status(500)));
    assert_eq!(get(server.address(), path, &[]).await.text(), "body");
    origin.answer_everything(None);
    origin.remove(path);
    origin.route(DEB, Reply::ok("package"));
    warm(&server, DEB).await;
    for _ in 0..2 {
        assert_eq!(get(server.address(), path, &[]).await.status, 404);
    }
}

#[rstest]
#[case::missing_first(404)]
#[case::refused_first(403)]
#[case::unwell_first(500)]
#[tokio::test]
async fn another_upstream_may_have_it(#[case] status: u16, #[values(DEB, IN_RELEASE)] path: &str) {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let server = server(&[&first, &second]).await;
    first.route(path, Reply::status(status));
    second.route(path, Reply::ok("body"));
    let answer = get(server.address(), path, &[]).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "body"));
}

#[rstest]
#[case::missing(404, 404, 404)]
#[case::refused(403, 403, 403)]
#[case::missing_then_refused(404, 403, 404)]
#[case::refused_then_missing(403, 404, 404)]
// Missing would be final to apt, and the other one may have it.
#[case::missing_and_away(404, 500, 503)]
#[tokio::test]
async fn several_upstreams_that_have_nothing_speak_as_one(
    #[case] one: u16,
    #[case] other: u16,
    #[case] told: u16,
) {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let server = server(&[&first, &second]).await;
    first.route(DEB, Reply::status(one));
    second.route(DEB, Reply::status(other));
    assert_eq!(get(server.address(), DEB, &[]).await.status, told);
}

#[tokio::test]
async fn upstreams_are_asked_in_their_order_and_those_that_fail_last() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let server = server(&[&first, &second]).await;
    let path = |number: u32| format!("/u/pool/main/a/a_{number}_amd64.deb");
    for number in 1..=5 {
        first.route(&path(number), Reply::ok("first"));
        second.route(&path(number), Reply::ok("second"));
    }
    assert_eq!(get(server.address(), &path(1), &[]).await.text(), "first");
    first.answer_everything(Some(Reply::status(500)));
    for number in 2..=3 {
        assert_eq!(get(server.address(), &path(number), &[]).await.text(), "second");
    }
    assert_eq!((first.requests().len(), second.requests().len()), (3, 2));
    first.answer_everything(None);
    assert_eq!(get(server.address(), &path(4), &[]).await.text(), "second");
    assert_eq!(first.requests().len(), 3, "it rests");

    let status = get(server.admin(), "/api/v1/status", &[]).await;
    let status: Value = serde_json::from_slice(&status.body).expect("a status");
    let upstreams = &status["repos"][0]["upstreams"];
    assert_eq!((&upstreams[0]["healthy"], &upstreams[0]["failures"]), (&false.into(), &2.into()));
    let error = upstreams[0]["last_error"].as_str().unwrap_or_default();
    assert!(error.contains("500"), "{error}");
    assert_eq!((&upstreams[1]["healthy"], &upstreams[1]["last_error"]), (&true.into(), &Value::Null));

    // Who rests is asked last, but asked.
    second.stop().await;
    assert_eq!(get(server.address(), &path(5), &[]).await.text(), "first");
}

#[rstest]
#[tokio::test]
async fn redirects_are_followed_here_and_the_body_kept_under_the_path_that_was_asked(
    #[values(301, 302, 303, 307, 308)] status: u16,
    #[values("/elsewhere/a.deb", "../../../../elsewhere/a.deb", "absolute")] to: &str,
) {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let absolute = origin.url("/elsewhere/a.deb");
    let to = if to == "absolute" { &absolute } else { to };
    origin.route(DEB, Reply::redirect(to).with_status(status));
    origin.route("/elsewhere/a.deb", Reply::ok("package"));
    for _ in 0..2 {
        let answer = get(server.address(), DEB, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "package"));
        assert_eq!(answer.header("location"), None);
    }
    assert_eq!(origin.requests().len(), 2);
}
