//! What is measured, ready to be measured: a signed repository, and a server or its parts that hold it.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use futures_util::FutureExt as _;
use http::Request;
use lumbung::app::Offline;
use lumbung::cache::Answer;
use lumbung::clock::Clock;
use lumbung::config::Config;
use lumbung::repo::Resource;
use lumbung::seed::{Pin, Universe};
use lumbung::server::bench::Desk;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use crate::support::client::get;
use crate::support::origin::Origin;
use crate::support::repository::{Compression, Key, Package, Repository};
use crate::support::server::TestServer;

/// The package that is asked for: 32 KiB and a little, as most hits.
const PATH: &str = "/u/pool/main/n/nano/nano_7.2-1_amd64.deb";

/// Most bytes of an answer that are looked at together.
const ROOM: usize = 64 * 1024;

/// A request as apt makes it.
pub const REQUEST: &str = "GET /u/pool/main/n/nano/nano_7.2-1_amd64.deb HTTP/1.1\r\nHost: mirror:3142\r\n\
    User-Agent: Debian APT-HTTP/1.3 (2.7.14)\r\n\r\n";

/// The same, when apt has it.
pub const CONDITIONAL: &str = "GET /u/pool/main/n/nano/nano_7.2-1_amd64.deb HTTP/1.1\r\nHost: mirror:3142\r\n\
    If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT\r\nUser-Agent: Debian APT-HTTP/1.3 (2.7.14)\r\n\r\n";

/// A server that runs, on this thread alone, and a client of it.
pub struct Served {
    runtime: Runtime,
    /// Kept alive.
    _publisher: Publisher,
    server: TestServer,
    client: TcpStream,
    request: &'static str,
    space: Vec<u8>,
    /// Bytes of a body.
    body: usize,
}

struct Publisher {
    _folder: TempDir,
    _origin: Origin,
}

impl Publisher {
    /// Publishes a suite, starts a server, and has it fetch the package; how long that is comes last.
    async fn start() -> (Self, TestServer, String, usize) {
        let (folder, key, origin) =
            (TempDir::new().expect("a folder"), Key::generate("B"), Origin::start().await);
        let keyring = folder.path().join("keyring.gpg");
        std::fs::write(&keyring, key.keyring()).expect("a keyring");
        let others = (0..20).map(|number| Package::new(&format!("other{number}"), "1").payload_size(10));
        let suite =
            Repository::new("noble").compressions(&[Compression::None]).by_hash(false).packages(others);
        suite
            .package(Package::new("nano", "7.2-1").payload_size(32 * 1024))
            .signed_by(&key)
            .publish()
            .to(&origin, "/u");
        let fragment = format!(
            "[[repo]]\nname = \"u\"\nkind = \"apt\"\nupstreams = [\"{}\"]\nkeyring = \"{}\"\n",
            origin.url("/u"),
            keyring.display()
        );
        let server = TestServer::start(&fragment).await;
        let mut length = 0;
        for path in ["/u/dists/noble/InRelease", "/u/dists/noble/main/binary-amd64/Packages", PATH, PATH] {
            let answer = get(server.address(), path, &[]).await;
            assert_eq!(answer.status, 200, "{path}");
            length = answer.body.len();
        }
        (Self { _folder: folder, _origin: origin }, server, fragment, length)
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

impl Served {
    /// Ready to answer `request`, which has been answered before.
    pub fn with(request: &'static str) -> Self {
        let runtime = runtime();
        let (publisher, server, _, body) = runtime.block_on(Publisher::start());
        let client = TcpStream::connect(server.address()).expect("a connection");
        client.set_nonblocking(true).expect("a socket");
        client.set_nodelay(true).expect("a socket");
        let mut ready =
            Self { runtime, _publisher: publisher, server, client, request, space: vec![0; ROOM], body: 0 };
        let (wanted, body) = if request == CONDITIONAL { ("304 Not Modified", 0) } else { ("200 OK", body) };
        ready.body = body;
        let answer = ready.exchange();
        assert!(answer.starts_with(format!("HTTP/1.1 {wanted}\r\n").as_bytes()), "{:?}", &answer[..40]);
        ready
    }

    /// Asks once, and takes the answer.
    pub fn ask(&mut self) -> usize {
        self.exchange().len()
    }

    fn exchange(&mut self) -> Vec<u8> {
        self.client.write_all(self.request.as_bytes()).expect("room for a request");
        let mut answer = Vec::with_capacity(ROOM);
        let (client, space, body) = (&mut self.client, &mut self.space, self.body);
        self.runtime.block_on(async {
            let mut goal = None;
            while goal.is_none_or(|goal| answer.len() < goal) {
                match client.read(space) {
                    Ok(0) => panic!("the connection ended"),
                    Ok(count) => answer.extend_from_slice(&space[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
                goal = goal.or_else(|| Some(memchr::memmem::find(&answer, b"\r\n\r\n")? + 4 + body));
            }
        });
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.runtime.block_on(self.server.stop());
    }
}

/// The parts of a server, without connections.
pub struct Parts {
    runtime: Runtime,
    /// Kept for its folders.
    _publisher: Publisher,
    _server: TestServer,
    pub desk: Desk,
    pub request: Request<()>,
    pub resource: Resource,
}

impl Parts {
    /// Holding the package, which has been served before.
    pub fn new() -> Self {
        let runtime = runtime();
        let (publisher, server, desk) = runtime.block_on(async {
            let (publisher, mut server, fragment, _) = Publisher::start().await;
            server.stop().await;
            let text = format!(
                "[server]\nlisten = \"127.0.0.1:0\"\n[store]\npath = \"{}\"\nmin_free = \"0 B\"\n{fragment}",
                server.store().display()
            );
            let config = Config::parse(&text, "bench.toml").expect("a configuration");
            let offline = Offline::open(config, Clock::system()).await.expect("the store");
            let desk = Desk::new(offline.explainer().clone());
            (publisher, server, desk)
        });
        let request =
            Request::get(PATH).header("host", "mirror:3142").header("user-agent", "Debian APT-HTTP/1.3");
        let request = request.body(()).expect("a request");
        let (resource, _) = desk.route(&request).expect("a resource");
        let parts = Self { runtime, _publisher: publisher, _server: server, desk, request, resource };
        // The first look-up opens the file and hashes it.
        assert!(matches!(parts.runtime.block_on(parts.desk.serve(&parts.resource)), Answer::Stored { .. }));
        parts
    }

    /// The answer of a hit, for which nothing is waited.
    pub fn serve(&self) -> Answer {
        let _entered = self.runtime.enter();
        self.desk.serve(&self.resource).now_or_never().expect("a hit waits for nothing")
    }
}

/// A `Packages` index of so many packages, as publishers write it. Each depends on some that come before it.
pub fn packages(count: usize) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..count {
        let (before, half) = (number.saturating_sub(1), number / 2);
        let _ = write!(
            text,
            "Package: libexample{number}\nArchitecture: amd64\nVersion: 1:2.{number}-3ubuntu1\nPriority: optional\n\
             Section: libs\nOrigin: Ubuntu\nMaintainer: Ubuntu Developers <ubuntu-devel-discuss@lists.ubuntu.com>\n\
             Installed-Size: {number}\nDepends: libexample{before} (>= 1:2.{before}), libexample{half} | libother\n\
             Filename: pool/main/libe/libexample{number}/libexample{number}_2.{number}-3ubuntu1_amd64.deb\n\
             Size: {number}1234\nMD5sum: {number:032x}\nSHA1: {number:040x}\nSHA256: {number:064x}\n\
             SHA512: {number:0128x}\nHomepage: https://www.example.org/\nDescription: an example of a library\n\
             Description-md5: {number:032x}\n\n"
        );
    }
    text.into_bytes()
}

/// All packages of such an index, as a plan of a seed reads them.
pub fn universe(count: usize) -> Universe {
    let mut universe = Universe::new(&["amd64"]);
    let origin = universe.add_origin(Pin::Usual).expect("a first origin");
    universe.read(origin, packages(count).as_slice()).expect("an index");
    universe
}
