//! A real nginx that serves a folder on the loopback interface.
//!
//! The listening socket is ours: it is bound to a free port here and inherited by nginx, so no other process
//! can take the port in between, and a client that connects at once is answered as soon as nginx is up.
//!
//! ```ignore
//! let nginx = Nginx::serve(folder);
//! // … nginx.url("/path") …
//! let accesses = nginx.finish();          // a graceful stop: the access log is whole
//! ```

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::decoded_path;

/// A running nginx; stopped when dropped.
pub struct Nginx {
    address: SocketAddr,
    prefix: TempDir,
    child: Child,
}

/// A line of its access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    pub method: String,
    /// As requested: encoded, with its query.
    pub target: String,
    /// The target's path alone, decoded.
    pub path: String,
    pub status: u16,
    /// Bytes of the body that were sent.
    pub body_bytes: u64,
}

impl Nginx {
    /// Serves `folder` as `/`.
    ///
    /// # Panics
    /// When nginx is not installed or the configuration cannot be written.
    pub fn serve(folder: &Path) -> Self {
        Self::serve_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port"), folder)
    }

    /// As [`serve`](Self::serve), on a socket that was bound for it.
    ///
    /// # Panics
    /// As [`serve`](Self::serve).
    pub fn serve_on(listener: TcpListener, folder: &Path) -> Self {
        let prefix = TempDir::new().expect("a folder for nginx");
        let address = listener.local_addr().expect("the address of a bound socket");
        let file = prefix.path().join("nginx.conf");
        std::fs::write(&file, configuration(prefix.path(), folder, address)).expect("nginx.conf");
        let child = Command::new("/usr/sbin/nginx")
            .arg("-p")
            .arg(prefix.path())
            .arg("-c")
            .arg(&file)
            .arg("-e")
            .arg(prefix.path().join("error.log"))
            // Names the descriptors that nginx is to listen on: the socket is its standard input.
            .env("NGINX", "0;")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed as /usr/sbin/nginx");
        Self { address, prefix, child }
    }

    /// The URL of a path, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What it has logged so far: requests are logged after their last byte was sent, so the newest may be
    /// missing. [`finish`](Self::finish) misses none.
    pub fn accesses(&self) -> Vec<Access> {
        match std::fs::read_to_string(self.prefix.path().join("access.log")) {
            Ok(text) => text.lines().map(parse).collect(),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(why) => panic!("the access log: {why}"),
        }
    }

    /// Stops it when its open requests are answered, and returns the whole log.
    pub fn finish(mut self) -> Vec<Access> {
        self.signal(Signal::QUIT);
        self.child.wait().expect("nginx is our child");
        self.accesses()
    }

    fn signal(&mut self, signal: Signal) {
        // A child that was waited for has no id that is still its own.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let _ = self.child.wait();
    }
}

fn configuration(prefix: &Path, folder: &Path, address: SocketAddr) -> String {
    // Workers drop their privileges when started by root, and could not enter a private temporary folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("    {kind}_temp_path {}/{kind};\n", prefix.display()))
        .collect();
    format!(
        "daemon off;\n{user}\nworker_processes 1;\npid {prefix}/nginx.pid;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
             log_format tests '$request_method $request_uri $status $body_bytes_sent';\n\
             access_log {prefix}/access.log tests;\n{scratch}\
             sendfile on;\n\
             types {{ }}\n\
             default_type application/octet-stream;\n\
             server {{ listen {address}; root {folder}; }}\n\
         }}\n",
        prefix = prefix.display(),
        folder = folder.display(),
    )
}

fn parse(line: &str) -> Access {
    let fields: Vec<&str> = line.split(' ').collect();
    let [method, target, status, bytes] = fields[..] else { panic!("not an access log line: {line}") };
    Access {
        method: method.to_owned(),
        target: target.to_owned(),
        path: decoded_path(target),
        status: status.parse().expect("a status"),
        body_bytes: bytes.parse().expect("a count of bytes"),
    }
}
