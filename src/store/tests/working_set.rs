//! Which indices somebody here uses.

use std::sync::Arc;

use super::*;

fn used(store: &Store, since: i64) -> Vec<String> {
    let paths = store.working_set("ubuntu", "dists/noble", since).unwrap();
    paths.iter().map(ToString::to_string).collect()
}

#[test]
fn notes_count_before_and_after_they_are_written_and_age() {
    let home = Home::new();
    let store = home.open();
    let ubuntu: Arc<str> = "ubuntu".into();
    let start = home.clock.unix();
    store.note_use(&ubuntu, "dists/noble", "main/i18n/Translation-id.xz");
    store.note_use(&ubuntu, "dists/noble", "main/binary-amd64/Packages.xz");
    store.note_use(&ubuntu, "dists/jammy", "main/binary-i386/Packages.xz");
    store.note_use(&"debian".into(), "dists/noble", "main/binary-arm64/Packages.xz");
    let both = ["main/binary-amd64/Packages.xz", "main/i18n/Translation-id.xz"];
    assert_eq!(used(&store, start), both);
    store.close();
    assert_eq!(used(&home.open(), start), both);

    home.clock.advance(Duration::from_hours(24));
    let store = home.open();
    let day = home.clock.unix();
    assert_eq!(used(&store, day), Vec::<String>::new());
    store.note_use(&ubuntu, "dists/noble", "main/i18n/Translation-id.xz");
    assert_eq!(used(&store, day), ["main/i18n/Translation-id.xz"], "not yet written");
    assert_eq!(used(&store, start), both, "written and not yet written");
    store.close();
    assert_eq!(used(&home.open(), day), ["main/i18n/Translation-id.xz"]);
}

/// Clients choose the paths; neither memory nor the table may follow them.
#[test]
fn a_flood_of_paths_is_bounded_and_the_youngest_stay() {
    let home = Home::new();
    let store = home.open();
    let ubuntu: Arc<str> = "ubuntu".into();
    let rows = |home: &Home| -> i64 {
        home.catalog().query_row("SELECT count(*) FROM index_use", [], |row| row.get(0)).unwrap()
    };
    store.note_use(&ubuntu, "dists/noble", &"x".repeat(600));
    assert_eq!(used(&store, 0), Vec::<String>::new());
    drop(store);
    // Each life writes what fits into memory at once.
    for life in 0..9 {
        let store = home.open();
        store.note_use(&ubuntu, "dists/noble", &format!("{life}"));
        for n in 0..5000 {
            store.note_use(&ubuntu, &format!("dists/{life}"), &n.to_string());
        }
        drop(store);
        home.clock.advance(Duration::from_mins(1));
    }
    let count = rows(&home);
    assert!((28_000..=32_768 + 4096).contains(&count), "{count}");
    let left = used(&home.open(), 0);
    assert!(left.contains(&"8".to_owned()) && !left.contains(&"0".to_owned()), "{left:?}");
}
