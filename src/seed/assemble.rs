//! From indices to a plan: reads them, takes the closure, and lists the files.
//!
//! It blocks and works for up to seconds; the [planner](super::planner) runs it beside the runtime, once at a
//! time. What it needs it takes from a [`Shelf`], so that it knows neither store nor network.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;

use super::closure::{Closure, Tangled, Unresolved, Wish, closure, followed, root};
use super::config::Config;
use super::family;
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
    let mut files = Files::default();
    for suite in &material.suites {
        files.planned.extend(suite.files.iter().cloned());
    }
    // Each with how much it is wanted: the less, the more.
    let mut wanted: Vec<(usize, Planned)> = Vec::new();
    let mut unresolved = material.unresolved.clone();
    for suites in together(material) {
        let architectures = &material.config.architectures;
        let (universe, roots) = read_universe(suites.iter().copied(), architectures, shelf)?;
        let chosen = choose(&universe, material)?;
        for (rank, package) in &chosen.packages {
            let (path, size, checksum, origin) = universe.file(*package);
            let root = &roots[usize::from(origin.0)];
            let file = planned(root, &String::from_utf8_lossy(path), size, checksum, Part::Package);
            wanted.extend(file.map(|file| (*rank, file)));
        }
        unresolved.extend(chosen.unresolved);
        if material.config.sources {
            let packages: Vec<_> = chosen.packages.iter().map(|(_, id)| *id).collect();
            unresolved.extend(add_sources(&universe, &packages, material, &suites, shelf, &mut files)?);
        }
    }
    if material.config.packages.is_only_learned() {
        // What is learned is installed somewhere, with what it needs from wherever that came.
        unresolved.clear();
    }
    // Stable: what is wanted alike keeps its order.
    wanted.sort_by_key(|(rank, _)| *rank);
    let packages = wanted.len() as u64;
    files.planned.extend(wanted.into_iter().map(|(_, file)| file));
    finish(material, files, packages, unresolved, shelf)
}

/// The suites that are planned together: all of a seed, but where it only follows what desktops ask for, each release
/// for itself, since a package is another version in each.
fn together(material: &Material) -> Vec<Vec<&SuiteMaterial>> {
    let all = material.suites.iter();
    if !material.config.packages.is_only_learned() {
        return vec![all.collect()];
    }
    let mut families: BTreeMap<(&str, &str), Vec<&SuiteMaterial>> = BTreeMap::new();
    for suite in all {
        families.entry(family::of(&suite.folder)).or_default().push(suite);
    }
    families.into_values().collect()
}

/// What suites list for these architectures; and by origin the folder below which paths are meant. Blocking.
pub(super) fn read_universe<'m>(
    suites: impl IntoIterator<Item = &'m SuiteMaterial>,
    architectures: &[String],
    shelf: &impl Shelf,
) -> Result<(Universe, Vec<Arc<str>>), AssemblyError> {
    let mut universe = Universe::new(architectures);
    let mut roots = Vec::new();
    for suite in suites {
        let origin = universe.add_origin(suite.pin).map_err(AssemblyError::Universe)?;
        roots.push(Arc::clone(&suite.root));
        for index in &suite.packages {
            let wrong = |source| AssemblyError::Index { suite: Arc::clone(&suite.folder), source };
            let input = open(shelf, index).map_err(wrong)?;
            universe.read(origin, input).map_err(wrong)?;
        }
    }
    Ok((universe, roots))
}

/// The packages of a seed.
#[derive(Default)]
struct Chosen {
    /// Each once, with how much it is wanted: what is asked for first has the least number.
    packages: Vec<(usize, PackageId)>,
    unresolved: Vec<Unresolved>,
}

/// The packages that a seed wants, with all that they need.
fn choose(universe: &Universe, material: &Material) -> Result<Chosen, AssemblyError> {
    let config = &material.config;
    if config.packages.everything {
        let packages = universe.packages().map(|id| (0, id)).collect();
        return Ok(Chosen { packages, unresolved: Vec::new() });
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
        ranks.extend(in_order(offers, &wish, &packages, material));
    }
    // The first place that a package has for any machine.
    ranks.sort_unstable();
    let mut seen = HashSet::new();
    found.packages.extend(ranks.into_iter().filter(|(_, id)| seen.insert(*id)));
    found.unresolved.sort_unstable();
    found.unresolved.dedup();
    Ok(found)
}

/// The closure for machines that get every update, and, where some updates come to others first, for those that do
/// not get them yet.
pub(super) fn for_all_machines(offers: Offers<'_>, wish: &Wish<'_>) -> Result<Closure, Tangled> {
    let mut found = closure(offers, wish)?;
    if found.packages.iter().any(|id| offers.universe().phased(*id) < 100) {
        // What is unresolved here only may well be resolved by a version that apt takes in spite of its share.
        found.packages.extend(closure(offers.without_phased(), wish)?.packages);
        found.packages.sort_unstable();
        found.packages.dedup();
    }
    Ok(found)
}

/// The packages with their rank: the position of the first name that needs them. What is learned has the order in
/// which it is wanted, and before all that it needs: what a desktop did not have it would have asked for.
fn in_order(
    offers: Offers<'_>,
    wish: &Wish<'_>,
    packages: &[PackageId],
    material: &Material,
) -> Vec<(usize, PackageId)> {
    let plain = |name: &str| name.rsplit_once(':').map_or(name, |(name, _)| name).to_owned();
    let only_learned = material.config.packages.is_only_learned();
    let places: HashMap<String, usize> =
        material.learned.iter().enumerate().rev().map(|(place, name)| (plain(name), place)).collect();
    let both = [offers, offers.without_phased()];
    let mut ranks: HashMap<PackageId, Option<usize>> = packages.iter().map(|id| (*id, None)).collect();
    for (position, name) in wish.names.iter().enumerate() {
        let rank = if only_learned { places.get(&plain(name)).copied() } else { Some(position) };
        let roots: Vec<_> = both.into_iter().filter_map(|offers| root(offers, name).ok()).collect();
        let mut queue = roots.clone();
        let mut seen = HashSet::new();
        while let Some(id) = queue.pop() {
            let Some(place) = ranks.get_mut(&id) else { continue };
            let own = roots.contains(&id);
            let rank = rank.map(|rank| if only_learned && !own { rank + places.len() } else { rank });
            if place.is_some_and(|known| rank.is_none_or(|rank| rank >= known)) || !seen.insert(id) {
                continue;
            }
            *place = rank.or(*place);
            for (_, clause) in followed(offers.universe(), id, wish.recommends) {
                let of = offers.universe().architecture_of(id);
                for offers in both {
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
    suites: &[&SuiteMaterial],
    shelf: &impl Shelf,
    files: &mut Files,
) -> Result<Vec<Unresolved>, AssemblyError> {
    let everything = material.config.packages.everything;
    // Whether its source was found, for each name and version.
    let key = |(name, version): (&[u8], &[u8])| [name, version].join(&b' ');
    let mut wanted: HashMap<Vec<u8>, bool> =
        packages.iter().map(|package| (key(universe.source(*package)), false)).collect();
    for suite in suites {
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
    fn add(&mut self, root: &str, path: &str, size: u64, checksum: Checksum, part: Part) {
        self.planned.extend(planned(root, path, size, checksum, part));
    }
}

/// A file below an archive's root. A path that is none was passed over when the index was read.
fn planned(root: &str, path: &str, size: u64, checksum: Checksum, part: Part) -> Option<Planned> {
    let whole = if root.is_empty() { path.to_owned() } else { format!("{root}/{path}") };
    let path = RepoPath::from_decoded(&whole).ok()?;
    Some(Planned { path, size, checksum, part, present: false })
}
