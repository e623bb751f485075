//! Real apt's snapshots: `APT::Snapshot` names a channel, and no source is edited.

use tempfile::TempDir;

use crate::support::client::{ask, get};
use crate::support::origin::Origin;
use crate::support::repository::{Key, Package, Repository, day};
use crate::support::server::TestServer;
use crate::support::snapshot_apt::SnapshotApt;

#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_with_a_snapshot_gets_the_channels_generation_after_upstream_deleted_it() {
    let key = Key::generate("Ubuntu");
    let noble = Repository::new("noble").field("Origin", "Ubuntu").field("Label", "Ubuntu").signed_by(&key);
    let first = noble.clone().package(Package::new("nano", "7.2-1").payload_size(50_000)).publish();
    let second = noble.date(day(1)).package(Package::new("nano", "7.2-2").payload_size(50_000)).publish();
    let origin = Origin::start().await;
    first.to(&origin, "/ubuntu");
    let folder = TempDir::new().expect("a folder");
    let keyring = folder.path().join("archive.gpg");
    std::fs::write(&keyring, key.keyring()).expect("a keyring");
    let server = TestServer::start(&format!(
        "[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [\"{}\"]\nkeyring = \"{}\"\n\
         check_every = \"0 s\"\n[[channel]]\nname = \"pilot\"\n",
        origin.url("/ubuntu"),
        keyring.display()
    ))
    .await;
    let (base, public) = (server.url("/ubuntu"), key.keyring());
    let apt = tokio::task::spawn_blocking(move || SnapshotApt::new(&base, "noble", &public));
    let mut apt = apt.await.expect("a root");
    apt.run(&["update"]).await.assert_ok();
    apt.run(&["install", "--download-only", "nano"]).await.assert_ok();
    assert!(apt.archive("nano_7.2-1_amd64.deb") == first.deb("nano_7.2-1_amd64.deb"));

    let token = format!("Bearer {}", server.admin_token());
    let headers = [("Authorization", token.as_str()), ("Content-Length", "0")];
    let promoted = ask(server.admin(), "POST", "/api/v1/channels/pilot/promote", &headers).await;
    assert_eq!(promoted.status, 200, "{}", promoted.text());
    second.to(&origin, "/ubuntu");
    let old = first.files().iter().filter(|file| !second.files().iter().any(|other| other.path == file.path));
    for file in old {
        origin.remove(&format!("/ubuntu/{}", file.path));
    }
    get(server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;

    apt.clean();
    let host = server.address().ip();
    let pattern = server.url("/snapshot/@SNAPSHOTID@/@PATH@/");
    // By the host for lists that are not here yet; for those that are, apt goes by their origin and label,
    // for which it knows the publisher's own service unless told otherwise.
    apt.option(&format!("Acquire::Snapshots::URI::Host::{host}={pattern}"));
    apt.option(&format!("Acquire::Snapshots::URI::Override::Origin::Ubuntu={pattern}"));
    apt.option(&format!("Acquire::Snapshots::URI::Override::Label::Ubuntu={pattern}"));
    apt.option("APT::Snapshot=pilot");
    apt.run(&["update"]).await.assert_ok();
    apt.run(&["install", "--download-only", "nano"]).await.assert_ok();
    assert!(apt.archive("nano_7.2-1_amd64.deb") == first.deb("nano_7.2-1_amd64.deb"));
}
