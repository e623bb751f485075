//! What the program answers: to desktops, and to administrators.

pub mod admin;
pub mod client_script;
mod config;
pub mod page;

pub use config::Config;
