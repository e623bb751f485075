//! Filling a universe from unpacked indices.

use std::io::Read;

use super::{
    Chains, FIELDS, FieldName, MultiArch, NONE, OriginId, PackageId, Priority, Provision, Record, Text,
    Universe, UniverseError,
};
use crate::repo::apt::deb822::{Reader, Stanza};
use crate::repo::apt::index::{self, IndexError, MAX_ITEMS};
use crate::repo::apt::version;
use crate::seed::names::NameId;
use crate::seed::relation::{Clause, clauses};

/// The longest relation field that is kept, in bytes; Debian's longest has 30 KB.
const MAX_FIELD: usize = 1 << 20;

impl Universe {
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
            let better = self.pin(origin) > self.pin(known);
            let record = &mut self.packages[same.0 as usize];
            if better {
                record.origin = origin;
            }
            // What one suite gives to all machines, as security does, no other holds back.
            record.phased = record.phased.max(phased(stanza.field("Phased-Update-Percentage")));
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
            phased: phased(Some(fields.phased)),
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
}

/// The share of machines that get a version, in per cent; all of them where nothing sensible is said.
fn phased(field: Option<&[u8]>) -> u8 {
    let text = field.and_then(|field| std::str::from_utf8(field).ok());
    text.and_then(|text| text.parse().ok()).filter(|share| *share <= 100).unwrap_or(100)
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
