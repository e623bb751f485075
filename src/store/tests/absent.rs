//! What is not configured any more: noted when it is first missed, dropped in pieces.

use std::sync::Arc;

use super::*;
use crate::store::{Absent, AbsentKind, Check, Pin};

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

/// A repository with more notes than one batch takes, and a channel that points at it.
async fn known(store: &Store) -> i64 {
    let text = store.put_object(b"text".to_vec()).await.unwrap().digest;
    let generation = store.adopt(suite("dists/noble", text), vec![]).await.unwrap().id;
    let (repo, suite): (Arc<str>, Arc<str>) = ("ubuntu".into(), "dists/noble".into());
    let pin = Pin { channel: "pilot".into(), repo: repo.clone(), suite: suite.clone(), generation, since: 0 };
    store.pin(vec![pin]).await.unwrap();
    let check = Check { repo: repo.clone(), suite, checked_at: 1, problem: None, pending_since: None };
    store.set_check(check).await.unwrap();
    for number in 0..2000 {
        store.note_use(&repo, "dists/noble", &number.to_string());
    }
    generation
}

#[tokio::test]
async fn the_time_of_being_missed_is_kept_until_it_comes_back() {
    let home = Home::new();
    let store = home.open();
    known(&store).await;
    let note = async |repos: &[&str], channels: &[&str]| {
        store.note_absent(names(repos), names(channels), Vec::new()).await.unwrap()
    };
    assert_eq!(note(&["ubuntu"], &["pilot"]).await, []);
    let missed = note(&[], &[]).await;
    let absent = |kind, name: &str, since, is_new| Absent { kind, name: name.into(), since, is_new };
    let since = missed[0].since;
    assert_eq!(
        missed,
        [
            absent(AbsentKind::Channel, "pilot", since, true),
            absent(AbsentKind::Repository, "ubuntu", since, true)
        ]
    );
    home.clock.advance(Duration::from_hours(24));
    assert_eq!(note(&["ubuntu"], &[]).await, [absent(AbsentKind::Channel, "pilot", since, false)]);
    let missed = note(&[], &["pilot"]).await;
    assert!(missed.len() == 1 && missed[0].is_new && missed[0].since >= since + 24 * 3600, "{missed:?}");
}

#[tokio::test]
async fn a_repository_is_dropped_whole_and_no_other() {
    let home = Home::new();
    let store = home.open();
    known(&store).await;
    let text = store.put_object(b"other".to_vec()).await.unwrap().digest;
    let other = NewGeneration { repo: "debian".into(), ..suite("dists/noble", text) };
    store.adopt(other, vec![]).await.unwrap();
    store.note_use(&"debian".into(), "dists/noble", "x");
    drop(store);
    let store = home.open();
    assert_eq!(store.working_set("ubuntu", "dists/noble", 0).unwrap().len(), 2000);
    store.drop_repository("ubuntu").await.unwrap();
    assert_eq!(store.working_set("ubuntu", "dists/noble", 0).unwrap().len(), 0);
    assert_eq!(store.working_set("debian", "dists/noble", 0).unwrap().len(), 1);
    let left: Vec<_> = store.generations().unwrap().iter().map(|found| found.repo.to_string()).collect();
    assert_eq!(left, ["debian"]);
    assert!(store.pins().unwrap().is_empty() && store.checks().unwrap().is_empty());
    assert_eq!(store.usage().held_bytes, 5);
}
