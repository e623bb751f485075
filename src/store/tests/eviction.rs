//! The least recently asked goes first, and only as much as is needed.

use std::sync::{Arc, Mutex};

use super::*;

const MINUTE: Duration = Duration::from_mins(1);

/// Four objects of 100 bytes, a minute apart.
async fn four(home: &Home, store: &Store) {
    for name in ["a", "b", "c", "d"] {
        put(store, name, name.repeat(100).as_bytes()).await;
        home.clock.advance(MINUTE);
    }
}

fn here(store: &Store) -> String {
    ["a", "b", "c", "d"].into_iter().filter(|name| get(store, name).is_some()).collect()
}

#[tokio::test]
async fn the_least_recently_asked_goes_with_its_entries_and_the_hook_is_told() {
    let home = Home::limited(400);
    let store = home.open();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    store.on_evict(Box::new(move |keys| hook.lock().unwrap().extend_from_slice(keys)));
    four(&home, &store).await;
    assert_eq!(here(&store), "abcd");
    store.put_entry(key("also b"), meta("b".repeat(100).as_bytes())).await.unwrap();
    store.touch(&Digest::of("a".repeat(100).as_bytes()));
    home.clock.advance(MINUTE);
    let open = store.object(&Digest::of("b".repeat(100).as_bytes())).unwrap().unwrap();

    assert!(store.make_room(100).await.unwrap());
    assert_eq!(here(&store), "ad", "one for the room, one for the low-water mark");
    assert_eq!(store.entry(&key("also b")).unwrap(), None);
    let mut told: Vec<_> = told.lock().unwrap().iter().map(|key| key.path.to_string()).collect();
    told.sort();
    assert_eq!(told, ["also b", "b", "c"]);
    assert!(!home.object("b".repeat(100).as_bytes()).exists());
    assert_eq!(read(&open), "b".repeat(100).as_bytes(), "an open object stays readable");
    let usage = store.usage();
    assert_eq!((usage.bytes, usage.objects, usage.evicted_bytes, usage.full), (200, 2, 200, false));
}

#[tokio::test]
async fn room_that_is_there_costs_nothing_and_impossible_room_evicts_nothing() {
    let home = Home::limited(400);
    let store = home.open();
    put(&store, "a", &[b'a'; 100]).await;
    // The writer looks at the limits after it has answered; let it do so before they are exceeded.
    store.remove_entry(key("none")).await.unwrap();
    home.clock.advance(MINUTE);
    assert!(store.make_room(300).await.unwrap());
    assert!(!store.make_room(401).await.unwrap());
    let staged = stage(&store, "big", &[0; 350]);
    assert!(!store.make_room(400).await.unwrap(), "unfinished bytes cannot be evicted");
    staged.discard();
    assert_eq!((store.usage().bytes, store.usage().unfinished_bytes), (100, 0));
    let error = try_put(&store, "bigger", &[0; 401]).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 401, limit: 400 }) && error.is_full(), "{error}");
}

#[tokio::test]
async fn publishing_over_the_limit_evicts_by_itself() {
    let home = Home::limited(400);
    let store = home.open();
    four(&home, &store).await;
    put(&store, "e", &[b'e'; 100]).await;
    // The eviction stands in the writer's queue before this does.
    store.remove_entry(key("none")).await.unwrap();
    store.make_room(0).await.unwrap();
    assert!(store.usage().bytes <= 400, "{:?}", store.usage());
    assert!(get(&store, "e").is_some() && get(&store, "a").is_none());
}

#[tokio::test]
async fn what_was_used_seconds_ago_is_safe() {
    let home = Home::limited(200);
    let store = home.open();
    put(&store, "old", &[1; 100]).await;
    put(&store, "new", &[2; 100]).await;
    assert!(!store.make_room(100).await.unwrap());
    assert_eq!(store.usage().objects, 2);
    home.clock.advance(MINUTE);
    store.touch(&Digest::of(&[1; 100]));
    assert!(store.make_room(100).await.unwrap());
    assert!(get(&store, "old").is_some() && get(&store, "new").is_none());
}

#[tokio::test]
async fn touches_outlive_a_restart() {
    let home = Home::limited(400);
    let store = home.open();
    four(&home, &store).await;
    store.touch(&Digest::of("a".repeat(100).as_bytes()));
    store.close();
    drop(store);
    home.clock.advance(MINUTE);
    let store = home.open();
    assert!(store.make_room(100).await.unwrap());
    assert_eq!(here(&store), "ad");
}

/// A machine whose clock was years ahead at its first start must not keep what it stored then for years.
#[tokio::test]
async fn what_a_wrong_clock_dated_can_be_evicted() {
    let mut home = Home::limited(200);
    home.clock.advance(Duration::from_hours(24 * 1000));
    let store = home.open();
    put(&store, "a", &[1; 200]).await;
    drop(store);
    home.clock = Clock::system();
    let store = home.open();
    assert!(store.make_room(200).await.unwrap());
    assert_eq!(get(&store, "a"), None);
}

#[tokio::test]
async fn a_large_eviction_is_done_in_pieces_and_whole() {
    let home = Home::limited(3000);
    let store = home.open();
    let puts = (0..600_u32).map(|n| {
        let store = store.clone();
        async move { put(&store, &n.to_string(), &n.to_le_bytes()).await }
    });
    futures_util::future::join_all(puts).await;
    home.clock.advance(MINUTE);
    assert_eq!((store.usage().objects, store.usage().bytes), (600, 2400));
    assert!(store.make_room(3000).await.unwrap());
    assert_eq!((store.usage().objects, store.usage().bytes, home.rows().len()), (0, 0, 0));
}

/// A broken download of most of the store's size, of a file that upstream has replaced since, must not keep
/// everything else out until the sweep finds it a week later.
#[tokio::test]
async fn transfers_that_nobody_resumes_make_room_when_objects_are_not_enough() {
    let home = Home::limited(1000);
    let store = home.open();
    for name in ["old", "young"] {
        let mut staged = stage(&store, name, &[1; 400]);
        staged.describe(partial(500));
        drop(staged);
    }
    put(&store, "a", &[2; 100]).await;
    home.clock.advance(MINUTE);
    assert!(store.make_room(600).await.unwrap());
    assert_eq!((store.usage().unfinished_bytes, home.count("partial")), (400, 1));
    assert!(store.resume(&key("old")).unwrap().is_none());
    let (young, _) = store.resume(&key("young")).unwrap().unwrap();
    assert!(!store.make_room(700).await.unwrap(), "a transfer that runs does not go");
    drop(young);
}

#[tokio::test]
async fn a_body_that_never_said_its_length_ends_at_the_limit() {
    let home = Home::limited(400);
    let store = home.open();
    let mut staged = stage(&store, "a", &[1; 300]);
    let error = staged.write(&[1; 101]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 401, limit: 400 }) && error.is_full(), "{error}");
    assert_eq!(staged.written(), 300);
}
