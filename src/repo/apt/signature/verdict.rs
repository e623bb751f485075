//! What one signature is worth.

use std::fmt;
use std::time::SystemTime;

use sequoia_openpgp as openpgp;

use openpgp::Cert;
use openpgp::cert::amalgamation::key::ValidErasedKeyAmalgamation;
use openpgp::cert::amalgamation::{ValidAmalgamation as _, ValidateAmalgamation as _};
use openpgp::packet::key::PublicParts;
use openpgp::parse::stream::{VerificationError, VerificationResult};
use openpgp::policy::{HashAlgoSecurity, Policy as _, StandardPolicy};
use openpgp::types::RevocationStatus;

/// Longest name shown, in characters.
const MAX_NAME: usize = 100;

/// One signature on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// The fingerprint of the key that signed, in upper-case hexadecimal digits; where the keyring does not
    /// have the key, what the signature says of it, which may be a key ID; empty when it says nothing.
    pub fingerprint: String,
    /// Whose key it is, as the keyring says; `None` where it does not have the key.
    pub name: Option<String>,
    /// What the signature is worth.
    pub verdict: Verdict,
}

/// What a signature is worth. Only [`Verdict::Good`] counts for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Right, and by a key of the keyring that may sign now.
    Good,
    /// By a key that the keyring does not have.
    UnknownKey,
    /// By a key, or a certificate, that has expired; or the signature itself has.
    Expired,
    /// By a key, or a certificate, that was revoked.
    Revoked,
    /// Dated in the future, or by a key that is.
    NotYetValid,
    /// Made with a digest that can be forged.
    Weak,
    /// By a key that is too short, or that only SHA-1 binds to its owner (see
    /// [`Keyring::with_legacy_sha1`](super::Keyring::with_legacy_sha1)).
    WeakKey,
    /// By a key of the keyring that is not for signing, or does not belong to its certificate.
    UnfitKey,
    /// The key did not sign this text.
    Forged,
    /// Cannot be read.
    Malformed,
}

impl Verdict {
    /// The one word for it in logs, metrics and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::UnknownKey => "unknown-key",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::NotYetValid => "not-yet-valid",
            Self::Weak => "weak",
            Self::WeakKey => "weak-key",
            Self::UnfitKey => "unfit-key",
            Self::Forged => "forged",
            Self::Malformed => "malformed",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.fingerprint.is_empty() { "a key that is not named" } else { &self.fingerprint };
        match &self.name {
            Some(name) => write!(f, "{} by {key} ({name})", self.verdict),
            None => write!(f, "{} by {key}", self.verdict),
        }
    }
}

/// All signers in one line.
pub(super) fn summary(signers: &[Signer]) -> String {
    signers.iter().map(Signer::to_string).collect::<Vec<_>>().join(", ")
}

impl Signer {
    pub(super) fn judge(
        result: VerificationResult<'_>,
        policy: &StandardPolicy<'static>,
        now: SystemTime,
    ) -> Self {
        let key = |key: &ValidErasedKeyAmalgamation<'_, PublicParts>, verdict| Self {
            fingerprint: key.key().fingerprint().to_hex(),
            name: name(key.cert()),
            verdict,
        };
        match result {
            Ok(good) => key(&good.ka, today(&good.ka, policy, now)),
            Err(VerificationError::BadKey { ka, error, .. }) => key(&ka, of_key(&error)),
            Err(VerificationError::BadSignature { ka, error, .. }) => {
                let verdict = match of_error(&error, Verdict::Forged) {
                    // That the key has ended weighs more.
                    Verdict::Weak => match today(&ka, policy, now) {
                        Verdict::Good => Verdict::Weak,
                        ended => ended,
                    },
                    verdict => verdict,
                };
                key(&ka, verdict)
            }
            Err(VerificationError::UnboundKey { sig, cert, error, .. }) => {
                let renewed = error
                    .chain()
                    .any(|cause| matches!(cause.downcast_ref(), Some(openpgp::Error::NoBindingSignature(_))));
                match renewed.then(|| rebound(sig, cert, policy, now)).flatten() {
                    Some((ka, verdict)) => key(&ka, verdict),
                    None => Self { fingerprint: issuer(sig), name: name(cert), verdict: of_key(&error) },
                }
            }
            Err(VerificationError::MissingKey { sig, .. }) => {
                Self { fingerprint: issuer(sig), name: None, verdict: Verdict::UnknownKey }
            }
            Err(VerificationError::MalformedSignature { sig, .. }) => {
                Self { fingerprint: issuer(sig), name: None, verdict: Verdict::Malformed }
            }
            Err(_) => Self { fingerprint: String::new(), name: None, verdict: Verdict::Malformed },
        }
    }
}

/// Judges a signature that is older than what binds its key. Who prolongs a key often publishes it with
/// the newest binding alone; the verifier then knows no binding at the time of the signature, while for
/// `gpgv` the binding of today counts, as it does here.
fn rebound<'a>(
    signature: &openpgp::packet::Signature,
    cert: &'a Cert,
    policy: &'a StandardPolicy<'static>,
    now: SystemTime,
) -> Option<(ValidErasedKeyAmalgamation<'a, PublicParts>, Verdict)> {
    let key = cert.keys().with_policy(policy, now).key_handles(signature.get_issuers()).next()?;
    let verdict = match today(&key, policy, now) {
        Verdict::Good => {
            let made = signature.signature_creation_time()?;
            if made < key.key().creation_time() {
                Verdict::UnfitKey
            } else if signature.signature_alive(now, None).is_err() {
                Verdict::Expired
            } else if signature.verify_document(key.key()).is_err() {
                Verdict::Forged
            } else if policy.signature(signature, HashAlgoSecurity::CollisionResistance).is_err() {
                Verdict::Weak
            } else {
                Verdict::Good
            }
        }
        ended => ended,
    };
    Some((key, verdict))
}

/// What a key that was fine when it signed is worth now. The verifier looks at the time of the signature
/// only, which whoever holds an expired or revoked key can choose.
fn today(
    key: &ValidErasedKeyAmalgamation<'_, PublicParts>,
    policy: &StandardPolicy<'static>,
    now: SystemTime,
) -> Verdict {
    let key = match key.clone().with_policy(policy, now) {
        Ok(key) => key,
        Err(error) => return of_key(&error),
    };
    let revoked = |status| matches!(status, RevocationStatus::Revoked(_));
    if revoked(key.valid_cert().revocation_status()) || revoked(key.revocation_status()) {
        return Verdict::Revoked;
    }
    match key.valid_cert().alive().and_then(|()| key.alive()) {
        Ok(()) if key.for_signing() => Verdict::Good,
        Ok(()) => Verdict::UnfitKey,
        Err(error) => of_key(&error),
    }
}

/// What an error says of a key.
fn of_key(error: &anyhow::Error) -> Verdict {
    match of_error(error, Verdict::UnfitKey) {
        Verdict::Weak => Verdict::WeakKey,
        verdict => verdict,
    }
}

/// What an error says; `otherwise` where it says nothing of time or strength.
fn of_error(error: &anyhow::Error, otherwise: Verdict) -> Verdict {
    use openpgp::Error;
    for cause in error.chain() {
        match cause.downcast_ref::<Error>() {
            Some(Error::Expired(_)) => return Verdict::Expired,
            Some(Error::NotYetLive(_)) => return Verdict::NotYetValid,
            Some(Error::PolicyViolation(..)) => return Verdict::Weak,
            // The only way in which the verifier tells of a revocation.
            Some(Error::InvalidKey(why)) if why.ends_with("is revoked") => return Verdict::Revoked,
            Some(
                Error::UnsupportedHashAlgorithm(_)
                | Error::UnsupportedPublicKeyAlgorithm(_)
                | Error::UnsupportedEllipticCurve(_)
                | Error::UnsupportedSignatureType(_),
            ) => return Verdict::Malformed,
            _ => {}
        }
    }
    otherwise
}

fn issuer(signature: &openpgp::packet::Signature) -> String {
    signature.get_issuers().first().map(openpgp::KeyHandle::to_hex).unwrap_or_default()
}

/// The first user ID without anything that could disturb a terminal or a log.
fn name(cert: &Cert) -> Option<String> {
    let id = cert.userids().next()?;
    let text = String::from_utf8_lossy(id.userid().value());
    Some(text.chars().filter(|character| !character.is_control()).take(MAX_NAME).collect())
}
