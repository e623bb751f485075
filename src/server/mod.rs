//! What clients see: connections, the understanding of their requests, and the answers.
//!
//! [`listen`] accepts at addresses that may change, [`connection`] admits within bounds and hands each connection to hyper over [`io`], which keeps the
//! time-outs and reads a client's pipelined requests ahead. [`handler`] takes one request through
//! [`route`] (what is asked for, or why not), the [cache](crate::cache), and [`respond`] (status and
//! headers) to a [`body`]. What a body sends from files is a [`part`], which [`transmit`] has the kernel
//! send. Status codes and the words for failures are chosen in [`error`] alone. Each
//! request leaves one line in the [`access_log`].

mod access_log;
pub mod admin;
pub mod api;
#[doc(hidden)]
pub mod bench;
mod body;
pub mod client_script;
mod config;
mod connection;
mod error;
mod explain;
mod handler;
mod heads;
mod io;
mod listen;
mod multipart;
mod page;
mod part;
pub mod report;
mod respond;
mod route;
mod transmit;
mod tunnel;

pub use access_log::AccessLog;
pub use config::{Config, Office};
pub use connection::{Parts, Server, Settings};
pub use explain::{Explainer, Unexplained};
pub(crate) use listen::cannot_listen;
pub use listen::{Control, Rebound};
