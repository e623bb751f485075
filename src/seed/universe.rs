//! Every package that the suites of a seed list, in a form that fits into memory.
//!
//! A [`Universe`] is filled from unpacked indices, one after the other. Texts go into one arena, names are
//! numbers, relations stay unread text until somebody [visits](super::relation) the package: a package
//! costs some 130 bytes and its texts, about 450 bytes in all. The packages of a name form a chain in the
//! order in which they came, and so do those that provide it.
//!
//! What is listed twice – `noble-security` repeats what `noble-updates` has – is kept once.

mod fill;

use super::names::{NameId, Names};
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::deb822::ReadError;
use crate::repo::apt::index::IndexError;

/// Most suites, components and architectures together from which one universe is filled.
pub const MAX_ORIGINS: usize = 1000;

/// Most architectures of a universe, beside `all`.
pub const MAX_ARCHITECTURES: usize = 16;

/// No package, and no name.
const NONE: u32 = u32::MAX;

/// Stands for a package: one version of a name for one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PackageId(pub(super) u32);

/// Stands for an architecture: `all`, or the one at this place in the universe's list, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ArchId(pub(super) u8);

impl ArchId {
    /// Packages that are the same for every architecture.
    pub(super) const ALL: Self = Self(0);
}

/// Where an index comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginId(pub(super) u16);

/// How much apt wants packages of a suite, as `apt-cache policy` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pin {
    /// `NotAutomatic`: only where no other suite has the package.
    NotAutomatic,
    /// `NotAutomatic` and `ButAutomaticUpgrades`, as backports.
    ButAutomaticUpgrades,
    /// As any suite.
    Usual,
}

/// What distributions say about how much a package is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Without it the system does not work.
    Required,
    /// Anybody expects it on a system.
    Important,
    /// A small system that is of use.
    Standard,
    /// All others.
    Optional,
    /// What did not fit beside the others, long ago; and whatever is written wrongly.
    Extra,
}

/// Whether a package may serve those of other architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MultiArch {
    /// It does not say, or may be installed for several.
    OfItsOwn,
    /// It serves all.
    Foreign,
    /// It serves those who ask for `:any`.
    Allowed,
}

/// A stretch of the arena.
#[derive(Debug, Clone, Copy, Default)]
struct Text {
    at: u32,
    len: u32,
}

#[derive(Debug)]
struct Record {
    name: NameId,
    /// The next package of the same name.
    next: u32,
    source: NameId,
    section: NameId,
    version: Text,
    source_version: Text,
    path: Text,
    provides: Text,
    relations: [Text; FIELDS],
    size: u64,
    checksum: Checksum,
    origin: OriginId,
    architecture: ArchId,
    priority: Priority,
    multi_arch: MultiArch,
    essential: bool,
    /// `Protected`, formerly `Important`.
    protected: bool,
    /// Which share of machines gets it by now, in per cent.
    phased: u8,
}

/// A name that a package provides beside its own.
#[derive(Debug)]
struct Provision {
    package: PackageId,
    /// Empty when it provides the name without a version.
    version: Text,
    next: u32,
}

/// The ends of a name's two chains.
#[derive(Debug, Clone, Copy)]
struct Chains {
    packages: [u32; 2],
    provisions: [u32; 2],
}

/// The relation fields that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldName {
    PreDepends,
    Depends,
    Recommends,
    Conflicts,
    Breaks,
}

const FIELDS: usize = 5;

/// All packages of the suites.
#[derive(Debug)]
pub struct Universe {
    architectures: Vec<Box<[u8]>>,
    pins: Vec<Pin>,
    /// Names of packages, and of what they relate to, in the order in which they were first mentioned.
    names: Names,
    /// Names of sections and sources.
    labels: Names,
    /// By name.
    chains: Vec<Chains>,
    text: Vec<u8>,
    packages: Vec<Record>,
    provisions: Vec<Provision>,
}

/// Why a universe could not take an index in.
#[derive(Debug, thiserror::Error)]
pub enum UniverseError {
    /// The index cannot be read.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// More than the numbers in use can count.
    #[error("the suites of this seed list too much to be planned together; make several seeds of it")]
    Full,
}

impl From<ReadError> for UniverseError {
    fn from(error: ReadError) -> Self {
        Self::Index(error.into())
    }
}

impl Universe {
    /// An empty universe for machines of these architectures; no more than [`MAX_ARCHITECTURES`] count.
    #[must_use]
    pub fn new(architectures: &[impl AsRef<str>]) -> Self {
        let name = |name: &dyn AsRef<str>| Box::from(name.as_ref().as_bytes());
        Self {
            architectures: architectures.iter().take(MAX_ARCHITECTURES).map(|arch| name(arch)).collect(),
            pins: Vec::new(),
            names: Names::default(),
            labels: Names::default(),
            chains: Vec::new(),
            text: Vec::new(),
            packages: Vec::new(),
            provisions: Vec::new(),
        }
    }

    /// A place that indices come from.
    ///
    /// # Errors
    /// [`UniverseError::Full`] beyond [`MAX_ORIGINS`].
    pub fn add_origin(&mut self, pin: Pin) -> Result<OriginId, UniverseError> {
        if self.pins.len() >= MAX_ORIGINS {
            return Err(UniverseError::Full);
        }
        let id = u16::try_from(self.pins.len()).map_err(|_| UniverseError::Full)?;
        self.pins.push(pin);
        Ok(OriginId(id))
    }

    fn text(&self, text: Text) -> &[u8] {
        &self.text[text.at as usize..][..text.len as usize]
    }

    fn record(&self, id: PackageId) -> &Record {
        &self.packages[id.0 as usize]
    }

    fn pin(&self, origin: OriginId) -> Pin {
        self.pins[usize::from(origin.0)]
    }

    /// The number of an architecture that this universe is for.
    #[must_use]
    pub fn architecture(&self, name: &[u8]) -> Option<ArchId> {
        if name == b"all" {
            return Some(ArchId::ALL);
        }
        let at = self.architectures.iter().position(|known| **known == *name)?;
        u8::try_from(at + 1).ok().map(ArchId)
    }

    /// The name of an architecture.
    #[must_use]
    pub fn architecture_name(&self, id: ArchId) -> &[u8] {
        usize::from(id.0).checked_sub(1).map_or(b"all", |at| &self.architectures[at])
    }

    /// Every architecture but `all`, in the order given.
    pub fn architectures(&self) -> impl Iterator<Item = ArchId> + use<> {
        let count = u8::try_from(self.architectures.len()).unwrap_or(u8::MAX);
        (1..=count).map(ArchId)
    }

    /// Every package in the order in which it came.
    pub fn packages(&self) -> impl Iterator<Item = PackageId> + use<> {
        (0..u32::try_from(self.packages.len()).unwrap_or(NONE)).map(PackageId)
    }

    /// How many packages there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.packages.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty()
    }

    pub(super) fn name_id(&self, name: &[u8]) -> Option<NameId> {
        self.names.find(name)
    }

    /// The packages of a name, of every version and architecture.
    pub(super) fn of_name(&self, name: NameId) -> impl Iterator<Item = PackageId> + '_ {
        let first = self.chains[name.index()].packages[0];
        chain(first, |id| self.packages[id as usize].next).map(PackageId)
    }

    /// The packages that provide a name, each with the version that it provides, or an empty one.
    pub(super) fn providing(&self, name: NameId) -> impl Iterator<Item = (PackageId, &[u8])> + '_ {
        let first = self.chains[name.index()].provisions[0];
        chain(first, |id| self.provisions[id as usize].next).map(|id| {
            let provision = &self.provisions[id as usize];
            (provision.package, self.text(provision.version))
        })
    }

    pub(super) fn name_of(&self, id: PackageId) -> NameId {
        self.record(id).name
    }

    /// The package's name.
    #[must_use]
    pub fn package_name(&self, id: PackageId) -> &[u8] {
        self.names.text(self.record(id).name)
    }

    /// The package's version.
    #[must_use]
    pub fn version(&self, id: PackageId) -> &[u8] {
        self.text(self.record(id).version)
    }

    /// The package's architecture.
    #[must_use]
    pub fn architecture_of(&self, id: PackageId) -> ArchId {
        self.record(id).architecture
    }

    /// Name and version of the source that the package was built from.
    #[must_use]
    pub fn source(&self, id: PackageId) -> (&[u8], &[u8]) {
        let record = self.record(id);
        (self.labels.text(record.source), self.text(record.source_version))
    }

    /// The package's section, `utils` or `universe/utils`.
    #[must_use]
    pub fn section(&self, id: PackageId) -> &[u8] {
        self.labels.text(self.record(id).section)
    }

    /// The package's priority.
    #[must_use]
    pub fn priority(&self, id: PackageId) -> Priority {
        self.record(id).priority
    }

    /// Which share of machines gets this version by now, in per cent.
    #[must_use]
    pub fn phased(&self, id: PackageId) -> u8 {
        self.record(id).phased
    }

    /// The file: its path below the archive's root, its size in bytes, its checksum, and where the index that
    /// lists it comes from.
    #[must_use]
    pub fn file(&self, id: PackageId) -> (&[u8], u64, Checksum, OriginId) {
        let record = self.record(id);
        (self.text(record.path), record.size, record.checksum, record.origin)
    }

    pub(super) fn pin_of(&self, id: PackageId) -> Pin {
        self.pin(self.record(id).origin)
    }

    pub(super) fn multi_arch(&self, id: PackageId) -> MultiArch {
        self.record(id).multi_arch
    }

    pub(super) fn is_essential(&self, id: PackageId) -> bool {
        self.record(id).essential
    }

    pub(super) fn is_protected(&self, id: PackageId) -> bool {
        self.record(id).protected
    }

    pub(super) fn provides(&self, id: PackageId) -> &[u8] {
        self.text(self.record(id).provides)
    }

    pub(super) fn relation(&self, id: PackageId, field: FieldName) -> &[u8] {
        self.text(self.record(id).relations[field as usize])
    }
}

impl Priority {
    /// The priority of this name; every other text is [`Priority::Extra`].
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name {
            b"required" => Self::Required,
            b"important" => Self::Important,
            b"standard" => Self::Standard,
            b"optional" => Self::Optional,
            _ => Self::Extra,
        }
    }
}

fn chain(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    let some = |id: u32| (id != NONE).then_some(id);
    std::iter::successors(some(first), move |id| some(next(*id)))
}
