//! How upstreams are asked, as plain values.

use std::time::Duration;

/// How upstreams are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How long a name look-up, TCP connection and TLS handshake may take together. Default 5 s: a
    /// mirror abroad answers within one, and a client that waits for another upstream gives up at 30.
    pub connect_timeout: Duration,
    /// How long upstream may send no byte before the transfer is resumed, here or elsewhere. Default
    /// 20 s: apt gives up on 30 s of silence, so there is time left to try again.
    pub idle_timeout: Duration,
    /// How long a client waits for an upstream while a kept copy is at hand. Default 5 s: apt asks for a
    /// few files in a row, and nobody should notice that the line is down.
    pub patience: Duration,
    /// How often a failed transfer is tried again. Default 5: with doubling pauses that outlasts a
    /// line that drops for a few seconds.
    pub retries: u32,
    /// Transfers at the same time, in all. Default 32: more would only slice a thin line thinner.
    pub connections: usize,
    /// Transfers at the same time from one origin. Default 16, half of all, so that one slow mirror
    /// cannot keep the others waiting.
    pub connections_per_host: usize,
    /// Contents of PEM files with certificate authorities beyond the built-in ones. Default none.
    pub ca: Vec<Vec<u8>>,
    /// The longest body that is accepted, in bytes. Default 64 GB: larger than any package or release
    /// image, small enough that an endless body ends.
    pub max_object: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(20),
            patience: Duration::from_secs(5),
            retries: 5,
            connections: 32,
            connections_per_host: 16,
            ca: Vec::new(),
            max_object: 64_000_000_000,
        }
    }
}
