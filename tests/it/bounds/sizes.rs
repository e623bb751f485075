//! How much a client may send.

use crate::requests::{repo, ubuntu};
use crate::support::client::{Connection, get};
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

async fn server(origin: &Origin) -> TestServer {
    origin.route("/files/x", Reply::ok("posted"));
    let config = format!(
        "[server]\nmax_header_size = \"8 KiB\"\nmax_body_size = \"1 kB\"\n{}{}",
        ubuntu(origin),
        repo("files", "http", &origin.url("/files"))
    );
    TestServer::start(&config).await
}

#[tokio::test]
async fn a_head_may_be_as_large_as_configured_and_no_larger() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let head = |size: usize| {
        let bare = "GET / HTTP/1.1\r\nHost: x\r\nX-A: \r\n\r\n";
        bare.replace("X-A: ", &format!("X-A: {}", "a".repeat(size - bare.len())))
    };
    for (size, status) in [(8192, 406), (8193, 431), (9000, 431), (100_000, 431)] {
        let mut connection = Connection::open(server.address()).await;
        let _ = connection.try_send(head(size)).await;
        assert_eq!(connection.head().await.unwrap().status, status, "{size} bytes");
    }
    // Requests that are small each are not too large together.
    let mut connection = Connection::open(server.address()).await;
    connection.send(head(1000).repeat(30)).await;
    for _ in 0..30 {
        assert_eq!(connection.response().await.status, 406);
    }
}

#[tokio::test]
async fn a_body_may_be_as_large_as_configured_and_no_larger() {
    let origin = Origin::start().await;
    let server = server(&origin).await;
    let counted = |size: usize| format!("Content-Length: {size}\r\n\r\n{}", "a".repeat(size));
    let chunked = |size: usize| {
        let chunk = format!("64\r\n{}\r\n", "a".repeat(100)).repeat(size / 100);
        format!("Transfer-Encoding: chunked\r\n\r\n{chunk}0\r\n\r\n")
    };
    for (body, status) in [
        (counted(1000), 200),
        (counted(1001), 413),
        (counted(100_000), 413),
        (chunked(1000), 200),
        (chunked(1100), 413),
        // Refused for what it announces, without waiting for it.
        ("Content-Length: 5000000000\r\n\r\n".to_owned(), 413),
    ] {
        let mut connection = Connection::open(server.address()).await;
        let _ = connection.try_send(format!("POST /files/x HTTP/1.1\r\nHost: x\r\n{body}")).await;
        let answer = connection.response().await;
        assert_eq!(answer.status, status, "{}", body.len());
        assert!(status == 200 || answer.text().contains("larger"), "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    assert!(origin.requests().iter().all(|request| request.body.len() == 1000));
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(get(server.address(), "/", &[]).await.status, 406);
}
