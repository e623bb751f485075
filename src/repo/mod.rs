//! What a path means: which repository it belongs to, and how what stands there may be kept.
//!
//! Nothing here does I/O or knows the time; everything is a pure function of the configuration and of
//! text that was already parsed. A request's address becomes a [`Resource`] in two steps: the
//! [`Repositories`] find the repository, by its name or by the host and folder of one of its upstreams
//! and aliases; the repository's kind then tells the [`PathClass`], which decides everything the
//! [cache](crate::cache) does with it.

pub mod apt;
mod class;
mod config;
pub mod document;
mod resource;
mod routes;
pub mod sums;

pub use class::{PathClass, suite_folder};
pub use config::{Alias, Config, HostPattern, Kind, Rescue, Trust, Unlisted};
pub use resource::{Repository, Resource};
pub use routes::Repositories;
