//! Reading the configuration again while the program runs.
//!
//! What can fail comes first: reading the file, certificates, binding addresses. When any of it does, nothing has
//! changed, and the answer and the log say why. Then each part is given its new settings as a whole and goes by
//! them from its next step on; what runs already (a transfer, a response, a plan) goes on as it began. What cannot
//! change in a running program is named, and stays as it was.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::admin_door::{AdminDoor, BoundAdmin};
use crate::cache::{self, Cache, MAX_REPOSITORIES};
use crate::config::{Config, LoadError, Mistakes, Overrides};
use crate::history::History;
use crate::repo::Repositories;
use crate::seed::Planner;
use crate::server::api::{NotReloaded, Reload, Reloaded};
use crate::server::{self, AccessLog, Control, Rebound};
use crate::store::Store;
use crate::telemetry::{Lines, LogControl, Metrics};
use crate::upstream::Client;
use crate::wan::Governor;

/// Where a configuration came from, and is read from again.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The file that was named, if any was.
    pub file: Option<PathBuf>,
    /// What the command line said in its place.
    pub overrides: Overrides,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The program that contains this server gave it its configuration itself.
    #[error("this server was not started from a configuration file")]
    NoSource,
    /// The file cannot be read, or has mistakes.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// What the command line says does not go with it.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] io::Error),
    /// The certificate authorities cannot be used.
    #[error("upstream connections: {0}")]
    Upstream(#[from] crate::upstream::Error),
    /// The catalog.
    #[error("reading the suites: {0}")]
    Store(#[from] crate::store::Error),
    /// The program is ending.
    #[error("the server is shutting down")]
    Stopping,
}

/// Gives the parts of a running program other settings; clones are the same one.
#[derive(Clone)]
pub struct Reloader(Arc<Inner>);

pub(super) struct Inner {
    pub(super) source: std::sync::Mutex<Option<(Source, Option<LogControl>)>>,
    /// What holds. Held while it is changed, so that changes come one after the other.
    pub(super) current: Mutex<Config>,
    pub(super) store: Store,
    pub(super) cache: Cache,
    pub(super) governor: Governor,
    pub(super) metrics: Metrics,
    pub(super) planner: Planner,
    pub(super) control: Control,
    pub(super) admin: Arc<AdminDoor>,
    pub(super) lines: Lines,
    pub(super) history: History,
    /// Those that the pages show.
    pub(super) offices: Arc<ArcSwap<Vec<server::Office>>>,
}

/// What is bound, opened and read before anything changes.
struct Prepared {
    repositories: Arc<Repositories>,
    client: Client,
    rebound: Rebound,
    admin: Option<BoundAdmin>,
}

impl Reloader {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Says where the configuration is read from, and what changes the log.
    pub(super) fn set_source(&self, source: Source, log: Option<LogControl>) {
        *self.0.source.lock().unwrap_or_else(PoisonError::into_inner) = Some((source, log));
    }

    /// Where clients are served now, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.0.control.addresses()
    }

    /// Where administrators are served now.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.0.admin.address()
    }

    /// The same for the administrators' API.
    pub(super) fn for_api(&self) -> Reload {
        let this = self.clone();
        Arc::new(move || {
            let this = this.clone();
            Box::pin(async move { this.reload().await.map_err(|why| NotReloaded(why.to_string())) })
        })
    }

    /// Reads the configuration again and lets it hold. Dropping the future does not stop it.
    ///
    /// # Errors
    /// [`ReloadError`]; nothing has changed then, and the log says so, too.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        let this = self.clone();
        let done = self.0.cache.tasks().spawn(async move {
            let done = this.try_reload().await;
            match &done {
                Ok(Reloaded { config, changed, needs_restart }) => {
                    let changed = if changed.is_empty() { "nothing".to_owned() } else { changed.join(", ") };
                    tracing::info!(%config, %changed, "the configuration was read again");
                    if !needs_restart.is_empty() {
                        let keys = needs_restart.join(", ");
                        tracing::warn!(%config, %keys, "these need a restart, and stay as they were until then");
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the configuration was not read again, and nothing has changed");
                }
            }
            done
        });
        done.await.unwrap_or(Err(ReloadError::Stopping))
    }

    async fn try_reload(&self) -> Result<Reloaded, ReloadError> {
        let source = self.0.source.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (source, log) = source.ok_or(ReloadError::NoSource)?;
        let mut current = self.0.current.lock().await;
        let read = move || -> Result<Config, ReloadError> {
            Ok(Config::load(source.file.as_deref())?.apply(source.overrides)?)
        };
        let mut next = tokio::task::spawn_blocking(read).await.map_err(|_| ReloadError::Stopping)??;
        let mut needs_restart = Vec::new();
        if next.store.path != current.store.path {
            needs_restart.push("store.path".to_owned());
            next.store.path.clone_from(&current.store.path);
        }
        let repositories = Arc::new(self.0.cache.repositories().reconfigured(next.repos.clone()));
        let repositories = if repositories.next_number() > MAX_REPOSITORIES {
            needs_restart.push("repo".to_owned());
            next.repos.clone_from(&current.repos);
            self.0.cache.repositories()
        } else {
            repositories
        };
        let prepared = self.prepare(&mut next, &current, repositories, &mut needs_restart).await?;
        let changed = changes(&current, &next);
        self.follow(&next, prepared).await?;
        if let Some(log) = log {
            // The level was tried when the file was read.
            let _ = log.follow(&next.log);
        }
        let config = next.origin.clone();
        *current = next;
        Ok(Reloaded { config, changed, needs_restart })
    }

    /// All that can fail.
    async fn prepare(
        &self,
        next: &mut Config,
        current: &Config,
        repositories: Arc<Repositories>,
        needs_restart: &mut Vec<String>,
    ) -> Result<Prepared, ReloadError> {
        let inner = &*self.0;
        let same_origins = repositories.origins() == inner.cache.repositories().origins();
        let client = if same_origins && next.upstream == current.upstream {
            inner.cache.client()
        } else {
            // It reads the system's certificates.
            let (config, origins) = (next.upstream.clone(), repositories.origins());
            let governor = inner.governor.clone();
            let made = tokio::task::spawn_blocking(move || Client::new(&config, &origins, &governor)).await;
            made.map_err(|_| ReloadError::Stopping)??
        };
        let rebound = match inner.control.rebind(&next.server.listen).await {
            // The old address has the port until it is closed: an address on all interfaces and one on a single
            // one cannot be listened on at once.
            Err(error) if in_the_way(&error, &current.server.listen, &next.server.listen) => {
                needs_restart.push("server.listen".to_owned());
                next.server.listen.clone_from(&current.server.listen);
                inner.control.rebind(&next.server.listen).await?
            }
            other => other?,
        };
        let admin = match inner.admin.rebind(next.server.admin).await {
            Err(error) if in_the_way(&error, &[current.server.admin], &[next.server.admin]) => {
                needs_restart.push("server.admin".to_owned());
                next.server.admin = current.server.admin;
                None
            }
            other => other?,
        };
        Ok(Prepared { repositories, client, rebound, admin })
    }

    /// Gives everybody the new settings.
    async fn follow(&self, next: &Config, prepared: Prepared) -> Result<(), ReloadError> {
        let inner = &*self.0;
        let Prepared { repositories, client, rebound, admin } = prepared;
        let names: Vec<_> = repositories.list().iter().map(|one| Arc::clone(one.name())).collect();
        let settings = cache::Settings {
            client,
            repositories: Arc::clone(&repositories),
            channels: next.channels.clone(),
            retries: next.upstream.retries,
            patience: next.upstream.patience,
            demand: super::demand_of(next),
            seeds: next.learning.all_names(&next.seeds, &next.repos),
        };
        // First what may still fail.
        let (cache, listed) = (inner.cache.clone(), Arc::clone(&repositories));
        inner.metrics.add(&names);
        let followed = tokio::task::spawn_blocking(move || {
            let keyrings = cache::load_keyrings(listed.list());
            cache.follow(settings, keyrings)
        });
        followed.await.map_err(|_| ReloadError::Stopping)??;
        inner.governor.set(next.wan.clone());
        inner.store.keep_to(&next.store);
        inner.history.configure(super::kept_of(next));
        inner.offices.store(Arc::new(next.offices.clone()));
        inner.planner.set_seeds(next.seeds.clone(), next.learning.clone());
        let access_log = AccessLog { lines: inner.lines.clone(), format: next.log.format };
        let settings = server::Settings {
            config: next.server.clone(),
            channels: next.channels.iter().map(|channel| Arc::clone(&channel.name)).collect(),
            offices: next.offices.clone(),
            repositories,
            access_log: Some(access_log),
        };
        inner.control.follow(&settings, rebound).await;
        if let Some(admin) = admin {
            inner.admin.move_to(admin);
        }
        // As at the start: a channel's time may have come, and what is gone is kept for a while.
        inner.cache.promote_what_has_soaked().await;
        inner.cache.let_go_of_absent().await;
        Ok(())
    }
}

/// Whether an address is taken by one of those that are to be given up for it.
fn in_the_way(error: &io::Error, before: &[SocketAddr], next: &[SocketAddr]) -> bool {
    let gone = before.iter().filter(|address| !next.contains(address));
    let ports: Vec<u16> = gone.map(SocketAddr::port).filter(|port| *port != 0).collect();
    error.kind() == io::ErrorKind::AddrInUse
        && next.iter().any(|address| !before.contains(address) && ports.contains(&address.port()))
}

/// The sections in which two configurations differ.
fn changes(before: &Config, after: &Config) -> Vec<String> {
    let sections = [
        ("server", before.server != after.server),
        ("store", before.store != after.store),
        ("wan", before.wan != after.wan),
        ("upstream", before.upstream != after.upstream),
        ("repo", before.repos != after.repos),
        ("seed", before.seeds != after.seeds),
        ("learned", before.learning != after.learning),
        ("channel", before.channels != after.channels),
        ("office", before.offices != after.offices),
        ("history", before.history != after.history),
        ("log", before.log != after.log),
    ];
    sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}
