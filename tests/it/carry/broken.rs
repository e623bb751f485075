//! Disks that break, end in the middle, or lie.

use super::*;
use crate::support::server::Process;

#[tokio::test]
async fn an_export_goes_on_where_it_broke_off_and_mends_what_the_disk_did() {
    let world = World::new().await;
    let disk = world.path("disk");
    let first = world.export(&disk, None).await;
    assert_done(&first);
    // What a disk looks like that was pulled out: a file is missing, one is short, one has other bytes, one was
    // being written, and there is no manifest.
    let pool = disk.join("ubuntu/pool/main");
    std::fs::remove_file(pool.join("d/desktop/desktop_1_amd64.deb")).expect("a file");
    std::fs::write(pool.join("d/desktop/desktop_1_amd64.deb.lumbung-part"), b"half").expect("a file");
    let editor = std::fs::File::options().write(true).open(pool.join("e/editor/editor_2_amd64.deb"));
    editor.expect("a file").set_len(1000).expect("a shorter file");
    damage(&disk.join("ubuntu/dists/noble/main/binary-amd64/Packages.xz"));
    std::fs::remove_file(disk.join("lumbung-bundle.json")).expect("a file");
    let second = world.export(&disk, None).await;
    assert_done(&second);
    let count = |facts: &Value, key: &str| facts[key].as_u64().expect("a number");
    assert_eq!(count(&second, "new_files"), 3, "{second:#}");
    assert_eq!(count(&second, "present_files"), count(&first, "new_files") - 3);
    assert_sums(&disk);
    assert!(disk.join("lumbung-bundle.json").exists());
    assert!(!pool.join("d/desktop/desktop_1_amd64.deb.lumbung-part").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_disk_damaged_is_refused_by_name_and_the_rest_is_kept() {
    let world = World::new().await;
    let disk = world.path("disk");
    assert_done(&world.export(&disk, None).await);
    let editor = disk.join("ubuntu/pool/main/e/editor/editor_2_amd64.deb");
    damage(&editor);
    std::fs::write(disk.join("ubuntu/pool/main/e/editor/stranger_1_amd64.deb"), b"stranger").expect("a file");
    let imported = world.import(std::slice::from_ref(&disk), false).await;
    let mut refused = refused(&imported);
    refused.sort();
    assert_eq!(refused.len(), 2, "{imported:#}");
    assert_eq!(refused[0].0, editor.display().to_string());
    assert!(refused[0].1.contains("damaged"), "{refused:?}");
    assert!(
        refused[1].0.ends_with("stranger_1_amd64.deb") && refused[1].1.contains("nothing that is signed")
    );
    let desktop = world.desktop();
    desktop.update().await.assert_ok();
    desktop.download(&["libc6"]).await.assert_ok();
    assert_ne!(desktop.download(&["desktop"]).await.code, 0, "a damaged package was served");
}

#[tokio::test]
async fn a_suite_that_somebody_else_signed_brings_nothing_in() {
    let world = World::new().await;
    let disk = world.path("disk");
    assert_done(&world.export(&disk, None).await);
    let stranger = Key::generate("Stranger");
    let forged = world.first().signed_by(&stranger).publish();
    std::fs::write(disk.join("ubuntu/dists/noble/InRelease"), forged.bytes("dists/noble/InRelease"))
        .expect("a file");
    let imported = world.import(std::slice::from_ref(&disk), false).await;
    assert_eq!(suite(&imported)["standing"], "refused");
    assert_eq!(imported["new_files"], 0, "{imported:#}");
    assert_eq!(
        imported["refused_files"],
        imported["files_total"].as_u64().map(|all| json!(all - 1)).unwrap()
    );
    assert_eq!(get(world.office.admin(), "/api/v1/suites", &[]).await.text().trim(), "[]");
}

/// At whatever moment: every object that is in the store is right, and the next import brings the rest.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_goes_on() {
    let world = World::new().await;
    let disk = world.path("disk");
    assert_done(&world.export(&disk, None).await);
    let mut office = Process::start(&fragment(world.folder.path(), &nowhere())).await;
    let order = json!({ "paths": [disk] });
    post(office.admin(), "/api/v1/import", &office.admin_token(), &order).await;
    office.kill();
    office.start_again().await;
    let begun = post(office.admin(), "/api/v1/import", &office.admin_token(), &order).await;
    assert_done(&ended(office.admin(), &begun).await);
    let desktop = world.desktop_of(&office.url("/ubuntu"));
    desktop.update().await.assert_ok();
    desktop.download(&["desktop"]).await.assert_ok();
}

#[tokio::test]
async fn a_disk_that_is_not_there_is_told_of() {
    let world = World::new().await;
    let gone = world.import(&[world.path("gone")], false).await;
    assert!(gone["problem"].as_str().expect("a problem").contains("gone cannot be read"), "{gone:#}");
    let file = world.path("file");
    std::fs::write(&file, b"").expect("a file");
    let exported = world.export(&file.join("below"), None).await;
    assert!(exported["problem"].as_str().expect("a problem").contains("the same command again"));
}

/// A disk goes through many hands: what somebody put on it must not lead the server out of it.
#[tokio::test]
async fn nothing_is_written_through_a_link_on_the_disk() {
    for link in ["ubuntu", "ubuntu/dists/noble/InRelease.lumbung-part", "SHA256SUMS.lumbung-part"] {
        let world = World::new().await;
        let (disk, elsewhere) = (world.path("disk"), world.path("elsewhere"));
        std::fs::create_dir(&elsewhere).expect("a folder");
        let (place, target) =
            (disk.join(link), if link == "ubuntu" { elsewhere.clone() } else { elsewhere.join("new") });
        std::fs::create_dir_all(place.parent().expect("a folder")).expect("a folder");
        std::os::unix::fs::symlink(&target, &place).expect("a link");
        let exported = world.export(&disk, None).await;
        let problem = exported["problem"].as_str().expect("a problem");
        assert!(problem.contains(link) && problem.contains("a link on the disk"), "{problem}");
        assert_eq!(std::fs::read_dir(&elsewhere).expect("a folder").count(), 0);
    }
}
