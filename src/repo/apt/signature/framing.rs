//! What surrounds a signed text.
//!
//! The frame is checked line by line before anything looks inside: one head, one text, one signature
//! block, white space around. apt splits such a file by the same rules.

use super::SignatureError;

const HEAD: &[u8] = b"-----BEGIN PGP SIGNED MESSAGE-----";
const SIGNATURE: &[u8] = b"-----BEGIN PGP SIGNATURE-----";
const END: &[u8] = b"-----END PGP SIGNATURE-----";

enum Place {
    Before,
    Headers,
    Text,
    Signature,
    After,
}

/// The signed message in `file`, if the file is nothing but one.
pub(super) fn only_message(file: &[u8]) -> Result<&[u8], SignatureError> {
    let message = file.trim_ascii();
    if is_web_page(message) {
        return Err(SignatureError::LoginPage);
    }
    let mut place = Place::Before;
    for line in message.split(|byte| *byte == b'\n') {
        let line = line.trim_ascii_end();
        place = match place {
            Place::Before if line == HEAD => Place::Headers,
            Place::Before => return Err(first_line(message)),
            Place::Headers if line.is_empty() => Place::Text,
            // The only header there is; a text hidden among the headers would not be signed.
            Place::Headers if line.starts_with(b"Hash:") => Place::Headers,
            Place::Text if line == SIGNATURE => Place::Signature,
            // Inside the text a hyphen that begins a line is escaped by another one and a blank.
            Place::Text if !line.starts_with(b"-") || line.starts_with(b"- ") || line == b"-" => Place::Text,
            Place::Signature if line == END => Place::After,
            Place::Signature if !line.starts_with(b"-") => Place::Signature,
            Place::Headers | Place::Text | Place::Signature | Place::After => {
                return Err(SignatureError::TextOutside);
            }
        };
    }
    match place {
        Place::After => Ok(message),
        Place::Signature => Err(SignatureError::Unreadable("the file ends within the signature".into())),
        Place::Before | Place::Headers | Place::Text => Err(SignatureError::NotSigned),
    }
}

/// The text inside a message that [`only_message`] has accepted, with escaped hyphens as they were.
pub(super) fn text_of(message: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(message.len());
    let lines = message.split_inclusive(|byte| *byte == b'\n');
    let body = lines.skip_while(|line| !line.trim_ascii().is_empty()).skip(1);
    for line in body.take_while(|line| line.trim_ascii_end() != SIGNATURE) {
        text.extend_from_slice(line.strip_prefix(b"- ").unwrap_or(line));
    }
    text
}

/// Whether a signed text comes later, or not at all.
fn first_line(message: &[u8]) -> SignatureError {
    let later = memchr::memmem::find_iter(message, HEAD).any(|at| at > 0 && message[at - 1] == b'\n');
    if later { SignatureError::TextOutside } else { SignatureError::NotSigned }
}

/// Whether this looks like what a network shows to those who have not logged in.
pub(super) fn is_web_page(file: &[u8]) -> bool {
    let start = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file).trim_ascii_start();
    let start = &start[..start.len().min(1024)];
    let has = |tag: &[u8]| start.windows(tag.len()).any(|window| window.eq_ignore_ascii_case(tag));
    start.starts_with(b"<")
        && (has(b"<html") || has(b"<!doctype") || has(b"<head") || has(b"<script") || has(b"<?xml"))
}
