//! First starts, second starts, and starts that must not happen.

use std::error::Error as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::store::{catalog, schema};

#[test]
fn the_tree_is_private_and_the_token_stays() {
    let home = Home::new();
    let store = home.open();
    let token = store.admin_token().to_owned();
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let mode =
        |name: &str| std::fs::metadata(home.config.path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("admin-token"), 0o600);
    assert_eq!(mode(".") & 0o027, 0);
    assert_eq!(std::fs::read_to_string(home.config.path.join("format")).unwrap(), "1\n");
    drop(store);

    let path = home.config.path.join("admin-token");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(home.open().admin_token(), token);
    assert_eq!(mode("admin-token"), 0o600);

    std::fs::write(&path, "\n").unwrap();
    let error = Store::open(&home.config, home.clock.clone()).unwrap_err();
    assert!(error.to_string().contains("admin-token is not usable"), "{error}");
}

#[test]
fn a_second_user_is_told_who_the_first_is() {
    let home = Home::new();
    let store = home.open();
    let error = Store::open(&home.config, home.clock.clone()).unwrap_err();
    let pid = std::process::id();
    assert!(matches!(error, Error::Locked { pid: Some(found), .. } if found == pid), "{error}");
    assert!(error.to_string().contains(&format!("in use by process {pid}; stop")), "{error}");
    // Closing is enough, though clones live on.
    store.close();
    home.open();
}

#[test]
fn a_newer_or_foreign_format_is_refused_untouched() {
    let home = Home::new();
    std::fs::create_dir(&home.config.path).unwrap();
    for (text, word) in [("2\n", "newer release"), ("PNG", "is this folder a store")] {
        std::fs::write(home.config.path.join("format"), text).unwrap();
        let error = Store::open(&home.config, home.clock.clone()).unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(!home.config.path.join("catalog.sqlite").exists());
    }
}

#[test]
fn errors_name_the_file_and_keep_their_source() {
    let home = Home::new();
    std::fs::write(&home.config.path, "not a folder").unwrap();
    let error = Store::open(&home.config, home.clock.clone()).unwrap_err();
    assert!(error.to_string().contains(home.config.path.to_str().unwrap()), "{error}");
    assert!(error.source().is_some() && !error.is_full());
}

/// Opening and every lookup must cost the same whatever the number of objects. Time is noisy, plans are
/// not: no statement may walk a table or sort.
#[tokio::test]
async fn with_many_objects_nothing_is_scanned() {
    const OBJECTS: u32 = 100_000;
    let home = Home::new();
    home.open().close();
    let path = home.config.path.join("catalog.sqlite");
    let mut connection = schema::open_writer(&path).unwrap();
    let transaction = connection.transaction().unwrap();
    let mut totals = catalog::Totals::default();
    for n in 0..OBJECTS {
        let mut digest = [0; 32];
        // Spread like a real digest.
        digest[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
        let meta = EntryMeta { digest: Digest::from_bytes(digest), size: 1, ..meta(b"") };
        catalog::put_object(&transaction, &meta.digest, meta.size, i64::from(n), &mut totals).unwrap();
        catalog::put_entry(&transaction, &key(&format!("pool/{n}")), &meta).unwrap();
    }
    catalog::add_totals(&transaction, totals).unwrap();
    transaction.commit().unwrap();

    for statement in [
        catalog::ENTRY,
        catalog::OBJECT,
        catalog::OBJECTS_AFTER,
        catalog::COLDEST,
        catalog::MISDATED,
        catalog::NAMES,
        catalog::TOUCH,
        catalog::DROP_NAMES,
        catalog::DROP_OBJECT,
    ] {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        let steps = plan.raw_query().mapped(|row| row.get::<_, String>("detail"));
        let steps: Vec<String> = steps.collect::<Result<_, _>>().unwrap();
        assert!(!steps.is_empty(), "{statement}");
        for step in &steps {
            assert!(step.starts_with("SEARCH") && step.contains(" USING "), "{statement}: {steps:?}");
        }
    }
    drop(connection);

    let store = home.open();
    assert_eq!((store.usage().objects, store.usage().bytes), (OBJECTS.into(), OBJECTS.into()));
    assert_eq!(store.entry(&key("pool/77777")).unwrap().unwrap().size, 1);
    put(&store, "one more", b"1").await;
    assert_eq!(store.usage().objects, u64::from(OBJECTS) + 1);
}
