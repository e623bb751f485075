//! Conditions and ranges, of an object on its way and of a stored one.

use rstest::rstest;

use super::{InFlight, PACKAGE, SIZE, ubuntu, until_stored};
use crate::support::client::{Connection, get, request};
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

const DATE: &str = "Sat, 01 Jun 2024 00:00:00 GMT";
const EARLIER: &str = "Fri, 31 May 2024 23:59:59 GMT";
const LATER: &str = "Sat, 01 Jun 2024 00:00:01 GMT";

/// One object in both states: each case is asked during the flight and after it.
#[rstest]
#[case::unchanged_since(&[("If-Modified-Since", DATE)], 304)]
#[case::unchanged_since_later(&[("If-Modified-Since", LATER)], 304)]
#[case::changed_since(&[("If-Modified-Since", EARLIER)], 200)]
#[case::unreadable_date(&[("If-Modified-Since", "yesterday")], 200)]
#[case::own_tag(&[("If-None-Match", "TAG")], 304)]
#[case::own_tag_among_others(&[("If-None-Match", "\"x\", W/TAG")], 304)]
#[case::any_tag(&[("If-None-Match", "*")], 304)]
#[case::other_tag_over_date(&[("If-None-Match", "\"x\""), ("If-Modified-Since", DATE)], 200)]
#[case::match_own(&[("If-Match", "TAG")], 200)]
#[case::match_other(&[("If-Match", "\"x\"")], 412)]
#[case::match_weak(&[("If-Match", "W/TAG")], 412)]
#[case::unmodified(&[("If-Unmodified-Since", DATE)], 200)]
#[case::modified(&[("If-Unmodified-Since", EARLIER)], 412)]
#[case::condition_before_range(&[("If-Modified-Since", DATE), ("Range", "bytes=0-4")], 304)]
#[tokio::test]
async fn conditions_are_answered_in_flight_and_from_the_store(
    #[case] headers: &[(&str, &str)],
    #[case] status: u16,
) {
    let mut flying = InFlight::begin().await;
    let server = flying.server.address();
    for state in ["flying", "stored"] {
        let mut probe = Connection::open(server).await;
        probe.send(request(server, "HEAD", PACKAGE, &[])).await;
        let tag = probe.head().await.unwrap().header("etag").unwrap().to_owned();
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (*name, value.replace("TAG", &tag))).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut connection = Connection::open(server).await;
        connection.send(request(server, "GET", PACKAGE, &headers)).await;
        let answer = connection.head().await.unwrap();
        assert_eq!(answer.status, status, "{state}: {answer:?}");
        match status {
            304 => {
                assert_eq!(answer.header("etag"), Some(tag.as_str()));
                assert_eq!(answer.header("last-modified"), Some(DATE));
                assert_eq!(answer.header("content-length"), None);
                assert!(answer.header("cache-status").is_some() && answer.header("via").is_some());
            }
            412 => assert!(connection.body(answer).await.is_complete()),
            _ => assert_eq!(answer.header("content-length"), Some("200000")),
        }
        if status != 200 {
            // Nothing but the head came: the connection goes on with the next answer.
            connection.send(request(server, "GET", "/", &[])).await;
            assert_eq!(connection.response().await.status, 406, "{state}");
        }
        if state == "flying" {
            flying.land().await;
        }
    }
    assert_eq!(flying.origin.requests_to(PACKAGE).len(), 1);
}

#[rstest]
#[case::beginning("bytes=0-9", Some((0, 9)))]
#[case::one_byte("bytes=7-7", Some((7, 7)))]
#[case::to_the_end("bytes=199990-", Some((199_990, 199_999)))]
#[case::beyond_the_end("bytes=199990-300000", Some((199_990, 199_999)))]
#[case::suffix("bytes=-10", Some((199_990, 199_999)))]
#[case::long_suffix("bytes=-300000", Some((0, 199_999)))]
#[case::over_the_middle("bytes=99000-101000", Some((99_000, 101_000)))]
#[case::several_that_overlap("bytes=0-1,1-6", None)]
#[case::backwards("bytes=9-0", None)]
#[case::other_unit("lines=0-1", None)]
#[case::nonsense("bytes=a-b", None)]
#[tokio::test]
async fn ranges_are_answered_in_flight_and_from_the_store(
    #[case] range: &str,
    #[case] part: Option<(usize, usize)>,
) {
    let mut flying = InFlight::begin().await;
    let server = flying.server.address();
    let mut connection = Connection::open(server).await;
    connection.send(request(server, "GET", PACKAGE, &[("Range", range)])).await;
    let head = connection.head().await.unwrap();
    let (begin, end) = part.map_or((0, SIZE), |(first, last)| (first, last + 1));
    if end <= SIZE / 2 {
        // What is here already does not wait for the rest.
        assert_eq!(connection.bytes(end - begin).await, flying.body[begin..end]);
    }
    let in_flight = if end <= SIZE / 2 { None } else { Some(head.clone()) };
    flying.land().await;
    let mut answers = vec![get(server, PACKAGE, &[("Range", range)]).await];
    if let Some(head) = in_flight {
        answers.push(connection.body(head).await);
    } else {
        assert_eq!(head.status, 206);
        connection.send(request(server, "GET", "/", &[])).await;
        assert_eq!(connection.response().await.status, 406);
    }
    for answer in answers {
        let length = (end - begin).to_string();
        assert!(answer.is_complete() && answer.body == flying.body[begin..end], "{answer:?}");
        assert_eq!(answer.header("content-length"), Some(length.as_str()));
        let content_range = part.map(|(first, last)| format!("bytes {first}-{last}/{SIZE}"));
        assert_eq!(answer.status, if part.is_some() { 206 } else { 200 });
        assert_eq!(answer.header("content-range"), content_range.as_deref());
    }
    assert_eq!(flying.origin.requests_to(PACKAGE).len(), 1);
}

#[tokio::test]
async fn a_range_that_cannot_be_is_answered_with_the_size() {
    let mut flying = InFlight::begin().await;
    let server = flying.server.address();
    for state in ["flying", "stored"] {
        for range in ["bytes=200000-", "bytes=99999999999999999999-", "bytes=-0"] {
            let answer = get(server, PACKAGE, &[("Range", range)]).await;
            assert_eq!(answer.status, 416, "{state} {range}");
            assert_eq!(answer.header("content-range"), Some("bytes */200000"), "{state} {range}");
            assert!(answer.is_complete());
        }
        if state == "flying" {
            flying.land().await;
        }
    }
    assert_eq!(flying.origin.requests_to(PACKAGE).len(), 1);
}

#[tokio::test]
async fn a_download_begun_in_flight_resumes_by_date_or_tag_ever_after() {
    let mut flying = InFlight::begin().await;
    let server = flying.server.address();
    let mut connection = Connection::open(server).await;
    connection.send(request(server, "GET", PACKAGE, &[])).await;
    let begun = connection.head().await.unwrap();
    let tag = begun.header("etag").unwrap().to_owned();
    let date = begun.header("last-modified").unwrap().to_owned();
    connection.bytes(1000).await;
    connection.abort();
    for state in ["flying", "stored"] {
        for (validator, resumes) in
            [(tag.as_str(), true), (date.as_str(), true), ("\"x\"", false), (LATER, false), (EARLIER, false)]
        {
            let headers = [("Range", "bytes=1000-1999"), ("If-Range", validator)];
            let mut connection = Connection::open(server).await;
            connection.send(request(server, "GET", PACKAGE, &headers)).await;
            let answer = connection.head().await.unwrap();
            let expected = if resumes { (206, "1000") } else { (200, "200000") };
            let seen = (answer.status, answer.header("content-length").unwrap());
            assert_eq!(seen, expected, "{state}: {validator}");
        }
        if state == "flying" {
            flying.land().await;
        }
    }
    let stored = get(server, PACKAGE, &[]).await;
    let headers = [("Range", "bytes=1000-"), ("If-Range", stored.header("etag").unwrap())];
    assert_eq!(get(server, PACKAGE, &headers).await.body, flying.body[1000..]);
    assert_eq!(flying.origin.requests_to(PACKAGE).len(), 1);
}

#[tokio::test]
async fn a_file_without_a_date_keeps_the_one_it_was_first_given() {
    let origin = Origin::start().await;
    origin.route(PACKAGE, Reply::ok(vec![7; SIZE]).no_validators());
    let mut server = TestServer::start(&ubuntu(&origin)).await;
    let first = get(server.address(), PACKAGE, &[]).await;
    let date = first.header("last-modified").expect("a date").to_owned();
    until_stored(server.address(), PACKAGE).await;
    server.clock().advance(std::time::Duration::from_secs(1000));
    server.restart().await;
    let headers = [("Range", "bytes=1000-"), ("If-Range", date.as_str())];
    let resumed = get(server.address(), PACKAGE, &headers).await;
    assert_eq!((resumed.status, resumed.body.len()), (206, SIZE - 1000));
    let same = get(server.address(), PACKAGE, &[("If-Modified-Since", date.as_str())]).await;
    assert_eq!(same.status, 304);
}
