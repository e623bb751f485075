//! What the tests of the whole program stand on.
//!
//! A test speaks to the program through its front door and plays everybody else itself: [`origin`] is an
//! upstream that misbehaves on command, [`repository`] makes signed apt repositories for it to serve,
//! [`client`] is a client that sees every byte of an answer, [`apt`] runs the machine's real apt in a root of
//! its own, [`nginx`] and [`real_upstream`] are a real web server with a real publisher's files.
//!
//! Nothing here waits by sleeping: a test holds a transfer at a [`gate::Gate`] and opens it, or waits until
//! the origin has seen what it should see. All traffic stays on the loopback interface, except that
//! [`real_upstream`] lets the machine's apt fetch from wherever the machine's apt always fetches.

pub mod apt;
pub mod bootstrap;
pub mod client;
pub mod gate;
pub mod nginx;
pub mod origin;
pub mod program;
pub mod real_upstream;
pub mod repository;
pub mod server;
pub mod snapshot_apt;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

/// How long a test waits for something that must happen before it fails. No test waits this long when all
/// is well. It counts on tokio's clock: a test that pauses time has no sockets to wait for.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// SHA-256 of `bytes` in lower-case hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file in lower-case hexadecimal digits.
pub fn sha256_file(path: &Path) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match std::io::Read::read(&mut file, &mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            n => hash.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `length` bytes that no compressor shortens; the same `seed` gives the same bytes.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    // FNV-1a spreads the seed, xorshift64 draws from it; the state may not become zero.
    let mut state = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The path of a request target or URL, decoded, without a query, and without the `/./` that apt sends.
pub fn decoded_path(target: &str) -> String {
    let local = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let path = local.split('?').next().unwrap_or_default();
    // apt asks a flat repository for `/./InRelease`, and web servers answer as if the dot were not there.
    percent_decode_str(path).decode_utf8_lossy().replace("/./", "/")
}
