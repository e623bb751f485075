//! The server as the real program.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::watch;

use super::Setting;
use crate::support::PATIENCE;

/// A process of the program; killed when dropped.
pub struct Process {
    setting: Setting,
    /// A program and arguments that run it, in place of nothing.
    wrapper: Vec<String>,
    running: Running,
}

struct Running {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    log: watch::Receiver<Vec<String>>,
}

impl Process {
    /// Runs `lumbung serve` with a piece of configuration, and waits until it listens.
    ///
    /// # Panics
    /// When it ends before that, with all it said.
    pub async fn start(fragment: &str) -> Self {
        Self::start_under(&[], fragment).await
    }

    /// As [`start`](Self::start), run by another program, such as `nsenter`, which is given the command
    /// line as its last arguments. It must become the program (`exec`), so that its id is the program's.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn start_under(wrapper: &[String], fragment: &str) -> Self {
        let mut setting = Setting::new(fragment);
        // Log lines as JSON tell their fields apart without guessing.
        setting.log_as_json();
        let wrapper = wrapper.to_vec();
        let running = Running::start(&wrapper, &setting).await;
        Self { setting, wrapper, running }
    }

    /// Where clients find it: the first address that it logged.
    pub fn address(&self) -> SocketAddr {
        self.running.address
    }

    /// Where the administrator finds it.
    pub fn admin(&self) -> SocketAddr {
        self.running.admin
    }

    /// The URL of a path, which begins with a slash, in mirror form.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    /// The folder of its store.
    pub fn store(&self) -> PathBuf {
        self.setting.store()
    }

    /// What a changing request to the administrator's address needs.
    pub fn admin_token(&self) -> String {
        super::admin_token(&self.store())
    }

    /// The lines it has logged since its last start.
    pub fn log(&self) -> Vec<String> {
        self.running.log.borrow().clone()
    }

    /// The first event of its log, since its last start, that `wanted` picks; waits until it comes.
    ///
    /// # Panics
    /// When it does not come within [`PATIENCE`], or before the program's end; shows what came.
    pub async fn event(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let find = |log: &Vec<String>| {
            log.iter().filter_map(|line| serde_json::from_str(line).ok()).find(|event| wanted(event))
        };
        let mut log = self.running.log.clone();
        let came = log.wait_for(|log| find(log).is_some());
        let event = tokio::time::timeout(PATIENCE, came).await.ok().and_then(Result::ok);
        let event = event.and_then(|log| find(&log));
        event.unwrap_or_else(|| panic!("waited in vain for {what}:\n{}", self.log().join("\n")))
    }

    /// The process's id.
    pub fn id(&self) -> u32 {
        self.running.child.id()
    }

    /// Ends it at once, as `kill -9` does, and waits until it is gone.
    pub fn kill(&mut self) {
        self.running.kill();
    }

    /// Sends a signal: `TERM` to end it gracefully, `HUP` to make it read its configuration.
    ///
    /// # Panics
    /// When it is gone.
    pub fn signal(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.running.child), signal).expect("a running process");
    }

    /// Writes its configuration file anew with another piece, which it reads when told to.
    pub fn write_config(&mut self, fragment: &str) {
        self.setting.change(fragment, |setting| {
            if !fragment.contains("[log]") {
                setting.log_as_json();
            }
        });
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.setting.file()
    }

    /// Waits for its end without blocking the runtime.
    ///
    /// # Panics
    /// When it does not end within [`PATIENCE`].
    pub async fn ended(&mut self) -> ExitStatus {
        // Its id is ours until it is waited for, which is what the blocking wait below does, once.
        let (gone, waited) = tokio::sync::oneshot::channel();
        let id = Pid::from_child(&self.running.child);
        std::thread::spawn(move || {
            let options = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
            let _ = rustix::process::waitid(rustix::process::WaitId::Pid(id), options);
            let _ = gone.send(());
        });
        let _ = tokio::time::timeout(PATIENCE, waited).await.expect("an end of the process");
        self.running.child.wait().expect("a child of ours")
    }

    /// Runs the program again on the same store, at new ports. What still runs is killed.
    pub async fn start_again(&mut self) {
        self.running.kill();
        self.running = Running::start(&self.wrapper, &self.setting).await;
    }
}

impl Running {
    async fn start(wrapper: &[String], setting: &Setting) -> Self {
        let file = setting.file();
        fs::write(&file, setting.text()).expect("a configuration file");
        let words = wrapper.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_lumbung")]);
        let mut words = words.collect::<Vec<_>>().into_iter();
        let mut child = Command::new(words.next().expect("at least the program"))
            .args(words)
            .args(["serve", "--config"])
            .arg(&file)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut log = follow(child.stderr.take().expect("a pipe"));
        let found = tokio::time::timeout(PATIENCE, log.wait_for(|log| addresses(log).is_some()));
        let listens = found.await.expect("lines of log").ok().and_then(|log| addresses(&log));
        let Some((address, admin)) = listens else {
            let _ = child.kill();
            let said = log.borrow().join("\n");
            panic!("the program ended before it listened: {:?}\n{said}", child.wait());
        };
        Self { child, address, admin, log }
    }

    fn kill(&mut self) {
        // Fails only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keeps every line. The pipe is read to its end whether somebody looks or not: a process that logs to a
/// full pipe stands still.
fn follow(stderr: ChildStderr) -> watch::Receiver<Vec<String>> {
    let (sender, receiver) = watch::channel(Vec::new());
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            sender.send_modify(|log| log.push(line));
        }
    });
    receiver
}

/// Where it listens for clients and for administrators, once it has logged both.
fn addresses(log: &[String]) -> Option<(SocketAddr, SocketAddr)> {
    let after = |message: &str| {
        let events = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut events = events.filter(|event| event.get("message").is_some_and(|text| text == message));
        events.next()?.get("address")?.as_str()?.parse().ok()
    };
    Some((after("listening")?, after("listening for administrators")?))
}
