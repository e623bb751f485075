//! The configuration is read again: what has changed holds at once, nothing that runs is cut, and a bad file
//! changes nothing.

use std::net::SocketAddr;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::fragments::{apt, repo};
use crate::support::PATIENCE;
use crate::support::client::{Connection, Response, ask, get, request};
use crate::support::gate::Gate;
use crate::support::noise;
use crate::support::origin::{Origin, Reply};
use crate::support::program;
use crate::support::server::{Process, TestServer};

const DEB: &str = "/u/pool/main/a/a_1_amd64.deb";

/// 8 kB/s: what follows would take minutes.
const CRAWL: &str = "[wan]\nlimit = \"64 kbit/s\"\n";
const SIZE: usize = 3_000_000;

async fn look(admin: SocketAddr, path: &str) -> Value {
    serde_json::from_slice(&get(admin, path, &[]).await.body).expect("JSON")
}

fn reloaded(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Has [`DEB`] begun, and reads the first bytes of it.
async fn begin(server: SocketAddr, origin: &Origin) -> (Connection, Vec<u8>) {
    let body = noise(DEB, SIZE);
    origin.route(DEB, Reply::ok(body.clone()));
    let mut client = Connection::open(server).await;
    client.send(request(server, "GET", DEB, &[])).await;
    assert_eq!(client.head().await.expect("a head").status, 200);
    assert!(client.bytes(1000).await == body[..1000]);
    (client, body)
}

async fn the_rest(client: &mut Connection, body: &[u8]) {
    let rest = tokio::time::timeout(PATIENCE, client.bytes(body.len() - 1000)).await;
    assert!(rest.expect("no limit any more") == body[1000..]);
}

#[tokio::test]
async fn another_limit_holds_for_what_runs() {
    let origin = Origin::start().await;
    let mut server = TestServer::start(&format!("{CRAWL}{}", apt(&[&origin]))).await;
    let (mut client, body) = begin(server.address(), &origin).await;
    let answer = server.reload_with(&format!("[wan]\nlimit = \"72 kbit/s\"\n{}", apt(&[&origin]))).await;
    let changed = reloaded(&answer);
    assert_eq!((&changed["changed"], &changed["needs_restart"]), (&json!(["wan"]), &json!([])));
    assert_eq!(look(server.admin(), "/api/v1/status").await["wan"]["limit"], 9000);
    reloaded(&server.reload_with(&apt(&[&origin])).await);
    the_rest(&mut client, &body).await;
    assert_eq!(origin.log().count(DEB), 1, "and it is still the same transfer");
    let again = reloaded(&server.reload_with(&apt(&[&origin])).await);
    assert_eq!(again["changed"], json!([]));
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_all_that_is_wrong() {
    let origin = Origin::start().await;
    let mut server = TestServer::start(&format!("{CRAWL}{}", apt(&[&origin]))).await;
    let (mut client, body) = begin(server.address(), &origin).await;
    let bad = format!("[wan]\nlimit = \"fast\"\n[log]\nlevel = \"loud\"\n{}", apt(&[&origin]));
    let answer = server.reload_with(&bad).await;
    let problem: Value = serde_json::from_slice(&answer.body).expect("a problem");
    let detail = problem["detail"].as_str().expect("words");
    assert_eq!(answer.status, 422, "{detail}");
    assert!(detail.starts_with("Nothing has changed:\n"), "{detail}");
    assert!(
        detail.contains("wan.limit: \"fast\" cannot be used") && detail.contains("log.level"),
        "{detail}"
    );
    assert_eq!(look(server.admin(), "/api/v1/status").await["wan"]["limit"], 8000);

    // An address that is taken is as bad, and what is right beside it does not hold either.
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let listen = format!("[server]\nlisten = \"{}\"\n{}", taken.local_addr().expect("one"), apt(&[&origin]));
    let answer = server.reload_with(&listen).await;
    assert_eq!(answer.status, 422);
    assert!(answer.text().contains("cannot listen on"), "{}", answer.text());
    assert_eq!(look(server.admin(), "/api/v1/status").await["wan"]["limit"], 8000);

    // Nobody without the token.
    let headers = [("Content-Length", "0")];
    assert_eq!(ask(server.admin(), "POST", "/api/v1/reload", &headers).await.status, 401);
    reloaded(&server.reload_with(&apt(&[&origin])).await);
    the_rest(&mut client, &body).await;
}

#[tokio::test]
async fn repositories_come_and_change_and_go() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let gate = Gate::new();
    let body = noise(DEB, 300_000);
    first.route(DEB, Reply::ok(body.clone()).pause_after(100_000, &gate));
    first.route("/u/pool/b.deb", Reply::ok("kept"));
    for path in ["/u/pool/c.deb", "/w/pool/c.deb"] {
        second.route(path, Reply::ok("from the second"));
    }
    let mut server = TestServer::start(&apt(&[&first])).await;
    let address = server.address();
    assert_eq!(get(address, "/u/pool/b.deb", &[]).await.text(), "kept");
    let mut running = Connection::open(address).await;
    running.send(request(address, "GET", DEB, &[])).await;
    running.head().await.expect("a head");
    // A connection that stays open over all of it.
    let mut kept = Connection::open(address).await;
    let mut over_kept = async |path: &str| {
        kept.send(request(address, "GET", path, &[])).await;
        kept.response().await
    };
    assert_eq!(over_kept("/w/pool/c.deb").await.status, 404);

    // `u` has moved, and `w` is new.
    let w = apt(&[&second]).replace("name = \"u\"", "name = \"w\"").replace("/u\"", "/w\"");
    let changed = reloaded(&server.reload_with(&format!("{}{w}", apt(&[&second]))).await);
    assert_eq!((&changed["changed"], &changed["needs_restart"]), (&json!(["repo"]), &json!([])));
    assert_eq!(over_kept("/w/pool/c.deb").await.text(), "from the second");
    assert_eq!(over_kept("/u/pool/c.deb").await.text(), "from the second");
    assert_eq!(over_kept("/u/pool/b.deb").await.text(), "kept", "what is kept is kept by the name");
    let repos = look(server.admin(), "/api/v1/status").await["repos"].clone();
    assert_eq!(repos.as_array().expect("a list").len(), 2);
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    assert!(metrics.contains("lumbung_requests_total{repo=\"w\",outcome=\"miss\"} 1\n"), "{metrics}");

    // What had begun at the first ends there.
    gate.open();
    assert!(running.bytes(body.len()).await == body);
    reloaded(&server.reload_with(&w).await);
    assert_eq!(over_kept("/u/pool/b.deb").await.status, 404);
    assert_eq!(over_kept("/w/pool/c.deb").await.text(), "from the second");
    assert_eq!(second.log().count("/w/pool/c.deb"), 1, "it was here");
}

#[tokio::test]
async fn who_may_ask_and_where_tunnels_lead() {
    let origin = Origin::start().await;
    origin.route("/u/x.deb", Reply::ok("x"));
    let site = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let target = site.local_addr().expect("one");
    let mut server = TestServer::start(&apt(&[&origin])).await;
    let address = server.address();
    let connect = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    let mut desktop = Connection::open(address).await;
    desktop.send(&connect).await;
    assert_eq!(desktop.response().await.status, 403);
    let tunnels = format!("[server]\ntunnels = [\"{target}\"]\n{}", apt(&[&origin]));
    reloaded(&server.reload_with(&tunnels).await);
    let mut desktop = Connection::open(address).await;
    desktop.send(&connect).await;
    assert_eq!(desktop.head().await.expect("a head").status, 200);

    let mut open = Connection::open(address).await;
    open.send(request(address, "GET", "/u/x.deb", &[])).await;
    assert_eq!(open.response().await.text(), "x");
    let strangers = format!("[server]\nclients = [\"192.0.2.0/24\"]\n{}", apt(&[&origin]));
    assert_eq!(reloaded(&server.reload_with(&strangers).await)["changed"], json!(["server"]));
    open.send(request(address, "GET", "/u/x.deb", &[])).await;
    assert_eq!(open.response().await.status, 403, "also on a connection that was open");
}

#[tokio::test]
async fn addresses_move_and_what_came_through_them_goes_on() {
    let origin = Origin::start().await;
    let mut server = TestServer::start(&format!("{CRAWL}{}", apt(&[&origin]))).await;
    let (before, admin_before) = (server.address(), server.admin());
    let (mut client, body) = begin(before, &origin).await;
    // Two other ports, both for the system to choose.
    let moved = "[server]\nlisten = [\"127.0.0.2:0\", \"127.0.0.3:0\"]\nadmin = \"127.0.0.2:0\"\n";
    let changed = reloaded(&server.reload_with(&format!("{moved}{CRAWL}{}", apt(&[&origin]))).await);
    assert_eq!((&changed["changed"], &changed["needs_restart"]), (&json!(["server"]), &json!([])));
    let gone = async |address: SocketAddr| {
        let gone = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, gone).await.expect("nobody listens there any more");
    };
    gone(before).await;
    gone(admin_before).await;
    let (listen, admin) = server.addresses_now();
    assert_eq!(listen.len(), 2);
    assert_eq!(look(admin, "/api/v1/status").await["listen"].as_array().expect("a list").len(), 2);
    origin.route("/u/small.deb", Reply::ok("small"));
    for address in listen {
        assert_eq!(get(address, "/u/small.deb", &[]).await.text(), "small");
    }
    server.follow_addresses();
    reloaded(&server.reload_with(&format!("{moved}{}", apt(&[&origin]))).await);
    the_rest(&mut client, &body).await;
}

#[tokio::test]
async fn limits_of_the_store_seeds_and_channels_hold_and_its_path_needs_a_restart() {
    let origin = Origin::start().await;
    let verified = apt(&[&origin]).replace("trust = \"none\"\n", "keyring = \"/no/keyring.gpg\"\n");
    let mut server = TestServer::start(&verified).await;
    assert_eq!(look(server.admin(), "/api/v1/seeds").await, json!([]));
    let more = "[store]\nmax_size = \"7 GB\"\npath = \"/nowhere/at/all\"\nmin_free = \"0 B\"\n\
                [[channel]]\nname = \"pilot\"\n[[office]]\nname = \"o\"\nnetworks = [\"127.0.0.0/8\"]\n\
                channel = \"pilot\"\n[[seed]]\nname = \"s\"\nrepo = \"u\"\nsuites = \"noble\"\n\
                architectures = \"amd64\"\npackages = \"nano\"\n";
    let changed = reloaded(&server.reload_with(&format!("{more}{verified}")).await);
    assert_eq!(changed["changed"], json!(["store", "seed", "channel", "office"]));
    assert_eq!(changed["needs_restart"], json!(["store.path"]));
    assert_eq!(look(server.admin(), "/api/v1/status").await["store"]["limit"], 7_000_000_000_u64);
    assert_eq!(look(server.admin(), "/api/v1/seeds").await[0]["seed"], "s");
    assert_eq!(look(server.admin(), "/api/v1/channels").await[0]["name"], "pilot");
    let unknown = |answer: Response| answer.text().contains("there is no channel");
    assert!(unknown(get(server.address(), "/u@other/dists/noble/InRelease", &[]).await));
    assert!(!unknown(get(server.address(), "/u@pilot/dists/noble/InRelease", &[]).await));
}

#[tokio::test]
async fn a_smaller_store_lets_go_at_once() {
    let origin = Origin::start().await;
    let mut server = TestServer::start(&repo("http", &[&origin])).await;
    for number in 0..20 {
        let path = format!("/u/{number}");
        origin.route(&path, Reply::ok(noise(&path, 100_000)).header("Cache-Control", "max-age=9999"));
        crate::fragments::warm(&server, &path).await;
    }
    assert_eq!(look(server.admin(), "/api/v1/status").await["store"]["bytes"], 2_000_000);
    // What was asked for within the last seconds is not let go.
    server.clock().advance(Duration::from_hours(1));
    let small = format!("[store]\nmax_size = \"1 MB\"\n{}", repo("http", &[&origin]));
    reloaded(&server.reload_with(&small).await);
    let shrunk = async {
        while look(server.admin(), "/api/v1/status").await["store"]["bytes"].as_u64() > Some(1_000_000) {}
    };
    tokio::time::timeout(PATIENCE, shrunk).await.expect("it goes by itself");
}

#[tokio::test]
async fn the_program_reads_it_again_on_sighup_and_when_told() {
    let origin = Origin::start().await;
    let crawl = format!("{CRAWL}{}", apt(&[&origin]));
    let mut process = Process::start(&crawl).await;
    let (mut client, body) = begin(process.address(), &origin).await;

    process.write_config(&format!("[wan]\nlimit = 20\n{}", apt(&[&origin])));
    process.signal(Signal::HUP);
    let refused = process.event("a refusal", |event| event["level"] == "ERROR").await;
    assert!(refused["error"].as_str().expect("words").contains("wan.limit"), "{refused}");
    let (code, _, said) = lumbung(&process, "reload").await;
    assert_eq!(code, Some(1));
    assert!(said.contains("wan.limit") && said.contains("nothing has changed"), "{said}");
    assert_eq!(look(process.admin(), "/api/v1/status").await["wan"]["limit"], 8000);

    process.write_config(&format!("[wan]\nlimit = \"1 Gbit/s\"\n{}", apt(&[&origin])));
    process.signal(Signal::HUP);
    let read = |event: &Value| event["message"] == "the configuration was read again";
    assert_eq!(process.event("a change", read).await["changed"], "wan");
    the_rest(&mut client, &body).await;

    // The ports stay those that the system chose, and the log looks as it is told to.
    process.write_config(&format!("[log]\nformat = \"text\"\n{}", apt(&[&origin])));
    let (code, told, said) = lumbung(&process, "reload").await;
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert!(told.ends_with("changed: wan, log.\n"), "{told}");
    get(process.address(), "/u/none", &[]).await;
    let as_text = |log: &[String]| log.iter().any(|line| line.contains("lumbung::access: request client="));
    let turned = async {
        while !as_text(&process.log()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, turned).await.expect("a line of the other format");
}

/// Runs a command beside a running program.
async fn lumbung(process: &Process, what: &str) -> (Option<i32>, String, String) {
    let (config, admin) = (process.config().display().to_string(), process.admin().to_string());
    program::lumbung(&[what, "--config", &config, "--admin", &admin]).await.parts()
}
