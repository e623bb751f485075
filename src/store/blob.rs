//! Opening objects, and what happens to those that are not what the catalog says.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::Connection;

use super::layout::unlink;
use super::shared::{Handle, Shared};
use super::transaction::commit;
use super::writer::{Command, Verdict};
use super::{Blob, EntryKey, Error, catalog, seeded};
use crate::digest::Digest;

/// Most files in `damaged/`; the oldest make room. They are kept for whoever wants to know what the
/// disk did to them.
const MOST_DAMAGED: usize = 64;

/// What was found where an object should be.
#[derive(Debug)]
pub enum Examined {
    /// A file of the right length.
    Open(Blob),
    /// Nothing, and nothing is expected: it has been evicted.
    Gone,
    /// Its file was missing or of a wrong length. It has been set aside, and these keys were forgotten.
    Damaged(Vec<EntryKey>),
}

/// Opens an object whose file has the right length.
pub(super) fn open(handle: &Handle, digest: &Digest) -> Result<Examined, Error> {
    let shared = &handle.shared;
    let size = shared.readers.read("look up an object", |connection| catalog::object(connection, digest))?;
    let Some(size) = size else { return Ok(Examined::Gone) };
    let path = shared.layout.object(digest);
    let found = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
    match found {
        Ok((metadata, file)) if metadata.is_file() && metadata.len() == size => {
            let seeded = seeded::look_up(shared, digest)?;
            return Ok(Examined::Open(Blob { file: Arc::new(file), size, digest: *digest, seeded }));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // Out of descriptors, no permission: the object may be perfectly well.
        Err(error) => return Err(Error::io("open", &path, error)),
    }
    // It may also have been evicted just now; the writer knows.
    let keys = handle.ask(|reply| Command::Inspect { digest: *digest, verdict: Verdict::Suspect, reply })?;
    Ok(keys.map_or(Examined::Gone, Examined::Damaged))
}

/// The writer's part: looks again, and if the object is indeed damaged forgets it and keeps the file
/// apart. The keys that it had, or `None` when there was nothing to do.
pub(super) fn inspect(
    shared: &Shared,
    connection: &mut Connection,
    digest: &Digest,
    verdict: Verdict,
) -> Result<Option<Vec<EntryKey>>, Error> {
    let Some(size) = catalog::object(connection, digest)
        .map_err(|error| Error::catalog("look up an object", &shared.layout.catalog, error))?
    else {
        return Ok(None);
    };
    let path = shared.layout.object(digest);
    let length = std::fs::metadata(&path).map(|found| found.len()).ok();
    if verdict == Verdict::Suspect && length == Some(size) {
        return Ok(None);
    }
    let keys = commit(shared, connection, |transaction, totals| {
        catalog::remove_object(transaction, digest, size, totals)
    })?;
    shared.touches().forget(digest);
    let Some(length) = length else {
        tracing::warn!(%digest, "an object's file is missing; it will be fetched again when it is asked for");
        shared.tell_evicted(&keys);
        return Ok(Some(keys));
    };
    tracing::warn!(%digest, length, expected = size, "an object is damaged; it was set aside and will be fetched again");
    set_aside(shared, digest, &path);
    shared.tell_evicted(&keys);
    Ok(Some(keys))
}

/// Moves a damaged file to where it can be looked at; if even that fails, removes it.
fn set_aside(shared: &Shared, digest: &Digest, path: &std::path::Path) {
    make_space(shared);
    let to = shared.layout.damaged.join(digest.to_string());
    if let Err(error) = shared.disk.rename_over(path, &to) {
        tracing::warn!(path = %path.display(), %error, "could not set the damaged object aside; removing it");
        unlink(path);
    }
}

fn make_space(shared: &Shared) {
    let Ok(folder) = std::fs::read_dir(&shared.layout.damaged) else { return };
    let mut files: Vec<(SystemTime, PathBuf)> = folder
        .flatten()
        .map(|file| {
            let age = file.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
            (age, file.path())
        })
        .collect();
    files.sort();
    let surplus = (files.len() + 1).saturating_sub(MOST_DAMAGED);
    for (_, path) in files.iter().take(surplus) {
        unlink(path);
    }
}
