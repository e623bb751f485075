//! (to come)

mod config;
pub use config::{Alias, AliasError, Config, HostPattern, Kind, Trust};
