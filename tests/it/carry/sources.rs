//! Single packages, mirror trees of other programs, and images.

use super::*;

/// A world whose office has seen the suite, and lost its line since.
async fn cut_off() -> (World, Origin) {
    let mut world = World::new().await;
    let line = Origin::start().await;
    world.first().publish().to(&line, "/ubuntu");
    world.office = TestServer::start(&fragment(world.folder.path(), &line.url("/ubuntu"))).await;
    world.desktop().update().await.assert_ok();
    line.stop().await;
    (world, line)
}

#[tokio::test(flavor = "multi_thread")]
async fn single_packages_are_known_by_their_hash() {
    let (world, _line) = cut_off().await;
    let publication = world.first().publish();
    let mut paths = Vec::new();
    for name in ["desktop_1_amd64.deb", "editor_2_amd64.deb", "libc6_2.39_amd64.deb"] {
        let path = world.path(&format!("renamed-{name}"));
        std::fs::write(&path, publication.deb(name)).expect("a package");
        paths.push(path);
    }
    let stranger = world.path("stranger.deb");
    std::fs::write(&stranger, b"stranger").expect("a file");
    paths.push(stranger.clone());
    for dry_run in [true, false] {
        let imported = world.import(&paths, dry_run).await;
        assert_eq!(imported["new_files"], 3, "{imported:#}");
        let refused = refused(&imported);
        assert_eq!(refused, [(stranger.display().to_string(), "nothing that is signed lists it".to_owned())]);
    }
    let desktop = world.desktop();
    desktop.update().await;
    desktop.download(&["desktop"]).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_tree_of_another_program_is_taken_in() {
    let world = World::new().await;
    let tree = world.path("mirror/archive.example/ubuntu");
    world.first().publish().write_to(&tree);
    // By the host in its path, and by its folders alone.
    for root in [world.path("mirror"), tree] {
        let imported = world.import(&[root], false).await;
        assert_done(&imported);
    }
    let desktop = world.desktop();
    desktop.update().await.assert_ok();
    desktop.download(&["desktop"]).await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_of_an_image_is_taken_in_but_not_its_suite() {
    let (world, _line) = cut_off().await;
    let tree = world.path("tree");
    world.first().publish().write_to(&tree);
    // An image has a suite of its own, with the archive's name.
    world.second().date(day(9)).publish().write_to(&tree);
    let image = world.path("desktop.iso");
    let made = Command::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-R", "-o"])
        .args([&image, &tree])
        .output()
        .expect("xorriso is installed");
    assert!(made.status.success(), "{made:?}");
    let imported = world.import(&[image], false).await;
    assert_eq!(imported["suites"], json!([]), "{imported:#}");
    assert!(imported["new_files"].as_u64() >= Some(3), "{imported:#}");
    let refused = refused(&imported);
    assert!(
        refused.iter().any(|(name, _)| name.ends_with("desktop.iso:pool/main/e/editor/editor_3_amd64.deb"))
    );
    assert!(!refused.iter().any(|(name, _)| name.contains("editor_2")), "{refused:?}");
    let desktop = world.desktop();
    desktop.update().await;
    desktop.download(&["desktop"]).await.assert_ok();
    assert!(desktop.archives().contains_key("editor_2_amd64.deb"));
}
