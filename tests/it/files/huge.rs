//! An image beyond 4 GiB, where numbers of 32 bits end.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Instant;

use super::*;
use crate::support::client::{Connection, request};
use crate::support::nginx::Nginx;
use crate::support::sha256_file;

const SIZE: u64 = (4 << 30) + 4096;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_four_gibibytes_is_verified_resumed_and_served_in_parts() {
    let folder = TempDir::new().expect("a folder");
    let images = folder.path().join("24.04");
    std::fs::create_dir(&images).expect("a folder");
    let path = images.join("huge.iso");
    // Holes but for its ends: it takes no room where it comes from.
    let mut file = std::fs::File::create(&path).expect("an image");
    file.write_all(b"begin").expect("an image");
    file.seek(SeekFrom::Start(SIZE - 3)).expect("an image");
    file.write_all(b"end").expect("an image");
    let hash = sha256_file(&path).expect("an image");
    let key = Key::generate("Images");
    let list = format!("{hash} *huge.iso\n");
    std::fs::write(images.join("SHA256SUMS"), &list).expect("a list");
    std::fs::write(images.join("SHA256SUMS.gpg"), key.sign(list.as_bytes())).expect("a signature");
    let keyring = folder.path().join("images.gpg");
    std::fs::write(&keyring, key.keyring()).expect("a keyring");
    let keyring = keyring.display().to_string();
    let nginx = Nginx::serve(folder.path());
    let mut server = TestServer::start(&format!(
        "[[repo]]\nname = \"r\"\nkind = \"files\"\nupstreams = [{:?}]\nkeyring = {keyring:?}\n",
        nginx.url("")
    ))
    .await;
    let began = Instant::now();
    // An installer that leaves in the middle, and a server that is restarted there.
    let mut leaver = Connection::open(server.address()).await;
    leaver.send(request(server.address(), "GET", "/r/24.04/huge.iso", &[])).await;
    leaver.head().await.expect("an answer");
    leaver.bytes(64 << 20).await;
    leaver.abort();
    server.restart().await;
    let parts =
        [(0, 4, b"begin".as_slice()), ((4 << 30) - 1, (4 << 30) + 1, &[0; 3]), (SIZE - 3, SIZE - 1, b"end")];
    for (first, last, bytes) in parts {
        // The first of them resumes the transfer and waits for its bytes; the last waits for the check.
        let range = format!("bytes={first}-{last}");
        let part = patient(&server, &range).await;
        assert_eq!((part.status, part.body.as_slice()), (206, bytes), "{range}");
        assert_eq!(part.header("content-range"), Some(&*format!("bytes {first}-{last}/{SIZE}")));
    }
    println!("4 GiB verified in {:.1} s", began.elapsed().as_secs_f64());
    crate::requests::until_stored(server.address(), "/r/24.04/huge.iso").await;
    let accesses: Vec<_> =
        nginx.finish().into_iter().filter(|access| access.path.ends_with("huge.iso")).collect();
    assert_eq!(accesses.iter().map(|access| access.status).collect::<Vec<_>>(), [200, 206], "{accesses:?}");
    assert_eq!(sha256_file(&object(&server, &hash)).expect("an object"), hash);
}

/// A range, asked for again as an installer does when it takes longer than the server lets a client wait.
async fn patient(server: &TestServer, range: &str) -> Response {
    let asking = async {
        loop {
            let answer = get(server.address(), "/r/24.04/huge.iso", &[("Range", range)]).await;
            if answer.status == 206 && answer.is_complete() {
                return answer;
            }
        }
    };
    tokio::time::timeout(5 * crate::support::PATIENCE, asking).await.expect("the range")
}

fn object(server: &TestServer, hash: &str) -> std::path::PathBuf {
    server.store().join("objects").join(&hash[..2]).join(&hash[2..])
}
