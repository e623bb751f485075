//! Behaviour of the whole program, and of the tools that test it.

#[path = "../support/mod.rs"]
mod support;

mod auto_apt_proxy;
mod bounds;
mod channels;
mod cli;
mod flights;
mod fragments;
mod hostile;
mod real_apt;
mod requests;
mod resumes;
mod seeing;
mod suites_api;
mod support_apt;
mod support_origin;
mod support_repository;
mod tunnels;
mod why;
