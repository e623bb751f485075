//! Servers that tests start keep their stores over every way of ending.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::client::get;
use crate::support::origin::{Origin, Reply};
use crate::support::server::{Process, TestServer};

const PATH: &str = "/ubuntu/pool/a.deb";

fn configuration(origin: &Origin) -> String {
    format!(
        "[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\ntrust = \"none\"\n",
        origin.url("/ubuntu")
    )
}

#[tokio::test]
async fn a_killed_process_starts_again_on_the_same_store() {
    let origin = Origin::start().await;
    let mut server = Process::start(&configuration(&origin)).await;
    let (first, token) = (server.id(), server.admin_token());
    server.kill();
    assert!(tokio::net::TcpStream::connect(server.address()).await.is_err());
    server.start_again().await;
    assert_ne!(server.id(), first);
    assert_eq!(server.admin_token(), token);
}

#[tokio::test]
async fn another_configuration_is_tried_on_the_same_store() {
    let origin = Origin::start().await;
    origin.route(PATH, Reply::ok("kept"));
    let mut server = TestServer::start(&configuration(&origin)).await;
    let token = server.admin_token();
    assert_eq!(get(server.address(), PATH, &[]).await.text(), "kept");
    origin.stop().await;
    server.restart_with(&configuration(&origin).replace("\"ubuntu\"", "\"debian\"")).await;
    assert_eq!(get(server.address(), PATH, &[]).await.status, 404);
    server.restart_with(&configuration(&origin)).await;
    assert_eq!(get(server.address(), PATH, &[]).await.text(), "kept");
    assert_eq!(server.admin_token(), token);
}

/// Who may read it may change everything.
#[tokio::test]
async fn the_administrators_token_is_for_its_owners_eyes() {
    let origin = Origin::start().await;
    let server = TestServer::start(&configuration(&origin)).await;
    let file = std::fs::metadata(server.store().join("admin-token")).expect("a token");
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
    for page in ["/", "/metrics", "/api/v1/status"] {
        let text = get(server.admin(), page, &[]).await.text();
        assert!(!text.contains(&server.admin_token()), "{page} shows the token");
    }
}
