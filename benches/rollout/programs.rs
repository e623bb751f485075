//! The programs of a rollout: the archive's web server, and Lumbung.

use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde::Deserialize;

use super::desktops::Wanted;

/// How long a program may take to answer.
const START: Duration = Duration::from_secs(20);

/// A child that goes when it is dropped.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An address that nobody listens on just now.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn answers(url: &str) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let begun = Instant::now();
    while client.get(url).send().await.is_err() {
        anyhow::ensure!(begun.elapsed() < START, "nobody answers at {url}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// nginx with the archive's files below `/archive/`.
pub struct Archive {
    address: SocketAddr,
    log: PathBuf,
    _nginx: Owned,
}

impl Archive {
    pub async fn serve(scratch: &Path, files: &Path) -> anyhow::Result<Self> {
        let home = scratch.join("archive");
        fs::create_dir_all(&home)?;
        let (address, log) = (free_address()?, home.join("access.log"));
        let config = format!(
            "daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ log_format asked '$request_uri $status $body_bytes_sent'; access_log {log} asked;\n\
             client_body_temp_path {home}/a; proxy_temp_path {home}/b; fastcgi_temp_path {home}/c;\n\
             uwsgi_temp_path {home}/d; scgi_temp_path {home}/e; sendfile on; keepalive_requests 100000;\n\
             server {{ listen {address}; location /archive/ {{ alias {files}/; }} }} }}\n",
            home = home.display(),
            log = log.display(),
            files = files.canonicalize()?.display(),
        );
        let file = home.join("nginx.conf");
        fs::write(&file, config)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&file).arg("-p").arg(&home).args(["-g", "user root;"]);
        let nginx = Owned(command.stderr(Stdio::null()).spawn().context("nginx is needed")?);
        answers(&format!("http://{address}/")).await?;
        Ok(Self { address, log, _nginx: nginx })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it was asked for: path, status and bytes of each answer.
    pub fn requests(&self) -> anyhow::Result<Vec<String>> {
        Ok(fs::read_to_string(&self.log)?.lines().map(str::to_owned).collect())
    }
}

/// What is rolled out.
pub struct Seed {
    pub keyring: PathBuf,
    pub suite: String,
    pub components: Vec<String>,
    pub packages: Vec<String>,
    pub recommends: bool,
}

/// A running server with a store of its own.
pub struct Lumbung {
    address: SocketAddr,
    admin: SocketAddr,
    config: PathBuf,
    server: Owned,
}

#[derive(Deserialize)]
struct Plan {
    files: Vec<Wanted>,
}

impl Lumbung {
    /// Starts one on an empty store; the archive is found at `upstream`.
    pub async fn start(
        scratch: &Path,
        name: &str,
        upstream: SocketAddr,
        seed: &Seed,
    ) -> anyhow::Result<Self> {
        let home = scratch.join(name);
        fs::create_dir_all(&home)?;
        let (address, admin) = (free_address()?, free_address()?);
        let mut text = format!(
            "[server]\nlisten = \"{address}\"\nadmin = \"{admin}\"\naccess_log = false\n\
             [store]\npath = \"{}\"\nmin_free = \"0 B\"\n\
             [[repo]]\nname = \"archive\"\nkind = \"apt\"\nupstreams = [\"http://{upstream}/archive\"]\n\
             keyring = \"{}\"\n",
            home.join("store").display(),
            seed.keyring.canonicalize()?.display()
        );
        write!(
            text,
            "[[seed]]\nname = \"rollout\"\nrepo = \"archive\"\nsuites = [{:?}]\ncomponents = {:?}\narchitectures = [\"amd64\"]\n\
             packages = {:?}\nrecommends = {}\n",
            seed.suite, seed.components, seed.packages, seed.recommends
        )?;
        let config = home.join("lumbung.toml");
        fs::write(&config, text)?;
        let log = fs::File::create(home.join("log"))?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumbung"));
        command.arg("serve").arg("--config").arg(&config).stderr(log);
        let server = Owned(command.spawn()?);
        answers(&format!("http://{admin}/readyz")).await?;
        Ok(Self { address, admin, config, server })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What belongs to the seed.
    pub fn plan(&self) -> anyhow::Result<Vec<Wanted>> {
        let output = self.command(&["seed", "plan", "rollout", "--json"]).output()?;
        // It ends with 1 when something cannot be resolved, and plans the rest.
        let plan: Plan = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        Ok(plan.files)
    }

    /// Fetches the seed, and says what of it could not be had.
    pub fn seed(&self) -> anyhow::Result<()> {
        let output = self.command(&["seed", "run", "rollout", "--wait"]).output()?;
        if !output.status.success() {
            println!("  not all of it could be had: {}", String::from_utf8_lossy(&output.stderr).trim_end());
        }
        Ok(())
    }

    /// What it has fetched, without heads, as it counts itself.
    pub async fn upstream_bytes(&self) -> anyhow::Result<u64> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let status = client.get(format!("http://{}/api/v1/status", self.admin)).send().await?.bytes().await?;
        let status: serde_json::Value = serde_json::from_slice(&status)?;
        status["totals"]["fetched"].as_u64().context("a status without a count")
    }

    pub fn stop(self) -> anyhow::Result<()> {
        let id = rustix::process::Pid::from_child(&self.server.0);
        rustix::process::kill_process(id, rustix::process::Signal::TERM)?;
        let mut server = self.server;
        server.0.wait()?;
        Ok(())
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lumbung"));
        command.args(words).arg("--config").arg(&self.config);
        command
    }
}
