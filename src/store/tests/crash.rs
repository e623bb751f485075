//! A process that publishes is killed again and again. What it was told is kept must be there and whole.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;

/// Tells the child where its store is.
const STORE: &str = "LUMBUNG_TEST_CRASH_STORE";
const ROUNDS: usize = 24;

/// Bytes that can be told from a seed: small ones, and now and then one that is flushed alone.
fn bytes(round: usize, number: usize) -> Vec<u8> {
    let size = if number % 100 == 7 { 1_100_000 } else { 50 + number % 3000 };
    format!("{round}/{number} ").into_bytes().into_iter().cycle().take(size).collect()
}

fn config(path: &str) -> Config {
    Config { path: path.into(), max_size: None, min_free: 0, recheck: Duration::ZERO }
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let home = Home::new();
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let new = one_life(&home, round);
        let store = home.open();
        check(&store, &new);
        acknowledged.extend(new);
        for (digest, size) in home.rows() {
            let blob = store.object(&digest).unwrap().expect("a row without its bytes");
            assert_eq!(blob.size, size);
        }
        assert_eq!(store.usage().bytes, home.rows().iter().map(|(_, size)| size).sum::<u64>());
        let (staged, _) = store.resume(&key("unfinished")).unwrap().expect("nothing to resume");
        let whole = bytes(round, 7);
        assert_eq!(staged.digest(), Digest::of(&whole[..usize::try_from(staged.written()).unwrap()]));
        staged.discard();
    }
    assert!(acknowledged.len() >= ROUNDS);
    let store = home.open();
    check(&store, &acknowledged);
    for (digest, _) in home.rows() {
        let blob = store.object(&digest).unwrap().expect("a row without its bytes");
        assert_eq!(Digest::of(&read(&blob)), digest);
    }
}

fn check(store: &Store, acknowledged: &[(usize, usize)]) {
    for (round, number) in acknowledged {
        let found = get(store, &format!("{round}/{number}"));
        assert!(found == Some(bytes(*round, *number)), "{round}/{number} is lost or damaged");
    }
}

/// Lets a child publish, kills it at some point, and returns what it was told to be kept.
fn one_life(home: &Home, round: usize) -> Vec<(usize, usize)> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::the_child", "--ignored", "--nocapture"])
        .env(STORE, &home.config.path)
        .env("LUMBUNG_TEST_CRASH_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut numbers = Vec::new();
    let mut take = |line: std::io::Result<String>| {
        if let Some(number) = line.unwrap().strip_prefix("kept ") {
            numbers.push((round, number.parse().unwrap()));
        }
        numbers.len()
    };
    // Commits come in groups, so any number of acknowledgements is as good a moment as another.
    let enough = 1 + round * 37 % 150;
    for line in lines.by_ref() {
        if take(line) >= enough {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        take(line);
    }
    numbers
}

#[test]
#[ignore = "the process that the test above kills"]
fn the_child() {
    let store = Store::open(&config(&std::env::var(STORE).unwrap()), Clock::system()).unwrap();
    let round: usize = std::env::var("LUMBUNG_TEST_CRASH_ROUND").unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();

    let whole = bytes(round, 7);
    let mut unfinished = store.begin(&key("unfinished")).unwrap();
    unfinished.write(&whole[..1000]).unwrap();
    unfinished.describe(partial(whole.len() as u64));

    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let store = store.clone();
            runtime.spawn(async move {
                for number in (worker..).step_by(16) {
                    let path = format!("{round}/{number}");
                    put(&store, &path, &bytes(round, number)).await;
                    // One write, so that a kill cannot leave half a line.
                    std::io::stdout().write_all(format!("\nkept {number}\n").as_bytes()).unwrap();
                }
            })
        })
        .collect();
    for chunk in whole[1000..].chunks(100) {
        unfinished.write(chunk).unwrap();
    }
    for worker in workers {
        runtime.block_on(worker).unwrap();
    }
}
