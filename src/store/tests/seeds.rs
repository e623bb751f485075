//! What a seed's plans hold is never evicted, before and after it comes, until no plan lists it.

use super::*;

fn digests(names: &str) -> Vec<Digest> {
    names.chars().map(|name| digest(&name.to_string())).collect()
}

#[tokio::test]
async fn a_plan_holds_what_is_here_and_what_comes() {
    let home = Home::limited(400);
    let store = letters(&home, "ab").await;
    let number = store.begin_seed_plan("s", digests("bc")).await.unwrap();
    assert_eq!(store.usage().held_bytes, 100);
    drop(store);
    let store = letters(&home, "cd").await;
    assert_eq!(store.usage().held_bytes, 200, "what came is held at once");
    assert!(store.make_room(200).await.unwrap());
    assert_eq!(here(&store), "bc");
    assert!(!store.make_room(300).await.unwrap());
    store.complete_seed_plan("s", number, None).await.unwrap();
    assert_eq!(store.usage().held_bytes, 200, "its own plan stays");
    store.drop_seed_plan("s", number).await.unwrap();
    assert_eq!(store.usage().held_bytes, 0);
}

#[tokio::test]
async fn a_complete_plan_lets_the_others_go_and_one_that_is_not_replaces_none() {
    let home = Home::limited(1000);
    let store = letters(&home, "abcd").await;
    let first = store.begin_seed_plan("s", digests("ab")).await.unwrap();
    store.complete_seed_plan("s", first, None).await.unwrap();
    store.begin_seed_plan("s", digests("d")).await.unwrap();
    let third = store.begin_seed_plan("s", digests("bc")).await.unwrap();
    assert_eq!(store.usage().held_bytes, 300, "the second plan was never completed, the first was");
    store.begin_seed_plan("other", digests("a")).await.unwrap();
    store.complete_seed_plan("s", third, None).await.unwrap();
    assert_eq!(store.usage().held_bytes, 300);
    store.forget_seed("other").await.unwrap();
    assert_eq!(store.usage().held_bytes, 200);
}

#[tokio::test]
async fn older_complete_plans_may_be_kept_for_a_while() {
    let home = Home::limited(1000);
    let store = letters(&home, "abcd").await;
    let mut numbers = Vec::new();
    for names in ["ab", "bc", "cd"] {
        let now = home.clock.unix();
        let number = store.begin_seed_plan("s", digests(names)).await.unwrap();
        store.complete_seed_plan("s", number, Some(now - 3600)).await.unwrap();
        numbers.push(number);
        home.clock.advance(Duration::from_mins(25));
    }
    assert_eq!(store.usage().held_bytes, 400);
    let now = home.clock.unix();
    // The first is older than an hour by then. What the second alone had stays.
    store.complete_seed_plan("s", numbers[2], Some(now - 3600)).await.unwrap();
    assert_eq!(store.usage().held_bytes, 300);
    assert!(store.make_room(700).await.unwrap());
    assert_eq!(here(&store), "bcd");
}

#[tokio::test]
async fn journals_are_kept_and_what_is_not_configured_is_missed() {
    let home = Home::new();
    let store = home.open();
    store.set_seed_journal("s", "one".to_owned()).await.unwrap();
    store.set_seed_journal("s", "two".to_owned()).await.unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(store.seed_journals().unwrap(), [("s".to_owned(), "two".to_owned())]);
    let absent = store.note_absent(Vec::new(), Vec::new(), Vec::new()).await.unwrap();
    assert_eq!((absent.len(), &*absent[0].name, absent[0].kind.as_str()), (1, "s", "seed"));
    assert!(store.note_absent(Vec::new(), Vec::new(), vec!["s".into()]).await.unwrap().is_empty());
    store.forget_seed("s").await.unwrap();
    assert!(store.note_absent(Vec::new(), Vec::new(), Vec::new()).await.unwrap().is_empty());
}
