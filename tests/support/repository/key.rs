//! Keys that sign test repositories.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use sequoia_openpgp::cert::{CertBuilder, CipherSuite};
use sequoia_openpgp::crypto::KeyPair;
use sequoia_openpgp::packet::Signature;
use sequoia_openpgp::policy::StandardPolicy;
use sequoia_openpgp::serialize::SerializeInto as _;
use sequoia_openpgp::serialize::stream::{Armorer, Message, Signer};
use sequoia_openpgp::{Cert, armor};

/// An Ed25519 signing key.
#[derive(Clone)]
pub struct Key {
    cert: Cert,
    /// What its owner publishes when it is lost.
    revocation: Signature,
}

impl Key {
    /// A new key for `name` that never expires; each call makes another key.
    pub fn generate(name: &str) -> Self {
        Self::build(name, |builder| builder)
    }

    /// A key whose time was over a year ago. It signs all the same.
    pub fn expired(name: &str) -> Self {
        const YEAR: Duration = Duration::from_hours(8760);
        Self::build(name, |builder| {
            builder.set_creation_time(SystemTime::now() - 2 * YEAR).set_validity_period(YEAR)
        })
    }

    fn build(name: &str, with: impl FnOnce(CertBuilder<'static>) -> CertBuilder<'static>) -> Self {
        let user = format!("{name} <archive@lumbung.example>");
        let builder =
            CertBuilder::new().set_cipher_suite(CipherSuite::Cv25519).add_userid(user).add_signing_subkey();
        let (cert, revocation) = with(builder).generate().expect("a key");
        Self { cert, revocation }
    }

    /// The public key, revoked, as a binary keyring.
    pub fn revoked_keyring(&self) -> Vec<u8> {
        let revoked = self.cert.clone().insert_packets(self.revocation.clone()).expect("its revocation").0;
        revoked.to_vec().expect("a public key can be written")
    }

    /// Whether these are good signatures of this key over `bytes`, as gpgv judges.
    pub fn is_signature(&self, bytes: &[u8], signature: &[u8]) -> bool {
        let folder = tempfile::TempDir::new().expect("a folder for gpgv");
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).expect("a file for gpgv");
            path
        };
        let mut gpgv = std::process::Command::new("gpgv");
        gpgv.arg("--keyring").arg(file("keyring.gpg", &self.keyring()));
        gpgv.arg(file("signature", signature)).arg(file("bytes", bytes));
        gpgv.output().expect("gpgv is installed").status.success()
    }

    /// The fingerprint in upper-case hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        self.cert.fingerprint().to_hex()
    }

    /// The public key as a binary keyring (`.gpg`).
    pub fn keyring(&self) -> Vec<u8> {
        self.cert.to_vec().expect("a public key can be written")
    }

    /// The public key as an armored keyring (`.asc`).
    pub fn armored_keyring(&self) -> Vec<u8> {
        self.cert.armored().to_vec().expect("a public key can be written")
    }

    /// `text` inside a clear signature, as `InRelease` is.
    pub fn clearsign(&self, text: &str) -> Vec<u8> {
        let mut whole = Vec::new();
        let signer = Signer::new(Message::new(&mut whole), self.pair()).expect("a signer");
        write(signer.cleartext().build().expect("a signer"), text.as_bytes());
        whole
    }

    /// A detached armored signature, as `Release.gpg` is.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let mut signature = Vec::new();
        let armored = Armorer::new(Message::new(&mut signature)).kind(armor::Kind::Signature);
        let signer = Signer::new(armored.build().expect("armor"), self.pair()).expect("a signer");
        write(signer.detached().build().expect("a signer"), bytes);
        signature
    }

    fn pair(&self) -> KeyPair {
        let policy = StandardPolicy::new();
        let mut keys = self.cert.keys().unencrypted_secret().with_policy(&policy, None).for_signing();
        let key = keys.next().expect("a key that signs").key().clone();
        key.into_keypair().expect("an unencrypted secret")
    }
}

fn write(mut message: Message<'_>, bytes: &[u8]) {
    message.write_all(bytes).expect("memory takes every byte");
    message.finalize().expect("memory takes every byte");
}
