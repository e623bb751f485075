//! Making plans: has what is needed, and assembles it.
//!
//! One plan is made at a time, since each takes some 150 MB for a large release. It is made by a task that
//! belongs to nobody who asks: who asks meanwhile waits for the same one, and who stops waiting can ask again.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};

use super::assemble::{AssemblyError, Index, Material, Shelf, SuiteMaterial, assemble};
use super::config::Config;
use super::gather::{folder, gather};
use super::plan::{Part, Plan, Planned};
use super::select;
use super::universe::Pin;
use crate::cache::{Cache, Failure, archive_root};
use crate::digest::Digest;
use crate::repo::Repository;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::compression::Compression;
use crate::repo::apt::release::{Automatic, Listed, Release};
use crate::repo_path::RepoPath;
use crate::suite::Generation;

/// Indices that are fetched at the same time.
const AT_ONCE: usize = 4;

/// How long what desktops asked for counts as learned, in seconds.
const LEARNED: i64 = 60 * 24 * 3600;

/// The longest selection list that is read, in bytes.
const LONGEST_LIST: u64 = 16 << 20;

/// Most bytes an index may have unpacked whose release file does not say.
const UNPACKED: u64 = 2 << 30;

/// How long a finished plan waits for whoever asked for it.
const KEPT: Duration = Duration::from_mins(5);

/// Makes plans; clones are the same one.
#[derive(Clone)]
pub struct Planner(Arc<Inner>);

struct Inner {
    cache: Cache,
    seeds: Vec<Arc<Config>>,
    rate: Option<u64>,
    turn: Semaphore,
    /// By the seed's name and whether what is missing is fetched. Held for single operations only.
    jobs: Mutex<HashMap<(Arc<str>, bool), Job>>,
}

type Outcome = Option<Result<Arc<Plan>, PlanError>>;

#[derive(Clone)]
struct Job {
    since: Instant,
    outcome: watch::Receiver<Outcome>,
}

/// Why there is no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// No seed of the name is configured.
    #[error("there is no seed {0:?} in the configuration; there are {1}")]
    Unknown(String, String),
    /// Something is not here, and upstream was not to be asked.
    #[error("{0} is not here yet; plan the seed on the command line, or with POST, to have it fetched")]
    NotHere(String),
    /// Something cannot be fetched.
    #[error("{what} cannot be had: {why}")]
    Failed {
        /// The suite or index.
        what: String,
        /// Why.
        why: Failure,
    },
    /// The selection list cannot be read.
    #[error("the selection list {file} cannot be read: {why}")]
    Selections {
        /// Its path.
        file: String,
        /// What the system said.
        why: Arc<str>,
    },
    /// What is here makes no plan.
    #[error("{0}")]
    Assembly(Arc<str>),
    /// The program is ending.
    #[error("the server is shutting down")]
    Stopping,
}

/// A seed as administrators see it in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedFacts {
    /// Its name.
    pub seed: String,
    /// The repository's name.
    pub repo: String,
    /// Its suites, each with the number of its generation where it is here.
    pub suites: Vec<SeedSuite>,
    /// Its components; all when empty.
    pub components: Vec<String>,
    /// Its architectures.
    pub architectures: Vec<String>,
    /// What is wanted, in words.
    pub wanted: String,
    /// When it may use the line.
    pub hours: Option<String>,
    /// Most bytes that it may take.
    pub budget: Option<u64>,
}

/// A suite of a seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedSuite {
    /// As it is configured.
    pub suite: String,
    /// The number of the current generation; null when nobody has asked for it yet.
    pub generation: Option<i64>,
}

impl Planner {
    /// For configured seeds. `rate` is what seeds may use of the line, in bytes a second.
    #[must_use]
    pub fn new(cache: Cache, seeds: Vec<Config>, rate: Option<u64>) -> Self {
        let seeds = seeds.into_iter().map(Arc::new).collect();
        Self(Arc::new(Inner { cache, seeds, rate, turn: Semaphore::new(1), jobs: Mutex::default() }))
    }

    /// Every seed.
    #[must_use]
    pub fn seeds(&self) -> Vec<SeedFacts> {
        self.0.seeds.iter().map(|config| self.facts(config)).collect()
    }

    fn facts(&self, config: &Config) -> SeedFacts {
        let repository = self.0.cache.repository_named(&config.repo);
        let generation = |suite: &String| {
            let folder = folder(suite).ok()?;
            Some(self.0.cache.current_generation(repository?, &folder)?.row.id)
        };
        let suite = |suite: &String| SeedSuite { suite: suite.clone(), generation: generation(suite) };
        SeedFacts {
            seed: config.name.to_string(),
            repo: config.repo.to_string(),
            suites: config.suites.iter().map(suite).collect(),
            components: config.components.clone(),
            architectures: config.architectures.clone(),
            wanted: config.packages.to_string(),
            hours: config.hours.map(|hours| hours.to_string()),
            budget: config.budget,
        }
    }

    /// Makes a plan, or waits for the one that is being made, up to `patience`; `None` when it is not there by
    /// then. With `fetch`, suites and indices that are not here are asked for upstream.
    ///
    /// # Errors
    /// [`PlanError`].
    pub async fn plan(
        &self,
        name: &str,
        fetch: bool,
        patience: Duration,
    ) -> Result<Option<Arc<Plan>>, PlanError> {
        let config = self.0.seeds.iter().find(|config| *config.name == *name);
        let Some(config) = config else {
            let known: Vec<_> = self.0.seeds.iter().map(|config| &*config.name).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(PlanError::Unknown(name.to_owned(), known));
        };
        let key = (Arc::clone(&config.name), fetch);
        let mut outcome = self.join(&key, config);
        let waited = tokio::time::timeout(patience, outcome.wait_for(Option::is_some)).await;
        let ended = match waited {
            Err(_) => return Ok(None),
            Ok(Err(_)) => Err(PlanError::Stopping),
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(PlanError::Stopping)),
        };
        // Delivered: who asks next wants to know how it is then.
        self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        ended.map(Some)
    }

    /// The job that makes this plan, started unless it runs.
    fn join(&self, key: &(Arc<str>, bool), config: &Arc<Config>) -> watch::Receiver<Outcome> {
        let mut jobs = self.0.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, job| job.outcome.borrow().is_none() || job.since.elapsed() < KEPT);
        if let Some(job) = jobs.get(key) {
            return job.outcome.clone();
        }
        let (sender, outcome) = watch::channel(None);
        jobs.insert(key.clone(), Job { since: Instant::now(), outcome: outcome.clone() });
        let (planner, config, fetch) = (self.clone(), Arc::clone(config), key.1);
        let tasks = self.0.cache.tasks().clone();
        self.0.cache.tasks().spawn(async move {
            let made = tokio::select! {
                made = planner.make(config, fetch) => made,
                () = tasks.stopping() => Err(PlanError::Stopping),
            };
            // Nobody may be waiting any more.
            let _ = sender.send(Some(made.map(Arc::new)));
        });
        outcome
    }

    async fn make(&self, config: Arc<Config>, fetch: bool) -> Result<Plan, PlanError> {
        let _turn = self.0.turn.acquire().await.map_err(|_| PlanError::Stopping)?;
        let cache = &self.0.cache;
        let Some(repository) = cache.repository_named(&config.repo).cloned() else {
            return Err(PlanError::NotHere(format!("the repository {}", config.repo)));
        };
        let mut material = Material {
            config: Arc::clone(&config),
            suites: Vec::new(),
            selections: String::new(),
            learned: Vec::new(),
            unresolved: Vec::new(),
            rate: self.0.rate,
        };
        for suite in &config.suites {
            let taken = self.take_suite(&repository, suite, fetch, &mut material).await?;
            material.suites.push(taken);
        }
        let cache = cache.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(file) = &config.packages.selections {
                material.selections = read_list(file)?;
            }
            let assembly = |error: &dyn std::fmt::Display| PlanError::Assembly(error.to_string().into());
            if config.packages.learned {
                let since = cache.unix_now() - LEARNED;
                let asked = cache.asked_for(&repository, since).map_err(|error| assembly(&error))?;
                material.learned = asked.iter().filter_map(|path| select::of_path(path)).collect();
            }
            let store = Shelved { cache: &cache, repository: &repository };
            assemble(&material, &store).map_err(|error: AssemblyError| assembly(&error))
        })
        .await
        .map_err(|_| PlanError::Stopping)?
    }

    /// Has a suite and its indices.
    async fn take_suite(
        &self,
        repository: &Arc<Repository>,
        suite: &str,
        fetch: bool,
        material: &mut Material,
    ) -> Result<SuiteMaterial, PlanError> {
        let cache = &self.0.cache;
        let what = || format!("the suite {suite} of {}", repository.name());
        let folder = folder(suite).map_err(|_| PlanError::NotHere(what()))?;
        let generation = if fetch {
            let obtained = cache.obtain_generation(repository, &folder).await;
            obtained.map_err(|why| PlanError::Failed { what: what(), why })?
        } else {
            let current = cache.current_generation(repository, &folder);
            current.ok_or_else(|| PlanError::NotHere(what()))?
        };
        let gathered = gather(&material.config, suite, &generation.release);
        material.unresolved.extend(gathered.unresolved);
        let source = Source { cache, repository, folder: &folder, release: &generation.release, fetch };
        let packages = source.indices(&gathered.packages).await?;
        let sources = source.indices(&gathered.sources).await?;
        let preferred = gathered.packages.iter().chain(&gathered.sources).filter_map(|forms| forms.first());
        let listed = preferred.chain(&gathered.others).map(|listed| Planned {
            path: folder.child(listed.path.as_str()),
            size: listed.size,
            checksum: listed.checksum(),
            part: Part::Index,
            present: false,
        });
        let mut files = release_files(cache, &folder, &generation).await?;
        files.extend(listed);
        Ok(SuiteMaterial {
            folder: folder.shared(),
            generation: generation.row.id,
            root: archive_root(&folder),
            pin: match generation.release.automatic {
                Automatic::Yes => Pin::Usual,
                Automatic::Upgrades => Pin::ButAutomaticUpgrades,
                Automatic::No => Pin::NotAutomatic,
            },
            packages,
            sources,
            files,
        })
    }
}

/// Where the indices of a suite come from.
struct Source<'a> {
    cache: &'a Cache,
    repository: &'a Arc<Repository>,
    folder: &'a RepoPath,
    release: &'a Release,
    fetch: bool,
}

impl Source<'_> {
    async fn indices(&self, wanted: &[Vec<&Listed>]) -> Result<Vec<Index>, PlanError> {
        let wanted: Vec<_> = wanted.iter().map(|forms| self.index(forms)).collect();
        futures_util::stream::iter(wanted).buffered(AT_ONCE).try_collect().await
    }

    /// One index: in a form that is here, or else in the one that apt prefers.
    async fn index(&self, forms: &[&Listed]) -> Result<Index, PlanError> {
        let Self { cache, repository, folder, release, fetch } = self;
        let what =
            |listed: &Listed| format!("{} of {}", folder.child(listed.path.as_str()), repository.name());
        let failed = |listed: &Listed, why| PlanError::Failed { what: what(listed), why };
        let read = |listed: &Listed, digest| {
            let (compression, stem) = Compression::of(listed.path.as_str());
            let limit = release.find(stem).map_or(UNPACKED, |plain| plain.size);
            Index { digest, compression, limit }
        };
        for listed in forms {
            let found = cache.find_listed(repository, folder, release, listed).await;
            if let Some(digest) = found.map_err(|why| failed(listed, why))? {
                return Ok(read(listed, digest));
            }
        }
        let Some(listed) = forms.first() else { return Err(PlanError::Stopping) };
        if !fetch {
            return Err(PlanError::NotHere(what(listed)));
        }
        let obtained = cache.obtain_listed(repository, folder, release, listed).await;
        Ok(read(listed, obtained.map_err(|why| failed(listed, why))?))
    }
}

/// The files that announce a generation, as far as they are here.
async fn release_files(
    cache: &Cache,
    folder: &RepoPath,
    generation: &Generation,
) -> Result<Vec<Planned>, PlanError> {
    let row = &generation.row;
    let forms = [("InRelease", row.in_release), ("Release", row.release), ("Release.gpg", row.release_gpg)];
    let forms = forms.map(|(name, digest)| digest.map(|digest| (folder.child(name), digest)));
    let cache = cache.clone();
    let sized = tokio::task::spawn_blocking(move || {
        let planned = |(path, digest): (RepoPath, Digest)| {
            let size = cache.object_size(&digest).ok().flatten()?;
            let checksum = Checksum::Sha256(digest);
            Some(Planned { path, size, checksum, part: Part::Release, present: true })
        };
        forms.into_iter().flatten().filter_map(planned).collect()
    });
    sized.await.map_err(|_| PlanError::Stopping)
}

fn read_list(file: &std::path::Path) -> Result<String, PlanError> {
    let unreadable = |why: &dyn std::fmt::Display| PlanError::Selections {
        file: file.display().to_string(),
        why: why.to_string().into(),
    };
    let opened = std::fs::File::open(file).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    opened.take(LONGEST_LIST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > LONGEST_LIST {
        return Err(unreadable(&"it is longer than any list of packages"));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(&error))
}

/// The store, as plans see it.
struct Shelved<'a> {
    cache: &'a Cache,
    repository: &'a Repository,
}

impl Shelf for Shelved<'_> {
    fn read(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.cache.read_object(digest)?))
    }

    fn are_here(&self, checksums: &[Checksum]) -> io::Result<Vec<bool>> {
        let here = self.cache.are_here(self.repository, checksums);
        here.map_err(|error| io::Error::other(error.to_string()))
    }
}
