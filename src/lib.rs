//! Lumbung: a caching mirror and proxy for package repositories.
//!
//! Two stories run through this crate. A request: client → [`server`] (route) → [`repo`] (what is this
//! path?) → [`cache`] (have it, join it, fetch it?) → [`upstream`] → [`store`] → back through
//! [`server`]. And the program itself: [`cli`] reads arguments, [`config`] a file, [`app`] puts the
//! parts together and runs them.

pub mod app;
pub mod cache;
pub mod carry;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dashboard;
pub mod digest;
pub mod history;
pub mod language;
pub mod networks;
pub mod outcome;
pub mod repo;
pub mod repo_path;
pub mod safe_url;
pub mod seed;
pub mod server;
pub mod slots;
pub mod status;
pub mod store;
pub mod suite;
pub mod tasks;
pub mod telemetry;
pub mod units;
pub mod upstream;
pub mod wan;
