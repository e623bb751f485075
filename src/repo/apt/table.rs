//! What the indices of a generation list, small and quick: path → size and checksum.
//!
//! Paths themselves are not kept. An entry is 54 bytes: the first 16 of the path's SHA-256, which stand
//! for the path, size and kind of checksum in 6, and the checksum's 32. Entries are sorted, so a
//! look-up is a search among evenly spread numbers; and the file on disk is the form in memory, so
//! loading is reading, one hash and one walk. A whole Ubuntu release – 70,000 packages, four suites, two
//! architectures – has at most 560,000 entries, 30 MB, if no two suites shared anything. They do, and
//! architectures share most of what is for all: 24.04 with universe, for amd64 and i386, is 78,500 entries,
//! 4.2 MB. Measured for 560,000: loaded in 29 ms, a look-up 1.3 µs.
//!
//! 128 bits make a path that is not listed, but is found, something nobody can construct; and what
//! such a find leads to is only that its bytes are held to a checksum.
//!
//! A path may have several entries: a vendor replaced a package under its name, and two suites, or two
//! generations, disagree. All are kept; [`Table::find`] gives each. Tables merge without the paths.
//!
//! Which package a path is, its file's name tells: archives name files after what is in them, and whether
//! this one does was seen when its index was read. Those that are named otherwise are listed at the end.
//!
//! ```text
//! file    = head entry* odd* seal
//! head    = "lumbtab" version:u8 count:u64        numbers big-endian, version 2
//! entry   = path:[u8; 16] about:u48 checksum:[u8; 32]    about: bit 47 SHA-512, the rest size in bytes
//! odd     = path:[u8; 16] length:u8 text                 the package and its architecture, `nano:amd64`
//! seal    = SHA-256 of all before                        against a damaged disk, not against a forger
//! ```

use std::borrow::Cow;
use std::fmt;

use super::checksum::Checksum;
use super::package_name;
use crate::digest::Digest;

const MAGIC: [u8; 8] = *b"lumbtab\x02";
const HEAD: usize = 16;
const SEAL: usize = 32;
const ENTRY: usize = 54;
const PATH: usize = 16;
const ABOUT: usize = 6;
const SHA512: u64 = 1 << 47;

/// Largest size that an entry can hold, in bytes.
pub const MAX_SIZE: u64 = SHA512 - 1;
/// Most entries of a table (432 MB).
pub const MAX_ENTRIES: usize = 8_000_000;
/// Most bytes of packages whose files are named otherwise; further ones are known by their file's name.
const MAX_ODD: usize = 8 << 20;

type Entry = [u8; ENTRY];

/// What stands for a path in every table: making it costs more than looking for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathKey([u8; PATH]);

impl PathKey {
    /// That of a path in the spelling of [`RepoPath`](crate::repo_path::RepoPath).
    #[must_use]
    pub fn of(path: &str) -> Self {
        let mut key = [0; PATH];
        key.copy_from_slice(&Digest::of(path.as_bytes()).as_bytes()[..PATH]);
        Self(key)
    }
}

/// What is known of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Expected {
    /// In bytes, or [`Expected::ANY_SIZE`].
    pub size: u64,
    /// What it hashes to.
    pub checksum: Checksum,
}

impl Expected {
    /// Stands for a size that nobody told: checksum lists have none.
    pub const ANY_SIZE: u64 = u64::MAX;

    /// The size in bytes, where it is known.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        if self.size == Self::ANY_SIZE { None } else { Some(self.size) }
    }
}

/// A table in memory, the same bytes as on disk.
#[derive(Clone, PartialEq, Eq)]
pub struct Table {
    file: Box<[u8]>,
    /// Where the entries end.
    end: usize,
}

/// Why a table could not be made or loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// Not a table, or one of another version.
    #[error("not an index table of this version")]
    NotATable,
    /// Damaged: its length, its seal or its order is wrong.
    #[error("the index table is damaged")]
    Damaged,
    /// More entries than [`MAX_ENTRIES`].
    #[error("more than {MAX_ENTRIES} files for one index table")]
    TooMany,
    /// A size beyond [`MAX_SIZE`].
    #[error("a file of {0} bytes is too large for an index table")]
    TooLarge(u64),
}

/// Collects what a table shall hold, in any order, in the memory that becomes the table. While
/// it grows, for a moment, it takes a little more than twice the table's.
pub struct Builder {
    /// The head, still empty, and the entries so far.
    file: Vec<u8>,
    /// Packages whose files are named otherwise.
    odd: Vec<u8>,
}

impl Default for Builder {
    fn default() -> Self {
        Self { file: vec![0; HEAD], odd: Vec::new() }
    }
}

impl Builder {
    /// An empty builder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a path in the spelling of [`RepoPath`](crate::repo_path::RepoPath), which is how it will be
    /// looked up. Adding the same again changes nothing.
    ///
    /// # Errors
    /// [`TableError::TooMany`], [`TableError::TooLarge`].
    pub fn add(&mut self, path: &str, expected: &Expected) -> Result<(), TableError> {
        if expected.size > MAX_SIZE {
            return Err(TableError::TooLarge(expected.size));
        }
        let (flag, hash) = match &expected.checksum {
            Checksum::Sha256(digest) => (0, digest.as_bytes()),
            Checksum::Sha512(half) => (SHA512, half),
        };
        self.make_room(ENTRY)?;
        self.file.extend_from_slice(&PathKey::of(path).0);
        self.file.extend_from_slice(&(flag | expected.size).to_be_bytes()[8 - ABOUT..]);
        self.file.extend_from_slice(hash);
        Ok(())
    }

    /// Notes which package the file at a path is, where its name does not tell.
    pub fn name(&mut self, path: &str, package: &str, architecture: &str) {
        if package_name::of_path(path) == Some((package, architecture)) {
            return;
        }
        let text = format!("{package}:{architecture}");
        let sane = !package.is_empty() && !architecture.is_empty();
        if let Ok(length) = u8::try_from(text.len())
            && sane
            && self.odd.len() + PATH + 1 + text.len() <= MAX_ODD
        {
            self.odd.extend_from_slice(&PathKey::of(path).0);
            self.odd.push(length);
            self.odd.extend_from_slice(text.as_bytes());
        }
    }

    /// Adds all that another table holds.
    ///
    /// # Errors
    /// [`TableError::TooMany`].
    pub fn merge(&mut self, table: &Table) -> Result<(), TableError> {
        let entries = table.entries().as_flattened();
        self.make_room(entries.len())?;
        self.file.extend_from_slice(entries);
        let odd = table.odd();
        if self.odd.len() + odd.len() <= MAX_ODD {
            self.odd.extend_from_slice(odd);
        }
        Ok(())
    }

    /// Where room is short, duplicates go before more memory is taken.
    fn make_room(&mut self, bytes: usize) -> Result<(), TableError> {
        const MOST: usize = HEAD + MAX_ENTRIES * ENTRY;
        if self.file.len() + bytes <= self.file.capacity() {
            return Ok(());
        }
        self.tidy();
        if self.file.len() + bytes > MOST {
            return Err(TableError::TooMany);
        }
        // At least a quarter as much again, so that tidying stays rare however few duplicates it finds.
        self.file.reserve_exact(bytes.max(self.file.len() / 4));
        Ok(())
    }

    /// Sorts the entries and drops duplicates.
    fn tidy(&mut self) {
        let (entries, _) = self.file[HEAD..].as_chunks_mut::<ENTRY>();
        entries.sort_unstable();
        let mut kept = usize::from(!entries.is_empty());
        for at in 1..entries.len() {
            if entries[at] != entries[kept - 1] {
                entries[kept] = entries[at];
                kept += 1;
            }
        }
        self.file.truncate(HEAD + kept * ENTRY);
    }

    /// The table.
    #[must_use]
    pub fn finish(mut self) -> Table {
        self.tidy();
        let count = (self.file.len() - HEAD) / ENTRY;
        self.file[..MAGIC.len()].copy_from_slice(&MAGIC);
        self.file[MAGIC.len()..HEAD].copy_from_slice(&(count as u64).to_be_bytes());
        let end = self.file.len();
        self.file.reserve_exact(self.odd.len() + SEAL);
        self.file.extend_from_slice(&self.odd);
        let seal = Digest::of(&self.file);
        self.file.extend_from_slice(seal.as_bytes());
        Table { file: self.file.into_boxed_slice(), end }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder").finish_non_exhaustive()
    }
}

impl Table {
    /// Takes a table as [`Table::as_bytes`] gave it. Trusts nothing: length, seal and order are checked.
    ///
    /// # Errors
    /// [`TableError::NotATable`], [`TableError::Damaged`], [`TableError::TooMany`].
    pub fn from_bytes(file: Vec<u8>) -> Result<Self, TableError> {
        let head = file.get(..HEAD).ok_or(TableError::NotATable)?;
        let (magic, count) = head.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(TableError::NotATable);
        }
        let count = count.iter().fold(0, |count: u64, byte| count << 8 | u64::from(*byte));
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count > MAX_ENTRIES {
            return Err(TableError::TooMany);
        }
        let end = HEAD + count * ENTRY;
        if !(end + SEAL..=end + MAX_ODD + SEAL).contains(&file.len()) {
            return Err(TableError::Damaged);
        }
        let (sealed, seal) = file.split_at(file.len() - SEAL);
        if Digest::of(sealed).as_bytes() != seal {
            return Err(TableError::Damaged);
        }
        let table = Self { file: file.into_boxed_slice(), end };
        if !table.entries().is_sorted_by(|a, b| a < b) {
            return Err(TableError::Damaged);
        }
        Ok(table)
    }

    /// What to write to disk.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.file
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries().is_empty()
    }

    /// What is listed for a path: mostly nothing or one, several where suites disagree.
    pub fn find(&self, path: &str) -> impl Iterator<Item = Expected> {
        self.find_key(PathKey::of(path))
    }

    /// The same for a path that is looked for in several tables.
    pub fn find_key(&self, PathKey(key): PathKey) -> impl Iterator<Item = Expected> {
        let entries = self.entries();
        let start = first_of(entries, &key);
        entries[start..].iter().take_while(move |entry| entry[..PATH] == key).map(expected)
    }

    /// The package that the file at a listed path is, with its architecture: `nano:amd64`. `None` where neither
    /// the index nor the name tells.
    #[must_use]
    pub fn package_of<'t>(&'t self, path: &'t str) -> Option<Cow<'t, str>> {
        let odd = self.odd();
        if !odd.is_empty() {
            let PathKey(key) = PathKey::of(path);
            if let Some((_, text)) = odd_ones(odd).find(|(known, _)| **known == key) {
                return std::str::from_utf8(text).ok().map(Cow::Borrowed);
            }
        }
        let (package, architecture) = package_name::of_path(path)?;
        Some(Cow::Owned(format!("{package}:{architecture}")))
    }

    /// Everything that is listed, in no particular order: what a sweep of the store must keep.
    pub fn iter(&self) -> impl Iterator<Item = Expected> {
        self.entries().iter().map(expected)
    }

    fn entries(&self) -> &[Entry] {
        self.file.get(HEAD..self.end).map_or(&[], |entries| entries.as_chunks().0)
    }

    fn odd(&self) -> &[u8] {
        self.file.get(self.end..self.file.len() - SEAL).unwrap_or(&[])
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Where the entries of a key begin, or would stand. The keys are hashes and spread evenly, so a guess
/// by value lands close; a few such steps leave a handful for the binary search.
fn first_of(entries: &[Entry], key: &[u8; PATH]) -> usize {
    let value = |key: &[u8]| key.iter().take(8).fold(0, |value: u64, byte| value << 8 | u64::from(*byte));
    let wanted = u128::from(value(key));
    // The answer lies in low..=high; all before low are smaller, all from high on are not.
    let (mut low, mut high) = (0, entries.len());
    for _ in 0..4 {
        if high - low < 16 {
            break;
        }
        let (first, last) = (u128::from(value(&entries[low])), u128::from(value(&entries[high - 1])));
        if wanted <= first || wanted > last {
            break;
        }
        let span = (high - 1 - low) as u128;
        let steps = (wanted - first) * span / (last - first);
        let guess = low + usize::try_from(steps).unwrap_or(0);
        // Both ends move to just around the guess, where they are on the right side of the key.
        let margin = 8 + (high - low) / 256;
        let (before, after) = (guess.saturating_sub(margin), (guess + margin).min(high));
        if before > low && entries[before - 1][..PATH] < key[..] {
            low = before;
        }
        if after < high && entries[after][..PATH] >= key[..] {
            high = after;
        }
    }
    low + entries[low..high].partition_point(|entry| entry[..PATH] < key[..])
}

/// Keys and texts of the packages whose files are named otherwise, as far as they can be read.
fn odd_ones(mut odd: &[u8]) -> impl Iterator<Item = (&[u8; PATH], &[u8])> {
    std::iter::from_fn(move || {
        let (key, rest) = odd.split_first_chunk::<PATH>()?;
        let (length, rest) = rest.split_first()?;
        let (text, rest) = rest.split_at_checked(usize::from(*length))?;
        odd = rest;
        Some((key, text))
    })
}

fn expected(entry: &Entry) -> Expected {
    let about = entry[PATH..PATH + ABOUT].iter().fold(0, |about: u64, byte| about << 8 | u64::from(*byte));
    let mut hash = [0; 32];
    hash.copy_from_slice(&entry[PATH + ABOUT..]);
    let checksum =
        if about & SHA512 == 0 { Checksum::Sha256(Digest::from_bytes(hash)) } else { Checksum::Sha512(hash) };
    Expected { size: about & MAX_SIZE, checksum }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
