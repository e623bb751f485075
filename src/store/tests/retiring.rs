//! What nothing lists any more goes first.

use super::*;

#[tokio::test]
async fn the_retired_go_first_in_their_own_order_until_they_are_asked_for() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    let all = [digest("b"), digest("c"), digest("d"), digest("unknown")];
    assert_eq!(store.retire("ubuntu", &all).await.unwrap(), 3);
    assert_eq!(store.retire("ubuntu", &all).await.unwrap(), 0, "once is enough");
    store.touch(&digest("c"));
    home.clock.advance(MINUTE);
    assert!(store.make_room(50).await.unwrap());
    assert_eq!(here(&store), "acd");
    assert!(store.make_room(150).await.unwrap());
    assert_eq!(here(&store), "ac");
    assert!(store.make_room(250).await.unwrap());
    assert_eq!(here(&store), "c");
}

/// Uses are written long after they were: one from before must not bring a retired object back.
#[tokio::test]
async fn a_use_that_was_only_noted_before_does_not_undo_it() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    store.touch(&digest("d"));
    home.clock.advance(MINUTE);
    store.retire("ubuntu", &[digest("d")]).await.unwrap();
    assert!(store.make_room(50).await.unwrap());
    assert_eq!(here(&store), "abc");
}

#[tokio::test]
async fn what_another_repository_publishes_is_not_retired() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    let elsewhere = EntryKey { repo: "other".into(), path: "d".into() };
    store.put_entry(elsewhere, meta("d".repeat(100).as_bytes())).await.unwrap();
    assert_eq!(store.retire("ubuntu", &[digest("c"), digest("d")]).await.unwrap(), 1);
    assert!(store.make_room(150).await.unwrap());
    assert_eq!(here(&store), "bd");
}
