//! A real zsync brings an old image up to date: it asks for many ranges at once.

use std::process::Command;

use super::*;
use crate::support::noise;

#[tokio::test(flavor = "multi_thread")]
async fn zsync_fetches_only_what_an_old_image_lacks() {
    let setup = Setup::new().await;
    let old = noise("old", 2_000_000);
    let mut new = old.clone();
    for piece in [100_000, 700_000, 1_500_000] {
        new[piece..piece + 10_000].copy_from_slice(&noise("new", 10_000));
    }
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("desktop.iso"), &new).expect("an image");
    let made = Command::new("zsyncmake")
        .args(["-u", "desktop.iso", "-o", "desktop.iso.zsync", "desktop.iso"])
        .current_dir(folder.path())
        .output()
        .expect("zsync is installed");
    assert!(made.status.success(), "{made:?}");
    let control = std::fs::read(path("desktop.iso.zsync")).expect("a control file");
    let list = line("desktop.iso", &new) + &line("desktop.iso.zsync", &control);
    setup.publish(LIST, &list, 0);
    setup.origin.route(IMAGE, Reply::ok(new.clone()));
    setup.origin.route("/r/24.04/desktop.iso.zsync", Reply::ok(control));
    assert_whole(&setup.get(IMAGE).await, &new);
    crate::requests::until_stored(setup.server.address(), IMAGE).await;
    std::fs::rename(path("desktop.iso"), path("old.iso")).expect("an old image");
    std::fs::write(path("old.iso"), &old).expect("an old image");
    let mut zsync = Command::new("zsync");
    zsync.args(["-i", "old.iso", "-o", "fresh.iso"]).arg(setup.server.url("/r/24.04/desktop.iso.zsync"));
    zsync.current_dir(folder.path()).env_remove("http_proxy");
    let run = tokio::task::spawn_blocking(move || zsync.output()).await.expect("no panic").expect("zsync");
    assert!(run.status.success(), "{run:?}");
    assert!(std::fs::read(path("fresh.iso")).expect("an image") == new, "another image");
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(said.contains("verifying download...checksum matches OK"), "{said}");
    let fetched = said.lines().find_map(|line| line.split("fetched ").nth(1)).unwrap_or_default();
    let fetched: u64 = fetched.split_whitespace().next().unwrap_or("0").parse().unwrap_or(0);
    assert!((1..200_000).contains(&fetched), "{said}");
}
