//! Lumbung itself, started by tests: within the test's process ([`TestServer`]), or as the real program
//! ([`Process`]), which can be killed.
//!
//! Both take a piece of configuration and add what every test needs: free loopback ports, a store in a
//! temporary folder that outlives restarts, and no demand for free disk space. What the piece says wins.
//!
//! ```ignore
//! let mut server = TestServer::start(&format!(r#"
//!     [[repo]]
//!     name = "ubuntu"
//!     kind = "apt"
//!     upstreams = ["{}"]
//!     keyring = "{}"
//! "#, origin.url("/ubuntu"), keyring.display())).await;
//! let answer = get(server.address(), "/ubuntu/dists/noble/InRelease", &[]).await;
//! server.clock().advance(Duration::from_secs(3600));
//! server.restart().await;                                  // graceful, the same store
//!
//! let mut process = Process::start(fragment).await;
//! process.kill();                                          // as the power cut does
//! process.start_again().await;
//! ```

mod in_process;
mod process;

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use toml::{Table, Value};

pub use in_process::TestServer;
pub use process::Process;

/// A configuration with the folder of its store.
struct Setting {
    folder: TempDir,
    table: Table,
}

impl Setting {
    /// Completes a piece of configuration.
    ///
    /// # Panics
    /// When the piece is no TOML.
    fn new(fragment: &str) -> Self {
        let folder = TempDir::new().expect("a folder for a store");
        let mut table: Table = fragment.parse().unwrap_or_else(|why| panic!("{why}\n{fragment}"));
        let store = folder.path().join("store").display().to_string();
        for (section, key, value) in [
            ("server", "listen", "127.0.0.1:0"),
            ("server", "admin", "127.0.0.1:0"),
            ("store", "path", &store),
            ("store", "min_free", "0 B"),
        ] {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let section = section.as_table_mut().expect("a section is a table");
            section.entry(key).or_insert_with(|| Value::String(value.to_owned()));
        }
        Self { folder, table }
    }

    /// The whole text.
    fn text(&self) -> String {
        toml::to_string(&self.table).expect("a table that was parsed")
    }

    /// The file that a program started with this reads, and reads again.
    fn file(&self) -> PathBuf {
        self.folder.path().join("lumbung.toml")
    }

    /// Writes that file anew with another piece of configuration, on the same store.
    ///
    /// # Panics
    /// When the piece is no TOML, or the file cannot be written.
    fn change(&mut self, fragment: &str, then: impl FnOnce(&mut Self)) {
        let store = self.store().display().to_string();
        let mut next = Self::new(fragment);
        let section = next.table.get_mut("store").and_then(Value::as_table_mut);
        let section = section.expect("every setting has a store");
        // What the piece says wins; what it does not say stays.
        if !fragment.contains("path =") {
            section.insert("path".to_owned(), Value::String(store));
        }
        self.table = next.table;
        then(self);
        std::fs::write(self.file(), self.text()).expect("a configuration file");
    }

    /// Has the log written as JSON.
    fn log_as_json(&mut self) {
        let log = self.table.entry("log").or_insert_with(|| Value::Table(Table::new()));
        log.as_table_mut().expect("a section is a table").insert("format".to_owned(), "json".into());
    }

    /// Where the store is.
    fn store(&self) -> PathBuf {
        let path = self.table.get("store").and_then(|store| store.get("path")).and_then(Value::as_str);
        path.map_or_else(|| self.folder.path().join("store"), PathBuf::from)
    }
}

/// The token for administrators that the store made at its first start.
///
/// # Panics
/// When the server has not been started.
fn admin_token(store: &Path) -> String {
    let text =
        std::fs::read_to_string(store.join("admin-token")).expect("a store that was opened has a token");
    text.trim().to_owned()
}
