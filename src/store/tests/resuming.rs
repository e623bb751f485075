//! A broken transfer goes on where it broke, unless its bytes cannot be trusted.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::store::disk::Real;

#[tokio::test]
async fn a_described_transfer_is_resumed_and_finished() {
    let home = Home::new();
    let store = home.open();
    assert!(store.resume(&key("a")).unwrap().is_none());
    let mut staged = stage(&store, "a", b"hel");
    staged.describe(partial(5));
    assert!(store.resume(&key("a")).unwrap().is_none(), "one writer only");
    drop(staged);
    assert!(store.resume(&key("other")).unwrap().is_none());
    let (mut staged, meta_found) = store.resume(&key("a")).unwrap().unwrap();
    assert_eq!(meta_found, partial(5));
    assert_eq!((staged.written(), staged.digest()), (3, Digest::of(b"hel")));
    assert!(store.resume(&key("a")).unwrap().is_none(), "one writer only");
    staged.write(b"lo").unwrap();
    assert_eq!(store.usage().unfinished_bytes, 5);
    store.publish(staged, key("a"), meta(b"hello")).await.unwrap();
    assert_eq!(get(&store, "a").unwrap(), b"hello");
    assert!(store.resume(&key("a")).unwrap().is_none());
    assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (0, 0));
}

#[test]
fn what_was_not_described_or_was_discarded_is_gone() {
    let home = Home::new();
    let store = home.open();
    drop(stage(&store, "a", b"hel"));
    let mut staged = stage(&store, "a", b"hel");
    staged.describe(partial(5));
    staged.discard();
    let mut nothing = store.begin(&key("a")).unwrap();
    nothing.describe(partial(5));
    drop(nothing);
    assert!(store.resume(&key("a")).unwrap().is_none());
    assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (0, 0));
}

#[test]
fn a_restart_resumes_but_a_reboot_does_not() {
    let home = Home::new();
    let store = home.open_on(Real, "boot-1");
    let mut staged = stage(&store, "a", b"hel");
    staged.describe(partial(5));
    drop(staged);
    drop(store);

    let store = home.open_on(Real, "boot-1");
    assert_eq!(store.usage().unfinished_bytes, 3);
    let (staged, found) = store.resume(&key("a")).unwrap().unwrap();
    assert_eq!((found, staged.digest()), (partial(5), Digest::of(b"hel")));
    drop(staged);
    drop(store);

    let store = home.open_on(Real, "boot-2");
    assert!(store.resume(&key("a")).unwrap().is_none());
    assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (0, 0));
    drop(store);
    // Not even when the old name comes again: the row is gone too.
    assert!(home.open_on(Real, "boot-1").resume(&key("a")).unwrap().is_none());
}

#[test]
fn a_file_that_changed_behind_our_back_is_not_resumed() {
    let home = Home::new();
    for (bytes, why) in [(&b""[..], "emptied"), (b"he", "cut"), (b"hello!", "longer than the object")] {
        let store = home.open();
        let mut staged = stage(&store, "a", b"hel");
        staged.describe(partial(5));
        drop(staged);
        let file = std::fs::read_dir(home.config.path.join("partial")).unwrap().next().unwrap().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        assert!(store.resume(&key("a")).unwrap().is_none(), "{why}");
        assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (0, 0), "{why}");
    }
}

#[test]
fn the_youngest_is_resumed_and_their_number_is_bounded() {
    let home = Home::new();
    let store = home.open();
    for n in 0..300_u16 {
        let mut staged = stage(&store, "a", &n.to_le_bytes());
        staged.describe(partial(100));
        drop(staged);
    }
    assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (256, 512));
    let (staged, _) = store.resume(&key("a")).unwrap().unwrap();
    assert_eq!(staged.digest(), Digest::of(&299_u16.to_le_bytes()));
}

/// A download of gigabytes whose end came between its last byte and its commit must not be fetched again.
#[tokio::test]
async fn a_transfer_that_was_named_but_not_entered_when_the_process_died_is_whole_at_the_next_start() {
    let home = Home::new();
    let store = home.open_on(Real, "boot");
    let mut staged = stage(&store, "a", b"hello");
    staged.describe(partial(5));
    let part = staged.path().to_owned();
    drop(staged);
    drop(store);
    // What publishing does before the rows.
    std::fs::set_permissions(&part, Permissions::from_mode(0o440)).unwrap();
    Real.link_new(&part, &home.object(b"hello")).unwrap();
    assert!(part.exists());

    let store = home.open_on(Real, "boot");
    let (staged, _) = store.resume(&key("a")).unwrap().unwrap();
    assert_eq!(staged.written(), 5);
    store.publish(staged, key("a"), meta(b"hello")).await.unwrap();
    assert_eq!(get(&store, "a").unwrap(), b"hello");
    assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (0, 0));
    let mode = std::fs::metadata(home.object(b"hello")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o440);
}
