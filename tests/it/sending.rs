//! Bodies on their way to clients: byte for byte, whatever their size, part and state.

use crate::support::client::{Connection, End, get, request};
use crate::support::gate::Gate;
use crate::support::noise;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

/// Around every border between ways of sending.
const SIZES: [usize; 8] = [1, 4096, 4097, 16 * 1024, 200_000, 1024 * 1024, 1024 * 1024 + 1, 5_000_000];

fn path(size: usize) -> String {
    format!("/repo/pool/file_{size}.deb")
}

async fn start() -> (Origin, TestServer) {
    let origin = Origin::start().await;
    for size in SIZES {
        origin.route(&path(size), Reply::ok(noise(&path(size), size)));
    }
    let server = TestServer::start(&format!(
        "[[repo]]\nname = \"repo\"\nkind = \"apt\"\ntrust = \"none\"\nupstreams = [\"{}\"]\n",
        origin.url("/repo")
    ))
    .await;
    (origin, server)
}

/// Has the server fetch a file, and waits until it is stored: a flight serves it until then.
async fn store(server: &TestServer, size: usize) {
    while get(server.address(), &path(size), &[]).await.header("cache-status") != Some("lumbung; hit") {}
}

#[tokio::test]
async fn misses_hits_and_ranges_have_the_bytes_of_the_file() {
    let (_origin, server) = start().await;
    for round in ["miss", "hit"] {
        for size in SIZES {
            if round == "hit" {
                store(&server, size).await;
            }
            let answer = get(server.address(), &path(size), &[]).await;
            assert!(answer.is_complete(), "{round} of {size}: {:?}", answer.end);
            assert!(answer.body == noise(&path(size), size), "{round} of {size}");
        }
    }
    for size in SIZES {
        let whole = noise(&path(size), size);
        for (first, last) in [(0, 0), (size / 3, size - 1), (size / 3, size / 3 + size / 2)] {
            let last = last.min(size - 1);
            let range = format!("bytes={first}-{last}");
            let answer = get(server.address(), &path(size), &[("Range", &range)]).await;
            assert_eq!(answer.status, 206);
            assert!(answer.body == whole[first..=last], "{range} of {size}");
        }
    }
}

#[tokio::test]
async fn pipelined_answers_do_not_mix() {
    let (_origin, server) = start().await;
    for size in SIZES {
        store(&server, size).await;
    }
    let mut connection = Connection::open(server.address()).await;
    // Many small answers between large ones, so that several wait in one connection's queue.
    let order: Vec<usize> = (0..40).map(|turn| SIZES[turn * 5 % SIZES.len()]).collect();
    let requests: String =
        order.iter().map(|size| request(server.address(), "GET", &path(*size), &[])).collect();
    connection.send(requests).await;
    for size in order {
        let answer = connection.response().await;
        assert!(answer.is_complete() && answer.body == noise(&path(size), size), "{size}");
    }
}

#[tokio::test]
async fn a_transfer_of_unknown_length_has_the_bytes_of_the_file() {
    let (origin, server) = start().await;
    let gate = Gate::new();
    let body = noise("chunks", 3_000_000);
    origin.route("/repo/pool/chunks.deb", Reply::ok(body.clone()).chunked().pause_after(1_000_000, &gate));
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let address = server.address();
            tokio::spawn(async move { get(address, "/repo/pool/chunks.deb", &[]).await })
        })
        .collect();
    origin.wait_for("/repo/pool/chunks.deb", 1).await;
    gate.open();
    for reader in readers {
        let answer = reader.await.unwrap();
        assert!(answer.is_complete(), "{:?}", answer.end);
        assert!(answer.body == body);
    }
}

#[tokio::test]
async fn a_stored_file_that_was_cut_ends_the_connection() {
    let (_origin, server) = start().await;
    let size = 5_000_000;
    store(&server, size).await;
    let mut objects = Vec::new();
    let mut folders = vec![server.store().join("objects")];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if item.file_type().unwrap().is_dir() { &mut folders } else { &mut objects }.push(item.path());
        }
    }
    let [object] = &objects[..] else { panic!("one object: {objects:?}") };
    // Objects are read-only to protect them from this.
    let mut permissions = std::fs::metadata(object).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    std::fs::set_permissions(object, permissions).unwrap();
    std::fs::OpenOptions::new().write(true).open(object).unwrap().set_len(3_000_000).unwrap();
    let answer = get(server.address(), &path(size), &[]).await;
    assert_eq!(answer.status, 200);
    assert!(matches!(answer.end, End::Cut(_)), "{:?}", answer.end);
    assert!(answer.body == noise(&path(size), size)[..answer.body.len()]);
}

/// A stored file that the page cache has lost is read from the disk, off the runtime.
#[tokio::test]
async fn a_file_that_left_memory_is_sent_whole() {
    let (_origin, server) = start().await;
    for size in SIZES {
        store(&server, size).await;
    }
    let mut folders = vec![server.store().join("objects")];
    while let Some(folder) = folders.pop() {
        for item in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if item.file_type().unwrap().is_dir() {
                folders.push(item.path());
                continue;
            }
            let file = std::fs::File::open(item.path()).unwrap();
            file.sync_all().unwrap();
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        }
    }
    for size in SIZES {
        let answer = get(server.address(), &path(size), &[]).await;
        assert!(answer.is_complete() && answer.body == noise(&path(size), size), "{size}");
    }
}

/// What is counted is what went out, not what was meant to.
#[tokio::test]
async fn a_client_that_leaves_is_charged_for_what_it_took() {
    let (_origin, server) = start().await;
    let size = 5_000_000;
    store(&server, size).await;
    let before = served(&server).await;
    let mut connection = Connection::open(server.address()).await;
    // Ask for far more than the buffers between the two hold, take nothing of it, and leave.
    connection.send(request(server.address(), "GET", &path(size), &[]).repeat(4)).await;
    connection.bytes(100_000).await;
    connection.abort();
    let mut after = served(&server).await;
    while after == before {
        after = served(&server).await;
    }
    assert!((100_000 - 1000..4 * size as u64).contains(&(after - before)), "{}", after - before);
}

async fn served(server: &TestServer) -> u64 {
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    let line = metrics
        .lines()
        .find(|line| {
            line.starts_with("lumbung_served_bytes_total")
                && line.contains("source=\"store\"")
                && line.contains("\"repo\"")
        })
        .unwrap_or_else(|| panic!("{metrics}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
