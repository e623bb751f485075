//! Real clients, a real publisher's files, a real web server.
//!
//! The files are fetched once a day through the machine's own apt, all else is loopback. Desktops are the
//! machine's apt in roots of their own; they check signatures and hashes as they always do, with the
//! publisher's keyring.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use rstest::rstest;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::apt::{Apt, Source};
use crate::support::bootstrap::{Proxy, bootstrap};
use crate::support::client::get;
use crate::support::nginx::{Access, Nginx};
use crate::support::real_upstream::RealUpstream;
use crate::support::server::{Process, TestServer};
use crate::support::sha256_file;

/// The host by which desktops that use a proxy know the archive. Nobody has it: what reaches it has gone
/// through Lumbung.
const ARCHIVE: &str = "http://archive.example";

/// How a desktop is pointed at the server.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Its sources name the server.
    Mirror,
    /// Its sources name the archive, its apt the server as a proxy.
    Proxy,
}

impl Form {
    fn desktop(self, real: &RealUpstream, server: &str) -> Apt {
        let sources = |base: &str| -> Vec<Source> { real.sources(base) };
        match self {
            Self::Mirror => Apt::new(&sources(server)),
            Self::Proxy => Apt::new(&sources(ARCHIVE)).option("Acquire::http::Proxy", server),
        }
    }
}

async fn real_upstream() -> RealUpstream {
    tokio::task::spawn_blocking(RealUpstream::obtain).await.expect("a real upstream")
}

/// A configuration with a repository for each of the publisher's archives, named by its root.
fn configuration(real: &RealUpstream, upstream: &str) -> String {
    let mut archives: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for suite in real.suites() {
        let keyrings = archives.entry(&suite.root).or_default();
        keyrings.insert(format!("{:?}", real.keyring(suite).display().to_string()));
    }
    archives.iter().fold(String::new(), |mut text, (root, keyrings)| {
        let keyrings = keyrings.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            text,
            "[[repo]]\nname = \"{root}\"\nkind = \"apt\"\nupstreams = [\"{upstream}/{root}\"]\n\
             aliases = [\"{ARCHIVE}/{root}\"]\nkeyring = [{keyrings}]\ntrust = \"signature\"\n"
        );
        text
    })
}

/// Asserts that nothing failed and nothing was sent twice.
fn assert_each_sent_once(accesses: &[Access]) {
    let failed: Vec<_> = accesses.iter().filter(|access| !matches!(access.status, 200 | 304)).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for access in accesses.iter().filter(|access| access.status == 200) {
        *times.entry(&access.path).or_default() += 1;
    }
    times.retain(|_, count| *count > 1);
    assert!(times.is_empty(), "sent more than once: {times:#?}");
}

/// Asserts that every release file and every package was asked for, and indices of every suite.
fn assert_all_sent(real: &RealUpstream, accesses: &[Access]) {
    let sent: BTreeSet<&str> = accesses.iter().map(|access| access.path.trim_start_matches('/')).collect();
    let wanted = real.files().iter().map(|file| file.path.as_str());
    let missing: Vec<_> = wanted
        .filter(|path| path.ends_with(".deb") || path.ends_with("/InRelease"))
        .filter(|path| !sent.contains(path))
        .collect();
    assert!(missing.is_empty(), "never asked for: {missing:#?}");
    for suite in real.suites() {
        let folder = format!("{}/dists/{}/", suite.root, suite.name);
        let index = |path: &&&str| path.starts_with(&folder) && path.contains("/by-hash/");
        assert!(sent.iter().any(|path| index(&path)), "no index below {folder}");
    }
}

/// Asserts that a desktop's release files are the publisher's, byte for byte. Its indices were checked
/// against them by apt.
fn assert_release_files(real: &RealUpstream, lists: &BTreeMap<String, String>) {
    let published = real.files().iter().filter(|file| file.path.ends_with("/InRelease"));
    let mut published: Vec<&str> = published.map(|file| file.sha256.as_str()).collect();
    let held = lists.iter().filter(|(name, _)| name.ends_with("_InRelease"));
    let mut held: Vec<&str> = held.map(|(_, hash)| hash.as_str()).collect();
    published.sort_unstable();
    held.sort_unstable();
    assert_eq!(published, held);
}

/// The yardstick for everything between: without it, two desktops get what the publisher signed.
#[tokio::test(flavor = "multi_thread")]
async fn desktops_update_and_download_directly_from_the_web_server() {
    let real = real_upstream().await;
    let nginx = Nginx::serve(&real.folder());
    let desktops = [Apt::new(&real.sources(&nginx.url(""))), Apt::new(&real.sources(&nginx.url("")))];
    let visit = async |apt: &Apt| {
        apt.update().await.assert_ok();
        apt.download(&real.packages()).await.assert_ok();
        real.assert_archives(&apt.archives());
        assert_release_files(&real, &apt.lists());
    };
    tokio::join!(visit(&desktops[0]), visit(&desktops[1]));
    let debs: Vec<_> = real.debs().collect();
    assert!(debs.len() > 150, "{} packages", debs.len());
    let accesses = nginx.finish();
    let failed: Vec<_> = accesses.iter().filter(|access| access.status != 200).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let sent = |path: &str| accesses.iter().filter(|access| access.path == path).count();
    let file = debs.iter().max_by_key(|file| file.size).expect("a package");
    assert_eq!(sent(&format!("/{}", file.path)), 2, "{}", file.path);
    assert_eq!(sha256_file(&real.folder().join(&file.path)).expect("a file"), file.sha256);
}

/// Twenty desktops begin each step together; upstream sends every release file, index and package once,
/// and nothing at all for their second update.
#[rstest]
#[case::in_mirror_form(Form::Mirror)]
#[case::in_proxy_form(Form::Proxy)]
#[tokio::test(flavor = "multi_thread")]
async fn twenty_desktops_cost_upstream_one_transfer_of_each_file(#[case] form: Form) {
    const DESKTOPS: usize = 20;
    let real = std::sync::Arc::new(real_upstream().await);
    let nginx = Nginx::serve(&real.folder());
    let server = Process::start(&configuration(&real, &nginx.url(""))).await;
    let together = std::sync::Arc::new(Barrier::new(DESKTOPS));
    let mut desktops = JoinSet::new();
    for _ in 0..DESKTOPS {
        let (real, together) = (real.clone(), together.clone());
        let apt = form.desktop(&real, &server.url(""));
        desktops.spawn(async move {
            together.wait().await;
            apt.update().await.assert_ok();
            let first = apt.lists();
            assert_release_files(&real, &first);
            together.wait().await;
            apt.download(&real.packages()).await.assert_ok();
            real.assert_archives(&apt.archives());
            apt.clean();
            together.wait().await;
            apt.update().await.assert_ok();
            assert_eq!(apt.lists(), first);
            first
        });
    }
    let lists = desktops.join_all().await;
    assert!(lists.iter().all(|other| *other == lists[0]), "desktops differ in what they hold");
    drop(server);
    let accesses = nginx.finish();
    assert_all_sent(&real, &accesses);
    assert_each_sent_once(&accesses);
    // Within `check_every` nobody asks whether there is something new.
    assert!(accesses.iter().all(|access| access.status != 304), "a second update reached upstream");
}

/// Upstream is gone and every suite is overdue: a desktop that was just installed updates and installs
/// what others had, and apt has nothing to complain about.
#[rstest]
#[case::in_mirror_form(Form::Mirror)]
#[case::in_proxy_form(Form::Proxy)]
#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_desktop_does_not_notice_that_upstream_is_down(#[case] form: Form) {
    let real = real_upstream().await;
    let nginx = Nginx::serve(&real.folder());
    let mut server = TestServer::start(&configuration(&real, &nginx.url(""))).await;
    let first = form.desktop(&real, &server.url(""));
    first.update().await.assert_ok();
    first.download(&real.packages()).await.assert_ok();
    drop(nginx);
    // What it knows must be on its disk, not in its memory.
    server.restart().await;
    server.clock().advance(Duration::from_hours(1));
    let fresh = form.desktop(&real, &server.url(""));
    fresh.update().await.assert_ok();
    fresh.download(&real.packages()).await.assert_ok();
    real.assert_archives(&fresh.archives());
    assert_release_files(&real, &fresh.lists());
    let suite = &real.suites()[0];
    let path = format!("/{}/dists/{}/InRelease", suite.root, suite.name);
    let answer = get(server.address(), &path, &[]).await;
    let status = answer.header("cache-status").unwrap_or_default();
    assert!(answer.status == 200 && status.contains("not checked"), "{} {status}", answer.status);
}

/// All that a new machine needs is in the real upstream.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_machine_installs_directly_from_the_web_server() {
    let real = real_upstream().await;
    let nginx = Nginx::serve(&real.folder());
    bootstrap(&real, &nginx.url(""), None).await;
    let accesses = nginx.finish();
    let failed: Vec<_> = accesses.iter().filter(|access| access.status != 200).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(accesses.iter().filter(|access| access.path.ends_with(".deb")).count() > 20);
}

/// Three new machines, each pointed at the server in another way, cost upstream one transfer of each file.
#[tokio::test(flavor = "multi_thread")]
async fn new_machines_install_through_the_server_however_they_are_pointed_at_it() {
    let real = real_upstream().await;
    let nginx = Nginx::serve(&real.folder());
    let server = Process::start(&configuration(&real, &nginx.url(""))).await;
    let proxy = server.url("");
    tokio::join!(
        bootstrap(&real, &proxy, None),
        bootstrap(&real, ARCHIVE, Some(Proxy::Environment(&proxy))),
        bootstrap(&real, ARCHIVE, Some(Proxy::Setting(&proxy))),
    );
    drop(server);
    let accesses = nginx.finish();
    assert_each_sent_once(&accesses);
    assert!(accesses.iter().filter(|access| access.path.ends_with(".deb")).count() > 20);
}
