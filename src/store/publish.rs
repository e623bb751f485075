//! From finished files to durable names, for a whole batch at once.
//!
//! The order is the promise: bytes flushed, then named, then the names flushed; only what came through
//! all three may be entered in the catalog. A file that got its name but no row (a crash, an error
//! further on) is garbage which the next publication of the same object replaces.
//!
//! A file that a later start would resume keeps its name in `partial/` beside the new one until its rows
//! are durable. Whenever the process dies, one of the two finds it: a large download is not fetched again
//! because the end came between its last byte and its commit.

use std::collections::{BTreeMap, HashSet};
use std::fs::{DirBuilder, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use rusqlite::Connection;

use super::shared::Shared;
use super::writer::Publication;
use super::{Error, catalog};
use crate::digest::Digest;

/// Up to so many files (or folders) are flushed one by one; more of them with one flush of the whole
/// file system, which costs about as much as a few single ones.
const FEW: usize = 4;

/// How a publication's object got its name.
pub(super) enum Named {
    /// The staged file is the object now.
    Ours,
    /// The object was there already; this is it.
    Already(Arc<File>),
}

/// Makes every publication's file durable under its name. One result each, in order.
pub(super) fn name_all(
    shared: &Shared,
    connection: &Connection,
    publications: &[&Publication],
) -> Vec<Result<Named, Error>> {
    let flushed = flush_bytes(shared, publications);
    let mut seen = HashSet::new();
    let mut folders = BTreeMap::new();
    let mut results = Vec::with_capacity(publications.len());
    for (publication, flushed) in publications.iter().zip(flushed) {
        let named = flushed.and_then(|()| name(shared, connection, publication, &mut seen));
        if let Ok(Named::Ours) = named {
            let digest = publication.digest;
            seen.insert(digest);
            folders.insert(shared.layout.object_folder(&digest), Ok(()));
        }
        results.push(named);
    }
    flush_names(shared, &mut folders);
    for (publication, result) in publications.iter().zip(&mut results) {
        if let Some(Err(error)) = folders.get(&shared.layout.object_folder(&publication.digest)) {
            *result = Err(error.clone());
        }
    }
    results
}

fn flush_bytes(shared: &Shared, publications: &[&Publication]) -> Vec<Result<(), Error>> {
    let waiting = publications.iter().filter(|publication| !publication.flushed).count();
    let at_once = (waiting > FEW).then(|| {
        shared
            .disk
            .sync_all(&shared.root)
            .map_err(|error| Error::io("flush the file system of", &shared.layout.root, error))
    });
    let flush = |publication: &&Publication| {
        let staged = &publication.staged;
        if !publication.flushed {
            match &at_once {
                Some(result) => result.clone()?,
                None => staged.flush()?,
            }
        }
        staged
            .file()
            .set_permissions(Permissions::from_mode(0o440))
            .map_err(|error| Error::io("make read-only", staged.path(), error))
    };
    publications.iter().map(flush).collect()
}

fn name(
    shared: &Shared,
    connection: &Connection,
    publication: &Publication,
    seen: &mut HashSet<Digest>,
) -> Result<Named, Error> {
    let (from, digest) = (publication.staged.path(), &publication.digest);
    let to = shared.layout.object(digest);
    let failed = |error| Error::io("rename a finished file to", &to, error);
    let give_name = || match publication.staged.row() {
        Some(_) => shared.disk.link_new(from, &to),
        None => shared.disk.rename_new(from, &to),
    };
    match give_name() {
        Ok(()) => Ok(Named::Ours),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let known = seen.contains(digest)
                || catalog::object(connection, digest)
                    .map_err(|error| Error::catalog("look up an object", &shared.layout.catalog, error))?
                    .is_some();
            // Only what is known was flushed for certain, and a damaged file is best replaced now.
            if known
                && let Ok(file) = File::open(&to)
                && file.metadata().is_ok_and(|found| found.len() == publication.size)
            {
                return Ok(Named::Already(Arc::new(file)));
            }
            shared.disk.rename_over(from, &to).map_err(failed)?;
            Ok(Named::Ours)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            // Somebody removed the folder by hand.
            let folder = shared.layout.object_folder(digest);
            DirBuilder::new()
                .recursive(true)
                .mode(0o750)
                .create(&folder)
                .and_then(|()| shared.disk.sync_folder(&shared.layout.objects))
                .map_err(|error| Error::io("make the folder", &folder, error))?;
            give_name().map_err(failed)?;
            Ok(Named::Ours)
        }
        Err(error) => Err(failed(error)),
    }
}

fn flush_names(shared: &Shared, folders: &mut BTreeMap<PathBuf, Result<(), Error>>) {
    if folders.len() > FEW {
        let result = shared
            .disk
            .sync_all(&shared.root)
            .map_err(|error| Error::io("flush the file system of", &shared.layout.root, error));
        for folder in folders.values_mut() {
            folder.clone_from(&result);
        }
        return;
    }
    for (path, result) in folders {
        *result = shared.disk.sync_folder(path).map_err(|error| Error::io("flush the folder", path, error));
    }
}
