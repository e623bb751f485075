//! What `report` says, over the API and on the command line, with and without a server.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::{ask, get};
use crate::support::noise;
use crate::support::origin::{Origin, Reply};
use crate::support::program::lumbung;
use crate::support::server::TestServer;

const NANO: &str = "/ubuntu/pool/main/n/nano/nano_7.2-1_amd64.deb";

fn configuration(origin: &Origin) -> String {
    format!(
        "[upstream]\nretries = 0\n[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n\
         trust = \"none\"\n[[office]]\nname = \"=Bappeda, lantai 2\"\nnetworks = \"127.0.0.0/8\"\n",
        origin.url("/ubuntu")
    )
}

async fn report(server: &TestServer, query: &str) -> Vec<Value> {
    let answer = get(server.admin(), &format!("/api/v1/report?{query}"), &[]).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    serde_json::from_str(&answer.text()).expect("a list")
}

/// The report once so many requests have been counted and no transfer runs: a client has its last byte before
/// its request is counted and the file is stored.
async fn after(server: &TestServer, requests: u64) -> Value {
    let counted = async {
        loop {
            let rows = report(server, "by=repo&since=1h").await;
            if let Some(row) = rows.into_iter().find(|row| row["repo"] == "ubuntu")
                && row["requests"].as_u64() >= Some(requests)
                && get(server.admin(), "/metrics", &[]).await.text().contains("\nlumbung_flights 0\n")
            {
                return row;
            }
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, counted).await.expect("every request is counted")
}

#[tokio::test]
async fn what_was_asked_for_outlives_the_server() {
    let origin = Origin::start().await;
    origin.route(NANO, Reply::ok(noise("nano", 5000)));
    let fragment = configuration(&origin);
    let mut server = TestServer::start(&fragment).await;
    get(server.address(), NANO, &[]).await;
    after(&server, 1).await;
    get(server.address(), NANO, &[]).await;
    after(&server, 2).await;
    server.restart().await;
    get(server.address(), NANO, &[]).await;
    get(server.address(), "/nowhere/x.deb", &[]).await;
    let row = after(&server, 3).await;
    for (field, value) in [
        ("requests", 3),
        ("hits", 2),
        ("misses", 1),
        ("served_bytes", 15_000),
        ("served_from_store", 10_000),
        ("upstream_bytes", 5000),
        ("wan_saved", 10_000),
    ] {
        assert_eq!(row[field].as_u64(), Some(value), "{field} in {row}");
    }

    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("lumbung.toml");
    let store = server.store();
    let write = |admin: &str| {
        let place = format!("[server]\nadmin = \"{admin}\"\n[store]\npath = \"{}\"\n", store.display());
        std::fs::write(&file, format!("{place}{fragment}")).expect("a file");
    };
    let path = file.display().to_string();
    let run = async |words: &str| {
        let words: Vec<_> = words.split(' ').chain(["--config", &path]).collect();
        lumbung(&words).await.parts()
    };
    write(&server.admin().to_string());
    let with = run("report --by office --format csv").await;
    let json = run("report --since 2d --by client --format json").await;
    let table = run("report --by package").await;
    // A port where nobody listens once the server has stopped.
    server.stop().await;
    let without = run("report --by office --format csv").await;

    assert_eq!(with.0, Some(0), "{}", with.2);
    assert_eq!(with, without, "the same with a server and without");
    let lines: Vec<&str> = with.1.split("\r\n").collect();
    assert!(lines[0].starts_with("office,requests,hits,misses,errors,served_bytes,"), "{}", with.1);
    assert!(lines[1].starts_with("\"'=Bappeda, lantai 2\",4,2,1,1,15000,"), "{}", with.1);
    let clients: Vec<Value> = serde_json::from_str(&json.1).expect("JSON");
    assert_eq!(clients[0]["client"], "127.0.0.1");
    assert_eq!(clients[0]["office"], "=Bappeda, lantai 2");
    assert!(clients[0]["last_seen"].as_i64() > Some(1_700_000_000));
    assert!(
        table.1.starts_with("PACKAGE ") && table.1.contains("nano ") && table.1.contains("15 kB"),
        "{}",
        table.1
    );
}

#[tokio::test]
async fn a_wrong_question_is_answered_with_what_is_right() {
    let origin = Origin::start().await;
    let server = TestServer::start(&configuration(&origin)).await;
    for (query, words) in
        [("by=week", "by repo, office"), ("since=soon", "7d"), ("format=xls", "json or csv")]
    {
        let answer = get(server.admin(), &format!("/api/v1/report?{query}"), &[]).await;
        assert_eq!((answer.status, answer.header("content-type")), (400, Some("application/problem+json")));
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    let csv = get(server.admin(), "/api/v1/report?by=day&format=csv", &[]).await;
    assert!(csv.header("content-type").is_some_and(|kind| kind.starts_with("text/csv")));
    assert_eq!(ask(server.admin(), "POST", "/api/v1/report", &[]).await.status, 405);

    let wrong = lumbung(&["report", "--by", "week"]).await.parts();
    assert_eq!(wrong.0, Some(2));
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("lumbung.toml");
    let nobody = format!(
        "[server]\nadmin = \"127.0.0.1:1\"\n[store]\npath = \"{}\"\n{}",
        folder.path().join("none").display(),
        configuration(&origin)
    );
    std::fs::write(&file, nobody).expect("a file");
    let none = lumbung(&["report", "--config", &file.display().to_string()]).await.parts();
    assert_eq!(none.0, Some(1));
    assert!(none.2.contains("there is no history in"), "{}", none.2);
}
