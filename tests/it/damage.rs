//! A disk that changed bytes while nobody looked.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::support::client::get;
use crate::support::noise;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

/// What a bad disk does to a file.
#[derive(Debug, Clone, Copy)]
enum Damage {
    Flipped,
    Cut,
    Zeroed,
}

const EACH: usize = 40;

fn objects(folder: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    };
    list(&folder.join("objects")).iter().flat_map(|folder| list(folder)).collect()
}

fn damage(file: &Path, how: Damage, number: usize) {
    let mut permissions = std::fs::metadata(file).expect("a file").permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "objects are read-only; the test is the disk")]
    permissions.set_readonly(false);
    std::fs::set_permissions(file, permissions).expect("a writable file");
    let open = std::fs::OpenOptions::new().read(true).write(true).open(file).expect("an open file");
    let length = open.metadata().expect("a length").len();
    let at = (number as u64 * 7919) % length;
    match how {
        Damage::Flipped => {
            let mut byte = [0];
            open.read_exact_at(&mut byte, at).expect("a byte");
            open.write_all_at(&[byte[0] ^ 0x10], at).expect("a flipped bit");
        }
        Damage::Cut => open.set_len(at).expect("a shorter file"),
        Damage::Zeroed => {
            let tail = usize::try_from(length - at).expect("a length");
            open.write_all_at(&vec![0; tail], at).expect("zeroes");
        }
    }
}

/// 120 files of three sizes are damaged while the server is down. Nobody gets one whole, not even who asks
/// first; the request after that is right, and each is fetched again once.
#[tokio::test]
async fn damaged_files_reach_nobody_and_heal() {
    let origin = Origin::start().await;
    let names: Vec<_> = (0..3 * EACH).map(|number| format!("/pool/d/d_{number}_amd64.deb")).collect();
    let body = |number: usize| noise(&format!("damage {number}"), [700, 60_000, 1_300_000][number % 3]);
    for (number, name) in names.iter().enumerate() {
        origin.route(name, Reply::ok(body(number)));
    }
    let fragment = format!("[[repo]]\nname = \"d\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n", origin.url(""));
    let mut server = TestServer::start(&fragment).await;
    for (number, name) in names.iter().enumerate() {
        let response = get(server.address(), &format!("/d{name}"), &[]).await;
        assert_eq!(response.body, body(number));
    }
    server.stop().await;
    let files = objects(&server.store());
    assert_eq!(files.len(), names.len());
    for (number, file) in files.iter().enumerate() {
        damage(file, [Damage::Flipped, Damage::Cut, Damage::Zeroed][number / EACH], number);
    }
    server.restart().await;
    for (number, name) in names.iter().enumerate() {
        let path = format!("/d{name}");
        let first = get(server.address(), &path, &[]).await;
        assert!(
            !first.is_complete() || first.body == body(number),
            "{name}: a damaged file was given out whole"
        );
        let second = get(server.address(), &path, &[]).await;
        assert!(second.is_complete() && second.body == body(number), "{name}: not healed");
        assert_eq!(origin.requests_to(name).len(), 2, "{name}");
    }
}

/// A cut that follows a damaged large object does not tempt a client into gluing: the validators that came
/// with the bad bytes match nothing afterwards.
#[tokio::test]
async fn a_cut_download_is_not_resumed_onto_the_right_bytes() {
    let origin = Origin::start().await;
    let body = noise("large", 3_000_000);
    origin.route("/pool/l_1_amd64.deb", Reply::ok(body.clone()));
    let fragment = format!("[[repo]]\nname = \"d\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n", origin.url(""));
    let mut server = TestServer::start(&fragment).await;
    get(server.address(), "/d/pool/l_1_amd64.deb", &[]).await;
    server.stop().await;
    damage(&objects(&server.store())[0], Damage::Flipped, 100);
    server.restart().await;
    let cut = get(server.address(), "/d/pool/l_1_amd64.deb", &[]).await;
    assert!(!cut.is_complete());
    let date = cut.header("last-modified").expect("a date").to_owned();
    let tag = cut.header("etag").expect("a tag").to_owned();
    for validator in [date, tag] {
        let rest = [("Range", "bytes=1000000-"), ("If-Range", validator.as_str())];
        let whole = get(server.address(), "/d/pool/l_1_amd64.deb", &rest).await;
        assert_eq!((whole.status, whole.body == body), (200, true), "If-Range: {validator}");
    }
}
