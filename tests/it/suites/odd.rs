//! Archives that are laid out in their own ways, with real apt.

use std::fmt::Write as _;

use rstest::rstest;
use sha2::{Digest as _, Sha512};

use super::{Keyrings, Setup, fragment, listed, noble};
use crate::support::apt::{Apt, Source};
use crate::support::client::get;
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Compression, Key, Package, Publication, Repository, day};
use crate::support::server::TestServer;
use crate::support::sha256;

/// Runs apt against a source below the repository `u`: an update and a download of `nano`, twice, of which
/// the second costs upstream nothing.
async fn serves(setup: &Setup, base: &str, suite: &str, components: &str) {
    let mut asked = None;
    for _ in 0..2 {
        let source = Source::apt(setup.server.url(base), suite, components).signed_by(setup.key.keyring());
        let apt = Apt::new(&[source]);
        apt.update().await.assert_ok();
        apt.download(&["nano"]).await.assert_ok();
        crate::fragments::settled(&setup.server).await;
        let now = setup.origin().requests().len();
        assert!(asked.is_none_or(|before| before == now), "{:#?}", setup.origin().requests());
        asked = Some(now);
    }
}

#[tokio::test]
async fn a_suite_with_a_nested_name() {
    let setup = Setup::new().await;
    for name in ["bookworm", "bookworm/updates"] {
        let suite = Repository::new(name).package(Package::new("nano", "7.2-1")).signed_by(&setup.key);
        suite.publish().to(setup.origin(), "/u");
    }
    serves(&setup, "/u", "bookworm/updates", "main").await;
    serves(&setup, "/u", "bookworm", "main").await;
}

#[rstest]
#[case::at_the_root("/u", "./")]
#[case::in_a_folder("/u/cuda/x86_64", "./")]
#[case::named_as_a_suite("/u", "stable/")]
#[tokio::test]
async fn a_flat_repository(#[case] base: &str, #[case] suite: &str) {
    let setup = Setup::new().await;
    let flat = Repository::flat().field("Suite", "stable").package(Package::new("nano", "7.2-1"));
    let flat = flat.signed_by(&setup.key);
    let folder = format!("{base}/{}", suite.trim_start_matches("./"));
    let folder = folder.trim_end_matches('/');
    if suite == "./" {
        flat.publish().to(setup.origin(), folder);
    } else {
        // Its index names files relative to what stands before the suite.
        let published = flat.publish();
        published.only(|path| !path.ends_with(".deb")).to(setup.origin(), folder);
        published.only(|path| path.ends_with(".deb")).to(setup.origin(), base);
    }
    serves(&setup, base, suite, "").await;
}

#[tokio::test]
async fn a_host_with_many_archives() {
    let setup = Setup::new().await;
    let mut published = Vec::new();
    for (owner, build) in [("alice", 0), ("bob", 1)] {
        // The same package name and version in both, not the same bytes.
        let package = Package::new("nano", "7.2-1").payload(vec![build; 3000]);
        let suite = noble().without_packages().package(package).signed_by(&setup.key).publish();
        suite.to(setup.origin(), &format!("/u/{owner}/ppa/ubuntu"));
        published.push((owner, suite));
    }
    for (owner, suite) in published {
        let source = Source::apt(setup.server.url(&format!("/u/{owner}/ppa/ubuntu")), "noble", "main");
        let apt = Apt::new(&[source.signed_by(setup.key.keyring())]);
        apt.update().await.assert_ok();
        apt.download(&["nano"]).await.assert_ok();
        let deb = suite.deb("nano_7.2-1_amd64.deb");
        assert_eq!(apt.archives()["nano_7.2-1_amd64.deb"], sha256(&deb));
    }
    serves(&setup, "/u/alice/ppa/ubuntu", "noble", "main").await;
}

/// A release file that says something else than the one in `published`, signed.
fn publish_release(setup: &Setup, published: &Publication, change: impl FnOnce(String) -> String) {
    published.only(|path| !path.contains("Release")).to(setup.origin(), "/u");
    let release = String::from_utf8(published.bytes("dists/noble/Release").to_vec()).expect("text");
    let signed = setup.key.clearsign(&change(release));
    setup.origin().route("/u/dists/noble/InRelease", Reply::ok(signed).last_modified(day(0)));
}

/// As a certain vendor of containers does it.
#[tokio::test]
async fn packages_that_lie_below_dists() {
    let setup = Setup::new().await;
    let published = setup.first().publish();
    let text = published.bytes("dists/noble/main/binary-amd64/Packages.gz");
    let mut index = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&*text), &mut index).expect("an index");
    let index = index.replace("Filename: pool/main", "Filename: dists/noble/pool/stable");
    for name in ["nano_7.2-1_amd64.deb", "hello_2.10-1_amd64.deb"] {
        let letter = &name[..1];
        let (package, _) = name.split_once('_').expect("a name");
        let path = format!("/u/dists/noble/pool/stable/{letter}/{package}/{name}");
        setup.origin().route(&path, Reply::ok(published.deb(name)));
    }
    setup.origin().route("/u/dists/noble/main/binary-amd64/Packages", Reply::ok(index.clone()));
    publish_release(
        &setup,
        &published.only(|path| !path.contains("Packages") && !path.ends_with(".deb")),
        |text| {
            let mut release =
                text.lines().filter(|line| !line.contains("Packages")).collect::<Vec<_>>().join("\n");
            let _ = write!(
                release,
                "\n {} {} main/binary-amd64/Packages\n",
                sha256(index.as_bytes()),
                index.len()
            );
            release
        },
    );
    serves(&setup, "/u", "noble", "main").await;
}

/// The release file's list by SHA-512, of the files in `published`.
fn by_sha512(published: &Publication, release: &str) -> String {
    let mut list = "SHA512:\n".to_owned();
    for listed in listed(release.as_bytes()) {
        let path = format!("dists/noble/{}", listed.path);
        let Some(file) = published.files().iter().find(|file| file.path == path) else { continue };
        let hash = Sha512::digest(&file.bytes);
        let hash = hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let _ = writeln!(list, " {hash} {} {}", file.bytes.len(), listed.path);
    }
    list
}

/// Under which hashes a publisher names its indices, and which it lists.
#[rstest]
#[case::lists_both_names_by_sha512(false, "SHA512")]
#[case::lists_both_names_by_sha256(false, "SHA256")]
#[case::lists_sha512_alone(true, "SHA512")]
#[case::lists_sha512_alone_and_names_plainly(true, "")]
#[tokio::test]
async fn indices_listed_by_sha512(#[case] alone: bool, #[case] named: &str) {
    let mut setup = Setup::new().await;
    let published = setup.first().compressions(&[Compression::None, Compression::Xz]).publish();
    let release = String::from_utf8(published.bytes("dists/noble/Release").to_vec()).expect("text");
    let list = by_sha512(&published, &release);
    let plain = published.only(|path| !path.contains("by-hash"));
    for line in list.lines().skip(1) {
        let words: Vec<_> = line.split_whitespace().collect();
        let (folder, _) = words[2].rsplit_once('/').expect("a folder");
        let bytes = published.bytes(&format!("dists/noble/{}", words[2]));
        let hash = if named == "SHA256" { sha256(&bytes) } else { words[0].to_owned() };
        if !named.is_empty() {
            setup
                .origin()
                .route(&format!("/u/dists/noble/{folder}/by-hash/{named}/{hash}"), Reply::ok(bytes));
        }
    }
    publish_release(&setup, &plain, |text| {
        let kept = if alone { text.split("SHA256:").next().unwrap_or_default().to_owned() } else { text };
        format!("{kept}{list}")
    });
    serves(&setup, "/u", "noble", "main").await;
    let asked = setup.origin().requests().len();
    // What was learned is known after a restart, too.
    setup.server.restart().await;
    let nano = get(setup.server.address(), "/u/pool/main/n/nano/nano_7.2-1_amd64.deb", &[]).await;
    assert!(nano.is_complete());
    assert_eq!(setup.origin().requests().len(), asked, "a hit");
}

#[tokio::test]
async fn an_index_that_is_published_uncompressed_only() {
    let setup = Setup::new().await;
    setup.first().compressions(&[Compression::None]).publish().to(setup.origin(), "/u");
    serves(&setup, "/u", "noble", "main").await;
}

/// apt asks for the best compression that is listed; there it is only in another.
#[tokio::test]
async fn a_compression_that_is_listed_but_not_offered() {
    let setup = Setup::new().await;
    let published = setup.first().publish();
    let offered = |path: &str| !path.ends_with(".xz");
    published.only(offered).to(setup.origin(), "/u");
    for index in listed(&published.bytes("dists/noble/InRelease")) {
        if index.path.ends_with(".xz") {
            setup.origin().remove(&super::by_hash(&published.bytes("dists/noble/InRelease"), &index.path));
        }
    }
    let apt = setup.desktop();
    apt.update().await.assert_ok();
    apt.download(&["nano"]).await.assert_ok();
    let next = setup.first().date(day(1)).package(Package::new("new", "1")).publish();
    next.only(offered).to(setup.origin(), "/u");
    for index in listed(&next.bytes("dists/noble/InRelease")) {
        if index.path.ends_with(".xz") {
            setup.origin().remove(&super::by_hash(&next.bytes("dists/noble/InRelease"), &index.path));
        }
    }
    setup.server.clock().advance(super::STALE);
    apt.update().await.assert_ok();
    apt.download(&["new"]).await.assert_ok();
}

/// Stores of files often answer 403 for what they do not have.
#[tokio::test]
async fn an_upstream_that_refuses_what_it_does_not_have() {
    let setup = Setup::new().await;
    let published = setup.first().publish();
    published.only(|path| !path.contains("by-hash")).to(setup.origin(), "/u");
    for index in listed(&published.bytes("dists/noble/InRelease")) {
        let path = super::by_hash(&published.bytes("dists/noble/InRelease"), &index.path);
        setup.origin().route(&path, Reply::status(403));
    }
    serves(&setup, "/u", "noble", "main").await;
}

/// Several suites, one archive: each is asked for and verified for itself.
#[tokio::test]
async fn several_suites_of_one_archive_share_its_pool() {
    let (key, origin, keyrings) = (Key::generate("Publisher"), Origin::start().await, Keyrings::new());
    let names = ["noble", "noble-updates", "noble-security"];
    for name in names {
        let suite = Repository::new(name).package(Package::new("nano", "7.2-1")).signed_by(&key);
        suite.publish().to(&origin, "/u");
    }
    let keyring = keyrings.write("key.gpg", &key.keyring());
    let server = TestServer::start(&fragment(&[&origin], &[keyring])).await;
    let source = |name: &str| Source::apt(server.url("/u"), name, "main").signed_by(key.keyring());
    let apt = Apt::new(&names.map(source));
    apt.update().await.assert_ok();
    apt.download(&["nano"]).await.assert_ok();
    assert_eq!(apt.lists().keys().filter(|name| name.ends_with("_InRelease")).count(), 3);
    assert_eq!(origin.log().count("/u/pool/main/n/nano/nano_7.2-1_amd64.deb"), 1);
}
