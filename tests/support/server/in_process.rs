//! The server as a task of the test.

use std::net::SocketAddr;
use std::path::PathBuf;

use lumbung::app::{App, Reloader, Source};
use lumbung::clock::Clock;
use lumbung::config::Config;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Setting;
use crate::support::PATIENCE;
use crate::support::client::{Response, ask};

/// A server in this process. Dropping it begins a graceful end; [`stop`](Self::stop) waits for it.
pub struct TestServer {
    setting: Setting,
    clock: Clock,
    running: Option<Running>,
}

struct Running {
    address: SocketAddr,
    admin: SocketAddr,
    reloader: Reloader,
    /// Sending, or dropping, tells the server to end.
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), anyhow::Error>>,
}

impl TestServer {
    /// Starts with a piece of configuration and a clock that starts as the system's.
    ///
    /// # Panics
    /// When the configuration is refused or the server cannot start; says why.
    pub async fn start(fragment: &str) -> Self {
        let mut server = Self { setting: Setting::new(fragment), clock: Clock::system(), running: None };
        server.run().await;
        server
    }

    /// Where clients find it: the first of its addresses.
    pub fn address(&self) -> SocketAddr {
        self.running().address
    }

    /// Where the administrator finds it.
    pub fn admin(&self) -> SocketAddr {
        self.running().admin
    }

    /// The URL of a path, which begins with a slash, in mirror form.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The clock by which it judges freshness.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The folder of its store.
    pub fn store(&self) -> PathBuf {
        self.setting.store()
    }

    /// What a changing request to the administrator's address needs.
    pub fn admin_token(&self) -> String {
        super::admin_token(&self.store())
    }

    /// Ends it gracefully and waits until it has.
    ///
    /// # Panics
    /// When it is not running, ends with an error, or does not end.
    pub async fn stop(&mut self) {
        let running = self.running.take().expect("a running server");
        let _ = running.stop.send(());
        let ended = tokio::time::timeout(PATIENCE, running.task).await.expect("an end of the server");
        ended.expect("a server that did not panic").expect("a server that ended well");
    }

    /// Ends it gracefully where it runs, and starts it on the same store, at new ports.
    pub async fn restart(&mut self) {
        if self.running.is_some() {
            self.stop().await;
        }
        self.run().await;
    }

    /// As [`restart`](Self::restart), with another piece of configuration.
    pub async fn restart_with(&mut self, fragment: &str) {
        let store = self.setting.store();
        let folder = std::mem::replace(&mut self.setting, Setting::new(fragment)).folder;
        let section = self.setting.table.get_mut("store").and_then(toml::Value::as_table_mut);
        let path = toml::Value::String(store.display().to_string());
        section.expect("every setting has a store").insert("path".to_owned(), path);
        self.setting.folder = folder;
        self.restart().await;
    }

    /// Writes a file with another piece of configuration, and has it read again: the answer of the
    /// administrators' API.
    pub async fn reload_with(&mut self, fragment: &str) -> Response {
        let token = format!("Bearer {}", self.admin_token());
        self.setting.change(fragment, |_| {});
        let headers = [("Authorization", token.as_str()), ("Content-Length", "0")];
        ask(self.admin(), "POST", "/api/v1/reload", &headers).await
    }

    /// Where clients and administrators find it now, which may be elsewhere than at its start.
    pub fn addresses_now(&self) -> (Vec<SocketAddr>, SocketAddr) {
        let reloader = &self.running().reloader;
        (reloader.addresses().to_vec(), reloader.admin_address())
    }

    /// Asks it there from now on.
    pub fn follow_addresses(&mut self) {
        let (addresses, admin) = self.addresses_now();
        let running = self.running.as_mut().expect("a running server");
        (running.address, running.admin) = (addresses[0], admin);
    }

    async fn run(&mut self) {
        let text = self.setting.text();
        let config = Config::parse(&text, "test.toml").unwrap_or_else(|why| panic!("{why}\n{text}"));
        let app = App::build(config, self.clock.clone()).await;
        let app = app.unwrap_or_else(|why| panic!("{why:?}\n{text}"));
        let source = Source { file: Some(self.setting.file()), ..Source::default() };
        let app = app.reloading_from(source, None);
        let (address, admin) = (app.addresses()[0], app.admin_address());
        let reloader = app.reloader();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(app.run(async {
            // A dropped sender says the same.
            let _ = stopped.await;
        }));
        self.running = Some(Running { address, admin, reloader, stop, task });
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("a running server")
    }
}
