//! Channels: what each shows, how they move, and that what they show can be had.

mod absent;
mod keeping;

use std::time::Duration;

use rstest::rstest;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::client::{Response, ask, get};
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Key, Package, Publication, Repository, day};
use crate::support::server::TestServer;

const SUITE: &str = "dists/noble/InRelease";
const INDEX: &str = "dists/noble/main/binary-amd64/Packages.xz";
const NANO: &str = "pool/main/n/nano/nano_7.2-1_amd64.deb";

/// An archive with two generations. The vendor has replaced `nano` under its name, and put `vim` in the
/// place of `ed`.
struct Archive {
    key: Key,
    origin: Origin,
    first: Publication,
    second: Publication,
    folder: TempDir,
}

impl Archive {
    /// The first generation is published.
    async fn start() -> Self {
        let key = Key::generate("Ubuntu");
        let noble = Repository::new("noble").signed_by(&key);
        let first = noble
            .clone()
            .package(Package::new("nano", "7.2-1").payload_size(50_000))
            .package(Package::new("ed", "1.20-1").payload_size(40_000))
            .publish();
        let second = noble
            .date(day(1))
            .package(Package::new("nano", "7.2-1").payload_size(60_000))
            .package(Package::new("vim", "9.1-1").payload_size(40_000))
            .publish();
        let origin = Origin::start().await;
        first.to(&origin, "/ubuntu");
        let folder = TempDir::new().expect("a folder");
        std::fs::write(folder.path().join("archive.gpg"), key.keyring()).expect("a keyring");
        Self { key, origin, first, second, folder }
    }

    /// Publishes the second generation, and deletes what only the first had.
    fn go_on(&self) {
        self.second.to(&self.origin, "/ubuntu");
        for file in
            self.first.files().iter().filter(|file| !self.second.files().iter().any(|f| f.path == file.path))
        {
            self.origin.remove(&format!("/ubuntu/{}", file.path));
        }
    }

    fn configuration(&self, further: &str, sections: &str) -> String {
        format!(
            "[upstream]\nretries = 0\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n\
             keyring = \"{}\"\ncheck_every = \"0 s\"\n{further}\n[[channel]]\nname = \"pilot\"\n{sections}",
            self.origin.url("/ubuntu"),
            self.folder.path().join("archive.gpg").display()
        )
    }

    async fn serve(&self, further: &str, sections: &str) -> TestServer {
        TestServer::start(&self.configuration(further, sections)).await
    }
}

/// Has the administrator's API change something.
async fn change(server: &TestServer, path: &str) -> (u16, Value) {
    let token = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", token.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), "POST", path, &headers).await;
    let json = serde_json::from_str(&answer.text()).unwrap_or_else(|_| panic!("JSON: {}", answer.text()));
    (answer.status, json)
}

/// Asks again until it is so.
async fn eventually(what: &str, so: impl AsyncFn() -> bool) {
    let asking = async { while !so().await {} };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn ok(server: &TestServer, target: &str) -> Response {
    let answer = get(server.address(), target, &[]).await;
    assert!(answer.status == 200 && answer.is_complete(), "{target}: {} {}", answer.status, answer.text());
    answer
}

/// Reads the suite and its index, as a client that updates does.
async fn update(server: &TestServer, base: &str) {
    ok(server, &format!("{base}/{SUITE}")).await;
    ok(server, &format!("{base}/{INDEX}")).await;
}

#[track_caller]
fn assert_bytes(answer: &Response, publication: &Publication, path: &str) {
    assert!(answer.body == publication.bytes(path), "{path} is of another generation");
}

#[tokio::test]
async fn a_channel_shows_what_it_was_promoted_to() {
    let archive = Archive::start().await;
    let server = archive.serve("", "").await;
    update(&server, "/ubuntu").await;
    assert_eq!(change(&server, "/api/v1/channels/pilot/promote").await.0, 200);
    archive.go_on();
    for path in [SUITE, INDEX] {
        let live = ok(&server, &format!("/ubuntu/{path}")).await;
        assert_bytes(&live, &archive.second, path);
        for base in ["/ubuntu@pilot", "/snapshot/pilot/ubuntu"] {
            assert_bytes(&ok(&server, &format!("{base}/{path}")).await, &archive.first, path);
        }
        for base in ["/ubuntu@live", "/snapshot/live/ubuntu"] {
            assert_bytes(&ok(&server, &format!("{base}/{path}")).await, &archive.second, path);
        }
    }
    let (status, moved) = change(&server, "/api/v1/channels/pilot/promote").await;
    assert_eq!((status, moved["suites"][0]["from"].clone()), (200, Value::from(1)), "{moved}");
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.second, SUITE);
}

#[tokio::test]
async fn a_channel_that_was_never_promoted_follows_live() {
    let archive = Archive::start().await;
    let server = archive.serve("", "").await;
    update(&server, "/ubuntu@pilot").await;
    archive.go_on();
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.second, SUITE);
}

#[tokio::test]
async fn a_rollback_shows_what_was_there_before_and_outlives_a_restart() {
    let archive = Archive::start().await;
    let mut server = archive.serve("", "").await;
    update(&server, "/ubuntu").await;
    assert_eq!(change(&server, "/api/v1/channels/pilot/rollback").await.0, 409);
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    let (status, moved) = change(&server, "/api/v1/channels/pilot/rollback").await;
    assert_eq!((status, &moved["suites"][0]["to"]), (200, &Value::from(1)), "{moved}");
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.first, SUITE);
    server.restart().await;
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.first, SUITE);
    change(&server, "/api/v1/channels/pilot/rollback").await;
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.second, SUITE);
}

#[tokio::test]
async fn one_generation_can_be_chosen() {
    let archive = Archive::start().await;
    let server = archive.serve("", "").await;
    update(&server, "/ubuntu").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    assert_eq!(change(&server, "/api/v1/channels/pilot/promote?to=99").await.0, 404);
    assert_eq!(change(&server, "/api/v1/channels/pilot/promote?to=1").await.0, 200);
    assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await, &archive.first, SUITE);
}

#[tokio::test]
async fn moving_a_channel_takes_less_than_a_second() {
    let archive = Archive::start().await;
    let server = archive.serve("", "").await;
    update(&server, "/ubuntu").await;
    for path in ["/api/v1/channels/pilot/promote", "/api/v1/channels/pilot/promote?to=1"] {
        let began = std::time::Instant::now();
        assert_eq!(change(&server, path).await.0, 200);
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
}

/// A vendor replaced a package under its name: each channel's clients get what their own index lists, in
/// whatever order they come.
#[tokio::test]
async fn a_replaced_package_is_the_one_that_the_channel_lists() {
    let archive = Archive::start().await;
    let mut server = archive.serve("", "").await;
    update(&server, "/ubuntu").await;
    ok(&server, &format!("/ubuntu/{NANO}")).await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    for _ in 0..2 {
        for _ in 0..2 {
            assert_bytes(&ok(&server, &format!("/ubuntu/{NANO}")).await, &archive.second, NANO);
            assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{NANO}")).await, &archive.first, NANO);
            // A client of the channel reads its old index once more.
            update(&server, "/ubuntu@pilot").await;
        }
        server.restart().await;
    }
    assert_eq!(archive.origin.log().count(&format!("/ubuntu/{NANO}")), 2);
}

#[rstest]
#[case::at_a_rescue_url("rescue")]
#[case::at_an_alias("aliases")]
#[tokio::test]
async fn a_package_that_upstream_deleted_is_sought_elsewhere(#[case] key: &str) {
    const ED: &str = "pool/main/e/ed/ed_1.20-1_amd64.deb";
    let archive = Archive::start().await;
    let elsewhere = Origin::start().await;
    let time = if key == "rescue" { "/20240601T000000Z" } else { "" };
    let replaced = |path: &str| path.contains("/nano_") || path.contains("/ed_");
    archive.first.only(replaced).to(&elsewhere, &format!("/old{time}"));
    let url = elsewhere.url(if key == "rescue" { "/old/{time}" } else { "/old" });
    let server = archive.serve(&format!("{key} = \"{url}\""), "").await;
    update(&server, "/ubuntu").await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    // Deleted, and replaced.
    for path in [ED, NANO] {
        assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{path}")).await, &archive.first, path);
        assert_eq!(elsewhere.log().count(&format!("/old{time}/{path}")), 1, "{path}");
    }
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    let fetched = archive.first.bytes(ED).len() + archive.first.bytes(NANO).len();
    let line = r#"lumbung_upstream_bytes_total{repo="ubuntu",class="client"} "#;
    let counted = metrics.lines().find_map(|row| row.strip_prefix(line)?.parse::<usize>().ok());
    assert!(counted.is_some_and(|counted| counted >= fetched), "{metrics}");
    // The client has the last byte before the transfer is entered in the books.
    eventually("two events", async || {
        let events = get(server.admin(), "/api/v1/events", &[]).await.text();
        events.matches("\"rescued\"").count() == 2
    })
    .await;
}

#[tokio::test]
async fn what_a_rescue_has_under_the_name_must_be_the_same_file() {
    const ED: &str = "/ubuntu@pilot/pool/main/e/ed/ed_1.20-1_amd64.deb";
    let archive = Archive::start().await;
    let elsewhere = Origin::start().await;
    elsewhere.answer_everything(Some(Reply::ok(vec![7; archive.first.deb("ed_1.20-1_amd64.deb").len()])));
    let server = archive.serve(&format!("rescue = \"{}\"", elsewhere.url("/old")), "").await;
    update(&server, "/ubuntu").await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    let answer = get(server.address(), ED, &[]).await;
    assert!(!(answer.status == 200 && answer.is_complete()), "{}", answer.status);
}

#[tokio::test]
async fn an_unknown_channel_is_not_found_in_words() {
    let archive = Archive::start().await;
    let server = archive.serve("", "").await;
    for target in ["/ubuntu@stable/dists/noble/InRelease", "/snapshot/stable/ubuntu/dists/noble/InRelease"] {
        let answer = get(server.address(), target, &[]).await;
        assert_eq!(answer.status, 404);
        assert!(answer.text().contains("no channel \"stable\""), "{}", answer.text());
    }
    assert_eq!(get(server.address(), "/debian@pilot/x", &[]).await.status, 404);
    assert_eq!(change(&server, "/api/v1/channels/stable/promote").await.0, 404);
    assert!(archive.origin.requests().is_empty());
}

#[tokio::test]
async fn an_office_sees_its_channel_in_every_form_that_names_none() {
    let archive = Archive::start().await;
    let office = "[[office]]\nname = \"all\"\nnetworks = [\"127.0.0.0/8\"]\n\
        [[office]]\nname = \"Bappeda\"\nnetworks = [\"127.0.0.1\"]\nchannel = \"pilot\"\n";
    let server = archive.serve("aliases = \"http://archive.example/ubuntu\"", office).await;
    update(&server, "/ubuntu").await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu@live").await;
    for base in ["/ubuntu", "http://archive.example/ubuntu", "/archive.example/ubuntu"] {
        assert_bytes(&ok(&server, &format!("{base}/{SUITE}")).await, &archive.first, SUITE);
        assert_bytes(&ok(&server, &format!("{base}/{INDEX}")).await, &archive.first, INDEX);
    }
    assert_bytes(&ok(&server, &format!("/ubuntu@live/{SUITE}")).await, &archive.second, SUITE);
}

/// Nobody looks at `live` where every office has a channel: it must move on all the same.
#[tokio::test]
async fn live_moves_on_while_everybody_sees_a_channel() {
    let archive = Archive::start().await;
    let server = archive.serve("", "").await;
    update(&server, "/ubuntu").await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    // This check is what makes live and the channel differ.
    update(&server, "/ubuntu@pilot").await;
    archive.second.to(&archive.origin, "/ubuntu");
    let third = Repository::new("noble").date(day(2)).signed_by(&archive.key).publish();
    third.to(&archive.origin, "/ubuntu");
    let asked = archive.origin.log().count(&format!("/ubuntu/{SUITE}"));
    ok(&server, &format!("/ubuntu@pilot/{SUITE}")).await;
    archive.origin.wait_for(&format!("/ubuntu/{SUITE}"), asked + 1).await;
}

#[tokio::test]
async fn a_time_shows_what_was_current_then() {
    let archive = Archive::start().await;
    let server = archive.serve("", "").await;
    update(&server, "/ubuntu").await;
    server.clock().advance(Duration::from_hours(1));
    let between = jiff::Timestamp::try_from(server.clock().now()).expect("a time");
    let time = between.strftime("%Y%m%dT%H%M%SZ").to_string();
    server.clock().advance(Duration::from_hours(1));
    archive.go_on();
    update(&server, "/ubuntu").await;
    for base in [format!("/ubuntu@{time}"), format!("/snapshot/{time}/ubuntu")] {
        assert_bytes(&ok(&server, &format!("{base}/{SUITE}")).await, &archive.first, SUITE);
        assert_bytes(&ok(&server, &format!("{base}/{INDEX}")).await, &archive.first, INDEX);
    }
    let later = ok(&server, &format!("/ubuntu@20991231T000000Z/{SUITE}")).await;
    assert_bytes(&later, &archive.second, SUITE);
}

/// The server promotes at its start, and every minute.
#[tokio::test]
async fn what_live_has_had_long_enough_is_promoted_but_not_what_was_rolled_back() {
    const DAY: Duration = Duration::from_hours(24);
    let archive = Archive::start().await;
    let mut server = archive.serve("", "[[channel]]\nname = \"stable\"\nafter = \"7 days\"\n").await;
    let stable = format!("/ubuntu@stable/{SUITE}");
    update(&server, "/ubuntu").await;
    server.restart().await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    assert_bytes(&ok(&server, &stable).await, &archive.first, SUITE);
    server.clock().advance(6 * DAY);
    server.restart().await;
    assert_bytes(&ok(&server, &stable).await, &archive.first, SUITE);
    server.clock().advance(2 * DAY);
    server.restart().await;
    assert_bytes(&ok(&server, &stable).await, &archive.second, SUITE);
    change(&server, "/api/v1/channels/stable/rollback").await;
    server.clock().advance(30 * DAY);
    server.restart().await;
    assert_bytes(&ok(&server, &stable).await, &archive.first, SUITE);
}

#[tokio::test]
async fn what_no_index_lists_is_kept_only_where_that_is_configured_and_says_so() {
    const README: &str = "/ubuntu/pool/main/README.deb";
    for (further, asked, mark) in
        [("", 2, "fwd=bypass; detail=unlisted"), ("unlisted = \"keep\"", 1, "detail=unverified")]
    {
        let archive = Archive::start().await;
        archive.origin.route(README, Reply::ok("unlisted"));
        let server = archive.serve(further, "").await;
        update(&server, "/ubuntu").await;
        assert_eq!(ok(&server, README).await.text(), "unlisted");
        // Until the first transfer is stored, others join it.
        eventually(mark, async || {
            let again = ok(&server, README).await;
            again.text() == "unlisted"
                && again.header("cache-status").is_some_and(|status| status.contains(mark))
        })
        .await;
        assert_eq!(archive.origin.log().count(README), asked, "{further}");
    }
}
