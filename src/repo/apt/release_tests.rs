use proptest::prelude::*;
use rstest::rstest;

use super::*;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const OTHER: &str = "f61f27bd17de546264aa58f40f3aafaac7021e0ef69c17f6b1b4cd7664a037ec";

fn with_list(list: &str) -> Result<Release, ReleaseError> {
    Release::parse(format!("Origin: Test\nSHA256:\n{list}").as_bytes())
}

#[test]
fn a_whole_file() {
    let long = "ab".repeat(64);
    let text = format!(
        "Origin: Debian\nLabel: Debian-Security\nSuite: oldstable-security\nVersion: 12\n\
         Codename: bookworm-security\nDate: Sat, 21 Nov 2026 00:53:02 UTC\n\
         Valid-Until: Sat, 28 Nov 2026 00:53:02 UTC\nAcquire-By-Hash: yes\nSnapshots: no\n\
         Architectures: amd64 arm64\nComponents: updates/main updates/contrib\n\
         MD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 main/Old\n\
         SHA256:\n {EMPTY}        0 main/b/Packages\n {OTHER} 20 main/a/Packages.gz\n\
         SHA512:\n {long} 20 main/a/Packages.gz\n {long} 7 only/here\n\n\
         Second: stanza\nSHA256:\n {EMPTY} 0 not/this\n"
    );
    let release = Release::parse(text.as_bytes()).unwrap();
    assert_eq!(release.origin.as_deref(), Some("Debian"));
    assert_eq!(release.label.as_deref(), Some("Debian-Security"));
    assert_eq!(release.suite.as_deref(), Some("oldstable-security"));
    assert_eq!(release.codename.as_deref(), Some("bookworm-security"));
    assert_eq!(release.version.as_deref(), Some("12"));
    assert_eq!(release.date, Some(1_795_222_382));
    assert_eq!(release.valid_until, Some(1_795_222_382 + 7 * 86_400));
    assert!(release.acquire_by_hash);
    assert_eq!(release.snapshots.as_deref(), Some("no"));
    assert_eq!(release.architectures, ["amd64", "arm64"]);
    assert_eq!(release.components, ["updates/main", "updates/contrib"]);
    let paths: Vec<_> = release.files().iter().map(|listed| listed.path.as_str()).collect();
    assert_eq!(paths, ["main/a/Packages.gz", "main/b/Packages", "only/here"]);
    let both = release.find("main/a/Packages.gz").unwrap();
    assert_eq!((both.size, both.checksum()), (20, Checksum::Sha256(OTHER.parse().unwrap())));
    assert_eq!(release.find("only/here").unwrap().checksum(), Checksum::Sha512([0xab; 32]));
    assert_eq!(release.find("main/Old"), None);
    assert!(!release.is_expired(1_795_222_382));
    assert!(release.is_expired(1_795_222_382 + 7 * 86_400 + 1));
}

#[rstest]
#[case("Sat, 11 Jul 2026 10:16:37 UTC", Some(1_783_764_997))]
#[case("Sat, 11 Jul 2026 10:16:37 GMT", Some(1_783_764_997))]
#[case("Sat, 11 Jul 2026 10:16:37 Z", Some(1_783_764_997))]
#[case("Sat, 11 Jul 2026 10:16:37 +0000", Some(1_783_764_997))]
#[case("Sat, 11 Jul 2026 12:16:37 +0200", Some(1_783_764_997))]
#[case("Mon, 11 Jul 2026 10:16:37 UTC", Some(1_783_764_997))]
#[case("Wed,  1 Jul 2026  1:02:03 UTC", None)]
#[case("Wed, 1 Jul 2026 01:02:03 UTC", Some(1_782_867_723))]
#[case("2026-07-11", None)]
#[case("", None)]
#[case("Sat, 11 Jul 99999999 10:16:37 UTC", None)]
fn dates(#[case] text: &str, #[case] seconds: Option<i64>) {
    assert_eq!(parse_date(text.as_bytes()), seconds);
    let release = Release::parse(format!("Date: {text}\nSHA256:\n").as_bytes());
    assert_eq!(release.map(|release| release.date).ok().flatten(), seconds);
}

#[rstest]
#[case("./Packages", "Packages")]
#[case("main/..a/Packages", "main/..a/Packages")]
#[case("main/dep11/icons-64x64@2.tar", "main/dep11/icons-64x64@2.tar")]
fn paths_that_are_taken(#[case] written: &str, #[case] path: &str) {
    let release = with_list(&format!(" {EMPTY} 0 {written}\n")).unwrap();
    assert_eq!(release.files()[0].path.as_str(), path);
}

#[rstest]
#[case("../Packages")]
#[case("main/../../etc/passwd")]
#[case("/etc/passwd")]
#[case("main//Packages")]
#[case("main/")]
#[case("./")]
#[case("main/./Packages")]
#[case("main/.")]
#[case("main\\..\\Packages")]
#[case("main/\u{7f}Packages")]
fn paths_that_refuse_the_file(#[case] path: &str) {
    let refused = with_list(&format!(" {EMPTY} 0 fine\n {EMPTY} 0 {path}\n"));
    assert!(matches!(refused, Err(ReleaseError::BadPath(_))), "{refused:?}");
}

#[rstest]
#[case::short_hash(" e3b0 0 main/Packages\n")]
#[case::no_hash_digits(" x3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/Packages\n")]
#[case::size(" e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 +1 main/Packages\n")]
#[case::negative(" e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 -1 main/Packages\n")]
#[case::overflow(
    " e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 99999999999999999999 a\n"
)]
#[case::words(" e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0\n")]
fn broken_lines_refuse_the_file(#[case] list: &str) {
    assert!(matches!(with_list(list), Err(ReleaseError::BadLine { field: "SHA256", .. })));
}

#[test]
fn the_same_entry_twice_is_one_and_a_different_one_refuses_the_file() {
    let twice = with_list(&format!(" {EMPTY} 0 a\n {EMPTY} 0 a\n")).unwrap();
    assert_eq!(twice.files().len(), 1);
    for list in [format!(" {EMPTY} 0 a\n {OTHER} 0 a\n"), format!(" {EMPTY} 0 a\n {EMPTY} 1 ./a\n")] {
        assert_eq!(with_list(&list), Err(ReleaseError::Conflict("a".into())));
    }
    let long = "ab".repeat(64);
    let sizes = with_list(&format!(" {EMPTY} 0 a\nSHA512:\n {long} 1 a\n"));
    assert_eq!(sizes, Err(ReleaseError::Conflict("a".into())));
}

#[test]
fn bounds_hold() {
    assert_eq!(Release::parse(&vec![b'a'; MAX_TEXT + 1]), Err(ReleaseError::TooLong));
    assert_eq!(Release::parse(b"Origin: x\nSHA1:\n"), Err(ReleaseError::NoStrongHashes));
    let size = with_list(&format!(" {EMPTY} {} a\n", MAX_SIZE + 1));
    assert_eq!(size, Err(ReleaseError::TooLarge("a".into())));
    let many =
        (0..=MAX_FILES).fold(String::new(), |list, number| list + format!(" {EMPTY} 0 {number}\n").as_str());
    assert_eq!(with_list(&many), Err(ReleaseError::TooMany));
    assert!(matches!(
        Release::parse(b"Date: soon\nSHA256:\n"),
        Err(ReleaseError::BadDate { field: "Date", .. })
    ));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Release::parse(&bytes);
    }

    #[test]
    fn whatever_is_listed_stays_inside(path in "[./a\\\\ \t]{0,12}", size in any::<u64>()) {
        if let Ok(release) = with_list(&format!(" {EMPTY} {size} {path}\n")) {
            for listed in release.files() {
                prop_assert!(listed.path.as_str().split('/').all(|part| !matches!(part, "" | "." | "..")));
                prop_assert_eq!(release.find(listed.path.as_str()), Some(listed));
            }
        }
    }
}
