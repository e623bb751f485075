//! The chain of hashes from the release file to every package: no complete wrong body reaches a client.

use std::time::Duration;

use bytes::Bytes;
use rstest::rstest;
use tokio::task::JoinSet;

use super::{IN_RELEASE, PACKAGES, Setup, TRANSLATION, assert_not_stored, by_hash, consistent, objects};
use crate::fragments::settled;
use crate::support::client::{Connection, End, get, request};
use crate::support::gate::Gate;
use crate::support::origin::Reply;
use crate::support::repository::{Compression, Package, Publication, day};
use crate::support::sha256;

const DEB: &str = "/u/pool/main/n/nano/nano_7.2-1_amd64.deb";

/// The part of a body that clients get once its hash is right, in bytes.
const TAIL: usize = 32 * 1024;

/// What an upstream sends in place of a file.
#[derive(Debug, Clone, Copy)]
enum Lie {
    FlippedBit,
    ZeroedTail,
    CutShort,
    Shorter,
    Longer,
    Portal,
    NamelessPortal,
    RedirectToPortal,
    OldFile,
    OtherSuite,
}

impl Lie {
    /// The lie in place of `good`; `other` is a genuine file of the same kind.
    fn told(self, good: &Bytes, other: &Bytes) -> Bytes {
        let mut bytes = good.to_vec();
        let length = bytes.len();
        match self {
            Self::FlippedBit => bytes[length / 2] ^= 1,
            Self::ZeroedTail => bytes[length * 3 / 4..].fill(0),
            Self::Shorter => bytes.truncate(length - 1),
            Self::Longer => bytes.push(0),
            Self::CutShort | Self::Portal | Self::NamelessPortal | Self::RedirectToPortal => {}
            Self::OldFile | Self::OtherSuite => return other.clone(),
        }
        bytes.into()
    }

    fn reply(self, good: &Bytes, other: &Bytes) -> Reply {
        let told = self.told(good, other);
        let length = told.len() as u64;
        match self {
            Self::CutShort => Reply::ok(told).truncate_after(length * 3 / 4).no_ranges(),
            Self::Portal => Reply::portal(),
            Self::NamelessPortal => Reply::ok(vec![b'<'; good.len()]),
            Self::RedirectToPortal => Reply::redirect("/login"),
            _ => Reply::ok(told),
        }
    }

    /// Whether the bytes themselves are wrong, and the right number of them.
    fn is_found_by_hash(self) -> bool {
        matches!(self, Self::FlippedBit | Self::ZeroedTail | Self::NamelessPortal)
    }
}

#[derive(Debug, Clone, Copy)]
enum Target {
    IndexByHash,
    IndexByName,
    Package,
}

/// What is published in these tests, with indices large enough to stream before they are checked.
fn publication(setup: &Setup) -> Publication {
    let long = "long".repeat(30_000);
    setup
        .first()
        .package(Package::new("filler", "1").field("Tag", &long).description(&long))
        .compressions(&[Compression::None, Compression::Gzip])
        .publish()
}

const INDEX: &str = "main/binary-amd64/Packages";

impl Target {
    /// Under which paths upstream has it, and what it is.
    fn paths(self, published: &Publication) -> (Vec<String>, Bytes) {
        let index = published.bytes(&format!("dists/noble/{INDEX}"));
        let named = by_hash(&published.bytes("dists/noble/InRelease"), INDEX);
        match self {
            Self::IndexByHash => (vec![named, format!("/u/dists/noble/{INDEX}")], index),
            Self::IndexByName => (vec![format!("/u/dists/noble/{INDEX}"), named], index),
            Self::Package => (vec![DEB.to_owned()], published.deb("nano_7.2-1_amd64.deb")),
        }
    }
}

/// Whatever the first upstream sends for a file, and however many ask at once: nobody gets a whole wrong
/// body, nothing wrong is stored, and whoever asks again gets the right one from the second upstream.
#[rstest]
#[tokio::test]
async fn a_lie_reaches_nobody_whole(
    #[values(
        Lie::FlippedBit,
        Lie::ZeroedTail,
        Lie::CutShort,
        Lie::Shorter,
        Lie::Longer,
        Lie::Portal,
        Lie::NamelessPortal,
        Lie::RedirectToPortal,
        Lie::OldFile,
        Lie::OtherSuite
    )]
    lie: Lie,
    #[values(Target::IndexByHash, Target::IndexByName, Target::Package)] target: Target,
) {
    let mut setup = Setup::with(2, "").await;
    let published = publication(&setup);
    for origin in &setup.origins {
        published.to(origin, "/u");
        origin.route("/login", Reply::portal());
    }
    let (paths, good) = target.paths(&published);
    let other = match (target, lie) {
        (Target::Package, _) => published.deb("hello_2.10-1_amd64.deb"),
        (_, Lie::OldFile) => setup.first().publish().bytes(&format!("dists/noble/{PACKAGES}")),
        _ => published.bytes(&format!("dists/noble/{}", "main/i18n/Translation-en")),
    };
    assert_eq!(setup.get(IN_RELEASE).await.status, 200);
    if matches!(target, Target::Package) {
        assert!(setup.get(&format!("/u/dists/noble/{INDEX}")).await.is_complete());
    }
    for path in &paths {
        setup.origins[0].route(path, lie.reply(&good, &other));
    }
    let server = setup.server.address();
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let path = paths[0].clone();
        clients.spawn(async move { get(server, &path, &[]).await });
    }
    for answer in clients.join_all().await {
        assert!(answer.status != 200 || !answer.is_complete() || answer.body == good, "{lie:?} got through");
        let kept = answer.body.len().min(good.len().saturating_sub(TAIL));
        assert!(
            answer.status != 200 || answer.body.len() <= kept || answer.body == good,
            "a tail got through"
        );
    }
    let again = setup.get(&paths[0]).await;
    assert!(again.is_complete() && again.body == good, "{} {:?}", again.status, again.end);
    if lie.is_found_by_hash() {
        assert!(setup.metric("lumbung_verify_failures_total{repo=\"u\",what=\"object\"} 1").await);
    }
    settled(&setup.server).await;
    for wrong in [lie.told(&good, &other), Bytes::from(vec![b'<'; good.len()])] {
        if wrong != good {
            assert_not_stored(&setup.server, &wrong);
        }
    }
    setup.server.restart().await;
    assert!(setup.get(&paths[0]).await.body == good);
}

/// With one upstream alone there is nothing to serve while it lies, and no lie.
#[rstest]
#[case(Target::IndexByHash)]
#[case(Target::Package)]
#[tokio::test]
async fn what_was_a_lie_is_right_when_upstream_is(#[case] target: Target) {
    let setup = Setup::new().await;
    let published = publication(&setup);
    published.to(setup.origin(), "/u");
    let (paths, good) = target.paths(&published);
    consistent(setup.server.address(), if matches!(target, Target::Package) { &[INDEX] } else { &[] }).await;
    for path in &paths {
        setup.origin().route(path, Lie::FlippedBit.reply(&good, &good));
    }
    let answer = setup.get(&paths[0]).await;
    assert!(answer.status != 200 || !answer.is_complete(), "{}", answer.status);
    settled(&setup.server).await;
    published.to(setup.origin(), "/u");
    let answer = setup.get(&paths[0]).await;
    assert!(answer.is_complete() && answer.body == good, "{} {:?}", answer.status, answer.end);
}

/// Indices of every compression and kind are held to what the release file says.
#[rstest]
#[case("main/binary-amd64/Packages.xz")]
#[case("main/binary-amd64/Packages.gz")]
#[case("main/i18n/Translation-en.xz")]
#[case("main/i18n/Translation-en.gz")]
#[tokio::test]
async fn every_listed_index_is_verified_by_both_its_names(#[case] index: &str) {
    for named_by_hash in [true, false] {
        let setup = Setup::new().await;
        let published = setup.first().publish();
        published.to(setup.origin(), "/u");
        let release = setup.get(IN_RELEASE).await.body;
        let named = [by_hash(&release, index), format!("/u/dists/noble/{index}")];
        let path = &named[usize::from(!named_by_hash)];
        let good = published.bytes(&format!("dists/noble/{index}"));
        for path in &named {
            setup.origin().route(path, Lie::FlippedBit.reply(&good, &good));
        }
        let answer = setup.get(path).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        published.to(setup.origin(), "/u");
        assert_eq!(setup.get(path).await.body, good);
        assert_eq!(
            sha256(&good),
            super::listed(&release).iter().find(|l| l.path == index).expect("listed").hash
        );
    }
}

#[rstest]
#[case::package("/u/pool/main/s/stray/stray_1_amd64.deb")]
#[case::beside_the_indices("/u/dists/noble/main/installer-amd64/current/boot.img")]
#[case::beside_the_suites("/u/dists/README")]
#[tokio::test]
async fn what_nothing_lists_is_passed_on_and_not_kept(#[case] path: &str) {
    let setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    setup.origin().route(path, Reply::ok("not listed"));
    for asked in 1..3 {
        let answer = setup.get(path).await;
        assert_eq!((answer.status, &*answer.text()), (200, "not listed"));
        assert!(answer.header("cache-status").is_some_and(|status| status.contains("fwd=bypass")));
        assert_eq!(setup.origin().requests_to(path).len(), asked);
    }
    assert_not_stored(&setup.server, b"not listed");
}

/// A client that waits at the end of a transfer has all but the tail, and of a wrong body it never gets it.
#[rstest]
#[case::right(true)]
#[case::wrong(false)]
#[tokio::test]
async fn the_tail_is_held_back_until_the_hash_is_right(#[case] right: bool) {
    let setup = Setup::new().await;
    let published = setup.first().publish();
    published.to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES]).await;
    let good = published.deb("nano_7.2-1_amd64.deb");
    let mut sent = good.to_vec();
    if !right {
        *sent.last_mut().expect("a byte") ^= 1;
    }
    let gate = Gate::new();
    setup.origin().route(DEB, Reply::ok(sent).pause_after(good.len() as u64 - 1, &gate));
    let mut client = Connection::open(setup.server.address()).await;
    client.send(request(setup.server.address(), "GET", DEB, &[])).await;
    let head = client.head().await.expect("a head");
    assert_eq!(head.header("content-length"), Some(&*good.len().to_string()));
    let before = good.len() - TAIL;
    assert_eq!(client.bytes(before).await, good[..before]);
    gate.reached_by(1).await;
    assert!(client.is_quiet());
    gate.open();
    if right {
        assert_eq!(client.bytes(TAIL).await, good[before..]);
    } else {
        assert!(client.rest().await.is_ok_and(|rest| rest.is_empty()) || client.is_quiet());
    }
}

/// What a cut client resumes with fits nothing that is served later, so that it begins anew; a client
/// whose connection broke by itself resumes where it was.
#[tokio::test]
async fn the_date_of_unverified_bytes_resumes_right_ones_only() {
    let setup = Setup::with(2, "").await;
    let published = setup.first().publish();
    for origin in &setup.origins {
        published.to(origin, "/u");
    }
    consistent(setup.server.address(), &[PACKAGES]).await;
    let good = published.deb("nano_7.2-1_amd64.deb");
    setup.origins[0].route(DEB, Reply::ok(Lie::FlippedBit.told(&good, &good)).last_modified(day(0)));
    let cut = setup.get(DEB).await;
    assert!(matches!(cut.end, End::Cut(_)), "{:?}", cut.end);
    let date = cut.header("last-modified").expect("a date").to_owned();
    let range = format!("bytes={}-", cut.body.len());
    let resume = [("Range", &*range), ("If-Range", &*date)];
    let resumed = get(setup.server.address(), DEB, &resume).await;
    assert_eq!((resumed.status, resumed.body == good), (200, true), "the rest of another body");
    // The date that went out with the good transfer while it ran fits it for good.
    let date = resumed.header("last-modified").expect("a date").to_owned();
    settled(&setup.server).await;
    let resume = [("Range", "bytes=1000-"), ("If-Range", &*date)];
    let part = get(setup.server.address(), DEB, &resume).await;
    assert_eq!((part.status, part.body == good[1000..]), (206, true));
    let now = setup.get(DEB).await.header("last-modified").expect("a date").to_owned();
    assert_eq!(httpdate::parse_http_date(&now).expect("a date"), day(0));
}

/// With real apt: the first upstream lies in a large package. apt is cut, begins anew, and ends well.
#[tokio::test]
async fn apt_ends_with_the_good_file_though_the_first_upstream_lied() {
    let setup = Setup::with(2, "").await;
    let published = setup.first().publish();
    for origin in &setup.origins {
        published.to(origin, "/u");
    }
    let apt = setup.desktop();
    apt.update().await.assert_ok();
    let good = published.deb("nano_7.2-1_amd64.deb");
    setup.origins[0].route(DEB, Reply::ok(Lie::FlippedBit.told(&good, &good)).last_modified(day(0)));
    apt.download(&["nano"]).await.assert_ok();
    assert_eq!(apt.archives()["nano_7.2-1_amd64.deb"], sha256(&good));
}

/// Two upstreams of which the first breaks off after a wrong beginning: the rest that the second sends does
/// not make it right, and the second is not given up for it.
#[tokio::test]
async fn a_wrong_beginning_with_a_right_rest_is_thrown_away() {
    let setup = Setup::with(2, "").await;
    let published = setup.first().publish();
    for origin in &setup.origins {
        published.to(origin, "/u");
    }
    consistent(setup.server.address(), &[PACKAGES]).await;
    let good = published.deb("nano_7.2-1_amd64.deb");
    let wrong = vec![0; good.len()];
    setup.origins[0].route_in_turn(
        DEB,
        [Reply::ok(wrong.clone()).truncate_after(100_000), Reply::ok(wrong.clone()).truncate_after(100_000)],
    );
    let right = async {
        loop {
            let answer = setup.get(DEB).await;
            if answer.status == 200 && answer.is_complete() {
                break answer.body;
            }
        }
    };
    let body = tokio::time::timeout(Duration::from_secs(20), right).await.expect("the right package");
    assert!(body == good);
}

/// A flaw of the store cannot hide behind the indices: what is there is what its name says.
#[tokio::test]
async fn everything_in_the_store_hashes_to_its_name() {
    let setup = Setup::new().await;
    setup.first().publish().to(setup.origin(), "/u");
    consistent(setup.server.address(), &[PACKAGES, TRANSLATION]).await;
    assert!(setup.get(DEB).await.is_complete());
    settled(&setup.server).await;
    // The signed file, its text, two indices and a package.
    assert_eq!(objects(&setup.server.store()).len(), 5);
}
