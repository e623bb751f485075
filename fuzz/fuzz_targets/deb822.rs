//! Stanzas from a stream: where the reads fall must not matter, and a field is what it is said to be.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use lumbung::repo::apt::deb822::{Reader, Stanza, lines, words};

/// Hands out `step` bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(into.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn fields(stanza: Stanza<'_>) -> Fields {
    stanza.fields().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

fn stanzas(text: &[u8], step: usize) -> Vec<Fields> {
    let mut reader = Reader::new(Trickle(text, step));
    let mut found = Vec::new();
    while let Some(stanza) = reader.next_stanza().expect("short input from memory cannot fail") {
        found.push(fields(stanza));
    }
    found
}

fuzz_target!(|input: (u8, &[u8])| {
    let (step, text) = input;
    let whole = stanzas(text, usize::MAX);
    assert_eq!(stanzas(text, usize::from(step) + 1), whole);

    let first = Stanza::first(text);
    assert_eq!(fields(first), whole.first().cloned().unwrap_or_default());
    for field in first.fields() {
        assert!(!field.name.contains(&b'\n') && !field.name.contains(&b':'));
        assert_eq!(field.value.trim_ascii(), field.value);
        assert!(lines(field.value).all(|line| !line.is_empty() && !line.contains(&b'\n')));
        assert!(words(field.value).all(|word| !word.is_empty() && !word.iter().any(u8::is_ascii_whitespace)));
        if let Ok(name) = std::str::from_utf8(field.name) {
            assert!(first.field(&name.to_ascii_uppercase()).is_some());
        }
    }
});
