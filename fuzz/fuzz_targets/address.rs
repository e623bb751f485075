//! Paths from request lines and addresses from configuration and redirects: one spelling of each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lumbung::repo_path::{MAX_LENGTH, RepoPath};
use lumbung::safe_url::BaseUrl;

fuzz_target!(|text: &str| {
    if let Ok(path) = RepoPath::parse(text) {
        let plain = path.as_str();
        assert!(plain.len() <= MAX_LENGTH && !plain.starts_with('/'));
        assert!(!plain.contains("//") && !plain.contains('\\') && !plain.chars().any(char::is_control));
        assert!(plain.split('/').all(|segment| segment != "." && segment != ".."));
        assert_eq!(RepoPath::from_decoded(plain).as_ref(), Ok(&path));
        assert_eq!(RepoPath::parse(&path.encoded()).as_ref(), Ok(&path));
        let (first, rest) = path.split_first();
        assert_eq!(path.below(first), Some(rest));
    }
    if let Ok(base) = text.parse::<BaseUrl>() {
        let shown = base.to_string();
        assert_eq!(shown.parse::<BaseUrl>().as_ref(), Ok(&base));
        let file = RepoPath::from_decoded("pool/a b+c").expect("a plain path");
        let joined = base.join(&file, None);
        assert!(joined.starts_with(&base.origin.to_string()) && joined.ends_with("/pool/a%20b%2Bc"));
        assert!(!joined["https://".len()..].contains("//"));
        // Of a base as long as may be, what lies below it is too long to be one. The slashes count.
        if base.path.as_str().len() + file.as_str().len() + 2 <= MAX_LENGTH {
            assert_eq!(joined.parse::<BaseUrl>().map(|joined| joined.origin), Ok(base.origin));
        }
    }
});
