//! The paragraph format of Debian's control files.
//!
//! A file is a row of stanzas parted by empty lines; a stanza is a row of fields `Name: value`, each of
//! which goes on over following lines that begin with a blank. Reading is as lenient as apt's: comments
//! and lines without a colon are passed over, names compare without case, of a name given twice the
//! first counts. It does not copy: a [`Field`] is a pair of slices of the stanza.
//!
//! [`Reader`] takes stanzas from a stream and holds one at a time, so that an index of 50 MB costs a
//! buffer of 64 KiB. [`Stanza::first`] takes one from a text that is in memory already.

use std::io::{self, Read};

use memchr::memchr;
use memchr::memmem::Finder;

/// Longest stanza that [`Reader`] takes, in bytes. Debian's longest, the kernel's sources, has 300 KB.
pub const MAX_STANZA: usize = 4 << 20;

/// How much [`Reader`] asks of its input at a time, in bytes.
const PIECE: usize = 64 << 10;

/// One paragraph, without the empty line that ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stanza<'a>(&'a [u8]);

/// A field of a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// What stands before the colon, as written.
    pub name: &'a [u8],
    /// What stands after it up to the next field: line breaks and the blanks that begin continuation
    /// lines included, white space at both ends not.
    pub value: &'a [u8],
}

/// Why no further stanza could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The input failed, or what unpacks it did.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A stanza without end.
    #[error("a stanza is longer than {MAX_STANZA} bytes")]
    TooLong,
}

impl<'a> Stanza<'a> {
    /// The first stanza of a text. What follows it is not looked at.
    #[must_use]
    pub fn first(text: &'a [u8]) -> Self {
        let text = &text[leading_breaks(text)..];
        let end = separator(text).find(text).unwrap_or(text.len());
        Self(&text[..end])
    }

    /// The fields in their order.
    #[must_use]
    pub const fn fields(self) -> Fields<'a> {
        Fields { rest: self.0 }
    }

    /// The first field of this name, in any case.
    #[must_use]
    pub fn field(self, name: &str) -> Option<&'a [u8]> {
        self.fields().find(|field| field.is(name)).map(|field| field.value)
    }
}

impl<'a> Field<'a> {
    /// Whether this field has that name, in any case.
    #[must_use]
    pub const fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value as text; `None` when it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> Option<&'a str> {
        std::str::from_utf8(self.value).ok()
    }
}

/// The lines of a value that hold anything, without the white space around them.
pub fn lines(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}

/// The words of a value.
pub fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

/// Walks over the fields of a stanza; see [`Stanza::fields`].
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            let text = self.rest;
            if text.is_empty() {
                return None;
            }
            let first_line = memchr(b'\n', text).unwrap_or(text.len());
            let mut end = first_line;
            while matches!(text.get(end + 1), Some(b' ' | b'\t')) {
                end += 1;
                end += memchr(b'\n', &text[end..]).unwrap_or(text.len() - end);
            }
            self.rest = text.get(end + 1..).unwrap_or_default();
            if matches!(text[0], b'#' | b' ' | b'\t') {
                continue;
            }
            if let Some(colon) = memchr(b':', &text[..first_line]) {
                let name = text[..colon].trim_ascii_end();
                return Some(Field { name, value: text[colon + 1..end].trim_ascii() });
            }
        }
    }
}

/// Takes stanzas from a stream, one at a time.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    /// What of the buffer is read and not handed out yet.
    start: usize,
    end: usize,
    finished: bool,
}

impl<R: Read> Reader<R> {
    /// A reader at the beginning of `input`, which need not be buffered.
    pub const fn new(input: R) -> Self {
        Self { input, buffer: Vec::new(), start: 0, end: 0, finished: false }
    }

    /// The next stanza, or `None` at the end of the input.
    ///
    /// # Errors
    /// [`ReadError`]; the reader is of no use afterwards.
    pub fn next_stanza(&mut self) -> Result<Option<Stanza<'_>>, ReadError> {
        // Up to where the buffer holds no separator, counted from `start`.
        let mut searched = 0;
        loop {
            if searched == 0 {
                self.start += leading_breaks(&self.buffer[self.start..self.end]);
            }
            let held = &self.buffer[self.start..self.end];
            let separator = separator(held);
            if let Some(at) = separator.find(&held[searched..]) {
                let start = self.start;
                let end = start + searched + at;
                self.start = end + separator.needle().len();
                return Ok(Some(Stanza(&self.buffer[start..end])));
            }
            if self.finished {
                let stanza = Stanza(&self.buffer[self.start..self.end]);
                self.start = self.end;
                return Ok((!stanza.0.is_empty()).then_some(stanza));
            }
            // A separator has up to three bytes, of which two can stand at the buffer's end. The first
            // line decides which separator it is, so without one nothing counts as searched.
            searched = if memchr(b'\n', held).is_some() { held.len().saturating_sub(2) } else { 0 };
            self.fill()?;
        }
    }

    /// Reads another piece behind what is held.
    fn fill(&mut self) -> Result<(), ReadError> {
        if self.end - self.start > MAX_STANZA {
            return Err(ReadError::TooLong);
        }
        if self.buffer.len() - self.end < PIECE {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let needed = (self.end + PIECE).max(2 * PIECE);
            if self.buffer.len() < needed {
                // Doubling keeps the copying linear in the stanza's length.
                self.buffer.resize(needed.max(self.buffer.len() * 2), 0);
            }
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    self.finished = read == 0;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The empty line that ends a stanza, in the style of line break that its first line has.
fn separator(text: &[u8]) -> Finder<'static> {
    let carriage_return = memchr(b'\n', text).is_some_and(|at| at > 0 && text[at - 1] == b'\r');
    Finder::new(if carriage_return { b"\n\r\n".as_slice() } else { b"\n\n".as_slice() })
}

/// How many line breaks the text begins with.
fn leading_breaks(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    /// Hands out `step` bytes at a time, to put every boundary between two reads.
    struct Trickle<'a>(&'a [u8], usize);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(self.0.len()).min(into.len());
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn all(text: &[u8], step: usize) -> Vec<Vec<(String, String)>> {
        let mut reader = Reader::new(Trickle(text, step));
        let mut stanzas = Vec::new();
        while let Some(stanza) = reader.next_stanza().unwrap() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            stanzas.push(stanza.fields().map(|field| (text(field.name), text(field.value))).collect());
        }
        stanzas
    }

    #[rstest]
    #[case("\n")]
    #[case("\r\n")]
    fn stanzas_fields_and_continuations(#[case] line_break: &str, #[values(1, 2, 3, 7, 4096)] step: usize) {
        let text = "\n\nPackage: a\nDescription: one\n two\n\tthree\n# a comment\nno field\nEmpty:\n\n\n\
                    package : b\n stray\nVersion:1:2"
            .replace('\n', line_break);
        let stanzas = all(text.as_bytes(), step);
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].len(), 3);
        assert_eq!(stanzas[0][0], ("Package".into(), "a".into()));
        assert_eq!(
            lines(stanzas[0][1].1.as_bytes()).collect::<Vec<_>>(),
            [b"one".as_slice(), b"two", b"three"]
        );
        assert_eq!(stanzas[0][2], ("Empty".into(), String::new()));
        assert_eq!(stanzas[1][1], ("Version".into(), "1:2".into()));
        let first = Stanza::first(text.as_bytes());
        assert_eq!(first.field("PACKAGE"), Some(b"a".as_slice()));
        assert_eq!(first.field("Version"), None);
    }

    #[test]
    fn a_stanza_without_end_is_refused() {
        let endless = io::repeat(b'a');
        assert!(matches!(Reader::new(endless).next_stanza(), Err(ReadError::TooLong)));
        let long = format!("A: {}\n\nB: 1\n", "x".repeat(MAX_STANZA - 10));
        assert_eq!(all(long.as_bytes(), 100_000).len(), 2);
    }

    #[test]
    fn a_failing_input_is_an_error() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("broken"))
            }
        }
        assert!(matches!(Reader::new(Broken).next_stanza(), Err(ReadError::Io(_))));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[ab:# \t\r\n]{0,80}", step in 1..9_usize) {
            prop_assert_eq!(all(text.as_bytes(), step), all(text.as_bytes(), 4096));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = all(&bytes, 5);
            for field in Stanza::first(&bytes).fields() {
                prop_assert!(!field.name.contains(&b'\n'));
            }
        }
    }
}
