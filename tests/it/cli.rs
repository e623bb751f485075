//! The commands as an administrator types them: what they print, where, and how they end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};

use rstest::rstest;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::get;
use crate::support::gate::Gate;
use crate::support::noise;
use crate::support::origin::{Origin, Reply};
use crate::support::program::{lumbung, program};
use crate::support::repository::Key;
use crate::support::server::Process;

/// A configuration file in a folder of its own, with a store beside it that is not there yet.
fn file(text: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("lumbung.toml");
    let store = folder.path().join("store");
    let text = text.replace("STORE", &store.display().to_string());
    fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    (folder, file)
}

/// A repository, for the servers of the test support, which know where their stores are.
fn repository(upstream: &str) -> String {
    format!("[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{upstream}\"]\ntrust = \"none\"\n")
}

/// The same with a store, for a [`file`].
fn stored_repository(upstream: &str) -> String {
    format!("[store]\npath = \"STORE\"\nmin_free = \"0 B\"\n\n{}", repository(upstream))
}

#[rstest]
#[case::of_the_program(&["--help"], "Exit status")]
#[case::of_serve(&["serve", "--help"], "Examples:")]
#[case::of_check(&["check", "--help"], "Examples:")]
#[case::of_status(&["status", "--help"], "Examples:")]
#[case::of_client(&["client", "--help"], "Examples:")]
#[tokio::test]
async fn help_goes_to_standard_output_and_ends_with_0(#[case] arguments: &[&str], #[case] words: &str) {
    let run = lumbung(arguments).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.contains(words) && run.stdout.contains("--help"), "{}", run.stdout);
}

#[rstest]
#[case::nothing(&[])]
#[case::an_unknown_command(&["sreve"])]
#[case::an_unknown_option(&["check", "--fast"])]
#[case::a_bad_address(&["status", "--admin", "here"])]
#[tokio::test]
async fn wrong_usage_is_said_on_standard_error_and_ends_with_2(#[case] arguments: &[&str]) {
    let run = lumbung(arguments).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
    assert!(run.stderr.contains("--help"), "{run:?}");
}

const MISTAKES: &str = "\
[server]
lisen = \"0.0.0.0:3142\"
idle_timeout = 5

[store]
path = \"here\"
max_size = \"much\"

[wan]
limit = \"20 Mbps\"

[[repo]]
name = \"ubuntu\"
kind = \"zip\"
upstreams = []
";

/// The lines and keys of [`MISTAKES`].
const PLACES: [(usize, &str); 7] = [
    (2, "server.lisen"),
    (3, "server.idle_timeout"),
    (6, "store.path"),
    (7, "store.max_size"),
    (10, "wan.limit"),
    (14, "repo[1].kind"),
    (15, "repo[1].upstreams"),
];

#[tokio::test]
async fn check_names_every_mistake_of_a_file_at_once() {
    let (_folder, file) = file(MISTAKES);
    let run = lumbung(&["check", "--config", &file]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    for (line, key) in PLACES {
        let place = format!("{file}:{line}: {key}");
        let told = run.stdout.lines().filter(|told| told.starts_with("BAD ") && told.contains(&place));
        assert_eq!(told.count(), 1, "{place} in\n{}", run.stdout);
    }
    assert!(run.stdout.contains("did you mean `listen`?"), "{}", run.stdout);
    assert!(run.stdout.ends_with("7 things are BAD and must be mended.\n"), "{}", run.stdout);
}

#[tokio::test]
async fn serve_refuses_a_bad_file_with_every_mistake() {
    let (_folder, file) = file(MISTAKES);
    let run = lumbung(&["serve", "--config", &file]).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    for (line, key) in PLACES {
        assert!(run.stderr.contains(&format!("{file}:{line}: {key}")), "{line} {key} in\n{}", run.stderr);
    }
}

#[rstest]
#[case::check(&["check"])]
#[case::serve(&["serve"])]
#[case::status(&["status"])]
#[case::client(&["client"])]
#[tokio::test]
async fn a_file_that_is_not_there_is_named(#[case] arguments: &[&str]) {
    let run = lumbung(&[arguments, &["--config", "/nowhere/lumbung.toml"]].concat()).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let said = format!("{}{}", run.stdout, run.stderr);
    assert!(said.contains("/nowhere/lumbung.toml") && said.contains("No such file"), "{said}");
}

#[tokio::test]
async fn check_asks_every_upstream_unless_offline() {
    let (up, down) = (Origin::start().await, Origin::start().await);
    down.stop().await;
    let text = stored_repository(&up.url("/ubuntu"));
    let (_good, good) = file(&text);
    let run = lumbung(&["check", "--config", &good]).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert!(run.stdout.ends_with("Everything needed works.\n"), "{}", run.stdout);
    assert_eq!(up.requests_to("/ubuntu/").len(), 1);

    let second = format!("\", \"{}\"]", down.url("/ubuntu"));
    let (_bad, bad) = file(&text.replace("\"]", &second));
    let run = lumbung(&["check", "--config", &bad]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let told = run.stdout.lines().find(|line| line.starts_with("BAD")).expect("a bad line");
    assert!(told.contains(&down.url("/ubuntu")) && told.contains("not reached"), "{told}");
    assert_eq!(up.requests_to("/ubuntu/").len(), 2);

    let run = lumbung(&["check", "--offline", "--config", &bad]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(up.requests_to("/ubuntu/").len(), 2);
}

#[tokio::test]
async fn check_looks_at_keyrings_and_changes_nothing() {
    let key = Key::generate("Archive");
    let text =
        stored_repository("http://archive.example/ubuntu").replace("trust = \"none\"", "keyring = \"a.gpg\"");
    let (folder, file) = file(&text);
    let keyring = folder.path().join("a.gpg");
    let run = lumbung(&["check", "--offline", "--config", &file]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let told = run.stdout.lines().find(|line| line.starts_with("BAD")).expect("a bad line");
    assert!(told.contains("keyring") && told.contains("a.gpg"), "{told}");

    fs::write(&keyring, key.keyring()).expect("a keyring");
    let run = lumbung(&["check", "--offline", "--config", &file]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!Path::new(&file).with_file_name("store").exists());
}

#[tokio::test]
async fn status_shows_a_running_server_in_words_and_as_the_api_does() {
    let origin = Origin::start().await;
    origin.route("/ubuntu/pool/a.deb", Reply::ok(noise("a", 5000)));
    let server = Process::start(&repository(&origin.url("/ubuntu"))).await;
    get(server.address(), "/ubuntu/pool/a.deb", &[]).await;
    server.event("the request's line", |event| event["target"] == "/ubuntu/pool/a.deb").await;
    let admin = server.admin().to_string();
    let words = lumbung(&["status", "--admin", &admin]).await;
    assert_eq!((words.code, words.stderr.as_str()), (Some(0), ""), "{words:?}");
    assert!(words.stdout.contains("ubuntu"), "{}", words.stdout);
    let json = lumbung(&["status", "--json", "--admin", &admin]).await;
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""), "{json:?}");
    let mut told: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let mut asked: Value =
        serde_json::from_str(&get(server.admin(), "/api/v1/status", &[]).await.text()).expect("JSON");
    // Others use the disk too.
    for status in [&mut told, &mut asked] {
        assert!(status["store"]["free"].take().as_u64() > Some(0));
    }
    for field in ["version", "started", "config", "listen", "admin", "store", "repos", "totals"] {
        assert!(!told[field].is_null() && told[field] == asked[field], "{field}: {told:#}\n{asked:#}");
    }
    assert_eq!(told["totals"]["requests"]["miss"], 1, "{told:#}");
}

#[tokio::test]
async fn status_without_a_server_says_how_to_find_one() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let run = lumbung(&["status", "--admin", &free.to_string()]).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(
        run.stderr.contains(&free.to_string()) && run.stderr.contains("is the server running"),
        "{run:?}"
    );
}

#[rstest]
#[case::as_a_mirror("mirror")]
#[case::as_a_proxy("proxy")]
#[tokio::test]
async fn client_prints_the_script_that_the_server_gives(#[case] mode: &str) {
    let upstream = "http://archive.example/ubuntu";
    let (_folder, file) = file(&stored_repository(upstream));
    let server = Process::start(&repository(upstream)).await;
    let given = get(server.address(), &format!("/client.sh?mode={mode}"), &[]).await;
    let run = lumbung(&["client", "--config", &file, "--mode", mode, "--server", &server.url("")]).await;
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
    assert_eq!((given.status, given.text()), (200, run.stdout));
}

#[tokio::test]
async fn client_asks_for_the_servers_address_where_it_is_not_configured() {
    let text = stored_repository("http://archive.example/ubuntu");
    let (_folder, unnamed) = file(&text);
    let run = lumbung(&["client", "--config", &unnamed]).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.contains("--server") && run.stderr.contains("public_url"), "{run:?}");
    let (_folder, named) = file(&format!("[server]\npublic_url = \"http://mirror.example:3142\"\n{text}"));
    let run = lumbung(&["client", "--config", &named]).await;
    assert!(run.code == Some(0) && run.stdout.contains("http://mirror.example:3142"), "{run:?}");
}

#[tokio::test]
async fn a_store_in_use_is_refused_with_its_user_and_a_way_out() {
    let text = repository("http://archive.example/ubuntu");
    let server = Process::start(&text).await;
    let store = server.store().display().to_string();
    let (_folder, file) = file(&text);
    let run = lumbung(&[
        "serve",
        "--config",
        &file,
        "--store",
        &store,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ])
    .await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    let user = format!("in use by process {}", server.id());
    assert!(run.stderr.contains(&store) && run.stderr.contains(&user), "{run:?}");
    assert!(run.stderr.contains("stop that one first"), "{run:?}");
}

#[rstest]
#[case::for_desktops("--listen", "--admin")]
#[case::for_administrators("--admin", "--listen")]
#[tokio::test]
async fn a_taken_port_is_refused_with_a_way_out_and_the_store_is_let_go(
    #[case] taken: &str,
    #[case] other: &str,
) {
    let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = holder.local_addr().expect("an address").to_string();
    let (folder, file) = file(&stored_repository("http://archive.example/ubuntu"));
    let run = lumbung(&["serve", "--config", &file, taken, &address, other, "127.0.0.1:0"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run:?}");
    assert!(run.stderr.contains(&address) && run.stderr.contains("in use"), "{run:?}");
    assert!(run.stderr.contains(taken), "the way out in {run:?}");
    let lock = fs::File::open(folder.path().join("store/lock")).expect("a store was made");
    lock.try_lock().expect("nobody holds the store");
}

/// The program with what is built in. Killed when dropped.
struct Served {
    child: Child,
    listen: SocketAddr,
    admin: SocketAddr,
}

impl Served {
    /// Starts it with a store, and waits until it has said, in text, where it listens.
    fn start(store: &Path) -> Self {
        let mut child = program(&["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store"])
            .arg(store)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut after = |words: &str| {
            let line = lines.by_ref().find(|line| line.contains(words))?;
            line.rsplit_once("address=")?.1.trim().parse().ok()
        };
        let addresses = after("listening ").zip(after("listening for administrators "));
        let Some((listen, admin)) = addresses else {
            let _ = child.kill();
            panic!("it did not say where it listens: {:?}", child.wait());
        };
        // The pipe is read to its end, so that no line that is logged finds it full.
        std::thread::spawn(move || lines.count());
        Self { child, listen, admin }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn serve_works_with_what_is_built_in_and_the_flags() {
    let folder = TempDir::new().expect("a folder");
    let store = folder.path().join("store");
    let server = tokio::task::spawn_blocking({
        let store = store.clone();
        move || Served::start(&store)
    });
    let mut server = server.await.expect("a server");
    let page = get(server.listen, "/", &[]).await;
    assert_eq!((page.status, page.reason.as_str()), (406, "Usage Information"));
    assert!(page.text().contains("/ubuntu"), "{}", page.text());
    let status: Value =
        serde_json::from_str(&get(server.admin, "/api/v1/status", &[]).await.text()).expect("JSON");
    assert_eq!(status["store"]["path"], store.display().to_string());
    kill_process(Pid::from_child(&server.child), Signal::INT).expect("a running process");
    let ended = tokio::task::spawn_blocking(move || server.child.wait().expect("a child of ours"));
    assert!(ended.await.expect("no panic").success());
}

#[tokio::test]
async fn a_terminated_server_finishes_what_it_began_and_ends_with_0() {
    let (origin, gate) = (Origin::start().await, Gate::new());
    let body = noise("a", 300_000);
    origin.route("/ubuntu/pool/a.deb", Reply::ok(body.clone()).pause_after(100_000, &gate));
    let mut server = Process::start(&repository(&origin.url("/ubuntu"))).await;
    let address = server.address();
    let desktop = tokio::spawn(async move { get(address, "/ubuntu/pool/a.deb", &[]).await });
    gate.reached_by(1).await;
    server.signal(Signal::TERM);
    server.event("the end's beginning", |event| event["message"].to_string().contains("shutting down")).await;
    gate.open();
    let answer = desktop.await.expect("no panic");
    assert!(answer.is_complete() && answer.body == body, "{:?} after {}", answer.end, answer.body.len());
    let ended = server.ended().await;
    assert_eq!(ended.code(), Some(0), "{}", server.log().join("\n"));
}
