//! The bytes of every file, as a function of its path and the position in it: nothing has to be kept to
//! serve a file of a gigabyte, or to check what came of it.

use sha2::{Digest as _, Sha256};

/// Length of the noise that all files are cut from, in bytes. Odd, so that pages do not repeat.
const LENGTH: usize = 8 * 1024 * 1024 + 13;

/// Noise; clones of files are stretches of it, begun at a place that the path tells.
pub struct Content(Vec<u8>);

impl Content {
    pub fn new() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut bytes = Vec::with_capacity(LENGTH + 8);
        while bytes.len() < LENGTH {
            // xorshift64: no layer can shorten it.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(LENGTH);
        Self(bytes)
    }

    /// The longest stretch of the file at `path` from `position` that lies in one piece, up to `length`.
    pub fn piece(&self, path: &str, position: u64, length: usize) -> &[u8] {
        // FNV-1a.
        let start = path.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
            (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let at = (start % LENGTH as u64 + position) % LENGTH as u64;
        let at = usize::try_from(at).unwrap_or_default();
        &self.0[at..LENGTH.min(at + length)]
    }

    /// Whether `bytes` are what stands at `position` of the file at `path`.
    pub fn is(&self, path: &str, mut position: u64, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let expected = self.piece(path, position, bytes.len());
            let (seen, rest) = bytes.split_at(expected.len());
            if seen != expected {
                return false;
            }
            position += seen.len() as u64;
            bytes = rest;
        }
        true
    }

    /// Shows the whole of a file, piece by piece.
    pub fn each(&self, path: &str, size: u64, mut visit: impl FnMut(&[u8])) {
        let mut position = 0;
        while position < size {
            let left = usize::try_from(size - position).unwrap_or(usize::MAX);
            let piece = self.piece(path, position, left);
            visit(piece);
            position += piece.len() as u64;
        }
    }

    /// SHA-256 of a file in hexadecimal digits.
    pub fn sha256(&self, path: &str, size: u64) -> String {
        let mut hash = Sha256::new();
        self.each(path, size, |piece| hash.update(piece));
        hex(&hash.finalize())
    }
}

pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
