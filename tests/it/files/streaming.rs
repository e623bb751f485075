//! Images stream while they are checked: ranges, breaks, and bytes that are wrong.

use super::*;
use crate::support::client::{Connection, request};
use crate::support::gate::Gate;
use crate::support::noise;

const SIZE: usize = 400_000;

async fn listed(more: &str, further: &[&Origin]) -> (Setup, Vec<u8>) {
    let setup = Setup::with(more, further).await;
    let image = noise("streamed", SIZE);
    setup.publish(LIST, &line("desktop.iso", &image), 0);
    for origin in further {
        setup.publish_at(origin, LIST, &line("desktop.iso", &image), 0);
    }
    (setup, image)
}

#[tokio::test]
async fn ranges_are_served_as_soon_as_they_are_there() {
    let (setup, image) = listed("", &[]).await;
    let gate = Gate::new();
    setup.origin.route(IMAGE, Reply::ok(image.clone()).pause_after(200_000, &gate));
    let mut first = Connection::open(setup.server.address()).await;
    first.send(request(setup.server.address(), "GET", IMAGE, &[])).await;
    gate.reached_by(1).await;
    let early = get(setup.server.address(), IMAGE, &[("Range", "bytes=1000-1999")]).await;
    assert_eq!((early.status, early.body.as_slice()), (206, &image[1000..2000]));
    assert_eq!(early.header("content-range"), Some("bytes 1000-1999/400000"));
    // One that is not there yet waits; it comes with the rest.
    let mut late = Connection::open(setup.server.address()).await;
    late.send(request(setup.server.address(), "GET", IMAGE, &[("Range", "bytes=-10")])).await;
    let head = late.head().await.expect("an answer");
    assert_eq!((head.status, head.header("content-range")), (206, Some("bytes 399990-399999/400000")));
    gate.open();
    assert_eq!(late.body(head).await.body, image[SIZE - 10..]);
    assert_whole(&first.response().await, &image);
    assert_eq!(setup.origin.requests_to(IMAGE).len(), 1);
}

#[tokio::test]
async fn several_ranges_at_once_are_answered_part_by_part() {
    let (setup, image) = listed("", &[]).await;
    let gate = Gate::new();
    setup.origin.route(IMAGE, Reply::ok(image.clone()).pause_after(200_000, &gate));
    let mut first = Connection::open(setup.server.address()).await;
    first.send(request(setup.server.address(), "GET", IMAGE, &[])).await;
    gate.reached_by(1).await;
    let ranges = [("Range", "bytes=0-99, 5000-5999,100000-100000")];
    let flying = get(setup.server.address(), IMAGE, &ranges).await;
    assert_parts(&flying, &image);
    gate.open();
    assert_whole(&first.response().await, &image);
    crate::requests::until_stored(setup.server.address(), IMAGE).await;
    assert_parts(&get(setup.server.address(), IMAGE, &ranges).await, &image);
}

/// Takes a multipart answer apart, as zsync does.
fn assert_parts(answer: &Response, image: &[u8]) {
    assert_eq!((answer.status, answer.is_complete()), (206, true), "{answer:?}");
    let kind = answer.header("content-type").expect("a type");
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap_or_else(|| panic!("{kind}"));
    let mut expected = Vec::new();
    for (first, last) in [(0, 99), (5000, 5999), (100_000, 100_000)] {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {first}-{last}/{SIZE}\r\n\r\n"
        );
        expected.extend(head.into_bytes());
        expected.extend(&image[first..=last]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").into_bytes());
    assert!(answer.body == expected, "{}", answer.text());
}

#[tokio::test]
async fn a_broken_transfer_goes_on_where_it_broke() {
    let (setup, image) = listed("", &[]).await;
    setup
        .origin
        .route_in_turn(IMAGE, [Reply::ok(image.clone()).truncate_after(300_000), Reply::ok(image.clone())]);
    assert_whole(&setup.get(IMAGE).await, &image);
    let asked = setup.origin.requests_to(IMAGE);
    assert_eq!(asked[1].header("range"), Some("bytes=300000-"));
}

#[tokio::test]
async fn a_flipped_bit_reaches_nobody() {
    let (setup, image) = listed("", &[]).await;
    let mut wrong = image.clone();
    wrong[123_456] ^= 4;
    setup.origin.route(IMAGE, Reply::ok(wrong.clone()));
    let cut = setup.get(IMAGE).await;
    assert!(!cut.is_complete() || cut.status >= 500, "a wrong image looks whole");
    assert!(cut.body.len() < SIZE - 30_000, "the tail was not held back");
    assert!(!setup.has(&wrong));
    let part = get(setup.server.address(), IMAGE, &[("Range", "bytes=399000-399999")]).await;
    assert!(part.status != 206 || !part.is_complete(), "a part of a wrong image was handed out");
    // Mended upstream, it is fetched anew.
    setup.origin.route(IMAGE, Reply::ok(image.clone()));
    setup.server.clock().advance(STALE);
    assert_whole(&setup.get(IMAGE).await, &image);
}

#[tokio::test]
async fn another_upstream_has_the_right_bytes() {
    let second = Origin::start().await;
    let (setup, image) = listed("", &[&second]).await;
    // Shorter than what is held back: no client has seen a byte of the wrong one.
    let small = noise("small", 20_000);
    let list = line("desktop.iso", &image) + &line("small.img", &small);
    for origin in [&setup.origin, &second] {
        setup.publish_at(origin, LIST, &list, 0);
    }
    let mut wrong = small.clone();
    wrong[5] ^= 1;
    setup.origin.route("/r/24.04/small.img", Reply::ok(wrong));
    second.route("/r/24.04/small.img", Reply::ok(small.clone()));
    assert_whole(&setup.get("/r/24.04/small.img").await, &small);
}

#[tokio::test]
async fn a_head_request_fetches_no_image() {
    let (setup, image) = listed("", &[]).await;
    setup.origin.route(IMAGE, Reply::ok(image.clone()));
    let head = crate::support::client::ask(setup.server.address(), "HEAD", IMAGE, &[]).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some("400000")));
    assert_eq!(setup.origin.requests_to(IMAGE)[0].method, "HEAD");
}
