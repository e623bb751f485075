//! The commands without a server, as on a machine that is only now being set up.

use std::process::{Output, Stdio};

use super::*;
use crate::support::server::Process;

async fn lumbung(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lumbung"));
    command.args(arguments).arg("--config").arg(config).env_remove("RUST_LOG").stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the program")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_without_a_server_is_exported_and_imported() {
    let world = World::new().await;
    let mut processes = Vec::new();
    let mut configs = Vec::new();
    for (name, upstream) in [("centre", world.origin.url("/ubuntu")), ("office", nowhere())] {
        let fragment = fragment(world.folder.path(), &upstream);
        // It makes the store; then there is no server any more.
        let mut process = Process::start(&fragment).await;
        process.kill();
        let config = world.path(&format!("{name}.toml"));
        let text = format!(
            "[server]\nadmin = \"{}\"\n[store]\npath = {:?}\nmin_free = \"0 B\"\n{fragment}",
            process.admin(),
            process.store().display().to_string()
        );
        std::fs::write(&config, text).expect("a configuration");
        processes.push(process);
        configs.push(config);
    }
    let disk = world.path("disk").display().to_string();
    let exported = lumbung(&configs[0], &["export", "s", "--to", &disk]).await;
    assert!(exported.status.success(), "{exported:?}");
    assert!(text(&exported.stdout).contains("written and read back"), "{}", text(&exported.stdout));
    let told = lumbung(&configs[1], &["import", &disk, "--dry-run"]).await;
    let words = text(&told.stdout);
    assert!(told.status.success() && words.contains("would be taken in"), "{words}");
    for fact in ["the seed s", "dists/noble", "2024-06-01", "new"] {
        assert!(words.contains(fact), "{fact}: {words}");
    }
    damage(&world.path("disk/ubuntu/pool/main/e/editor/editor_2_amd64.deb"));
    let imported = lumbung(&configs[1], &["import", &disk]).await;
    assert_eq!(imported.status.code(), Some(1), "{imported:?}");
    assert!(text(&imported.stdout).contains("1 files REFUSED"), "{}", text(&imported.stdout));
    assert_eq!(lumbung(&configs[0], &["export", "s", "--to", &disk]).await.status.code(), Some(0));
    let mended = lumbung(&configs[1], &["import", &disk, "--json"]).await;
    assert!(mended.status.success(), "{mended:?}");
    let facts: Value = serde_json::from_slice(&mended.stdout).expect("JSON");
    assert_eq!((&facts["new_files"], &suite(&facts)["standing"]), (&json!(1), &json!("same")), "{facts:#}");
    let office = &mut processes[1];
    office.start_again().await;
    let desktop = world.desktop_of(&office.url("/ubuntu"));
    desktop.update().await.assert_ok();
    desktop.download(&["desktop"]).await.assert_ok();
}

#[tokio::test]
async fn the_running_server_does_the_work() {
    let world = World::new().await;
    let office = Process::start(&fragment(world.folder.path(), &world.origin.url("/ubuntu"))).await;
    let config = world.path("office.toml");
    let configured = format!(
        "[server]\nadmin = \"{}\"\n[store]\npath = {:?}\n{}",
        office.admin(),
        office.store().display().to_string(),
        fragment(world.folder.path(), &world.origin.url("/ubuntu"))
    );
    std::fs::write(&config, configured).expect("a configuration");
    let disk = world.path("disk").display().to_string();
    let exported = lumbung(&config, &["export", "s", "--to", &disk]).await;
    assert!(exported.status.success(), "{exported:?}");
    let imported = lumbung(&config, &["import", &disk]).await;
    assert!(imported.status.success() && text(&imported.stdout).contains("same"), "{imported:?}");
}
