//! What a generation holds is never evicted, and eviction does not pay for it.

use super::*;
use crate::store::{absent, catalog, generation, hold, pin, retire, schema, seeds, working_set};

#[tokio::test]
async fn eviction_passes_over_what_is_held_even_after_a_restart() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    store.adopt(suite("dists/noble", digest("a")), vec![digest("b"), digest("b")]).await.unwrap();
    assert_eq!((store.usage().bytes, store.usage().held_bytes), (400, 200));
    drop(store);
    let store = home.open();
    assert_eq!(store.usage().held_bytes, 200);
    assert!(store.make_room(200).await.unwrap());
    assert_eq!(here(&store), "ab");
    assert!(!store.make_room(201).await.unwrap(), "nothing is left that may go");
    assert_eq!((here(&store), store.usage().held_bytes), ("ab".to_owned(), 200));
}

#[tokio::test]
async fn room_that_only_held_objects_could_give_costs_nobody_anything() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    store.adopt(suite("dists/noble", digest("a")), vec![digest("b"), digest("c")]).await.unwrap();
    assert!(!store.make_room(101).await.unwrap());
    assert_eq!(here(&store), "abcd");
    assert!(store.usage().full);
}

#[tokio::test]
async fn what_a_wrong_clock_dated_is_kept_too_if_held() {
    let mut home = Home::limited(400);
    home.clock.advance(Duration::from_hours(24 * 1000));
    let store = letters(&home, "abcd").await;
    store.adopt(suite("dists/noble", digest("a")), vec![]).await.unwrap();
    drop(store);
    home.clock = Clock::system();
    let store = home.open();
    assert!(store.make_room(300).await.unwrap());
    assert_eq!(here(&store), "a");
}

#[tokio::test]
async fn dropping_a_generation_lets_go_of_what_no_other_holds() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    let first = store.adopt(suite("dists/noble", digest("a")), vec![digest("b")]).await.unwrap();
    store.adopt(suite("dists/noble", digest("c")), vec![digest("b")]).await.unwrap();
    assert_eq!(store.usage().held_bytes, 300, "a superseded one holds on");
    assert!(store.make_room(100).await.unwrap());
    assert_eq!(here(&store), "abc");
    store.drop_generations(vec![first.id]).await.unwrap();
    assert_eq!(store.usage().held_bytes, 200);
    assert!(store.make_room(200).await.unwrap());
    assert_eq!(here(&store), "bc");
}

#[tokio::test]
async fn an_index_that_came_later_is_held_as_well() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    let first = store.adopt(suite("dists/noble", digest("d")), vec![]).await.unwrap();
    store.hold(first.id, vec![digest("a")]).await.unwrap();
    store.hold(first.id, vec![digest("a")]).await.unwrap();
    assert_eq!(store.usage().held_bytes, 200);
    assert!(store.make_room(200).await.unwrap());
    assert_eq!(here(&store), "ad");
}

/// A disk that damages a held object must not turn it into one that may be evicted.
#[tokio::test]
async fn a_held_object_that_was_damaged_and_came_again_is_held_again() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    store.adopt(suite("dists/noble", digest("a")), vec![]).await.unwrap();
    store.set_aside(&digest("a")).unwrap();
    assert_eq!((store.usage().bytes, store.usage().held_bytes), (300, 0));
    put(&store, "a", "a".repeat(100).as_bytes()).await;
    assert_eq!((store.usage().bytes, store.usage().held_bytes), (400, 100));
    home.clock.advance(MINUTE);
    assert!(store.make_room(300).await.unwrap());
    assert_eq!(here(&store), "a");
}

#[tokio::test]
async fn a_put_object_is_durable_has_no_name_and_is_stored_once() {
    let home = Home::limited(400);
    let store = home.open();
    let first = store.put_object(b"text".to_vec()).await.unwrap();
    assert_eq!((read(&first), first.digest), (b"text".to_vec(), Digest::of(b"text")));
    let names: i64 = home.catalog().query_row("SELECT count(*) FROM entry", [], |row| row.get(0)).unwrap();
    assert_eq!(names, 0);
    let files = || std::fs::metadata(home.object(b"text")).unwrap();
    let inode = std::os::unix::fs::MetadataExt::ino(&files());
    assert_eq!(read(&store.put_object(b"text".to_vec()).await.unwrap()), b"text");
    assert_eq!(std::os::unix::fs::MetadataExt::ino(&files()), inode);
    assert_eq!((store.usage().objects, home.count("partial")), (1, 0));
    drop(store);
    let store = home.open();
    assert_eq!(read(&store.object(&Digest::of(b"text")).unwrap().unwrap()), b"text");

    let error = store.put_object(vec![0; 401]).await.unwrap_err();
    assert!(matches!(error, Error::TooLarge { size: 401, limit: 400 }), "{error}");
    let error = store.put_object(vec![0; 16 * 1024 * 1024 + 1]).await.unwrap_err();
    assert!(matches!(error, Error::NotSmall { .. }), "{error}");
    assert_eq!((store.usage().objects, home.count("partial")), (1, 0));
}

/// Putting what is there already counts as asking for it, or it might be gone before it is held.
#[tokio::test]
async fn a_put_object_that_was_there_is_not_evicted_next() {
    let home = Home::limited(400);
    let store = letters(&home, "abcd").await;
    store.put_object("a".repeat(100).into_bytes()).await.unwrap();
    assert!(store.make_room(100).await.unwrap());
    assert!(here(&store).starts_with('a'), "{}", here(&store));
}

/// However much is held: no statement walks the objects or the holds, and eviction finds what may go
/// through an index that has nothing else.
#[test]
fn no_statement_about_holds_scans_and_eviction_walks_only_what_may_go() {
    let home = Home::new();
    home.open().close();
    let connection = schema::open_writer(&home.config.path.join("catalog.sqlite")).unwrap();
    let plan = |statement: &str| -> Vec<String> {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let steps = plan.raw_query().mapped(|row| row.get::<_, String>("detail"));
        steps.collect::<Result<_, _>>().unwrap()
    };
    for statement in [
        absent::USES,
        retire::RETIRE,
        seeds::SHARED,
        catalog::COLDEST_AFTER,
        catalog::PUT_OBJECT,
        hold::MARK,
        hold::UNMARK,
        hold::HELD_BY,
        hold::HELD_BY_SOME,
        hold::RELEASE,
        hold::IS_HELD,
        hold::LISTED,
        hold::DROP_LISTED,
        generation::SUPERSEDE,
        pin::PREVIOUS,
        pin::PINNED,
        working_set::USED,
    ] {
        let steps = plan(statement);
        assert!(steps.iter().any(|step| step.starts_with("SEARCH")), "{statement}: {steps:?}");
        for step in &steps {
            let scans = step.starts_with("SCAN") && step != "SCAN CONSTANT ROW";
            assert!(!scans && !step.contains("TEMP B-TREE"), "{statement}: {steps:?}");
        }
    }
    for statement in [catalog::COLDEST, catalog::MISDATED] {
        let steps = plan(statement);
        assert!(steps.len() == 1 && steps[0].contains("USING INDEX object_use (last_used"), "{steps:?}");
    }
    let index: String = connection
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'object_use'", [], |row| row.get(0))
        .unwrap();
    assert!(index.ends_with("WHERE held = 0"), "{index}");
    let steps = plan(working_set::TRIM);
    assert!(steps.iter().all(|step| !step.contains("TEMP B-TREE")), "{steps:?}");
    assert!(steps[0].contains("index_use_time (used_at<?)"), "{steps:?}");
}
