//! Requests that were good once, with some of their bytes changed.

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::requests::{repo, ubuntu};
use crate::support::client::{Connection, get};
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

/// What is changed. The seed is fixed, so that a failure comes back.
const CASES: u32 = 2000;

const SEEDS: [&str; 8] = [
    "GET /ubuntu/pool/main/a/a_1%2b2_amd64.deb HTTP/1.1\r\nHost: x:3142\r\nRange: bytes=0-4\r\nIf-Range: \"a\"\r\n\r\n",
    "GET http://ORIGIN/ubuntu/dists/noble/InRelease HTTP/1.1\r\nHost: ORIGIN\r\nCache-Control: max-age=0\r\n\r\n",
    "HEAD /HTTPS///example.org/ubuntu/x HTTP/1.1\r\nHost: x\r\nIf-Modified-Since: Sat, 01 Jun 2024 00:00:00 GMT\r\n\r\n",
    "POST /files/x?a=b&c=d HTTP/1.1\r\nHost: x\r\nContent-Type: a/b\r\nContent-Length: 5\r\n\r\nhello",
    "POST /files/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n\r\n\x16\x03\x01",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /client.sh?mode=proxy HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /ubuntu/a HTTP/1.1\r\nHost: x\r\n\r\nGET /ubuntu/b HTTP/1.1\r\nHost: x\r\nIf-None-Match: *, \"a\"\r\n\r\n",
];

const PIECES: [&[u8]; 24] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b"/",
    b"//",
    b"..",
    b"%2e%2e",
    b"%00",
    b"%0d%0a",
    b"%",
    b"@",
    b"#",
    b"?",
    b"\xff",
    b"HTTP/1.1",
    b"Content-Length: 1\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: y\r\n",
    b"[::1]",
    b"99999999999999999999",
];

#[derive(Debug, Clone)]
enum Change {
    Insert(usize, usize),
    Remove(usize, usize),
    Replace(usize, u8),
    Repeat(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let at = 0..400_usize;
    prop_oneof![
        (at.clone(), 0..PIECES.len()).prop_map(|(at, piece)| Change::Insert(at, piece)),
        (at.clone(), 1..12_usize).prop_map(|(at, count)| Change::Remove(at, count)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Replace(at, byte)),
        (at, 1..60_usize).prop_map(|(at, count)| Change::Repeat(at, count)),
    ]
}

fn apply(seed: &str, changes: &[Change]) -> Vec<u8> {
    let mut bytes = seed.as_bytes().to_vec();
    for change in changes {
        let place = |at: usize| at % (bytes.len() + 1);
        match *change {
            Change::Insert(at, piece) => {
                let at = place(at);
                bytes.splice(at..at, PIECES[piece].iter().copied());
            }
            Change::Remove(at, count) => {
                let at = place(at);
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Change::Replace(at, byte) => {
                let at = place(at);
                if let Some(old) = bytes.get_mut(at) {
                    *old = byte;
                }
            }
            Change::Repeat(at, count) => {
                let at = place(at);
                let piece = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, piece);
            }
        }
    }
    bytes
}

/// Whatever comes, it is answered without a 5xx or not at all, and nothing but plain requests goes upstream.
#[test]
fn no_bytes_of_a_client_upset_the_server() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (origin, server) = runtime.block_on(async {
        let origin = Origin::start().await;
        origin.answer_everything(Some(Reply::status(404)));
        let config = format!("{}{}", ubuntu(&origin), repo("files", "http", &origin.url("/files")));
        let server = TestServer::start(&config).await;
        (origin, server)
    });
    let address = server.address();
    let host = origin.address().to_string();
    let strategy = (0..SEEDS.len(), proptest::collection::vec(change(), 0..5));
    let config =
        Config { cases: CASES, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let result = runner.run(&strategy, |(seed, changes)| {
        let bytes = apply(&SEEDS[seed].replace("ORIGIN", &host), &changes);
        let answer = runtime.block_on(async {
            let mut connection = Connection::open(address).await;
            // The server may leave before it has read everything, and answer nothing.
            let _ = connection.try_send(&bytes).await;
            connection.finish_sending().await;
            connection.rest().await.unwrap_or_default()
        });
        let text = String::from_utf8_lossy(&answer);
        prop_assert!(answer.is_empty() || text.starts_with("HTTP/1."), "{text}");
        prop_assert!(!text.contains("HTTP/1.1 5") && !text.contains("HTTP/1.0 5"), "{text}");
        Ok(())
    });
    if let Err(why) = result {
        panic!("{why}");
    }
    for request in origin.requests() {
        let known =
            ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].contains(&request.method.as_str());
        let ours = request.target.starts_with("/ubuntu") || request.target.starts_with("/files");
        let plain = request.target.split(['/', '?']).all(|segment| !matches!(segment, "." | ".."));
        assert!(known && ours && plain, "{} {}", request.method, request.target);
    }
    assert!(origin.requests().len() > 100, "hardly a request was still good");
    let fine = runtime.block_on(get(address, "/", &[]));
    assert_eq!(fine.status, 406);
}
