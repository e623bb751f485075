//! Unpacking of indices.
//!
//! A few kilobytes can unpack to terabytes, and some formats let the packer choose how much memory the
//! unpacker takes. [`unpack`] bounds both: the output by what the caller knows of it – the size that the
//! signed release file lists for the unpacked index – and the memory by [`MEMORY`]. It streams, reads as
//! much input as it needs, and accepts several packed streams in a row as the command line tools do.

use std::io::{self, Read};

use liblzma::stream::{CONCATENATED, Stream};

/// Most memory that unpacking takes, in bytes: the largest presets, `xz -9` and `zstd --ultra`, stay below.
pub const MEMORY: u64 = 160 << 20;

/// The base-2 logarithm of the longest zstd window accepted, as [`MEMORY`] allows.
const ZSTD_WINDOW: u32 = 27;

/// How an index is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// `.gz`
    Gzip,
    /// `.xz`
    Xz,
    /// `.lzma`, in archives of long ago
    Lzma,
    /// `.bz2`
    Bzip2,
    /// `.zst`
    Zstd,
    /// `.lz4`
    Lz4,
}

impl Compression {
    /// Every way of packing that has a file name extension.
    const PACKED: [Self; 6] = [Self::Gzip, Self::Xz, Self::Lzma, Self::Bzip2, Self::Zstd, Self::Lz4];

    /// Tells from a file's name how it is packed, and what it is called unpacked.
    #[must_use]
    pub fn of(path: &str) -> (Self, &str) {
        if let Some((stem, extension)) = path.rsplit_once('.') {
            for packed in Self::PACKED {
                if packed.extension() == extension {
                    return (packed, stem);
                }
            }
        }
        (Self::None, path)
    }

    /// The file name extension without its dot; empty for [`Compression::None`].
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gz",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Bzip2 => "bz2",
            Self::Zstd => "zst",
            Self::Lz4 => "lz4",
        }
    }
}

/// Unpacks `input` on the fly. More than `limit` bytes of output are an error of the kind
/// [`io::ErrorKind::FileTooLarge`], broken input is one of another kind.
///
/// # Errors
/// The decoder could not be set up: out of memory, or the input's first bytes could not be read.
pub fn unpack<'a>(
    compression: Compression,
    input: impl Read + Send + 'a,
    limit: u64,
) -> io::Result<Capped<Box<dyn Read + Send + 'a>>> {
    let unpacked: Box<dyn Read + Send + 'a> = match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
        Compression::Xz => {
            let stream = Stream::new_stream_decoder(MEMORY, CONCATENATED)?;
            Box::new(liblzma::read::XzDecoder::new_stream(input, stream))
        }
        Compression::Lzma => {
            let stream = Stream::new_lzma_decoder(MEMORY)?;
            Box::new(liblzma::read::XzDecoder::new_stream(input, stream))
        }
        Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(input)),
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(input)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        Compression::Lz4 => Box::new(lz4_flex::frame::FrameDecoder::new(input)),
    };
    Ok(Capped { inner: unpacked, left: limit })
}

/// A reader that fails where its input goes on beyond the limit.
#[derive(Debug)]
pub struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        // One byte more than is left is how to notice that the input does not end here.
        let most = usize::try_from(self.left.saturating_add(1)).unwrap_or(usize::MAX).min(into.len());
        let read = self.inner.read(&mut into[..most])?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "unpacks to more than its release file lists")
        })?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn pack(compression: Compression, plain: &[u8]) -> Vec<u8> {
        match compression {
            Compression::None => plain.to_vec(),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Xz => {
                let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Lzma => {
                let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
                let stream = Stream::new_lzma_encoder(&options).unwrap();
                let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(plain, 1).unwrap(),
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn read_all(compression: Compression, packed: &[u8], limit: u64) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        unpack(compression, packed, limit)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[rstest]
    fn every_way_unpacks_and_stops_at_the_limit(
        #[values(
            Compression::None,
            Compression::Gzip,
            Compression::Xz,
            Compression::Lzma,
            Compression::Bzip2,
            Compression::Zstd,
            Compression::Lz4
        )]
        compression: Compression,
    ) {
        let plain = b"Package: a\n\n".repeat(10_000);
        let size = plain.len() as u64;
        let packed = pack(compression, &plain);
        assert_eq!(read_all(compression, &packed, size).unwrap(), plain);
        let error = read_all(compression, &packed, size - 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        if compression != Compression::None {
            assert!(read_all(compression, b"<html>log in here</html>", size).is_err());
            assert!(read_all(compression, &packed[..packed.len() / 2], size).is_err());
        }
        if !matches!(compression, Compression::Lzma | Compression::Lz4) {
            assert_eq!(read_all(compression, &packed.repeat(2), 2 * size).unwrap(), plain.repeat(2));
        }
    }

    #[rstest]
    #[case("main/binary-amd64/Packages.xz", Compression::Xz, "main/binary-amd64/Packages")]
    #[case("Packages.gz", Compression::Gzip, "Packages")]
    #[case("Packages", Compression::None, "Packages")]
    #[case("dep11/Components-amd64.yml", Compression::None, "dep11/Components-amd64.yml")]
    #[case("a.zst/b", Compression::None, "a.zst/b")]
    fn names_tell(#[case] path: &str, #[case] compression: Compression, #[case] stem: &str) {
        assert_eq!(Compression::of(path), (compression, stem));
    }

    #[test]
    fn a_packer_cannot_choose_our_memory() {
        // The head of a .lzma file that asks for a dictionary of 3 GiB.
        let mut bomb = vec![0x5d, 0, 0, 0, 0xc0];
        bomb.extend([0xff; 8]);
        bomb.extend([0; 32]);
        assert!(read_all(Compression::Lzma, &bomb, 1 << 20).is_err());
        // A zstd frame with a window of 2 GiB: magic, descriptor, window descriptor, one raw last block.
        let bomb = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 0x09, 0, 0, b'x'];
        assert!(read_all(Compression::Zstd, &bomb, 1 << 20).is_err());
        let small = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 10 << 3, 0x09, 0, 0, b'x'];
        assert_eq!(read_all(Compression::Zstd, &small, 1 << 20).unwrap(), b"x");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for compression in Compression::PACKED {
                if let Ok(plain) = read_all(compression, &bytes, 1000) {
                    prop_assert!(plain.len() <= 1000);
                }
            }
        }
    }
}
