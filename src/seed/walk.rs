//! One walk from a set of roots along what they need.
//!
//! Both walks keep the same state: what is chosen, in the order of choosing, so that a wrong turn can be taken
//! back, and what the chosen exclude. They never recurse, and count their steps, since whoever signs an index
//! may still have made a maze of it.
//!
//! A package that excludes something chosen is avoided where there is another. Where there is none, and what it
//! excludes was not asked for by name, it is chosen all the same: apt would then drop the other one, and the
//! plan has both.

use std::collections::{HashMap, VecDeque};

use super::closure::{Need, Tangled, Unresolved, followed, unmet};
use super::names::NameId;
use super::offers::Offers;
use super::relation::{Alternative, Clause, clauses};
use super::universe::{FieldName, PackageId};

/// What has been chosen so far.
pub(super) struct Walk<'u> {
    offers: Offers<'u>,
    recommends: bool,
    state: Vec<State>,
    /// The chosen ones, in order.
    log: Vec<PackageId>,
    /// What the chosen ones exclude, by name.
    excluded: HashMap<NameId, Vec<(PackageId, Alternative<'u>)>>,
    steps: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    chosen: bool,
    /// Asked for by name, or there is no way around it.
    protected: bool,
    /// Something that it needs cannot be had.
    hopeless: bool,
}

/// How a package stands to those that are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Conflict {
    None,
    /// With something that apt would give up.
    Soft,
    /// With something that was asked for.
    Hard,
}

impl<'u> Walk<'u> {
    pub(super) fn new(offers: Offers<'u>, recommends: bool, steps: u64) -> Self {
        Self {
            offers,
            recommends,
            state: vec![State::default(); offers.universe().len()],
            log: Vec::new(),
            excluded: HashMap::new(),
            steps,
        }
    }

    /// Chooses a root, unless it conflicts with those before.
    pub(super) fn take_root(&mut self, root: PackageId) -> bool {
        let fits = self.conflict(root) == Conflict::None;
        if fits {
            self.choose(root, true);
        }
        fits
    }

    pub(super) fn chosen(&self) -> impl Iterator<Item = PackageId> + '_ {
        self.log.iter().copied()
    }

    fn state(&mut self, package: PackageId) -> &mut State {
        &mut self.state[package.0 as usize]
    }

    fn is_chosen(&self, package: PackageId) -> bool {
        self.state[package.0 as usize].chosen
    }

    fn choose(&mut self, package: PackageId, protected: bool) {
        *self.state(package) = State { chosen: true, protected, hopeless: false };
        self.log.push(package);
        for (name, alternative) in exclusions(self.offers, package) {
            self.excluded.entry(name).or_default().push((package, alternative));
        }
    }

    /// Takes back what was chosen after the log had this length.
    fn take_back(&mut self, length: usize) {
        while self.log.len() > length {
            let Some(package) = self.log.pop() else { return };
            self.state(package).chosen = false;
            for (name, _) in exclusions(self.offers, package) {
                if let Some(held) = self.excluded.get_mut(&name) {
                    held.pop();
                }
            }
        }
    }

    /// Spends steps, of which there is a limited number.
    fn spend(&mut self, steps: usize) -> Result<(), Tangled> {
        self.steps = self.steps.checked_sub(steps as u64 + 1).ok_or(Tangled)?;
        Ok(())
    }

    fn conflict(&self, package: PackageId) -> Conflict {
        let universe = self.offers.universe();
        let with = |other: PackageId| {
            if self.state[other.0 as usize].protected { Conflict::Hard } else { Conflict::Soft }
        };
        let mut worst = Conflict::None;
        let admits = |alternative: &Alternative<'_>, version: &[u8]| {
            alternative.bound.is_none_or(|bound| !version.is_empty() && bound.admits(version))
        };
        // What it excludes, among the chosen.
        for (name, alternative) in exclusions(self.offers, package) {
            let named = universe.of_name(name).map(|other| (other, universe.version(other)));
            for (other, version) in named.chain(universe.providing(name)) {
                if self.is_chosen(other)
                    && is_another(self.offers, package, other)
                    && admits(&alternative, version)
                {
                    worst = worst.max(with(other));
                }
            }
        }
        // What the chosen exclude, among the names that it has.
        let own = std::iter::once((universe.name_of(package), universe.version(package)));
        let provided = clauses(universe.provides(package)).filter_map(|clause| {
            let provided = clause.alternatives().next()?.ok()?;
            Some((
                universe.name_id(provided.name)?,
                provided.bound.map_or(b"".as_slice(), |bound| bound.version),
            ))
        });
        for (name, version) in own.chain(provided) {
            for (other, alternative) in self.excluded.get(&name).into_iter().flatten() {
                if is_another(self.offers, package, *other) && admits(alternative, version) {
                    worst = worst.max(with(*other));
                }
            }
        }
        worst
    }

    /// The candidates that meet a clause of a package; none also where the clause makes no sense.
    fn meeting(&mut self, package: PackageId, clause: Clause<'u>) -> Result<Vec<PackageId>, Tangled> {
        let of = self.offers.universe().architecture_of(package);
        let meeting = self.offers.meeting(clause, of).unwrap_or_default();
        self.spend(meeting.len())?;
        Ok(meeting)
    }

    fn unresolved(&self, package: PackageId, field: &str, clause: Clause<'u>) -> Unresolved {
        let universe = self.offers.universe();
        let readable = self.offers.meeting(clause, universe.architecture_of(package)).map(|_| ());
        unmet(universe, package, field, clause, readable)
    }
}

/// What a package excludes.
fn exclusions(offers: Offers<'_>, package: PackageId) -> impl Iterator<Item = (NameId, Alternative<'_>)> {
    let universe = offers.universe();
    let field = move |name| clauses(universe.relation(package, name));
    field(FieldName::Conflicts).chain(field(FieldName::Breaks)).filter_map(move |clause| {
        let excluded = clause.alternatives().next()?.ok()?;
        // An unknown name excludes nothing.
        Some((universe.name_id(excluded.name)?, excluded))
    })
}

/// Whether two packages are not the same one for two architectures: what a package provides itself it does not
/// exclude.
fn is_another(offers: Offers<'_>, one: PackageId, other: PackageId) -> bool {
    one != other && offers.universe().name_of(one) != offers.universe().name_of(other)
}

/// A package whose clauses are being met one after the other.
struct Frame<'u> {
    package: PackageId,
    clauses: Vec<(Need, Clause<'u>)>,
    at: usize,
    /// What may meet the clause at hand, worst first; none when it has not been looked at.
    meeting: Option<Vec<PackageId>>,
    /// The length of the log before this package was chosen.
    before: usize,
    /// What it lacks is lacking: there is nothing else to take in its place.
    forced: bool,
}

/// Goes into depth: each clause is met with all that this needs before the next one is looked at.
///
/// Gives what could not be met.
pub(super) fn deep(walk: &mut Walk<'_>) -> Result<Vec<Unresolved>, Tangled> {
    let mut unresolved = Vec::new();
    let roots = walk.log.clone();
    for root in roots {
        let before = walk.log.len();
        let mut stack = vec![frame(walk, root, before, true)];
        while let Some(top) = stack.last_mut() {
            let Some((need, clause)) = top.clauses.get(top.at).copied() else {
                stack.pop();
                if let Some(below) = stack.last_mut() {
                    (below.meeting, below.at) = (None, below.at + 1);
                }
                continue;
            };
            if top.meeting.is_none() {
                let meeting = walk.meeting(top.package, clause)?;
                if meeting.iter().any(|package| walk.is_chosen(*package)) {
                    top.at += 1;
                    continue;
                }
                top.meeting = Some(in_order_of_trying(walk, meeting));
            }
            if let Some(next) = top.meeting.as_mut().and_then(Vec::pop) {
                let last = top.meeting.as_ref().is_none_or(Vec::is_empty);
                let forced = top.forced && last && need != Need::Soft;
                let before = walk.log.len();
                walk.choose(next, forced);
                let next = frame(walk, next, before, forced);
                stack.push(next);
                continue;
            }
            match need {
                Need::Hard(field) if top.forced => {
                    unresolved.push(walk.unresolved(top.package, field, clause));
                }
                Need::Hard(_) => {
                    let (package, before) = (top.package, top.before);
                    walk.take_back(before);
                    walk.state(package).hopeless = true;
                    // What stands below tries the next one.
                    stack.pop();
                    continue;
                }
                Need::Soft => {}
            }
            (top.meeting, top.at) = (None, top.at + 1);
        }
    }
    Ok(unresolved)
}

fn frame<'u>(walk: &Walk<'u>, package: PackageId, before: usize, forced: bool) -> Frame<'u> {
    let clauses = followed(walk.offers.universe(), package, walk.recommends).collect();
    Frame { package, clauses, at: 0, meeting: None, before, forced }
}

/// Those that may be tried, worst first: what excludes something that was asked for is left out, unless all do.
fn in_order_of_trying(walk: &Walk<'_>, meeting: Vec<PackageId>) -> Vec<PackageId> {
    let mut ranked: Vec<_> = meeting
        .into_iter()
        .filter(|package| !walk.state[package.0 as usize].hopeless)
        .map(|package| (walk.conflict(package), package))
        .collect();
    // Stable: among equals the order of preference stays.
    ranked.sort_by_key(|(conflict, _)| *conflict);
    if ranked.first().is_some_and(|(conflict, _)| *conflict < Conflict::Hard) {
        ranked.retain(|(conflict, _)| *conflict < Conflict::Hard);
    }
    ranked.into_iter().rev().map(|(_, package)| package).collect()
}

/// Takes first what leaves no choice, then chooses, the needed before the recommended, and each time what
/// follows from it.
pub(super) fn forced(walk: &mut Walk<'_>) -> Result<(), Tangled> {
    let mut fresh: VecDeque<_> = walk.log.iter().copied().collect();
    let (mut hard, mut soft) = (VecDeque::new(), VecDeque::new());
    loop {
        while let Some(package) = fresh.pop_front() {
            for (need, clause) in followed(walk.offers.universe(), package, walk.recommends) {
                let meeting = walk.meeting(package, clause)?;
                if meeting.iter().any(|package| walk.is_chosen(*package)) {
                    continue;
                }
                match (need, &meeting[..]) {
                    (_, []) => {}
                    (Need::Hard(_), [only]) => {
                        walk.choose(*only, true);
                        fresh.push_back(*only);
                    }
                    (Need::Hard(_), _) => hard.push_back((package, clause)),
                    (Need::Soft, _) => soft.push_back((package, clause)),
                }
            }
        }
        let needed = hard.pop_front();
        let is_needed = needed.is_some();
        let Some((package, clause)) = needed.or_else(|| soft.pop_front()) else { return Ok(()) };
        let meeting = walk.meeting(package, clause)?;
        if meeting.iter().any(|package| walk.is_chosen(*package)) {
            continue;
        }
        let mut tried = in_order_of_trying(walk, meeting);
        while let Some(next) = tried.pop() {
            // What is only recommended is left alone where it cannot work.
            if (is_needed && tried.is_empty()) || can_work(walk, next)? {
                walk.choose(next, false);
                fresh.push_back(next);
                break;
            }
        }
    }
}

/// Whether something meets each clause that the package needs met.
fn can_work(walk: &mut Walk<'_>, package: PackageId) -> Result<bool, Tangled> {
    for (need, clause) in followed(walk.offers.universe(), package, false) {
        if need != Need::Soft && walk.meeting(package, clause)?.is_empty() {
            walk.state(package).hopeless = true;
            return Ok(false);
        }
    }
    Ok(true)
}
