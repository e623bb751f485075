//! Talks to upstreams: one attempt at a time, within bounds, to nobody but whom the administrator meant.
//!
//! A [`Client`] sends a [`Request`] to one URL and hands back a [`Response`] whose [`Body`] is read in
//! chunks. What an attempt went through, in order:
//!
//! 1. *guard*: may this address be spoken to at all? A configured one always, any other only when it is
//!    public – whether it is written as an IP address or found by a name look-up.
//! 2. *permits*: a place among the bounded transfers, most urgent [`Class`](crate::outcome::Class) first.
//! 3. the exchange itself, limited in silence, never in total time. All that is received waits for its turn
//!    with the [governor](crate::wan).
//! 4. *redirect*: a 3xx is followed by hand, so that each hop passes steps 1 and 2 again.
//! 5. *head*: an answer whose framing contradicts itself is refused before a byte of it is used.
//!
//! Trying again, and elsewhere, is the caller's: [`Mirrors`] remembers which upstream of a repository is
//! well, [`Backoff`] how long to wait, [`UpstreamError`] whether it is worth it. Those three do no I/O.
//!
//! This folder writes to no disk, follows no proxy variable of the environment, keeps no cookies, decodes
//! no content coding and sends no header of its own but `User-Agent`, `Accept-Encoding: identity`,
//! `Accept: */*` where the caller gave none, and what the framing of a request needs.

mod classify;
mod client;
mod config;
mod error;
mod guard;
mod head;
mod mirrors;
mod permits;
mod redirect;
mod request;
mod response;
mod retry;
#[cfg(test)]
mod tests;

pub use client::Client;
pub use config::Config;
pub use error::{Error, Refusal, UpstreamError};
pub use guard::{Resolver, Resolving, SystemResolver};
pub use head::ContentRange;
pub use mirrors::{MirrorStatus, Mirrors};
pub use request::Request;
pub use response::{Body, Response};
pub use retry::Backoff;
