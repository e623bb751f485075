//! What is asked again, when, and how.

use std::time::{Duration, SystemTime};

use rstest::rstest;

use crate::fragments::{apt, repo, settled, warm};
use crate::support::client::{Response, get};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::repository::day;
use crate::support::server::TestServer;
use crate::support::sha256;

const DEB: &str = "/u/pool/main/a/a_1_amd64.deb";
const IN_RELEASE: &str = "/u/dists/noble/InRelease";
const GPG: &str = "/u/dists/noble/Release.gpg";
const INDEX: &str = "/u/dists/noble/main/binary-amd64/Packages";
const MINUTE: Duration = Duration::from_mins(1);
const YEAR: Duration = Duration::from_hours(24 * 365);

async fn one_upstream() -> (Origin, TestServer) {
    let origin = Origin::start().await;
    let server = TestServer::start(&apt(&[&origin])).await;
    (origin, server)
}

fn cache_status(answer: &Response) -> &str {
    answer.header("cache-status").unwrap_or_default()
}

const HIT: &str = "lumbung; hit";
const CONFIRMED: &str = "lumbung; fwd=stale; fwd-status=304";

#[rstest]
#[case::package(DEB)]
#[case::by_hash("by-hash")]
#[tokio::test]
async fn what_never_changes_is_never_asked_for_again(#[case] path: &str) {
    let (origin, mut server) = one_upstream().await;
    let by_hash = format!("/u/dists/noble/main/binary-amd64/by-hash/SHA256/{}", sha256(b"body"));
    let path = if path == "by-hash" { &by_hash } else { path };
    origin.route(path, Reply::ok("body").header("Cache-Control", "max-age=1, must-revalidate"));
    warm(&server, path).await;
    server.clock().advance(YEAR);
    server.restart().await;
    let answer = get(server.address(), path, &[]).await;
    assert_eq!((answer.text().as_str(), cache_status(&answer)), ("body", HIT));
    assert_eq!(origin.requests().len(), 1);
}

#[rstest]
#[tokio::test]
async fn a_suites_files_are_confirmed_once_in_every_period(
    #[values(IN_RELEASE, "/u/dists/noble/Release", GPG, INDEX)] path: &str,
    #[values(None, Some("\"tag\""))] tag: Option<&str>,
) {
    let (origin, mut server) = one_upstream().await;
    origin.route(path, tag.into_iter().fold(Reply::ok("body"), Reply::etag));
    warm(&server, path).await;
    server.clock().advance(9 * MINUTE);
    let young = get(server.address(), path, &[("Cache-Control", "max-age=0")]).await;
    assert_eq!((cache_status(&young), origin.requests().len()), (HIT, 1), "a client does not decide that");
    assert!(young.header("age").is_some_and(|age| (540..545).contains(&age.parse().unwrap_or(0))));

    server.clock().advance(MINUTE);
    let confirmed = warm(&server, path).await;
    assert_eq!((confirmed.text().as_str(), cache_status(&confirmed)), ("body", CONFIRMED));
    let requests = origin.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("if-modified-since"), Some(httpdate::fmt_http_date(day(0)).as_str()));
    assert_eq!(requests[1].header("if-none-match"), tag);
    // Nobody on the way may answer in the archive's place.
    assert_eq!(requests[1].header("cache-control"), Some("max-age=0"));

    server.clock().advance(9 * MINUTE);
    server.restart().await;
    let young = get(server.address(), path, &[]).await;
    assert_eq!((cache_status(&young), origin.requests().len()), (HIT, 2), "the confirmation was not kept");
}

#[rstest]
#[tokio::test]
async fn a_changed_file_of_a_suite_replaces_the_old_one(#[values(IN_RELEASE, INDEX)] path: &str) {
    let (origin, mut server) = one_upstream().await;
    origin.route(path, Reply::ok("old"));
    warm(&server, path).await;
    origin.route(path, Reply::ok("newer").last_modified(day(1)));
    assert_eq!(get(server.address(), path, &[]).await.text(), "old");
    server.clock().advance(10 * MINUTE);
    let answer = warm(&server, path).await;
    assert_eq!(answer.text(), "newer");
    assert_eq!(answer.header("last-modified"), Some(httpdate::fmt_http_date(day(1)).as_str()));
    server.restart().await;
    assert_eq!(get(server.address(), path, &[]).await.text(), "newer");
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn a_client_asks_conditionally_for_what_it_has() {
    let (origin, server) = one_upstream().await;
    origin.route(IN_RELEASE, Reply::ok("body"));
    let first = warm(&server, IN_RELEASE).await;
    server.clock().advance(10 * MINUTE);
    let date = first.header("last-modified").expect("a date");
    let again = get(server.address(), IN_RELEASE, &[("If-Modified-Since", date)]).await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn a_tag_is_not_shown_to_another_upstream() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let server = TestServer::start(&apt(&[&first, &second])).await;
    first.route_in_turn(IN_RELEASE, [Reply::ok("body").etag("\"first\""), Reply::status(500)]);
    second.route(IN_RELEASE, Reply::ok("body").etag("\"second\""));
    warm(&server, IN_RELEASE).await;
    server.clock().advance(10 * MINUTE);
    assert_eq!(cache_status(&get(server.address(), IN_RELEASE, &[]).await), CONFIRMED);
    let request = &second.requests_to(IN_RELEASE)[0];
    assert_eq!(request.header("if-none-match"), None);
    assert!(request.header("if-modified-since").is_some());
}

#[rstest]
#[tokio::test]
async fn after_a_new_release_file_what_was_checked_before_is_checked_again(#[values(INDEX, GPG)] path: &str) {
    let (origin, server) = one_upstream().await;
    let other_suite = "/u/dists/jammy/Release.gpg";
    for path in [IN_RELEASE, path, other_suite] {
        origin.route(path, Reply::ok("old"));
    }
    warm(&server, IN_RELEASE).await;
    server.clock().advance(5 * MINUTE);
    warm(&server, path).await;
    warm(&server, other_suite).await;
    server.clock().advance(5 * MINUTE);
    for path in [IN_RELEASE, path, other_suite] {
        origin.route(path, Reply::ok("newer").last_modified(day(1)));
    }
    assert_eq!(warm(&server, IN_RELEASE).await.text(), "newer");
    assert_eq!(get(server.address(), path, &[]).await.text(), "newer");
    assert_eq!(get(server.address(), other_suite, &[]).await.text(), "old");
}

#[tokio::test]
async fn what_was_asked_for_before_a_new_release_file_is_checked_again_however_late_it_came() {
    let (origin, server) = one_upstream().await;
    let gate = Gate::new();
    origin.route(IN_RELEASE, Reply::ok("old"));
    warm(&server, IN_RELEASE).await;
    server.clock().advance(9 * MINUTE);
    origin.route_in_turn(
        INDEX,
        [Reply::ok("old").pause_after(1, &gate), Reply::ok("newer").last_modified(day(1))],
    );
    let (address, url) = (server.address(), INDEX);
    let slow = tokio::spawn(async move { get(address, url, &[]).await });
    gate.reached_by(1).await;
    server.clock().advance(MINUTE);
    origin.route(IN_RELEASE, Reply::ok("newer").last_modified(day(1)));
    assert_eq!(get(server.address(), IN_RELEASE, &[]).await.text(), "newer");
    gate.open();
    assert_eq!(slow.await.expect("an answer").text(), "old");
    settled(&server).await;
    assert_eq!(get(server.address(), INDEX, &[]).await.text(), "newer");
}

#[derive(Debug, Clone, Copy)]
enum Life {
    /// So many seconds.
    Seconds(u64),
    /// Asked about each time.
    None,
}

fn expiring() -> Reply {
    let now = SystemTime::now();
    Reply::ok("body")
        .header("Date", &httpdate::fmt_http_date(now))
        .header("Expires", &httpdate::fmt_http_date(now + Duration::from_secs(100)))
}

#[rstest]
#[case::max_age(Reply::ok("body").header("Cache-Control", "max-age=60"), Life::Seconds(60))]
#[case::shared(Reply::ok("body").header("Cache-Control", "max-age=9, s-maxage=60"), Life::Seconds(60))]
#[case::expires(expiring(), Life::Seconds(100))]
#[case::already_old(
    Reply::ok("body").header("Cache-Control", "max-age=60").header("Age", "40"),
    Life::Seconds(20)
)]
#[case::a_tenth_of_its_age(
    Reply::ok("body").last_modified(SystemTime::now() - Duration::from_secs(10_000)),
    Life::Seconds(1000)
)]
#[case::no_cache(Reply::ok("body").header("Cache-Control", "no-cache"), Life::None)]
#[case::nothing_said(Reply::ok("body").no_validators().etag("\"tag\""), Life::None)]
#[tokio::test]
async fn the_rest_lives_as_its_own_headers_say(
    #[case] reply: Reply,
    #[case] life: Life,
    #[values("http", "apt")] kind: &str,
) {
    let origin = Origin::start().await;
    let mut server = TestServer::start(&repo(kind, &[&origin])).await;
    let path = "/u/changelogs/nano";
    origin.route(path, reply);
    assert_eq!(warm(&server, path).await.text(), "body");
    if let Life::Seconds(life) = life {
        // Seconds that pass while the test runs count too.
        server.clock().advance(Duration::from_secs(life - life / 10 - 2));
        server.restart().await;
        let young = get(server.address(), path, &[]).await;
        assert_eq!((cache_status(&young), origin.requests().len()), (HIT, 1));
        server.clock().advance(Duration::from_secs(life / 10 + 3));
    }
    let confirmed = get(server.address(), path, &[]).await;
    assert_eq!((confirmed.text().as_str(), cache_status(&confirmed)), ("body", CONFIRMED));
    assert_eq!(origin.requests().len(), 2);
}

#[tokio::test]
async fn queries_name_different_things_where_they_mean_something() {
    let origin = Origin::start().await;
    let server = TestServer::start(&repo("http", &[&origin])).await;
    for number in ["1", "2"] {
        let reply = Reply::ok(number).header("Cache-Control", "max-age=60");
        origin.route(&format!("/u/list?page={number}"), reply);
    }
    for _ in 0..2 {
        for number in ["1", "2"] {
            assert_eq!(get(server.address(), &format!("/u/list?page={number}"), &[]).await.text(), number);
        }
    }
    assert_eq!(origin.requests().len(), 2);
}
