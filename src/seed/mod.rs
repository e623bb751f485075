//! Seeds: what is to be here before anybody asks.
//!
//! A seed names packages; what belongs to it follows from verified indices alone. They are read into a
//! [`Universe`]; the [`closure()`] of the seed's packages is what apt would install along; and the [`Plan`] lists
//! every file of them with what is here of it. The [`Planner`] has the indices fetched that are not here yet;
//! the [`Runner`] fetches what a plan misses, when the seed may, and the [`Verifier`] shows that nothing does.

mod assemble;
mod closure;
mod config;
mod family;
mod fetch;
mod gather;
mod job;
mod journal;
mod learned;
mod names;
mod obtain;
mod offers;
mod once;
mod plan;
mod planner;
mod rate;
mod rehearsal;
pub mod relation;
mod run;
mod runner;
mod select;
mod universe;
mod verify;
mod walk;
mod when;

pub use closure::{Closure, Extent, Tangled, Unresolved, Wish, closure};
pub use config::{Config, Packages};
pub use journal::{FailedFile, Journal, State};
pub use learned::Learning;
pub use offers::Offers;
pub use plan::{Part, Plan, PlanFacts, Planned, PlannedFile, PlannedSuite, UnresolvedFacts};
pub use planner::{PlanError, Planner, SeedFacts, SeedSuite};
pub use rehearsal::{Orphan, RehearsalFacts, RehearsedRepo, RehearsedSet};
pub use runner::{RunFacts, Runner, SeedState};
pub use universe::{
    ArchId, MAX_ARCHITECTURES, MAX_ORIGINS, OriginId, PackageId, Pin, Priority, Universe, UniverseError,
};
pub use verify::{Upgrade, Verifier, VerifyFacts, VerifyRunning};
