//! The composition root: build everything, then run it.
//!
//! Building may fail (a port is taken, the store is locked); running may not. Nothing runs before every
//! socket is bound and the store is open, and everything a part needs is handed to it here. The whole
//! program can be started several times in one process, which is how the tests use it.

mod admin_door;
mod reload;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use self::admin_door::{AdminDoor, BoundAdmin};
pub use self::reload::{ReloadError, Reloader, Source};

use crate::cache::{self, Cache, FlightStatus};
use crate::clock::Clock;
use crate::config::Config;
use crate::dashboard::{self, Dashboard};
use crate::history::{self, History};
use crate::repo::Repositories;
use crate::seed::{Planner, Runner};
use crate::server::{self, AccessLog, Control, Explainer, Server, admin, api, report};
use crate::status::{self, Status};
use crate::store::Store;
use crate::tasks::Tasks;
use crate::telemetry::{Lines, LogControl, Metrics};
use crate::units::BitRate;
use crate::upstream::{Client, MirrorStatus};
use crate::wan::{Change, Governor, Usage};

/// How long flights and other background work may take to notice a shutdown.
const TASK_GRACE: Duration = Duration::from_secs(5);

/// How long the access log's reader may take for the last lines.
const LOG_GRACE: Duration = Duration::from_secs(2);

/// Pause between start-up and the first search for files that nothing refers to, so that it does not
/// compete with the morning's first desktops.
const SWEEP_AFTER: Duration = Duration::from_mins(10);

/// Pause between two such searches.
const SWEEP_EVERY: Duration = Duration::from_hours(24);

/// A server that is ready to run.
pub struct App {
    server: Server,
    admin: BoundAdmin,
    admin_door: Arc<AdminDoor>,
    reloader: Reloader,
    state: admin::AdminState,
    api: api::ApiState,
    report: report::ReportState,
    dashboard: Dashboard,
    store: Store,
    tasks: Tasks,
    /// The access log.
    lines: Lines,
}

impl App {
    /// Opens the store, binds the sockets and connects the parts.
    ///
    /// # Errors
    /// Says what could not be opened or bound, and what to do about it.
    pub async fn build(config: Config, clock: Clock) -> anyhow::Result<Self> {
        raise_file_limit();
        let started = (Instant::now(), clock.unix());
        let (store_config, store_clock) = (config.store.clone(), clock.clone());
        let store = tokio::task::spawn_blocking(move || Store::open(&store_config, store_clock)).await??;
        let built = Self::connect(config, clock, store.clone(), started).await;
        if built.is_err() {
            // The next start must not find the store locked by a program that gave up.
            let _ = tokio::task::spawn_blocking(move || store.close()).await;
        }
        built
    }

    async fn connect(
        config: Config,
        clock: Clock,
        store: Store,
        started: (Instant, i64),
    ) -> anyhow::Result<Self> {
        let Engine { repositories, metrics, tasks, governor, cache } =
            Engine::new(&config, &clock, &store).await?;
        // Before anybody is served: what its time came for while the program was off is there at once.
        cache.promote_what_has_soaked().await;
        cache.let_go_of_absent().await;
        tasks.spawn(cache.clone().tend_suites());
        tasks.spawn(cache.clone().tend_demand());
        let history = open_history(&config, &clock, &metrics).await?;
        let report = report::ReportState { history: history.clone() };
        let admin_config = config.server.admin;
        let offices = Arc::new(ArcSwap::from_pointee(config.offices.clone()));
        let (pages_cache, pages_clock) = (cache.clone(), clock.clone());
        let lines = Lines::start(std::io::stderr()).context("the access log's thread")?;
        let access_log = AccessLog { lines: lines.clone(), format: config.log.format };
        let token = store.admin_token().to_owned();
        let parts = server::Parts {
            cache: cache.clone(),
            metrics: metrics.clone(),
            clock,
            tasks: tasks.clone(),
            governor: governor.clone(),
            history: Some(history.clone()),
        };
        let settings = server::Settings {
            config: config.server.clone(),
            access_log: Some(access_log),
            channels: config.channels.iter().map(|channel| Arc::clone(&channel.name)).collect(),
            offices: config.offices.clone(),
            repositories,
        };
        let server = Server::bind(parts, settings).await?;
        let admin =
            BoundAdmin::bind(admin_config).await.map_err(|error| anyhow::anyhow!(error.to_string()))?;
        let admin_door = Arc::new(AdminDoor::new(tasks.clone(), &admin));
        let (planner, runner) = seeding(&cache, &config, &governor).await?;
        tasks.spawn(runner.clone().tend());
        let facts = Facts {
            started,
            config: config.origin.clone(),
            control: server.control(),
            admin: Arc::clone(&admin_door),
            store_path: config.store.path.clone(),
            store: store.clone(),
            cache: cache.clone(),
            metrics: metrics.clone(),
            governor: governor.clone(),
            runner: runner.clone(),
        };
        let reloader = Reloader::new(reload::Inner {
            source: std::sync::Mutex::default(),
            current: tokio::sync::Mutex::new(config),
            store: store.clone(),
            cache: cache.clone(),
            governor,
            metrics: metrics.clone(),
            planner: planner.clone(),
            control: server.control(),
            admin: Arc::clone(&admin_door),
            lines: lines.clone(),
            history: history.clone(),
            offices: Arc::clone(&offices),
        });
        let api =
            api::ApiState::new(cache, server.explainer(), (planner, runner), reloader.for_api(), &token);
        let status: admin::StatusSource = Arc::new(move || facts.status());
        let dashboard = Dashboard::new(dashboard::Parts {
            status: Arc::clone(&status),
            cache: pages_cache,
            history,
            offices,
            clock: pages_clock,
            guard: api.guard(),
        });
        let state = admin::AdminState { status, metrics, ready: Arc::default() };
        Ok(Self { server, admin, admin_door, reloader, state, api, report, dashboard, store, tasks, lines })
    }

    /// Where clients are served, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.server.addresses()
    }

    /// Lets the configuration be read again from `source` while it runs; `log` is what changes the process's
    /// log, where this server is who logs.
    #[must_use]
    pub fn reloading_from(self, source: Source, log: Option<LogControl>) -> Self {
        self.reloader.set_source(source, log);
        self
    }

    /// What reads the configuration again.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Where administrators are served.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_door.address()
    }

    /// Serves until `shutdown` resolves, then ends with grace: responses in progress finish up to the
    /// configured time, partial downloads are kept, and the store is closed.
    ///
    /// # Errors
    /// A part ended that should not have.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { server, admin, admin_door, reloader, state, api, report, dashboard, store, tasks, lines } =
            self;
        let history = report.history.clone();
        let stop = CancellationToken::new();
        let further = api::router(api).merge(report::router(report)).merge(dashboard.router());
        let router = admin::with(state.clone(), further);
        tasks.spawn(sweep(store.clone(), tasks.clone()));
        state.ready.store(true, Ordering::Release);
        // Whoever reads this may ask: the sockets are bound, and readiness is told.
        for address in server.addresses().iter() {
            tracing::info!(%address, "listening");
        }
        admin_door.open(admin, router);
        let serving = server.run(stop.clone());
        tokio::pin!(serving);
        let cut = tokio::select! {
            cut = &mut serving => cut,
            () = shutdown => {
                tracing::info!("shutting down: no new connections, responses in progress may end");
                state.ready.store(false, Ordering::Release);
                stop.cancel();
                serving.await
            }
        };
        if cut > 0 {
            tracing::warn!(connections = cut, "cut at the end of the grace time");
        }
        drop((reloader, admin_door));
        let left = tasks.shutdown(TASK_GRACE).await;
        if left > 0 {
            tracing::warn!(tasks = left, "did not end in time");
        }
        let closing = tokio::task::spawn_blocking(move || {
            history.close();
            store.close();
            lines.finish(LOG_GRACE);
        });
        closing.await.context("closing the store")?;
        tracing::info!("ended");
        Ok(())
    }
}

/// Opens the history beside the catalog.
async fn open_history(config: &Config, clock: &Clock, metrics: &Metrics) -> anyhow::Result<History> {
    let kept = kept_of(config);
    let (folder, clock, metrics) = (config.store.path.clone(), clock.clone(), metrics.clone());
    let fetched = Box::new(move || metrics.fetched());
    let opened = tokio::task::spawn_blocking(move || History::open(&folder, kept, clock, fetched)).await?;
    opened.context("the history")
}

/// What works on the store.
struct Engine {
    repositories: Arc<Repositories>,
    metrics: Metrics,
    tasks: Tasks,
    governor: Governor,
    cache: Cache,
}

impl Engine {
    async fn new(config: &Config, clock: &Clock, store: &Store) -> anyhow::Result<Self> {
        let repositories = Arc::new(Repositories::new(config.repos.clone()));
        let names: Vec<_> =
            repositories.list().iter().map(|repository| Arc::clone(repository.name())).collect();
        let metrics = Metrics::new(&names);
        let tasks = Tasks::new();
        let governor = Governor::new(config.wan.clone(), clock.clone());
        let governing = (governor.clone().run(), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = governing.0 => {}
                () = governing.1.stopping() => {}
            }
        });
        let client = Client::new(&config.upstream, &repositories.origins(), &governor)
            .context("upstream connections")?;
        let listed = Arc::clone(&repositories);
        let keyrings = tokio::task::spawn_blocking(move || cache::load_keyrings(listed.list())).await?;
        let parts = cache::Parts {
            store: store.clone(),
            metrics: metrics.clone(),
            clock: clock.clone(),
            tasks: tasks.clone(),
        };
        let settings = cache::Settings {
            client,
            repositories: Arc::clone(&repositories),
            channels: config.channels.clone(),
            seeds: config.learning.all_names(&config.seeds, &config.repos),
            retries: config.upstream.retries,
            patience: config.upstream.patience,
            demand: demand_of(config),
        };
        let cache = Cache::new(parts, settings, keyrings);
        let restored = cache.clone();
        tokio::task::spawn_blocking(move || restored.restore()).await?.context("reading the suites")?;
        Ok(Self { repositories, metrics, tasks, governor, cache })
    }
}

/// What the history keeps of whom.
fn kept_of(config: &Config) -> history::Config {
    history::Config {
        clients: config.history.client_addresses,
        offices: config.offices.iter().flat_map(office_networks).collect(),
        zone: config.wan.zone.clone(),
    }
}

/// How what desktops ask for is remembered.
fn demand_of(config: &Config) -> cache::DemandConfig {
    cache::DemandConfig {
        addresses: config.history.client_addresses,
        offices: config.offices.iter().flat_map(office_networks).collect(),
    }
}

/// The networks of an office, each with its name.
fn office_networks(office: &server::Office) -> impl Iterator<Item = (ipnet::IpNet, Arc<str>)> {
    office.networks.iter().map(|network| (*network, Arc::clone(&office.name)))
}

/// The store without a server, for commands that find none running.
pub struct Offline {
    engine: Engine,
    explainer: Explainer,
    planner: Planner,
    runner: Runner,
    store: Store,
}

impl Offline {
    /// Opens the store.
    ///
    /// # Errors
    /// Says what could not be opened: a running program may have the store.
    pub async fn open(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let (store_config, store_clock) = (config.store.clone(), clock.clone());
        let store = tokio::task::spawn_blocking(move || Store::open(&store_config, store_clock)).await??;
        let engine = Engine::new(&config, &clock, &store).await?;
        let explainer = Explainer::of(
            Arc::clone(&engine.repositories),
            &config.server,
            config.channels.iter().map(|channel| Arc::clone(&channel.name)).collect(),
            &config.offices,
            engine.cache.clone(),
        );
        let (planner, runner) = seeding(&engine.cache, &config, &engine.governor).await?;
        Ok(Self { engine, explainer, planner, runner, store })
    }

    /// What is kept.
    #[must_use]
    pub const fn cache(&self) -> &Cache {
        &self.engine.cache
    }

    /// What explains answers.
    #[must_use]
    pub const fn explainer(&self) -> &Explainer {
        &self.explainer
    }

    /// What plans seeds.
    #[must_use]
    pub const fn planner(&self) -> &Planner {
        &self.planner
    }

    /// What runs seeds.
    #[must_use]
    pub const fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Ends what is under way and closes the store.
    pub async fn close(self) {
        let Self { engine, explainer, planner, runner, store } = self;
        engine.tasks.shutdown(TASK_GRACE).await;
        drop((engine, explainer, planner, runner));
        let _ = tokio::task::spawn_blocking(move || store.close()).await;
    }
}

/// What plans seeds, and what runs them.
async fn seeding(cache: &Cache, config: &Config, governor: &Governor) -> anyhow::Result<(Planner, Runner)> {
    let (seeds, learning) = (config.seeds.clone(), config.learning.clone());
    let planner = Planner::new(cache.clone(), seeds, learning, governor.clone());
    planner.learn().await;
    let (cache, plans, governor) = (cache.clone(), planner.clone(), governor.clone());
    let runner = tokio::task::spawn_blocking(move || Runner::new(cache, plans, governor)).await?;
    Ok((planner, runner.context("reading the journals of seeds")?))
}

/// Looks for files that the catalog does not know, now and then.
async fn sweep(store: Store, tasks: Tasks) {
    let mut pause = SWEEP_AFTER;
    loop {
        tokio::select! {
            () = tasks.stopping() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let store = store.clone();
        if tokio::task::spawn_blocking(move || store.sweep()).await.is_err() {
            return;
        }
        pause = SWEEP_EVERY;
    }
}

/// Connections and open objects each cost a file descriptor; the default limit of 1,024 is for
/// programs that use `select`. Raising it to what the system allows needs no privilege.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// Where a status comes from.
struct Facts {
    started: (Instant, i64),
    config: String,
    control: Control,
    admin: Arc<AdminDoor>,
    store_path: std::path::PathBuf,
    store: Store,
    cache: Cache,
    metrics: Metrics,
    governor: Governor,
    runner: Runner,
}

impl Facts {
    fn status(&self) -> Status {
        let now = Instant::now();
        let usage = self.store.usage();
        let repos: Vec<_> = self
            .cache
            .repositories()
            .list()
            .iter()
            .map(|repository| status::Repo {
                name: repository.name().to_string(),
                kind: repository.config.kind.as_str().to_owned(),
                trust: repository.config.trust.as_str().to_owned(),
                legacy_sha1: repository.config.legacy_sha1,
                upstreams: self
                    .cache
                    .mirrors(repository.index)
                    .status(now)
                    .into_iter()
                    .map(upstream_status)
                    .collect(),
                traffic: self.metrics.traffic(repository.name()),
            })
            .collect();
        let totals =
            repos.iter().map(|repo| repo.traffic).chain([self.metrics.traffic_elsewhere()]).collect();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started.1,
            uptime_seconds: self.started.0.elapsed().as_secs(),
            config: self.config.clone(),
            listen: self.control.addresses().to_vec(),
            admin: self.admin.address(),
            connections: self.metrics.connections(),
            flights: self.cache.flights().into_iter().map(flight_status).collect(),
            store: status::Store {
                path: self.store_path.clone(),
                bytes: usage.bytes,
                objects: usage.objects,
                limit: usage.limit,
                free: usage.free,
                min_free: usage.min_free,
                evicted_bytes: usage.evicted_bytes,
                full: usage.full,
                held_bytes: usage.held_bytes,
                held_by: self.cache.pinning_channels(),
            },
            wan: wan_status(self.governor.usage()),
            repos,
            suites: self.cache.suites(),
            seeds: self.runner.seeds(),
            channels_wait_for: self.cache.channels_wait_for(),
            totals,
        }
    }
}

fn wan_status(usage: Usage) -> status::Wan {
    let bytes = |limit: Option<BitRate>| limit.map(BitRate::bytes);
    let change = |change: Change| status::WanChange { at: change.at.as_second(), limit: bytes(change.limit) };
    let [client, refresh, seed] = usage.waiting.map(|count| count as u64);
    status::Wan {
        limit: bytes(usage.limit),
        rate: usage.rate.bytes(),
        waiting: status::WanWaiting { client, refresh, seed },
        change: usage.change.map(change),
    }
}

fn upstream_status(mirror: MirrorStatus) -> status::Upstream {
    let MirrorStatus { url, healthy, failures, last_error, resting_seconds } = mirror;
    let resting_seconds = (!healthy).then_some(resting_seconds);
    status::Upstream { url, healthy, failures, last_error, resting_seconds }
}

fn flight_status(flight: FlightStatus) -> status::Flight {
    let FlightStatus { repo, path, received, total, readers, seconds, .. } = flight;
    status::Flight { repo, path, received, total, readers, seconds }
}
