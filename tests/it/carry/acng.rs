//! The cache of a real apt-cacher-ng, filled by a real apt.

use std::fs;
use std::process::{Child, Stdio};

use super::*;
use crate::support::nginx::Nginx;

/// A running apt-cacher-ng with a cache of its own; stopped when dropped.
struct Cacher {
    address: SocketAddr,
    child: Child,
}

impl Cacher {
    /// Starts it and waits until it listens. It takes no socket of ours, so the port is one that was free a
    /// moment ago.
    async fn start(folder: &Path) -> Self {
        let address = low_port().local_addr().expect("an address");
        for name in ["cache", "log", "conf"] {
            fs::create_dir_all(folder.join(name)).expect("a folder");
        }
        let support = "/usr/lib/apt-cacher-ng";
        let config = format!(
            "CacheDir: {0}/cache\nLogDir: {0}/log\nSupportDir: {support}\nPort: {1}\nBindAddress: 127.0.0.1\n\
             SocketPath:\nForeGround: 1\nExThreshold: 4\nAllowUserPorts: 0\nPidFile: {0}/pid\nUseWrap: 0\n",
            folder.display(),
            address.port()
        );
        fs::write(folder.join("conf/acng.conf"), config).expect("a configuration");
        let child = Command::new("/usr/sbin/apt-cacher-ng")
            .arg("-c")
            .arg(folder.join("conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("apt-cacher-ng is installed");
        let cacher = Self { address, child };
        let listens = async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, listens).await.expect("apt-cacher-ng listens");
        cacher
    }
}

impl Drop for Cacher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that apt-cacher-ng can use: it takes those from 32768 on for negative numbers, and these are all
/// that the system gives for port 0.
fn low_port() -> TcpListener {
    let first = 20_000 + u16::try_from(std::process::id() % 10_000).expect("a small number");
    let free = (first..first + 2000).find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    free.expect("a free port")
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_of_apt_cacher_ng_moves_in_and_what_is_damaged_stays_out() {
    let world = World::new().await;
    let tree = world.path("www/ubuntu");
    world.first().publish().write_to(&tree);
    let nginx = Nginx::serve_on(low_port(), &world.path("www"));
    let folder = world.path("acng");
    let cacher = Cacher::start(&folder).await;
    let desktop = world
        .desktop_of(&nginx.url("/ubuntu"))
        .option("Acquire::http::Proxy", &format!("http://{}", cacher.address))
        // apt speaks to hosts of the loopback network without a proxy unless it is told so.
        .option("Acquire::http::Proxy::127.0.0.1", &format!("http://{}", cacher.address));
    desktop.update().await.assert_ok();
    desktop.download(&["desktop"]).await.assert_ok();
    drop(cacher);
    let cache = folder.join("cache");
    let all = files(&cache);
    let editor = all.iter().find(|path| path.ends_with("editor_2_amd64.deb"));
    let editor = editor.unwrap_or_else(|| panic!("it kept no editor: {all:#?}")).clone();
    damage(&editor);

    // The office knows the archive by the address that the desktops had.
    let office = TestServer::start(&fragment(world.folder.path(), &nginx.url("/ubuntu"))).await;
    drop(nginx);
    let imported = import(&office, std::slice::from_ref(&cache), false).await;
    assert_eq!(imported["problem"], Value::Null);
    let refused = refused(&imported);
    assert!(
        refused.len() == 1
            && refused[0].0 == editor.display().to_string()
            && refused[0].1.contains("damaged"),
        "{imported:#}"
    );
    assert!(suite(&imported)["generation"].is_number(), "{imported:#}");
    let desktop = world.desktop_of(&office.url("/ubuntu"));
    desktop.update().await.assert_ok();
    desktop.download(&["libc6"]).await.assert_ok();
    assert_ne!(desktop.download(&["editor"]).await.code, 0, "a damaged package was served");
}
