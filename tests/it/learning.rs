//! What desktops ask for is learned, and what updates that come to some of them first mean for a seed.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::PATIENCE;
use crate::support::apt::{Apt, Source};
use crate::support::client::{ask, get, get_from};
use crate::support::origin::Origin;
use crate::support::repository::{Compression, Key, Package, Publication, Repository, day};
use crate::support::server::TestServer;

/// Suites that one key signs.
pub(crate) struct Publisher {
    pub(crate) origin: Origin,
    key: Key,
    keyring: std::path::PathBuf,
    _folder: TempDir,
}

impl Publisher {
    pub(crate) async fn new() -> Self {
        let (origin, key) = (Origin::start().await, Key::generate("Ubuntu"));
        let folder = TempDir::new().expect("a folder");
        let keyring = folder.path().join("archive.gpg");
        std::fs::write(&keyring, key.keyring()).expect("a keyring");
        Self { origin, key, keyring, _folder: folder }
    }

    /// Publishes a suite with these packages, and gives it.
    pub(crate) fn publish(&self, suite: &str, number: u64, packages: &[Package]) -> Publication {
        let made = Repository::new(suite)
            .compressions(&[Compression::Xz])
            .date(day(number))
            .packages(packages.iter().cloned())
            .signed_by(&self.key)
            .publish();
        made.to(&self.origin, "/ubuntu");
        made
    }

    pub(crate) fn fragment(&self, more: &str) -> String {
        format!(
            "[upstream]\nretries = 0\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n\
             keyring = \"{}\"\n{more}\n",
            self.origin.url("/ubuntu"),
            self.keyring.display()
        )
    }
}

pub(crate) async fn plan(server: &TestServer, seed: &str) -> Value {
    let authorization = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), "POST", &format!("/api/v1/seeds/{seed}/plan"), &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// The packages' files in a plan, in its order.
pub(crate) fn debs(plan: &Value) -> Vec<String> {
    let files = plan["files"].as_array().expect("a list").iter();
    let paths = files.filter_map(|file| file["path"].as_str());
    paths
        .filter(|path| path.ends_with(".deb"))
        .filter_map(|path| path.rsplit('/').next())
        .map(str::to_owned)
        .collect()
}

fn noble(version: &str) -> Vec<Package> {
    vec![
        Package::new("browser", version).depends("engine").payload_size(20_000),
        Package::new("engine", version).payload_size(20_000),
        Package::new("game", version).payload_size(20_000),
        Package::new("unloved", version).payload_size(20_000),
    ]
}

const SEED: &str = "[[seed]]\nname = \"s\"\nrepo = \"ubuntu\"\nsuites = [\"noble\"]\narchitectures = [\"amd64\"]\n\
                    packages = \"learned\"\nlanguages = []\n";

#[tokio::test]
async fn what_most_desktops_ask_for_is_planned_first_in_its_newest_version_and_within_the_budget() {
    let publisher = Publisher::new().await;
    publisher.publish("noble", 0, &noble("1"));
    let mut server = TestServer::start(&publisher.fragment(&format!("{SEED}budget = \"55 kB\"\n"))).await;
    let desktops: Vec<_> =
        ["127.0.1.1", "127.0.1.2"].map(|address| address.parse().expect("an address")).into();
    get_from(desktops[0], server.address(), "/ubuntu/dists/noble/InRelease").await;
    get_from(desktops[0], server.address(), "/ubuntu/dists/noble/main/binary-amd64/Packages.xz").await;
    let deb = |name: &str| format!("/ubuntu/pool/main/{}/{name}/{name}_1_amd64.deb", &name[..1]);
    // Whoever asks again and again is still one desktop.
    for _ in 0..3 {
        assert_eq!(get_from(desktops[0], server.address(), &deb("game")).await.status, 200);
    }
    for desktop in &desktops {
        assert_eq!(get_from(*desktop, server.address(), &deb("browser")).await.status, 200);
    }
    // A look at it is no demand.
    ask(server.address(), "HEAD", &deb("unloved"), &[]).await;
    server.restart().await;

    publisher.publish("noble", 1, &noble("2"));
    server.clock().advance(Duration::from_hours(1));
    get_from(desktops[0], server.address(), "/ubuntu/dists/noble/InRelease").await;
    let made = plan(&server, "s").await;
    assert_eq!(debs(&made).len(), 2, "{made:#}");
    // What nobody asks for is where it is needed already: it comes last.
    assert_eq!(debs(&made), ["browser_2_amd64.deb", "game_2_amd64.deb"]);
    assert_eq!(made["left_out_files"], 1, "the engine");

    // Two months later nobody wants it any more.
    server.clock().advance(Duration::from_hours(70 * 24));
    assert_eq!(debs(&plan(&server, "s").await), [""; 0]);
}

/// A file may be named as its publisher likes: the index says what it is.
#[tokio::test]
async fn a_package_is_known_by_the_index_and_not_by_its_files_name() {
    let publisher = Publisher::new().await;
    let packages = [Package::new("game", "1").file("other_7_amd64.deb"), Package::new("other", "7")];
    publisher.publish("noble", 0, &packages);
    let server = TestServer::start(&publisher.fragment(SEED)).await;
    plan(&server, "s").await;
    let client = "127.0.1.1".parse().expect("an address");
    let got = get_from(client, server.address(), "/ubuntu/pool/main/g/game/other_7_amd64.deb").await;
    assert_eq!(got.status, 200);
    let made = plan(&server, "s").await;
    assert_eq!(debs(&made), ["other_7_amd64.deb"]);
    assert!(made["files"].to_string().contains("/game/"), "{made:#}");
}

/// apt's options, the installed version of all, and what it asks for.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);

/// `Phased-Update-Percentage`, with the machine's own apt: whatever it asks for is in the plan.
#[tokio::test]
async fn desktops_in_and_out_of_a_phase_find_what_their_apt_asks_for() {
    let publisher = Publisher::new().await;
    let noble = [
        Package::new("desktop", "1").depends("shell"),
        Package::new("shell", "1").depends("liba"),
        Package::new("liba", "1"),
        Package::new("libb", "1"),
    ];
    publisher.publish("noble", 0, &noble);
    publisher.publish(
        "noble-updates",
        0,
        &[Package::new("shell", "2").depends("libb").field("Phased-Update-Percentage", "10")],
    );
    let seed =
        SEED.replace("[\"noble\"]", "[\"noble\", \"noble-updates\"]").replace("\"learned\"", "\"desktop\"");
    let server = TestServer::start(&publisher.fragment(&seed)).await;
    let made = plan(&server, "s").await;
    let planned: BTreeSet<_> = debs(&made).into_iter().collect();

    let sources =
        |suite| Source::apt(server.url("/ubuntu"), suite, "main").signed_by(publisher.key.keyring());
    let desktop = || Apt::new(&[sources("noble"), sources("noble-updates")]);
    let never = ("APT::Get::Never-Include-Phased-Updates", "true");
    let always = ("APT::Get::Always-Include-Phased-Updates", "true");
    let policy = ("APT::Get::Phase-Policy", "true");
    let with_new = ["desktop_1_amd64.deb", "libb_1_amd64.deb", "shell_2_amd64.deb"];
    let with_old = ["desktop_1_amd64.deb", "liba_1_amd64.deb", "shell_1_amd64.deb"];
    let cases: [Case<'_>; 5] = [
        // A new installation takes the newest, drawn or not.
        (&[never], "", &with_new),
        (&[always], "", &with_new),
        // Where the share is a pin, it takes the one before.
        (&[never, policy], "", &with_old),
        // An upgrade is held back, or not.
        (&[never], "1", &[]),
        (&[always], "1", &["libb_1_amd64.deb", "shell_2_amd64.deb"]),
    ];
    for (options, installed, expected) in cases {
        let apt = options.iter().fold(desktop(), |apt, (name, value)| apt.option(name, value));
        apt.update().await.assert_ok();
        if installed.is_empty() {
            apt.download(&["desktop"]).await.assert_ok();
        } else {
            apt.pretend_installed(&noble[..3]);
            apt.run(&["dist-upgrade", "--yes", "--download-only"]).await.assert_ok();
        }
        let asked: BTreeSet<_> = apt.archives().into_keys().collect();
        assert_eq!(asked, expected.iter().map(|name| (*name).to_owned()).collect(), "{options:?}");
        assert!(asked.is_subset(&planned), "{options:?}: {asked:?} of {planned:?}");
    }
}

/// A desktop fetches a suite's release file and index, and some packages of it.
pub(crate) async fn desktop(server: &TestServer, address: &str, suite: &str, packages: &[&str]) {
    let address = address.parse().expect("an address");
    let folder = format!("/ubuntu/dists/{suite}");
    let files = [format!("{folder}/InRelease"), format!("{folder}/main/binary-amd64/Packages.xz")];
    let debs = packages.iter().map(|file| {
        let name = file.split('_').next().unwrap_or(file);
        let letters = if name.starts_with("lib") { 4 } else { 1 };
        format!("/ubuntu/pool/main/{}/{name}/{file}", &name[..letters])
    });
    for path in files.into_iter().chain(debs) {
        let got = get_from(address, server.address(), &path).await;
        assert_eq!(got.status, 200, "{path}: {}", got.text());
    }
}

#[tokio::test]
async fn there_is_a_seed_of_what_is_asked_for_without_any_configuration() {
    let publisher = Publisher::new().await;
    publisher.publish("noble", 0, &noble("5"));
    publisher.publish("jammy", 0, &noble("1"));
    let mut server = TestServer::start(&publisher.fragment("")).await;
    let list = async |server: &TestServer| -> Value {
        serde_json::from_str(&get(server.admin(), "/api/v1/seeds", &[]).await.text()).expect("JSON")
    };
    assert_eq!(list(&server).await, serde_json::json!([]), "nobody has asked for anything");
    desktop(&server, "127.0.1.1", "noble", &["game_5_amd64.deb"]).await;
    desktop(&server, "127.0.1.2", "jammy", &["browser_1_amd64.deb"]).await;
    let seeds = list(&server).await;
    assert_eq!((&seeds[0]["seed"], &seeds[0]["hours"]), (&"learned".into(), &"18:00-06:00".into()));
    assert_eq!(seeds[0]["budget"], 20_000_000_000_u64);
    publisher.publish("noble", 1, &noble("6"));
    publisher.publish("jammy", 1, &noble("2"));
    server.clock().advance(Duration::from_hours(1));
    desktop(&server, "127.0.1.1", "noble", &[]).await;
    desktop(&server, "127.0.1.1", "jammy", &[]).await;
    // Each release has its own version of what any desktop asks for.
    let planned: BTreeSet<_> = debs(&plan(&server, "learned").await).into_iter().collect();
    let both = |name: &str| [format!("{name}_6_amd64.deb"), format!("{name}_2_amd64.deb")];
    let expected: BTreeSet<_> = ["browser", "game", "engine"].iter().flat_map(|name| both(name)).collect();
    assert_eq!(planned, expected);

    // It makes no sense beside one that wants the same, nor where nobody wants it.
    server.restart_with(&publisher.fragment(SEED)).await;
    assert_eq!(list(&server).await.as_array().map(Vec::len), Some(1), "the configured one");
    server.restart_with(&publisher.fragment("[learned]\nenabled = false\n")).await;
    assert_eq!(list(&server).await, serde_json::json!([]));
}

#[tokio::test]
async fn hits_on_what_a_seed_brought_are_counted_the_first_one_apart() {
    let publisher = Publisher::new().await;
    publisher.publish("noble", 0, &noble("1"));
    let mut server = TestServer::start(&publisher.fragment(SEED)).await;
    let count = async |server: &TestServer, name: &str| -> u64 {
        let page = get(server.admin(), "/metrics", &[]).await.text();
        let start = format!("lumbung_seed_{name}_total{{repo=\"ubuntu\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(start.as_str()));
        line.expect("a line for it").parse().expect("a number")
    };
    // The plan has the index fetched, on behalf of the seed.
    plan(&server, "s").await;
    assert_eq!(count(&server, "hits").await, 0);
    let index = "/ubuntu/dists/noble/main/binary-amd64/Packages.xz";
    assert_eq!(ask(server.address(), "HEAD", index, &[]).await.status, 200);
    assert_eq!(count(&server, "hits").await, 0, "a look at it takes nothing");
    desktop(&server, "127.0.1.1", "noble", &["game_1_amd64.deb"]).await;
    desktop(&server, "127.0.1.2", "noble", &["game_1_amd64.deb"]).await;
    let size = get(server.address(), index, &[]).await.body.len() as u64;
    let counted = async |server: &TestServer, hits, first, bytes| {
        let all = async {
            while (
                count(server, "hits").await,
                count(server, "first_hits").await,
                count(server, "hit_bytes").await,
            ) != (hits, first, bytes)
            {
                tokio::task::yield_now().await;
            }
        };
        // An answer is counted a moment after its last byte was sent.
        tokio::time::timeout(PATIENCE, all).await.expect("these numbers");
    };
    counted(&server, 3, 1, 3 * size).await;
    // It is known after a restart that this was not the first.
    server.restart().await;
    get(server.address(), index, &[]).await;
    counted(&server, 1, 0, size).await;
    let status = get(server.admin(), "/api/v1/status", &[]).await.text();
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["totals"]["seeds"], serde_json::json!({ "hits": 1, "first": 0, "bytes": size }));
}
