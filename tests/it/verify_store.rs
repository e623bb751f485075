//! Hashing the whole store: `lumbung verify`, and what the administrators' API has of it.

use std::fs::{self, OpenOptions, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::client::{Connection, get, request};
use crate::support::origin::{Origin, Reply};
use crate::support::program::{Run, lumbung};
use crate::support::server::TestServer;
use crate::support::{noise, sha256};

const NAMES: [&str; 4] = ["/pool/a_1_amd64.deb", "/pool/b_1_amd64.deb", "/pool/c_1_amd64.deb", "/x/d.bin"];
/// The one that is damaged: of several pieces.
const DAMAGED: usize = 2;

fn body(number: usize) -> Vec<u8> {
    noise(&format!("verify {number}"), [0, 700, 2_500_000, 60_000][number])
}

/// A server whose store has every one of [`NAMES`], and the origin of them.
async fn filled() -> (TestServer, Origin) {
    let origin = Origin::start().await;
    for (number, name) in NAMES.iter().enumerate() {
        origin.route(name, Reply::ok(body(number)));
    }
    let fragment = format!("[[repo]]\nname = \"d\"\nkind = \"apt\"\nupstreams = [\"{}\"]\n", origin.url(""));
    let server = TestServer::start(&fragment).await;
    for (number, name) in NAMES.iter().enumerate() {
        let answer = get(server.address(), &format!("/d{name}"), &[]).await;
        assert!(answer.is_complete() && answer.body == body(number), "{name}");
    }
    (server, origin)
}

/// Flips a bit of the stored bytes of [`DAMAGED`], in its last piece.
fn damage(server: &TestServer) {
    let digest = sha256(&body(DAMAGED));
    let path = server.store().join("objects").join(&digest[..2]).join(&digest[2..]);
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a writable file");
    let file = OpenOptions::new().read(true).write(true).open(path).expect("an object");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 2_400_000).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], 2_400_000).expect("a flipped bit");
}

/// `lumbung verify` with the store of a server, which is asked where it runs.
async fn verify(server: &TestServer, options: &[&str]) -> Run {
    verify_at(server, server.admin(), options).await
}

/// The same for a server that may have been stopped.
async fn verify_at(server: &TestServer, admin: SocketAddr, options: &[&str]) -> Run {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("lumbung.toml");
    let text = format!(
        "[store]\npath = \"{}\"\nmin_free = \"0 B\"\n[[repo]]\nname = \"d\"\nkind = \"apt\"\nupstreams = \
         [\"http://archive.example/\"]\ntrust = \"none\"\n",
        server.store().display()
    );
    fs::write(&file, text).expect("a file");
    let admin = admin.to_string();
    let file = file.display().to_string();
    lumbung(&[&["verify", "--admin", &admin, "--config", &file], options].concat()).await
}

fn found(run: &Run) -> Value {
    serde_json::from_str(&run.stdout).unwrap_or_else(|why| panic!("{why}: {} {}", run.stdout, run.stderr))
}

/// POSTs an order, with a body.
async fn order(server: &TestServer, order: &str, token: &str) -> (u16, Value) {
    let authorization = format!("Bearer {token}");
    let length = order.len().to_string();
    let headers = [("Authorization", authorization.as_str()), ("Content-Length", length.as_str())];
    let mut connection = Connection::open(server.admin()).await;
    let head = request(server.admin(), "POST", "/api/v1/store/verify", &headers);
    connection.send(head + order).await;
    let answer = connection.response().await;
    (answer.status, serde_json::from_str(&answer.text()).expect("JSON"))
}

async fn look(server: &TestServer, path: &str) -> Value {
    serde_json::from_str(&get(server.admin(), path, &[]).await.text()).expect("JSON")
}

#[tokio::test]
async fn a_good_store_is_hashed_whole_and_ends_with_0() {
    let (server, origin) = filled().await;
    let run = verify(&server, &["--json"]).await;
    let found = found(&run);
    assert_eq!(run.code, Some(0), "{found:#} {}", run.stderr);
    let total: usize = (0..NAMES.len()).map(|number| body(number).len()).sum();
    assert_eq!((&found["objects_done"], &found["bytes_done"]), (&json!(4), &json!(total)), "{found:#}");
    assert_eq!((&found["damaged"], &found["running"]), (&json!([]), &json!(false)));
    assert_eq!(origin.requests().len(), NAMES.len());
    let words = verify(&server, &[]).await;
    assert!(words.code == Some(0) && words.stdout.contains("nothing is damaged"), "{}", words.stdout);
}

#[tokio::test]
async fn one_flipped_bit_is_found_set_aside_told_and_repaired() {
    let (server, origin) = filled().await;
    damage(&server);
    let run = verify(&server, &["--repair", "--json"]).await;
    let found = found(&run);
    assert_eq!(run.code, Some(1), "{found:#} {}", run.stderr);
    let object = &found["damaged"][0];
    assert_eq!((&found["damaged_objects"], &found["objects_done"]), (&json!(1), &json!(4)), "{found:#}");
    assert_eq!(object["digest"], sha256(&body(DAMAGED)));
    assert_eq!(object["names"], json!([format!("d{}", NAMES[DAMAGED])]));
    assert_eq!(object["repaired"], true, "{found:#}");
    for (number, name) in NAMES.iter().enumerate() {
        let fetched = if number == DAMAGED { 2 } else { 1 };
        assert_eq!(origin.requests_to(name).len(), fetched, "{name}");
        let answer = get(server.address(), &format!("/d{name}"), &[]).await;
        assert!(answer.is_complete() && answer.body == body(number), "{name}");
        assert_eq!(origin.requests_to(name).len(), fetched, "{name}: not here after the repair");
    }
    assert!(server.store().join("damaged").join(sha256(&body(DAMAGED))).exists());
    let metrics = get(server.admin(), "/metrics", &[]).await.text();
    assert!(metrics.contains(r#"lumbung_verify_failures_total{repo="d",what="stored"} 1"#), "{metrics}");
    let events = look(&server, "/api/v1/events").await;
    assert_eq!(
        (&events[0]["kind"], &events[0]["subject"]),
        (&json!("verify-failure"), &json!(NAMES[DAMAGED][1..]))
    );
    // What was found stays to be seen, and the store is whole again.
    assert_eq!(look(&server, "/api/v1/store").await["verify"], found);
    assert_eq!(verify(&server, &[]).await.code, Some(0));
}

#[tokio::test]
async fn what_is_damaged_is_only_set_aside_without_repair() {
    let (server, origin) = filled().await;
    damage(&server);
    let run = verify(&server, &[]).await;
    assert_eq!(run.code, Some(1), "{} {}", run.stdout, run.stderr);
    assert!(run.stdout.contains(NAMES[DAMAGED]) && run.stdout.contains("1 DAMAGED"), "{}", run.stdout);
    assert_eq!(origin.requests().len(), NAMES.len());
    assert_eq!(look(&server, "/api/v1/store").await["usage"]["objects"], 3);
}

#[tokio::test]
async fn without_a_server_the_store_is_hashed_and_nothing_fetched() {
    let (mut server, origin) = filled().await;
    let admin = server.admin();
    damage(&server);
    // Nobody listens at its address afterwards.
    server.stop().await;
    let run = verify_at(&server, admin, &["--repair", "--json"]).await;
    let found = found(&run);
    assert_eq!(run.code, Some(1), "{found:#} {}", run.stderr);
    assert!(run.stderr.contains("not fetched again"), "{}", run.stderr);
    assert_eq!((&found["damaged_objects"], &found["repair"]), (&json!(1), &json!(false)), "{found:#}");
    assert_eq!(found["damaged"][0]["repaired"], Value::Null);
    assert_eq!(origin.requests().len(), NAMES.len());
    let again = verify_at(&server, admin, &[]).await;
    assert_eq!(again.code, Some(0), "{} {}", again.stdout, again.stderr);
}

#[tokio::test]
async fn one_scrub_runs_at_a_time_and_a_shutdown_ends_it() {
    let (mut server, _origin) = filled().await;
    let token = server.admin_token();
    assert_eq!(order(&server, "", "wrong").await.0, 401);
    assert_eq!(order(&server, r#"{"repiar": true}"#, &token).await.0, 400);
    assert_eq!(order(&server, r#"{"rate": 0}"#, &token).await.0, 400);
    assert_eq!(look(&server, "/api/v1/store").await["verify"], Value::Null);
    let (status, begun) = order(&server, r#"{"rate": 1}"#, &token).await;
    assert_eq!((status, &begun["running"], &begun["rate"]), (200, &json!(true), &json!(1)), "{begun}");
    let (status, refused) = order(&server, "", &token).await;
    assert_eq!((status, &refused["status"]), (409, &json!(409)), "{refused}");
    assert_eq!(look(&server, "/api/v1/store").await["verify"]["running"], true);
    // Which would take a month otherwise.
    server.stop().await;
}
