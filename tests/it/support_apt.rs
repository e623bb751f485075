//! The machine's apt accepts the repositories that we make, and refuses the broken ones.

use tempfile::TempDir;

use crate::support::apt::{Apt, Source};
use crate::support::nginx::Nginx;
use crate::support::origin::Origin;
use crate::support::repository::{Compression, Key, Package, Publication, Repository, day};
use crate::support::sha256;

fn noble(key: &Key) -> Repository {
    Repository::new("noble")
        .package(Package::new("nano", "7.2-1").depends("libnano (>= 1)").payload_size(50_000))
        .package(Package::new("libnano", "1.0+really~2").payload_size(20_000))
        .signed_by(key)
}

#[tokio::test]
async fn apt_updates_and_downloads_from_the_origin() {
    let (origin, key) = (Origin::start().await, Key::generate("Noble"));
    let files = noble(&key).publish();
    files.to(&origin, "/ubuntu");
    let source = Source::apt(origin.url("/ubuntu"), "noble", "main");
    for keyring in [key.keyring(), key.armored_keyring()] {
        let apt = Apt::new(&[source.clone().signed_by(keyring)]);
        apt.update().await.assert_ok();
        apt.download(&["nano"]).await.assert_ok();
        let archives = apt.archives();
        assert_eq!(archives.len(), 2, "{archives:?}");
        assert_eq!(archives["nano_7.2-1_amd64.deb"], sha256(&files.deb("nano_7.2-1_amd64.deb")));
    }
    // By-hash was offered and taken.
    assert!(
        origin.requests().iter().any(|request| request.path.contains("/main/binary-amd64/by-hash/SHA256/"))
    );
}

#[tokio::test]
async fn apt_takes_every_form_of_repository() {
    let (origin, key) = (Origin::start().await, Key::generate("Forms"));
    let flat = Repository::flat().package(Package::new("tool", "1")).signed_by(&key);
    flat.publish().to(&origin, "/flat");
    noble(&key).by_hash(false).publish().to(&origin, "/plain");
    noble(&key).compressions(&[Compression::Gzip]).publish().to(&origin, "/gzip");
    let release = |path: &str| !path.ends_with("InRelease");
    noble(&key).publish().only(release).to(&origin, "/detached");
    for (base, suite, component, package) in [
        ("/flat", "./", "", "tool"),
        ("/plain", "noble", "main", "nano"),
        ("/gzip", "noble", "main", "nano"),
        ("/detached", "noble", "main", "nano"),
    ] {
        let apt = Apt::new(&[Source::apt(origin.url(base), suite, component).signed_by(key.keyring())]);
        let update = apt.update().await;
        assert!(update.code == 0 && !update.stderr.contains("E:"), "{base}: {update:?}");
        apt.download(&[package]).await.assert_ok();
        assert!(!apt.archives().is_empty(), "{base}");
    }
}

#[tokio::test]
async fn a_sources_option_is_heard() {
    let (origin, key) = (Origin::start().await, Key::generate("Options"));
    noble(&key).publish().to(&origin, "/ubuntu");
    let source = Source::apt(origin.url("/ubuntu"), "noble", "main").signed_by(key.keyring());
    Apt::new(&[source.option("by-hash=no")]).update().await.assert_ok();
    assert!(origin.requests().iter().all(|request| !request.path.contains("/by-hash/")));
}

#[tokio::test]
async fn apt_asks_a_proxy_with_whole_urls() {
    let (origin, key) = (Origin::start().await, Key::generate("Proxy"));
    noble(&key).publish().to(&origin, "/ubuntu");
    let source = Source::apt("http://archive.example/ubuntu", "noble", "main").signed_by(key.keyring());
    let apt = Apt::new(&[source]).option("Acquire::http::Proxy", &origin.url(""));
    apt.update().await.assert_ok();
    apt.download(&["nano"]).await.assert_ok();
    assert!(
        origin.requests().iter().all(|request| request.target.starts_with("http://archive.example/ubuntu/"))
    );
}

#[tokio::test]
async fn apt_trusts_an_origin_with_tls_by_its_authority() {
    let (origin, key) = (Origin::start_tls().await, Key::generate("Tls"));
    noble(&key).publish().to(&origin, "/ubuntu");
    let source = Source::apt(origin.url("/ubuntu"), "noble", "main").signed_by(key.keyring());
    let folder = TempDir::new().unwrap();
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, origin.authority()).unwrap();
    let trusting = Apt::new(std::slice::from_ref(&source))
        .option("Acquire::https::CAInfo", &authority.display().to_string());
    trusting.update().await.assert_ok();
    let before = origin.requests().len();
    let run = Apt::new(&[source]).update().await;
    assert!(run.stderr.contains("certificate"), "{run:?}");
    assert_eq!(origin.requests().len(), before);
}

#[tokio::test]
async fn apt_sees_the_next_generation_once_it_is_whole() {
    let (origin, key) = (Origin::start().await, Key::generate("Generations"));
    noble(&key).publish().to(&origin, "/ubuntu");
    let apt = Apt::new(&[Source::apt(origin.url("/ubuntu"), "noble", "main").signed_by(key.keyring())]);
    apt.update().await.assert_ok();
    let next = noble(&key).date(day(1)).package(Package::new("nano", "7.2-2").depends("libnano")).publish();

    // In mid-sync: the new release file, and nothing that it lists.
    next.only(|path| path.ends_with("InRelease")).to(&origin, "/ubuntu");
    assert_ne!(apt.update().await.code, 0);
    next.to(&origin, "/ubuntu");
    apt.update().await.assert_ok();
    apt.download(&["nano"]).await.assert_ok();
    assert!(apt.archives().contains_key("nano_7.2-2_amd64.deb"));
}

#[tokio::test]
async fn apt_refuses_a_foreign_signature() {
    let (origin, key) = (Origin::start().await, Key::generate("Noble"));
    noble(&Key::generate("Noble")).publish().to(&origin, "/ubuntu");
    let apt = Apt::new(&[Source::apt(origin.url("/ubuntu"), "noble", "main").signed_by(key.keyring())]);
    let run = apt.update().await;
    assert!(run.code == 100 && run.stderr.contains("NO_PUBKEY"), "{run:?}");
}

#[tokio::test]
async fn many_roots_work_side_by_side_from_nginx() {
    let key = Key::generate("Noble");
    let folder = TempDir::new().unwrap();
    let files: Publication = noble(&key).publish();
    files.write_to(folder.path());
    let nginx = Nginx::serve(folder.path());
    let source = Source::apt(nginx.url(""), "noble", "main").signed_by(key.keyring());
    let mut desktops = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let apt = Apt::new(std::slice::from_ref(&source));
        desktops.spawn(async move {
            apt.update().await.assert_ok();
            apt.download(&["nano"]).await.assert_ok();
            apt.archives()
        });
    }
    for archives in desktops.join_all().await {
        assert_eq!(archives["nano_7.2-1_amd64.deb"], sha256(&files.deb("nano_7.2-1_amd64.deb")));
    }
    let accesses = nginx.finish();
    let debs = accesses.iter().filter(|access| access.path.ends_with("nano_7.2-1_amd64.deb"));
    let sizes: Vec<_> = debs.map(|access| (access.status, access.body_bytes)).collect();
    assert_eq!(sizes, [(200, files.deb("nano_7.2-1_amd64.deb").len() as u64); 5]);
}
