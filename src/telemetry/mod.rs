//! What the program says about itself: log lines for whoever reads the journal, numbers for whoever
//! draws graphs.
//!
//! Both use the words of [`crate::outcome`], so that a log line, a metric label and a response header
//! about the same thing can be found by the same search. Nothing here is a process-wide variable of
//! ours; the one subscriber that `tracing` knows per process is set by the first [`init`] that comes.

mod histogram;
mod lines;
mod logging;
mod metrics;

pub use lines::Lines;
pub use logging::{LogConfig, LogControl, LogError, LogFormat, init};
pub use metrics::Metrics;
