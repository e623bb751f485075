//! Seeds that run: everything comes once, a bad file spoils nothing else, hours and orders are kept, and no
//! end of the program loses anything.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{Connection, ask, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::program::{beside, lumbung};
use crate::support::repository::{Compression, Key, Package, Publication, Repository, day};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, noise};

const BIG: &str = "/ubuntu/pool/main/b/big/big_1_amd64.deb";

/// An origin with a signed suite, and the configuration of a repository and a seed.
pub struct Publisher {
    pub origin: Origin,
    pub repository: Repository,
    pub publication: Publication,
    pub fragment: String,
    _folder: TempDir,
}

impl Publisher {
    pub async fn new(seed: &str) -> Self {
        let key = Key::generate("Ubuntu");
        let repository = Repository::new("noble")
            .compressions(&[Compression::Xz])
            .package(Package::new("desktop", "1").depends("editor, big, fonts"))
            .package(Package::new("editor", "2").payload(noise("editor", 50_000)))
            .package(Package::new("big", "1").payload(noise("big", 600_000)))
            .package(Package::new("fonts", "1").architecture("all"))
            .signed_by(&key);
        let (origin, publication) = (Origin::start().await, repository.publish());
        publication.to(&origin, "/ubuntu");
        let folder = TempDir::new().expect("a folder");
        let keyring = folder.path().join("archive.gpg");
        std::fs::write(&keyring, key.keyring()).expect("a keyring");
        let fragment = format!(
            "[upstream]\nretries = 0\n[wan]\ntimezone = \"UTC\"\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\n\
             upstreams = [\"{}\"]\nkeyring = \"{}\"\n[[seed]]\nname = \"s\"\nrepo = \"ubuntu\"\n\
             suites = [\"noble\"]\narchitectures = [\"amd64\"]\npackages = [\"desktop\"]\n{seed}\n",
            origin.url("/ubuntu"),
            keyring.display(),
        );
        Self { origin, repository, publication, fragment, _folder: folder }
    }

    /// Lets the origin stop in the middle of the big package.
    fn hold_big(&self, after: u64) -> Gate {
        let gate = Gate::new();
        let body = self.publication.deb("big_1_amd64.deb");
        let reply = Reply::ok(body).etag("\"big\"");
        self.origin.route_in_turn(BIG, [reply.clone().pause_after(after, &gate), reply]);
        gate
    }
}

pub async fn order(server: &TestServer, what: &str) -> Value {
    let authorization = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), "POST", &format!("/api/v1/seeds/s/{what}"), &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

pub async fn look(server: &TestServer) -> Value {
    let answer = get(server.admin(), "/api/v1/seeds/s", &[]).await;
    let state: Value = serde_json::from_str(&answer.text()).expect("JSON");
    state["run"].clone()
}

/// Waits until the seed stands so.
pub async fn until(server: &TestServer, states: &[&str]) -> Value {
    until_so(server, &format!("{states:?}"), |run| states.contains(&run["state"].as_str().expect("a word")))
        .await
}

pub async fn until_so(server: &TestServer, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let looking = async {
        loop {
            let run = look(server).await;
            if wanted(&run) {
                return run;
            }
            last = run;
            tokio::task::yield_now().await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looking).await;
    found.unwrap_or_else(|_| panic!("waited in vain for {what}: {last:#}"))
}

const ENDED: [&str; 4] = ["done", "incomplete", "failed", "stopped"];

/// Hours that begin so many from now and last for two.
fn hours_in(hours: i64) -> String {
    let hour = |hours: i64| {
        let at = Timestamp::now().as_second() + hours * 3600;
        let at = Timestamp::from_second(at).expect("a time");
        TimeZone::UTC.to_datetime(at).strftime("%H:%M").to_string()
    };
    format!("hours = \"{}-{}\"", hour(hours), hour(hours + 2))
}

#[tokio::test]
async fn everything_comes_once_and_a_desktop_needs_no_upstream_any_more() {
    let publisher = Publisher::new("").await;
    let server = TestServer::start(&publisher.fragment).await;
    assert_eq!(look(&server).await["state"], "idle");
    order(&server, "run").await;
    let run = until(&server, &ENDED).await;
    assert_eq!(
        (&run["state"], &run["bytes_missing"], &run["failed"]),
        (&json!("done"), &json!(0), &json!(0))
    );
    assert_eq!((&run["files"], &run["bytes"]), (&run["files_done"], &run["bytes_done"]));
    for request in publisher.origin.requests() {
        let same = publisher.origin.requests_to(&request.path);
        assert_eq!(same.len(), 1, "{} was asked for {} times", request.path, same.len());
    }
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    assert!(metrics.contains("lumbung_seed_bytes_missing{seed=\"s\"} 0"), "{metrics}");
    let events = get(server.admin(), "/api/v1/events", &[]).await.text();
    assert!(events.contains("seed-started") && events.contains("\"seeded\""), "{events}");

    // Once more: nothing is left to fetch, and nothing is fetched.
    let asked = publisher.origin.requests().len();
    order(&server, "run").await;
    until(&server, &ENDED).await;
    assert_eq!(publisher.origin.requests().len(), asked);
    publisher.origin.stop().await;
    for path in ["pool/main/b/big/big_1_amd64.deb", "dists/noble/main/i18n/Translation-en.xz"] {
        let answer = get(server.address(), &format!("/ubuntu/{path}"), &[]).await;
        assert!(answer.body == publisher.publication.bytes(path), "{path}: {}", answer.status);
        assert_eq!(answer.header("cache-status"), Some("lumbung; hit"), "{path}");
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_named_and_holds_up_nothing() {
    let publisher = Publisher::new("").await;
    let server = TestServer::start(&publisher.fragment).await;
    publisher.origin.remove("/ubuntu/pool/main/e/editor/editor_2_amd64.deb");
    publisher.origin.route("/ubuntu/pool/main/f/fonts/fonts_1_all.deb", Reply::status(503));
    order(&server, "run").await;
    let run = until(&server, &ENDED).await;
    assert_eq!((&run["state"], &run["failed"]), (&json!("incomplete"), &json!(2)));
    let failures = run["failures"].as_array().expect("a list");
    let reason = |name: &str| {
        let named = failures.iter().find(|one| one["path"].as_str().is_some_and(|path| path.contains(name)));
        named.and_then(|one| one["reason"].as_str()).unwrap_or_default().to_owned()
    };
    assert!(reason("editor").contains("no such file") || reason("editor").contains("404"), "{run:#}");
    assert!(reason("fonts").contains("503"), "{run:#}");
    let size = |name: &str| publisher.publication.deb(name).len() as u64;
    assert_eq!(run["bytes_missing"], size("editor_2_amd64.deb") + size("fonts_1_all.deb"));
    let status = get(server.admin(), "/", &[]).await.text();
    assert!(status.contains("2 files of the seed s could not be had"), "{status}");

    // They are back: the next run fetches them alone.
    publisher.publication.to(&publisher.origin, "/ubuntu");
    let asked = publisher.origin.requests().len();
    // What no upstream had is remembered for a while.
    server.clock().advance(Duration::from_mins(1));
    order(&server, "run").await;
    let run = until_so(&server, "a second end", |run| run["state"] == "done").await;
    assert_eq!(run["failures"], json!([]));
    let after: Vec<_> =
        publisher.origin.requests().split_off(asked).into_iter().map(|one| one.path).collect();
    assert!(after.iter().all(|path| path.contains("editor") || path.contains("fonts")), "{after:?}");
}

#[tokio::test]
async fn a_file_that_fails_is_tried_again_later() {
    let publisher = Publisher::new("").await;
    let server = TestServer::start(&publisher.fragment.replace("retries = 0", "retries = 1")).await;
    let fonts = "/ubuntu/pool/main/f/fonts/fonts_1_all.deb";
    publisher.origin.remove(fonts);
    order(&server, "run").await;
    until_so(&server, "all but one", |run| {
        run["files_done"]
            .as_u64()
            .zip(run["files"].as_u64())
            .is_some_and(|(done, all)| all > 0 && done + 1 == all)
    })
    .await;
    publisher.origin.wait_for(fonts, 1).await;
    publisher.origin.route(fonts, Reply::ok(publisher.publication.deb("fonts_1_all.deb")));
    assert_eq!(look(&server).await["state"], "running");
    server.clock().advance(Duration::from_mins(1));
    assert_eq!(until(&server, &ENDED).await["state"], "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_keeps_what_has_come_and_a_run_goes_on_from_there() {
    let publisher = Publisher::new("").await;
    let server = TestServer::start(&publisher.fragment).await;
    let gate = publisher.hold_big(300_000);
    order(&server, "run").await;
    gate.reached_by(1).await;
    until_so(&server, "what has come", |run| run["bytes_received"].as_u64() > Some(250_000)).await;
    let stopped = order(&server, "stop").await;
    assert_eq!(stopped["run"]["state"], "stopped");
    assert!(stopped["run"]["bytes_missing"].as_u64() > Some(0));
    gate.open();
    order(&server, "run").await;
    assert_eq!(until(&server, &["done", "incomplete", "failed"]).await["state"], "done");
    let requests = publisher.origin.requests_to(BIG);
    assert_eq!((requests.len(), requests[1].header("range")), (2, Some("bytes=300000-")));
    assert_eq!(order(&server, "stop").await["run"]["state"], "done", "nothing was left to stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_desktop_joins_and_a_stop_does_not_take_it_away() {
    let publisher = Publisher::new("").await;
    let server = TestServer::start(&publisher.fragment).await;
    let gate = publisher.hold_big(300_000);
    order(&server, "run").await;
    gate.reached_by(1).await;
    let mut desktop = Connection::open(server.address()).await;
    desktop.send(request(server.address(), "GET", BIG, &[])).await;
    let head = desktop.head().await.expect("an answer");
    assert_eq!(head.header("cache-status"), Some("lumbung; fwd=uri-miss; collapsed"));
    let stopping = order(&server, "stop");
    let opening = async {
        // The desktop reads what there is, and the rest once the origin goes on.
        let first = desktop.bytes(200_000).await;
        gate.open();
        let rest = desktop.bytes(publisher.publication.deb("big_1_amd64.deb").len() - 200_000).await;
        [first, rest].concat()
    };
    let (stopped, body) = tokio::join!(stopping, opening);
    assert!(body == publisher.publication.deb("big_1_amd64.deb"));
    assert_eq!(stopped["run"]["state"], "stopped");
    assert_eq!(publisher.origin.requests_to(BIG).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hours_are_waited_for_and_kept() {
    let publisher = Publisher::new(&hours_in(3)).await;
    let server = TestServer::start(&publisher.fragment).await;
    let gate = publisher.hold_big(300_000);
    order(&server, "run").await;
    let waiting = until(&server, &["waiting"]).await;
    assert!(waiting["opens_at"].as_i64() > Some(Timestamp::now().as_second()), "{waiting:#}");
    assert_eq!(publisher.origin.requests().len(), 0, "nothing is fetched before its time");
    server.clock().advance(Duration::from_hours(4));
    until_so(&server, "what has come", |run| run["bytes_received"].as_u64() > Some(250_000)).await;
    // The hours end in the middle of it.
    server.clock().advance(Duration::from_hours(2));
    until_so(&server, "a rest", |run| run["state"] == "paused" && run["bytes_received"] == 0).await;
    gate.open();
    assert_eq!(publisher.origin.requests_to(BIG).len(), 1);
    server.clock().advance(Duration::from_hours(22));
    assert_eq!(until(&server, &ENDED).await["state"], "done");
    let requests = publisher.origin.requests_to(BIG);
    assert_eq!((requests.len(), requests[1].header("range")), (2, Some("bytes=300000-")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_by_hand_need_not_wait_for_hours() {
    let publisher = Publisher::new(&hours_in(3)).await;
    let server = TestServer::start(&publisher.fragment).await;
    order(&server, "run").await;
    until(&server, &["waiting"]).await;
    order(&server, "run?now=true").await;
    assert_eq!(until(&server, &ENDED).await["state"], "done");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_seed_with_hours_runs_each_day_and_after_each_new_generation() {
    let publisher = Publisher::new(&hours_in(3)).await;
    let server = TestServer::start(&publisher.fragment).await;
    server.clock().advance(Duration::from_hours(4));
    let first = until(&server, &["done"]).await;
    // A new generation, within the same hours.
    let next = publisher
        .repository
        .clone()
        .date(day(1))
        .package(Package::new("big", "2").payload(noise("newer", 200_000)))
        .publish();
    next.to(&publisher.origin, "/ubuntu");
    server.clock().advance(Duration::from_mins(30));
    let second =
        until_so(&server, "the new one", |run| run["state"] == "done" && run["suites"] != first["suites"])
            .await;
    assert_eq!(publisher.origin.requests_to("/ubuntu/pool/main/b/big/big_2_amd64.deb").len(), 1);
    assert_eq!(second["ready"].as_array().map(Vec::len), Some(2));
    // The next day it runs although nothing has changed.
    server.clock().advance(Duration::from_hours(24));
    until_so(&server, "the next day", |run| {
        run["state"] == "done"
            && run["started_at"].as_i64() > second["started_at"].as_i64().map(|at| at + 80_000)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_goes_on_by_itself_and_fetches_nothing_twice() {
    let publisher = Publisher::new("").await;
    let mut server = TestServer::start(&publisher.fragment).await;
    let gate = publisher.hold_big(300_000);
    order(&server, "run").await;
    gate.reached_by(1).await;
    until_so(&server, "all the others", |run| {
        run["bytes_received"].as_u64() > Some(250_000)
            && run["files_done"]
                .as_u64()
                .zip(run["files"].as_u64())
                .is_some_and(|(done, all)| done + 1 == all)
    })
    .await;
    server.restart().await;
    gate.open();
    assert_eq!(until(&server, &ENDED).await["state"], "done");
    for request in publisher.origin.requests() {
        let same = publisher.origin.requests_to(&request.path);
        let most = if request.path == BIG { 2 } else { 1 };
        assert!(same.len() <= most, "{} was asked for {} times", request.path, same.len());
    }
    assert_eq!(publisher.origin.requests_to(BIG)[1].header("range"), Some("bytes=300000-"));
}

#[tokio::test]
async fn what_does_not_fit_is_not_begun() {
    let publisher = Publisher::new("").await;
    let server =
        TestServer::start(&format!("{}\n[store]\nmax_size = \"500 kB\"\n", publisher.fragment)).await;
    order(&server, "run").await;
    let run = until(&server, &ENDED).await;
    assert_eq!(run["state"], "failed");
    let problem = run["problem"].as_str().expect("words");
    assert!(problem.contains("does not fit") && problem.contains("store.max_size is 500 kB"), "{problem}");
    assert_eq!(publisher.origin.requests_to(BIG).len(), 0);
}

#[tokio::test]
async fn what_a_seed_holds_is_not_evicted_for_anything() {
    let publisher = Publisher::new("").await;
    let server = TestServer::start(&format!("{}\n[store]\nmax_size = \"2 MB\"\n", publisher.fragment)).await;
    order(&server, "run").await;
    assert_eq!(until(&server, &ENDED).await["state"], "done");
    server.clock().advance(Duration::from_hours(1));
    for number in 0..8 {
        // By hash, so that it is kept although no index lists it.
        let body = noise(&number.to_string(), 400_000);
        let path = format!("/ubuntu/dists/noble/main/by-hash/SHA256/{}", crate::support::sha256(&body));
        publisher.origin.route(&path, Reply::ok(body));
        let answer = get(server.address(), &path, &[]).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
        server.clock().advance(Duration::from_mins(1));
    }
    let status = get(server.admin(), "/api/v1/status", &[]).await.text();
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert!(status["store"]["evicted_bytes"].as_u64() > Some(0), "{status:#}");
    publisher.origin.stop().await;
    let answer = get(server.address(), BIG, &[]).await;
    assert!(answer.body == publisher.publication.deb("big_1_amd64.deb"), "{} {status:#}", answer.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_runs_with_the_server_and_without() {
    let publisher = Publisher::new("").await;
    let mut server = TestServer::start(&publisher.fragment).await;
    let (_folder, file) = beside(&server, &publisher.fragment);
    let run = async |arguments: &[&str]| lumbung(&[arguments, &["--config", &file]].concat()).await.parts();
    let fonts = "/ubuntu/pool/main/f/fonts/fonts_1_all.deb";
    publisher.origin.remove(fonts);
    let (code, told, said) = run(&["seed", "run", "s", "--wait"]).await;
    assert_eq!(code, Some(1), "{told}{said}");
    assert!(told.contains("INCOMPLETE") && told.contains("fonts_1_all.deb: "), "{told}");
    let (code, table, _) = run(&["seed", "status"]).await;
    assert!(code == Some(0) && table.contains("incomplete"), "{table}");
    let (code, _, problem) = run(&["seed", "run", "x"]).await;
    assert!(code == Some(1) && problem.contains("There is no seed"), "{problem}");
    server.stop().await;
    publisher.origin.route(fonts, Reply::ok(publisher.publication.deb("fonts_1_all.deb")));
    let (code, told, said) = run(&["seed", "run", "s"]).await;
    assert_eq!(code, Some(0), "{told}{said}");
    assert!(told.contains("everything is here"), "{told}");
    let (code, state, _) = run(&["seed", "status", "s", "--json"]).await;
    let state: Value = serde_json::from_str(&state).expect("JSON");
    assert_eq!((code, &state["run"]["state"]), (Some(0), &json!("done")));
}
