//! Who takes part, and with which configuration.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The CPU that servers run on.
const CPU: &str = "0";

/// A running server; killed when dropped.
pub struct Contestant {
    pub name: &'static str,
    pub address: SocketAddr,
    /// What stands before each path.
    pub prefix: &'static str,
    /// The process whose CPU time counts, with its children's.
    pub process: u32,
    child: Child,
}

impl Drop for Contestant {
    fn drop(&mut self) {
        // nginx's master ends its workers when told to end, and leaves them when killed.
        if let Some(process) = i32::try_from(self.process).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// nginx serving plain files: what is to be beaten.
pub fn nginx(folder: &Path, root: &Path) -> anyhow::Result<Contestant> {
    let home = folder.join("nginx");
    std::fs::create_dir_all(&home)?;
    let address = free_address()?;
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let home_text = home.display();
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = kinds.map(|kind| format!("    {kind}_temp_path {home_text}/{kind};\n")).concat();
    let configuration = format!(
        "daemon off;\n{user}\nworker_processes 1;\npid {home_text}/nginx.pid;\nerror_log {home_text}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{\n{temporary}\
         \x20   default_type application/octet-stream;\n\
         \x20   access_log {home_text}/access.log combined buffer=64k flush=1s;\n\
         \x20   sendfile on;\n\
         \x20   sendfile_max_chunk 1m;\n\
         \x20   keepalive_requests 1000000;\n\
         \x20   open_file_cache max=10000 inactive=10m;\n\
         \x20   open_file_cache_valid 10m;\n\
         \x20   server {{ listen {address} backlog=1024; root {root}; }}\n\
         }}\n",
        root = root.display(),
    );
    let file = home.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let mut command = pinned("nginx");
    command.arg("-p").arg(&home).arg("-c").arg(&file).stderr(File::create(home.join("stderr.log"))?);
    start("nginx static", address, "", command)
}

/// Lumbung with its defaults, in front of the nginx at `origin`.
pub fn lumbung(folder: &Path, origin: SocketAddr) -> anyhow::Result<Contestant> {
    let home = folder.join("lumbung");
    std::fs::create_dir_all(&home)?;
    let (address, admin) = (free_address()?, free_address()?);
    let configuration = format!(
        "[server]\nlisten = \"{address}\"\nadmin = \"{admin}\"\n\
         [store]\npath = \"{store}\"\nmin_free = \"0 B\"\n\
         [[repo]]\nname = \"debian\"\nkind = \"apt\"\ntrust = \"none\"\nupstreams = [\"http://{origin}\"]\n",
        store = home.join("store").display(),
    );
    let file = home.join("lumbung.toml");
    std::fs::write(&file, configuration)?;
    let mut command = pinned(env!("CARGO_BIN_EXE_lumbung"));
    command.args(["serve", "--config"]).arg(&file).stderr(File::create(home.join("stderr.log"))?);
    start("lumbung", address, "/debian", command)
}

fn start(
    name: &'static str,
    address: SocketAddr,
    prefix: &'static str,
    mut command: Command,
) -> anyhow::Result<Contestant> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let child = command.spawn().with_context(|| format!("{name} (through taskset) could not be started"))?;
    let mut contestant = Contestant { name, address, prefix, process: child.id(), child };
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = contestant.child.try_wait()? {
            anyhow::bail!("{name} ended before it listened: {status}");
        }
        anyhow::ensure!(began.elapsed() < PATIENCE, "{name} does not listen");
        std::thread::yield_now();
    }
    Ok(contestant)
}

/// A command on the servers' CPU; `taskset` becomes the command, so that it keeps its process number.
fn pinned(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CPU, program]);
    command
}

/// An address that is free now. Between now and its use another process could take it, which would be
/// seen at once.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
