//! However a path is spelt, it is one object, fetched once, under one spelling.

use super::ubuntu;
use crate::support::client::get;
use crate::support::origin::{Origin, Reply};
use crate::support::server::TestServer;

#[tokio::test]
async fn all_spellings_are_one_object_and_one_target_upstream() {
    let origin = Origin::start().await;
    origin.route("/ubuntu/pool/g/g++_1~rc1_amd64.deb", Reply::ok("a package"));
    let server = TestServer::start(&ubuntu(&origin)).await;
    for target in [
        "/ubuntu/pool/g/g++_1~rc1_amd64.deb",
        "/ubuntu/pool/g/g%2b%2b_1%7erc1_amd64.deb",
        "/ubuntu/pool/g/g%2B+_1%7Erc1_amd64.deb",
        "/ubuntu//pool///g/g++_1~rc1_amd64.deb",
        "/ubuntu/./pool/g/./g++_1~rc1_amd64.deb",
        "/ubuntu/pool/%67/g++_1~rc1_amd64.deb",
        "/%75buntu/pool/g/g++_1~rc1_amd64.deb",
        "//ubuntu/pool/g/g++_1~rc1_amd64.deb",
        "/ubuntu/pool/g/g++_1~rc1_amd64.deb?query",
        "/ubuntu/pool/g/g++_1~rc1_amd64.deb#fragment",
    ] {
        let answer = get(server.address(), target, &[]).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "a package"), "{target}");
    }
    let targets: Vec<_> = origin.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(targets, ["/ubuntu/pool/g/g%2B%2B_1~rc1_amd64.deb"]);
}

#[tokio::test]
async fn other_names_are_other_objects() {
    let origin = Origin::start().await;
    for (path, body) in [("/ubuntu/pool/a+b_1.deb", "plus"), ("/ubuntu/pool/a b_1.deb", "space")] {
        origin.route(path, Reply::ok(body));
    }
    origin.route("/ubuntu/pool/A+b_1.deb", Reply::ok("capital"));
    origin.route("/ubuntu/pool/a%252Bb_1.deb", Reply::ok("percent"));
    let server = TestServer::start(&ubuntu(&origin)).await;
    for (target, body) in [
        ("/ubuntu/pool/a+b_1.deb", "plus"),
        ("/ubuntu/pool/a%20b_1.deb", "space"),
        ("/ubuntu/pool/A+b_1.deb", "capital"),
        // Decoded once: a percent sign that is part of the name stays one.
        ("/ubuntu/pool/a%252Bb_1.deb", "percent"),
    ] {
        assert_eq!(get(server.address(), target, &[]).await.text(), body, "{target}");
    }
}
