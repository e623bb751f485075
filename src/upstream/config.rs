//! How upstreams are asked, as plain values.

use std::time::Duration;

/// How upstreams are asked.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a name look-up, TCP connection and TLS handshake may take together.
    pub connect_timeout: Duration,
    /// How long upstream may send no byte.
    pub idle_timeout: Duration,
    /// How often a failed transfer is tried again.
    pub retries: u32,
    /// Transfers at the same time, in all.
    pub connections: usize,
    /// Transfers at the same time from one origin.
    pub connections_per_host: usize,
    /// Contents of PEM files with further certificate authorities.
    pub ca: Vec<Vec<u8>>,
    /// The longest body that is accepted, in bytes.
    pub max_object: u64,
}
