//! A release file: what it lists is found by path and by hash, and stays inside its suite.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumbung::repo::apt::by_hash;
use lumbung::repo::apt::release::{MAX_SIZE, Release};
use lumbung::repo_path::RepoPath;

fuzz_target!(|text: &[u8]| {
    let Ok(release) = Release::parse(text) else { return };
    assert!(release.files().is_sorted_by(|a, b| a.path.as_str() < b.path.as_str()));
    for listed in release.files() {
        let path = listed.path.as_str();
        assert!(!path.is_empty() && listed.size <= MAX_SIZE);
        assert_eq!(RepoPath::from_decoded(path).as_ref(), Ok(&listed.path));
        assert_eq!(release.find(path), Some(listed));

        for name in by_hash::paths_of(listed) {
            assert!(
                RepoPath::from_decoded(&name).is_ok_and(|parsed| parsed.as_str() == name)
                    || name.len() > 2048
            );
            let parsed = by_hash::parse(&name).expect("a by-hash name is one");
            assert_eq!(parsed.directory, by_hash::folder(path));
            // Of several files with one content in one folder the first is given.
            let found = release.find_by_hash(&parsed).expect("what is listed is found by its hash");
            assert_eq!(by_hash::folder(found.path.as_str()), parsed.directory);
            assert!(found.path <= listed.path);
        }
    }
});
