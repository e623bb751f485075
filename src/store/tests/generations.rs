//! One current generation of each suite, whole whatever happens.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;
use crate::store::{Check, Generation};

async fn object(store: &Store, text: &str) -> Digest {
    store.put_object(text.as_bytes().to_vec()).await.unwrap().digest
}

async fn adopt(store: &Store, name: &str, text: &str) -> Generation {
    let text = object(store, text).await;
    store.adopt(suite(name, text), vec![]).await.unwrap()
}

fn current(store: &Store) -> Vec<i64> {
    let generations = store.generations().unwrap();
    generations.iter().filter(|found| found.superseded_at.is_none()).map(|found| found.id).collect()
}

#[tokio::test]
async fn everything_about_a_generation_comes_back_after_a_restart() {
    let home = Home::new();
    let store = home.open();
    let new = NewGeneration {
        in_release: Some(object(&store, "InRelease").await),
        release: Some(object(&store, "Release").await),
        release_gpg: Some(object(&store, "Release.gpg").await),
        etag: Some("\"e\"".to_owned()),
        last_modified: Some(-1),
        date: Some(2),
        valid_until: Some(3),
        signers: vec!["F6EC B376".to_owned(), "quo\"ted, ü".to_owned()],
        ..suite("dists/noble", object(&store, "text").await)
    };
    let adopted = store.adopt(new.clone(), vec![]).await.unwrap();
    assert_eq!(
        adopted,
        Generation {
            id: adopted.id,
            repo: new.repo,
            suite: new.suite,
            text: new.text,
            in_release: new.in_release,
            release: new.release,
            release_gpg: new.release_gpg,
            etag: new.etag,
            last_modified: new.last_modified,
            upstream: new.upstream,
            date: new.date,
            valid_until: new.valid_until,
            signers: new.signers,
            created_at: adopted.created_at,
            superseded_at: None,
        }
    );
    assert!((home.clock.unix() - adopted.created_at).abs() < 60);
    let flat = adopt(&store, "", "flat").await;
    drop(store);
    assert_eq!(home.open().generations().unwrap(), [adopted, flat]);
}

#[tokio::test]
async fn the_next_generation_supersedes_only_its_own_suites_last() {
    let home = Home::new();
    let store = home.open();
    let first = adopt(&store, "dists/noble", "1").await;
    let other = adopt(&store, "dists/noble-updates", "1").await;
    home.clock.advance(Duration::from_mins(1));
    let second = adopt(&store, "dists/noble", "2").await;
    assert_eq!(current(&store), [other.id, second.id]);
    let found = store.generations().unwrap();
    assert_eq!(found[0], Generation { superseded_at: Some(second.created_at), ..first.clone() });
    home.clock.advance(Duration::from_mins(1));
    adopt(&store, "dists/noble", "3").await;
    assert_eq!(store.generations().unwrap()[0], found[0], "superseded once");
    assert_eq!(store.droppable(second.created_at).unwrap(), Vec::<i64>::new());
    assert_eq!(store.droppable(second.created_at + 1).unwrap(), [first.id]);
}

#[tokio::test]
async fn a_generation_with_a_missing_object_is_refused_and_changes_nothing() {
    let home = Home::new();
    let store = home.open();
    let first = adopt(&store, "dists/noble", "1").await;
    let here = object(&store, "here").await;
    let gone = Digest::of(b"gone");
    for (text, objects) in [(here, vec![here, gone]), (gone, vec![here])] {
        let error = store.adopt(suite("dists/noble", text), objects).await.unwrap_err();
        assert!(matches!(error, Error::NoObject(digest) if digest == gone), "{error}");
    }
    let error = store.hold(first.id, vec![here, gone]).await.unwrap_err();
    assert!(matches!(error, Error::NoObject(digest) if digest == gone), "{error}");
    assert_eq!(store.generations().unwrap(), [first]);
    assert_eq!(store.usage().held_bytes, 1);
}

#[tokio::test]
async fn an_adoption_that_fails_half_way_did_not_happen() {
    let home = Home::new();
    let store = home.open();
    let first = adopt(&store, "dists/noble", "1").await;
    home.catalog()
        .execute_batch(
            "CREATE TRIGGER broken AFTER UPDATE OF held ON object WHEN NEW.size = 3
             BEGIN SELECT RAISE(ABORT, 'injected'); END",
        )
        .unwrap();
    let text = object(&store, "22").await;
    let last = object(&store, "333").await;
    let error = store.adopt(suite("dists/noble", text), vec![last]).await.unwrap_err();
    assert!(matches!(error, Error::Catalog { .. }), "{error}");
    assert_eq!(store.generations().unwrap(), [first]);
    assert_eq!(store.usage().held_bytes, 1);
    home.catalog().execute_batch("DROP TRIGGER broken").unwrap();
    let second = store.adopt(suite("dists/noble", text), vec![last]).await.unwrap();
    assert_eq!((current(&store), store.usage().held_bytes), (vec![second.id], 6));
}

#[tokio::test]
async fn the_other_form_of_the_release_file_is_added_and_held() {
    let home = Home::new();
    let store = home.open();
    let in_release = object(&store, "InRelease").await;
    let new = NewGeneration { in_release: Some(in_release), ..suite("dists/noble", in_release) };
    let first = store.adopt(new, vec![]).await.unwrap();
    let (release, gpg) = (object(&store, "Release").await, object(&store, "gpg").await);
    assert_eq!(store.usage().held_bytes, 9);
    store.attach_release(first.id, release, Some(gpg), None).await.unwrap();
    let expected = Generation { release: Some(release), release_gpg: Some(gpg), ..first.clone() };
    assert_eq!(store.generations().unwrap(), [expected]);
    assert_eq!(store.usage().held_bytes, 19);
    let error = store.attach_release(77, release, None, None).await.unwrap_err();
    assert!(matches!(error, Error::NoGeneration(77)), "{error}");
    let error = store.hold(77, vec![release]).await.unwrap_err();
    assert!(matches!(error, Error::NoGeneration(77)), "{error}");
}

#[tokio::test]
async fn the_current_generation_cannot_be_dropped_and_numbers_are_never_used_again() {
    let home = Home::new();
    let store = home.open();
    let first = adopt(&store, "dists/noble", "1").await;
    let second = adopt(&store, "dists/noble", "2").await;
    let error = store.drop_generations(vec![first.id, second.id]).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "generation 2 cannot be dropped: it is the current one of ubuntu dists/noble"
    );
    assert_eq!(store.generations().unwrap().len(), 2, "all or nothing");
    let third = adopt(&store, "dists/noble", "3").await;
    store.drop_generations(vec![first.id, second.id, 77]).await.unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(store.generations().unwrap(), [third]);
    assert_eq!(adopt(&store, "dists/noble", "4").await.id, 4);
}

#[tokio::test]
async fn checks_are_kept_one_for_each_suite() {
    let home = Home::new();
    let store = home.open();
    let check = Check {
        repo: "ubuntu".into(),
        suite: "dists/noble".into(),
        checked_at: 5,
        problem: Some("main/binary-amd64/Packages.xz is not what the release file says".to_owned()),
        pending_since: Some(4),
    };
    let flat = Check { suite: "".into(), ..check.clone() };
    let fine = Check { checked_at: 6, problem: None, pending_since: None, ..check.clone() };
    store.set_check(check.clone()).await.unwrap();
    store.set_check(flat.clone()).await.unwrap();
    assert_eq!(store.checks().unwrap(), [flat.clone(), check]);
    store.set_check(fine.clone()).await.unwrap();
    drop(store);
    assert_eq!(home.open().checks().unwrap(), [flat, fine]);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let home = Home::new();
    let store = home.open();
    let text = object(&store, "1").await;
    store.close();
    let error = store.adopt(suite("dists/noble", text), vec![]).await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
}

/// Tells the child where its store is.
const STORE: &str = "LUMBUNG_TEST_ADOPT_STORE";
const ROUNDS: usize = 10;

/// A process that adopts is killed again and again: the suite always has one current generation, not
/// older than the last acknowledged one, and every generation has its three objects.
#[test]
fn adoptions_survive_kill_9_whole() {
    let home = Home::new();
    home.open().close();
    let mut adopted = 0;
    for round in 0..ROUNDS {
        let acknowledged = one_life(&home, 1 + round * 7 % 23);
        let store = home.open();
        let current = current(&store);
        assert!(current.len() == 1 && current[0] >= acknowledged, "{current:?}, {acknowledged}");
        let generations = store.generations().unwrap();
        assert_eq!(generations.last().unwrap().id, current[0]);
        let connection = home.catalog();
        let mut held = connection
            .prepare(
                "SELECT count(*) FROM hold JOIN object USING (digest) WHERE generation = ?1 AND held = 1",
            )
            .unwrap();
        for generation in &generations {
            let count: i64 = held.query_row([generation.id], |row| row.get(0)).unwrap();
            assert_eq!(count, 3, "{generation:?}");
        }
        let bytes: i64 =
            connection.query_row("SELECT sum(size) FROM object WHERE held", [], |row| row.get(0)).unwrap();
        assert_eq!(store.usage().held_bytes, bytes.cast_unsigned());
        adopted = generations.len();
    }
    assert!(adopted > ROUNDS);
}

/// Lets a child adopt, kills it after some acknowledgements, and returns the last one.
fn one_life(home: &Home, enough: usize) -> i64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::generations::the_child", "--ignored", "--nocapture"])
        .env(STORE, &home.config.path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let numbers = lines.filter_map(|line| line.unwrap().strip_prefix("current ")?.parse().ok());
    let last = numbers.take(enough).last();
    child.kill().unwrap();
    child.wait().unwrap();
    last.expect("the child adopted nothing")
}

#[test]
#[ignore = "the process that the test above kills"]
fn the_child() {
    let mut home = Home::new();
    home.config.path = std::env::var(STORE).unwrap().into();
    let store = home.open();
    let before = store.generations().unwrap().last().map_or(0, |last| last.id);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        for number in before + 1.. {
            let text = object(&store, &format!("text {number}")).await;
            let index = object(&store, &format!("index {number}")).await;
            let shared = object(&store, "an index that never changes").await;
            let adopted = store.adopt(suite("dists/noble", text), vec![index, shared]).await.unwrap();
            // One write, so that a kill cannot leave half a line.
            std::io::stdout().write_all(format!("\ncurrent {}\n", adopted.id).as_bytes()).unwrap();
        }
    });
}
