//! Stores of earlier releases.

use super::*;

/// An object of the old catalog, by the byte that its name repeats.
fn old(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

/// A store as version 1 left it, with its files.
fn version_1() -> Home {
    let mut home = Home::new();
    home.config.max_size = Some(300);
    std::fs::create_dir(&home.config.path).unwrap();
    std::fs::write(home.config.path.join("format"), "1\n").unwrap();
    home.catalog().execute_batch(include_str!("version_1.sql")).unwrap();
    for byte in [0x11, 0x22, 0x33] {
        let name = old(byte).to_string();
        let folder = home.config.path.join("objects").join(&name[..2]);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(&name[2..]), [byte; 100]).unwrap();
    }
    home
}

#[tokio::test]
async fn a_store_of_version_1_keeps_what_it_has_and_learns_to_hold() {
    let home = version_1();
    let store = home.open();
    let usage = store.usage();
    assert_eq!((usage.bytes, usage.objects, usage.evicted_bytes, usage.held_bytes), (300, 3, 7, 0));
    assert_eq!(get(&store, "a").unwrap(), [0x11; 100]);
    assert_eq!(store.entry(&key("also b")).unwrap().unwrap().policy.as_deref(), Some("{}"));
    assert_eq!(store.generations().unwrap(), []);

    store.adopt(suite("dists/noble", old(0x11)), vec![]).await.unwrap();
    assert!(store.make_room(100).await.unwrap());
    assert_eq!(get(&store, "a").unwrap(), [0x11; 100], "the coldest, but held");
    assert_eq!(get(&store, "b"), None);
    drop(store);

    let store = home.open();
    assert_eq!((store.generations().unwrap().len(), store.usage().held_bytes), (1, 100));
    let version: i64 = home.catalog().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 6);
}

/// A migration that the power cut off is none.
#[test]
fn a_migration_that_fails_leaves_version_1_as_it_was() {
    let home = version_1();
    let tables = |home: &Home| -> Vec<String> {
        let connection = home.catalog();
        let mut names = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql NOT NULL").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
    };
    // In the way of one of the last new tables.
    home.catalog().execute_batch("CREATE TABLE pin (x)").unwrap();
    let before = tables(&home);
    Store::open(&home.config, home.clock.clone()).unwrap_err();
    assert_eq!(tables(&home), before);
    home.catalog().execute_batch("DROP TABLE pin").unwrap();
    assert_eq!(get(&home.open(), "a").unwrap(), [0x11; 100]);
}
