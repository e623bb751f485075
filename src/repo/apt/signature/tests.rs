//! Keys and signatures made to order. Times are counted from [`START`].

use std::io::Write as _;
use std::time::Duration;

use openpgp::Packet;
use openpgp::cert::{CertBuilder, CertRevocationBuilder, CipherSuite, SubkeyRevocationBuilder};
use openpgp::crypto::KeyPair;
use openpgp::packet::UserID;
use openpgp::packet::key::{Key4, PrimaryRole};
use openpgp::packet::signature::SignatureBuilder;
use openpgp::serialize::Serialize as _;
use openpgp::serialize::SerializeInto as _;
use openpgp::serialize::stream::{Armorer, Message, Signer as Signing};
use openpgp::types::{Curve, KeyFlags, ReasonForRevocation, SignatureType};
use proptest::prelude::*;
use rstest::rstest;

use super::*;

const TEXT: &[u8] = b"Origin: Test\n- a line with a hyphen\nDate: Tue, 24 Nov 2026 00:00:00 UTC\nSHA256:\n";
const DAY: u64 = 86_400;

/// The middle of 2026.
fn day(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_782_000_000 + number * DAY)
}

fn builder(name: &str) -> CertBuilder<'_> {
    CertBuilder::new()
        .add_userid(name)
        .set_cipher_suite(CipherSuite::Cv25519)
        .set_creation_time(day(0))
        .set_validity_period(None)
}

fn plain() -> Cert {
    builder("Plain").set_primary_key_flags(KeyFlags::empty().set_signing()).generate().unwrap().0
}

/// The first key that may sign, whatever its state.
fn signing_pair(cert: &Cert) -> KeyPair {
    let policy = StandardPolicy::at(day(1));
    let keys = cert.keys().with_policy(&policy, day(1)).for_signing().secret();
    keys.last().unwrap().key().clone().into_keypair().unwrap()
}

fn sign(cert: &Cert, at: SystemTime) -> Vec<u8> {
    sign_all(vec![signing_pair(cert)], HashAlgorithm::SHA512, at)
}

fn sign_all(pairs: Vec<KeyPair>, hash: HashAlgorithm, at: SystemTime) -> Vec<u8> {
    let mut file = Vec::new();
    let mut pairs = pairs.into_iter();
    let mut signing = Signing::new(Message::new(&mut file), pairs.next().unwrap()).unwrap();
    for pair in pairs {
        signing = signing.add_signer(pair).unwrap();
    }
    let mut message = signing.hash_algo(hash).unwrap().creation_time(at).cleartext().build().unwrap();
    message.write_all(TEXT).unwrap();
    message.finalize().unwrap();
    file
}

fn sign_detached(cert: &Cert, armored: bool) -> Vec<u8> {
    let mut file = Vec::new();
    let mut message = Message::new(&mut file);
    if armored {
        message = Armorer::new(message).kind(openpgp::armor::Kind::Signature).build().unwrap();
    }
    let mut message =
        Signing::new(message, signing_pair(cert)).unwrap().creation_time(day(1)).detached().build().unwrap();
    message.write_all(TEXT).unwrap();
    message.finalize().unwrap();
    file
}

fn keyring(certs: &[&Cert]) -> Keyring {
    let files: Vec<_> = certs.iter().map(|cert| cert.to_vec().unwrap()).collect();
    Keyring::load(&files).unwrap()
}

fn refusal(result: Result<Verified, SignatureError>) -> Vec<Verdict> {
    match result {
        Err(SignatureError::Refused(signers)) => signers.iter().map(|signer| signer.verdict).collect(),
        other => panic!("not refused for its signatures: {other:?}"),
    }
}

#[test]
fn a_good_file_gives_its_text_and_signer() {
    let cert = plain();
    let verified = keyring(&[&cert]).verify_inline(&sign(&cert, day(1)), day(2)).unwrap();
    assert_eq!(verified.text.trim_ascii_end(), TEXT.trim_ascii_end());
    let fingerprint = cert.fingerprint().to_hex();
    let signer = Signer { fingerprint, name: Some("Plain".into()), verdict: Verdict::Good };
    assert_eq!(verified.signers, [signer]);
}

#[test]
fn subkeys_sign_too() {
    let (cert, _) = builder("Subkey").add_signing_subkey().generate().unwrap();
    let verified = keyring(&[&plain(), &cert]).verify_inline(&sign(&cert, day(1)), day(2)).unwrap();
    assert_ne!(verified.signers[0].fingerprint, cert.fingerprint().to_hex());
    assert_eq!(verified.signers[0].name.as_deref(), Some("Subkey"));
}

#[test]
fn one_good_signature_is_enough_and_the_other_is_shown() {
    let (known, stranger) = (plain(), builder("Stranger").add_signing_subkey().generate().unwrap().0);
    let file = sign_all(vec![signing_pair(&stranger), signing_pair(&known)], HashAlgorithm::SHA256, day(1));
    let verified = keyring(&[&known]).verify_inline(&file, day(2)).unwrap();
    let verdicts: Vec<_> = verified.signers.iter().map(|signer| signer.verdict).collect();
    assert!(verdicts.contains(&Verdict::Good) && verdicts.contains(&Verdict::UnknownKey), "{verdicts:?}");
    let third = keyring(&[&plain()]).verify_inline(&file, day(2));
    assert_eq!(refusal(third), [Verdict::UnknownKey, Verdict::UnknownKey]);
}

#[test]
fn an_expired_key_signs_nothing_even_what_it_signed_before() {
    let period = Duration::from_secs(10 * DAY);
    let (cert, _) = builder("Short")
        .set_validity_period(period)
        .set_primary_key_flags(KeyFlags::empty().set_signing())
        .generate()
        .unwrap();
    let ring = keyring(&[&cert]);
    let file = sign(&cert, day(5));
    assert!(ring.verify_inline(&file, day(9)).is_ok());
    assert_eq!(refusal(ring.verify_inline(&file, day(11))), [Verdict::Expired]);
    assert_eq!(refusal(ring.verify_inline(&sign(&cert, day(11)), day(12))), [Verdict::Expired]);
}

#[test]
fn an_expired_subkey_signs_nothing() {
    let flags = KeyFlags::empty().set_signing();
    let (cert, _) =
        builder("Subkey").add_subkey(flags, Duration::from_secs(10 * DAY), None).generate().unwrap();
    let file = sign(&cert, day(5));
    assert!(keyring(&[&cert]).verify_inline(&file, day(9)).is_ok());
    assert_eq!(refusal(keyring(&[&cert]).verify_inline(&file, day(11))), [Verdict::Expired]);
}

#[rstest]
#[case(ReasonForRevocation::KeyCompromised)]
#[case(ReasonForRevocation::KeyRetired)]
fn a_revoked_key_signs_nothing_even_what_it_signed_before(#[case] reason: ReasonForRevocation) {
    let cert = plain();
    let file = sign(&cert, day(1));
    let mut primary = cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let revocation = CertRevocationBuilder::new()
        .set_signature_creation_time(day(3))
        .unwrap()
        .set_reason_for_revocation(reason, b"")
        .unwrap()
        .build(&mut primary, &cert, None)
        .unwrap();
    let revoked = cert.clone().insert_packets(revocation).unwrap().0;
    assert!(keyring(&[&cert]).verify_inline(&file, day(5)).is_ok());
    assert_eq!(refusal(keyring(&[&revoked]).verify_inline(&file, day(5))), [Verdict::Revoked]);
}

#[test]
fn a_revoked_subkey_signs_nothing() {
    let (cert, _) = builder("Subkey").add_signing_subkey().generate().unwrap();
    let file = sign(&cert, day(1));
    let mut primary = cert.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let subkey = cert.keys().subkeys().next().unwrap();
    let revocation = SubkeyRevocationBuilder::new()
        .set_signature_creation_time(day(3))
        .unwrap()
        .set_reason_for_revocation(ReasonForRevocation::KeyRetired, b"")
        .unwrap()
        .build(&mut primary, &cert, subkey.key(), None)
        .unwrap();
    let revoked = cert.clone().insert_packets(revocation).unwrap().0;
    assert_eq!(refusal(keyring(&[&revoked]).verify_inline(&file, day(5))), [Verdict::Revoked]);
}

#[rstest]
#[case(HashAlgorithm::SHA1)]
#[case(HashAlgorithm::MD5)]
#[case(HashAlgorithm::RipeMD)]
fn weak_digests_sign_nothing_with_legacy_keys_either(#[case] hash: HashAlgorithm) {
    let cert = plain();
    let file = sign_all(vec![signing_pair(&cert)], hash, day(1));
    for legacy in [false, true] {
        let ring = keyring(&[&cert]).with_legacy_sha1(legacy);
        assert_eq!(refusal(ring.verify_inline(&file, day(2))), [Verdict::Weak]);
    }
}

/// A key from day 0 whose only binding is made as told.
fn bound_by(hash: HashAlgorithm, at: SystemTime) -> (Cert, KeyPair) {
    let key = Key4::generate_ecc(true, Curve::Ed25519).unwrap();
    let mut key: openpgp::packet::Key<_, PrimaryRole> = key.into();
    key.set_creation_time(day(0)).unwrap();
    let mut pair = key.clone().into_keypair().unwrap();
    let id = UserID::from("Old");
    let cert = Cert::try_from(Packet::from(key)).unwrap();
    let binding = SignatureBuilder::new(SignatureType::PositiveCertification)
        .set_hash_algo(hash)
        .set_signature_creation_time(at)
        .unwrap()
        .set_key_flags(KeyFlags::empty().set_signing().set_certification())
        .unwrap();
    let binding = id.bind(&mut pair, &cert, binding).unwrap();
    let cert = cert.insert_packets([Packet::from(id), binding.into()]).unwrap().0;
    (cert, pair)
}

#[test]
fn keys_bound_by_sha1_need_the_option() {
    let (cert, pair) = bound_by(HashAlgorithm::SHA1, day(0));
    let file = sign_all(vec![pair], HashAlgorithm::SHA256, day(1));
    assert_eq!(refusal(keyring(&[&cert]).verify_inline(&file, day(2))), [Verdict::WeakKey]);
    assert!(keyring(&[&cert]).with_legacy_sha1(true).verify_inline(&file, day(2)).is_ok());
}

/// A vendor prolonged its key and published it with the new binding alone, while the release file is
/// from before. gpgv takes that.
#[test]
fn a_renewed_key_keeps_what_it_signed() {
    let (cert, pair) = bound_by(HashAlgorithm::SHA256, day(5));
    let ring = keyring(&[&cert]);
    let file = sign_all(vec![pair.clone()], HashAlgorithm::SHA256, day(1));
    assert_eq!(ring.verify_inline(&file, day(6)).unwrap().signers[0].verdict, Verdict::Good);
    let changed = String::from_utf8(file.clone()).unwrap().replace("Origin: Test", "Origin: Tost");
    assert_eq!(refusal(ring.verify_inline(changed.as_bytes(), day(6))), [Verdict::Forged]);
    assert!(ring.verify_inline(&file, day(4)).is_err());
    let weak = sign_all(vec![pair], HashAlgorithm::SHA1, day(1));
    assert_eq!(refusal(ring.verify_inline(&weak, day(6))), [Verdict::Weak]);
}

#[test]
fn keys_that_may_not_sign_and_dates_to_come() {
    let cert = plain();
    let file = sign(&cert, day(8));
    assert_eq!(refusal(keyring(&[&cert]).verify_inline(&file, day(2))), [Verdict::NotYetValid]);
    let (unfit, _) = builder("Certifier").generate().unwrap();
    let primary = unfit.primary_key().key().clone().parts_into_secret().unwrap().into_keypair().unwrap();
    let file = sign_all(vec![primary], HashAlgorithm::SHA256, day(1));
    assert_eq!(refusal(keyring(&[&unfit]).verify_inline(&file, day(2))), [Verdict::UnfitKey]);
}

#[test]
fn a_changed_text_is_refused() {
    let cert = plain();
    let text = String::from_utf8(sign(&cert, day(1))).unwrap();
    let changed = text.replace("Origin: Test", "Origin: Tost");
    let result = keyring(&[&cert]).verify_inline(changed.as_bytes(), day(2));
    assert_eq!(refusal(result), [Verdict::Forged]);
    let stranger = keyring(&[&plain()]).verify_inline(changed.as_bytes(), day(2));
    assert_eq!(refusal(stranger), [Verdict::UnknownKey]);
}

#[test]
fn nothing_may_stand_outside_the_signed_text() {
    let cert = plain();
    let ring = keyring(&[&cert]);
    let file = String::from_utf8(sign(&cert, day(1))).unwrap();
    for around in [format!("\n \n{file}\n\n"), file.replace('\n', "\r\n")] {
        assert!(ring.verify_inline(around.as_bytes(), day(2)).is_ok());
    }
    for outside in [
        format!("Origin: Evil\n\n{file}"),
        format!("{file}\nOrigin: Evil\n"),
        format!("{file}{file}"),
        file.replacen("Hash:", "Origin: Evil\nHash:", 1),
        file.replacen("\n\nOrigin", "\nOrigin: Evil\n\nOrigin", 1),
        file.replacen("Origin: Test", "-----BEGIN PGP SIGNED MESSAGE-----\n\nOrigin: Test", 1),
        file.replacen("-----END", "-----BEGIN PGP SIGNATURE-----\n-----END", 1),
    ] {
        assert_eq!(
            ring.verify_inline(outside.as_bytes(), day(2)),
            Err(SignatureError::TextOutside),
            "{outside}"
        );
    }
}

#[rstest]
#[case("<html><body>Please log in</body></html>", SignatureError::LoginPage)]
#[case("\u{feff}\n  <!DOCTYPE HTML PUBLIC>", SignatureError::LoginPage)]
#[case("Origin: Debian\nSHA256:\n", SignatureError::NotSigned)]
#[case("", SignatureError::NotSigned)]
#[case("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: x\n", SignatureError::NotSigned)]
fn other_files_are_told_apart(#[case] file: &str, #[case] why: SignatureError) {
    assert_eq!(keyring(&[&plain()]).verify_inline(file.as_bytes(), day(2)), Err(why));
}

#[test]
fn a_signed_message_of_another_form_is_not_taken() {
    let cert = plain();
    let mut file = Vec::new();
    let message = Armorer::new(Message::new(&mut file)).build().unwrap();
    let message = Signing::new(message, signing_pair(&cert)).unwrap().build().unwrap();
    let mut message = openpgp::serialize::stream::LiteralWriter::new(message).build().unwrap();
    message.write_all(TEXT).unwrap();
    message.finalize().unwrap();
    assert_eq!(keyring(&[&cert]).verify_inline(&file, day(2)), Err(SignatureError::NotSigned));
}

#[rstest]
fn detached_signatures(#[values(true, false)] armored: bool) {
    let cert = plain();
    let ring = keyring(&[&cert]);
    let signature = sign_detached(&cert, armored);
    let verified = ring.verify_detached(TEXT, &signature, day(2)).unwrap();
    assert_eq!(verified.text, TEXT);
    assert_eq!(refusal(ring.verify_detached(b"other", &signature, day(2))), [Verdict::Forged]);
    assert_eq!(
        refusal(keyring(&[&plain()]).verify_detached(TEXT, &signature, day(2))),
        [Verdict::UnknownKey]
    );
    let page = b"<html>log in</html>";
    assert_eq!(ring.verify_detached(TEXT, page, day(2)), Err(SignatureError::LoginPage));
    assert_eq!(ring.verify_detached(page, &signature, day(2)), Err(SignatureError::LoginPage));
    assert_eq!(ring.verify_detached(TEXT, b" \n", day(2)), Err(SignatureError::NotSigned));
    assert!(ring.verify_detached(TEXT, &signature[..signature.len() / 2], day(2)).is_err());
}

#[test]
fn lengths_are_bounded() {
    let ring = keyring(&[&plain()]);
    let long = vec![b'a'; MAX_TEXT + 1];
    assert_eq!(ring.verify_inline(&long, day(2)), Err(SignatureError::TooLong(long.len())));
    assert_eq!(ring.verify_detached(&long, b"x", day(2)), Err(SignatureError::TooLong(long.len())));
    assert!(matches!(
        ring.verify_detached(TEXT, &vec![0; MAX_SIGNATURE + 1], day(2)),
        Err(SignatureError::TooLong(_))
    ));
}

#[test]
fn keyrings_in_every_form() {
    let (one, two) = (plain(), plain());
    let mut binary = one.to_vec().unwrap();
    two.serialize(&mut binary).unwrap();
    let mut armored = b"Some words before.\n".to_vec();
    one.armored().serialize(&mut armored).unwrap();
    two.armored().serialize(&mut armored).unwrap();
    let both = [one.fingerprint().to_hex(), two.fingerprint().to_hex()];
    for file in [binary.clone(), armored] {
        assert_eq!(Keyring::load(&[file]).unwrap().fingerprints().collect::<Vec<_>>(), both);
    }
    assert!(matches!(Keyring::load(&[binary.clone(), Vec::new()]), Err(KeyringError::Empty(1))));
    let mut keybox = vec![0, 0, 0, 32, 1, 1, 0, 0];
    keybox.extend(b"KBXf....");
    assert_eq!(Keyring::load(&[keybox]).unwrap_err(), KeyringError::Keybox(0));
    let page = Keyring::load(&[b"<html>".to_vec()]).unwrap_err();
    assert_eq!(page.file(), Some(0));
    assert!(Keyring::load(&[binary[..binary.len() / 3].to_vec()]).is_err());
}

#[rstest]
#[case(include_bytes!("../../../../config/keyrings/ubuntu-archive-keyring.gpg").as_slice(), 3)]
#[case(include_bytes!("../../../../config/keyrings/debian-archive-keyring.gpg").as_slice(), 9)]
fn the_shipped_keyrings_load(#[case] file: &[u8], #[case] certs: usize) {
    assert_eq!(Keyring::load(&[file]).unwrap().fingerprints().count(), certs);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_file_never_verifies_as_another(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let cert = plain();
        let mut file = sign(&cert, day(1));
        let at = at.index(file.len());
        file[at] = to;
        if let Ok(verified) = keyring(&[&cert]).verify_inline(&file, day(2)) {
            prop_assert_eq!(verified.text.trim_ascii_end(), TEXT.trim_ascii_end());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Keyring::load(&[&bytes]);
        let cert = plain();
        let ring = keyring(&[&cert]);
        prop_assert!(ring.verify_detached(TEXT, &bytes, day(2)).is_err());
        let mut framed = b"-----BEGIN PGP SIGNED MESSAGE-----\n\n".to_vec();
        framed.extend(&bytes);
        prop_assert!(ring.verify_inline(&framed, day(2)).is_err());
    }
}
