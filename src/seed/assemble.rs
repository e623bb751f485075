//! From indices to a plan: reads them, takes the closure, and lists the files.
//!
//! It blocks and works for up to seconds; the [planner](super::planner) runs it beside the runtime, once at a
//! time. What it needs it takes from a [`Shelf`], so that it knows neither store nor network.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use super::closure::{Closure, Tangled, Unresolved, Wish, closure};
use super::config::Config;
use super::offers::Offers;
use super::plan::{Part, Plan, Planned};
use super::select;
use super::universe::{PackageId, Pin, Universe, UniverseError};
use crate::digest::Digest;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::compression::{Capped, Compression, unpack};
use crate::repo::apt::index::{self, IndexError, IndexKind};
use crate::repo_path::RepoPath;
use crate::wan::Forecast;

/// Where the bytes are.
pub(super) trait Shelf {
    /// Reads an object.
    fn read(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>>;
    /// For each checksum whether its bytes are here.
    fn are_here(&self, checksums: &[Checksum]) -> io::Result<Vec<bool>>;
}

/// What a plan is made from.
pub(super) struct Material {
    pub(super) config: Arc<Config>,
    pub(super) suites: Vec<SuiteMaterial>,
    /// What `dpkg --get-selections` printed.
    pub(super) selections: String,
    /// What was asked for lately: names, each with its architecture, most wanted first.
    pub(super) learned: Vec<Arc<str>>,
    /// What is known to be missing already.
    pub(super) unresolved: Vec<Unresolved>,
}

/// What a plan takes from one suite.
pub(super) struct SuiteMaterial {
    pub(super) folder: Arc<str>,
    pub(super) generation: i64,
    /// Below which folder the listed paths are meant.
    pub(super) root: Arc<str>,
    pub(super) pin: Pin,
    pub(super) packages: Vec<Index>,
    pub(super) sources: Vec<Index>,
    /// What is wanted beside packages.
    pub(super) files: Vec<Planned>,
}

/// An index that is here.
#[derive(Debug, Clone)]
pub(super) struct Index {
    pub(super) digest: Digest,
    pub(super) compression: Compression,
    /// Most bytes that it may have unpacked.
    pub(super) limit: u64,
}

/// Why a plan could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AssemblyError {
    /// An index is damaged, or the store cannot be read.
    #[error("an index of {suite} cannot be read: {source}")]
    Index {
        /// The folder of the release file.
        suite: Arc<str>,
        /// What is wrong.
        source: UniverseError,
    },
    /// What is here cannot be looked up.
    #[error("the store cannot be asked what is here: {0}")]
    Store(#[source] io::Error),
    /// The suites list more than fits.
    #[error(transparent)]
    Universe(UniverseError),
    /// The closure does not end.
    #[error(transparent)]
    Tangled(#[from] Tangled),
}

/// Makes the plan. Blocking.
pub(super) fn assemble(material: &Material, shelf: &impl Shelf) -> Result<Plan, AssemblyError> {
    let mut universe = Universe::new(&material.config.architectures);
    // By origin: the folder below which paths are meant.
    let mut roots = Vec::new();
    for suite in &material.suites {
        let origin = universe.add_origin(suite.pin).map_err(AssemblyError::Universe)?;
        roots.push(Arc::clone(&suite.root));
        for index in &suite.packages {
            let wrong = |source| AssemblyError::Index { suite: Arc::clone(&suite.folder), source };
            let input = open(shelf, index).map_err(wrong)?;
            universe.read(origin, input).map_err(wrong)?;
        }
    }
    let Chosen { packages, unresolved } = choose(&universe, material)?;
    let mut files = Files::default();
    for suite in &material.suites {
        files.planned.extend(suite.files.iter().cloned());
    }
    for package in &packages {
        let (path, size, checksum, origin) = universe.file(*package);
        let root = &roots[usize::from(origin.0)];
        files.add(root, &String::from_utf8_lossy(path), size, checksum, Part::Package);
    }
    let mut unresolved: Vec<_> = material.unresolved.iter().cloned().chain(unresolved).collect();
    if material.config.sources {
        let missing = add_sources(&universe, &packages, material, shelf, &mut files)?;
        unresolved.extend(missing);
    }
    let packages = packages.len() as u64;
    drop(universe);
    finish(material, files, packages, unresolved, shelf)
}

/// The packages of a seed.
#[derive(Default)]
struct Chosen {
    /// Each once: as they were asked for, and each with what it needs.
    packages: Vec<PackageId>,
    unresolved: Vec<Unresolved>,
}

/// The packages that a seed wants, with all that they need.
fn choose(universe: &Universe, material: &Material) -> Result<Chosen, AssemblyError> {
    let config = &material.config;
    if config.packages.everything {
        return Ok(Chosen { packages: universe.packages().collect(), unresolved: Vec::new() });
    }
    let mut names = config.packages.names.clone();
    names.extend(select::selected(&material.selections));
    let mut found = Chosen::default();
    let mut ranks = Vec::new();
    for (position, native) in universe.architectures().enumerate() {
        let offers = Offers::new(universe, native);
        let mut wished = select::for_machine(offers, &names, position == 0);
        let more = select::more(offers, &config.packages, &material.learned);
        wished.extend(more.iter().map(String::as_str));
        let wish = Wish { names: &wished, recommends: config.recommends, extent: config.closure };
        let Closure { packages, unresolved } = for_all_machines(offers, &wish)?;
        found.unresolved.extend(unresolved);
        ranks.extend(in_order(offers, &wish, &packages));
    }
    // The first place that a package has for any machine.
    ranks.sort_unstable();
    let mut seen = HashSet::new();
    found.packages.extend(ranks.into_iter().map(|(_, id)| id).filter(|id| seen.insert(*id)));
    found.unresolved.sort_unstable();
    found.unresolved.dedup();
    Ok(found)
}

/// The closure for machines that get every update, and, where some updates come to others first, for those that do
/// not get them yet.
fn for_all_machines(offers: Offers<'_>, wish: &Wish<'_>) -> Result<Closure, Tangled> {
    let mut found = closure(offers, wish)?;
    if found.packages.iter().any(|id| offers.universe().phased(*id) < 100) {
        // What is unresolved here only may well be resolved by a version that apt takes in spite of its share.
        found.packages.extend(closure(offers.without_phased(), wish)?.packages);
        found.packages.sort_unstable();
        found.packages.dedup();
    }
    Ok(found)
}

/// The packages with the position of the first name that needs them: what is asked for first is wanted most.
fn in_order(offers: Offers<'_>, wish: &Wish<'_>, packages: &[PackageId]) -> Vec<(usize, PackageId)> {
    let mut ranks: HashMap<PackageId, Option<usize>> = packages.iter().map(|id| (*id, None)).collect();
    for (rank, name) in wish.names.iter().enumerate() {
        let mut queue: Vec<_> = [offers, offers.without_phased()]
            .into_iter()
            .filter_map(|offers| super::closure::root(offers, name).ok())
            .collect();
        while let Some(id) = queue.pop() {
            let Some(place @ None) = ranks.get_mut(&id) else { continue };
            *place = Some(rank);
            for (_, clause) in super::closure::followed(offers.universe(), id, wish.recommends) {
                let of = offers.universe().architecture_of(id);
                for offers in [offers, offers.without_phased()] {
                    queue.extend(offers.meeting(clause, of).unwrap_or_default());
                }
            }
        }
    }
    ranks.into_iter().map(|(id, rank)| (rank.unwrap_or(usize::MAX), id)).collect()
}

/// Adds the sources of the packages, and tells which are not there.
fn add_sources(
    universe: &Universe,
    packages: &[PackageId],
    material: &Material,
    shelf: &impl Shelf,
    files: &mut Files,
) -> Result<Vec<Unresolved>, AssemblyError> {
    let everything = material.config.packages.everything;
    // Whether its source was found, for each name and version.
    let key = |(name, version): (&[u8], &[u8])| [name, version].join(&b' ');
    let mut wanted: HashMap<Vec<u8>, bool> =
        packages.iter().map(|package| (key(universe.source(*package)), false)).collect();
    for suite in &material.suites {
        for index in &suite.sources {
            let wrong = |source| AssemblyError::Index { suite: Arc::clone(&suite.folder), source };
            let input = open(shelf, index).map_err(wrong)?;
            let taken = index::read(IndexKind::Sources, input, |item| {
                let found = wanted.get_mut(&key((item.package.as_bytes(), item.version.as_bytes())));
                let is_wanted = found.is_some();
                if let Some(found) = found {
                    *found = true;
                }
                if is_wanted || everything {
                    files.add(&suite.root, &item.path, item.size, item.checksum, Part::Source);
                }
            });
            taken.map_err(|error| wrong(error.into()))?;
        }
    }
    let mut missing: Vec<_> = wanted
        .into_iter()
        .filter(|(_, found)| !found)
        .map(|(source, _)| Unresolved {
            package: format!("{} (source)", String::from_utf8_lossy(&source)),
            reason: "no suite of the seed lists the source of this version".to_owned(),
        })
        .collect();
    missing.sort_unstable();
    Ok(missing)
}

/// Looks up what is here, and keeps to the budget.
fn finish(
    material: &Material,
    files: Files,
    packages: u64,
    unresolved: Vec<Unresolved>,
    shelf: &impl Shelf,
) -> Result<Plan, AssemblyError> {
    let config = &material.config;
    let mut planned = files.planned;
    planned.sort_by_key(|file| file.part);
    let mut seen = HashSet::with_capacity(planned.len());
    planned.retain(|file| seen.insert(file.path.shared()));
    let mut left_out = (0, 0);
    if let Some(budget) = config.budget {
        let mut taken = 0_u64;
        planned.retain(|file| {
            let fits = taken.saturating_add(file.size) <= budget;
            if fits {
                taken += file.size;
            } else {
                left_out = (left_out.0 + 1, left_out.1 + file.size);
            }
            fits
        });
    }
    let checksums: Vec<_> = planned.iter().map(|file| file.checksum).collect();
    let here = shelf.are_here(&checksums).map_err(AssemblyError::Store)?;
    for (file, here) in planned.iter_mut().zip(here) {
        file.present = here;
    }
    Ok(Plan {
        seed: Arc::clone(&config.name),
        repo: Arc::clone(&config.repo),
        generations: material
            .suites
            .iter()
            .map(|suite| (Arc::clone(&suite.folder), suite.generation))
            .collect(),
        packages,
        files: planned,
        unresolved,
        left_out,
        hours: config.hours,
        forecast: Forecast::default(),
    })
}

fn open(shelf: &impl Shelf, index: &Index) -> Result<Capped<Box<dyn Read + Send>>, UniverseError> {
    let io = |error: io::Error| UniverseError::Index(IndexError::Read(error.into()));
    let packed = shelf.read(&index.digest).map_err(io)?;
    unpack(index.compression, packed, index.limit).map_err(io)
}

/// The files of a plan in the making.
#[derive(Default)]
struct Files {
    planned: Vec<Planned>,
}

impl Files {
    /// Adds a file below an archive's root. A path that is none was passed over when the index was read.
    fn add(&mut self, root: &str, path: &str, size: u64, checksum: Checksum, part: Part) {
        let whole = if root.is_empty() { path.to_owned() } else { format!("{root}/{path}") };
        if let Ok(path) = RepoPath::from_decoded(&whole) {
            self.planned.push(Planned { path, size, checksum, part, present: false });
        }
    }
}
