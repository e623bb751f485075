//! What a channel's generation lists is never evicted, as long as the channel points at it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::store::{Candidate, Keeper, Pin};

/// What generations list, and how many objects were asked about.
#[derive(Clone, Default)]
struct Lists {
    listed: Arc<Mutex<HashMap<Digest, i64>>>,
    asked: Arc<AtomicUsize>,
}

impl Lists {
    fn add(&self, generation: i64, names: &[&str]) {
        self.listed.lock().unwrap().extend(names.iter().map(|name| (digest(name), generation)));
    }

    fn asked(&self) -> usize {
        self.asked.swap(0, Ordering::Relaxed)
    }
}

impl Keeper for Lists {
    fn listed_by(&self, generations: &[i64], candidates: &[Candidate]) -> Vec<Option<i64>> {
        self.asked.fetch_add(candidates.len(), Ordering::Relaxed);
        let listed = self.listed.lock().unwrap();
        let answer = |candidate: &Candidate| {
            assert!(candidate.names.iter().any(|name| digest(&name.path) == candidate.digest));
            listed.get(&candidate.digest).copied().filter(|by| generations.contains(by))
        };
        candidates.iter().map(answer).collect()
    }
}

/// Those letters, and who is asked about them.
async fn stored(home: &Home, names: &str) -> (Store, Lists) {
    let store = letters(home, names).await;
    let lists = Lists::default();
    store.set_keeper(Box::new(lists.clone()));
    (store, lists)
}

async fn pin(store: &Store, generation: i64) {
    let pin = Pin {
        channel: "stable".into(),
        repo: "ubuntu".into(),
        suite: "dists/noble".into(),
        generation,
        since: 0,
    };
    store.pin(vec![pin]).await.unwrap();
}

/// Adopts a generation of which `name` is the release file.
async fn adopt(store: &Store, name: &str) -> i64 {
    store.adopt(suite("dists/noble", digest(name)), vec![]).await.unwrap().id
}

#[tokio::test]
async fn what_a_channel_points_at_stays_and_the_next_coldest_goes() {
    let home = Home::limited(600);
    let (store, lists) = stored(&home, "abcdef").await;
    let first = adopt(&store, "f").await;
    lists.add(first, &["a", "c"]);
    pin(&store, first).await;
    assert!(store.make_room(150).await.unwrap());
    assert_eq!(here(&store), "acef");
    assert_eq!((store.usage().bytes, store.usage().held_bytes), (400, 300));
}

/// An object is asked about until it is held, and never again: eviction does not walk over what it cannot
/// take every time.
#[tokio::test]
async fn what_is_kept_is_asked_about_once_even_after_a_restart() {
    let home = Home::limited(600);
    let (store, lists) = stored(&home, "abcdef").await;
    let first = adopt(&store, "f").await;
    lists.add(first, &["a", "b", "c"]);
    pin(&store, first).await;
    assert!(store.make_room(50).await.unwrap());
    assert_eq!(here(&store), "abcef");
    assert!(lists.asked() >= 5);
    drop(store);
    let store = home.open();
    store.set_keeper(Box::new(lists.clone()));
    assert_eq!(store.usage().held_bytes, 400);
    assert!(store.make_room(150).await.unwrap());
    assert_eq!(here(&store), "abcf");
    assert_eq!(lists.asked(), 2, "the one that goes, when looking and when taking");
}

/// The room that only a channel's files could give is not there, and nobody loses anything for it.
#[tokio::test]
async fn a_store_full_of_what_channels_need_evicts_nothing_and_shows_it() {
    let home = Home::limited(600);
    let (store, lists) = stored(&home, "abcdef").await;
    let first = adopt(&store, "f").await;
    lists.add(first, &["a", "b", "c", "d"]);
    pin(&store, first).await;
    assert!(!store.make_room(200).await.unwrap());
    assert_eq!(here(&store), "abcdef");
    assert_eq!((store.usage().held_bytes, store.usage().full), (500, true));
    lists.asked();
    assert!(!store.make_room(200).await.unwrap());
    assert_eq!(lists.asked(), 0, "that there is too little is known now");
    assert!(store.make_room(100).await.unwrap());
    assert_eq!(here(&store), "abcdf");
}

/// A channel holds on to what it could be rolled back to, and to no more.
#[tokio::test]
async fn what_no_channel_points_at_any_more_is_let_go() {
    let home = Home::limited(600);
    let (store, lists) = stored(&home, "abcdef").await;
    let first = adopt(&store, "d").await;
    let second = adopt(&store, "e").await;
    let third = adopt(&store, "f").await;
    lists.add(first, &["a", "d"]);
    lists.add(second, &["b"]);
    pin(&store, first).await;
    pin(&store, second).await;
    assert!(store.make_room(100).await.unwrap());
    assert_eq!((here(&store), store.usage().held_bytes), ("abdef".to_owned(), 500));
    assert_eq!(store.let_go_unpinned().await.unwrap(), 0, "both are pinned");
    pin(&store, third).await;
    assert_eq!(store.usage().held_bytes, 500);
    assert_eq!(store.let_go_unpinned().await.unwrap(), 1);
    assert_eq!(store.usage().held_bytes, 400, "release files and what `previous` lists");
    assert!(store.make_room(200).await.unwrap());
    assert_eq!(here(&store), "bdef");
    store.unpin("stable").await.unwrap();
    assert_eq!(store.let_go_unpinned().await.unwrap(), 1);
    assert!(store.make_room(300).await.unwrap());
    assert_eq!((here(&store), store.usage().held_bytes), ("def".to_owned(), 300));
}

/// What is an index as well as listed stays with its generation when the channel goes.
#[tokio::test]
async fn an_index_that_was_kept_as_listed_before_stays_held() {
    let home = Home::limited(600);
    let (store, lists) = stored(&home, "abcdef").await;
    let first = adopt(&store, "f").await;
    lists.add(first, &["a"]);
    pin(&store, first).await;
    assert!(store.make_room(100).await.unwrap());
    store.hold(first, vec![digest("a")]).await.unwrap();
    store.unpin("stable").await.unwrap();
    assert_eq!(store.let_go_unpinned().await.unwrap(), 0);
    assert_eq!(store.usage().held_bytes, 200);
    assert!(store.make_room(400).await.unwrap());
    assert_eq!(here(&store), "af");
}

/// More than one piece of what may not go lies before what may.
#[tokio::test]
async fn an_eviction_goes_on_behind_hundreds_of_kept_objects() {
    let home = Home::limited(200_000);
    let names: Vec<String> = (0..600_u32).map(|number| format!("{number:03}")).collect();
    let (kept, free) = names.split_at(590);
    let (store, lists) = stored(&home, "f").await;
    for name in kept {
        put(&store, name, name.repeat(100).as_bytes()).await;
    }
    home.clock.advance(MINUTE);
    for name in free {
        put(&store, name, name.repeat(100).as_bytes()).await;
    }
    home.clock.advance(MINUTE);
    let first = adopt(&store, "f").await;
    lists.add(first, &kept.iter().map(String::as_str).collect::<Vec<_>>());
    pin(&store, first).await;
    assert!(!store.make_room(25_000).await.unwrap(), "ten small objects are not enough");
    assert_eq!((store.usage().objects, store.usage().held_bytes), (601, 590 * 300 + 100));
    assert!(store.make_room(22_000).await.unwrap());
    assert!(kept.iter().all(|name| get(&store, name).is_some()));
    assert!(get(&store, &free[0]).is_none());
    assert!(store.make_room(22_900).await.unwrap());
    assert_eq!(store.usage().bytes, store.usage().held_bytes);
}

/// A disk on which not even the catalog can grow gives files before rows, but none that a channel needs.
#[tokio::test]
async fn files_that_go_before_their_rows_are_not_those_that_a_channel_needs() {
    let home = Home::limited(600);
    let (store, lists) = stored(&home, "abcdef").await;
    let first = adopt(&store, "f").await;
    lists.add(first, &["a", "c"]);
    pin(&store, first).await;
    let there = |name: &str| home.object(name.repeat(100).as_bytes()).exists();
    crate::store::evict::unlink_coldest(store.shared(), &home.catalog(), &[], 200).unwrap();
    let left: String = ["a", "b", "c", "d", "e", "f"].into_iter().filter(|name| there(name)).collect();
    assert_eq!((left.as_str(), store.usage().held_bytes), ("acef", 100), "nothing is written");
}
