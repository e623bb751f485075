use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn sha256(size: u64, of: &str) -> Expected {
    Expected { size, checksum: Checksum::Sha256(Digest::of(of.as_bytes())) }
}

fn numbered(count: u32) -> Table {
    let mut builder = Builder::new();
    for number in 0..count {
        let path = format!("pool/{number}.deb");
        builder.add(&path, &sha256(number.into(), &path)).unwrap();
    }
    builder.finish()
}

#[test]
fn every_path_is_found_and_no_other() {
    for count in [0, 1, 2, 17, 5000] {
        let table = Table::from_bytes(numbered(count).as_bytes().to_vec()).unwrap();
        assert_eq!(table.len(), count as usize);
        for number in 0..count {
            let path = format!("pool/{number}.deb");
            assert_eq!(table.find(&path).collect::<Vec<_>>(), [sha256(number.into(), &path)]);
            assert_eq!(table.find(&format!("pool/{number}")).next(), None);
        }
    }
}

#[test]
fn suites_share_and_disagree() {
    let (mut one, mut two) = (Builder::new(), Builder::new());
    for builder in [&mut one, &mut two] {
        builder.add("same", &sha256(1, "same")).unwrap();
        builder.add("same", &sha256(1, "same")).unwrap();
    }
    one.add("replaced", &sha256(1, "old")).unwrap();
    let new = Expected { size: MAX_SIZE, checksum: Checksum::Sha512([7; 32]) };
    two.add("replaced", &new).unwrap();
    let mut both = Builder::new();
    both.merge(&one.finish()).unwrap();
    both.merge(&two.finish()).unwrap();
    let both = both.finish();
    assert_eq!(both.len(), 3);
    assert_eq!(both.find("same").count(), 1);
    let found: BTreeSet<_> = both.find("replaced").collect();
    assert_eq!(found, BTreeSet::from([sha256(1, "old"), new]));
    assert_eq!(both.iter().count(), 3);
}

#[test]
fn bounds_hold() {
    let huge = sha256(MAX_SIZE + 1, "");
    assert_eq!(Builder::new().add("a", &huge), Err(TableError::TooLarge(MAX_SIZE + 1)));
    let mut claims = MAGIC.to_vec();
    claims.extend((MAX_ENTRIES as u64 + 1).to_be_bytes());
    assert_eq!(Table::from_bytes(claims), Err(TableError::TooMany));
    let mut claims = MAGIC.to_vec();
    claims.extend(u64::MAX.to_be_bytes());
    assert_eq!(Table::from_bytes(claims), Err(TableError::TooMany));
}

#[test]
fn a_damaged_file_is_refused() {
    let good = numbered(3).as_bytes().to_vec();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(Table::from_bytes(bad).is_err(), "byte {at}");
        assert!(Table::from_bytes(good[..at].to_vec()).is_err(), "cut at {at}");
    }
    assert!(Table::from_bytes([good.as_slice(), b"x"].concat()).is_err());
    let mut version = good;
    version[7] = 3;
    assert_eq!(Table::from_bytes(version), Err(TableError::NotATable));
}

#[test]
fn a_sealed_file_out_of_order_is_refused() {
    let mut file = numbered(3).as_bytes().to_vec();
    file.truncate(file.len() - SEAL);
    let (first, rest) = file[HEAD..].split_at_mut(ENTRY);
    first.swap_with_slice(&mut rest[..ENTRY]);
    let seal = Digest::of(&file);
    file.extend(seal.as_bytes());
    assert_eq!(Table::from_bytes(file), Err(TableError::Damaged));
}

proptest! {
    #[test]
    fn it_is_a_map(content in proptest::collection::btree_map("[a-z]{1,3}", (0..MAX_SIZE, any::<bool>()), 0..60)) {
        let content: BTreeMap<String, Expected> = content
            .into_iter()
            .map(|(path, (size, long))| {
                let digest = Digest::of(path.as_bytes());
                let checksum = if long { Checksum::Sha512(*digest.as_bytes()) } else { Checksum::Sha256(digest) };
                (path, Expected { size, checksum })
            })
            .collect();
        let mut builder = Builder::new();
        for (path, expected) in &content {
            builder.add(path, expected).unwrap();
        }
        let table = builder.finish();
        for (path, expected) in &content {
            prop_assert_eq!(table.find(path).collect::<Vec<_>>(), vec![*expected]);
        }
    }

    /// Whatever the spread of the keys, the quick search agrees with the plain one.
    #[test]
    fn guessing_finds_what_searching_finds(
        keys in proptest::collection::vec((any::<bool>(), any::<[u8; 2]>()), 0..400),
        wanted in any::<[u8; 2]>(),
    ) {
        let mut entries: Vec<Entry> = keys
            .iter()
            .map(|(spread, bytes)| {
                let mut entry = [0; ENTRY];
                let at = if *spread { 0 } else { 6 };
                entry[at..at + 2].copy_from_slice(bytes);
                entry
            })
            .collect();
        entries.sort_unstable();
        for at in [0, 6] {
            let mut key = [0; PATH];
            key[at..at + 2].copy_from_slice(&wanted);
            let plain = entries.partition_point(|entry| entry[..PATH] < key[..]);
            prop_assert_eq!(first_of(&entries, &key), plain);
        }
    }

    #[test]
    fn arbitrary_files_never_panic(bytes in any::<Vec<u8>>(), count in 0..4_u64) {
        prop_assert!(Table::from_bytes(bytes.clone()).is_err());
        let mut file = MAGIC.to_vec();
        file.extend(count.to_be_bytes());
        file.extend(bytes);
        let _ = Table::from_bytes(file);
    }
}

#[test]
fn packages_whose_files_are_named_otherwise_are_known_too() {
    let mut builder = Builder::new();
    for (path, package) in [
        ("pool/n/nano_7_amd64.deb", "nano"),
        ("pool/g/chrome_current_amd64.deb", "google-chrome-stable"),
        ("app.deb", "app"),
    ] {
        builder.add(path, &sha256(1, path)).unwrap();
        builder.name(path, package, "amd64");
    }
    builder.name("pool/huge.deb", &"x".repeat(300), "amd64");
    let first = Table::from_bytes(builder.finish().as_bytes().to_vec()).unwrap();
    let mut merged = Builder::new();
    merged.merge(&first).unwrap();
    for table in [&first, &merged.finish()] {
        let package = |path| table.package_of(path).map(Cow::into_owned);
        assert_eq!(package("pool/n/nano_7_amd64.deb").as_deref(), Some("nano:amd64"));
        assert_eq!(package("pool/g/chrome_current_amd64.deb").as_deref(), Some("google-chrome-stable:amd64"));
        assert_eq!(package("app.deb").as_deref(), Some("app:amd64"));
        assert_eq!((package("pool/huge.deb"), table.len()), (None, 3));
        // Only what the index says otherwise is kept.
        assert_eq!(table.odd().len(), 2 * (PATH + 1) + "google-chrome-stable:amd64app:amd64".len());
    }
}
