//! Eviction never takes what a channel points at, and takes first what no suite lists any more.

use super::*;
use crate::support::{noise, sha256};
use lumbung::status::Status;

const ED: &str = "pool/main/e/ed/ed_1.20-1_amd64.deb";
const MINUTE: Duration = Duration::from_mins(1);

/// A store of so many bytes, and a repository whose files nothing vouches for.
fn small(archive: &Archive, bytes: u64) -> String {
    format!(
        "[[repo]]\nname = \"files\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n[store]\nmax_size = \"{bytes} B\"\n",
        archive.origin.url("/files")
    )
}

/// Has other files asked for: so many of 50,000 bytes, a minute apart.
async fn fill(archive: &Archive, server: &TestServer, names: std::ops::Range<u32>) {
    for name in names {
        let target = format!("/files/pool/{name}");
        archive.origin.route(&target, Reply::ok(noise(&target, 50_000)));
        store(server, &target).await;
    }
}

/// Whether the store has the file with these bytes.
fn is_stored(server: &TestServer, bytes: &[u8]) -> bool {
    let hash = sha256(bytes);
    server.store().join("objects").join(&hash[..2]).join(&hash[2..]).exists()
}

async fn status(server: &TestServer) -> Status {
    let page = get(server.admin(), "/api/v1/status", &[]).await.text();
    serde_json::from_str(&page).unwrap_or_else(|why| panic!("{why}: {page}"))
}

/// Asks until it is a hit, so that its commit is over; a minute passes.
async fn store(server: &TestServer, target: &str) {
    eventually(target, async || ok(server, target).await.header("cache-status") == Some("lumbung; hit"))
        .await;
    server.clock().advance(MINUTE);
}

/// The whole story of a rollout: what the pilot offices install is there although upstream has deleted it and
/// the disk has been full many times since.
#[tokio::test]
async fn what_a_channel_points_at_outlives_any_number_of_evictions_and_a_restart() {
    let archive = Archive::start().await;
    let mut server = archive.serve("", &small(&archive, 300_000)).await;
    update(&server, "/ubuntu").await;
    for path in [ED, NANO] {
        store(&server, &format!("/ubuntu/{path}")).await;
    }
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    fill(&archive, &server, 0..10).await;
    server.restart().await;
    fill(&archive, &server, 10..20).await;
    assert!(status(&server).await.store.evicted_bytes >= 500_000, "the store was never full");
    for path in [ED, NANO] {
        assert_bytes(&ok(&server, &format!("/ubuntu@pilot/{path}")).await, &archive.first, path);
    }
    assert_eq!(archive.origin.log().count(&format!("/ubuntu/{ED}")), 1);
}

/// Two steps further no channel can come back to it, and it is a file like any other.
#[tokio::test]
async fn what_a_channel_has_left_behind_may_go() {
    let archive = Archive::start().await;
    let server = archive.serve("", &small(&archive, 300_000)).await;
    update(&server, "/ubuntu").await;
    store(&server, &format!("/ubuntu/{ED}")).await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    fill(&archive, &server, 0..10).await;
    assert!(is_stored(&server, &archive.first.bytes(ED)), "it could be rolled back to");
    let third = Repository::new("noble").date(day(2)).signed_by(&archive.key).publish();
    third.to(&archive.origin, "/ubuntu");
    update(&server, "/ubuntu").await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    let mut next = 10;
    let going = async {
        while is_stored(&server, &archive.first.bytes(ED)) {
            fill(&archive, &server, next..next + 1).await;
            next += 1;
        }
    };
    tokio::time::timeout(PATIENCE, going).await.expect("it goes");
}

/// Where channels take all the room there is, others are served without being kept, and the status names
/// the channels.
#[tokio::test]
async fn a_store_that_channels_fill_passes_on_what_it_cannot_keep_and_says_why() {
    let archive = Archive::start().await;
    let server = archive.serve("", &small(&archive, 120_000)).await;
    update(&server, "/ubuntu").await;
    for path in [ED, NANO] {
        store(&server, &format!("/ubuntu/{path}")).await;
    }
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.origin.route("/files/pool/x", Reply::ok(noise("x", 50_000)));
    let answer = ok(&server, "/files/pool/x").await;
    assert_eq!(answer.header("cache-status"), Some("lumbung; fwd=bypass; detail=no-room"));
    let status = status(&server).await;
    assert!(status.store.full && status.store.held_bytes >= 90_000, "{:?}", status.store);
    let attention = status.attention().join("\n");
    assert!(attention.contains("the channels pilot point"), "{attention}");
    for path in [ED, NANO] {
        assert!(is_stored(&server, &archive.first.bytes(path)), "{path}");
    }
}

/// Tables are derived and may be lost; what they list must not be lost with them.
#[tokio::test]
async fn what_a_channel_points_at_is_kept_although_the_tables_were_lost() {
    let archive = Archive::start().await;
    let mut server = archive.serve("", &small(&archive, 300_000)).await;
    update(&server, "/ubuntu").await;
    store(&server, &format!("/ubuntu/{ED}")).await;
    change(&server, "/api/v1/channels/pilot/promote").await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    server.stop().await;
    for table in std::fs::read_dir(server.store().join("tables")).expect("tables") {
        std::fs::remove_file(table.expect("a table").path()).expect("a table");
    }
    server.restart().await;
    fill(&archive, &server, 0..10).await;
    assert!(is_stored(&server, &archive.first.bytes(ED)));
}

/// A file of a state that is long over goes before one that is listed, although it was asked for later; one
/// that another suite lists, too, does not.
#[tokio::test]
async fn what_no_suite_lists_any_more_goes_first() {
    let archive = Archive::start().await;
    let server = archive.serve("", &small(&archive, 290_000)).await;
    update(&server, "/ubuntu").await;
    fill(&archive, &server, 0..2).await;
    store(&server, &format!("/ubuntu/{ED}")).await;
    // Twice, so that its last use is in memory only.
    store(&server, &format!("/ubuntu/{ED}")).await;
    archive.go_on();
    update(&server, "/ubuntu").await;
    store(&server, &format!("/ubuntu/{NANO}")).await;
    server.clock().advance(Duration::from_hours(8 * 24));
    eventually("the first generation is dropped", async || {
        let suite = get(server.admin(), "/api/v1/suites/ubuntu/noble", &[]).await.text();
        let suite: Value = serde_json::from_str(&suite).expect("JSON");
        suite["generations"].as_array().expect("generations").len() == 1
    })
    .await;
    fill(&archive, &server, 2..4).await;
    let name = |name: u32| noise(&format!("/files/pool/{name}"), 50_000);
    assert!(!is_stored(&server, &archive.first.bytes(ED)), "nothing lists it");
    assert!(is_stored(&server, &archive.second.bytes(NANO)));
    assert!((0..4).all(|number| is_stored(&server, &name(number))));
}
