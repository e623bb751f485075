//! What the server says about itself: the page, the script, the mirror list.

use super::{repo, ubuntu};
use crate::support::apt::{Apt, Source};
use crate::support::client::{Connection, ask, get, request};
use crate::support::origin::Origin;
use crate::support::repository::{Key, Package, Repository};
use crate::support::server::TestServer;

async fn server(origin: &Origin) -> TestServer {
    let config = [
        repo("files", "http", &origin.url("/files")),
        ubuntu(origin),
        repo("ppa", "apt", &origin.url("/ppa")),
    ];
    TestServer::start(&config.concat()).await
}

/// `auto-apt-proxy` knows a proxy by this status line alone.
#[tokio::test]
async fn the_page_for_people_has_the_status_line_of_a_proxy() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let mut connection = Connection::open(server.address()).await;
    connection.send(request(server.address(), "GET", "/", &[])).await;
    assert_eq!(connection.bytes(32).await, b"HTTP/1.1 406 Usage Information\r\n");
    let page = get(server.address(), "/", &[]).await;
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains(&format!("http://{}/client.sh", server.address())), "{}", page.text());
    assert!(page.text().contains("ppa"));
    let head = ask(server.address(), "HEAD", "/", &[]).await;
    assert_eq!((head.status, head.reason.as_str()), (406, "Usage Information"));
    assert_eq!(head.header("content-length"), page.header("content-length"));
}

#[tokio::test]
async fn the_script_comes_in_both_modes() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let plain = get(server.address(), "/client.sh", &[]).await;
    let mirror = get(server.address(), "/client.sh?mode=mirror", &[]).await;
    let proxy = get(server.address(), "/client.sh?mode=proxy", &[]).await;
    for answer in [&plain, &mirror, &proxy] {
        assert_eq!(answer.status, 200);
        assert!(answer.text().starts_with("#!/bin/sh"), "{}", answer.text());
        assert!(answer.text().contains(&server.address().to_string()));
    }
    assert_eq!(plain.body, mirror.body);
    assert_ne!(mirror.body, proxy.body);
    assert_eq!(get(server.address(), "/client.sh?mode=other", &[]).await.status, 400);
    // The address is the one the client used, if that is one.
    let asked = get(server.address(), "/client.sh", &[("Host", "cache.example.org:3142")]).await;
    assert!(asked.text().contains("http://cache.example.org:3142"));
    let odd = get(server.address(), "/client.sh", &[("Host", "x;reboot")]).await;
    assert_eq!(odd.status, 400);
}

#[tokio::test]
async fn each_repository_has_a_mirror_list_of_its_own() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let lines = |name: &str| {
        format!(
            "http://{}/{name}/\tpriority:1\n{}\tpriority:2\n",
            server.address(),
            origin.url(&format!("/{name}/"))
        )
    };
    for (target, name) in
        [("/mirrors.txt", "ubuntu"), ("/mirrors/ubuntu.txt", "ubuntu"), ("/mirrors/ppa.txt", "ppa")]
    {
        let list = get(server.address(), target, &[]).await;
        assert_eq!((list.status, list.text()), (200, lines(name)), "{target}");
    }
    for target in ["/mirrors/files.txt", "/mirrors/none.txt", "/mirrors/", "/mirrors.txt/ppa"] {
        assert_eq!(get(server.address(), target, &[]).await.status, 404, "{target}");
    }
}

/// One list for several repositories would not do: apt takes its lines for copies of one repository.
#[tokio::test(flavor = "multi_thread")]
async fn apt_takes_its_sources_from_the_mirror_list() {
    let origin = Origin::start().await;
    let key = Key::generate("Test");
    for name in ["ubuntu", "ppa"] {
        let package = Package::new(&format!("tool-{name}"), "1-1");
        Repository::new("noble").package(package).signed_by(&key).publish().to(&origin, &format!("/{name}"));
    }
    let server = server(&origin).await;
    let source = |list: &str| {
        let uri = format!("mirror+http://{}/{list}", server.address());
        Source::apt(uri, "noble", "main").signed_by(key.keyring())
    };
    let apt = Apt::new(&[source("mirrors.txt"), source("mirrors/ppa.txt")]);
    apt.update().await.assert_ok();
    apt.download(&["tool-ubuntu", "tool-ppa"]).await.assert_ok();
    assert_eq!(apt.archives().len(), 2);
    for name in ["ubuntu", "ppa"] {
        let release = format!("/{name}/dists/noble/InRelease");
        let agents: Vec<_> =
            origin.requests_to(&release).iter().map(|r| r.header("user-agent").map(str::to_owned)).collect();
        assert!(agents.iter().flatten().all(|agent| agent.starts_with("lumbung/")), "{agents:?}");
    }
}

#[tokio::test]
async fn pages_are_read_and_nothing_else() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    for target in ["/", "/client.sh", "/mirrors.txt"] {
        let answer = ask(server.address(), "POST", target, &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{target}");
    }
}
