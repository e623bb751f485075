//! (to come)

pub mod apt;
