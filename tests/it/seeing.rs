//! What the server lets administrators see: numbers, status, health, and a line for each request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::client::{Connection, Response, ask, get};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::{Process, TestServer};
use crate::support::{PATIENCE, noise, sha256};

const A: &str = "/ubuntu/pool/a.deb";
const B: &str = "/ubuntu/pool/b.deb";
const RELEASE: &str = "/ubuntu/dists/noble/InRelease";

/// An upstream with two packages of 5,000 and 400,000 bytes, and a release file of 300.
async fn upstream() -> Origin {
    let origin = Origin::start().await;
    origin.route(A, Reply::ok(noise("a", 5000)));
    origin.route(B, Reply::ok(noise("b", 400_000)));
    origin.route(RELEASE, Reply::ok(noise("release", 300)));
    origin
}

fn configuration(origin: &Origin) -> String {
    format!(
        "[upstream]\nretries = 0\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n\
         trust = \"none\"\ncheck_every = \"10 min\"\n",
        origin.url("/ubuntu")
    )
}

/// The rows of `/metrics`, by name and labels as they are written.
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    async fn of(admin: SocketAddr) -> Self {
        let page = get(admin, "/metrics", &[]).await;
        assert_eq!(page.status, 200);
        let text = page.text();
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        Self(
            rows.map(|row| {
                let (name, value) = row.rsplit_once(' ').expect("a name and a value");
                (name.to_owned(), value.parse().expect("a number"))
            })
            .collect(),
        )
    }

    /// The metrics once `count` requests have ended and no transfer runs: a client has its last byte before
    /// its request is counted and the file is stored.
    async fn after(admin: SocketAddr, count: u32) -> Self {
        let settled = async {
            loop {
                let metrics = Self::of(admin).await;
                let requests = metrics.sum("lumbung_requests_total");
                if requests >= f64::from(count) && metrics.sum("lumbung_flights") < 1.0 {
                    return metrics;
                }
            }
        };
        tokio::time::timeout(PATIENCE, settled).await.expect("every request is counted, every transfer ends")
    }

    #[track_caller]
    fn assert(&self, expected: &[(&str, f64)]) {
        let found: Vec<_> = expected.iter().map(|(name, _)| (*name, self.0.get(*name).copied())).collect();
        let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, Some(*value))).collect();
        assert_eq!(found, expected);
    }

    fn sum(&self, family: &str) -> f64 {
        self.0.iter().filter(|(name, _)| name.split('{').next() == Some(family)).map(|(_, value)| value).sum()
    }
}

async fn status(admin: SocketAddr) -> Value {
    let answer = get(admin, "/api/v1/status", &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// Every outcome once or more, in a known order: 10 requests of the repository, 2 of none. Each transfer
/// ends before the next request, which would join it else.
async fn series(server: &TestServer, origin: &Origin) -> Metrics {
    let hour = Duration::from_hours(1);
    let (address, admin) = (server.address(), server.admin());
    get(address, A, &[]).await;
    Metrics::after(admin, 1).await;
    get(address, A, &[]).await;
    get(address, A, &[("Range", "bytes=0-9")]).await;
    ask(address, "HEAD", A, &[]).await;
    let gate = Gate::new();
    origin.route(B, Reply::ok(noise("b", 400_000)).pause_after(1000, &gate));
    let first = tokio::spawn(async move { get(address, B, &[]).await });
    gate.reached_by(1).await;
    // Its head is the sign that the second has joined.
    let mut second = Connection::open(address).await;
    second.send(format!("GET {B} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let head = second.head().await.expect("a head");
    gate.open();
    assert!(second.body(head).await.is_complete() && first.await.expect("no panic").is_complete());
    get(address, RELEASE, &[]).await;
    Metrics::after(admin, 7).await;
    server.clock().advance(hour);
    get(address, RELEASE, &[]).await;
    get(address, "/ubuntu/pool/missing.deb", &[]).await;
    get(address, "/nowhere/a.deb", &[]).await;
    get(address, "http://elsewhere.example/a.deb", &[]).await;
    Metrics::after(admin, 11).await;
    origin.stop().await;
    server.clock().advance(hour);
    get(address, RELEASE, &[]).await;
    Metrics::after(admin, 12).await
}

#[tokio::test]
async fn metrics_count_requests_and_bytes_by_what_became_of_them() {
    let origin = upstream().await;
    let server = TestServer::start(&configuration(&origin)).await;
    let metrics = series(&server, &origin).await;
    metrics.assert(&[
        (r#"lumbung_requests_total{repo="ubuntu",outcome="hit"}"#, 3.0),
        (r#"lumbung_requests_total{repo="ubuntu",outcome="miss"}"#, 3.0),
        (r#"lumbung_requests_total{repo="ubuntu",outcome="joined"}"#, 1.0),
        (r#"lumbung_requests_total{repo="ubuntu",outcome="revalidated"}"#, 1.0),
        (r#"lumbung_requests_total{repo="ubuntu",outcome="stale"}"#, 1.0),
        (r#"lumbung_requests_total{repo="ubuntu",outcome="error"}"#, 1.0),
        (r#"lumbung_requests_total{repo="-",outcome="error"}"#, 2.0),
        // A hit, a part of 10 bytes, the release file twice.
        (r#"lumbung_served_bytes_total{repo="ubuntu",source="store"}"#, 5610.0),
        // A, B twice, the release file.
        (r#"lumbung_served_bytes_total{repo="ubuntu",source="upstream"}"#, 805_300.0),
        (r#"lumbung_upstream_bytes_total{repo="ubuntu",class="client"}"#, 405_300.0),
        (r#"lumbung_refused_total{reason="not-configured"}"#, 2.0),
        (r#"lumbung_request_seconds_count{outcome="hit"}"#, 3.0),
        (r#"lumbung_request_seconds_count{outcome="error"}"#, 3.0),
        ("lumbung_flights", 0.0),
        ("lumbung_store_objects", 3.0),
        ("lumbung_store_bytes", 405_300.0),
    ]);
    assert!(metrics.sum("lumbung_upstream_errors_total") >= 1.0);
}

#[tokio::test]
async fn the_status_tells_the_same_numbers() {
    let origin = upstream().await;
    let server = TestServer::start(&configuration(&origin)).await;
    series(&server, &origin).await;
    let status = status(server.admin()).await;
    let requests = serde_json::json!({
        "hit": 3, "miss": 3, "joined": 1, "revalidated": 1, "stale": 1, "passed": 0, "error": 1,
    });
    let repo = &status["repos"][0];
    assert_eq!(
        (&repo["name"], &repo["kind"], &repo["trust"]),
        (&"ubuntu".into(), &"apt".into(), &"none".into())
    );
    assert_eq!(repo["traffic"]["requests"], requests);
    assert_eq!(repo["traffic"]["served_from_store"], 5610);
    assert_eq!(repo["traffic"]["served_from_upstream"], 805_300);
    assert_eq!(repo["traffic"]["fetched"], 405_300);
    assert_eq!(status["totals"]["requests"]["error"], 3);
    assert_eq!(status["totals"]["wan_saved"], 5610 + 805_300 - 405_300);
    assert_eq!((&status["store"]["objects"], &status["store"]["bytes"]), (&3.into(), &405_300.into()));
    assert_eq!(status["store"]["path"], server.store().display().to_string());
    assert_eq!(status["listen"][0], server.address().to_string());
    let upstream = &repo["upstreams"][0];
    assert!(upstream["failures"].as_u64() >= Some(1) && upstream["last_error"].is_string(), "{upstream:#}");
}

#[tokio::test]
async fn what_is_not_what_its_hash_says_is_counted() {
    let origin = upstream().await;
    let path = format!("/ubuntu/dists/noble/main/binary-amd64/by-hash/SHA256/{}", sha256(b"the true one"));
    origin.route(&path, Reply::ok("a false one"));
    let server = TestServer::start(&configuration(&origin)).await;
    get(server.address(), &path, &[]).await;
    let metrics = Metrics::after(server.admin(), 1).await;
    assert!(metrics.sum("lumbung_verify_failures_total") >= 1.0);
    metrics.assert(&[("lumbung_store_objects", 0.0)]);
    let row = r#"lumbung_verify_failures_total{repo="ubuntu",what="object"}"#;
    assert!(metrics.0.contains_key(row));
}

/// The names that dashboards are written against, of what needs no failure to be there.
#[tokio::test]
async fn promised_families_are_there_before_the_first_request() {
    let origin = upstream().await;
    let limit = "[store]\nmax_size = \"1 GB\"\n";
    let server = TestServer::start(&format!("{limit}{}", configuration(&origin))).await;
    let page = get(server.admin(), "/metrics", &[]).await;
    let kind = page.header("content-type").unwrap_or_default();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let text = page.text();
    for (family, kind) in [
        ("lumbung_requests", "counter"),
        ("lumbung_served_bytes", "counter"),
        ("lumbung_upstream_bytes", "counter"),
        ("lumbung_evicted_bytes", "counter"),
        ("lumbung_flights", "gauge"),
        ("lumbung_store_bytes", "gauge"),
        ("lumbung_store_objects", "gauge"),
        ("lumbung_store_limit_bytes", "gauge"),
        ("lumbung_client_connections", "gauge"),
        ("lumbung_request_seconds", "histogram"),
    ] {
        assert!(text.contains(&format!("# TYPE {family} {kind}\n")), "{family} {kind} in\n{text}");
    }
    assert!(text.contains("\nlumbung_store_limit_bytes 1000000000\n"), "{text}");
    assert!(text.contains("le=\"+Inf\""), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[tokio::test]
async fn a_running_transfer_is_seen_with_its_readers_and_bytes() {
    let (origin, gate) = (upstream().await, Gate::new());
    origin.route(B, Reply::ok(noise("b", 400_000)).pause_after(100_000, &gate));
    let server = TestServer::start(&configuration(&origin)).await;
    let mut desktop = Connection::open(server.address()).await;
    desktop.send(format!("GET {B} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
    let head = desktop.head().await.expect("a head");
    // What the desktop has had, the server has had.
    desktop.bytes(90_000).await;
    let told = status(server.admin()).await;
    let flight = &told["flights"][0];
    assert_eq!((&flight["repo"], &flight["path"]), (&"ubuntu".into(), &"pool/b.deb".into()), "{told:#}");
    assert_eq!((&flight["total"], &flight["readers"]), (&400_000.into(), &1.into()), "{told:#}");
    let received = flight["received"].as_u64().expect("a number");
    assert!((90_000..=100_000).contains(&received), "{received}");
    let metrics = Metrics::of(server.admin()).await;
    metrics.assert(&[("lumbung_flights", 1.0), ("lumbung_client_connections", 1.0)]);
    gate.open();
    assert_eq!(head.header("content-length"), Some("400000"));
    desktop.bytes(310_000).await;
    let metrics = Metrics::after(server.admin(), 1).await;
    metrics.assert(&[("lumbung_flights", 0.0)]);
    assert_eq!(status(server.admin()).await["flights"], serde_json::json!([]));
}

#[tokio::test]
async fn each_request_leaves_a_line_with_its_facts() {
    let origin = upstream().await;
    let server = Process::start(&configuration(&origin)).await;
    let line = async |method: &str, target: &str, headers: &[(&str, &str)]| {
        ask(server.address(), method, target, headers).await;
        let path = target.split('?').next().unwrap_or_default();
        let seen = |event: &Value| {
            event["message"] == "request" && event["method"] == method && event["target"] == path
        };
        server.event(&format!("{method} {path}"), seen).await
    };
    let facts = |event: &Value| {
        let fields = ["client", "repo", "status", "outcome", "bytes"];
        Value::from_iter(fields.map(|field| event[field].clone()))
    };
    let miss = line("GET", A, &[]).await;
    assert_eq!(facts(&miss), serde_json::json!(["127.0.0.1", "ubuntu", 200, "miss", 5000]));
    for field in ["head_ms", "ms"] {
        assert!(miss[field].is_u64(), "{field} of {miss}");
    }
    assert!(miss["timestamp"].is_string() && miss["target"] == A, "{miss}");
    Metrics::after(server.admin(), 1).await;
    let head = line("HEAD", A, &[]).await;
    assert_eq!(facts(&head), serde_json::json!(["127.0.0.1", "ubuntu", 200, "hit", 0]));
    let missing = line("GET", "/ubuntu/pool/missing.deb", &[]).await;
    assert_eq!((&missing["status"], &missing["outcome"]), (&404.into(), &"error".into()));
    let refused = line("GET", "/nowhere/a.deb", &[]).await;
    assert_eq!((&refused["repo"], &refused["status"]), (&"-".into(), &404.into()));
    let page = line("GET", "/", &[]).await;
    assert_eq!(facts(&page), serde_json::json!(["127.0.0.1", "-", 406, "passed", page["bytes"]]));
}

#[tokio::test]
async fn a_cut_answer_is_seen_with_what_was_sent_and_why() {
    let origin = upstream().await;
    origin.route(B, Reply::ok(noise("b", 400_000)).truncate_after(100_000));
    let server = Process::start(&configuration(&origin)).await;
    let answer = get(server.address(), B, &[]).await;
    assert!(!answer.is_complete());
    let line = server.event("the cut", |event| event["message"] == "request" && event["target"] == B).await;
    assert_eq!(line["bytes"], 100_000, "{line}");
    assert!(line["cut"].as_str().is_some_and(|why| why.contains("127.0.0.1")), "{line}");
}

/// A desktop that looks for a proxy asks for the page at every run of apt: that is no success of the store.
#[tokio::test]
async fn pages_count_neither_as_hits_nor_as_saved() {
    let origin = upstream().await;
    let server = TestServer::start(&configuration(&origin)).await;
    for path in ["/", "/client.sh", "/mirrors.txt"] {
        assert!(!get(server.address(), path, &[]).await.body.is_empty(), "{path}");
    }
    let metrics = Metrics::after(server.admin(), 3).await;
    metrics.assert(&[
        (r#"lumbung_requests_total{repo="-",outcome="passed"}"#, 3.0),
        (r#"lumbung_served_bytes_total{repo="-",source="store"}"#, 0.0),
    ]);
    let totals = &status(server.admin()).await["totals"];
    assert_eq!(
        (&totals["wan_saved"], &totals["hit_ratio_requests"]),
        (&0.into(), &Value::Null),
        "{totals:#}"
    );
}

/// What may be a secret is in no line of the log at its most talkative.
#[tokio::test]
async fn queries_and_credentials_are_never_logged() {
    let origin = upstream().await;
    let log = "[log]\nlevel = \"trace\"\n";
    let server = Process::start(&format!("{log}{}", configuration(&origin))).await;
    let address = server.address();
    let secret = ("Authorization", "Basic hush-header");
    get(address, &format!("{A}?token=hush-query"), &[secret, ("Cookie", "id=hush-cookie")]).await;
    get(address, "http://user:hush-user@archive.example/a.deb", &[("Proxy-Authorization", "hush-proxy")])
        .await;
    get(address, "/nowhere/a.deb?token=hush-refused", &[]).await;
    ask(address, "CONNECT", "user:hush-tunnel@elsewhere.example:443", &[]).await;
    get(address, "/", &[]).await;
    server.event("the last line", |event| event["message"] == "request" && event["target"] == "/").await;
    let log = server.log();
    let lines = log.iter().filter(|line| line.contains("\"message\":\"request\"")).count();
    assert!(lines >= 4, "{lines} lines");
    let told: Vec<_> = log.iter().filter(|line| line.contains("hush")).collect();
    assert!(told.is_empty(), "{told:#?}");
}

#[tokio::test]
async fn the_access_log_can_be_switched_off() {
    let origin = upstream().await;
    let off = "[server]\naccess_log = false\n";
    let mut server = Process::start(&format!("{off}{}", configuration(&origin))).await;
    assert_eq!(get(server.address(), A, &[]).await.status, 200);
    server.signal(Signal::TERM);
    assert!(server.ended().await.success());
    server.event("the last line", |event| event["message"] == "ended").await;
    assert!(server.log().iter().all(|line| !line.contains("\"message\":\"request\"")), "{:#?}", server.log());
}

fn assert_problem(answer: &Response, status: u16) {
    assert_eq!((answer.status, answer.header("content-type")), (status, Some("application/problem+json")));
    let problem: Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!(problem["status"], status, "{problem}");
    for field in ["type", "title", "detail"] {
        assert!(problem[field].as_str().is_some_and(|words| !words.is_empty()), "{field} of {problem}");
    }
}

#[tokio::test]
async fn what_administrators_cannot_ask_is_a_problem_in_json() {
    let origin = upstream().await;
    let server = TestServer::start(&configuration(&origin)).await;
    for path in ["/nothing", "/api/v1/nothing", "/metrics/", "/../etc/passwd"] {
        assert_problem(&get(server.admin(), path, &[]).await, 404);
    }
    for path in ["/api/v1/status", "/metrics", "/readyz"] {
        assert_problem(&ask(server.admin(), "DELETE", path, &[]).await, 405);
    }
}

/// Whoever balances load stops sending desktops here while those that are here are still served.
#[tokio::test]
async fn a_stopping_server_is_healthy_and_not_ready() {
    let (origin, gate) = (upstream().await, Gate::new());
    origin.route(B, Reply::ok(noise("b", 400_000)).pause_after(100_000, &gate));
    let mut server = Process::start(&configuration(&origin)).await;
    let (address, admin) = (server.address(), server.admin());
    for (path, words) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = get(admin, path, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, words));
    }
    let desktop = tokio::spawn(async move { get(address, B, &[]).await });
    gate.reached_by(1).await;
    server.signal(Signal::TERM);
    let unready = async {
        loop {
            let answer = get(admin, "/readyz", &[]).await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    assert_problem(&tokio::time::timeout(PATIENCE, unready).await.expect("another answer"), 503);
    assert_eq!(get(admin, "/healthz", &[]).await.status, 200);
    gate.open();
    assert!(desktop.await.expect("no panic").is_complete());
    assert!(server.ended().await.success());
}
