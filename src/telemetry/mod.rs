//! (to come)

mod logging;

pub use logging::{LogConfig, LogError, LogFormat, init};
