//! Behaviour of the whole program, and of the tools that test it.
//!
//! One binary for all of it: it is linked once, and what no test uses of the support is found by the compiler.

#![expect(
    clippy::expect_used,
    reason = "what a test cannot do without ends the test, in the support's functions as in the test's own"
)]
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "short texts are made once in a test: how they read counts more than an allocation"
)]

#[path = "../support/mod.rs"]
mod support;

mod auto_apt_proxy;
mod bounds;
mod cli;
mod directs;
mod flights;
mod fragments;
mod freshness;
mod hostile;
mod outages;
mod real_apt;
mod requests;
mod resumes;
mod seeing;
mod suites;
mod support_apt;
mod support_origin;
mod support_repository;
mod support_server;
mod tunnels;
