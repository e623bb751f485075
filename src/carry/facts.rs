//! A job as administrators see it: the JSON of the API, read back by the command line.

use serde::{Deserialize, Serialize};

/// Refused files that are named; the others are only counted.
const MOST_NAMED: usize = 1000;

/// An export or import, running or ended. Field names are an interface: more may come, none changes its
/// meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarryFacts {
    /// Its number since the program started, from 1.
    pub number: u64,
    /// Which of the two.
    pub kind: CarryKind,
    /// Nothing is changed: what would be is told.
    pub dry_run: bool,
    /// Whether it is still going on.
    pub running: bool,
    /// What it does at the moment.
    pub step: String,
    /// Why it ended before its end.
    pub problem: Option<String>,
    /// Files to go through.
    pub files_total: u64,
    /// Files gone through.
    pub files_done: u64,
    /// Bytes to go through.
    pub bytes_total: u64,
    /// Bytes gone through.
    pub bytes_done: u64,
    /// Files that were written, or taken in.
    pub new_files: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Files that were there already.
    pub present_files: u64,
    /// Their bytes.
    pub present_bytes: u64,
    /// Files of the seed that the other side has already (`--since`).
    pub left_out_files: u64,
    /// What a bundle says of itself.
    pub bundle: Option<String>,
    /// The suites and checksum lists that were met.
    pub suites: Vec<SuiteState>,
    /// Files that were not taken in.
    pub refused_files: u64,
    /// Which, and why; the first of them.
    pub refused: Vec<RefusedFile>,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CarryKind {
    /// From here to a disk.
    Export,
    /// From a disk to here.
    Import,
}

/// A suite, or a checksum list, of a bundle or folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteState {
    /// The repository's name.
    pub repo: String,
    /// The folder of the release file, or the path of the list.
    pub suite: String,
    /// `Date` of its release file, in seconds since 1970.
    pub date: Option<i64>,
    /// Fingerprints of the keys that signed it.
    pub signers: Vec<String>,
    /// How it stands to what is here.
    pub standing: SuiteStanding,
    /// The generation that it became, or is.
    pub generation: Option<i64>,
    /// Why it was refused, or did not become current.
    pub problem: Option<String>,
}

/// How a suite on a disk stands to the one that is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuiteStanding {
    /// The suite is not known here.
    New,
    /// It is another state than the one here, and not an older one.
    Newer,
    /// It is what is here.
    Same,
    /// What is here is newer.
    Older,
    /// Nothing vouches for it.
    Refused,
}

impl SuiteStanding {
    /// The word in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Newer => "newer",
            Self::Same => "same",
            Self::Older => "older",
            Self::Refused => "REFUSED",
        }
    }
}

/// A file that was not taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedFile {
    /// Its path.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl CarryFacts {
    pub(super) const fn new(number: u64, kind: CarryKind, dry_run: bool) -> Self {
        Self {
            number,
            kind,
            dry_run,
            running: true,
            step: String::new(),
            problem: None,
            files_total: 0,
            files_done: 0,
            bytes_total: 0,
            bytes_done: 0,
            new_files: 0,
            new_bytes: 0,
            present_files: 0,
            present_bytes: 0,
            left_out_files: 0,
            bundle: None,
            suites: Vec::new(),
            refused_files: 0,
            refused: Vec::new(),
        }
    }

    pub(super) fn refuse(&mut self, name: &str, reason: impl Into<String>) {
        self.refused_files += 1;
        if self.refused.len() < MOST_NAMED {
            self.refused.push(RefusedFile { name: name.to_owned(), reason: reason.into() });
        }
    }
}
