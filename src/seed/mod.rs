//! Seeds: what is to be here before anybody asks.
//!
//! A seed names packages; what belongs to it follows from verified indices alone. They are read into a
//! [`Universe`]; the [`closure`] of the seed's packages is what apt would install along.

mod closure;
mod config;
mod hours;
mod names;
mod offers;
pub mod relation;
mod universe;
mod walk;

pub use closure::{Closure, Extent, Tangled, Unresolved, Wish, closure};
pub use config::{Config, Packages};
pub use hours::{Hours, InvalidHours};
pub use offers::Offers;
pub use universe::{
    ArchId, MAX_ARCHITECTURES, MAX_ORIGINS, OriginId, PackageId, Pin, Priority, Universe, UniverseError,
};
