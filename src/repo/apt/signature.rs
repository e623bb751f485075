//! Whether a release file comes from whom it should.
//!
//! A [`Keyring`] verifies an `InRelease` file, whose text carries its signatures, or a `Release` with its
//! `Release.gpg`. It says yes when at least one signature is good and none is a forgery, and in either
//! case gives every signature's [`Verdict`]. It judges as the verifier that apt runs does: a key that is
//! expired or revoked *now* signs nothing, whenever the signature was made; a digest or key that is too
//! weak signs nothing; a signature by an unknown key neither helps nor harms.
//!
//! Text put before or after a signed text still verifies, so [`Keyring::verify_inline`] refuses a file
//! with anything but white space outside, and hands out the very bytes that were verified: only those may
//! be parsed.
//!
//! "Now" is a parameter, for the policy on algorithms too: what is weak depends on the date.

use std::io::{self, Read as _};
use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::parse::Parse as _;
use openpgp::parse::stream::{
    DetachedVerifierBuilder, MessageLayer, MessageStructure, VerificationHelper, VerifierBuilder,
};
use openpgp::policy::{HashAlgoSecurity, StandardPolicy};
use openpgp::types::{HashAlgorithm, RevocationStatus};
use openpgp::{Cert, KeyHandle};

mod framing;
mod keyring;
pub mod keyring_file;
mod verdict;

pub use keyring::{Keyring, KeyringError};
pub use verdict::{Signer, Verdict};

use super::release::MAX_TEXT;

/// Longest detached signature, in bytes. Debian's, with three signers, have 2 KB.
pub const MAX_SIGNATURE: usize = 1 << 20;
/// Most signatures on one file: each costs a public-key operation.
pub const MAX_SIGNATURES: usize = 64;

/// A release file with at least one good signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed; nothing else of the file may be trusted.
    pub text: Vec<u8>,
    /// One for each signature, in the file's order.
    pub signers: Vec<Signer>,
}

/// Why a file was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Longer than [`MAX_TEXT`], or a detached signature longer than [`MAX_SIGNATURE`].
    #[error("the signed file is too long: {0} bytes")]
    TooLong(usize),
    /// A web page stands where the file should be.
    #[error("this is a web page, not a signed release file: does the network want a login?")]
    LoginPage,
    /// No signature at all.
    #[error("the release file is not signed")]
    NotSigned,
    /// Something beside the one signed text and its signature.
    #[error("the release file has text outside of what is signed")]
    TextOutside,
    /// What should be signatures cannot be read as such.
    #[error("the signature cannot be read: {0}")]
    Unreadable(String),
    /// More signatures than [`MAX_SIGNATURES`].
    #[error("the release file has more than {MAX_SIGNATURES} signatures")]
    TooMany,
    /// None of the signatures is good, or one is a forgery.
    #[error("no signature to go by: {}", verdict::summary(.0))]
    Refused(Vec<Signer>),
}

/// The text of a file that carries its signatures, without asking them: for repositories that are trusted
/// for the connection they come over.
///
/// # Errors
/// [`SignatureError`] when the file is not a signed text and nothing else.
pub fn clear_text(file: &[u8]) -> Result<Vec<u8>, SignatureError> {
    if file.len() > MAX_TEXT {
        return Err(SignatureError::TooLong(file.len()));
    }
    Ok(framing::text_of(framing::only_message(file)?))
}

impl Keyring {
    /// Verifies a file whose text carries its signatures, and gives the text. Blocking: takes some
    /// milliseconds a signature.
    ///
    /// # Errors
    /// [`SignatureError`] says why the file must not be used.
    pub fn verify_inline(&self, file: &[u8], now: SystemTime) -> Result<Verified, SignatureError> {
        if file.len() > MAX_TEXT {
            return Err(SignatureError::TooLong(file.len()));
        }
        let message = framing::only_message(file)?;
        let policy = self.policy(now);
        let check = Check::new(self, &policy, now);
        // With all of the text inside its buffer the verifier gives nothing out before it has checked.
        let mut verifier = VerifierBuilder::from_bytes(message)
            .map_err(unreadable)?
            .buffer_size(2 * MAX_TEXT)
            .with_policy(&policy, now, check)
            .map_err(unreadable)?;
        let mut text = Vec::with_capacity(message.len());
        verifier.read_to_end(&mut text).map_err(|error: io::Error| unreadable(error.into()))?;
        if verifier.processing_csf_message() != Some(true) {
            return Err(SignatureError::NotSigned);
        }
        let signers = verifier.into_helper().judged()?;
        Ok(Verified { text, signers })
    }

    /// Verifies a file by the signatures that stand in another one, armored or binary. Blocking as
    /// [`Keyring::verify_inline`].
    ///
    /// # Errors
    /// [`SignatureError`] says why the file must not be used.
    pub fn verify_detached(
        &self,
        release: &[u8],
        release_gpg: &[u8],
        now: SystemTime,
    ) -> Result<Verified, SignatureError> {
        if release.len() > MAX_TEXT {
            return Err(SignatureError::TooLong(release.len()));
        }
        if release_gpg.len() > MAX_SIGNATURE {
            return Err(SignatureError::TooLong(release_gpg.len()));
        }
        if framing::is_web_page(release) || framing::is_web_page(release_gpg) {
            return Err(SignatureError::LoginPage);
        }
        if release_gpg.trim_ascii().is_empty() {
            return Err(SignatureError::NotSigned);
        }
        let policy = self.policy(now);
        let check = Check::new(self, &policy, now);
        let mut verifier = DetachedVerifierBuilder::from_bytes(release_gpg)
            .map_err(unreadable)?
            .with_policy(&policy, now, check)
            .map_err(unreadable)?;
        verifier.verify_bytes(release).map_err(unreadable)?;
        let signers = verifier.into_helper().judged()?;
        Ok(Verified { text: release.to_vec(), signers })
    }

    /// Whether files signed by `before` and by `now` (fingerprints of keys) come from the same signer: one
    /// certificate, of which both may be subkeys, is behind a signature of either. Where nothing was
    /// signed before, or no certificate behind it may sign any more (it is gone from the keyring, has
    /// expired or was revoked), any signer does.
    #[must_use]
    pub fn is_same_signer(&self, before: &[String], now: &[String], time: SystemTime) -> bool {
        let policy = self.policy(time);
        let owners = |fingerprints: &[String]| -> Vec<Cert> {
            let handles: Vec<KeyHandle> = fingerprints.iter().filter_map(|text| text.parse().ok()).collect();
            self.with_keys(&handles)
        };
        let in_force = |cert: &Cert| {
            cert.with_policy(&policy, time).is_ok_and(|cert| {
                cert.alive().is_ok() && !matches!(cert.revocation_status(), RevocationStatus::Revoked(_))
            })
        };
        let mut before: Vec<Cert> = owners(before);
        before.retain(in_force);
        let now = owners(now);
        before.is_empty()
            || before.iter().any(|old| now.iter().any(|new| old.fingerprint() == new.fingerprint()))
    }

    /// Which algorithms count as of `now`.
    pub(crate) fn policy(&self, now: SystemTime) -> StandardPolicy<'static> {
        let mut policy = StandardPolicy::at(now);
        if self.legacy_sha1() {
            // Only what binds a key to its owner, which nobody but the owner could have chosen; never
            // what a signature over a file is made of.
            policy.reject_hash_property_at(
                HashAlgorithm::SHA1,
                HashAlgoSecurity::SecondPreImageResistance,
                None,
            );
        }
        policy
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is made for map_err")]
fn unreadable(error: anyhow::Error) -> SignatureError {
    SignatureError::Unreadable(error.to_string())
}

/// Gives the verifier its keys, and keeps what it found of each signature.
struct Check<'a> {
    keyring: &'a Keyring,
    policy: &'a StandardPolicy<'static>,
    now: SystemTime,
    signers: Vec<Signer>,
    unexpected: bool,
}

impl<'a> Check<'a> {
    const fn new(keyring: &'a Keyring, policy: &'a StandardPolicy<'static>, now: SystemTime) -> Self {
        Self { keyring, policy, now, signers: Vec::new(), unexpected: false }
    }

    fn judged(self) -> Result<Vec<Signer>, SignatureError> {
        if self.unexpected || self.signers.is_empty() {
            return Err(SignatureError::NotSigned);
        }
        if self.signers.len() > MAX_SIGNATURES {
            return Err(SignatureError::TooMany);
        }
        let good = self.signers.iter().any(|signer| signer.verdict == Verdict::Good);
        let forged = self.signers.iter().any(|signer| signer.verdict == Verdict::Forged);
        if good && !forged { Ok(self.signers) } else { Err(SignatureError::Refused(self.signers)) }
    }
}

impl VerificationHelper for Check<'_> {
    fn get_certs(&mut self, ids: &[KeyHandle]) -> openpgp::Result<Vec<Cert>> {
        Ok(self.keyring.with_keys(ids))
    }

    fn check(&mut self, structure: MessageStructure<'_>) -> openpgp::Result<()> {
        for layer in structure {
            match layer {
                MessageLayer::SignatureGroup { results } => {
                    self.signers.extend(
                        results
                            .into_iter()
                            .take(MAX_SIGNATURES + 1)
                            .map(|result| Signer::judge(result, self.policy, self.now)),
                    );
                }
                MessageLayer::Compression { .. } | MessageLayer::Encryption { .. } => self.unexpected = true,
            }
        }
        // Judging comes after: an error here would hide the verdicts behind a text.
        Ok(())
    }
}

#[cfg(test)]
mod tests;
