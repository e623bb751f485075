//! Who takes part, each with the configuration that a careful administrator would write.

mod caches;
mod lumbung;
mod nginx;

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::bench::Bench;
use crate::client::Order;
use crate::files::Archive;

pub use lumbung::{Settings, program};

/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The CPU that servers run on.
const CPU: &str = "0";

/// The CPU that everything else runs on.
pub const GENERATOR_CPU: &str = "1";

/// Where everybody finds what they serve.
pub struct Site {
    /// For what a run leaves behind; removed at its end.
    pub folder: PathBuf,
    pub archive: Arc<Archive>,
    pub origin: SocketAddr,
}

impl Site {
    /// A site of its own within a run's folder; it has no origin yet.
    pub fn within(bench: &Bench, name: &str, archive: Archive) -> anyhow::Result<Self> {
        let folder = bench.site.folder.join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        let site = Self { folder, archive: Arc::new(archive), origin: bench.site.origin };
        std::fs::write(site.keyring(), &site.archive.keyring)?;
        Ok(site)
    }

    /// Where plain files lie for who serves such.
    pub fn root(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// The public key of the suite, for who checks signatures.
    pub fn keyring(&self) -> PathBuf {
        self.folder.join("keyring.gpg")
    }

    /// A fresh folder below the run's; it goes with the contestant.
    fn home(&self, name: &str) -> anyhow::Result<PathBuf> {
        let home = tempfile::Builder::new().prefix(name).tempdir_in(&self.folder)?.keep();
        std::fs::set_permissions(&home, PermissionsExt::from_mode(0o755))?;
        Ok(home)
    }
}

/// The programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// nginx with plain files: what is to be beaten where nothing is missing.
    Static,
    ProxyCache,
    Varnish,
    AptCacherNg,
    AptCacherRs,
    Lumbung,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Static, Self::ProxyCache, Self::Varnish, Self::AptCacherNg, Self::AptCacherRs, Self::Lumbung];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "nginx static",
            Self::ProxyCache => "nginx proxy_cache",
            Self::Varnish => "varnish",
            Self::AptCacherNg => "apt-cacher-ng",
            Self::AptCacherRs => "apt-cacher-rs",
            Self::Lumbung => "lumbung",
        }
    }

    /// Whether the program is installed.
    pub fn is_here(self) -> bool {
        let program = match self {
            Self::Static | Self::ProxyCache => "nginx",
            Self::Varnish => "varnishd",
            Self::AptCacherNg => "apt-cacher-ng",
            Self::AptCacherRs => "apt-cacher-rs",
            Self::Lumbung => return true,
        };
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders)
            .chain(["/usr/sbin".into()])
            .any(|folder| folder.join(program).exists())
    }

    /// Starts it with an empty cache.
    pub fn start(self, site: &Site) -> anyhow::Result<Contestant> {
        match self {
            Self::Static => nginx::plain(site),
            Self::ProxyCache => nginx::proxy_cache(site),
            Self::Varnish => caches::varnish(site),
            Self::AptCacherNg => caches::apt_cacher_ng(site),
            Self::AptCacherRs => caches::apt_cacher_rs(site),
            Self::Lumbung => lumbung::start(site, &Settings::default()),
        }
    }
}

/// A running server; ended when dropped.
pub struct Contestant {
    pub kind: Kind,
    pub address: SocketAddr,
    /// What stands before each path.
    pub prefix: String,
    /// The process whose CPU time counts, with its children's.
    pub process: u32,
    /// Its files.
    pub home: PathBuf,
    child: Child,
}

impl Drop for Contestant {
    fn drop(&mut self) {
        // nginx's master ends its workers when told to end, and leaves them when killed.
        if let Some(process) = i32::try_from(self.process).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(process, rustix::process::Signal::TERM);
        }
        let began = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) {
            if began.elapsed() > PATIENCE {
                let _ = self.child.kill();
            }
            std::thread::yield_now();
        }
        // The run's folder goes at its end in any case.
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

impl Contestant {
    pub const fn name(&self) -> &'static str {
        self.kind.name()
    }

    /// For clients.
    pub fn order(&self, site: &Site) -> Order {
        Order { address: self.address, prefix: self.prefix.clone(), archive: Arc::clone(&site.archive) }
    }

    /// Starts Lumbung in another setting than the usual one.
    pub fn lumbung(site: &Site, settings: &Settings) -> anyhow::Result<Self> {
        lumbung::start(site, settings)
    }
}

/// A server about to be started.
struct Starting {
    kind: Kind,
    address: SocketAddr,
    prefix: String,
    home: PathBuf,
    command: Command,
}

impl Starting {
    fn run(mut self) -> anyhow::Result<Contestant> {
        let name = self.kind.name();
        let log = File::create(self.home.join("stderr.log"))?;
        self.command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child =
            self.command.spawn().with_context(|| format!("{name} (through taskset) could not be started"))?;
        let Self { kind, address, prefix, home, .. } = self;
        let mut contestant =
            Contestant { kind, address, prefix, process: child.id(), home: home.clone(), child };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            let said = || std::fs::read_to_string(home.join("stderr.log")).unwrap_or_default();
            if let Some(status) = contestant.child.try_wait()? {
                anyhow::bail!("{name} ended before it listened: {status}\n{}", said());
            }
            anyhow::ensure!(began.elapsed() < PATIENCE, "{name} does not listen\n{}", said());
            std::thread::yield_now();
        }
        Ok(contestant)
    }
}

/// A command on the servers' CPU; `taskset` becomes the command, so that it keeps its process number.
fn pinned(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CPU]).arg(program.as_ref());
    command
}

/// An address that is free now. Between now and its use another process could take it, which would be
/// seen at once.
fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The same with a port that fits into fifteen bits: apt-cacher-ng takes no other.
pub fn low_address() -> anyhow::Result<SocketAddr> {
    let mut bound = (20_000..32_768).filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    Ok(bound.next().context("no port below 32768 is free")?.local_addr()?)
}
