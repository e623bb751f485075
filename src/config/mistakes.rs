//! What is wrong with a configuration: all of it, in the order of its lines.

use std::cell::RefCell;
use std::fmt;

/// One thing that is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file's name as it was given, `built-in` or `command line`.
    pub file: String,
    /// Counted from 1; 0 where there are no lines.
    pub line: usize,
    /// The key's full path, `repo[2].upstreams (docker)`; empty when the text is not TOML there.
    pub key: String,
    /// What is wrong; what is allowed.
    pub message: String,
}

/// Everything that is wrong with a configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl fmt::Display for Mistakes {
    /// One mistake a line, without a line break at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Where something stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// As [`Mistake::key`].
    pub key: String,
    /// Byte offset into the text.
    pub at: usize,
}

/// A value, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Given<T> {
    pub value: T,
    pub place: Place,
}

/// Collects mistakes while the file is read; every reader holds a reference to the same one.
pub(super) struct Report<'d> {
    file: &'d str,
    /// None where there are no lines.
    text: Option<&'d str>,
    found: RefCell<Vec<(usize, Mistake)>>,
}

impl<'d> Report<'d> {
    pub fn new(file: &'d str, text: &'d str) -> Self {
        Self { file, text: Some(text), found: RefCell::default() }
    }

    /// For what the command line says instead of a file.
    pub fn command_line() -> Self {
        Self { file: "command line", text: None, found: RefCell::default() }
    }

    /// The file's name, as mistakes show it.
    pub fn file(&self) -> &'d str {
        self.file
    }

    /// Notes a mistake.
    pub fn wrong(&self, place: &Place, message: impl Into<String>) {
        let line = self.line(place.at);
        let (file, key) = (self.file.to_owned(), place.key.clone());
        self.found.borrow_mut().push((place.at, Mistake { file, line, key, message: message.into() }));
    }

    /// Notes where the text is no TOML. A line that is none is reported once, without whatever was
    /// noted about the remains of it.
    pub fn not_toml(&self, errors: &[toml::de::Error]) {
        let mut found = self.found.borrow_mut();
        let mut lines = Vec::new();
        for error in errors {
            let at = error.span().map_or(0, |span| span.start);
            let line = self.line(at);
            if !lines.contains(&line) {
                lines.push(line);
                found.retain(|(_, mistake)| mistake.line != line);
                let message = format!("this is not TOML: {}", error.message());
                found.push((at, Mistake { file: self.file.to_owned(), line, key: String::new(), message }));
            }
        }
    }

    /// The line of a byte offset, as [`Mistake::line`].
    pub fn line(&self, at: usize) -> usize {
        let Some(text) = self.text else { return 0 };
        let before = &text.as_bytes()[..at.min(text.len())];
        memchr::memchr_iter(b'\n', before).count() + 1
    }

    /// `value`, when there is no mistake.
    pub fn finish<T>(self, value: T) -> Result<T, Mistakes> {
        if self.found.borrow().is_empty() { Ok(value) } else { Err(self.mistakes()) }
    }

    /// The mistakes in the order of their places.
    pub fn mistakes(self) -> Mistakes {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(at, _)| *at);
        Mistakes(found.into_iter().map(|(_, mistake)| mistake).collect())
    }
}
