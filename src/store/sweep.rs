//! Collecting garbage: files that a crash left and that the catalog does not know.
//!
//! They harm nobody, so this goes slowly: after each folder it rests three times as long as it worked.

use std::fs::{DirEntry, ReadDir};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use super::layout::unlink;
use super::shared::Handle;
use super::staged::remove_parked;
use super::writer::Command;
use super::{Error, catalog, tables};
use crate::digest::Digest;

/// Files without a row are left alone this long, in seconds; a publication may be under way.
const OBJECT_AGE: i64 = 60 * 60;

/// Unfinished transfers are kept this long, in seconds.
const PARTIAL_AGE: i64 = 7 * 24 * 60 * 60;

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files in `objects/` that no row knew.
    pub objects: usize,
    /// Files in `partial/` that nobody resumed.
    pub partials: usize,
    /// Files in `tables/` of indices that no generation holds any more.
    pub tables: usize,
}

pub(super) fn sweep(handle: &Handle) -> Result<Swept, Error> {
    let mut swept = Swept { objects: 0, partials: partials(handle)?, tables: tables(handle)? };
    for first in 0..=u8::MAX {
        let started = Instant::now();
        let strangers = strangers(handle, first)?;
        if !strangers.is_empty() {
            swept.objects += handle.ask(|reply| Command::Collect { digests: strangers, reply })?;
        }
        // The pace is the point, and this thread is the sweep's own.
        std::thread::park_timeout(started.elapsed() * 3);
    }
    Ok(swept)
}

/// Objects of one folder that are old and have no row.
fn strangers(handle: &Handle, first: u8) -> Result<Vec<Digest>, Error> {
    let folder = handle.shared.layout.objects.join(format!("{first:02x}"));
    let mut strangers = Vec::new();
    for file in list(&folder)?.into_iter().flatten().flatten() {
        let Some(rest) = file.file_name().to_str().map(ToOwned::to_owned) else { continue };
        let Ok(digest) = format!("{first:02x}{rest}").parse::<Digest>() else { continue };
        if age(handle, &file) < OBJECT_AGE {
            continue;
        }
        let known = handle
            .shared
            .readers
            .read("look up an object", |connection| catalog::object(connection, &digest))?;
        if known.is_none() {
            strangers.push(digest);
        }
    }
    Ok(strangers)
}

/// Removes old unfinished transfers; how many.
fn partials(handle: &Handle) -> Result<usize, Error> {
    let shared = &handle.shared;
    let mut removed = 0;
    for file in list(&shared.layout.partial)?.into_iter().flatten().flatten() {
        if age(handle, &file) < PARTIAL_AGE {
            continue;
        }
        let name = file.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".part")) else { continue };
        let parked = shared.partials().take(name);
        if let Some(parked) = parked {
            remove_parked(handle, &parked);
            removed += 1;
        } else if shared.partials().is_garbage(name) {
            unlink(&file.path());
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes old tables that nobody will load; how many.
fn tables(handle: &Handle) -> Result<usize, Error> {
    let mut removed = 0;
    for file in list(&handle.shared.layout.tables)?.into_iter().flatten().flatten() {
        // A younger one's generation may be about to be adopted.
        if age(handle, &file) >= OBJECT_AGE
            && let Some(name) = file.file_name().to_str()
            && tables::is_garbage(handle, name)?
        {
            unlink(&file.path());
            removed += 1;
        }
    }
    Ok(removed)
}

fn list(folder: &Path) -> Result<Option<ReadDir>, Error> {
    match std::fs::read_dir(folder) {
        Ok(files) => Ok(Some(files)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("list the folder", folder, error)),
    }
}

/// Seconds since the file was last written or renamed; 0 when that is not known.
fn age(handle: &Handle, file: &DirEntry) -> i64 {
    file.metadata().map_or(0, |found| handle.shared.clock.unix() - found.ctime())
}
