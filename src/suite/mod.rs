//! Which generation of each suite is current, and what follows from it for a path.
//!
//! A [`Generation`] is one verified state of a suite: its release file, parsed. The [`Suites`] hold, for
//! each repository, the current generation of every suite that somebody here has asked for, the ones
//! before it, and the [tables](crate::repo::apt::table) of what their indices list. [`View::resolve`]
//! turns a resource into what is known of its bytes; it takes no lock that a change holds and does no
//! I/O. Changes replace a repository's whole [`View`] at once, so that a request sees either the old
//! state or the new one, never half of each.
//!
//! Everything here can be rebuilt from the store; nothing here is durable.

mod channel;
mod facts;
mod generation;
mod resolve;
mod view;

pub use channel::{Channel, Config as ChannelConfig, InvalidChannel};
pub use facts::{
    ChannelFacts, GenerationFacts, Moved, MovedSuite, RefreshFacts, ShownFacts, SuiteDetail, SuiteFacts,
};
pub use generation::Generation;
pub use resolve::{Known, Resolution, known_index};
pub use view::{Finding, Pinned, Suite, Suites, View};
