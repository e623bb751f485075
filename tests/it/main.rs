//! Behaviour of the whole program, and of the tools that test it.
//!
//! One binary for all of it: it is linked once, and what no test uses of the support is found by the compiler.

#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "archives name packages `.deb` and no other way"
)]
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "what a test cannot do without ends the test, in the support's functions as in the test's own"
)]
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "short texts are made once in a test: how they read counts more than an allocation"
)]
#![expect(
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    reason = "a test's own sizes and counts are small"
)]
#![expect(clippy::print_stdout, reason = "figures for whoever runs the tests with --nocapture")]

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod auto_apt_proxy;
mod bounds;
mod carry;
mod channels;
mod cli;
mod crash;
mod damage;
mod dashboard;
mod directs;
mod eviction;
mod files;
mod flights;
mod fragments;
mod freshness;
mod full_disk;
mod hostile;
mod learned_runs;
mod learning;
mod outages;
mod real_apt;
mod rehearsals;
mod reload;
mod reports;
mod requests;
mod resumes;
mod seed_kills;
mod seed_ready;
mod seed_runs;
mod seed_verify;
mod seeds;
mod seeing;
mod sending;
mod snapshots;
mod startup;
mod suites;
mod suites_api;
mod support_apt;
mod support_origin;
mod support_repository;
mod support_server;
mod tunnels;
mod verify_store;
mod wan;
mod why;
