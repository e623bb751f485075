//! Which packages may meet a clause, in the order in which apt would try them.
//!
//! Of each name and architecture apt considers one version only, the *candidate*: the newest one of the suites
//! with the best pin. Nothing is installed yet when a seed is planned, so that only candidates count, and a
//! machine sees packages of its own architecture first, those of its others where they say that they serve it.
//!
//! # Updates that come to some machines first
//!
//! A version with `Phased-Update-Percentage` below 100 is for that share of machines, drawn from machine, source
//! and version. apt (2.4 to 3.1: `PhasingApplied` in `apt-pkg/depcache.cc`, called in `upgrade.cc`,
//! `algorithms.cc` and `solver3.cc`) looks at it in *upgrades* alone: whoever is not drawn keeps what is installed,
//! and asks for nothing. What is *newly installed* is the newest version, whatever its share. Only with
//! `APT::Get::Phase-Policy` (`ExcludePhased` in `policy.cc`; off by default, on in the first apt that knew
//! phasing) is such a version pinned to 1 for those who are not drawn, so that they install the one before it. What
//! comes from a suite for security is never held back. So a desktop asks for one of two sets: with such updates,
//! and [without](Offers::without_phased); a seed holds both.

use super::names::NameId;
use super::relation::{Alternative, BadRelation, Clause};
use super::universe::{ArchId, MultiArch, PackageId, Pin, Universe};
use crate::repo::apt::version;

/// A universe as a machine of one architecture sees it.
#[derive(Debug, Clone, Copy)]
pub struct Offers<'u> {
    universe: &'u Universe,
    native: ArchId,
    /// Whether updates that do not come to all machines yet are taken as any other.
    phased: bool,
}

impl<'u> Offers<'u> {
    /// What a machine of the architecture `native` sees.
    #[must_use]
    pub const fn new(universe: &'u Universe, native: ArchId) -> Self {
        Self { universe, native, phased: true }
    }

    /// The same for a machine that does not get updates yet which come to others first: to it they are as good
    /// as nothing, and no worse.
    #[must_use]
    pub const fn without_phased(self) -> Self {
        Self { phased: false, ..self }
    }

    /// The universe.
    #[must_use]
    pub const fn universe(&self) -> &'u Universe {
        self.universe
    }

    /// The machine's own architecture.
    #[must_use]
    pub const fn native(&self) -> ArchId {
        self.native
    }

    /// The architecture that a package belongs to on this machine: what is the same for all is its own.
    fn home(&self, package: PackageId) -> ArchId {
        match self.universe.architecture_of(package) {
            ArchId::ALL => self.native,
            own => own,
        }
    }

    fn pin_of(&self, package: PackageId) -> Pin {
        if self.phased || self.universe.phased(package) >= 100 {
            self.universe.pin_of(package)
        } else {
            Pin::NotAutomatic
        }
    }

    /// The candidate of a name on this machine for packages that belong to `architecture`.
    pub(super) fn candidate(&self, name: NameId, architecture: ArchId) -> Option<PackageId> {
        let universe = self.universe;
        let mut all = universe.of_name(name).filter(|id| self.home(*id) == architecture);
        let first = all.next()?;
        Some(all.fold(first, |best, other| {
            let pins = self.pin_of(other).cmp(&self.pin_of(best));
            let newer = pins.then_with(|| version::compare(universe.version(other), universe.version(best)));
            if newer.is_gt() { other } else { best }
        }))
    }

    fn is_candidate(&self, package: PackageId) -> bool {
        self.candidate(self.universe.name_of(package), self.home(package)) == Some(package)
    }

    /// Whether a machine of this architecture would take this package of its name.
    pub(super) fn is_own_candidate(&self, package: PackageId) -> bool {
        self.home(package) == self.native && self.is_candidate(package)
    }

    /// Every candidate that meets the clause for a package of the architecture `of`, best first.
    ///
    /// # Errors
    /// [`BadRelation`], when an alternative makes no sense.
    pub(super) fn meeting(&self, clause: Clause<'_>, of: ArchId) -> Result<Vec<PackageId>, BadRelation> {
        let of = if of == ArchId::ALL { self.native } else { of };
        let mut found = Vec::new();
        for alternative in clause.alternatives() {
            let alternative = alternative?;
            if alternative.is_for(self.universe.architecture_name(of)) {
                self.add_meeting(&alternative, of, &mut found);
            }
        }
        Ok(found)
    }

    fn add_meeting(&self, alternative: &Alternative<'_>, of: ArchId, found: &mut Vec<PackageId>) {
        let universe = self.universe;
        let Some(name) = universe.name_id(alternative.name) else { return };
        let start = found.len();
        let meets = |version: &[u8]| match alternative.bound {
            None => true,
            Some(bound) => !version.is_empty() && bound.admits(version),
        };
        let mut add = |package: PackageId, version: &[u8]| {
            if meets(version)
                && self.serves(package, alternative, of)
                && !found.contains(&package)
                && self.is_candidate(package)
            {
                found.push(package);
            }
        };
        for package in universe.of_name(name) {
            add(package, universe.version(package));
        }
        for (package, version) in universe.providing(name) {
            add(package, version);
        }
        // As apt's `CompareProviders`. The name that was mentioned last is preferred where nothing else decides.
        found[start..].sort_by_key(|package| {
            (
                universe.name_of(*package) != name,
                !universe.is_essential(*package),
                !universe.is_protected(*package),
                self.home(*package) != self.native,
                universe.priority(*package),
                std::cmp::Reverse(universe.name_of(*package)),
            )
        });
    }

    /// Whether a package may stand where the alternative asks for one, for a package of the architecture `of`.
    fn serves(&self, package: PackageId, alternative: &Alternative<'_>, of: ArchId) -> bool {
        let home = self.home(package);
        let multi_arch = self.universe.multi_arch(package);
        match alternative.qualifier {
            None => home == of || multi_arch == MultiArch::Foreign,
            Some(b"any") => matches!(multi_arch, MultiArch::Allowed | MultiArch::Foreign),
            Some(b"native") => home == self.native,
            Some(name) => self.universe.architecture(name) == Some(home),
        }
    }

    /// The packages of a universe that meet a root's name: the package itself, or else the best that provides
    /// the name, as `apt-get install` takes them.
    pub(super) fn root(&self, name: &[u8], architecture: ArchId) -> Option<PackageId> {
        let name = self.universe.name_id(name)?;
        if let Some(candidate) = self.candidate(name, architecture) {
            return Some(candidate);
        }
        let mut providers = self
            .universe
            .providing(name)
            .map(|(package, _)| package)
            .filter(|package| self.home(*package) == architecture && self.is_candidate(*package));
        // Of several, apt asks the user to choose.
        providers.next().filter(|only| providers.all(|other| other == *only))
    }
}
