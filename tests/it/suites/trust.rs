//! What vouches for a suite, and what happens when nothing does.

use bytes::Bytes;
use rstest::rstest;
use serde_json::Value;

use super::{
    IN_RELEASE, Keyrings, LIMITS, PACKAGES, STALE, Setup, by_hash, consistent, fragment, noble, objects,
};
use crate::fragments::apt;
use crate::support::apt::{Apt, Source};
use crate::support::client::{get, get_from};
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Key, Package, day};
use crate::support::server::{Process, TestServer};

/// What is wrong with a release file.
#[derive(Debug, Clone, Copy)]
enum Flaw {
    UnknownKey,
    ExpiredKey,
    Tampered,
    Unsigned,
    LoginPage,
    NamelessLoginPage,
    Expired,
    FromTheFuture,
}

impl Flaw {
    /// `InRelease` with this flaw, and a key for the keyring.
    fn file(self, key: &Key) -> Reply {
        let signed = |repository: super::Repository, key: &Key| {
            repository.signed_by(key).publish().bytes("dists/noble/InRelease")
        };
        match self {
            Self::UnknownKey => Reply::ok(signed(noble(), &Key::generate("Stranger"))),
            Self::ExpiredKey => Reply::ok(signed(noble(), key)),
            Self::Tampered => {
                let good = String::from_utf8(signed(noble(), key).to_vec()).expect("text");
                Reply::ok(good.replace("Codename: noble", "Codename: nobel"))
            }
            Self::Unsigned => Reply::ok(noble().publish().bytes("dists/noble/Release")),
            Self::LoginPage => Reply::portal(),
            Self::NamelessLoginPage => Reply::ok("<html><body>Please log in</body></html>"),
            Self::Expired => Reply::ok(signed(noble().valid_until(day(1)), key)),
            Self::FromTheFuture => Reply::ok(signed(noble().date(day(36_500)), key)),
        }
    }
}

/// A server that trusts `key`, whose only origin has a release file with a flaw.
async fn flawed(flaw: Flaw, key: &Key) -> (Origin, TestServer, Keyrings) {
    let (origin, keyrings) = (Origin::start().await, Keyrings::new());
    origin.route(IN_RELEASE, flaw.file(key));
    let keyring = keyrings.write("key.gpg", &key.keyring());
    let server = TestServer::start(&fragment(&[&origin], &[keyring])).await;
    (origin, server, keyrings)
}

#[rstest]
#[case(Flaw::UnknownKey)]
#[case(Flaw::ExpiredKey)]
#[case(Flaw::Tampered)]
#[case(Flaw::Unsigned)]
#[case(Flaw::LoginPage)]
#[case(Flaw::NamelessLoginPage)]
#[case(Flaw::Expired)]
#[case(Flaw::FromTheFuture)]
#[tokio::test]
async fn a_suite_that_nothing_vouches_for_is_not_served_nor_stored(#[case] flaw: Flaw) {
    let key = match flaw {
        Flaw::ExpiredKey => Key::expired("Publisher"),
        _ => Key::generate("Publisher"),
    };
    let (_origin, server, _keyrings) = flawed(flaw, &key).await;
    let answer = get(server.address(), IN_RELEASE, &[]).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(!answer.body.is_empty() && answer.is_complete());
    assert!(objects(&server.store()).is_empty());
}

/// The same for a repository that was served before: desktops keep what they have, and whoever watches
/// sees why.
#[rstest]
#[case(Flaw::UnknownKey, "signature")]
#[case(Flaw::Tampered, "signature")]
#[case(Flaw::Unsigned, "signature")]
#[case(Flaw::NamelessLoginPage, "signature")]
#[case(Flaw::Expired, "release-date")]
#[case(Flaw::FromTheFuture, "release-date")]
#[tokio::test]
async fn a_bad_release_file_leaves_the_generation_that_is_served(#[case] flaw: Flaw, #[case] what: &str) {
    let setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES]).await;
    setup.origin().route(IN_RELEASE, flaw.file(&setup.key).last_modified(day(2)));
    setup.server.clock().advance(STALE);
    let answer = setup.get(IN_RELEASE).await;
    let status = answer.header("cache-status").expect("a status");
    assert!(status.contains("not checked"), "{status}");
    assert_eq!(consistent(setup.server.address(), &[PACKAGES]).await, before);
    let line = format!("lumbung_verify_failures_total{{repo=\"u\",what=\"{what}\"}} 1");
    assert!(setup.metric(&line).await, "no {line}");
}

#[tokio::test]
async fn a_revoked_key_vouches_for_nothing() {
    let (key, origin, keyrings) = (Key::generate("Publisher"), Origin::start().await, Keyrings::new());
    noble().signed_by(&key).publish().to(&origin, "/u");
    let keyring = keyrings.write("key.gpg", &key.revoked_keyring());
    let server = TestServer::start(&fragment(&[&origin], &[keyring])).await;
    assert_eq!(get(server.address(), IN_RELEASE, &[]).await.status, 503);
}

#[tokio::test]
async fn without_its_keyring_a_repository_is_refused_in_words() {
    let (key, origin) = (Key::generate("Publisher"), Origin::start().await);
    noble().signed_by(&key).publish().to(&origin, "/u");
    let server = TestServer::start(&fragment(&[&origin], &["/nonexistent/keyring.gpg".into()])).await;
    let answer = get(server.address(), IN_RELEASE, &[]).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("key"), "{}", answer.text());
}

#[tokio::test]
async fn an_armored_keyring_and_one_of_several_keyrings_will_do() {
    let (key, origin, keyrings) = (Key::generate("Publisher"), Origin::start().await, Keyrings::new());
    noble().signed_by(&key).publish().to(&origin, "/u");
    let files = [
        keyrings.write("other.gpg", &Key::generate("Other").keyring()),
        keyrings.write("key.asc", &key.armored_keyring()),
    ];
    let server = TestServer::start(&fragment(&[&origin], &files)).await;
    consistent(server.address(), &[PACKAGES]).await;
}

#[tokio::test]
async fn of_several_upstreams_one_that_lies_is_passed_over() {
    let setup = Setup::with(2, "").await;
    Flaw::UnknownKey.file(&setup.key);
    setup.origins[0].answer_everything(Some(Reply::ok("<html>Please log in</html>")));
    setup.first().publish().to(&setup.origins[1], "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    let run = setup.desktop().update().await;
    run.assert_ok();
}

/// The two files of a suite without `InRelease`.
fn pair(repository: &super::Repository) -> crate::support::repository::Publication {
    repository.publish().only(|path| !path.ends_with("InRelease"))
}

#[tokio::test]
async fn a_suite_with_a_detached_signature_alone_is_verified_by_it() {
    let setup = Setup::new().await;
    pair(&setup.first()).to(setup.origin(), "/u");
    assert_eq!(setup.get(IN_RELEASE).await.status, 404);
    let apt = setup.desktop();
    apt.update().await.assert_ok();
    apt.download(&["nano"]).await.assert_ok();
    let asked = setup.origin().requests_to(IN_RELEASE).len();
    setup.desktop().update().await.assert_ok();
    setup.desktop().update().await.assert_ok();
    assert_eq!(
        setup.origin().requests_to(IN_RELEASE).len(),
        asked,
        "upstream has no InRelease, which is known"
    );
}

#[tokio::test]
async fn a_torn_pair_leaves_the_old_generation_until_it_is_healed() {
    let setup = Setup::new().await;
    pair(&setup.first()).to(setup.origin(), "/u");
    let apt = setup.desktop();
    apt.update().await.assert_ok();
    let second = setup.first().date(day(1)).package(Package::new("new", "1"));
    let published = pair(&second);
    published.only(|path| path.ends_with("Release")).to(setup.origin(), "/u");
    setup.server.clock().advance(STALE);
    apt.update().await.assert_ok();
    let fresh = setup.desktop();
    fresh.update().await.assert_ok();
    assert!(fresh.download(&["new"]).await.code != 0, "nobody signed that there is such a package");
    published.to(setup.origin(), "/u");
    let release = published.bytes("dists/noble/Release");
    let healed = async {
        while setup.get("/u/dists/noble/Release").await.body != release {
            setup.server.clock().advance(super::RETRY);
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, healed).await.expect("the healed pair");
    apt.update().await.assert_ok();
    apt.download(&["new"]).await.assert_ok();
}

/// A client between the two files of a pair gets the signature of the text it was given, also when the
/// suite changes meanwhile.
#[tokio::test]
async fn a_pair_is_not_torn_by_a_change_between_its_files() {
    let setup = Setup::new().await;
    let first = pair(&setup.first());
    first.to(setup.origin(), "/u");
    let release = setup.get("/u/dists/noble/Release").await.body;
    assert_eq!(release, first.bytes("dists/noble/Release"));
    let second = pair(&setup.first().date(day(1)));
    second.to(setup.origin(), "/u");
    // Another desktop brings the new generation.
    setup.server.clock().advance(STALE);
    let far = get_from([127, 0, 0, 2].into(), setup.server.address(), "/u/dists/noble/Release").await;
    assert_eq!(far.body, second.bytes("dists/noble/Release"));
    let signature = get(setup.server.address(), "/u/dists/noble/Release.gpg", &[]).await;
    assert_eq!(signature.body, first.bytes("dists/noble/Release.gpg"));
}

#[tokio::test]
async fn the_other_form_of_a_release_file_is_fetched_when_somebody_wants_it() {
    let setup = Setup::new().await;
    let published = setup.first().publish();
    published.to(setup.origin(), "/u");
    assert_eq!(setup.get(IN_RELEASE).await.status, 200);
    for name in ["Release", "Release.gpg", "Release", "InRelease"] {
        let answer = setup.get(&format!("/u/dists/noble/{name}")).await;
        assert_eq!(answer.body, published.bytes(&format!("dists/noble/{name}")), "{name}");
    }
    assert_eq!(setup.origin().requests_to("/u/dists/noble/Release.gpg").len(), 1);
}

fn https(origin: &Origin, authority: &std::path::Path) -> String {
    let url = origin.url("/u").replace("127.0.0.1", "localhost");
    let authority = authority.display();
    format!(
        "{LIMITS}ca = \"{authority}\"\n[[repo]]\nname = \"u\"\nkind = \"apt\"\nupstreams = [\"{url}\"]\ntrust = \"https\"\n"
    )
}

/// The certificate vouches for the release file, and hashes for all below it.
#[rstest]
#[case::unsigned(false)]
#[case::signed(true)]
#[tokio::test]
async fn an_https_upstream_is_trusted_for_its_certificate(#[case] signed: bool) {
    let (key, origin, keyrings) = (Key::generate("Publisher"), Origin::start_tls().await, Keyrings::new());
    let repository = if signed { noble().signed_by(&key) } else { noble() };
    let published = repository.publish();
    published.only(|path| !path.ends_with("InRelease")).to(&origin, "/u");
    let authority = keyrings.write("ca.pem", origin.authority().as_bytes());
    let server = TestServer::start(&https(&origin, &authority)).await;
    let source = Source::apt(server.url("/u"), "noble", "main");
    let source = if signed { source.signed_by(key.keyring()) } else { source.option("trusted=yes") };
    let apt = Apt::new(&[source]);
    let run = apt.update().await;
    // apt itself warns of a trusted source without signatures, not of anything else.
    assert!(run.code == 0 && !run.stderr.contains("Failed"), "{}", run.stderr);
    apt.download(&["nano"]).await.assert_ok();
    let unread = "main/binary-amd64/Packages.gz";
    let mut wrong = published.bytes(&format!("dists/noble/{unread}")).to_vec();
    wrong[40] ^= 1;
    let named = by_hash(&published.bytes("dists/noble/Release"), unread);
    for path in [&named, &format!("/u/dists/noble/{unread}")] {
        origin.route(path, Reply::ok(wrong.clone()));
    }
    assert_eq!(get(server.address(), &named, &[]).await.status, 503);
}

#[tokio::test]
async fn an_https_upstream_with_an_unknown_authority_is_not_trusted() {
    let (origin, keyrings) = (Origin::start_tls().await, Keyrings::new());
    let other = Origin::start_tls().await;
    noble().publish().to(&origin, "/u");
    let authority = keyrings.write("ca.pem", other.authority().as_bytes());
    let server = TestServer::start(&https(&origin, &authority)).await;
    assert_eq!(get(server.address(), "/u/dists/noble/Release", &[]).await.status, 503);
}

#[tokio::test]
async fn without_trust_a_repository_is_cached_by_what_its_paths_say() {
    let origin = Origin::start().await;
    let published = noble().signed_by(&Key::generate("Nobody")).publish();
    published.to(&origin, "/u");
    let server = TestServer::start(&apt(&[&origin])).await;
    consistent(server.address(), &[PACKAGES]).await;
    origin.stop().await;
    consistent(server.address(), &[PACKAGES]).await;
}

#[tokio::test]
async fn a_date_that_goes_back_is_refused() {
    let setup = Setup::new().await;
    let second = setup.first().date(day(1)).package(Package::new("new", "1")).publish();
    second.to(setup.origin(), "/u");
    let before = consistent(setup.server.address(), &[PACKAGES]).await;
    // Validators would hide it: a mirror that was restored from a backup has others.
    let old = setup.first().publish();
    setup.origin().route(IN_RELEASE, Reply::ok(old.bytes("dists/noble/InRelease")).last_modified(day(9)));
    setup.server.clock().advance(STALE);
    assert_eq!(consistent(setup.server.address(), &[PACKAGES]).await, before);
    assert!(setup.metric("lumbung_verify_failures_total{repo=\"u\",what=\"release-date\"} 1").await);
}

/// Both keys are in the keyring, so the new one is no stranger; but that it signs alone is for the
/// administrator to see first.
#[tokio::test]
async fn another_signing_key_is_an_alarm_until_the_old_one_is_gone_from_the_keyring() {
    let (old, new, origin, keyrings) =
        (Key::generate("Old"), Key::generate("New"), Origin::start().await, Keyrings::new());
    let both = [keyrings.write("old.gpg", &old.keyring()), keyrings.write("new.gpg", &new.keyring())];
    noble().signed_by(&old).publish().to(&origin, "/u");
    let mut server = Process::start(&format!("{}check_every = \"0 s\"\n", fragment(&[&origin], &both))).await;
    let before = get(server.address(), IN_RELEASE, &[]).await.body;
    let second = noble().date(day(1)).signed_by(&new).publish();
    second.to(&origin, "/u");
    assert_eq!(get(server.address(), IN_RELEASE, &[]).await.body, before);
    let event = |event: &Value| event["event"] == "signing-key-changed" && event["subject"] == "dists/noble";
    server.event("the alarm", event).await;
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    assert!(metrics.contains("{repo=\"u\",what=\"signing-key-changed\"} 1"), "{metrics}");
    // The administrator takes the old key away.
    std::fs::write(&both[0], new.keyring()).expect("a keyring");
    server.start_again().await;
    let after: Bytes = get(server.address(), IN_RELEASE, &[]).await.body.into();
    assert_eq!(after, second.bytes("dists/noble/InRelease"));
}

#[tokio::test]
async fn an_index_by_hash_of_a_suite_that_others_announced_is_verified_by_its_name() {
    let setup = Setup::new().await;
    let second = setup.first().date(day(1)).package(Package::new("new", "1")).publish();
    setup.first().publish().to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    second.only(|path| path.contains("by-hash")).to(setup.origin(), "/u");
    let release = second.bytes("dists/noble/InRelease");
    let path = by_hash(&release, PACKAGES);
    let good = second.bytes(&format!("dists/noble/{PACKAGES}"));
    let mut wrong = good.to_vec();
    wrong[50] ^= 1;
    setup.origin().route(&path, Reply::ok(wrong));
    let answer = setup.get(&path).await;
    assert!(answer.status != 200 || !answer.is_complete());
    setup.origin().route(&path, Reply::ok(good.clone()));
    setup.server.clock().advance(STALE);
    assert_eq!(setup.get(&path).await.body, good);
}
