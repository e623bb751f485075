//! Redirects over the wire: followed where they may be, refused where not.

use http::{HeaderValue, Method, StatusCode};
use rstest::rstest;

use super::origin::{Origin, Reply};
use super::*;

#[rstest]
#[tokio::test]
async fn every_kind_is_followed_on_one_connection(
    #[values(301, 302, 303, 307, 308)] status: u16,
    #[values("/b?q", "b?q", "//HOST/b?q")] location: &'static str,
) {
    let origin = Origin::start(move |seen| match seen.path() {
        "/a" => {
            let host = seen.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            Reply::redirect(status, &location.replace("HOST", host))
        }
        _ => Reply::ok("there"),
    })
    .await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let mut request = Request::get(origin.url("/a"), Class::Client);
    request.headers.insert("if-none-match", HeaderValue::from_static("\"x\""));
    request.headers.insert("authorization", HeaderValue::from_static("Basic eA=="));
    let response = client.send(request).await.unwrap();
    assert_eq!(response.url, origin.url("/b?q"));
    assert_eq!(read(response).await.unwrap(), b"there");
    let seen = origin.seen();
    assert_eq!(seen[1].connection, 0, "the redirect's connection is used again");
    assert!(seen[1].head.contains("if-none-match: \"x\"\r\n"));
    assert!(seen[1].head.contains("authorization: Basic eA==\r\n"), "the same origin may know");
}

#[tokio::test]
async fn credentials_do_not_travel_to_another_origin() {
    let second = Origin::start(|_| Reply::ok("there")).await;
    let target = second.url("/b");
    let first = Origin::start(move |_| Reply::redirect(302, &target)).await;
    let client = client(&config(), &[&first.url("/"), &second.url("/")], &[]);
    let mut request = Request::get(first.url("/a"), Class::Client);
    request.headers.insert("authorization", HeaderValue::from_static("Basic eA=="));
    request.headers.insert("range", HeaderValue::from_static("bytes=0-"));
    assert_eq!(read(client.send(request).await.unwrap()).await.unwrap(), b"there");
    assert!(first.seen()[0].head.contains("authorization: "));
    let head = &second.seen()[0].head;
    assert!(!head.contains("authorization") && head.contains("range: bytes=0-\r\n"), "{head}");
}

/// With one permit in all, a redirect to another origin must not wait for its own.
#[tokio::test]
async fn a_redirect_changes_places() {
    let second = Origin::start(|_| Reply::ok("there")).await;
    let target = second.url("/b");
    let first = Origin::start(move |_| Reply::redirect(302, &target)).await;
    let config = Config { connections: 1, connections_per_host: 1, ..config() };
    let client = client(&config, &[&first.url("/"), &second.url("/")], &[]);
    for _ in 0..2 {
        assert_eq!(read(get(&client, first.url("/a")).await.unwrap()).await.unwrap(), b"there");
    }
}

/// The private service must not even see a connection's request.
#[rstest]
#[case::another_port_of_a_configured_host("http://127.0.0.1:PORT/secret", "is not on the public Internet")]
#[case::a_private_address("http://127.0.0.2:PORT/secret", "is not on the public Internet")]
#[case::written_oddly("http://2130706433:PORT/secret", "is not on the public Internet")]
#[case::mapped("http://[::ffff:127.0.0.1]:PORT/secret", "is not on the public Internet")]
#[case::a_name_with_a_private_address("http://inside.test:PORT/secret", "is not on the public Internet")]
#[case::with_credentials("http://u:p@127.0.0.1:PORT/secret", "carries a user name or password")]
#[case::another_scheme("gopher://127.0.0.1:PORT/secret", "is not a plain http or https address")]
#[tokio::test]
async fn the_way_inside_is_closed(#[case] location: &'static str, #[case] why: &str) {
    let inside = Origin::start(|_| Reply::ok("secret")).await;
    let location = location.replace("PORT", &inside.address.port().to_string());
    let origin = Origin::start(move |_| Reply::redirect(302, &location)).await;
    let client = client(&config(), &[&origin.url("/")], &[("inside.test", &["127.0.0.1", "10.0.0.1"])]);
    let error = get(&client, origin.url("/a")).await.unwrap_err();
    assert_eq!(error.reason(), "redirect");
    let text = error.to_string();
    assert!(text.starts_with(&format!("{} redirects to ", origin.address)) && text.contains(why), "{text}");
    assert!(!text.contains("/secret") && !text.contains("u:p"), "{text}");
    assert_eq!(inside.seen().len(), 0);
}

#[tokio::test]
async fn a_configured_name_may_have_a_private_address() {
    let inside = Origin::start(|_| Reply::ok("there")).await;
    let target = format!("http://inside.test:{}/b", inside.address.port());
    let location = target.clone();
    let origin = Origin::start(move |_| Reply::redirect(302, &location)).await;
    let client = client(&config(), &[&origin.url("/"), &target], &[("inside.test", &["127.0.0.1"])]);
    assert_eq!(read(get(&client, origin.url("/a")).await.unwrap()).await.unwrap(), b"there");
}

#[tokio::test]
async fn what_is_not_configured_is_not_asked_in_the_first_place() {
    let inside = Origin::start(|_| Reply::ok("secret")).await;
    let client = client(&config(), &["http://mirror.test"], &[("inside.test", &["127.0.0.1"])]);
    for url in [inside.url("/a"), format!("http://inside.test:{}/a", inside.address.port())] {
        let error = get(&client, url).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Refused { .. }), "{error}");
    }
    assert_eq!(inside.seen().len(), 0);
}

#[tokio::test]
async fn circles_and_long_chains_end() {
    let origin = Origin::start(|seen| match seen.path() {
        "/round" => Reply::redirect(302, "/round"),
        path => {
            let hop: u32 = path[1..].parse().unwrap();
            Reply::redirect(302, &format!("/{}", hop + 1))
        }
    })
    .await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let error = get(&client, origin.url("/round")).await.unwrap_err();
    assert!(error.to_string().contains("go round in a circle"), "{error}");
    let error = get(&client, origin.url("/1")).await.unwrap_err();
    assert!(error.to_string().contains("at most 5 are followed"), "{error}");
    assert_eq!(origin.seen().len(), 1 + 6);
}

#[tokio::test]
async fn what_is_not_repeatable_is_handed_back() {
    let origin = Origin::start(|_| Reply::redirect(307, "/b")).await;
    let client = client(&config(), &[&origin.url("/")], &[]);
    let mut post = Request::get(origin.url("/a"), Class::Client);
    post.method = Method::POST;
    let response = client.send(post).await.unwrap();
    assert_eq!(
        (response.status, &response.headers["location"]),
        (StatusCode::TEMPORARY_REDIRECT, &HeaderValue::from_static("/b"))
    );
}
