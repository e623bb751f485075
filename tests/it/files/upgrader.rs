//! The requests of Ubuntu's upgrader, in its order, by both forms.
//!
//! It asks for `meta-release`, takes the place of the new release's tool from there, looks with a HEAD
//! whether the mirror of the desktop's own sources has it, has apt fetch it with its signature, checks that
//! with the archive's key, and then updates from the new suites. The requests are scripted here; what they
//! bring is checked as it checks it.

use rstest::rstest;

use super::*;
use crate::support::apt::{Apt, Source};
use crate::support::client::ask;
use crate::support::noise;
use crate::support::repository::{Package, Repository};

const ARCHIVE: &str = "http://archive.example/ubuntu";
const TOOL: &str = "/dists/new-updates/main/dist-upgrader-all/current/new.tar.gz";

/// An archive with two releases, its tool, and the host that announces releases.
struct World {
    key: Key,
    archive: Origin,
    changelogs: Origin,
    _folder: TempDir,
    server: TestServer,
    tool: Vec<u8>,
}

impl World {
    async fn new() -> Self {
        let (key, folder) = (Key::generate("Archive"), TempDir::new().expect("a folder"));
        let (archive, changelogs) = (Origin::start().await, Origin::start().await);
        for suite in ["old", "new", "new-updates"] {
            let package = Package::new("base", &format!("1-{suite}"));
            Repository::new(suite).package(package).signed_by(&key).publish().to(&archive, "/ubuntu");
        }
        let tool = noise("tool", 100_000);
        archive.route(&format!("/ubuntu{TOOL}"), Reply::ok(tool.clone()));
        archive.route(&format!("/ubuntu{TOOL}.gpg"), Reply::ok(key.sign(&tool)));
        let announcement = TOOL.replace("new.tar.gz", "ReleaseAnnouncement");
        archive.route(&format!("/ubuntu{announcement}"), Reply::ok("A new release.\n"));
        let text = format!(
            "Dist: old\nName: Old\nVersion: 1\nDate: Thu, 25 Apr 2024 00:04:00 UTC\nSupported: 1\n\n\
             Dist: new\nName: New\nVersion: 2 LTS\nDate: Thu, 23 Apr 2026 00:26:04 UTC\nSupported: 1\n\
             Release-File: {ARCHIVE}/dists/new-updates/Release\n\
             ReleaseNotes: {ARCHIVE}{announcement}\nUpgradeTool: {ARCHIVE}{TOOL}\n\
             UpgradeToolSignature: {ARCHIVE}{TOOL}.gpg\n"
        );
        for name in ["/meta-release", "/meta-release-lts"] {
            changelogs.route(name, Reply::ok(text.clone()));
        }
        let log = "/changelogs/pool/main/b/base/base_1-new/changelog";
        changelogs.route(log, Reply::ok("base (1-new) new; urgency=low\n"));
        let keyring = folder.path().join("archive.gpg");
        std::fs::write(&keyring, key.keyring()).expect("a keyring");
        let server = TestServer::start(&format!(
            "{LIMITS}[[repo]]\nname = \"ubuntu\"\nkind = \"apt\"\nupstreams = [{:?}]\naliases = {ARCHIVE:?}\n\
             keyring = {:?}\n[[repo]]\nname = \"changelogs\"\nkind = \"http\"\nupstreams = [{:?}]\n\
             aliases = \"http://changelogs.example\"\n",
            archive.url("/ubuntu"),
            keyring.display().to_string(),
            changelogs.url("")
        ))
        .await;
        Self { key, archive, changelogs, _folder: folder, server, tool }
    }

    async fn ask(&self, method: &str, target: &str) -> Response {
        ask(self.server.address(), method, target, &[("Cache-Control", "No-Cache"), ("Pragma", "no-cache")])
            .await
    }
}

#[rstest]
#[case::proxy_form_with_unchanged_sources(ARCHIVE, "http://changelogs.example")]
#[case::mirror_form("/ubuntu", "/changelogs")]
#[tokio::test(flavor = "multi_thread")]
async fn a_desktop_finds_all_of_an_upgrade(#[case] archive: &str, #[case] changelogs: &str) {
    let world = World::new().await;
    let form = if archive == ARCHIVE { ARCHIVE.to_owned() } else { world.server.url(archive) };
    let desktop = |suites: &[&str]| {
        let source = |suite: &&str| Source::apt(&form, suite, "main").signed_by(world.key.keyring());
        let apt = Apt::new(&suites.iter().map(source).collect::<Vec<_>>());
        if archive == ARCHIVE { apt.option("Acquire::http::Proxy", &world.server.url("")) } else { apt }
    };
    desktop(&["old"]).update().await.assert_ok();

    // Twice: the second desktop is served from here.
    for round in 0..2 {
        for name in ["meta-release", "meta-release-lts"] {
            let meta = world.ask("GET", &format!("{changelogs}/{name}")).await;
            assert_eq!(meta.status, 200);
            let tool =
                meta.text().lines().find_map(|line| line.strip_prefix("UpgradeTool: ").map(str::to_owned));
            assert_eq!(tool, Some(format!("{ARCHIVE}{TOOL}")));
        }
        // Does the mirror of my sources have it?
        let probe = world.ask("HEAD", &format!("{archive}{TOOL}")).await;
        assert_eq!(probe.status, 200, "{probe:?}");
        let release = world.ask("HEAD", &format!("{archive}/dists/new-updates/Release")).await;
        assert_eq!(release.status, 200, "{release:?}");
        let notes = TOOL.replace("new.tar.gz", "ReleaseAnnouncement");
        assert_eq!(world.ask("GET", &format!("{archive}{notes}")).await.text(), "A new release.\n");
        let tool = world.ask("GET", &format!("{archive}{TOOL}")).await;
        assert_whole(&tool, &world.tool);
        let signature = world.ask("GET", &format!("{archive}{TOOL}.gpg")).await;
        assert!(world.key.is_signature(&tool.body, &signature.body), "the tool's signature is not good");
        if round == 1 {
            assert_eq!(world.archive.requests_to(&format!("/ubuntu{TOOL}")).len(), 1);
        }
    }
    let new = desktop(&["new", "new-updates"]);
    new.update().await.assert_ok();
    new.download(&["base"]).await.assert_ok();
    assert!(
        new.archives().contains_key("base_1-new_amd64.deb")
            || new.archives().contains_key("base_1-new-updates_amd64.deb")
    );
    let log = format!("{changelogs}/changelogs/pool/main/b/base/base_1-new/changelog");
    assert!(world.ask("GET", &log).await.text().starts_with("base (1-new)"));
}

#[tokio::test]
async fn the_line_that_is_down_leaves_what_is_here() {
    let world = World::new().await;
    for path in
        ["/changelogs/meta-release-lts".to_owned(), format!("/ubuntu{TOOL}"), format!("/ubuntu{TOOL}.gpg")]
    {
        assert_eq!(world.ask("GET", &path).await.status, 200, "{path}");
    }
    world.archive.stop().await;
    world.changelogs.stop().await;
    world.server.clock().advance(3 * 24 * 60 * STALE);
    assert_whole(&world.ask("GET", &format!("/ubuntu{TOOL}")).await, &world.tool);
    assert_eq!(world.ask("GET", &format!("/ubuntu{TOOL}.gpg")).await.status, 200);
    assert_eq!(world.ask("GET", "/changelogs/meta-release-lts").await.status, 200);
}

#[tokio::test]
async fn a_tool_that_the_archive_did_not_sign_is_refused() {
    let world = World::new().await;
    let mut wrong = world.tool.clone();
    wrong[7] ^= 1;
    world.archive.route(&format!("/ubuntu{TOOL}"), Reply::ok(wrong));
    let refused = world.ask("GET", &format!("/ubuntu{TOOL}")).await;
    assert!(refused.status >= 500, "{refused:?}");
}
