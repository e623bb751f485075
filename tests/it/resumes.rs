//! A broken transfer goes on where it broke, or visibly fails.

use std::time::Duration;

use rstest::rstest;

use crate::fragments::{QUICK, apt};
use crate::support::client::{Connection, End, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{DEFAULT_DATE, Origin, Reply};
use crate::support::repository::day;
use crate::support::server::{Process, TestServer};
use crate::support::{noise, sha256};

const SIZE: usize = 600_000;
/// Where the first transfer breaks.
const BREAK: usize = 300_000;
const DEB: &str = "/u/pool/main/a/a_1_amd64.deb";
const INDEX: &str = "/u/dists/noble/main/binary-amd64/Packages";

async fn server(origins: &[&Origin]) -> TestServer {
    TestServer::start(&format!("{QUICK}{}", apt(origins))).await
}

fn by_hash(body: &[u8]) -> String {
    format!("/u/dists/noble/main/binary-amd64/by-hash/SHA256/{}", sha256(body))
}

#[derive(Debug, Clone, Copy)]
enum Break {
    Reset,
    Truncation,
    Silence,
}

#[rstest]
#[tokio::test]
async fn a_break_resumes_at_the_byte(
    #[values(Break::Reset, Break::Truncation, Break::Silence)] how: Break,
    #[values(None, Some("\"tag\""))] tag: Option<&str>,
) {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let (body, gate) = (noise("break", SIZE), Gate::new());
    let good = tag.into_iter().fold(Reply::ok(body.clone()), Reply::etag);
    let at = BREAK as u64;
    let broken = good.clone().pause_after(at, &gate);
    let broken = match how {
        Break::Reset => broken.reset_after(at),
        Break::Truncation => broken.truncate_after(at),
        // The gate stays closed.
        Break::Silence => broken,
    };
    origin.route_in_turn(DEB, [broken, good]);
    let mut client = Connection::open(server.address()).await;
    client.send(request(server.address(), "GET", DEB, &[])).await;
    client.head().await.expect("an answer");
    // What is here has been written to the partial file, so a reset loses none of it.
    assert!(client.bytes(BREAK).await == body[..BREAK]);
    if !matches!(how, Break::Silence) {
        gate.open();
    }
    assert!(client.bytes(SIZE - BREAK).await == body[BREAK..]);
    let requests = origin.requests_to(DEB);
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].header("range"), Some("bytes=300000-"));
    let date = httpdate::fmt_http_date(day(0));
    assert_eq!(requests[1].header("if-range"), Some(tag.unwrap_or(&date)));
    assert_eq!(origin.log().body_bytes(DEB), SIZE as u64);
    assert!(get(server.address(), DEB, &[]).await.body == body);
    assert_eq!(origin.requests_to(DEB).len(), 2);
}

#[tokio::test]
async fn another_upstream_sends_the_rest_of_the_same_object() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let server = server(&[&first, &second]).await;
    let body = noise("two", SIZE);
    first.route(DEB, Reply::ok(body.clone()).etag("\"first\"").truncate_after(BREAK as u64));
    second.route(DEB, Reply::ok(body.clone()).etag("\"second\""));
    let answer = get(server.address(), DEB, &[]).await;
    assert!(answer.is_complete() && answer.body == body, "{:?}", answer.end);
    let request = &second.requests_to(DEB)[0];
    assert_eq!(request.header("range"), Some("bytes=300000-"));
    // A tag means nothing to another server; the date does.
    assert_eq!(request.header("if-range"), Some(httpdate::fmt_http_date(day(0)).as_str()));
    assert_eq!(second.log().body_bytes(DEB), (SIZE - BREAK) as u64);
}

#[tokio::test]
async fn an_upstream_without_the_file_does_not_end_what_another_began() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let server = server(&[&first, &second]).await;
    let body = noise("one has it", SIZE);
    let good = Reply::ok(body.clone());
    first.route_in_turn(DEB, [good.clone().truncate_after(BREAK as u64), good]);
    let answer = get(server.address(), DEB, &[]).await;
    assert!(answer.is_complete() && answer.body == body, "{:?}", answer.end);
    assert_eq!((first.requests_to(DEB).len(), second.requests_to(DEB).len()), (2, 1));
}

#[rstest]
#[case::tag(Reply::ok(noise("new", SIZE)).etag("\"2\""))]
#[case::date(Reply::ok(noise("new", SIZE)).last_modified(day(1)))]
#[case::size(Reply::ok(noise("new", SIZE + 1)))]
#[tokio::test]
async fn what_was_replaced_is_not_glued(
    #[case] new: Reply,
    #[values(DEB, INDEX)] path: &str,
    #[values(true, false)] ranges: bool,
) {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let old = noise("old", SIZE);
    let new = if ranges { new } else { new.no_ranges() };
    let before = Reply::ok(old.clone()).etag("\"1\"").truncate_after(BREAK as u64);
    origin.route_in_turn(path, [before, new.clone()]);
    let cut = get(server.address(), path, &[]).await;
    assert!(matches!(cut.end, End::Cut(_)), "{:?}", cut.end);
    assert!(old.starts_with(&cut.body));
    let next = get(server.address(), path, &[]).await;
    assert!(next.is_complete());
    let same_size = next.body.len() == SIZE;
    assert!(next.body == noise("new", if same_size { SIZE } else { SIZE + 1 }));
}

#[tokio::test]
async fn an_upstream_that_ignores_ranges_sends_clients_nothing_twice() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let body = noise("no ranges", SIZE);
    let good = Reply::ok(body.clone()).no_ranges();
    origin.route_in_turn(DEB, [good.clone().truncate_after(BREAK as u64), good]);
    let answer = get(server.address(), DEB, &[]).await;
    assert!(answer.is_complete() && answer.body == body, "{:?}", answer.end);
    assert_eq!(origin.requests_to(DEB).len(), 2);
}

#[tokio::test]
async fn a_part_smaller_than_asked_for_is_not_the_whole() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let body = noise("parts", SIZE);
    let mut part = format!(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 300000-300009/600000\r\n\
         Content-Length: 10\r\nLast-Modified: {}\r\n\r\n",
        httpdate::fmt_http_date(day(0))
    )
    .into_bytes();
    part.extend_from_slice(&body[BREAK..BREAK + 10]);
    let good = Reply::ok(body.clone());
    origin.route_in_turn(DEB, [good.clone().truncate_after(BREAK as u64), Reply::raw(part), good]);
    for _ in 0..2 {
        let answer = get(server.address(), DEB, &[]).await;
        assert!(answer.is_complete() && answer.body == body, "{:?}", answer.end);
    }
    let last = origin.requests_to(DEB).pop().expect("a request");
    assert_eq!(last.header("range"), Some("bytes=300010-"));
}

#[tokio::test]
async fn a_refused_range_starts_over() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let body = noise("416", SIZE);
    let good = Reply::ok(body.clone());
    let refusal = Reply::status(416).header("Content-Range", "bytes */5");
    origin.route_in_turn(DEB, [good.clone().truncate_after(BREAK as u64), refusal, good]);
    assert!(!get(server.address(), DEB, &[]).await.is_complete());
    let next = get(server.address(), DEB, &[]).await;
    assert!(next.is_complete() && next.body == body);
    assert_eq!(origin.requests_to(DEB)[2].header("range"), None);
}

#[tokio::test]
async fn more_breaks_than_retries_do_no_harm_while_there_is_progress() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let body = noise("often", 1_200_000);
    origin.route(DEB, Reply::ok(body.clone()).truncate_after(150_000));
    let answer = get(server.address(), DEB, &[]).await;
    assert!(answer.is_complete() && answer.body == body, "{:?}", answer.end);
    assert_eq!(origin.requests_to(DEB).len(), 8);
    assert_eq!(origin.log().body_bytes(DEB), 1_200_000);
}

#[tokio::test]
async fn a_transfer_without_progress_ends_with_its_tries() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let good = Reply::ok(noise("never", SIZE));
    origin.route_in_turn(DEB, [good.clone().truncate_after(BREAK as u64), good.truncate_after(0)]);
    assert!(!get(server.address(), DEB, &[]).await.is_complete());
    assert_eq!(origin.requests_to(DEB).len(), 3);
}

#[tokio::test]
async fn a_partial_outlives_a_restart() {
    let origin = Origin::start().await;
    let mut server = TestServer::start(&apt(&[&origin])).await;
    let (body, gate) = (noise("restart", SIZE), Gate::new());
    let good = Reply::ok(body.clone());
    origin.route_in_turn(DEB, [good.clone().pause_after(BREAK as u64, &gate), good]);
    let mut client = Connection::open(server.address()).await;
    client.send(request(server.address(), "GET", DEB, &[])).await;
    client.head().await.expect("an answer");
    client.bytes(BREAK).await;
    client.abort();
    server.restart().await;
    let answer = get(server.address(), DEB, &[]).await;
    assert!(answer.is_complete() && answer.body == body);
    assert_eq!(origin.requests_to(DEB)[1].header("range"), Some("bytes=300000-"));
    assert_eq!(origin.log().body_bytes(DEB), SIZE as u64);
}

#[rstest]
#[case::validators(false)]
#[case::hash(true)]
#[tokio::test]
async fn a_partial_outlives_a_kill(#[case] known_hash: bool) {
    let origin = Origin::start().await;
    let mut server = Process::start(&apt(&[&origin])).await;
    let (body, gate) = (noise("kill", SIZE), Gate::new());
    let path = if known_hash { by_hash(&body) } else { DEB.to_owned() };
    let good = Reply::ok(body.clone());
    // A hash needs no validators to go by.
    let good = if known_hash { good.no_validators() } else { good };
    origin.route_in_turn(&path, [good.clone().pause_after(BREAK as u64, &gate), good]);
    let mut client = Connection::open(server.address()).await;
    client.send(request(server.address(), "GET", &path, &[])).await;
    client.head().await.expect("an answer");
    client.bytes(BREAK).await;
    server.kill();
    server.start_again().await;
    let answer = get(server.address(), &path, &[]).await;
    assert!(answer.is_complete() && answer.body == body);
    let request = &origin.requests_to(&path)[1];
    assert_eq!(request.header("range"), Some("bytes=300000-"));
    assert_eq!(request.header("if-range").is_none(), known_hash);
    assert_eq!(origin.log().body_bytes(&path), SIZE as u64);
}

#[tokio::test]
async fn a_whole_partial_of_something_mutable_is_not_believed_unasked() {
    let origin = Origin::start().await;
    let mut server = TestServer::start(&apt(&[&origin])).await;
    let (old, new, gate) = (noise("old", SIZE), noise("new", SIZE), Gate::new());
    let first = Reply::ok(old).content_length(SIZE as u64).pause_after(SIZE as u64 - 1, &gate);
    origin.route_in_turn(INDEX, [first, Reply::ok(new.clone()).last_modified(day(1))]);
    let mut client = Connection::open(server.address()).await;
    client.send(request(server.address(), "GET", INDEX, &[])).await;
    client.head().await.expect("an answer");
    client.bytes(SIZE - 1).await;
    client.abort();
    server.restart().await;
    let answer = get(server.address(), INDEX, &[]).await;
    assert!(answer.is_complete() && answer.body == new);
}

#[tokio::test]
async fn a_hash_is_all_that_a_resume_needs() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let body = noise("hash", SIZE);
    let path = by_hash(&body);
    let good = Reply::ok(body.clone()).no_validators();
    origin.route_in_turn(&path, [good.clone().truncate_after(BREAK as u64), good]);
    let answer = get(server.address(), &path, &[]).await;
    assert!(answer.is_complete() && answer.body == body, "{:?}", answer.end);
    let request = &origin.requests_to(&path)[1];
    assert_eq!((request.header("range"), request.header("if-range")), (Some("bytes=300000-"), None));
    assert_eq!(origin.log().body_bytes(&path), SIZE as u64);
}

#[tokio::test]
async fn wrong_bytes_are_cut_before_their_end_and_fetched_elsewhere_next() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let server = server(&[&first, &second]).await;
    let body = noise("right", SIZE);
    let path = by_hash(&body);
    first.route(&path, Reply::ok(noise("wrong", SIZE)));
    second.route(&path, Reply::ok(body.clone()));
    let cut = get(server.address(), &path, &[]).await;
    assert!(matches!(cut.end, End::Cut(_)), "{:?}", cut.end);
    assert!(cut.body.len() <= SIZE - 32 * 1024, "{}", cut.body.len());
    let next = get(server.address(), &path, &[]).await;
    assert!(next.is_complete() && next.body == body);
    assert_eq!((first.requests_to(&path).len(), second.requests_to(&path).len()), (1, 1));
}

#[rstest]
#[case::small(10_000, false)]
#[case::of_unknown_length(SIZE, true)]
#[tokio::test]
async fn wrong_bytes_that_nobody_saw_are_fetched_elsewhere_at_once(
    #[case] size: usize,
    #[case] chunked: bool,
) {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let server = server(&[&first, &second]).await;
    let body = noise("right", size);
    let path = by_hash(&body);
    let wrong = Reply::ok(noise("wrong", size));
    first.route(&path, if chunked { wrong.chunked() } else { wrong });
    second.route(&path, Reply::ok(body.clone()));
    let answer = get(server.address(), &path, &[]).await;
    assert!(answer.is_complete() && answer.body == body, "{} {:?}", answer.reason, answer.end);
}

#[tokio::test]
async fn a_damaged_partial_heals() {
    let origin = Origin::start().await;
    let server = server(&[&origin]).await;
    let body = noise("healed", SIZE);
    let path = by_hash(&body);
    let good = Reply::ok(body.clone());
    origin.route_in_turn(&path, [Reply::ok(noise("hurt", SIZE)).truncate_after(BREAK as u64), good]);
    assert!(!get(server.address(), &path, &[]).await.is_complete());
    let next = get(server.address(), &path, &[]).await;
    assert!(next.is_complete() && next.body == body);
}

#[test]
fn the_origin_dates_its_replies_as_repositories_do() {
    assert_eq!(day(0), std::time::UNIX_EPOCH + Duration::from_secs(DEFAULT_DATE));
}
