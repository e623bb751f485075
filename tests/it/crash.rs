//! The program is killed as a power cut kills it, again and again, and started on what that left.
//!
//! The moments are drawn from a seed and kept by gates and byte counts: a transfer stands where the test
//! wants it, or has passed a position that the client saw, when the kill comes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::sync::mpsc;

use crate::support::client::{Connection, Response, get, request};
use crate::support::gate::Gate;
use crate::support::origin::{Origin, Reply};
use crate::support::server::Process;
use crate::support::{PATIENCE, noise};

const ROUNDS: usize = 30;

/// Below this size a broken transfer begins anew: the program finds a row for it not worth its price.
const RESUMABLE: usize = 256 * 1024;

/// Numbers that look random and are the same in every run.
struct Dice(Vec<u8>, usize);

impl Dice {
    fn new(seed: &str) -> Self {
        Self(noise(seed, 64 * 1024), 0)
    }

    /// A number from `low` to `high`, both included.
    fn roll(&mut self, low: usize, high: usize) -> usize {
        let bytes = &self.0[self.1..self.1 + 4];
        self.1 += 4;
        let number = u32::from_le_bytes(bytes.try_into().expect("four bytes")) as usize;
        low + number % (high - low + 1)
    }
}

async fn start(origin: &Origin) -> Process {
    Process::start(&format!(
        "[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n",
        origin.url("")
    ))
    .await
}

/// Starts it again; how long that took.
async fn start_again(process: &mut Process) -> Duration {
    let begun = Instant::now();
    process.start_again().await;
    begun.elapsed()
}

/// Start-up needs no repair. A single start may have to wait for a busy machine; most do not.
fn assert_quick(mut starts: Vec<Duration>) {
    starts.sort();
    let (usual, slowest) = (starts[starts.len() / 2], starts[starts.len() - 1]);
    println!("{} starts: {usual:?} usually, {slowest:?} at most", starts.len());
    assert!(usual < Duration::from_secs(1), "{starts:?}");
}

/// Asks until the answer comes from the store: the object is acknowledged as kept. What was asked of the
/// store before that is done by then too, because the store does one thing after the other.
async fn wait_until_kept(process: &Process, path: &str) {
    let begun = Instant::now();
    loop {
        let answer = get(process.address(), &format!("/ubuntu{path}"), &[]).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        if is_hit(&answer) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{path} is never kept: {:?}", answer.headers);
    }
}

fn is_hit(answer: &Response) -> bool {
    answer.header("cache-status") == Some("lumbung; hit")
}

/// The whole of a path, as it must come.
async fn assert_served(process: &Process, path: &str, body: &[u8]) -> Response {
    let answer = get(process.address(), &format!("/ubuntu{path}"), &[]).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert!(answer.is_complete() && answer.body == body, "{path} came cut or damaged");
    answer
}

/// A transfer that the kill will find under way.
struct Victim {
    path: String,
    body: Vec<u8>,
    /// Bytes that had come, and were seen by the client, when everything stood still.
    stood: usize,
    /// Bytes that the client saw of one that was let go on and killed while it moved.
    moved: Option<usize>,
    gate: Gate,
    connection: Connection,
}

impl Victim {
    async fn begin(process: &Process, origin: &Origin, dice: &mut Dice, name: String) -> Self {
        // Small, around the limit of what is resumed, and large.
        let size = match dice.roll(0, 3) {
            0 => dice.roll(1024, 64 * 1024),
            1 => dice.roll(RESUMABLE - 2, RESUMABLE + 2),
            _ => dice.roll(RESUMABLE, 3 * 1024 * 1024),
        };
        let (path, body) = (format!("/pool/{name}.deb"), noise(&name, size));
        let stood = dice.roll(1, size - 1);
        let moved = (dice.roll(0, 2) == 0).then(|| dice.roll(stood, size));
        let gate = Gate::new();
        let reply = Reply::ok(body.clone()).etag("\"1\"");
        let held = reply.clone().pause_after(stood as u64, &gate);
        origin.route_in_turn(&path, [held, reply]);
        let mut connection = Connection::open(process.address()).await;
        connection.send(request(process.address(), "GET", &format!("/ubuntu{path}"), &[])).await;
        assert_eq!(connection.head().await.expect("an answer").status, 200);
        let seen = connection.bytes(stood).await;
        assert!(seen == body[..stood], "{path} streams wrong bytes");
        Self { path, body, stood, moved, gate, connection }
    }

    /// Lets it go on where it is one of those, up to a point that the client sees.
    async fn go_on(&mut self) {
        if let Some(moved) = self.moved {
            self.gate.open();
            let seen = self.connection.bytes(moved - self.stood).await;
            assert!(seen == self.body[self.stood..moved], "{} streams wrong bytes", self.path);
        }
    }

    /// After the restart: the right bytes, and of those that were here none is fetched again.
    async fn assert_resumed(self, process: &Process, origin: &Origin) {
        let Self { path, body, stood, moved, .. } = self;
        assert_served(process, &path, &body).await;
        let requests = origin.requests_to(&path);
        let from = requests.get(1).map(|again| match again.header("range") {
            Some(range) => {
                assert_eq!(again.header("if-range"), Some("\"1\""), "{path}");
                range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().expect(range)
            }
            None => 0,
        });
        assert!(requests.len() <= 2, "{path} was asked for {} times", requests.len());
        if body.len() < RESUMABLE {
            // It may have been whole, and kept, when the kill came.
            assert!(from.is_none_or(|from| from == 0), "{path}");
        } else if let Some(moved) = moved {
            assert!(from.is_none_or(|from| from >= moved), "{path}: from {from:?}, {moved} were seen");
        } else {
            assert_eq!(from, Some(stood), "{path} of {} bytes", body.len());
            assert_eq!(origin.log().body_bytes(&path), body.len() as u64, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_flights_it_resumes_where_they_stood() {
    let origin = Origin::start().await;
    let mut process = start(&origin).await;
    let mut dice = Dice::new("flights");
    let mut starts = Vec::new();
    for round in 0..ROUNDS {
        let mut victims = Vec::new();
        for number in 0..4 {
            victims.push(Victim::begin(&process, &origin, &mut dice, format!("{round}-{number}")).await);
        }
        let kept = format!("/pool/{round}-kept.deb");
        let small = noise(&kept, 2000);
        origin.route(&kept, Reply::ok(small.clone()));
        wait_until_kept(&process, &kept).await;
        for victim in &mut victims {
            victim.go_on().await;
        }
        process.kill();
        starts.push(start_again(&mut process).await);

        let answer = assert_served(&process, &kept, &small).await;
        assert!(is_hit(&answer), "{kept} was acknowledged and is lost: {:?}", answer.headers);
        assert_eq!(origin.requests_to(&kept).len(), 1);
        for victim in victims {
            victim.assert_resumed(&process, &origin).await;
        }
    }
    assert_quick(starts);
    assert_sound(&process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_commits_it_serves_nothing_corrupt_and_loses_nothing_acknowledged() {
    const AT_ONCE: usize = 24;
    let origin = Origin::start().await;
    let mut process = start(&origin).await;
    let mut dice = Dice::new("commits");
    let mut starts = Vec::new();
    let mut all = Vec::new();
    let mut hits = 0;
    for round in 0..ROUNDS {
        let files: Vec<_> = (0..AT_ONCE)
            .map(|number| {
                let path = format!("/pool/{round}-{number}.deb");
                // Most are flushed together, a few alone.
                let most = if number % 8 == 7 { 1_500_000 } else { 40_000 };
                let body = noise(&path, dice.roll(1, most));
                origin.route(&path, Reply::ok(body.clone()).etag("\"1\""));
                (path, body)
            })
            .collect();
        let (done, mut completions) = mpsc::channel(AT_ONCE);
        for (path, body) in files.clone() {
            let mut connection = Connection::open(process.address()).await;
            let text = request(process.address(), "GET", &format!("/ubuntu{path}"), &[]);
            let done = done.clone();
            tokio::spawn(async move {
                // The kill may come before any of this.
                if connection.try_send(text).await.is_err() {
                    return;
                }
                let Ok(head) = connection.head().await else { return };
                let answer = connection.body(head).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.text());
                if answer.is_complete() {
                    assert!(answer.body == body, "{path} came damaged");
                    let _ = done.send(path).await;
                }
            });
        }
        drop(done);
        // A body is whole at its client before its commit has begun, so commits run at this moment.
        let enough = dice.roll(1, AT_ONCE);
        let mut seen = BTreeSet::new();
        while seen.len() < enough {
            seen.insert(completions.recv().await.expect("more bodies"));
        }
        let acknowledged = seen.first().cloned().filter(|_| round % 3 == 0);
        if let Some(path) = &acknowledged {
            wait_until_kept(&process, path).await;
        }
        process.kill();
        starts.push(start_again(&mut process).await);
        for (path, body) in &files {
            let answer = assert_served(&process, path, body).await;
            hits += usize::from(is_hit(&answer));
            assert!(
                is_hit(&answer) || acknowledged.as_ref() != Some(path),
                "{path} was acknowledged and is lost"
            );
        }
        all.extend(files);
    }
    println!("{hits} of {} were kept by the time of the kill", all.len());
    assert_quick(starts);
    process.start_again().await;
    for (path, body) in &all {
        assert_served(&process, path, body).await;
    }
    assert_sound(&process);
}

/// The disk holds what the catalog says: a file of the right length and hash for every object.
fn assert_sound(process: &Process) {
    let store = process.store();
    let catalog = rusqlite::Connection::open(store.join("catalog.sqlite")).expect("a catalog");
    let check: String = catalog.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a check");
    assert_eq!(check, "ok");
    let mut objects = catalog.prepare("SELECT lower(hex(digest)), size FROM object").expect("a table");
    let rows = objects.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)));
    let mut count = 0;
    for row in rows.expect("rows") {
        let (digest, size) = row.expect("a row");
        let bytes = std::fs::read(store.join("objects").join(&digest[..2]).join(&digest[2..]));
        let bytes = bytes.unwrap_or_else(|why| panic!("{digest}: {why}"));
        assert_eq!((bytes.len() as i64, crate::support::sha256(&bytes)), (size, digest));
        count += 1;
    }
    assert!(count > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orderly_end_keeps_what_had_come_of_a_flight_too() {
    let origin = Origin::start().await;
    let mut process = start(&origin).await;
    let (path, body) = ("/pool/a.deb", noise("a", 2_000_000));
    let gate = Gate::new();
    let reply = Reply::ok(body.clone()).etag("\"1\"");
    origin.route_in_turn(path, [reply.clone().pause_after(1_234_567, &gate), reply]);
    let mut connection = Connection::open(process.address()).await;
    connection.send(request(process.address(), "GET", "/ubuntu/pool/a.deb", &[])).await;
    connection.head().await.expect("an answer");
    connection.bytes(1_234_567).await;
    // Nobody reads any more, so nothing is left to wait for.
    connection.abort();
    process.signal(Signal::TERM);
    assert!(process.ended().await.success(), "{:#?}", process.log());
    process.start_again().await;
    assert_served(&process, path, &body).await;
    let requests = origin.requests_to(path);
    assert_eq!((requests.len(), requests[1].header("range")), (2, Some("bytes=1234567-")));
    assert_eq!(origin.log().body_bytes(path), 2_000_000);
}
