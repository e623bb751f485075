//! A store on a disk that is full: clients get every byte all the same, and when there is space again the
//! program goes on as if nothing had been.
//!
//! The disk is a small tmpfs in a mount namespace of its own, which takes the right to mount. Without it
//! these tests fail and say so: a skipped test would be no test.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::client::{Connection, Response, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::Process;
use crate::support::{PATIENCE, noise};

/// Bytes of the small disk.
const DISK: u64 = 8 * 1024 * 1024;

/// A small disk that lives as long as this value. Only programs that run under
/// [`wrapper`](Self::wrapper) see it at its place.
struct SmallDisk {
    keeper: Child,
    folder: tempfile::TempDir,
}

impl SmallDisk {
    fn mount() -> Self {
        let folder = tempfile::TempDir::new().expect("a folder to mount on");
        let script = format!(
            "mount -t tmpfs -o size={DISK} lumbung-test {} && echo mounted && exec cat",
            folder.path().display()
        );
        // It keeps the namespace for as long as its standard input is open.
        let mut keeper = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare, of util-linux");
        let mut line = String::new();
        let _ = BufReader::new(keeper.stdout.take().expect("a pipe")).read_line(&mut line);
        assert_eq!(
            line, "mounted\n",
            "this test must be allowed to mount a tmpfs of its own: run it as root"
        );
        Self { keeper, folder }
    }

    /// What runs a program so that it sees the disk.
    fn wrapper(&self) -> Vec<String> {
        let target = self.keeper.id().to_string();
        ["nsenter", "--mount", "--target", &target, "--"].map(str::to_owned).to_vec()
    }

    /// The disk as it is seen from outside.
    fn path(&self) -> PathBuf {
        let inside = self.folder.path().strip_prefix("/").expect("an absolute path");
        Path::new("/proc").join(self.keeper.id().to_string()).join("root").join(inside)
    }

    fn store(&self) -> PathBuf {
        self.path().join("store")
    }

    fn start_text(&self, origin: &Origin) -> String {
        format!(
            "[store]\npath = \"{}/store\"\n\
             [[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n",
            self.folder.path().display(),
            origin.url("")
        )
    }

    async fn start(&self, origin: &Origin) -> Process {
        Process::start_under(&self.wrapper(), &self.start_text(origin)).await
    }

    /// Takes what is left of the disk, but for `spare` bytes; what was taken before stays taken.
    fn fill(&self, spare: u64) {
        let path = self.path().join("ballast");
        let mut file = File::options().append(true).create(true).open(path).expect("a file");
        let piece = [0; 4096];
        let mut size = file.metadata().expect("a file").len();
        let why = loop {
            match file.write(&piece) {
                Ok(count) => size += count as u64,
                Err(why) => break why,
            }
        };
        assert_eq!(why.kind(), io::ErrorKind::StorageFull, "{why}");
        assert!(size > spare, "only {size} bytes could be taken");
        file.set_len(size - spare).expect("a shorter file");
    }

    /// Gives it back.
    fn free(&self) {
        fs::remove_file(self.path().join("ballast")).expect("the file that filled it");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

async fn ask(process: &Process, path: &str) -> Response {
    let answer = get(process.address(), &format!("/ubuntu{path}"), &[]).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert!(answer.is_complete(), "{path}: {:?}", answer.end);
    answer
}

async fn keep(process: &Process, path: &str) -> Response {
    let begun = Instant::now();
    loop {
        let answer = ask(process, path).await;
        if answer.header("cache-status") == Some("lumbung; hit") {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} is never kept; the log: {:#?}", process.log());
    }
}

async fn store_status(process: &Process) -> serde_json::Value {
    let page = get(process.admin(), "/api/v1/status", &[]).await.text();
    serde_json::from_str::<serde_json::Value>(&page).expect("JSON")["store"].clone()
}

/// Waits until the store says that it is full: clients have their bytes before a commit fails.
async fn until_full(process: &Process) -> serde_json::Value {
    let begun = Instant::now();
    loop {
        let status = store_status(process).await;
        if status["full"] == true {
            return status;
        }
        assert!(begun.elapsed() < PATIENCE, "the store is never full; the log: {:#?}", process.log());
    }
}

fn publish(origin: &Origin, path: &str, size: usize) -> Vec<u8> {
    let body = noise(path, size);
    origin.route(path, Reply::ok(body.clone()).etag("\"1\""));
    body
}

/// A client that has the head of an answer.
async fn begin(process: &Process, path: &str) -> (Connection, Response) {
    let mut connection = Connection::open(process.address()).await;
    connection.send(request(process.address(), "GET", &format!("/ubuntu{path}"), &[])).await;
    let head = connection.head().await.expect("an answer");
    assert_eq!(head.status, 200);
    (connection, head)
}

/// `SQLite` follows links in paths by itself and would look for the disk among our own mounts.
fn copy_of_catalog(store: &Path, folder: &Path) -> rusqlite::Connection {
    fs::copy(store.join("catalog.sqlite"), folder.join("catalog.sqlite")).expect("a catalog");
    fs::copy(store.join("catalog.sqlite-wal"), folder.join("catalog.sqlite-wal")).expect("its log");
    rusqlite::Connection::open(folder.join("catalog.sqlite")).expect("a catalog")
}

/// Every object of the catalog has its file, of the right hash, and no unfinished file is left.
fn assert_sound(store: &Path) {
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = copy_of_catalog(store, folder.path());
    let check: String = catalog.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(check, "ok");
    let mut objects = catalog.prepare("SELECT lower(hex(digest)), size FROM object").expect("a table");
    let rows = objects.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    for row in rows.expect("rows") {
        let (digest, size) = row.expect("a row");
        let bytes = fs::read(store.join("objects").join(&digest[..2]).join(&digest[2..]));
        let bytes = bytes.unwrap_or_else(|why| panic!("{digest}: {why}"));
        assert_eq!((bytes.len() as i64, crate::support::sha256(&bytes)), (size, digest));
    }
    // A client may have its last byte a moment before the server lets go of what it does not keep.
    let begun = Instant::now();
    while fs::read_dir(store.join("partial")).expect("a folder").count() > 0 {
        assert!(begun.elapsed() < PATIENCE, "an unfinished file stays");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flight_that_runs_out_of_space_goes_on_without_storing() {
    let disk = SmallDisk::mount();
    let origin = Origin::start().await;
    let mut process = disk.start(&origin).await;
    publish(&origin, "/pool/before", 10_000);
    keep(&process, "/pool/before").await;

    let path = "/pool/large";
    let body = noise(path, 5_000_000);
    let gate = Gate::new();
    let reply = Reply::ok(body.clone()).etag("\"1\"");
    origin.route_in_turn(path, [reply.clone().pause_after(1_000_000, &gate), reply]);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let (mut connection, head) = begin(&process, path).await;
        let seen = connection.bytes(1_000_000).await;
        assert!(seen == body[..1_000_000]);
        clients.push((connection, head));
    }
    let mut ranged = Connection::open(process.address()).await;
    let headers = [("Range", "bytes=4000000-4000009")];
    ranged.send(request(process.address(), "GET", "/ubuntu/pool/large", &headers)).await;
    assert_eq!(ranged.head().await.expect("an answer").status, 206);
    assert_eq!(origin.requests_to(path).len(), 1);
    disk.fill(0);
    gate.open();
    for (mut connection, _) in clients {
        let rest = connection.bytes(4_000_000).await;
        assert!(rest == body[1_000_000..], "a client got something else");
    }
    assert_eq!(ranged.bytes(10).await, &body[4_000_000..4_000_010]);
    assert_eq!(until_full(&process).await["objects"], 1);
    assert!(
        process.log().iter().any(|line| line.contains("streamed without storing")),
        "{:#?}",
        process.log()
    );
    // While it is full: what is here is served, what is not streams.
    keep(&process, "/pool/before").await;
    let other = publish(&origin, "/pool/other", 100_000);
    assert!(ask(&process, "/pool/other").await.body == other);
    assert_sound(&disk.store());

    disk.free();
    let after = publish(&origin, "/pool/after", 3_000_000);
    assert!(keep(&process, "/pool/after").await.body == after);
    assert_eq!(store_status(&process).await["full"], false);
    process.start_again().await;
    assert!(keep(&process, "/pool/after").await.body == after);
    assert!(ask(&process, path).await.body == body);
    assert_sound(&disk.store());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_finds_no_space_costs_nobody_a_byte() {
    let disk = SmallDisk::mount();
    let origin = Origin::start().await;
    let mut process = disk.start(&origin).await;
    publish(&origin, "/pool/before", 10_000);
    keep(&process, "/pool/before").await;

    // Its last byte fits the block that it has; the catalog's row does not fit any more.
    let path = "/pool/last";
    let body = noise(path, 100_000);
    let gate = Gate::new();
    let reply = Reply::ok(body.clone()).etag("\"1\"");
    origin.route_in_turn(path, [reply.clone().pause_after(99_999, &gate), reply]);
    let (mut connection, _) = begin(&process, path).await;
    assert!(connection.bytes(99_999).await == body[..99_999]);
    disk.fill(0);
    gate.open();
    assert!(connection.bytes(1).await == body[99_999..]);
    assert!(ask(&process, path).await.body == body);
    assert_eq!(until_full(&process).await["objects"], 1);

    // A little room: small bodies fit, their rows do not.
    disk.fill(8192);
    let mut connections = Vec::new();
    for number in 0..30 {
        let path = format!("/pool/small-{number}");
        publish(&origin, &path, 100);
        let mut connection = Connection::open(process.address()).await;
        connection.send(request(process.address(), "GET", &format!("/ubuntu{path}"), &[])).await;
        connections.push((path, connection));
    }
    for (path, mut connection) in connections {
        let answer = connection.response().await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert!(answer.is_complete() && answer.body == noise(&path, 100), "{path}");
    }
    keep(&process, "/pool/before").await;

    disk.free();
    let after = publish(&origin, "/pool/after", 100_000);
    assert!(keep(&process, "/pool/after").await.body == after);
    process.start_again().await;
    assert!(keep(&process, "/pool/after").await.body == after);
    assert!(keep(&process, path).await.body == body);
    assert_sound(&disk.store());
}

/// Evicting writes to the catalog, which takes space before it gives any. A store whose disk another program
/// has filled to the last block must still be able to help itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_is_full_to_the_last_block_does_not_keep_old_objects_from_making_room() {
    let disk = SmallDisk::mount();
    let origin = Origin::start().await;
    let mut process = disk.start(&origin).await;
    for number in 0..4 {
        let path = format!("/pool/old-{number}");
        publish(&origin, &path, 500_000);
        keep(&process, &path).await;
    }
    process.kill();
    // As if they had been stored last year; what was asked for just now is never evicted.
    let folder = tempfile::tempdir().expect("a folder");
    let catalog = copy_of_catalog(&disk.store(), folder.path());
    catalog.execute("UPDATE object SET last_used = last_used - 31536000", []).expect("an update");
    catalog.close().expect("all of it is in one file");
    fs::copy(folder.path().join("catalog.sqlite"), disk.store().join("catalog.sqlite")).expect("the catalog");
    fs::remove_file(disk.store().join("catalog.sqlite-wal")).expect("the log");
    disk.fill(256 * 1024);
    process.start_again().await;
    disk.fill(0);

    let new = publish(&origin, "/pool/new", 300_000);
    assert!(ask(&process, "/pool/new").await.body == new);
    assert!(keep(&process, "/pool/new").await.body == new);
    let status = store_status(&process).await;
    assert!(status["evicted_bytes"].as_u64() >= Some(500_000), "{status}");
    for number in 0..4 {
        let path = format!("/pool/old-{number}");
        assert!(ask(&process, &path).await.body == noise(&path, 500_000), "{path}");
    }
}
