//! Objects come in whole or not at all, once each.

use super::*;

#[tokio::test]
async fn what_was_published_is_read_back_also_after_reopening() {
    let home = Home::new();
    let store = home.open();
    assert_eq!(store.entry(&key("a")).unwrap(), None);
    let blob = put(&store, "a", b"hello").await;
    assert_eq!((read(&blob), blob.digest), (b"hello".to_vec(), Digest::of(b"hello")));
    put(&store, "empty", b"").await;
    store.close();
    drop(store);

    let store = home.open();
    assert_eq!(store.entry(&key("a")).unwrap(), Some(meta(b"hello")));
    assert_eq!(get(&store, "a").unwrap(), b"hello");
    assert_eq!(get(&store, "empty").unwrap(), b"");
    assert_eq!((store.usage().objects, store.usage().bytes), (2, 5));
    assert_eq!((store.usage().unfinished_bytes, home.count("partial")), (0, 0));
}

#[tokio::test]
async fn an_entry_is_replaced_and_removed() {
    let home = Home::new();
    let store = home.open();
    put(&store, "a", b"one").await;
    put(&store, "a", b"two").await;
    assert_eq!(get(&store, "a").unwrap(), b"two");
    // The older state stays reachable by its digest.
    assert!(store.object(&Digest::of(b"one")).unwrap().is_some());
    let newer = EntryMeta { validated_at: 2_000_000_000, etag: None, ..meta(b"two") };
    store.put_entry(key("a"), newer.clone()).await.unwrap();
    assert_eq!(store.entry(&key("a")).unwrap(), Some(newer));
    store.remove_entry(key("a")).await.unwrap();
    assert_eq!(store.entry(&key("a")).unwrap(), None);
    assert_eq!(store.usage().objects, 2);
}

#[tokio::test]
async fn two_repositories_share_one_object() {
    let home = Home::new();
    let store = home.open();
    let debian = EntryKey { repo: "debian".into(), path: "a".into() };
    put(&store, "a", b"same").await;
    let staged = stage(&store, "a", b"same");
    store.publish(staged, debian.clone(), meta(b"same")).await.unwrap();
    assert_eq!((store.usage().objects, store.usage().bytes), (1, 4));
    assert_eq!(store.entry(&debian).unwrap().unwrap().digest, Digest::of(b"same"));
    // A path whose digest is known needs no bytes at all, but it does need the object.
    store.put_entry(key("b"), meta(b"same")).await.unwrap();
    assert_eq!(get(&store, "b").unwrap(), b"same");
    let error = store.put_entry(key("c"), meta(b"unknown")).await.unwrap_err();
    assert!(matches!(error, Error::NoObject(digest) if digest == Digest::of(b"unknown")), "{error}");
    let wrong = EntryMeta { size: 5, ..meta(b"same") };
    let error = store.put_entry(key("c"), wrong).await.unwrap_err();
    assert!(matches!(error, Error::WrongSize { expected: 4, found: 5 }), "{error}");
    assert_eq!(store.entry(&key("c")).unwrap(), None);
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_gone() {
    let home = Home::new();
    let store = home.open();
    let mut staged = stage(&store, "a", b"evil");
    staged.describe(partial(4));
    let error = store.publish(staged, key("a"), meta(b"good")).await.unwrap_err();
    assert!(matches!(error, Error::WrongDigest { expected, found }
        if expected == Digest::of(b"good") && found == Digest::of(b"evil")));
    let error = store.publish(stage(&store, "a", b"goo"), key("a"), meta(b"good")).await.unwrap_err();
    assert!(matches!(error, Error::WrongSize { expected: 4, found: 3 }), "{error}");
    assert_eq!(get(&store, "a"), None);
    assert!(store.resume(&key("a")).unwrap().is_none());
    assert_eq!((home.count("partial"), home.rows().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publish_at_once_what_is_partly_the_same() {
    let home = Home::new();
    let store = home.open();
    let mut tasks = Vec::new();
    for n in 0..300_usize {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            // 60 different objects, five times each; a few are large enough to be flushed alone.
            let size = if n % 60 == 0 { 1_500_000 } else { 100 };
            let bytes = vec![u8::try_from(n % 60).unwrap(); size];
            let blob = put(&store, &format!("file-{n}"), &bytes).await;
            assert!(read(&blob) == bytes);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((store.usage().objects, store.usage().bytes), (60, 59 * 100 + 1_500_000));
    for n in 0..300_usize {
        let bytes = get(&store, &format!("file-{n}")).unwrap();
        assert!(bytes.iter().all(|byte| usize::from(*byte) == n % 60), "file-{n}");
    }
    assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (0, 0));
}

#[tokio::test]
async fn an_object_folder_that_somebody_removed_is_made_again() {
    let home = Home::new();
    let store = home.open();
    std::fs::remove_dir(home.object(b"x").parent().unwrap()).unwrap();
    put(&store, "x", b"x").await;
    assert_eq!(get(&store, "x").unwrap(), b"x");
}

#[tokio::test]
async fn followers_read_behind_the_writer_and_on_after_publishing() {
    let home = Home::new();
    let store = home.open();
    let mut staged = store.begin(&key("a")).unwrap();
    let file = staged.file();
    staged.write(b"hel").unwrap();
    let mut bytes = [0; 5];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 3);
    staged.write(b"lo").unwrap();
    assert_eq!((staged.written(), staged.digest()), (5, Digest::of(b"hello")));
    store.publish(staged, key("a"), meta(b"hello")).await.unwrap();
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes, b"hello");
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let home = Home::new();
    let store = home.open();
    let staged = stage(&store, "a", b"a");
    store.close();
    store.close();
    let error = store.publish(staged, key("a"), meta(b"a")).await.unwrap_err();
    assert!(matches!(error, Error::Closed), "{error}");
    assert!(matches!(store.remove_entry(key("a")).await, Err(Error::Closed)));
    assert!(matches!(store.make_room(u64::MAX).await, Err(Error::Closed)));
    assert_eq!(home.count("partial"), 0);
}
