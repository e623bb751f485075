//! What the program answers: to desktops, and to administrators.

pub mod admin;
pub mod client_script;
pub mod page;
