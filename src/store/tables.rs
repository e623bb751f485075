//! Tables of indices' contents, kept beside the objects that they were made from.
//!
//! They are derived: one that is missing is made again from its index, so none of them is ever waited
//! for, counted or repaired. A checksum in front keeps a rotting disk from making good packages look
//! wrong for as long as the suite does not change.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::layout::unlink;
use super::shared::{Handle, Shared};
use super::{Error, Store, hold};
use crate::digest::Digest;

/// How the names of unfinished tables end.
const NEW: &str = ".new";

/// Bytes of the checksum in front.
const SUM: usize = 32;

impl Store {
    /// Keeps the table of an index, in place of what was kept before. Blocking.
    ///
    /// # Errors
    /// Whatever the disk says; [`Error::is_full`] tells when it was full.
    pub fn save_table(&self, index: &Digest, bytes: &[u8]) -> Result<(), Error> {
        save(self.shared(), index, bytes)
    }

    /// The table of an index as it was kept, or `None` when there is none or the disk has changed it.
    /// Blocking.
    ///
    /// # Errors
    /// When the file may be there but cannot be read.
    pub fn load_table(&self, index: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let path = self.shared().layout.table(index);
        let mut bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", &path, error)),
        };
        match bytes.split_first_chunk::<SUM>() {
            Some((sum, table)) if Digest::of(table) == Digest::from_bytes(*sum) => {
                bytes.drain(..SUM);
                Ok(Some(bytes))
            }
            _ => {
                tracing::warn!(path = %path.display(), "a table is damaged; it will be made again");
                unlink(&path);
                Ok(None)
            }
        }
    }
}

fn save(shared: &Shared, index: &Digest, bytes: &[u8]) -> Result<(), Error> {
    let path = shared.layout.table(index);
    let number = shared.counts.named.fetch_add(1, Ordering::Relaxed);
    let part = shared.layout.tables.join(format!("{index}-{}{number:08x}{NEW}", shared.session));
    let written = write(shared, &part, bytes).and_then(|()| {
        shared.disk.rename_over(&part, &path).map_err(|error| Error::io("rename to", &path, error))
    });
    if written.is_err() {
        unlink(&part);
    }
    written
}

fn write(shared: &Shared, part: &Path, bytes: &[u8]) -> Result<(), Error> {
    let wrong = |error| Error::io("write", part, error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o640).open(part).map_err(wrong)?;
    file.write_all(Digest::of(bytes).as_bytes()).and_then(|()| file.write_all(bytes)).map_err(wrong)?;
    flush(shared, &file, part)
}

/// The name alone may be lost in a power cut, but never its bytes.
fn flush(shared: &Shared, file: &File, part: &Path) -> Result<(), Error> {
    shared.disk.sync_data(file).map_err(|error| Error::io("flush", part, error))
}

/// Whether a file in `tables/` that has not changed for a while is worth nothing any more: unfinished, or
/// of an index that nothing holds.
pub(super) fn is_garbage(handle: &Handle, name: &str) -> Result<bool, Error> {
    if name.ends_with(NEW) {
        return Ok(true);
    }
    let Ok(index) = name.parse::<Digest>() else { return Ok(false) };
    handle
        .shared
        .readers
        .read("look up a hold", |connection| hold::is_held(connection, &index))
        .map(|held| !held)
}
