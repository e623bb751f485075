//! Proof before a rollout: what a verification says, and that a real apt agrees when upstream is gone.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::seed_runs::{order, until};
use crate::support::apt::{Apt, Source};
use crate::support::client::{ask, get};
use crate::support::origin::{Origin, Reply};
use crate::support::program::{beside, lumbung};
use crate::support::repository::{Compression, Key, Package, Repository};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, noise};

/// An archive with two releases, an update, and the configuration of a seed.
struct Archive {
    origin: Origin,
    key: Key,
    fragment: String,
    _folder: TempDir,
}

fn noble() -> Repository {
    Repository::new("noble")
        .compressions(&[Compression::Xz, Compression::Gzip])
        .package(
            Package::new("desktop", "1")
                .depends("editor | viewer, libc6 (>= 2)")
                .field("Recommends", "fonts"),
        )
        .package(Package::new("editor", "1").depends("libedit").payload(noise("editor", 40_000)))
        .package(Package::new("viewer", "1"))
        .package(Package::new("libedit", "1"))
        .package(Package::new("fonts", "1").architecture("all"))
        .package(Package::new("libc6", "2.39").payload(noise("libc", 90_000)))
}

impl Archive {
    async fn new() -> Self {
        let key = Key::generate("Ubuntu");
        let updates = Repository::new("noble-updates")
            .compressions(&[Compression::Xz])
            .package(Package::new("editor", "2").depends("libedit").payload(noise("editor2", 45_000)));
        // The next release has another library, and no viewer any more.
        let next = Repository::new("next")
            .compressions(&[Compression::Xz])
            .package(
                Package::new("desktop", "3").depends("editor, libc6 (>= 3)").field("Recommends", "fonts"),
            )
            .package(Package::new("editor", "3").depends("libedit3"))
            .package(Package::new("libedit3", "1"))
            .package(Package::new("fonts", "3").architecture("all"))
            .package(Package::new("libc6", "3.1"));
        let origin = Origin::start().await;
        for repository in [noble(), updates, next] {
            repository.signed_by(&key).publish().to(&origin, "/ubuntu");
        }
        let folder = TempDir::new().expect("a folder");
        let keyring = folder.path().join("archive.gpg");
        std::fs::write(&keyring, key.keyring()).expect("a keyring");
        let fragment = format!(
            "[upstream]\nretries = 0\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n\
             keyring = \"{}\"\n[[seed]]\nname = \"s\"\nrepo = \"ubuntu\"\nsuites = [\"noble\", \"noble-updates\"]\n\
             architectures = [\"amd64\"]\npackages = [\"desktop\"]\n",
            origin.url("/ubuntu"),
            keyring.display(),
        );
        Self { origin, key, fragment, _folder: folder }
    }
}

/// Has the seed verified, and waits for what it finds.
async fn verify(server: &TestServer, query: &str) -> Value {
    let authorization = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let begun = ask(server.admin(), "POST", &format!("/api/v1/seeds/s/verify{query}"), &headers).await;
    assert_eq!(begun.status, 200, "{}", begun.text());
    let ended = async {
        loop {
            let answer = get(server.admin(), "/api/v1/seeds/s/verify", &[]).await;
            let facts: Value = serde_json::from_str(&answer.text()).expect("JSON");
            if facts["running"] == false {
                return facts;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.expect("an end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_apt_installs_a_verified_seed_without_any_upstream() {
    let archive = Archive::new().await;
    let server = TestServer::start(&archive.fragment).await;
    let before = verify(&server, "").await;
    assert_eq!(before["complete"], false);
    assert!(before["problem"].as_str().is_some_and(|why| why.contains("not here yet")), "{before:#}");

    order(&server, "run").await;
    assert_eq!(until(&server, &["done", "incomplete", "failed"]).await["state"], "done");
    archive.origin.stop().await;
    let proof = verify(&server, "").await;
    assert_eq!((&proof["complete"], &proof["missing"]), (&json!(true), &json!([])), "{proof:#}");
    assert_eq!((&proof["files"], &proof["bytes"]), (&proof["files_done"], &proof["bytes_done"]));
    assert_eq!(proof["packages"], 5, "{proof:#}");

    let sources = ["noble", "noble-updates"]
        .map(|suite| Source::apt(server.url("/ubuntu"), suite, "main").signed_by(archive.key.keyring()));
    for recommends in ["true", "false"] {
        let apt = Apt::new(&sources).option("APT::Install-Recommends", recommends);
        apt.update().await.assert_ok();
        apt.download(&["desktop"]).await.assert_ok();
        let debs: Vec<_> = apt.archives().into_keys().collect();
        assert!(debs.contains(&"editor_2_amd64.deb".to_owned()), "{debs:?}");
        assert_eq!(debs.len(), if recommends == "true" { 5 } else { 4 }, "{debs:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_damaged_is_named() {
    let archive = Archive::new().await;
    let server = TestServer::start(&archive.fragment).await;
    archive.origin.route("/ubuntu/pool/main/f/fonts/fonts_1_all.deb", Reply::status(503));
    order(&server, "run").await;
    assert_eq!(until(&server, &["done", "incomplete", "failed"]).await["state"], "incomplete");
    // The disk changes a byte of another.
    let libc = noble().publish().deb("libc6_2.39_amd64.deb");
    let digest = crate::support::sha256(&libc);
    let file = server.store().join("objects").join(&digest[..2]).join(&digest[2..]);
    let mut bytes = std::fs::read(&file).expect("an object");
    bytes[70_000] ^= 1;
    std::fs::remove_file(&file).expect("a file");
    std::fs::write(&file, bytes).expect("a file");
    let proof = verify(&server, "").await;
    assert_eq!((&proof["complete"], &proof["missing_files"]), (&json!(false), &json!(2)), "{proof:#}");
    let reason = |name: &str| {
        let missing = proof["missing"].as_array().expect("a list").iter();
        let mut named = missing.filter(|one| one["path"].as_str().is_some_and(|path| path.contains(name)));
        named.next().and_then(|one| one["reason"].as_str()).unwrap_or_default().to_owned()
    };
    assert_eq!(reason("fonts_1"), "it is not here");
    assert!(reason("libc6_2.39").contains("changed on the disk"), "{proof:#}");
    // What is damaged is fetched again by the next run.
    archive.origin.route(
        "/ubuntu/pool/main/f/fonts/fonts_1_all.deb",
        Reply::ok(noble().publish().deb("fonts_1_all.deb")),
    );
    server.clock().advance(std::time::Duration::from_mins(1));
    order(&server, "run").await;
    until(&server, &["done"]).await;
    assert_eq!(verify(&server, "").await["complete"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_is_looked_at_with_the_packages_that_desktops_have() {
    let archive = Archive::new().await;
    let fragment = archive.fragment.replace("\"noble-updates\"]", "\"noble-updates\"]\nlanguages = []");
    let mut server = TestServer::start(&fragment).await;
    order(&server, "run").await;
    until(&server, &["done"]).await;
    let unknown = verify(&server, "?from=noble&to=next").await;
    assert!(unknown["problem"].as_str().is_some_and(|why| why.contains("the suite next")), "{unknown:#}");
    let wrong = verify(&server, "?from=jammy&to=noble").await;
    assert!(wrong["problem"].as_str().is_some_and(|why| why.contains("no suite of the seed")), "{wrong:#}");

    // A seed of the next release alone, with less than desktops have.
    let next = fragment.replace("[\"noble\", \"noble-updates\"]", "[\"noble\"]");
    let second =
        next[next.find("[[seed]]").expect("a seed")..].replace("\"s\"", "\"n\"").replace("noble", "next");
    let both = |wants: &str| format!("{next}\n{}", second.replace("[\"desktop\"]", wants));
    for (wants, complete) in [("[\"libc6\"]", false), ("[\"desktop\"]", true)] {
        server.restart_with(&both(wants)).await;
        let authorization = format!("Bearer {}", server.admin_token());
        let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
        assert_eq!(ask(server.admin(), "POST", "/api/v1/seeds/n/run", &headers).await.status, 200);
        let done = async {
            while !get(server.admin(), "/api/v1/seeds/n", &[]).await.text().contains("\"state\":\"done\"") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, done).await.expect("an end");
        let proof = verify(&server, "?from=noble&to=next").await;
        assert_eq!(proof["complete"], complete, "{wants}: {proof:#}");
        let names = proof["missing"].to_string();
        assert_eq!(names.contains("libedit3_1_amd64.deb"), !complete, "{names}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_says_so_with_its_exit_status() {
    let archive = Archive::new().await;
    let mut server = TestServer::start(&archive.fragment).await;
    let (_folder, file) = beside(&server, &archive.fragment);
    let run = async |arguments: &[&str]| {
        let run = lumbung(&[arguments, &["--config", &file]].concat()).await;
        (run.code, run.stdout)
    };
    let (code, told) = run(&["seed", "verify", "s"]).await;
    assert!(code == Some(1) && told.contains("NOT READY"), "{told}");
    assert_eq!(run(&["seed", "verify", "s", "--to", "next"]).await.0, Some(2));
    assert_eq!(run(&["seed", "run", "s", "--wait"]).await.0, Some(0));
    let (code, told) = run(&["seed", "verify", "s"]).await;
    assert!(code == Some(0) && told.starts_with("Ready: "), "{told}");
    server.stop().await;
    archive.origin.stop().await;
    let (code, told) = run(&["seed", "verify", "s", "--json"]).await;
    let proof: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!((code, &proof["complete"]), (Some(0), &json!(true)));
}
