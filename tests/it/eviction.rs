//! The store keeps to its size: what nobody asked for longest goes, and nobody notices but by waiting again.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::client::{Connection, Response, get, request};
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, noise};

const MINUTE: Duration = Duration::from_mins(1);

/// A server whose store is limited by `limits`, lines of `[store]`; two repositories of the same origin.
async fn start(origin: &Origin, limits: &str) -> TestServer {
    TestServer::start(&format!(
        "[store]\n{limits}\n\
         [[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n\
         [[repo]]\nname = \"other\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n",
        origin.url("/ubuntu"),
        origin.url("/other"),
    ))
    .await
}

/// Publishes bytes that the name determines, and returns them.
fn publish(origin: &Origin, name: &str, size: usize) -> Vec<u8> {
    let body = noise(name, size);
    origin.route(&format!("/ubuntu/pool/{name}"), Reply::ok(body.clone()));
    body
}

/// Asks for a path of the `ubuntu` repository; a minute passes.
async fn ask(server: &TestServer, name: &str) -> Response {
    let answer = get(server.address(), &format!("/ubuntu/pool/{name}"), &[]).await;
    server.clock().advance(MINUTE);
    assert_eq!(answer.status, 200, "{name}: {}", answer.text());
    assert!(answer.is_complete(), "{name}: {:?}", answer.end);
    answer
}

fn is_hit(answer: &Response) -> bool {
    answer.header("cache-status") == Some("lumbung; hit")
}

/// Asks until the object is a hit, so that its commit is over.
async fn keep(server: &TestServer, name: &str) {
    let begun = Instant::now();
    loop {
        let answer = ask(server, name).await;
        if is_hit(&answer) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{name} is never kept: {:?}", answer.headers);
    }
}

/// A number from the metrics page.
async fn metric(server: &TestServer, name: &str) -> u64 {
    let page = get(server.admin(), "/metrics", &[]).await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

async fn is_full(server: &TestServer) -> bool {
    let page = get(server.admin(), "/api/v1/status", &[]).await.text();
    let status: serde_json::Value = serde_json::from_str(&page).expect("JSON");
    status["store"]["full"].as_bool().expect("a word on it")
}

/// Files of the store that are held open although they have no name any more: their space is not free.
fn deleted_but_open(store: &Path) -> Vec<String> {
    let descriptors = std::fs::read_dir("/proc/self/fd").expect("our descriptors");
    // A name that went says nothing where a file has two; a file without any is what takes space.
    let nameless = descriptors.flatten().filter(|entry| {
        std::fs::metadata(entry.path()).is_ok_and(|found| found.is_file() && found.nlink() == 0)
    });
    let targets = nameless.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    targets.filter(|target| target.starts_with(store)).map(|target| target.display().to_string()).collect()
}

/// Bytes that the objects take on the disk.
fn on_disk(store: &Path) -> u64 {
    let folders = std::fs::read_dir(store.join("objects")).expect("objects").flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).expect("a folder").flatten());
    files.map(|file| file.metadata().expect("a file").len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_recently_asked_goes_first_and_its_path_is_a_miss() {
    let origin = Origin::start().await;
    let server = start(&origin, "max_size = \"1 MB\"").await;
    let bodies = ["a", "b", "c", "d"].map(|name| publish(&origin, name, 300_000));
    for name in ["a", "b", "c"] {
        keep(&server, name).await;
    }
    assert!(is_hit(&ask(&server, "a").await));
    assert_eq!(metric(&server, "lumbung_evicted_bytes_total").await, 0);
    keep(&server, "d").await;

    assert_eq!(metric(&server, "lumbung_evicted_bytes_total").await, 300_000);
    assert_eq!(metric(&server, "lumbung_store_bytes").await, 900_000);
    assert_eq!(metric(&server, "lumbung_store_objects").await, 3);
    assert_eq!((on_disk(&server.store()), deleted_but_open(&server.store())), (900_000, Vec::new()));
    for name in ["a", "c", "d"] {
        assert!(is_hit(&ask(&server, name).await), "{name} was asked for and is gone");
    }
    let again = ask(&server, "b").await;
    assert_eq!(again.header("cache-status"), Some("lumbung; fwd=uri-miss; stored"));
    assert!(again.body == bodies[1], "b came back as something else");
    assert_eq!(origin.requests_to("/ubuntu/pool/b").len(), 2);
    assert_eq!(origin.requests().len(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_of_an_evicted_object_finishes_and_then_its_space_is_free() {
    const SIZE: usize = 32 * 1024 * 1024;
    let origin = Origin::start().await;
    let server = start(&origin, "max_size = \"40 MB\"").await;
    let body = publish(&origin, "large", SIZE);
    publish(&origin, "next", 20_000_000);
    keep(&server, "large").await;
    // More than the sockets between us take, so that the server is in the midst of reading.
    let mut reader = Connection::open(server.address()).await;
    reader.send(request(server.address(), "GET", "/ubuntu/pool/large", &[])).await;
    let head = reader.head().await.expect("an answer");
    assert!(is_hit(&head));
    let seen = reader.bytes(1000).await;
    assert!(seen == body[..1000]);

    server.clock().advance(MINUTE);
    keep(&server, "next").await;
    assert_eq!(metric(&server, "lumbung_evicted_bytes_total").await, SIZE as u64);
    assert_eq!(on_disk(&server.store()), 20_000_000);
    assert_eq!(deleted_but_open(&server.store()).len(), 1, "the reader's");

    let rest = reader.bytes(SIZE - 1000).await;
    assert!(rest == body[1000..], "the reader got something else");
    // An answer on the same connection comes after the one before is done with.
    reader.send(request(server.address(), "GET", "/", &[])).await;
    reader.head().await.expect("an answer");
    assert_eq!(deleted_but_open(&server.store()), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_larger_than_the_store_streams_without_being_stored() {
    let origin = Origin::start().await;
    let server = start(&origin, "max_size = \"1 MB\"").await;
    publish(&origin, "small", 500_000);
    keep(&server, "small").await;
    let body = publish(&origin, "large", 3_000_000);
    for _ in 0..2 {
        let answer = ask(&server, "large").await;
        assert!(answer.body == body);
        assert_eq!(answer.header("cache-status"), Some("lumbung; fwd=bypass; detail=no-room"));
    }
    // One that does not say how long it is shows only on the way that it does not fit.
    let silent = noise("silent", 5_000_000);
    origin.route("/ubuntu/pool/silent", Reply::ok(silent.clone()).chunked());
    let answer = ask(&server, "silent").await;
    assert!(answer.body == silent);
    let range = get(server.address(), "/ubuntu/pool/silent", &[("Range", "bytes=4000000-")]).await;
    assert!(range.is_complete() && range.body.ends_with(&silent[4_000_000..]));

    assert_eq!(metric(&server, "lumbung_store_objects").await, 1);
    assert_eq!(metric(&server, "lumbung_evicted_bytes_total").await, 0);
    assert!(is_hit(&ask(&server, "small").await), "nothing went for what cannot fit");
    assert_eq!(std::fs::read_dir(server.store().join("partial")).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_repositories_publish_is_kept_and_counted_once() {
    let origin = Origin::start().await;
    let server = start(&origin, "max_size = \"1 MB\"").await;
    let body = publish(&origin, "shared", 400_000);
    origin.route("/other/pool/elsewhere", Reply::ok(body.clone()));
    keep(&server, "shared").await;
    let other = || async { get(server.address(), "/other/pool/elsewhere", &[]).await };
    assert!(other().await.body == body);
    let begun = Instant::now();
    while !is_hit(&other().await) {
        assert!(begun.elapsed() < PATIENCE, "never kept for the other");
    }
    assert_eq!(metric(&server, "lumbung_store_objects").await, 1);
    assert_eq!(metric(&server, "lumbung_store_bytes").await, 400_000);
    assert_eq!(on_disk(&server.store()), 400_000);

    // When it goes, it goes for both.
    server.clock().advance(MINUTE);
    publish(&origin, "next", 900_000);
    keep(&server, "next").await;
    assert_eq!(metric(&server, "lumbung_evicted_bytes_total").await, 400_000);
    assert_eq!(deleted_but_open(&server.store()), Vec::<String>::new());
    server.clock().advance(MINUTE);
    for (path, origins) in
        [("/other/pool/elsewhere", "/other/pool/elsewhere"), ("/ubuntu/pool/shared", "/ubuntu/pool/shared")]
    {
        let answer = get(server.address(), path, &[]).await;
        assert!(answer.status == 200 && answer.body == body, "{path}");
        assert_eq!(origin.requests_to(origins).len(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_too_little_is_free_everything_streams_and_the_status_says_so() {
    let origin = Origin::start().await;
    let mut server = start(&origin, "max_size = \"1 GB\"").await;
    publish(&origin, "before", 10_000);
    keep(&server, "before").await;
    assert!(!is_full(&server).await);
    server
        .restart_with(&format!(
            "[store]\nmin_free = \"1000000 TB\"\n\
             [[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n",
            origin.url("/ubuntu")
        ))
        .await;
    for name in ["a", "b"] {
        let body = publish(&origin, name, 200_000);
        let answer = ask(&server, name).await;
        assert!(answer.body == body);
        assert_eq!(answer.header("cache-status"), Some("lumbung; fwd=bypass; detail=no-room"));
    }
    assert!(is_full(&server).await);
    assert_eq!(metric(&server, "lumbung_store_objects").await, 1, "what cannot help is kept");
    assert!(is_hit(&ask(&server, "before").await));

    server
        .restart_with(&format!(
            "[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n",
            origin.url("/ubuntu")
        ))
        .await;
    keep(&server, "a").await;
    assert!(!is_full(&server).await);
}
