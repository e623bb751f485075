//! Whether a keyring can vouch for anything.

use std::path::Path;
use std::time::{Duration, SystemTime};

use sequoia_openpgp::cert::Cert;
use sequoia_openpgp::policy::StandardPolicy;

use super::{Finding, Verdict};
use crate::repo::apt::signature::{Keyring, keyring_file};

/// A key that ends within this long is worth a note: time to install its successor.
const SOON: Duration = Duration::from_hours(60 * 24);

/// Reads the file and judges its keys as of `now`, as the server will.
pub(super) fn look(repo: &str, file: &Path, legacy_sha1: bool, now: SystemTime) -> Finding {
    let finding = |verdict, words| Finding::new(verdict, "keyring", file.display().to_string(), words);
    let read = match keyring_file::read(file) {
        Ok(read) => read,
        Err(error) => return finding(Verdict::Bad, format!("for {repo}: cannot be read: {error}")),
    };
    let keyring = match Keyring::load(&[&read.bytes]) {
        Ok(keyring) => keyring.with_legacy_sha1(legacy_sha1),
        Err(error) => return finding(Verdict::Bad, format!("for {repo}: {error}")),
    };
    let policy = keyring.policy(now);
    let keys: Vec<Key> = keyring.certs().iter().map(|cert| Key::of(cert, &policy, now)).collect();
    let (verdict, words) = judge(&keys);
    let from = if read.shipped { "not installed, the keys that come with lumbung are used: " } else { "" };
    finding(verdict, format!("for {repo}: {from}{words}"))
}

/// What matters about one key.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key {
    /// The fingerprint's end and the owner, for people.
    name: String,
    life: Life,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Good,
    /// Ends in so many days.
    Ending(u64),
    Expired,
    Revoked,
    /// The policy accepts no binding of it: too weak an algorithm, such as SHA-1.
    Weak,
}

impl Key {
    fn of(certificate: &Cert, policy: &StandardPolicy<'_>, now: SystemTime) -> Self {
        let owner = certificate
            .userids()
            .next()
            .map_or_else(String::new, |user| String::from_utf8_lossy(user.userid().value()).into_owned());
        // Names in a keyring are somebody else's text: no control character reaches the terminal.
        let owner: String = owner.chars().filter(|c| !c.is_control()).take(80).collect();
        let name = format!("{} {owner}", certificate.keyid());
        Self { name: name.trim_end().to_owned(), life: Life::of(certificate, policy, now) }
    }
}

impl Life {
    fn of(certificate: &Cert, policy: &StandardPolicy<'_>, now: SystemTime) -> Self {
        use sequoia_openpgp::types::RevocationStatus;
        let Ok(valid) = certificate.with_policy(policy, now) else {
            return Self::Weak;
        };
        if matches!(valid.revocation_status(), RevocationStatus::Revoked(_)) {
            return Self::Revoked;
        }
        match valid.primary_key().key_expiration_time() {
            None => Self::Good,
            Some(end) => match end.duration_since(now) {
                Err(_) => Self::Expired,
                Ok(left) if left < SOON => Self::Ending(left.as_secs() / 86_400),
                Ok(_) => Self::Good,
            },
        }
    }

    const fn is_usable(self) -> bool {
        matches!(self, Self::Good | Self::Ending(_))
    }
}

/// One usable key is enough; what ails the others is said.
fn judge(keys: &[Key]) -> (Verdict, String) {
    let described: Vec<String> = keys
        .iter()
        .map(|key| match key.life {
            Life::Good => key.name.clone(),
            Life::Ending(days) => format!("{} (ends in {days} days)", key.name),
            Life::Expired => format!("{} (expired)", key.name),
            Life::Revoked => format!("{} (revoked)", key.name),
            Life::Weak => format!("{} (too weak to be accepted)", key.name),
        })
        .collect();
    let described = described.join("; ");
    let usable = keys.iter().filter(|key| key.life.is_usable()).count();
    let lasting = keys.iter().any(|key| key.life == Life::Good);
    match (usable, lasting) {
        (0, _) => (Verdict::Bad, format!("no usable key: {described}")),
        (_, false) => {
            (Verdict::Note, format!("its last key ends soon, look for a newer keyring: {described}"))
        }
        (1, true) => (Verdict::Ok, format!("1 usable key: {described}")),
        (_, true) => (Verdict::Ok, format!("{usable} usable keys: {described}")),
    }
}

#[cfg(test)]
mod tests {
    use sequoia_openpgp::cert::CertBuilder;
    use sequoia_openpgp::serialize::Serialize as _;

    use std::fs;

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    /// A keyring file with one key that was made at `born` and lives for `life`.
    fn keyring(born: SystemTime, life: Option<Duration>) -> tempfile::NamedTempFile {
        let (certificate, _) = CertBuilder::new()
            .add_userid("Archive Signing Key\u{1b}[31m <archive@example>")
            .add_signing_subkey()
            .set_creation_time(born)
            .set_validity_period(life)
            .generate()
            .unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        certificate.serialize(&mut file).unwrap();
        file
    }

    #[test]
    fn keys_are_judged_by_their_time_left() {
        let now = SystemTime::now();
        let born = now - 400 * DAY;
        for (life, verdict, words) in [
            (None, Verdict::Ok, "1 usable key"),
            (Some(1000 * DAY), Verdict::Ok, "Archive Signing Key[31m <archive@example>"),
            (Some(430 * DAY), Verdict::Note, "ends in 30 days"),
            (Some(399 * DAY), Verdict::Bad, "no usable key"),
        ] {
            let file = keyring(born, life);
            let finding = look("ubuntu", file.path(), false, now - Duration::from_secs(10));
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.words.contains(words), "{words:?} in {finding:?}");
            assert!(!finding.words.contains('\u{1b}'));
        }
    }

    #[test]
    fn keys_bound_by_sha1_are_judged_as_the_repository_says() {
        // Ubuntu's key of 2012 is one.
        let file = Path::new("config/keyrings/ubuntu-archive-keyring.gpg");
        let words = |legacy| look("ubuntu", file, legacy, SystemTime::now()).words;
        assert!(words(false).contains("too weak to be accepted"), "{}", words(false));
        assert!(!words(true).contains("too weak"), "{}", words(true));
    }

    #[test]
    fn what_is_no_keyring_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.gpg");
        assert!(look("ubuntu", &file, false, SystemTime::now()).words.contains("cannot be read"));
        for bytes in [&b"<html>no key here</html>"[..], b""] {
            fs::write(&file, bytes).unwrap();
            let finding = look("ubuntu", &file, false, SystemTime::now());
            assert_eq!(finding.verdict, Verdict::Bad, "{finding:?}");
        }
    }

    #[test]
    fn one_usable_key_among_several_is_enough() {
        let key = |life| Key { name: "K".to_owned(), life };
        let (verdict, words) = judge(&[key(Life::Weak), key(Life::Good), key(Life::Expired)]);
        assert_eq!(verdict, Verdict::Ok);
        assert_eq!(words, "1 usable key: K (too weak to be accepted); K; K (expired)");
        assert_eq!(judge(&[key(Life::Revoked), key(Life::Weak)]).0, Verdict::Bad);
    }
}
