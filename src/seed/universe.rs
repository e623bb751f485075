//! Every package that the suites of a seed list, in a form that fits into memory.
//!
//! A [`Universe`] is filled from unpacked indices, one after the other. Texts go into one arena, names are
//! numbers, relations stay unread text until somebody [visits](super::relation) the package: a package
//! costs some 130 bytes and its texts, about 450 bytes in all. The packages of a name form a chain in the
//! order in which they came, and so do those that provide it.
//!
//! What is listed twice – `noble-security` repeats what `noble-updates` has – is kept once.

use std::io::Read;

use super::names::{NameId, Names};
use super::relation::{Clause, clauses};
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::deb822::{ReadError, Reader, Stanza};
use crate::repo::apt::index::{self, IndexError, MAX_ITEMS};
use crate::repo::apt::version;

/// Most suites, components and architectures together from which one universe is filled.
pub const MAX_ORIGINS: usize = 1000;

/// Most architectures of a universe, beside `all`.
pub const MAX_ARCHITECTURES: usize = 16;

/// The longest relation field that is kept, in bytes; Debian's longest has 30 KB.
const MAX_FIELD: usize = 1 << 20;

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

    /// Takes in the packages of an unpacked index, and gives how many it lists. Those of other architectures,
    /// and those that could not be verified once they are here, are passed over.
    ///
    /// # Errors
    /// [`UniverseError`]; what was taken in before stays.
    pub fn read(&mut self, origin: OriginId, input: impl Read) -> Result<u64, UniverseError> {
        let mut reader = Reader::new(input);
        let mut count = 0;
        while let Some(stanza) = reader.next_stanza()? {
            count += 1;
            if count > MAX_ITEMS {
                return Err(IndexError::TooMany.into());
            }
            self.add(origin, stanza)?;
        }
        Ok(count)
    }

    fn add(&mut self, origin: OriginId, stanza: Stanza<'_>) -> Result<(), UniverseError> {
        let Some(item) = index::package(stanza) else { return Ok(()) };
        let Some(architecture) = self.architecture(item.architecture.as_bytes()) else { return Ok(()) };
        if item.package.is_empty() || item.version.is_empty() {
            return Ok(());
        }
        let name = self.name(item.package.as_bytes())?;
        let same = self.of_name(name).find(|id| {
            let record = self.record(*id);
            let known = self.text(record.version);
            record.architecture == architecture && version::compare(known, item.version.as_bytes()).is_eq()
        });
        if let Some(same) = same {
            // The better suite's pin is what counts; its bytes are the ones that came first, as in apt.
            let known = self.record(same).origin;
            if self.pin(origin) > self.pin(known) {
                self.packages[same.0 as usize].origin = origin;
            }
            return Ok(());
        }
        let fields = Fields::of(stanza);
        for field in fields.mentioning() {
            self.mention(field)?;
        }
        let (source, source_version) = fields.source();
        let mut relations = [Text::default(); FIELDS];
        for (kept, field) in relations.iter_mut().zip(fields.relations) {
            if field.len() <= MAX_FIELD {
                *kept = self.keep(field)?;
            }
        }
        let provides = if fields.provides.len() <= MAX_FIELD { fields.provides } else { b"" };
        let version = self.keep(item.version.as_bytes())?;
        let record = Record {
            name,
            next: NONE,
            source: self.label(if source.is_empty() { item.package.as_bytes() } else { source })?,
            section: self.label(fields.section)?,
            version,
            source_version: if source_version.is_empty() { version } else { self.keep(source_version)? },
            path: self.keep(item.path.as_bytes())?,
            provides: self.keep(provides)?,
            relations,
            size: item.size,
            checksum: item.checksum,
            origin,
            architecture,
            priority: Priority::of(fields.priority),
            multi_arch: match fields.multi_arch {
                b"foreign" => MultiArch::Foreign,
                b"allowed" => MultiArch::Allowed,
                _ => MultiArch::OfItsOwn,
            },
            essential: fields.essential == b"yes",
            protected: fields.protected == b"yes",
            phased: std::str::from_utf8(fields.phased).ok().and_then(|text| text.parse().ok()).unwrap_or(100),
        };
        let id = u32::try_from(self.packages.len()).ok().filter(|id| *id < NONE);
        let id = id.ok_or(UniverseError::Full)?;
        let last = link(&mut self.chains[name.index()].packages, id);
        if let Some(last) = last {
            self.packages[last as usize].next = id;
        }
        self.packages.push(record);
        self.provide(PackageId(id), provides)
    }

    fn provide(&mut self, package: PackageId, field: &[u8]) -> Result<(), UniverseError> {
        for provided in clauses(field).filter_map(|clause| clause.alternatives().next()?.ok()) {
            let name = self.name(provided.name)?;
            let version = self.keep(provided.bound.map_or(b"", |bound| bound.version))?;
            let id = u32::try_from(self.provisions.len()).ok().filter(|id| *id < NONE);
            let id = id.ok_or(UniverseError::Full)?;
            if let Some(last) = link(&mut self.chains[name.index()].provisions, id) {
                self.provisions[last as usize].next = id;
            }
            self.provisions.push(Provision { package, version, next: NONE });
        }
        Ok(())
    }

    fn name(&mut self, name: &[u8]) -> Result<NameId, UniverseError> {
        let id = self.names.add(name).ok_or(UniverseError::Full)?;
        if id.index() >= self.chains.len() {
            self.chains.push(Chains { packages: [NONE; 2], provisions: [NONE; 2] });
        }
        Ok(id)
    }

    fn label(&mut self, label: &[u8]) -> Result<NameId, UniverseError> {
        self.labels.add(label).ok_or(UniverseError::Full)
    }

    /// Numbers the names that a field mentions, in their order: where nothing else decides between packages,
    /// apt goes by the order in which their names entered its cache.
    fn mention(&mut self, field: &[u8]) -> Result<(), UniverseError> {
        if field.len() <= MAX_FIELD {
            for read in clauses(field).flat_map(Clause::alternatives).flatten() {
                self.name(read.name)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, text: &[u8]) -> Result<Text, UniverseError> {
        let number = |count: usize| u32::try_from(count).map_err(|_| UniverseError::Full);
        let kept = Text { at: number(self.text.len())?, len: number(text.len())? };
        self.text.extend_from_slice(text);
        Ok(kept)
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

/// Puts an element at a chain's end, and gives the one that was there before.
fn link(ends: &mut [u32; 2], id: u32) -> Option<u32> {
    let last = std::mem::replace(&mut ends[1], id);
    if last == NONE {
        ends[0] = id;
        return None;
    }
    Some(last)
}

fn chain(first: u32, next: impl Fn(u32) -> u32) -> impl Iterator<Item = u32> {
    let some = |id: u32| (id != NONE).then_some(id);
    std::iter::successors(some(first), move |id| some(next(*id)))
}

/// The fields of a stanza that matter here, beside what [`index::package`] reads.
#[derive(Default)]
struct Fields<'a> {
    source: &'a [u8],
    section: &'a [u8],
    priority: &'a [u8],
    essential: &'a [u8],
    protected: &'a [u8],
    multi_arch: &'a [u8],
    phased: &'a [u8],
    provides: &'a [u8],
    suggests: &'a [u8],
    replaces: &'a [u8],
    enhances: &'a [u8],
    relations: [&'a [u8]; FIELDS],
}

impl<'a> Fields<'a> {
    fn of(stanza: Stanza<'a>) -> Self {
        let mut fields = Self::default();
        for field in stanza.fields() {
            let target = match field.name.len() {
                6 if field.is("Source") => &mut fields.source,
                7 if field.is("Section") => &mut fields.section,
                8 if field.is("Priority") => &mut fields.priority,
                9 if field.is("Essential") => &mut fields.essential,
                9 if field.is("Protected") || field.is("Important") => &mut fields.protected,
                10 if field.is("Multi-Arch") => &mut fields.multi_arch,
                24 if field.is("Phased-Update-Percentage") => &mut fields.phased,
                8 if field.is("Provides") => &mut fields.provides,
                8 if field.is("Suggests") => &mut fields.suggests,
                8 if field.is("Replaces") => &mut fields.replaces,
                8 if field.is("Enhances") => &mut fields.enhances,
                11 if field.is("Pre-Depends") => fields.relation(FieldName::PreDepends),
                7 if field.is("Depends") => fields.relation(FieldName::Depends),
                10 if field.is("Recommends") => fields.relation(FieldName::Recommends),
                9 if field.is("Conflicts") => fields.relation(FieldName::Conflicts),
                6 if field.is("Breaks") => fields.relation(FieldName::Breaks),
                _ => continue,
            };
            if target.is_empty() {
                *target = field.value;
            }
        }
        fields
    }

    const fn relation(&mut self, name: FieldName) -> &mut &'a [u8] {
        &mut self.relations[name as usize]
    }

    /// The fields that mention names, in the order in which apt reads them.
    const fn mentioning(&self) -> [&'a [u8]; 9] {
        let [pre_depends, depends, recommends, conflicts, breaks] = self.relations;
        let Self { suggests, replaces, enhances, provides, .. } = *self;
        [pre_depends, depends, conflicts, breaks, recommends, suggests, replaces, enhances, provides]
    }

    /// Name and version in `Source: name (version)`; empty when they are the package's own.
    fn source(&self) -> (&'a [u8], &'a [u8]) {
        match memchr::memchr(b'(', self.source) {
            None => (self.source.trim_ascii(), b""),
            Some(at) => {
                let version = self.source[at + 1..].trim_ascii();
                (self.source[..at].trim_ascii(), version.strip_suffix(b")").unwrap_or(version).trim_ascii())
            }
        }
    }
}
