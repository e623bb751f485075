//! A seed whose program is killed again and again: it goes on each time, and what was here is not fetched again.
//!
//! The origin sends no faster than a thin line, so that what it has sent has arrived. The kills come when so
//! many bytes have been sent, evenly over the whole.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{ask, get};
use crate::support::origin::{Origin, Reply};
use crate::support::repository::{Compression, Key, Package, Repository};
use crate::support::server::Process;
use crate::support::{PATIENCE, noise};

/// What one kill may cost: eight files side by side, of which those below 64 KiB begin anew, and of the
/// others what had not been written yet.
const CHUNK: u64 = 1024 * 1024;

/// Bytes a second of one transfer.
const RATE: u64 = 600_000;

/// Files, and kills while they come.
fn measures() -> (usize, u64) {
    if std::env::var_os("LUMBUNG_LONG").is_some() { (150, 50) } else { (36, 10) }
}

async fn look(process: &Process) -> Value {
    let answer = get(process.admin(), "/api/v1/seeds/s", &[]).await;
    let state: Value = serde_json::from_str(&answer.text()).expect("JSON");
    state["run"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_costs_less_than_a_chunk() {
    let (files, kills) = measures();
    let key = Key::generate("Ubuntu");
    let mut repository = Repository::new("noble").compressions(&[Compression::Xz]).signed_by(&key);
    let mut needs = Vec::new();
    for number in 0..files {
        let name = format!("part{number}");
        // Some begin anew after a kill, most go on.
        let size = [30_000, 200_000, 900_000, 1_500_000][number % 4];
        repository = repository.package(Package::new(&name, "1").payload(noise(&name, size)));
        needs.push(name);
    }
    let publication = repository.package(Package::new("all", "1").depends(&needs.join(", "))).publish();
    let origin = Origin::start().await;
    publication.to(&origin, "/ubuntu");
    let mut missing = 0;
    for file in publication.files().iter().filter(|file| file.path.ends_with(".deb")) {
        origin.route(&format!("/ubuntu/{}", file.path), Reply::ok(file.bytes.clone()).at_rate(RATE));
        missing += file.bytes.len() as u64;
    }
    let folder = TempDir::new().expect("a folder");
    let keyring = folder.path().join("archive.gpg");
    std::fs::write(&keyring, key.keyring()).expect("a keyring");
    let mut process = Process::start(&format!(
        "[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\nkeyring = \"{}\"\n[[seed]]\n\
         name = \"s\"\nrepo = \"ubuntu\"\nsuites = [\"noble\"]\narchitectures = [\"amd64\"]\npackages = [\"all\"]\n",
        origin.url("/ubuntu"),
        keyring.display(),
    ))
    .await;
    let authorization = format!("Bearer {}", process.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    assert_eq!(ask(process.admin(), "POST", "/api/v1/seeds/s/run", &headers).await.status, 200);
    for kill in 1..=kills {
        let mark = missing * kill / (kills + 1);
        origin.log().wait_until("bytes", |log| log.all_body_bytes() >= mark).await;
        process.kill();
        process.start_again().await;
    }
    let done = async {
        loop {
            let run = look(&process).await;
            if !matches!(run["state"].as_str(), Some("planning" | "running")) {
                return run;
            }
            tokio::task::yield_now().await;
        }
    };
    let run = tokio::time::timeout(PATIENCE, done).await.expect("an end");
    assert_eq!((&run["state"], &run["bytes_missing"]), (&"done".into(), &0.into()), "{run:#}");
    let packages = publication.files().iter().filter(|file| file.path.ends_with(".deb"));
    let sent: u64 = packages.map(|file| origin.log().body_bytes(&format!("/ubuntu/{}", file.path))).sum();
    let excess = sent - missing;
    println!("{missing} bytes, {kills} kills, {excess} bytes sent again: {} for each kill", excess / kills);
    assert!(excess < CHUNK * kills, "{excess} bytes too many for {kills} kills");
}
