//! The keys a repository is trusted by.

use sequoia_openpgp as openpgp;

use openpgp::cert::CertParser;
use openpgp::parse::Parse as _;
use openpgp::{Cert, KeyHandle};

/// Longest keyring file, in bytes. Debian's, with nine keys and their certifications, has 56 KB.
pub(super) const MAX_FILE: usize = 8 << 20;
/// Most certificates in one keyring.
const MAX_CERTS: usize = 1000;

const ARMOR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
/// Where `GnuPG`'s own database format has its magic, and what it is.
const KEYBOX: (usize, &[u8]) = (8, b"KBXf");

/// Certificates of which any may sign.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    certs: Vec<Cert>,
    legacy_sha1: bool,
}

/// Why a keyring file cannot be used. The number says which of the files, from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Longer than 8 MB.
    #[error("keyring file is too long for one")]
    TooLong(usize),
    /// `GnuPG`'s database format, which apt does not read either.
    #[error("keyring file is a GnuPG keybox; export its keys with `gpg --export`")]
    Keybox(usize),
    /// Nothing in it is a certificate.
    #[error("keyring file holds no OpenPGP certificate")]
    Empty(usize),
    /// Broken, or not `OpenPGP`.
    #[error("keyring file cannot be read: {1}")]
    Unreadable(usize, String),
    /// More than 1,000 certificates.
    #[error("keyring holds more than {MAX_CERTS} certificates")]
    TooMany,
}

impl KeyringError {
    /// Which of the given files is meant, where it is one.
    #[must_use]
    pub const fn file(&self) -> Option<usize> {
        match self {
            Self::TooLong(file) | Self::Keybox(file) | Self::Empty(file) | Self::Unreadable(file, _) => {
                Some(*file)
            }
            Self::TooMany => None,
        }
    }
}

impl Keyring {
    /// Loads the contents of one or more files, binary or armored, with any number of certificates each.
    ///
    /// # Errors
    /// A file that is no keyring, or holds nothing.
    pub fn load(files: &[impl AsRef<[u8]>]) -> Result<Self, KeyringError> {
        let mut certs = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let before = certs.len();
            let file = file.as_ref();
            if file.len() > MAX_FILE {
                return Err(KeyringError::TooLong(number));
            }
            if file.get(KEYBOX.0..).is_some_and(|rest| rest.starts_with(KEYBOX.1)) {
                return Err(KeyringError::Keybox(number));
            }
            for block in blocks(file) {
                read_block(block, number, &mut certs)?;
            }
            if certs.len() == before {
                return Err(KeyringError::Empty(number));
            }
        }
        Ok(Self { certs, legacy_sha1: false })
    }

    /// Accepts keys that are bound to their owner by SHA-1, as some old vendor keys are. Signatures over
    /// files by SHA-1 stay refused.
    #[must_use]
    pub fn with_legacy_sha1(mut self, accepted: bool) -> Self {
        self.legacy_sha1 = accepted;
        self
    }

    /// Whether keys bound by SHA-1 are accepted.
    #[must_use]
    pub const fn legacy_sha1(&self) -> bool {
        self.legacy_sha1
    }

    /// The fingerprints of the certificates' primary keys, in the files' order.
    pub fn fingerprints(&self) -> impl Iterator<Item = String> {
        self.certs.iter().map(|cert| cert.fingerprint().to_hex())
    }

    /// The certificates, in the files' order.
    pub(crate) fn certs(&self) -> &[Cert] {
        &self.certs
    }

    pub(super) fn with_keys(&self, ids: &[KeyHandle]) -> Vec<Cert> {
        let has_one =
            |cert: &&Cert| cert.keys().any(|key| ids.iter().any(|id| id.aliases(key.key().key_handle())));
        self.certs.iter().filter(has_one).cloned().collect()
    }
}

/// The parts of a keyring file that can be read one by one: its armored blocks, or all of it.
fn blocks(file: &[u8]) -> Vec<&[u8]> {
    let starts: Vec<usize> = memchr::memmem::find_iter(file, ARMOR)
        .filter(|start| *start == 0 || file[start - 1] == b'\n')
        .collect();
    if starts.is_empty() {
        return vec![file];
    }
    let ends = starts.iter().skip(1).copied().chain([file.len()]);
    starts.iter().zip(ends).map(|(start, end)| &file[*start..end]).collect()
}

fn read_block(block: &[u8], number: usize, certs: &mut Vec<Cert>) -> Result<(), KeyringError> {
    if block.trim_ascii().is_empty() {
        return Ok(());
    }
    let unreadable = |error: anyhow::Error| KeyringError::Unreadable(number, error.to_string());
    for cert in CertParser::from_bytes(block).map_err(unreadable)? {
        if certs.len() >= MAX_CERTS {
            return Err(KeyringError::TooMany);
        }
        certs.push(cert.map_err(unreadable)?.strip_secret_key_material());
    }
    Ok(())
}
