//! CONNECT: bytes both ways to hosts that the configuration allows, and to no other.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::requests::ubuntu;
use crate::support::PATIENCE;
use crate::support::client::{Connection, ask, get, request};
use crate::support::origin::Origin;
use crate::support::server::TestServer;

/// A server that allows tunnels to a listener of ours; `more` goes into its `[server]`.
struct Setup {
    server: TestServer,
    site: TcpListener,
    _origin: Origin,
}

impl Setup {
    async fn with(more: &str) -> Self {
        let origin = Origin::start().await;
        let site = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = format!(
            "[server]\ntunnels = [\"{}\"]\n{more}\n{}aliases = [\"https://127.0.0.9/x\"]\n",
            site.local_addr().unwrap(),
            ubuntu(&origin)
        );
        Self { server: TestServer::start(&config).await, site, _origin: origin }
    }

    fn connect(&self) -> String {
        let target = self.site.local_addr().unwrap();
        format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: test\r\n\r\n")
    }

    /// A tunnel with both its ends.
    async fn open(&self) -> (Connection, TcpStream) {
        let mut client = Connection::open(self.server.address()).await;
        client.send(self.connect()).await;
        let (site, _) = self.site.accept().await.unwrap();
        let head = client.head().await.unwrap();
        assert_eq!(head.status, 200);
        // RFC 9110 §9.3.6: neither length nor coding in an answer that opens a tunnel.
        assert_eq!((head.header("content-length"), head.header("transfer-encoding")), (None, None));
        (client, site)
    }
}

async fn tunnel_bytes(server: &TestServer) -> u64 {
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    let line = metrics.lines().find(|line| line.starts_with("lumbung_tunnel_bytes_total ")).expect("a row");
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn bytes_go_both_ways_and_are_counted() {
    let setup = Setup::with("").await;
    let (mut client, mut site) = setup.open().await;
    let mut buffer = [0; 5];
    for _ in 0..3 {
        client.send("hello").await;
        site.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"hello");
        site.write_all(b"\0\xffHTTP/1.1").await.unwrap();
        assert_eq!(client.bytes(10).await, b"\0\xffHTTP/1.1");
    }
    let counted = async {
        while tunnel_bytes(&setup.server).await != 45 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("45 bytes are counted");
}

#[tokio::test]
async fn bytes_sent_with_the_request_arrive_first() {
    let setup = Setup::with("").await;
    let early = "early ".repeat(5000);
    let mut client = Connection::open(setup.server.address()).await;
    client.send(setup.connect() + &early).await;
    let (mut site, _) = setup.site.accept().await.unwrap();
    assert_eq!(client.head().await.unwrap().status, 200);
    client.send("late").await;
    client.finish_sending().await;
    let mut all = String::new();
    site.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, early + "late");
}

#[tokio::test]
async fn a_tunnel_can_follow_other_requests() {
    let setup = Setup::with("").await;
    let mut client = Connection::open(setup.server.address()).await;
    client.send(request(setup.server.address(), "GET", "/", &[]) + &setup.connect() + "hi").await;
    assert_eq!(client.response().await.status, 406);
    let (mut site, _) = setup.site.accept().await.unwrap();
    assert_eq!(client.head().await.unwrap().status, 200);
    let mut buffer = [0; 2];
    site.read_exact(&mut buffer).await.unwrap();
    assert_eq!(&buffer, b"hi");
}

#[tokio::test]
async fn the_end_of_either_side_ends_both() {
    let setup = Setup::with("").await;
    let (mut client, mut site) = setup.open().await;
    site.write_all(b"bye").await.unwrap();
    drop(site);
    assert_eq!(client.rest().await.unwrap(), b"bye");

    let (client, mut site) = setup.open().await;
    drop(client);
    assert_eq!(site.read(&mut [0; 1]).await.unwrap(), 0);

    let (client, mut site) = setup.open().await;
    client.abort();
    assert!(matches!(site.read(&mut [0; 1]).await, Ok(0) | Err(_)));
}

#[tokio::test]
async fn others_are_refused_with_the_line_to_add() {
    let setup = Setup::with("").await;
    let port = setup.site.local_addr().unwrap().port();
    for target in [
        "elsewhere.example.org:443".to_owned(),
        "127.0.0.9:22".to_owned(),
        "127.0.0.9:80".to_owned(),
        format!("127.0.0.8:{port}"),
        "169.254.169.254:80".to_owned(),
        format!("{}", setup.server.admin()),
    ] {
        let answer = ask(setup.server.address(), "CONNECT", &target, &[("Host", &target)]).await;
        assert_eq!(answer.status, 403, "{target}");
        assert!(
            answer.reason.contains(&format!("tunnels to {target} are not configured")),
            "{}",
            answer.reason
        );
        assert!(
            answer.text().contains(&format!("add \"{target}\" to tunnels under [server]")),
            "{}",
            answer.text()
        );
    }
}

#[tokio::test]
async fn targets_that_are_none_are_refused() {
    let setup = Setup::with("").await;
    for target in [
        "127.0.0.9",
        "127.0.0.9:0",
        "127.0.0.9:99999",
        "127.0.0.9:+443",
        "/",
        "http://127.0.0.9:443/",
        "u@127.0.0.9:443",
        ":443",
        "[::1",
        "127.0.0.9:443/x",
    ] {
        let mut client = Connection::open(setup.server.address()).await;
        client.send(format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        let status = client.head().await.unwrap().status;
        assert!((400..500).contains(&status), "{target}: {status}");
    }
}

#[tokio::test]
async fn a_host_of_a_repository_may_be_reached_on_443() {
    let setup = Setup::with("").await;
    // Nobody listens there: it is tried, and why that failed is told with a body, so that apt tries again.
    let answer = ask(setup.server.address(), "CONNECT", "127.0.0.9:443", &[("Host", "127.0.0.9:443")]).await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().contains("127.0.0.9:443: ") && answer.text().contains("refused"),
        "{}",
        answer.text()
    );
}

/// Only tunnels know how long a tunnel may be silent.
#[tokio::test]
async fn the_timeouts_of_requests_do_not_cut_tunnels() {
    let setup =
        Setup::with("header_timeout = \"100 ms\"\nidle_timeout = \"100 ms\"\nstall_timeout = \"100 ms\"")
            .await;
    let (mut client, mut site) = setup.open().await;
    for _ in 0..3 {
        // Another connection is cut for its silence meanwhile: so much time has passed.
        assert_eq!(Connection::open(setup.server.address()).await.rest().await.unwrap(), b"");
    }
    let mut buffer = [0; 5];
    client.send("hello").await;
    site.read_exact(&mut buffer).await.unwrap();
    site.write_all(b"there").await.unwrap();
    assert_eq!(client.bytes(5).await, b"there");
}

#[tokio::test]
async fn a_tunnel_takes_a_place_among_the_connections() {
    let setup = Setup::with("max_connections_per_client = 1").await;
    let (client, site) = setup.open().await;
    assert_eq!(get(setup.server.address(), "/", &[]).await.status, 503);
    drop((client, site));
    let freed = async {
        while get(setup.server.address(), "/", &[]).await.status != 406 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, freed).await.expect("the place is free again");
}

#[tokio::test]
async fn a_shutdown_ends_tunnels() {
    let mut setup = Setup::with("").await;
    let (mut client, mut site) = setup.open().await;
    setup.server.stop().await;
    assert_eq!(client.rest().await.unwrap_or_default(), b"");
    assert!(matches!(site.read(&mut [0; 1]).await, Ok(0) | Err(_)));
}
