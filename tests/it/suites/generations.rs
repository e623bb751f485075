//! A suite changes all at once.

use std::sync::Arc;

use rstest::rstest;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{IN_RELEASE, PACKAGES, RETRY, STALE, Setup, TRANSLATION, by_hash, consistent, listed};
use crate::support::client::{get, get_from};
use crate::support::gate::Gate;
use crate::support::origin::Reply;
use crate::support::repository::{Package, Publication, Repository, day};
use crate::support::sha256;

const GZ: &str = "main/binary-amd64/Packages.gz";

fn second(repository: &Repository) -> Publication {
    repository.clone().date(day(1)).package(Package::new("new", "1")).publish()
}

fn release_files(path: &str) -> bool {
    path.ends_with("Release") || path.ends_with("Release.gpg")
}

/// A publisher uploads the release file first, or the mirror is between two passes.
#[rstest]
#[case::with_names_by_hash(true)]
#[case::with_plain_names_only(false)]
#[tokio::test]
async fn a_new_release_file_is_not_shown_before_its_indices_are_here(#[case] named_by_hash: bool) {
    let setup = Setup::new().await;
    let first = setup.first().by_hash(named_by_hash);
    first.publish().to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await;
    let second = second(&first);
    second.only(release_files).to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    assert_eq!(consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await, before);
    setup.desktop().update().await.assert_ok();
    // One of the two indices that are in use arrives.
    second.only(|path| path.contains("binary-amd64")).to(setup.origin(), "/u");
    setup.server.clock().advance(RETRY);
    assert_eq!(consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await, before);
    second.to(setup.origin(), "/u");
    let after = second.bytes("dists/noble/InRelease");
    setup.switched_to(&after).await;
    assert_eq!(consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await, after);
    let apt = setup.desktop();
    apt.update().await.assert_ok();
    apt.download(&["new"]).await.assert_ok();
}

/// A careful publisher uploads the release file last.
#[rstest]
#[case::with_names_by_hash(true)]
#[case::with_plain_names_only(false)]
#[tokio::test]
async fn new_indices_do_not_disturb_the_generation_before(#[case] named_by_hash: bool) {
    let setup = Setup::new().await;
    let first = setup.first().by_hash(named_by_hash);
    first.publish().to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await;
    let second = second(&first);
    second.only(|path| !release_files(path)).to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    assert_eq!(consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await, before);
    setup.desktop().update().await.assert_ok();
    // One that nobody has asked for can be had under its old hash only.
    let answer = setup.get(&format!("/u/dists/noble/{GZ}")).await;
    if named_by_hash {
        assert_eq!(answer.body, first.publish().bytes(&format!("dists/noble/{GZ}")));
    } else {
        assert_eq!(answer.status, 503, "{}", answer.text());
    }
    second.to(setup.origin(), "/u");
    let after = second.bytes("dists/noble/InRelease");
    setup.switched_to(&after).await;
    assert_eq!(consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await, after);
}

#[tokio::test]
async fn only_what_somebody_uses_must_be_here_before_a_change() {
    let setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    let second = second(&setup.first());
    second.to(setup.origin(), "/u");
    for index in [TRANSLATION, GZ] {
        setup.origin().remove(&format!("/u/dists/noble/{index}"));
        setup.origin().remove(&by_hash(&second.bytes("dists/noble/InRelease"), index));
    }
    setup.server.clock().advance(STALE);
    let after = consistent(setup.server.address(), &[PACKAGES]).await;
    assert_eq!(after, second.bytes("dists/noble/InRelease"));
    assert!(setup.origin().requests_to(&format!("/u/dists/noble/{GZ}")).is_empty());
}

/// Publishers list more than they offer, and apt asks for it.
#[tokio::test]
async fn an_index_that_could_never_be_had_keeps_nothing_waiting() {
    let setup = Setup::new().await;
    let first = setup.first().publish();
    first.only(|path| !path.ends_with("Packages.gz")).to(setup.origin(), "/u");
    setup.origin().remove(&by_hash(&first.bytes("dists/noble/InRelease"), GZ));
    consistent(setup.server.address(), &[PACKAGES]).await;
    assert_eq!(setup.get(&format!("/u/dists/noble/{GZ}")).await.status, 404);
    let second = second(&setup.first());
    second.only(|path| !path.ends_with("Packages.gz")).to(setup.origin(), "/u");
    setup.origin().remove(&by_hash(&second.bytes("dists/noble/InRelease"), GZ));
    setup.server.clock().advance(STALE);
    assert_eq!(setup.get(IN_RELEASE).await.body, second.bytes("dists/noble/InRelease"));
}

#[tokio::test]
async fn a_change_that_is_not_whole_is_tried_again_without_anybody_asking() {
    let setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    let second = second(&setup.first());
    second.only(release_files).to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    setup.get(IN_RELEASE).await;
    second.to(setup.origin(), "/u");
    let packages = by_hash(&second.bytes("dists/noble/InRelease"), PACKAGES);
    let asked = setup.origin().requests_to(&packages).len();
    // The task that tries again may not be waiting yet when time is moved for the first time.
    let tried = async {
        while setup.origin().requests_to(&packages).len() == asked {
            setup.server.clock().advance(RETRY);
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, tried).await.expect("another try");
}

#[tokio::test]
async fn desktops_do_not_ask_upstream_again_while_a_change_is_not_whole() {
    let setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    second(&setup.first()).only(release_files).to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    // The first one waits for it.
    setup.get(IN_RELEASE).await;
    let failed = async {
        let unfinished = |answer: &crate::support::client::Response| {
            answer
                .header("cache-status")
                .is_none_or(|why| !why.contains("not checked") || why.contains("yet"))
        };
        while unfinished(&setup.get(IN_RELEASE).await) {}
    };
    tokio::time::timeout(crate::support::PATIENCE, failed).await.expect("a reason");
    let asked = setup.origin().requests().len();
    for _ in 0..20 {
        assert_eq!(setup.get(IN_RELEASE).await.status, 200);
    }
    assert_eq!(setup.origin().requests().len(), asked);
}

#[tokio::test]
async fn what_an_older_generation_lists_stays_reachable() {
    let setup = Setup::new().await;
    let first = setup.first().publish();
    first.to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES]).await;
    let nano = "/u/pool/main/n/nano/nano_7.2-1_amd64.deb";
    assert!(setup.get(nano).await.is_complete());
    let updated = setup.first().without_packages().date(day(1)).package(Package::new("nano", "7.2-2"));
    let published = updated.publish();
    for file in first.files() {
        setup.origin().remove(&format!("/u/{}", file.path));
    }
    published.to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    let after = consistent(setup.server.address(), &[PACKAGES]).await;
    assert_eq!(after, published.bytes("dists/noble/InRelease"));
    for _ in 0..2 {
        let index = setup.get(&by_hash(&before, PACKAGES)).await;
        assert_eq!(index.body, first.bytes(&format!("dists/noble/{PACKAGES}")));
        assert_eq!(setup.get(nano).await.body, first.deb("nano_7.2-1_amd64.deb"));
        setup.server.clock().advance(6 * 24 * 60 * STALE / 11);
    }
}

#[tokio::test]
async fn twenty_desktops_that_ask_for_a_new_suite_at_once_cost_one_request_for_each_file() {
    const DESKTOPS: usize = 20;
    let setup = Setup::new().await;
    let published = setup.first().publish();
    published.to(setup.origin(), "/u");
    let release = published.bytes("dists/noble/InRelease");
    let gate = Gate::new();
    setup.origin().route(IN_RELEASE, Reply::ok(release.clone()).delay_until(&gate));
    let (server, together) = (setup.server.address(), Arc::new(Barrier::new(DESKTOPS + 1)));
    let mut desktops = JoinSet::new();
    for _ in 0..DESKTOPS {
        let together = together.clone();
        desktops.spawn(async move {
            together.wait().await;
            consistent(server, &[PACKAGES, TRANSLATION]).await
        });
    }
    together.wait().await;
    gate.reached_by(1).await;
    gate.open();
    for seen in desktops.join_all().await {
        assert_eq!(seen, release);
    }
    for path in [IN_RELEASE, &by_hash(&release, PACKAGES), &by_hash(&release, TRANSLATION)] {
        assert_eq!(setup.origin().requests_to(path).len(), 1, "{path}");
    }
    assert_eq!(setup.origin().requests().len(), 3);
}

#[tokio::test]
async fn a_suite_that_upstream_does_not_have_is_asked_for_once_in_a_while() {
    let setup = Setup::new().await;
    for _ in 0..3 {
        for name in ["InRelease", "Release"] {
            assert_eq!(setup.get(&format!("/u/dists/nobel/{name}")).await.status, 404);
        }
    }
    assert_eq!(setup.origin().requests().len(), 2, "InRelease and Release");
    setup.server.clock().advance(RETRY);
    Repository::new("nobel").signed_by(&setup.key).publish().to(setup.origin(), "/u");
    assert_eq!(setup.get("/u/dists/nobel/InRelease").await.status, 200);
}

#[tokio::test]
async fn the_first_request_for_a_suite_waits_while_upstream_stumbles() {
    let setup = Setup::new().await;
    let published = setup.first().publish();
    published.to(setup.origin(), "/u");
    let release = published.bytes("dists/noble/InRelease");
    setup.origin().route_in_turn(
        IN_RELEASE,
        [Reply::status(503), Reply::ok(release.clone()).truncate_after(100), Reply::ok(release.clone())],
    );
    assert_eq!(consistent(setup.server.address(), &[PACKAGES]).await, release);
}

/// Some upstreams know no conditions. Their answers are no news.
#[tokio::test]
async fn the_same_release_file_again_changes_nothing() {
    let setup = Setup::new().await;
    let published = setup.first().publish();
    published.to(setup.origin(), "/u");
    let release = published.bytes("dists/noble/InRelease");
    setup.origin().route(IN_RELEASE, Reply::ok(release).no_conditions());
    let first = setup.get(IN_RELEASE).await;
    for asked in 2..5 {
        setup.server.clock().advance(STALE);
        let again = setup.get(IN_RELEASE).await;
        assert_eq!(again.header("last-modified"), first.header("last-modified"));
        assert_eq!(setup.origin().requests_to(IN_RELEASE).len(), asked);
    }
}

/// apt asks by date alone. A mirror that gives every file the date of its own pass, or none, must not
/// hide what is new.
#[rstest]
#[case::of_the_same_date(Some(day(0)))]
#[case::of_an_earlier_date(Some(day(0) - RETRY))]
#[tokio::test]
async fn a_new_generation_is_news_whatever_date_its_file_has(#[case] date: Option<std::time::SystemTime>) {
    let setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    let before = setup.get(IN_RELEASE).await;
    let second = second(&setup.first());
    second.to(setup.origin(), "/u");
    let release = second.bytes("dists/noble/InRelease");
    let reply = Reply::ok(release.clone()).no_conditions();
    setup.origin().route(IN_RELEASE, date.map_or(reply.clone(), |date| reply.last_modified(date)));
    setup.server.clock().advance(STALE);
    let since = [("If-Modified-Since", before.header("last-modified").expect("a date"))];
    let answer = get(setup.server.address(), IN_RELEASE, &since).await;
    assert_eq!((answer.status, &*answer.body), (200, &*release));
    let since = [("If-Modified-Since", answer.header("last-modified").expect("a date"))];
    assert_eq!(get(setup.server.address(), IN_RELEASE, &since).await.status, 304);
}

/// Between a desktop's release file and its last index lie minutes on a slow line. When another desktop
/// brings the next generation meanwhile, plain names mean what the first one has begun with.
#[tokio::test]
async fn a_desktop_gets_the_indices_of_the_release_file_that_it_was_given() {
    let setup = Setup::new().await;
    let first = setup.first().by_hash(false);
    first.publish().to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES]).await;
    let second = second(&first);
    second.to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    let other = get_from([127, 0, 0, 2].into(), setup.server.address(), IN_RELEASE).await;
    assert_eq!(other.body, second.bytes("dists/noble/InRelease"));
    let path = format!("/u/dists/noble/{PACKAGES}");
    let mine = setup.get(&path).await;
    let hash = listed(&before).into_iter().find(|listed| listed.path == PACKAGES).expect("an index").hash;
    assert_eq!(sha256(&mine.body), hash);
    let others = get_from([127, 0, 0, 2].into(), setup.server.address(), &path).await;
    assert_eq!(others.body, second.bytes(&format!("dists/noble/{PACKAGES}")));
    assert_eq!(setup.get(IN_RELEASE).await.body, second.bytes("dists/noble/InRelease"));
    assert_eq!(setup.get(&path).await.body, others.body);
}
