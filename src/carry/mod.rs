//! The road without a line: what a seed needs, written to a disk here and taken in somewhere else.
//!
//! [`Carrier`] runs one job at a time, an *export* or an *import*, as a task that belongs to nobody who asks.
//!
//! An export writes a [bundle]: a plain mirror tree, which any apt or `sha256sum` can read as well. Each file is
//! hashed as it is read from the store, and read back from the disk and hashed again before it counts.
//!
//! An import takes bundles, mirror trees, single packages, ISO images and the cache of apt-cacher-ng. Where
//! the bytes come from says nothing: first the release files and checksum lists that are found are verified
//! with the keyrings of this server's own configuration; then what they list is read; then every file whose
//! hash that, or a suite that is here already, confirms is stored; and only then do the suites become
//! current, so that no desktop is shown what has not come yet. All else is refused, by name.
//!
//! Either may be interrupted at any moment, the disk pulled out included, and is done again from the
//! beginning: what is there already, and right, is not written a second time.

pub mod bundle;
mod export;
mod facts;
mod import;
mod iso;
mod job;
mod places;
mod shelf;

pub use facts::{CarryFacts, CarryKind, RefusedFile, SuiteStanding, SuiteState};
pub use job::{Busy, Carrier, ExportOrder, ImportOrder};

/// Runs `work` where blocking is allowed.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|_| "the server is shutting down".to_owned())
}
