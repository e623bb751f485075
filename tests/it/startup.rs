//! Starting on what is there: a store of a million objects, one that was damaged, one that is not ours.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use lumbung::clock::Clock;
use lumbung::store::{Config, EntryKey, Store};

use crate::support::client::{Response, get};
use crate::support::origin::{Origin, Reply};
use crate::support::server::Process;
use crate::support::{PATIENCE, noise, sha256};

fn fragment(origin: &Origin) -> String {
    format!("[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n", origin.url(""))
}

async fn ask(process: &Process, path: &str) -> Response {
    let answer = get(process.address(), &format!("/ubuntu{path}"), &[]).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert!(answer.is_complete(), "{path}: {:?}", answer.end);
    answer
}

fn is_hit(answer: &Response) -> bool {
    answer.header("cache-status") == Some("lumbung; hit")
}

async fn keep(process: &Process, path: &str) {
    let begun = Instant::now();
    while !is_hit(&ask(process, path).await) {
        assert!(begun.elapsed() < PATIENCE, "{path} is never kept");
    }
}

fn object(store: &Path, body: &[u8]) -> PathBuf {
    let name = sha256(body);
    store.join("objects").join(&name[..2]).join(&name[2..])
}

/// Enters a million objects that are not there, and as many paths, beside what the store has.
fn enter_a_million(store: &Path) {
    let catalog = rusqlite::Connection::open(store.join("catalog.sqlite")).expect("a catalog");
    catalog
        .execute_batch(
            "PRAGMA cache_size = -400000; PRAGMA synchronous = OFF; BEGIN;
             CREATE TEMP TABLE made AS
                 WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1000000)
                 SELECT n, randomblob(32) AS digest FROM n;
             INSERT INTO object (digest, size, last_used)
                 SELECT digest, 1000, 1700000000 + n FROM made ORDER BY digest;
             INSERT INTO entry
                 SELECT 'ubuntu', printf('pool/main/p/package-%07d/package-%07d_1.0-1_amd64.deb', n, n), digest,
                     '\"abcdef\"', 1700000000, 'application/vnd.debian.binary-package', 1700000000, 1700000000,
                     'http://archive.ubuntu.com/ubuntu/pool/x.deb', NULL
                 FROM made ORDER BY n;
             UPDATE totals SET bytes = bytes + 1000000000, objects = objects + 1000000;
             COMMIT; PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .expect("a million rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_objects_open_in_under_a_second() {
    let origin = Origin::start().await;
    let body = noise("here", 50_000);
    origin.route("/pool/here", Reply::ok(body.clone()));
    let mut process = Process::start(&fragment(&origin)).await;
    keep(&process, "/pool/here").await;
    process.kill();
    let store = process.store();
    enter_a_million(&store);

    let begun = Instant::now();
    process.start_again().await;
    let first = ask(&process, "/pool/here").await;
    let took = begun.elapsed();
    assert!(is_hit(&first) && first.body == body);
    let page = get(process.admin(), "/metrics", &[]).await.text();
    assert!(page.contains("\nlumbung_store_objects 1000001\n"), "{page}");
    process.kill();

    let config = Config { path: store, max_size: None, min_free: 0, recheck: Duration::from_hours(1) };
    let begun = Instant::now();
    let opened = Store::open(&config, Clock::system()).expect("a store");
    let opening = begun.elapsed();
    let key = EntryKey {
        repo: "ubuntu".into(),
        path: "pool/main/p/package-0777777/package-0777777_1.0-1_amd64.deb".into(),
    };
    assert_eq!(opened.entry(&key).expect("a read").expect("an entry").size, 1000);
    println!(
        "with a million objects: {opening:?} to open the store, {took:?} from the start to the first hit"
    );
    assert!(opening < Duration::from_secs(1), "{opening:?}");
    opened.close();

    // A row without its file is a miss.
    let path = "/pool/main/p/package-0000001/package-0000001_1.0-1_amd64.deb";
    let fetched = noise("fetched", 2000);
    origin.route(path, Reply::ok(fetched.clone()));
    process.start_again().await;
    assert!(ask(&process, path).await.body == fetched);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_went_or_were_cut_while_it_was_down_are_fetched_again() {
    let origin = Origin::start().await;
    let names = ["missing", "cut", "grown", "folder", "well"];
    let bodies = names.map(|name| noise(name, 20_000));
    let mut process = Process::start(&fragment(&origin)).await;
    for (name, body) in names.iter().zip(&bodies) {
        origin.route(&format!("/pool/{name}"), Reply::ok(body.clone()));
        keep(&process, &format!("/pool/{name}")).await;
    }
    process.kill();
    let store = process.store();
    let files = bodies.each_ref().map(|body| object(&store, body));
    for file in &files {
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("a file");
    }
    fs::remove_file(&files[0]).expect("a file");
    fs::write(&files[1], &bodies[1][..7000]).expect("a file");
    fs::write(&files[2], [bodies[2].as_slice(), b"more"].concat()).expect("a file");
    fs::remove_file(&files[3]).expect("a file");
    fs::create_dir(&files[3]).expect("a folder in its place");

    process.start_again().await;
    for (number, (name, body)) in names.iter().zip(&bodies).enumerate() {
        let path = format!("/pool/{name}");
        let answer = ask(&process, &path).await;
        assert!(answer.body == *body, "{name} came as something else");
        assert_eq!(is_hit(&answer), number == 4, "{name}");
        keep(&process, &path).await;
        assert_eq!(origin.requests_to(&path).len(), if number == 4 { 1 } else { 2 }, "{name}");
    }
}

/// What `lumbung serve` says on this store, where it should refuse.
fn serve(folder: &Path, store: &Path) -> Output {
    let file = folder.join("lumbung.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[store]\npath = \"{}\"\n\
         [[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"http://127.0.0.1:9\"]\n",
        store.display()
    );
    fs::write(&file, text).expect("a configuration");
    // One that does not refuse is ended, and fails the test by its code.
    let mut command = Command::new("timeout");
    command.args(["60", env!("CARGO_BIN_EXE_lumbung"), "serve", "--config"]).arg(&file);
    command.output().expect("the program")
}

fn assert_refused(output: &Output, words: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for word in words {
        assert!(said.contains(word), "no {word:?} in {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_on_the_same_store_is_told_who_has_it() {
    let origin = Origin::start().await;
    origin.route("/pool/a", Reply::ok("a"));
    let process = Process::start(&fragment(&origin)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let store = process.store();
    let output = serve(folder.path(), &store);
    assert_refused(&output, &[&store.display().to_string(), &format!("process {}", process.id())]);
    keep(&process, "/pool/a").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_of_a_newer_program_is_refused_and_left_alone() {
    let origin = Origin::start().await;
    let mut process = Process::start(&fragment(&origin)).await;
    process.kill();
    let store = process.store();
    let catalog = rusqlite::Connection::open(store.join("catalog.sqlite")).expect("a catalog");
    catalog.pragma_update(None, "user_version", 99).expect("a version");
    drop(catalog);
    let folder = tempfile::tempdir().expect("a folder");
    assert_refused(&serve(folder.path(), &store), &["catalog.sqlite", "newer", "99"]);
    let catalog = rusqlite::Connection::open(store.join("catalog.sqlite")).expect("a catalog");
    let version: i64 = catalog.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a version");
    assert_eq!(version, 99);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_that_is_none_is_named() {
    let origin = Origin::start().await;
    let mut process = Process::start(&fragment(&origin)).await;
    process.kill();
    let store = process.store();
    fs::write(store.join("catalog.sqlite"), noise("no catalog", 20_000)).expect("a file");
    // From its log alone it would be put together again.
    fs::remove_file(store.join("catalog.sqlite-wal")).expect("the log of a process that was killed");
    let folder = tempfile::tempdir().expect("a folder");
    assert_refused(&serve(folder.path(), &store), &["catalog.sqlite", "not a database"]);
}
