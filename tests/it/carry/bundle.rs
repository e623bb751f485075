//! A bundle from one server to another, and to whoever else reads it.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_had_a_line_serves_real_apt_from_a_bundle() {
    let mut world = World::new().await;
    let disk = world.path("disk");
    let exported = world.export(&disk, None).await;
    assert_done(&exported);
    assert_sums(&disk);
    let debs = std::fs::read_to_string(disk.join("SHA256SUMS")).expect("a list");
    assert!(debs.contains("editor_2_amd64.deb") && !debs.contains("unwanted"), "{debs}");

    // It tells on its own what it is; nothing changes.
    let told = world.import(std::slice::from_ref(&disk), true).await;
    assert_done(&told);
    assert!(told["bundle"].as_str().expect("words").contains("the seed s, made "), "{told:#}");
    let (standing, signers) = (&suite(&told)["standing"], &suite(&told)["signers"]);
    assert_eq!((standing, &suite(&told)["date"]), (&json!("new"), &json!(1_717_200_000)));
    assert_eq!(signers.as_array().map(Vec::len), Some(1), "{told:#}");
    assert_eq!(get(world.office.admin(), "/api/v1/suites", &[]).await.text().trim(), "[]");
    assert!(told["new_files"].as_u64() > Some(4), "{told:#}");

    let imported = world.import(std::slice::from_ref(&disk), false).await;
    assert_done(&imported);
    assert!(suite(&imported)["generation"].is_number(), "{imported:#}");
    assert_eq!((&imported["new_files"], &imported["new_bytes"]), (&told["new_files"], &told["new_bytes"]));
    for round in 0..2 {
        let desktop = world.desktop();
        desktop.update().await.assert_ok();
        desktop.download(&["desktop"]).await.assert_ok();
        assert_eq!(desktop.archives().len(), 3, "round {round}");
        world.office.restart().await;
    }
    // Once more: everything is there, nothing is read in again.
    let again = world.import(std::slice::from_ref(&disk), false).await;
    assert_done(&again);
    assert_eq!((&suite(&again)["standing"], &again["new_files"]), (&json!("same"), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn any_apt_reads_a_bundle_without_a_server() {
    let world = World::new().await;
    let disk = world.path("disk");
    assert_done(&world.export(&disk, None).await);
    let desktop = world.desktop_of(&format!("file:{}", disk.join("ubuntu").display()));
    desktop.update().await.assert_ok();
    let run = desktop.run(&["install", "--yes", "--print-uris", "desktop"]).await.assert_ok();
    assert!(run.stdout.contains("editor_2_amd64.deb"), "{}", run.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn later_only_what_is_new_is_carried() {
    let world = World::new().await;
    let (first, second, third) = (world.path("first"), world.path("second"), world.path("third"));
    assert_done(&world.export(&first, None).await);
    assert_done(&world.import(std::slice::from_ref(&first), false).await);
    let generation = {
        let suites = get(world.server.admin(), "/api/v1/suites", &[]).await.text();
        serde_json::from_str::<Value>(&suites).expect("JSON")[0]["generation"].to_string()
    };
    world.second().publish().to(&world.origin, "/ubuntu");
    world.server.clock().advance(std::time::Duration::from_mins(11));
    let seen = get(world.server.address(), "/ubuntu/dists/noble/InRelease", &[]).await.text();
    assert!(seen.contains("02 Jun 2024"), "{seen}");
    for (folder, since) in [(&second, first.display().to_string()), (&third, generation)] {
        let exported = world.export(folder, Some(&since)).await;
        assert_done(&exported);
        assert!(exported["left_out_files"].as_u64() >= Some(2), "{exported:#}");
        let list = std::fs::read_to_string(folder.join("SHA256SUMS")).expect("a list");
        assert!(list.contains("editor_3_amd64.deb") && !list.contains("libc6"), "{list}");
        assert_sums(folder);
    }
    let imported = world.import(std::slice::from_ref(&second), false).await;
    assert_done(&imported);
    assert_eq!(suite(&imported)["standing"], "newer");
    let desktop = world.desktop();
    desktop.update().await.assert_ok();
    desktop.download(&["desktop"]).await.assert_ok();
    assert!(desktop.archives().contains_key("editor_3_amd64.deb"));
    // The first bundle has nothing to say any more.
    let old = world.import(std::slice::from_ref(&first), false).await;
    assert_eq!((&suite(&old)["standing"], &suite(&old)["generation"]), (&json!("older"), &Value::Null));
}

#[tokio::test]
async fn a_seed_that_is_not_whole_and_cannot_be_is_told_of() {
    let world = World::new().await;
    world.origin.remove("/ubuntu/pool/main/e/editor/editor_2_amd64.deb");
    let exported = world.export(&world.path("disk"), None).await;
    let problem = exported["problem"].as_str().expect("a problem");
    assert!(problem.contains("editor_2_amd64.deb") && problem.contains("cannot be fetched"), "{problem}");
    assert!(
        !world.path("disk").join("lumbung-bundle.json").exists(),
        "an unfinished bundle calls itself whole"
    );
    let unknown = carry(&world.server, "/api/v1/export", &json!({ "seed": "x", "to": "/nowhere" })).await;
    assert!(unknown["problem"].as_str().expect("a problem").contains("no seed"), "{unknown:#}");
}
