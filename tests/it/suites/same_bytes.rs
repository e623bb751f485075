//! Bytes that are known by hash are one thing, whoever publishes them; a name is not.

use super::{IN_RELEASE, LIMITS, PACKAGES, RETRY, STALE, Setup, TRANSLATION, by_hash, consistent, noble};
use crate::support::client::get;
use crate::support::origin::Origin;
use crate::support::repository::{Key, Package, Publication, Repository, day};
use crate::support::server::TestServer;

const NANO: &str = "pool/main/n/nano/nano_7.2-1_amd64.deb";

/// `nano` of the same version with other bytes.
fn rebuilt(number: u8) -> Package {
    Package::new("nano", "7.2-1").payload(vec![number; 150_000])
}

fn with(setup: &Setup, number: u64, package: Package) -> Publication {
    noble().without_packages().date(day(number)).package(package).signed_by(&setup.key).publish()
}

#[tokio::test]
async fn two_repositories_that_publish_the_same_package_cost_one_transfer() {
    let (key, origin, keyrings) = (Key::generate("Both"), Origin::start().await, super::Keyrings::new());
    let keyring = keyrings.write("both.gpg", &key.keyring());
    let mut text = LIMITS.to_owned();
    for name in ["archive", "security"] {
        let suite = Repository::new("noble").package(Package::new("nano", "7.2-1").payload_size(100_000));
        suite.field("Label", name).signed_by(&key).publish().to(&origin, &format!("/{name}"));
        let url = origin.url(&format!("/{name}"));
        text += &format!(
            "[[repo]]\nname = \"{name}\"\nkind = \"apt\"\nupstreams = [{url:?}]\nkeyring = {keyring:?}\n"
        );
    }
    let server = TestServer::start(&text).await;
    let mut bodies = Vec::new();
    for name in ["archive", "security"] {
        let release = get(server.address(), &format!("/{name}/dists/noble/InRelease"), &[]).await.body;
        let index = by_hash(&release, PACKAGES).replace("/u/", &format!("/{name}/"));
        assert_eq!(get(server.address(), &index, &[]).await.status, 200);
        bodies.push(get(server.address(), &format!("/{name}/{NANO}"), &[]).await.body);
    }
    assert_eq!(bodies[0], bodies[1]);
    let sent = origin.log().requests(|request| request.path.ends_with(NANO));
    assert_eq!(sent.len(), 1, "{sent:?}");
}

#[tokio::test]
async fn a_package_that_was_replaced_under_its_name_is_fetched_anew() {
    let setup = Setup::new().await;
    let path = format!("/u/{NANO}");
    for (number, build) in [(0, 0), (1, 1), (2, 0)] {
        let published = with(&setup, number, rebuilt(build));
        published.to(setup.origin(), "/u");
        setup.server.clock().advance(STALE);
        let seen = consistent(setup.server.address(), &[PACKAGES]).await;
        assert_eq!(seen, published.bytes("dists/noble/InRelease"));
        // What a hit remembers of the state before must not outlive it.
        for round in 0..3 {
            let answer = setup.get(&path).await;
            assert!(answer.is_complete());
            assert_eq!(answer.body, published.bytes(NANO), "generation {number}, round {round}");
        }
    }
    // What it came back to was here already.
    assert_eq!(setup.origin().requests_to(&path).len(), 2);
}

/// The index of a generation that cannot be completed says nothing yet.
#[tokio::test]
async fn a_generation_that_is_not_shown_does_not_change_what_a_name_means() {
    let setup = Setup::new().await;
    let first = with(&setup, 0, rebuilt(0));
    first.to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await;
    let path = format!("/u/{NANO}");
    assert_eq!(setup.get(&path).await.body, first.bytes(NANO));
    let second = with(&setup, 1, rebuilt(1).description("another"));
    second.to(setup.origin(), "/u");
    let release = second.bytes("dists/noble/InRelease");
    let translation = by_hash(&release, TRANSLATION);
    setup.origin().remove(&translation);
    setup.origin().remove(&format!("/u/dists/noble/{TRANSLATION}"));
    setup.server.clock().advance(STALE);
    setup.get(IN_RELEASE).await;
    setup.origin().wait_for(&by_hash(&release, PACKAGES), 1).await;
    setup.origin().wait_for(&translation, 1).await;
    assert_eq!(consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await, before);
    assert_eq!(setup.get(&path).await.body, first.bytes(NANO));
    second.to(setup.origin(), "/u");
    setup.server.clock().advance(RETRY);
    setup.switched_to(&release).await;
    assert_eq!(setup.get(&path).await.body, second.bytes(NANO));
}
