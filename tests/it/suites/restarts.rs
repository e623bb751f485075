//! Suites outlive the program, however it ends.

use std::time::Duration;

use serde_json::Value;

use super::{IN_RELEASE, PACKAGES, STALE, Setup, TRANSLATION, by_hash, consistent, fragment, noble};
use crate::support::client::{Connection, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Key, Package, day};
use crate::support::server::Process;

const NANO: &str = "/u/pool/main/n/nano/nano_7.2-1_amd64.deb";

#[tokio::test]
async fn a_restart_needs_no_upstream() {
    let mut setup = Setup::new().await;
    let first = setup.first().publish();
    first.to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await;
    assert!(setup.get(NANO).await.is_complete());
    let second = setup.first().date(day(1)).package(Package::new("new", "1")).publish();
    second.to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    let after = consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await;
    assert_ne!(after, before);
    setup.origin().stop().await;
    for wait in [Duration::ZERO, STALE] {
        setup.server.restart().await;
        setup.server.clock().advance(wait);
        assert_eq!(consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await, after);
        let old = setup.get(&by_hash(&before, PACKAGES)).await;
        assert_eq!(old.body, first.bytes(&format!("dists/noble/{PACKAGES}")));
        assert_eq!(setup.get(NANO).await.body, first.deb("nano_7.2-1_amd64.deb"));
        setup.desktop().update().await.assert_ok();
    }
}

#[tokio::test]
async fn a_change_that_was_not_whole_goes_on_after_a_restart() {
    let mut setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES]).await;
    let second = setup.first().date(day(1)).package(Package::new("new", "1")).publish();
    second.only(|path| path.ends_with("Release")).to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    assert_eq!(consistent(setup.server.address(), &[PACKAGES]).await, before);
    setup.server.restart().await;
    assert_eq!(consistent(setup.server.address(), &[PACKAGES]).await, before);
    second.to(setup.origin(), "/u");
    let after = second.bytes("dists/noble/InRelease");
    setup.switched_to(&after).await;
    assert_eq!(consistent(setup.server.address(), &[PACKAGES]).await, after);
}

/// What an index lists is known although the program ended before it had written it down.
#[tokio::test]
async fn an_index_without_its_table_is_read_again() {
    let mut setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    setup.server.stop().await;
    let tables = setup.server.store().join("tables");
    let mut removed = 0;
    for table in std::fs::read_dir(&tables).expect("tables") {
        std::fs::remove_file(table.expect("a table").path()).expect("a table");
        removed += 1;
    }
    assert_eq!(removed, 1);
    setup.server.restart().await;
    for _ in 0..2 {
        assert!(setup.get(NANO).await.is_complete());
    }
    assert_eq!(setup.origin().requests_to(NANO).len(), 1, "a listed package is kept");
}

#[tokio::test]
async fn a_release_file_that_the_disk_has_lost_is_fetched_again() {
    let mut setup = Setup::new().await;
    let published = setup.first().publish();
    published.to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES]).await;
    setup.server.stop().await;
    let hash = crate::support::sha256(&before);
    let lost = setup.server.store().join("objects").join(&hash[..2]).join(&hash[2..]);
    std::fs::remove_file(lost).expect("the release file");
    setup.server.restart().await;
    assert_eq!(consistent(setup.server.address(), &[PACKAGES]).await, before);
}

#[tokio::test]
async fn a_program_that_is_killed_in_mid_change_comes_back_with_what_it_had() {
    let (key, origin, keyrings) = (Key::generate("Publisher"), Origin::start().await, super::Keyrings::new());
    let keyring = keyrings.write("key.gpg", &key.keyring());
    let first = noble().signed_by(&key);
    first.publish().to(&origin, "/u");
    let text = format!("{}check_every = \"0 s\"\n", fragment(&[&origin], &[keyring]));
    let mut server = Process::start(&text).await;
    let before = consistent(server.address(), &[PACKAGES, TRANSLATION]).await;
    let second = first.date(day(1)).package(Package::new("new", "1")).publish();
    second.to(&origin, "/u");
    let release = second.bytes("dists/noble/InRelease");
    let (path, gate) = (by_hash(&release, PACKAGES), Gate::new());
    let bytes = second.bytes(&format!("dists/noble/{PACKAGES}"));
    // Longer than the idle limit: the transfer breaks and is tried again, for as long as we look.
    origin.route(&path, Reply::ok(bytes.clone()).pause_after(10, &gate));
    let address = server.address();
    let waiting = tokio::spawn(async move {
        let mut desktop = Connection::open(address).await;
        desktop.send(request(address, "GET", IN_RELEASE, &[])).await;
        // It is killed before it answers.
        let _ = desktop.head().await;
    });
    gate.reached_by(1).await;
    server.kill();
    waiting.await.expect("a desktop");
    origin.stop().await;
    server.start_again().await;
    assert_eq!(consistent(server.address(), &[PACKAGES, TRANSLATION]).await, before);
    gate.open();
    origin.start_again().await;
    server.start_again().await;
    assert_eq!(get(server.address(), IN_RELEASE, &[]).await.status, 200);
    let current = |event: &Value| event["event"] == "adopted";
    server.event("the change", current).await;
    assert_eq!(consistent(server.address(), &[PACKAGES, TRANSLATION]).await, release);
}
