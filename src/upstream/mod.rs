//! (to come)

mod config;
pub use config::Config;
