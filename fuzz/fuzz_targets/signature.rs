//! The frame of a signed text, and both kinds of signature: without a key nothing is good.

#![no_main]

use std::time::{Duration, SystemTime};

use libfuzzer_sys::fuzz_target;
use lumbung::repo::apt::signature::{Keyring, SignatureError, clear_text};

fuzz_target!(|file: &[u8]| {
    // A fixed date keeps a finding repeatable.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_000_000);
    let keyring = Keyring::default();
    let inline = keyring.verify_inline(file, now);
    assert!(inline.is_err());
    assert!(keyring.verify_detached(b"Suite: x\n", file, now).is_err());
    match clear_text(file) {
        Ok(text) => {
            assert!(text.len() < file.len());
            assert!(!matches!(inline, Err(SignatureError::TextOutside | SignatureError::LoginPage)));
        }
        // What the frame does not allow never gets as far as its signatures.
        Err(error) => assert_eq!(inline, Err(error)),
    }
    drop(Keyring::load(&[file]));
});
