//! Rehearsals of an upgrade, through the API and on the command line.

use serde_json::{Value, json};

use crate::learning::{Publisher, desktop};
use crate::support::client::{ask, get};
use crate::support::program::{beside, lumbung};
use crate::support::repository::Package;
use crate::support::server::TestServer;

/// Two releases: in the newer one `editor` needs something else, `old` is gone, `lib1` is provided by another.
fn publish(publisher: &Publisher) {
    publisher.publish(
        "noble",
        0,
        &[Package::new("editor", "1").depends("lib1"), Package::new("lib1", "1"), Package::new("old", "1")],
    );
    publisher.publish("noble-updates", 0, &[Package::new("editor", "1.1").depends("lib1")]);
    publisher.publish(
        "next",
        0,
        &[
            Package::new("editor", "2").depends("lib2"),
            Package::new("lib2", "2").field("Provides", "lib1 (= 1)"),
            Package::new("other", "2"),
        ],
    );
}

async fn rehearse(server: &TestServer, method: &str) -> (u16, Value) {
    let authorization = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", "0")];
    let answer = ask(server.admin(), method, "/api/v1/rehearse?from=noble&to=next", &headers).await;
    (answer.status, serde_json::from_str(&answer.text()).expect("JSON"))
}

fn names(list: &Value, field: &str) -> Vec<String> {
    let all = list.as_array().expect("a list").iter();
    all.map(|one| one[field].as_str().expect("a text").rsplit('/').next().unwrap_or_default().to_owned())
        .collect()
}

#[tokio::test]
async fn what_an_upgrade_of_the_desktops_here_would_miss_is_told_until_it_is_here() {
    let publisher = Publisher::new().await;
    publish(&publisher);
    let offices = "[[office]]\nname = \"Bappeda\"\nnetworks = [\"127.0.1.0/24\"]\n";
    let server = TestServer::start(&publisher.fragment(offices)).await;
    let (_, nobody) = rehearse(&server, "POST").await;
    assert_eq!((&nobody["ready"], &nobody["repos"]), (&json!(false), &json!([])));

    desktop(&server, "127.0.1.1", "noble", &["editor_1_amd64.deb", "old_1_amd64.deb"]).await;
    desktop(&server, "127.0.1.2", "noble", &["old_1_amd64.deb"]).await;
    desktop(&server, "127.0.1.2", "noble-updates", &["editor_1.1_amd64.deb"]).await;
    desktop(&server, "127.0.2.1", "noble", &["lib1_1_amd64.deb"]).await;
    let (_, looked) = rehearse(&server, "GET").await;
    let problem = looked["repos"][0]["problem"].as_str().expect("a problem");
    assert!(problem.contains("next of ubuntu is not here yet"), "{problem}");

    let (status, found) = rehearse(&server, "POST").await;
    assert_eq!((status, &found["ready"]), (200, &json!(false)), "{found:#}");
    let repo = &found["repos"][0];
    assert_eq!(repo["from_suites"], json!(["dists/noble", "dists/noble-updates"]));
    assert_eq!(names(&repo["to_suites"], "suite"), ["next"], "what is not published is not asked for");
    assert_eq!((&repo["desktops"], &repo["seeds"]), (&json!(3), &json!([])));
    // Two use the same packages, whichever suite they came from.
    assert_eq!((&repo["sets"][0]["desktops"], &repo["sets"][0]["offices"]), (&json!(2), &json!(["Bappeda"])));
    assert_eq!(repo["sets"].as_array().map(Vec::len), Some(2));
    assert_eq!(names(&repo["missing"], "path"), ["editor_2_amd64.deb", "lib2_2_amd64.deb"], "{repo:#}");
    assert_eq!(repo["without_successor"], json!([{ "package": "old:amd64", "desktops": 2 }]));
    assert_eq!(repo["unresolved"], json!([]));

    desktop(&server, "127.0.3.1", "next", &["editor_2_amd64.deb"]).await;
    let (_, found) = rehearse(&server, "POST").await;
    assert_eq!(names(&found["repos"][0]["missing"], "path"), ["lib2_2_amd64.deb"]);
    desktop(&server, "127.0.3.1", "next", &["lib2_2_amd64.deb"]).await;
    let (_, found) = rehearse(&server, "POST").await;
    assert_eq!(
        (&found["ready"], &found["repos"][0]["files_missing"]),
        (&json!(true), &json!(0)),
        "{found:#}"
    );

    // Who may not change things may look, and nobody may ask for nonsense.
    let bare = [("Content-Length", "0")];
    assert_eq!(ask(server.admin(), "POST", "/api/v1/rehearse?from=noble&to=next", &bare).await.status, 401);
    for wrong in ["?from=noble", "?from=noble&to=", "?from=a%2Fb&to=next"] {
        assert_eq!(
            get(server.admin(), &format!("/api/v1/rehearse{wrong}"), &[]).await.status,
            400,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn the_command_line_rehearses_with_the_server_and_without_and_says_what_to_do() {
    let publisher = Publisher::new().await;
    publish(&publisher);
    let seed = "[[seed]]\nname = \"upgrade\"\nrepo = \"ubuntu\"\nsuites = [\"next\"]\narchitectures = [\"amd64\"]\n\
                packages = \"learned\"\n";
    let mut server = TestServer::start(&publisher.fragment(seed)).await;
    desktop(&server, "127.0.1.1", "noble", &["editor_1_amd64.deb"]).await;
    let (_folder, file) = beside(&server, &publisher.fragment(seed));
    let run = async |arguments: &[&str]| {
        lumbung(&[&["rehearse"], arguments, &["--config", &file]].concat()).await.parts()
    };
    let (code, said, problem) = run(&["--from", "noble", "--to", "next"]).await;
    assert_eq!(code, Some(1), "{said}{problem}");
    for words in ["lumbung seed run upgrade", "NOT READY", "editor_2_amd64.deb", "1 different"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let (code, said, _) = run(&["--from", "nobody", "--to", "next"]).await;
    assert!(code == Some(1) && said.contains("No desktop was seen to use nobody"), "{said}");
    let (code, said, _) = run(&["--from", "noble", "--to", "nowhere"]).await;
    assert!(code == Some(1) && said.contains("publishes no suite nowhere"), "{said}");
    let (_, by_server, _) = run(&["--from", "noble", "--to", "next", "--json"]).await;
    server.stop().await;
    let (code, by_itself, problem) = run(&["--from", "noble", "--to", "next", "--json"]).await;
    assert_eq!((code, problem.as_str()), (Some(1), ""));
    assert_eq!(by_itself, by_server);
}
