//! The strongest hash an index gives for a file.
//!
//! SHA-256 wherever there is one, because it also names objects in the store. A few vendors give
//! SHA-512 only; of that the first half is kept, which is as hard to forge as a SHA-256 and lets both
//! live in the same 32 bytes. MD5 and SHA-1 prove nothing and are not represented.

use sha2::Digest as _;

use crate::digest::Digest;

/// What a file's bytes must hash to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checksum {
    /// Its SHA-256.
    Sha256(Digest),
    /// The first half of its SHA-512.
    Sha512([u8; 32]),
}

impl Checksum {
    /// The checksum that stands for a whole SHA-512.
    #[must_use]
    pub fn from_sha512(sha512: &[u8; 64]) -> Self {
        let mut half = [0; 32];
        half.copy_from_slice(&sha512[..32]);
        Self::Sha512(half)
    }

    /// The SHA-256, where that is what is known.
    #[must_use]
    pub const fn sha256(&self) -> Option<Digest> {
        match self {
            Self::Sha256(digest) => Some(*digest),
            Self::Sha512(_) => None,
        }
    }
}

/// Hashes a stream with SHA-512, for the files of which nothing else is known.
#[derive(Clone, Default)]
pub struct Sha512Hasher(sha2::Sha512);

impl Sha512Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of everything seen.
    #[must_use]
    pub fn finish(self) -> Checksum {
        Checksum::from_sha512(&self.0.finalize().into())
    }
}

impl std::fmt::Debug for Sha512Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sha512Hasher")
    }
}

/// Parses `2 * N` hexadecimal digits of either case.
#[must_use]
pub fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_and_refuses() {
        let text = b"00ffA1b2";
        assert_eq!(parse_hex::<4>(text), Some([0, 255, 0xa1, 0xb2]));
        assert_eq!(to_hex(&[0, 255, 0xa1, 0xb2]), "00ffa1b2");
        for bad in [b"00ffA1b".as_slice(), b"00ffA1b2c", b"00ffA1bg", b""] {
            assert_eq!(parse_hex::<4>(bad), None);
        }
    }

    #[test]
    fn sha512_is_kept_by_half() {
        let mut hasher = Sha512Hasher::new();
        hasher.update(b"a");
        hasher.update(b"bc");
        // The example of FIPS 180-4.
        let expected = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a";
        assert_eq!(hasher.finish(), Checksum::Sha512(parse_hex(expected.as_bytes()).unwrap()));
    }
}
