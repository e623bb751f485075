//! Where a keyring's bytes come from.
//!
//! The archives that this program knows by name have their public keys in it, so that the built-in default
//! verifies on a machine where the distribution's keyring package is not installed. A file that is there
//! always wins: who removed a key from it does not trust that key.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::keyring::MAX_FILE;

/// A keyring as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringFile {
    /// Its bytes; one more than a keyring may have when it is too long for one.
    pub bytes: Cow<'static, [u8]>,
    /// The file is not there, and these are the keys that come with the program.
    pub shipped: bool,
}

/// Reads a keyring. Blocking.
///
/// # Errors
/// When the file cannot be read; that it is not there is none where the program has its keys.
pub fn read(path: &Path) -> io::Result<KeyringFile> {
    match File::open(path) {
        Ok(file) => {
            let mut bytes = Vec::new();
            file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes)?;
            Ok(KeyringFile { bytes: bytes.into(), shipped: false })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let bytes = shipped(path).ok_or(error)?;
            Ok(KeyringFile { bytes: bytes.into(), shipped: true })
        }
        Err(error) => Err(error),
    }
}

/// The public keys that come with the program, by where the distribution's package puts them.
fn shipped(path: &Path) -> Option<&'static [u8]> {
    match path.to_str()? {
        "/usr/share/keyrings/ubuntu-archive-keyring.gpg" => {
            Some(include_bytes!("../../../../config/keyrings/ubuntu-archive-keyring.gpg"))
        }
        "/usr/share/keyrings/debian-archive-keyring.gpg" => {
            Some(include_bytes!("../../../../config/keyrings/debian-archive-keyring.gpg"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_known_files_have_a_substitute_and_only_when_they_are_not_there() {
        for name in ["ubuntu", "debian"] {
            let path = format!("/usr/share/keyrings/{name}-archive-keyring.gpg");
            let keys = shipped(Path::new(&path)).unwrap();
            let file = read(Path::new(&path)).unwrap();
            assert!(!file.shipped || file.bytes == keys);
            assert_eq!(file.shipped, !Path::new(&path).exists());
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ubuntu-archive-keyring.gpg");
        assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        std::fs::write(&path, b"key").unwrap();
        assert_eq!(read(&path).unwrap(), KeyringFile { bytes: b"key".as_slice().into(), shipped: false });
    }
}
