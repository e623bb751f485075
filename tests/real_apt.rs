//! Real clients, a real publisher's files, a real web server.
//!
//! Run by name or with everything else: the files are fetched once a day through the machine's own apt, all
//! else is loopback.

#[path = "support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each test target uses its part of the support")]
mod support;

use support::apt::Apt;
use support::bootstrap::bootstrap;
use support::nginx::Nginx;
use support::real_upstream::RealUpstream;
use support::sha256_file;

/// The yardstick for everything between: without it, two desktops get what the publisher signed.
#[tokio::test(flavor = "multi_thread")]
async fn desktops_update_and_download_directly_from_the_web_server() {
    let real = tokio::task::spawn_blocking(RealUpstream::obtain).await.expect("a real upstream");
    let nginx = Nginx::serve(&real.folder());
    let desktops = [Apt::new(&real.sources(&nginx.url(""))), Apt::new(&real.sources(&nginx.url("")))];
    let visit = async |apt: &Apt| {
        apt.update().await.assert_ok();
        apt.download(&real.packages()).await.assert_ok();
        real.assert_archives(&apt.archives());
    };
    tokio::join!(visit(&desktops[0]), visit(&desktops[1]));
    let debs: Vec<_> = real.debs().collect();
    assert!(debs.len() > 150, "{} packages", debs.len());
    let accesses = nginx.finish();
    let failed: Vec<_> = accesses.iter().filter(|access| access.status != 200).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let sent = |path: &str| accesses.iter().filter(|access| access.path == path).count();
    let file = debs.iter().max_by_key(|file| file.size).expect("a package");
    assert_eq!(sent(&format!("/{}", file.path)), 2, "{}", file.path);
    assert_eq!(sha256_file(&real.folder().join(&file.path)).expect("a file"), file.sha256);
}

/// All that a new machine needs is in the real upstream.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_machine_installs_directly_from_the_web_server() {
    let real = tokio::task::spawn_blocking(RealUpstream::obtain).await.expect("a real upstream");
    let nginx = Nginx::serve(&real.folder());
    bootstrap(&real, &nginx.url("")).await;
    let accesses = nginx.finish();
    let failed: Vec<_> = accesses.iter().filter(|access| access.status != 200).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(accesses.iter().filter(|access| access.path.ends_with(".deb")).count() > 20);
}
