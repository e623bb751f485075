//! Seeds: what a plan says, through the API and on the command line.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{ask, get};
use crate::support::origin::Origin;
use crate::support::program::lumbung;
use crate::support::repository::{Compression, Key, Package, Publication, Repository};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, sha256};

/// An origin with a signed suite, and the configuration of a repository and its seeds.
struct Publisher {
    origin: Origin,
    publication: Publication,
    fragment: String,
    _folder: TempDir,
}

impl Publisher {
    async fn new(seed: &str) -> Self {
        let key = Key::generate("Ubuntu");
        let noble = Repository::new("noble")
            .compressions(&[Compression::Xz])
            .package(Package::new("desktop", "1").depends("editor | viewer").field("Recommends", "fonts"))
            .package(Package::new("editor", "2").depends("libc6 (>= 2)").payload_size(50_000))
            .package(Package::new("viewer", "1"))
            .package(Package::new("fonts", "1").architecture("all"))
            .package(Package::new("libc6", "2.39"))
            .package(Package::new("broken", "1").depends("nothing (>= 3)"))
            .signed_by(&key);
        let (origin, publication) = (Origin::start().await, noble.publish());
        publication.to(&origin, "/ubuntu");
        let folder = TempDir::new().expect("a folder");
        let keyring = folder.path().join("archive.gpg");
        std::fs::write(&keyring, key.keyring()).expect("a keyring");
        let list = folder.path().join("pc.list");
        std::fs::write(&list, "viewer\tinstall\nfonts\tdeinstall\n").expect("a list");
        let fragment = format!(
            "[upstream]\nretries = 0\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n\
             keyring = \"{}\"\n[[seed]]\nname = \"s\"\nrepo = \"ubuntu\"\nsuites = [\"noble\"]\n\
             architectures = [\"amd64\"]\n{}\n",
            origin.url("/ubuntu"),
            keyring.display(),
            seed.replace("LIST", &list.display().to_string())
        );
        Self { origin, publication, fragment, _folder: folder }
    }
}

async fn plan(server: &TestServer) -> Value {
    let authorization = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), "POST", "/api/v1/seeds/s/plan", &headers).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("JSON")
}

/// The packages' files in a plan.
fn debs(plan: &Value) -> Vec<&str> {
    let files = plan["files"].as_array().expect("a list").iter();
    let paths = files.filter_map(|file| file["path"].as_str());
    let mut names: Vec<_> =
        paths.filter(|path| path.ends_with(".deb")).filter_map(|path| path.rsplit('/').next()).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_plan_lists_what_apt_would_install_and_what_of_it_is_here() {
    let publisher = Publisher::new("packages = [\"desktop\"]").await;
    let server = TestServer::start(&publisher.fragment).await;
    // Looking fetches nothing.
    let looked = get(server.admin(), "/api/v1/seeds/s/plan", &[]).await;
    assert_eq!(looked.status, 409, "{}", looked.text());
    assert_eq!(publisher.origin.requests().len(), 0);
    let made = plan(&server).await;
    assert_eq!(
        debs(&made),
        ["desktop_1_amd64.deb", "editor_2_amd64.deb", "fonts_1_all.deb", "libc6_2.39_amd64.deb"]
    );
    assert_eq!((&made["seed"], &made["packages"]), (&json!("s"), &json!(4)));
    assert_eq!((&made["unresolved"], &made["seconds_at_limit"]), (&json!([]), &Value::Null));
    let asked = publisher.origin.requests().len();
    for file in made["files"].as_array().expect("a list") {
        let path = file["path"].as_str().expect("a path");
        let bytes = publisher.publication.bytes(path);
        assert_eq!((&file["size"], &file["sha256"]), (&json!(bytes.len()), &json!(sha256(&bytes))), "{path}");
        let fetched = path.ends_with("/InRelease") || path.ends_with("/Packages.xz");
        assert_eq!(file["present"], fetched, "{path}");
    }
    let sum = |wanted: bool| -> u64 {
        let files = made["files"].as_array().expect("a list").iter();
        files.filter(|file| file["present"] == wanted).filter_map(|file| file["size"].as_u64()).sum()
    };
    assert_eq!((&made["bytes_present"], &made["bytes_missing"]), (&json!(sum(true)), &json!(sum(false))));
    assert_eq!(made["bytes"], sum(true) + sum(false));
    assert!(
        made["files"]
            .as_array()
            .expect("a list")
            .iter()
            .any(|file| file["path"] == "dists/noble/main/i18n/Translation-en.xz")
    );

    // A desktop fetches one of them; now a look is enough, and costs nothing.
    get(server.address(), "/ubuntu/pool/main/e/editor/editor_2_amd64.deb", &[]).await;
    let before = publisher.origin.requests().len();
    assert_eq!(before, asked + 1);
    let editor = publisher.publication.deb("editor_2_amd64.deb").len() as u64;
    // A desktop has the last byte a moment before the catalog knows the file.
    let noted = async {
        loop {
            let looked = get(server.admin(), "/api/v1/seeds/s/plan", &[]).await;
            let looked: Value = serde_json::from_str(&looked.text()).expect("JSON");
            if looked["bytes_missing"].as_u64() == Some(sum(false) - editor) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, noted).await.expect("a plan that knows what came");
    assert_eq!(publisher.origin.requests().len(), before);
}

#[tokio::test]
async fn what_cannot_be_resolved_is_told_and_the_rest_is_planned() {
    let publisher =
        Publisher::new("packages = [\"broken\", \"gone\", \"viewer\"]\ncomponents = [\"main\", \"mian\"]")
            .await;
    let made = plan(&TestServer::start(&publisher.fragment).await).await;
    assert_eq!(debs(&made), ["broken_1_amd64.deb", "viewer_1_amd64.deb"]);
    let told: Vec<_> =
        made["unresolved"].as_array().expect("a list").iter().map(|one| one["package"].clone()).collect();
    assert_eq!(told, ["noble/mian", "broken:amd64", "gone"]);
    let reason = made["unresolved"][1]["reason"].as_str().expect("a reason");
    assert!(reason.contains("Depends: nothing (>= 3)"), "{reason}");
}

#[tokio::test]
async fn everything_and_lists_and_budgets() {
    for (seed, expected) in [
        ("packages = [\"*\"]", 6),
        ("packages = [\"*\"]\nbudget = \"40 kB\"", 5),
        ("selections = \"LIST\"", 1),
        ("sections = [\"misc\"]", 6),
        ("priorities = [\"required\"]", 0),
        ("packages = [\"desktop\"]\nrecommends = false", 3),
        ("packages = [\"desktop\"]\nclosure = \"all\"", 5),
    ] {
        let publisher = Publisher::new(seed).await;
        let made = plan(&TestServer::start(&publisher.fragment).await).await;
        assert_eq!(debs(&made).len(), expected, "{seed}: {made:#}");
        let left_out = made["left_out_files"].as_u64().expect("a number");
        assert_eq!(left_out > 0, seed.contains("budget"), "{seed}");
    }
}

#[tokio::test]
async fn what_desktops_ask_for_is_learned() {
    let publisher = Publisher::new("packages = \"learned\"").await;
    let mut server = TestServer::start(&publisher.fragment).await;
    assert_eq!(debs(&plan(&server).await), [""; 0]);
    get(server.address(), "/ubuntu/pool/main/e/editor/editor_2_amd64.deb", &[]).await;
    server.restart().await;
    assert_eq!(debs(&plan(&server).await), ["editor_2_amd64.deb", "libc6_2.39_amd64.deb"]);
}

#[tokio::test]
async fn an_upstream_that_lies_or_is_away_spoils_the_plan_in_words() {
    let publisher = Publisher::new("packages = [\"desktop\"]").await;
    let server = TestServer::start(&publisher.fragment).await;
    let lie = publisher.publication.only(|path| path.contains("InRelease"));
    // The release file alone: every index is missing.
    let other = Origin::start().await;
    lie.to(&other, "/ubuntu");
    let fragment = publisher.fragment.replace(&publisher.origin.url("/ubuntu"), &other.url("/ubuntu"));
    drop(server);
    let server = TestServer::start(&fragment).await;
    let authorization = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), "POST", "/api/v1/seeds/s/plan", &headers).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("Packages.xz of ubuntu cannot be had"), "{}", answer.text());
    for (path, status) in [("/api/v1/seeds/x/plan", 404), ("/api/v1/seeds/s/plan", 401)] {
        let headers = if status == 401 { &[("Content-Length", "0")][..] } else { &headers[..] };
        assert_eq!(ask(server.admin(), "POST", path, headers).await.status, status);
    }
}

/// Ten kilobytes a second in the first of its hours, which begin in one.
#[tokio::test]
async fn a_plan_tells_the_time_that_the_line_takes_within_its_hours() {
    let publisher = Publisher::new("packages = [\"desktop\"]\nhours = \"04:00-06:00\"").await;
    let wan = "[wan]\nlimit = \"800 kbit/s\"\ntimezone = \"Asia/Pontianak\"\n\
               schedule = [{ hours = \"04:00-05:00\", limit = \"80 kbit/s\" }]\n";
    let server = TestServer::start(&format!("{wan}{}", publisher.fragment)).await;
    // One hour before them, by the clock in Pontianak, which is seven hours ahead.
    let (day, three) = (24 * 3600, (24 + 3 - 7) * 3600);
    let since_midnight = server.clock().unix().rem_euclid(day);
    server.clock().advance(Duration::from_secs((three - since_midnight).rem_euclid(day).unsigned_abs()));
    let made = plan(&server).await;
    let missing = made["bytes_missing"].as_u64().expect("a number");
    assert!(missing > 0);
    let busy = missing.div_ceil(10_000);
    assert_eq!(made["seconds_at_limit"], busy, "{missing}");
    let within = made["seconds_within_hours"].as_u64().expect("a number");
    // It is made within the first minute of that hour.
    assert!((3540 + busy..=3600 + busy).contains(&within), "{within}, {busy}");
    assert_eq!((&made["bytes_without_limit"], &made["seconds_until_no_limit"]), (&json!(0), &Value::Null));
}

#[tokio::test]
async fn the_command_line_plans_with_the_server_and_without() {
    let publisher = Publisher::new("packages = [\"desktop\"]\nhours = \"18:00-06:00\"").await;
    let mut server = TestServer::start(&publisher.fragment).await;
    let folder = TempDir::new().expect("a folder");
    let config = folder.path().join("lumbung.toml");
    let write = |admin: String| {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"{admin}\"\n[store]\npath = \"{}\"\nmin_free = \"0 B\"\n{}",
            server.store().display(),
            publisher.fragment
        );
        std::fs::write(&config, text).expect("a file");
    };
    write(server.admin().to_string());
    let file = config.display().to_string();
    let run = async |arguments: &[&str]| lumbung(&[arguments, &["--config", &file]].concat()).await.parts();
    let (code, list, _) = run(&["seed", "list"]).await;
    assert!(code == Some(0) && list.contains("noble (not here)"), "{list}");
    let (code, by_server, problem) = run(&["seed", "plan", "s", "--json"]).await;
    assert_eq!(code, Some(0), "{problem}");
    let (_, table, _) = run(&["seed", "plan", "s"]).await;
    assert!(table.contains("packages     4") && table.contains("18:00-06:00"), "{table}");
    let (code, _, problem) = run(&["seed", "plan", "x"]).await;
    assert_eq!(code, Some(1));
    assert!(problem.contains("no seed \"x\"") || problem.contains("\\\"x\\\""), "{problem}");
    server.stop().await;
    let (code, by_itself, problem) = run(&["seed", "plan", "s", "--json"]).await;
    assert_eq!((code, problem.as_str()), (Some(0), ""));
    // But for what is told from now on.
    let plan_of = |text: &str| {
        let mut plan: Value = serde_json::from_str(text).expect("JSON");
        plan["seconds_until_no_limit"].take();
        plan
    };
    assert_eq!(plan_of(&by_itself), plan_of(&by_server));
}
