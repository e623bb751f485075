//! Files that are not what the catalog says become misses, and garbage goes away.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};

use super::*;
use crate::store::Swept;

/// Objects are read-only; whoever damages one must not mind.
fn damage(home: &Home, old: &[u8], new: &[u8]) {
    let path = home.object(old);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, new).unwrap();
}

#[tokio::test]
async fn a_missing_file_is_a_miss_and_can_be_stored_again() {
    let home = Home::new();
    let store = home.open();
    let told = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&told);
    store.on_evict(Box::new(move |keys| hook.lock().unwrap().extend_from_slice(keys)));
    put(&store, "a", b"hello").await;
    std::fs::remove_file(home.object(b"hello")).unwrap();
    assert!(store.object(&Digest::of(b"hello")).unwrap().is_none());
    assert_eq!(store.entry(&key("a")).unwrap(), None);
    assert_eq!(*told.lock().unwrap(), [key("a")]);
    assert_eq!((store.usage().objects, store.usage().bytes), (0, 0));
    put(&store, "a", b"hello").await;
    assert_eq!(get(&store, "a").unwrap(), b"hello");
}

#[tokio::test]
async fn a_cut_file_is_set_aside() {
    let home = Home::new();
    let store = home.open();
    put(&store, "a", b"hello").await;
    damage(&home, b"hello", b"hell");
    assert!(store.object(&Digest::of(b"hello")).unwrap().is_none());
    assert_eq!(get(&store, "a"), None);
    let aside = home.config.path.join("damaged").join(Digest::of(b"hello").to_string());
    assert_eq!(std::fs::read(aside).unwrap(), b"hell");
    assert_eq!(store.usage().evicted_bytes, 0);
}

#[tokio::test]
async fn a_cut_file_is_replaced_when_its_object_comes_again() {
    let home = Home::new();
    let store = home.open();
    put(&store, "a", b"hello").await;
    damage(&home, b"hello", b"hell");
    put(&store, "b", b"hello").await;
    assert_eq!(get(&store, "a").unwrap(), b"hello");
    assert_eq!(store.usage().objects, 1);
}

#[tokio::test]
async fn corrupt_objects_are_set_aside_on_request_and_their_number_is_bounded() {
    let home = Home::new();
    let store = home.open();
    for n in 0..70_u8 {
        put(&store, "a", &[n]).await;
        store.set_aside(&Digest::of(&[n])).unwrap();
        assert_eq!(store.entry(&key("a")).unwrap(), None);
    }
    store.set_aside(&Digest::of(b"never seen")).unwrap();
    assert_eq!((home.count("damaged"), store.usage().objects), (64, 0));
}

#[tokio::test]
async fn a_file_without_a_row_is_replaced_not_believed() {
    let home = Home::new();
    let store = home.open();
    std::fs::write(home.object(b"hello"), b"HELLO").unwrap();
    put(&store, "a", b"hello").await;
    assert_eq!(get(&store, "a").unwrap(), b"hello");
}

#[tokio::test]
async fn a_sweep_removes_only_old_garbage() {
    let home = Home::new();
    let store = home.open();
    put(&store, "a", b"known").await;
    std::fs::write(home.object(b"stranger"), b"stranger").unwrap();
    let foreign = home.object(b"known").with_file_name("README");
    std::fs::write(&foreign, b"not ours").unwrap();
    std::fs::write(home.config.path.join("partial/0123.part"), b"left by a crash").unwrap();
    let live = stage(&store, "live", b"1");
    let mut parked = stage(&store, "parked", b"1");
    parked.describe(partial(5));
    drop(parked);

    assert_eq!(store.sweep().unwrap(), Swept { objects: 0, partials: 0, tables: 0 });
    home.clock.advance(Duration::from_hours(2));
    assert_eq!(store.sweep().unwrap(), Swept { objects: 1, partials: 0, tables: 0 });
    assert!(!home.object(b"stranger").exists() && foreign.exists());
    home.clock.advance(Duration::from_hours(24 * 8));
    assert_eq!(store.sweep().unwrap(), Swept { objects: 0, partials: 2, tables: 0 });
    assert_eq!(get(&store, "a").unwrap(), b"known");
    assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (1, 1));
    store.publish(live, key("live"), meta(b"1")).await.unwrap();
}
