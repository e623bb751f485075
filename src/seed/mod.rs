//! Seeds: what is to be here before anybody asks.
//!
//! A seed names packages; what belongs to it follows from verified indices alone. They are read into a
//! [`Universe`]; the [`closure()`] of the seed's packages is what apt would install along; and the [`Plan`] lists
//! every file of them with what is here of it. The [`Planner`] has the indices fetched that are not here yet.

mod assemble;
mod closure;
mod config;
mod family;
mod gather;
mod jobs;
mod learned;
mod names;
mod obtain;
mod offers;
mod plan;
mod planner;
mod rehearsal;
pub mod relation;
mod select;
mod universe;
mod walk;

pub use closure::{Closure, Extent, Tangled, Unresolved, Wish, closure};
pub use config::{Config, Packages};
pub use learned::Learning;
pub use offers::Offers;
pub use plan::{Part, Plan, PlanFacts, Planned, PlannedFile, PlannedSuite, UnresolvedFacts};
pub use planner::{PlanError, Planner, SeedFacts, SeedSuite};
pub use rehearsal::{Orphan, RehearsalFacts, RehearsedRepo, RehearsedSet};
pub use universe::{
    ArchId, MAX_ARCHITECTURES, MAX_ORIGINS, OriginId, PackageId, Pin, Priority, Universe, UniverseError,
};
