//! Would the desktops seen here find every file of an upgrade to another release?
//!
//! For each repository whose suites of the one release desktops use: their package sets, as far as requests showed
//! them; the suites of the other release; and for each different set what apt would take of those, with the indices
//! that desktops fetch first. What is missing is counted for each set and listed once.
//!
//! A release is all suites of its [family]. Of the new one those count that seeds are configured for,
//! those that are here, and those that stand to it as the used ones stand to the old; of the latter, one that the
//! archive does not publish is passed over, unless it has none at all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::assemble::{AssemblyError, Material, Shelf, for_all_machines, read_universe};
use super::closure::{Unresolved, Wish};
use super::config::{Config, Packages};
use super::family;
use super::obtain::{Shelved, take_suite};
use super::offers::Offers;
use super::plan::{Part, PlannedFile, PlannedSuite, UnresolvedFacts};
use super::planner::{PlanError, Planner};
use crate::cache::{Cache, Failure};
use crate::repo::apt::checksum::Checksum;
use crate::repo::{Kind, Repository, Trust};
use crate::repo_path::RepoPath;
use crate::store::Uses;

/// Most different package sets that are looked at one by one; the rarest beyond are taken together.
const MOST_SETS: usize = 64;

/// Most missing files, and packages without a successor, that are listed.
const MOST_LISTED: usize = 5000;

/// How long an index that a desktop fetched counts as used, in seconds.
const USED: i64 = 60 * 24 * 3600;

/// What a rehearsal found. Field names are an interface: more may come, none changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsalFacts {
    /// The release that desktops use.
    pub from: String,
    /// The release that they would go to.
    pub to: String,
    /// Whether every file is here, and nothing stands in the way.
    pub ready: bool,
    /// Each repository whose suites of the old release desktops use.
    pub repos: Vec<RehearsedRepo>,
}

/// A repository in a rehearsal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedRepo {
    /// Its name.
    pub repo: String,
    /// The suites of the old release that desktops use: folders of release files.
    pub from_suites: Vec<String>,
    /// The suites of the new release.
    pub to_suites: Vec<PlannedSuite>,
    /// Seeds that are configured for the new release.
    pub seeds: Vec<String>,
    /// Desktops that were seen by their addresses.
    pub desktops: u64,
    /// Different sets of packages, by size of the group that has them.
    pub sets: Vec<RehearsedSet>,
    /// Files of all sets together, indices included.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are not here.
    pub files_missing: u64,
    /// Their bytes.
    pub bytes_missing: u64,
    /// Those that are not here, one by one; not more than 5000.
    pub missing: Vec<PlannedFile>,
    /// Packages that the new release has under no name.
    pub without_successor: Vec<Orphan>,
    /// What apt would refuse to install.
    pub unresolved: Vec<UnresolvedFacts>,
    /// Why it could not be looked at.
    pub problem: Option<String>,
}

/// Desktops that use the same packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RehearsedSet {
    /// How many desktops; 0 for what is only known of an office as a whole.
    pub desktops: u64,
    /// Their offices.
    pub offices: Vec<String>,
    /// How many packages they were seen to use.
    pub packages: u64,
    /// Files of the upgrade.
    pub files: u64,
    /// Those that are not here.
    pub files_missing: u64,
    /// Their bytes.
    pub bytes_missing: u64,
}

/// A package that the new release does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orphan {
    /// The package and its architecture.
    pub package: String,
    /// How many desktops use it.
    pub desktops: u64,
}

impl Planner {
    /// Rehearses an upgrade from one release to another, or waits for the same that is under way, up to `patience`;
    /// `None` when it is not done by then. With `fetch`, suites and indices that are not here are asked for upstream.
    ///
    /// # Errors
    /// [`PlanError`], where the store cannot be read. What one repository lacks is told in its facts.
    pub async fn rehearse(
        &self,
        from: &str,
        to: &str,
        fetch: bool,
        patience: Duration,
    ) -> Result<Option<Arc<RehearsalFacts>>, PlanError> {
        let key = (from.to_owned(), to.to_owned(), fetch);
        let (planner, asked) = (self.clone(), key.clone());
        let work = || async move { planner.rehearse_now(&asked.0, &asked.1, fetch).await.map(Arc::new) };
        let ending = (self.cache().tasks(), Err(PlanError::Stopping));
        self.rehearsals().outcome(&key, patience, ending, work).await.transpose()
    }

    async fn rehearse_now(&self, from: &str, to: &str, fetch: bool) -> Result<RehearsalFacts, PlanError> {
        let _turn = self.turn().await?;
        let cache = self.cache();
        cache.settle_demand().await;
        let mut repos = Vec::new();
        for repository in cache.repositories().list() {
            if repository.config.kind == Kind::Apt && repository.config.trust != Trust::None {
                repos.extend(self.rehearse_repo(repository, from, to, fetch).await?);
            }
        }
        let done = |repo: &RehearsedRepo| {
            repo.problem.is_none() && repo.files_missing == 0 && repo.unresolved.is_empty()
        };
        let ready = !repos.is_empty() && repos.iter().all(done);
        Ok(RehearsalFacts { from: from.to_owned(), to: to.to_owned(), ready, repos })
    }

    /// `None` when nobody uses the release there.
    async fn rehearse_repo(
        &self,
        repository: &Arc<Repository>,
        from: &str,
        to: &str,
        fetch: bool,
    ) -> Result<Option<RehearsedRepo>, PlanError> {
        let cache = self.cache();
        let here = cache.suites_here(repository);
        let of = |name| here.iter().filter(move |folder| family::is_of(folder, name)).cloned();
        let old: Vec<Arc<str>> = of(from).collect();
        if old.is_empty() {
            return Ok(None);
        }
        let (uses, config) = {
            let (cache, repository, old) = (cache.clone(), Arc::clone(repository), old.clone());
            blocking(move || Ok((cache.uses(&repository, &old)?, habits(&cache, &repository, &old)?))).await?
        };
        if uses.sets.iter().all(|set| set.packages.is_empty()) {
            return Ok(None);
        }
        let seeds: Vec<_> = self
            .configs()
            .into_iter()
            .filter(|seed| !seed.built_in)
            .filter(|seed| seed.repo == *repository.name())
            .filter(|seed| suites_of(seed).any(|folder| family::is_of(&folder, to)))
            .collect();
        let mut wanted: BTreeMap<String, bool> = BTreeMap::new();
        // Whether the archive has to have it.
        wanted.extend(old.iter().filter_map(|folder| Some((family::counterpart(folder, from, to)?, false))));
        wanted.extend(of(to).map(|folder| (folder.to_string(), true)));
        let configured = seeds.iter().flat_map(|seed| suites_of(seed));
        wanted.extend(configured.filter(|folder| family::is_of(folder, to)).map(|folder| (folder, true)));
        let mut facts = RehearsedRepo {
            repo: repository.name().to_string(),
            from_suites: old.iter().map(ToString::to_string).collect(),
            seeds: seeds.iter().map(|seed| seed.name.to_string()).collect(),
            desktops: uses.sets.iter().filter(|set| !set.address.is_empty()).count() as u64,
            ..RehearsedRepo::default()
        };
        let mut material = Material {
            config: Arc::new(config),
            suites: Vec::new(),
            selections: String::new(),
            learned: Vec::new(),
            unresolved: Vec::new(),
        };
        for (folder, needed) in wanted {
            let suite = family::as_written(&folder);
            match take_suite(cache, repository, &suite, fetch, &mut material).await {
                Ok(taken) => material.suites.push(taken),
                Err(PlanError::Failed { why: Failure::NotFound { .. }, .. }) if !needed => {}
                Err(PlanError::Stopping) => return Err(PlanError::Stopping),
                Err(error) => {
                    facts.problem = Some(error.to_string());
                    return Ok(Some(facts));
                }
            }
        }
        if material.suites.is_empty() {
            facts.problem = Some(format!("{} publishes no suite {to}", repository.name()));
            return Ok(Some(facts));
        }
        let (cache, repository) = (cache.clone(), Arc::clone(repository));
        let looked = tokio::task::spawn_blocking(move || {
            let store = Shelved { cache: &cache, repository: &repository };
            look(&material, &uses, &store, &mut facts).map(|()| facts)
        });
        let looked = looked.await.map_err(|_| PlanError::Stopping)?;
        looked.map(Some).map_err(|error| PlanError::Assembly(error.to_string().into()))
    }
}

/// The folders of a seed's suites.
fn suites_of(seed: &Config) -> impl Iterator<Item = String> + '_ {
    seed.suites.iter().filter_map(|suite| Some(super::gather::folder(suite).ok()?.as_str().to_owned()))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, crate::store::Error> + Send + 'static,
) -> Result<T, PlanError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|_| PlanError::Stopping)?;
    done.map_err(|error| PlanError::Assembly(error.to_string().into()))
}

/// Which components, architectures and languages desktops use of some suites, as a seed would name them.
pub(super) fn habits(
    cache: &Cache,
    repository: &Repository,
    folders: &[Arc<str>],
) -> Result<Config, crate::store::Error> {
    let (mut components, mut architectures, mut languages) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for folder in folders {
        for path in cache.used_indices(repository, folder, cache.unix_now() - USED)? {
            let parts: Vec<_> = path.rsplitn(3, '/').collect();
            let [file, kind, component] = parts[..] else { continue };
            if let Some(architecture) = kind.strip_prefix("binary-")
                && architecture != "all"
            {
                components.insert(component.to_owned());
                architectures.insert(architecture.to_owned());
            } else if kind == "i18n"
                && let Some(language) = file.strip_prefix("Translation-")
            {
                languages.insert(language.split('.').next().unwrap_or(language).to_owned());
            }
        }
    }
    if architectures.is_empty() {
        architectures.insert("amd64".to_owned());
    }
    Ok(Config {
        name: "rehearsal".into(),
        repo: Arc::clone(repository.name()),
        suites: Vec::new(),
        components: components.into_iter().collect(),
        architectures: architectures.into_iter().take(super::MAX_ARCHITECTURES).collect(),
        packages: Packages::default(),
        recommends: true,
        closure: super::Extent::Apt,
        sources: false,
        languages: languages.into_iter().collect(),
        budget: None,
        hours: None,
        built_in: false,
    })
}

/// A file of an upgrade.
struct Needed {
    path: RepoPath,
    size: u64,
    checksum: Checksum,
    present: bool,
}

/// Desktops with one set of packages.
struct Group {
    packages: Vec<u32>,
    desktops: u64,
    offices: BTreeSet<String>,
    /// Positions in the list of all files.
    files: Vec<usize>,
}

/// What each different set needs, and what of it is here. Blocking.
fn look(
    material: &Material,
    uses: &Uses,
    shelf: &impl Shelf,
    facts: &mut RehearsedRepo,
) -> Result<(), AssemblyError> {
    let (universe, roots) = read_universe(&material.suites, &material.config.architectures, shelf)?;
    let mut files: Vec<Needed> = Vec::new();
    let mut positions: HashMap<Arc<str>, usize> = HashMap::new();
    let mut add = |path: RepoPath, size, checksum| {
        *positions.entry(path.shared()).or_insert_with(|| {
            files.push(Needed { path, size, checksum, present: false });
            files.len() - 1
        })
    };
    let indices: Vec<usize> = material
        .suites
        .iter()
        .flat_map(|suite| &suite.files)
        // One form of the release file is enough, and the one that is here is what desktops are given.
        .filter(|file| file.part != Part::Release)
        .map(|file| add(file.path.clone(), file.size, file.checksum))
        .collect();
    let mut unresolved: BTreeSet<Unresolved> = material.unresolved.iter().cloned().collect();
    let native = universe.architectures().next();
    let mut lost: BTreeMap<&str, u64> = BTreeMap::new();
    let mut groups = groups(uses);
    for group in &mut groups {
        let mut chosen: BTreeSet<usize> = indices.iter().copied().collect();
        let Some(native) = native else { break };
        let offers = Offers::new(&universe, native);
        let mut names = Vec::with_capacity(group.packages.len());
        for package in &group.packages {
            let package = &*uses.packages[*package as usize];
            if super::closure::root(offers, package).is_ok() {
                names.push(package);
            } else if !is_provided(&universe, package) {
                *lost.entry(package).or_insert(0) += group.desktops;
            }
        }
        let wish = Wish { names: &names, recommends: true, extent: super::Extent::Apt };
        let closure = for_all_machines(offers, &wish)?;
        unresolved.extend(closure.unresolved);
        for id in closure.packages {
            let (path, size, checksum, origin) = universe.file(id);
            let root = &roots[usize::from(origin.0)];
            let path = String::from_utf8_lossy(path);
            let whole = if root.is_empty() { path.into_owned() } else { format!("{root}/{path}") };
            if let Ok(path) = RepoPath::from_decoded(&whole) {
                chosen.insert(add(path, size, checksum));
            }
        }
        group.files = chosen.into_iter().collect();
    }
    drop(universe);
    let checksums: Vec<_> = files.iter().map(|file| file.checksum).collect();
    for (file, here) in files.iter_mut().zip(shelf.are_here(&checksums).map_err(AssemblyError::Store)?) {
        file.present = here;
    }
    tell(material, facts, &files, &groups);
    facts.without_successor = lost
        .into_iter()
        .take(MOST_LISTED)
        .map(|(package, desktops)| Orphan { package: package.to_owned(), desktops })
        .collect();
    facts.unresolved = unresolved
        .into_iter()
        .map(|one| UnresolvedFacts { package: one.package, reason: one.reason })
        .collect();
    Ok(())
}

/// Whether something has or provides the name, so that apt goes on with that.
fn is_provided(universe: &super::Universe, package: &str) -> bool {
    let name = package.rsplit_once(':').map_or(package, |(name, _)| name);
    let Some(name) = universe.name_id(name.as_bytes()) else { return false };
    universe.of_name(name).next().is_some() || universe.providing(name).next().is_some()
}

/// The different sets, those of most desktops first; what is too many in one.
fn groups(uses: &Uses) -> Vec<Group> {
    let mut by_set: HashMap<&[u32], Group> = HashMap::new();
    for set in uses.sets.iter().filter(|set| !set.packages.is_empty()) {
        let group = by_set.entry(&set.packages).or_insert_with(|| Group {
            packages: set.packages.clone(),
            desktops: 0,
            offices: BTreeSet::new(),
            files: Vec::new(),
        });
        group.desktops += u64::from(!set.address.is_empty());
        if !set.office.is_empty() {
            group.offices.insert(set.office.clone());
        }
    }
    let mut groups: Vec<_> = by_set.into_values().collect();
    groups.sort_by(|a, b| b.desktops.cmp(&a.desktops).then_with(|| a.packages.cmp(&b.packages)));
    if groups.len() > MOST_SETS {
        let rest = groups.split_off(MOST_SETS - 1);
        let mut last =
            Group { packages: Vec::new(), desktops: 0, offices: BTreeSet::new(), files: Vec::new() };
        for group in rest {
            last.packages.extend(group.packages);
            last.desktops += group.desktops;
            last.offices.extend(group.offices);
        }
        last.packages.sort_unstable();
        last.packages.dedup();
        groups.push(last);
    }
    groups
}

/// Writes down what was found.
fn tell(material: &Material, facts: &mut RehearsedRepo, files: &[Needed], groups: &[Group]) {
    let suite = |suite: &super::assemble::SuiteMaterial| PlannedSuite {
        suite: suite.folder.to_string(),
        generation: suite.generation,
    };
    facts.to_suites = material.suites.iter().map(suite).collect();
    facts.sets = groups
        .iter()
        .map(|group| {
            let missing = || group.files.iter().map(|at| &files[*at]).filter(|file| !file.present);
            RehearsedSet {
                desktops: group.desktops,
                offices: group.offices.iter().cloned().collect(),
                packages: group.packages.len() as u64,
                files: group.files.len() as u64,
                files_missing: missing().count() as u64,
                bytes_missing: missing().map(|file| file.size).sum(),
            }
        })
        .collect();
    facts.files = files.len() as u64;
    facts.bytes = files.iter().map(|file| file.size).sum();
    let missing = || files.iter().filter(|file| !file.present);
    facts.files_missing = missing().count() as u64;
    facts.bytes_missing = missing().map(|file| file.size).sum();
    facts.missing = missing()
        .take(MOST_LISTED)
        .map(|file| PlannedFile {
            path: file.path.as_str().to_owned(),
            size: file.size,
            sha256: file.checksum.sha256().map(|digest| digest.to_string()),
            present: false,
        })
        .collect();
}
