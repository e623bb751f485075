//! An index of each kind, and the table made of what it lists, to disk and back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumbung::repo::apt::index::{IndexKind, read};
use lumbung::repo::apt::release::MAX_SIZE;
use lumbung::repo::apt::table::{Builder, Expected, Table};
use lumbung::repo_path::RepoPath;

fuzz_target!(|text: &[u8]| {
    for kind in [IndexKind::Packages, IndexKind::Sources, IndexKind::Patches] {
        let mut listed: Vec<(String, Expected)> = Vec::new();
        let count = read(kind, text, |item| {
            assert!(!item.path.is_empty() && item.size <= MAX_SIZE);
            let path = RepoPath::from_decoded(&item.path);
            // A source's folder and name are each short enough for a path, together perhaps not.
            assert!(path.is_ok_and(|path| path.as_str() == item.path) || item.path.len() > 2048);
            listed.push((item.path.to_string(), Expected { size: item.size, checksum: item.checksum }));
        })
        .expect("short input from memory cannot fail");
        assert_eq!(count.items, listed.len() as u64);

        let mut builder = Builder::new();
        for (path, expected) in &listed {
            builder.add(path, expected).expect("sizes are bounded");
        }
        let table = builder.finish();
        assert!(table.len() <= listed.len());
        for (path, expected) in &listed {
            assert!(table.find(path).any(|found| found == *expected));
        }

        let again = Table::from_bytes(table.as_bytes().to_vec()).expect("what was written can be read");
        assert!(again == table);
        let mut merged = Builder::new();
        merged.merge(&table).expect("it fitted once");
        merged.merge(&again).expect("it fitted once");
        assert!(merged.finish() == table);
    }
    // As a table from disk the input is hostile too.
    if let Ok(table) = Table::from_bytes(text.to_vec()) {
        assert_eq!(table.iter().count(), table.len());
    }
});
