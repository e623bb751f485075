//! What apt installs along: the closure of a set of packages under their dependencies.
//!
//! Where a clause leaves a choice, apt's versions choose differently: the classic one goes into depth, takes
//! the first alternative that works at each step, and goes back where one does not; the newer solver first
//! takes everything that is forced, so that a choice may be settled before it is made. A seed must serve
//! both, and so [`closure`] gives the union of two greedy [walks](super::walk), each of which is close to
//! one of them. Nothing is installed yet on the machine that they imagine.
//!
//! Packages that exclude each other may well be wanted together, for different machines: a root that conflicts
//! with those before it begins a further round.

use std::fmt;

use super::offers::Offers;
use super::relation::{BadRelation, Clause, clauses};
use super::universe::{ArchId, FieldName, PackageId, Universe};
use super::walk::{Walk, deep, forced};

/// Most steps of one closure: far beyond what the largest real set needs (a million), and seconds at most.
const STEPS: u64 = 50_000_000;

/// Most rounds of roots that go together.
const ROUNDS: usize = 16;

/// How a closure is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// What apt would install.
    Apt,
    /// Every alternative, and everything that provides one.
    All,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The names of packages, each with an architecture after a colon where it is not the machine's own.
    pub names: &'a [&'a str],
    /// Whether what packages recommend belongs to it.
    pub recommends: bool,
    /// How far it goes.
    pub extent: Extent,
}

/// What belongs together.
#[derive(Debug, Clone, Default)]
pub struct Closure {
    /// The packages, sorted.
    pub packages: Vec<PackageId>,
    /// What could not be had.
    pub unresolved: Vec<Unresolved>,
}

/// Something that apt would refuse to install, or to install along.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unresolved {
    /// The package that is not there, or that lacks something.
    pub package: String,
    /// What is wrong, with the clause where there is one.
    pub reason: String,
}

/// The closure would take longer than anybody waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the relations of these packages are too tangled to be followed; ask for fewer packages at a time")]
pub struct Tangled;

/// A strength of dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// `Pre-Depends` or `Depends`: the word of the index.
    Hard(&'static str),
    /// `Recommends`.
    Soft,
}

/// The clauses of a package that are followed, in apt's order.
pub(super) fn followed(
    universe: &Universe,
    package: PackageId,
    recommends: bool,
) -> impl Iterator<Item = (Need, Clause<'_>)> {
    let field = move |need, name| clauses(universe.relation(package, name)).map(move |clause| (need, clause));
    field(Need::Hard("Pre-Depends"), FieldName::PreDepends)
        .chain(field(Need::Hard("Depends"), FieldName::Depends))
        .chain(field(Need::Soft, FieldName::Recommends).filter(move |_| recommends))
}

/// The packages that a machine of the offers' architecture would get for a wish.
///
/// # Errors
/// [`Tangled`].
pub fn closure(offers: Offers<'_>, wish: &Wish<'_>) -> Result<Closure, Tangled> {
    let mut found = Closure::default();
    let mut roots = Vec::new();
    for name in wish.names {
        match root(offers, name) {
            Ok(package) if roots.contains(&package) => {}
            Ok(package) => roots.push(package),
            Err(unresolved) => found.unresolved.push(unresolved),
        }
    }
    match wish.extent {
        Extent::All => everything(offers, wish.recommends, roots, &mut found)?,
        Extent::Apt => {
            let mut left = roots;
            for _ in 1..ROUNDS {
                left = round(offers, wish.recommends, &left, &mut found)?;
                if left.is_empty() {
                    break;
                }
            }
            // Whoever asks for so much that excludes itself gets the rest one by one.
            for root in left {
                round(offers, wish.recommends, &[root], &mut found)?;
            }
        }
    }
    found.packages.sort_unstable();
    found.packages.dedup();
    found.unresolved.sort_unstable();
    found.unresolved.dedup();
    Ok(found)
}

/// Both walks from those of the roots that go together; gives those that do not.
fn round(
    offers: Offers<'_>,
    recommends: bool,
    roots: &[PackageId],
    found: &mut Closure,
) -> Result<Vec<PackageId>, Tangled> {
    let mut first = Walk::new(offers, recommends, STEPS);
    let left: Vec<_> = roots.iter().copied().filter(|root| !first.take_root(*root)).collect();
    let mut second = Walk::new(offers, recommends, STEPS);
    for root in roots.iter().filter(|root| !left.contains(root)) {
        second.take_root(*root);
    }
    let unresolved = deep(&mut first)?;
    forced(&mut second)?;
    found.packages.extend(first.chosen().chain(second.chosen()));
    found.unresolved.extend(unresolved);
    Ok(left)
}

/// Every candidate that any clause of anything in it could mean.
fn everything(
    offers: Offers<'_>,
    recommends: bool,
    roots: Vec<PackageId>,
    found: &mut Closure,
) -> Result<(), Tangled> {
    let universe = offers.universe();
    let mut seen = vec![false; universe.len()];
    let mut queue = roots;
    let mut steps = STEPS;
    for root in &queue {
        seen[root.0 as usize] = true;
    }
    while let Some(package) = queue.pop() {
        found.packages.push(package);
        for (need, clause) in followed(universe, package, recommends) {
            let meeting = offers.meeting(clause, universe.architecture_of(package));
            let cost = meeting.as_ref().map_or(0, Vec::len) as u64 + 1;
            steps = steps.checked_sub(cost).ok_or(Tangled)?;
            match (meeting, need) {
                (Ok(meeting), _) if !meeting.is_empty() => {
                    for next in meeting {
                        if !std::mem::replace(&mut seen[next.0 as usize], true) {
                            queue.push(next);
                        }
                    }
                }
                (meeting, Need::Hard(field)) => {
                    found.unresolved.push(unmet(universe, package, field, clause, meeting.map(|_| ())));
                }
                (_, Need::Soft) => {}
            }
        }
    }
    Ok(())
}

/// The package that a name means.
pub(super) fn root(offers: Offers<'_>, wished: &str) -> Result<PackageId, Unresolved> {
    let universe = offers.universe();
    let unresolved = |reason: String| Unresolved { package: wished.to_owned(), reason };
    let (name, architecture) = match wished.rsplit_once(':') {
        None => (wished, offers.native()),
        Some((name, written)) => match universe.architecture(written.as_bytes()) {
            Some(ArchId::ALL) => (name, offers.native()),
            Some(architecture) => (name, architecture),
            None => return Err(unresolved(format!("the seed has no architecture {written}"))),
        },
    };
    offers.root(name.as_bytes(), architecture).ok_or_else(|| {
        let providers = universe.name_id(name.as_bytes()).map_or(0, |name| universe.providing(name).count());
        let architecture = Text(universe.architecture_name(architecture));
        unresolved(match providers {
            0 => format!("no suite of the seed has a package of this name for {architecture}"),
            _ => format!("no package has this name for {architecture}; several provide it: name one of them"),
        })
    })
}

/// A clause that nothing meets.
pub(super) fn unmet(
    universe: &Universe,
    package: PackageId,
    field: &str,
    clause: Clause<'_>,
    readable: Result<(), BadRelation>,
) -> Unresolved {
    let text = Text(clause.text());
    let why = if let Err(error) = readable {
        error.to_string()
    } else {
        match &versions(universe, clause)[..] {
            [] => "no suite of the seed has it".to_owned(),
            versions => format!("there is {}", versions.join(", ")),
        }
    };
    let reason = format!("{field}: {text}: {why}");
    Unresolved { package: title(universe, package), reason }
}

/// What there is of the names in a clause, for somebody who wonders why it is not met.
fn versions(universe: &Universe, clause: Clause<'_>) -> Vec<String> {
    const MOST: usize = 4;
    let names = clause.alternatives().filter_map(|read| universe.name_id(read.ok()?.name));
    let all = names.flat_map(|name| universe.of_name(name));
    let mut titles: Vec<_> =
        all.map(|id| format!("{} {}", title(universe, id), Text(universe.version(id)))).collect();
    titles.sort_unstable();
    titles.dedup();
    titles.truncate(MOST);
    titles
}

/// `nano:amd64`.
pub(super) fn title(universe: &Universe, package: PackageId) -> String {
    let architecture = universe.architecture_name(universe.architecture_of(package));
    format!("{}:{}", Text(universe.package_name(package)), Text(architecture))
}

/// Bytes of an index in a message.
pub(super) struct Text<'a>(pub(super) &'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in String::from_utf8_lossy(self.0).chars().take(300) {
            write!(f, "{}", if character.is_control() { ' ' } else { character })?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "closure_tests.rs"]
mod tests;
