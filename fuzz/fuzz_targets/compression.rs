//! Unpacking: never more comes out than the limit, whatever the input and whoever packed it.

#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use lumbung::repo::apt::compression::{Compression, unpack};

const KINDS: [Compression; 7] = [
    Compression::None,
    Compression::Gzip,
    Compression::Xz,
    Compression::Lzma,
    Compression::Bzip2,
    Compression::Zstd,
    Compression::Lz4,
];

// The first byte is the way of packing, the second the limit.
fuzz_target!(|data: &[u8]| {
    let [kind, limit, packed @ ..] = data else { return };
    let kind = KINDS[usize::from(*kind) % KINDS.len()];
    let limit = u64::from(*limit) * u64::from(*limit);
    let Ok(mut unpacked) = unpack(kind, packed, limit) else { return };
    let (mut piece, mut total) = ([0; 1000], 0);
    loop {
        match unpacked.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => total += read as u64,
            Err(_) => {
                if kind == Compression::None {
                    assert!(packed.len() as u64 > limit);
                }
                break;
            }
        }
        assert!(total <= limit);
    }
    if kind == Compression::None && packed.len() as u64 <= limit {
        assert_eq!(total, packed.len() as u64);
    }
});
