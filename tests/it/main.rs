//! Behaviour of the whole program, and of the tools that test it.

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each test target uses its part of the support")]
mod support;

mod sending;
mod support_apt;
mod support_origin;
mod support_repository;
