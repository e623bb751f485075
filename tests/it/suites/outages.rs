//! With what is here already, desktops do not notice what has become of upstream.

use std::time::{Duration, SystemTime};

use rstest::rstest;

use super::{IN_RELEASE, PACKAGES, RETRY, STALE, Setup, TRANSLATION, consistent};
use crate::support::client::get;
use crate::support::origin::Reply;
use crate::support::repository::{Package, day};

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Dead,
    Hanging,
    Portal,
    NamelessPortal,
    RedirectToPortal,
    Unwell,
    Gone,
}

impl Trouble {
    async fn befall(self, setup: &Setup) {
        let reply = match self {
            Self::Dead => return setup.origin().stop().await,
            Self::Hanging => Reply::hang(),
            Self::Portal => Reply::portal(),
            Self::NamelessPortal => Reply::ok("<html>Please log in</html>").no_validators(),
            Self::RedirectToPortal => Reply::redirect("http://192.168.1.1/login"),
            Self::Unwell => Reply::status(502),
            Self::Gone => Reply::status(404),
        };
        setup.origin().answer_everything(Some(reply));
    }
}

#[rstest]
#[case(Trouble::Dead)]
#[case(Trouble::Hanging)]
#[case(Trouble::Portal)]
#[case(Trouble::NamelessPortal)]
#[case(Trouble::RedirectToPortal)]
#[case(Trouble::Unwell)]
#[case(Trouble::Gone)]
#[tokio::test]
async fn apt_updates_and_installs_what_is_here(#[case] trouble: Trouble) {
    let setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    let first = setup.desktop();
    first.update().await.assert_ok();
    first.download(&["nano"]).await.assert_ok();
    trouble.befall(&setup).await;
    for _ in 0..3 {
        setup.server.clock().advance(STALE);
        first.update().await.assert_ok();
        let fresh = setup.desktop();
        fresh.update().await.assert_ok();
        fresh.download(&["nano"]).await.assert_ok();
        assert_eq!(fresh.archives(), first.archives());
    }
    let answer = setup.get(IN_RELEASE).await;
    let age: u64 = answer.header("age").and_then(|age| age.parse().ok()).expect("an age");
    assert!(age >= 3 * STALE.as_secs(), "{age}");
    let status = answer.header("cache-status").expect("a status");
    assert!(status.contains("not checked: "), "{status}");
}

/// Every other answer fails, over several generations.
#[tokio::test]
async fn apt_updates_while_upstream_flaps() {
    let setup = Setup::new().await;
    let first = setup.first();
    first.publish().to(setup.origin(), "/u");
    let apt = setup.desktop();
    apt.update().await.assert_ok();
    for number in 1..5 {
        let next = first.clone().date(day(number)).package(Package::new("new", &number.to_string()));
        let published = next.publish();
        published.to(setup.origin(), "/u");
        let release = published.bytes("dists/noble/InRelease");
        let good = Reply::ok(release.clone()).last_modified(day(number));
        let bad = [Reply::status(500), good.clone().truncate_after(50), Reply::hang(), good];
        setup.origin().route_in_turn(IN_RELEASE, bad);
        while setup.get(IN_RELEASE).await.body != release {
            setup.server.clock().advance(STALE);
            apt.update().await.assert_ok();
        }
        apt.update().await.assert_ok();
        apt.download(&["new"]).await.assert_ok();
        apt.clean();
    }
}

/// A suite says itself how long it is good for; until apt refuses it, it is served.
#[tokio::test]
async fn a_suite_is_served_for_as_long_as_upstream_is_dead() {
    let setup = Setup::new().await;
    let until = SystemTime::now() + 20 * STALE;
    setup.first().valid_until(until).publish().to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await;
    setup.origin().stop().await;
    setup.server.clock().advance(40 * STALE);
    assert_eq!(consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await, before);
    // apt is told of the end by its own clock.
    let apt = setup.desktop();
    apt.update().await.assert_ok();
    let strict = setup.desktop().option("Acquire::Max-ValidTime", "86400");
    let refused = strict.update().await;
    assert!(refused.code != 0 && refused.stderr.contains("expired"), "{}", refused.stderr);
}

#[tokio::test]
async fn upstream_is_used_again_soon_after_it_is_back() {
    let setup = Setup::new().await;
    let first = setup.first();
    first.publish().to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    setup.origin().stop().await;
    setup.server.clock().advance(STALE);
    assert!(
        setup.get(IN_RELEASE).await.header("cache-status").is_some_and(|why| why.contains("not checked"))
    );
    let second = first.date(day(1)).publish();
    second.to(setup.origin(), "/u");
    setup.origin().start_again().await;
    setup.server.clock().advance(RETRY);
    let back = async {
        while setup.get(IN_RELEASE).await.body != second.bytes("dists/noble/InRelease") {
            setup.server.clock().advance(Duration::from_secs(1));
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, back).await.expect("the new generation");
}

/// A mirror in mid-sync has the new release file beside old indices. It was once counted among those that fail,
/// and rested, although everything else it had was right; and the refresh tried on for as long as a desktop
/// would wait for a package.
#[rstest]
#[case::of_another_length(false)]
#[case::of_the_same_length(true)]
#[tokio::test]
async fn a_mirror_in_mid_sync_is_asked_once_for_each_look_and_keeps_its_standing(#[case] same_length: bool) {
    let setup = Setup::new().await;
    let first = setup.first();
    first.publish().to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES]).await;
    let plain = format!("/u/dists/noble/{PACKAGES}");
    let asked = setup.origin().log().count(&plain);
    let second = first.date(day(1)).package(Package::new("new", "1")).publish();
    second.only(|path| path.ends_with("Release")).to(setup.origin(), "/u");
    if same_length {
        let length = second.bytes(&format!("dists/noble/{PACKAGES}")).len();
        setup.origin().route(&plain, Reply::ok(crate::support::noise("old", length)));
    }
    for look in 1..=3 {
        setup.server.clock().advance(STALE);
        let answer = setup.get(IN_RELEASE).await;
        assert_eq!(answer.body, before);
        let status = answer.header("cache-status").expect("a status");
        assert!(status.contains("not checked: "), "{status}");
        assert_eq!(setup.origin().log().count(&plain), asked + look, "one look, one request");
    }
    let page = get(setup.server.admin(), "/api/v1/status", &[]).await.text();
    let status: lumbung::status::Status = serde_json::from_str(&page).expect("a status");
    let upstream = &status.repos[0].upstreams[0];
    assert!(upstream.healthy && upstream.failures == 0 && upstream.last_error.is_none(), "{upstream:?}");
}
