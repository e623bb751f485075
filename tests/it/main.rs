//! Behaviour of the whole program, and of the tools that test it.

#[path = "../support/mod.rs"]
mod support;

mod auto_apt_proxy;
mod cli;
mod real_apt;
mod seeing;
mod support_apt;
mod support_origin;
mod support_repository;
