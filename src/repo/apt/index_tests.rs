use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::repo::apt::checksum::to_hex;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn items(kind: IndexKind, text: &str) -> (Vec<String>, Count) {
    let mut items = Vec::new();
    let count = read(kind, text.as_bytes(), |item| {
        let hash = match item.checksum {
            Checksum::Sha256(digest) => digest.to_string()[..4].to_owned(),
            Checksum::Sha512(half) => format!("512:{}", to_hex(&half[..2])),
        };
        let Item { path, size, package, version, architecture, .. } = item;
        items.push(format!("{path} {size} {hash} {package} {version} {architecture}"));
    });
    (items, count.unwrap())
}

#[test]
fn packages() {
    let long = "ab".repeat(64);
    let (items, count) = items(
        IndexKind::Packages,
        &format!(
            "Package: nano\nVersion: 7.2-1\nArchitecture: amd64\nDescription: x\n Filename: pool/no\n\
             Filename: pool/main/n/nano/nano_7.2-1_amd64.deb\nSize: 690000\nMD5sum: 00\nSHA256: {EMPTY}\n\
             SHA512: {long}\n\n\
             package: flat\nfilename: ././flat_1_all.deb\nsize: 5\nsha512: {long}\nVersion: 1\n\n\
             Package: slashes\nFilename: /pool//a/b.deb\nSize: 1\nSHA256: {EMPTY}\n\n\
             Package: weak\nFilename: weak.deb\nSize: 1\nMD5sum: 00\n\n\
             Package: out\nFilename: ../out.deb\nSize: 1\nSHA256: {EMPTY}\n\n\
             Package: dots\nFilename: a/./dots.deb\nSize: 1\nSHA256: {EMPTY}\n\n\
             Package: root\nFilename: ./.\nSize: 1\nSHA256: {EMPTY}\n\n\
             Package: big\nFilename: big.deb\nSize: 99999999999999999999\nSHA256: {EMPTY}\n\n\
             Package: none\nSize: 1\nSHA256: {EMPTY}\n\n\
             Package: broken\nFilename: broken.deb\nSize: 1\nSHA256: {}\n",
            &EMPTY[1..]
        ),
    );
    assert_eq!(
        items,
        [
            "pool/main/n/nano/nano_7.2-1_amd64.deb 690000 e3b0 nano 7.2-1 amd64",
            "flat_1_all.deb 5 512:abab flat 1 ",
            "pool/a/b.deb 1 e3b0 slashes  ",
            "a/dots.deb 1 e3b0 dots  ",
        ]
    );
    assert_eq!(count, Count { items: 4, skipped: 6 });
}

#[test]
fn sources() {
    let (items, count) = items(
        IndexKind::Sources,
        &format!(
            "Package: nano\nVersion: 7.2-1\nDirectory: pool/main/n/nano\nFiles:\n 00 1 nano_7.2-1.dsc\n\
             Checksums-Sha256:\n {EMPTY} 1 nano_7.2-1.dsc\n {EMPTY} 22 nano_7.2.orig.tar.xz\n\n\
             Package: flat\nVersion: 1\nDirectory: .\nChecksums-Sha256:\n {EMPTY} 1 flat_1.dsc\n\n\
             Package: weak\nDirectory: pool\nFiles:\n 00 1 weak.dsc\n 00 2 weak.tar.xz\n\n\
             Package: out\nDirectory: ../pool\nChecksums-Sha256:\n {EMPTY} 1 out.dsc\n\n\
             Package: out\nDirectory: pool\nChecksums-Sha256:\n {EMPTY} 1 ../out.dsc\n {EMPTY} 1 a/b\n {EMPTY} 1\n"
        ),
    );
    assert_eq!(
        items,
        [
            "pool/main/n/nano/nano_7.2-1.dsc 1 e3b0 nano 7.2-1 source",
            "pool/main/n/nano/nano_7.2.orig.tar.xz 22 e3b0 nano 7.2-1 source",
            "flat_1.dsc 1 e3b0 flat 1 source",
        ]
    );
    assert_eq!(count, Count { items: 3, skipped: 6 });
}

#[test]
fn patch_indices() {
    let (items, count) = items(
        IndexKind::Patches,
        &format!(
            "SHA256-Current: {EMPTY} 10\nSHA256-History:\n {EMPTY} 10 T-1\nSHA256-Patches:\n {EMPTY} 3 T-1\n\
             SHA256-Download:\n {EMPTY} 2 T-1-F-2.gz\n {EMPTY} 2 ../T-1-F-2.gz\n"
        ),
    );
    assert_eq!(items, ["T-1-F-2.gz 2 e3b0   "]);
    assert_eq!(count, Count { items: 1, skipped: 1 });
}

#[rstest]
#[case("main/binary-amd64/Packages.xz", Some((IndexKind::Packages, Compression::Xz)))]
#[case("Packages", Some((IndexKind::Packages, Compression::None)))]
#[case("main/source/Sources.gz", Some((IndexKind::Sources, Compression::Gzip)))]
#[case("main/binary-amd64/Packages.diff/Index", Some((IndexKind::Patches, Compression::None)))]
#[case("main/i18n/Index", None)]
#[case("main/i18n/Translation-en.bz2", None)]
#[case("main/Contents-amd64.gz", None)]
fn kinds(#[case] path: &str, #[case] kind: Option<(IndexKind, Compression)>) {
    assert_eq!(IndexKind::of(path), kind);
}

#[test]
fn a_web_page_lists_nothing() {
    let page = "<html>\n<body>Size: 1</body>\n\n</html>\n";
    assert_eq!(items(IndexKind::Packages, page).1, Count { items: 0, skipped: 2 });
}

proptest! {
    #[test]
    fn paths_are_as_the_path_type_has_them(path in "[./a\\\\~é ]{0,10}") {
        if let Some(path) = clean(path.as_bytes()) {
            let as_type = RepoPath::from_decoded(&path).unwrap();
            prop_assert_eq!(as_type.as_str(), &*path);
            prop_assert!(!path.is_empty());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in [IndexKind::Packages, IndexKind::Sources, IndexKind::Patches] {
            let _ = read(kind, bytes.as_slice(), |_| {});
        }
    }

    #[test]
    fn arbitrary_fields_never_panic(
        text in "((Package|Filename|Directory|Checksums-Sha256|SHA256-Download|SHA256|Size):|[ a./0-9]|\n){0,40}",
    ) {
        for kind in [IndexKind::Packages, IndexKind::Sources, IndexKind::Patches] {
            let _ = read(kind, text.as_bytes(), |_| {});
        }
    }
}
