//! An object that is not finished: a file in `partial/` that one writer appends to and that any
//! number of followers may read behind it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::is_full;
use super::layout::unlink;
use super::partials::Parked;
use super::shared::Handle;
use super::writer::{Command, Write};
use super::{EntryKey, Error, PartialMeta};
use crate::digest::{Digest, Hasher};

/// After this many bytes the limits are looked at again, so that a long transfer makes room while
/// it runs and not when the disk is full.
const LOOK_EVERY: u64 = 16 * 1024 * 1024;

/// What a full disk is asked to give back at once, in bytes.
const RELIEF: u64 = 64 * 1024 * 1024;

/// An unfinished object, owned by whoever writes it. [`super::Store::publish`] finishes it. Dropping it
/// removes the file, or, after [`Staged::describe`], leaves it for [`super::Store::resume`]; either
/// takes a moment of the file system's time, so drop it on a thread that may block.
pub struct Staged {
    handle: Handle,
    name: String,
    path: PathBuf,
    file: Arc<File>,
    key: EntryKey,
    hasher: Hasher,
    written: u64,
    meta: Option<PartialMeta>,
    end: End,
}

/// What becomes of the file when the value goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Kept if it was described.
    Left,
    /// Removed, whatever was said before.
    Discarded,
    /// It has another name by now, beside the first one if it was described.
    Published,
}

impl Staged {
    pub(super) fn begin(handle: &Handle, key: &EntryKey) -> Result<Self, Error> {
        let number = handle.shared.counts.named.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{number:08x}", handle.shared.session);
        let path = handle.shared.layout.part(&name);
        // Live before it exists, so that a sweep never takes it for garbage.
        handle.shared.partials().begin(&name);
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o640).open(&path) {
            Ok(file) => Ok(Self {
                handle: handle.clone(),
                name,
                path,
                file: Arc::new(file),
                key: key.clone(),
                hasher: Hasher::new(),
                written: 0,
                meta: None,
                end: End::Left,
            }),
            Err(error) => {
                handle.shared.partials().end(&name);
                Err(Error::io("make", &path, error))
            }
        }
    }

    /// Opens the youngest trustworthy parked file of a key and hashes it again.
    pub(super) fn resume(handle: &Handle, key: &EntryKey) -> Result<Option<(Self, PartialMeta)>, Error> {
        loop {
            let Some(parked) = handle.shared.partials().resume(key) else { return Ok(None) };
            let path = handle.shared.layout.part(&parked.name);
            // It is read-only where the end came in the middle of publishing. If that cannot be changed,
            // opening says why.
            let _ = std::fs::set_permissions(&path, Permissions::from_mode(0o640));
            let file = match OpenOptions::new().read(true).write(true).open(&path) {
                Ok(file) => file,
                Err(error) => {
                    forget(handle, &parked);
                    if error.kind() == ErrorKind::NotFound {
                        continue;
                    }
                    return Err(Error::io("open", &path, error));
                }
            };
            let meta = parked.meta;
            let mut staged = Self {
                handle: handle.clone(),
                name: parked.name,
                path,
                file: Arc::new(file),
                key: parked.key,
                hasher: Hasher::new(),
                // What the counts already hold for it.
                written: parked.length,
                meta: Some(meta.clone()),
                end: End::Discarded,
            };
            let length = staged.hash_again()?;
            if length == 0 || length != staged.written || meta.total.is_some_and(|total| length > total) {
                continue;
            }
            staged.end = End::Left;
            return Ok(Some((staged, meta)));
        }
    }

    /// Hashes what is in the file; how many bytes those are.
    fn hash_again(&mut self) -> Result<u64, Error> {
        let mut buffer = vec![0; 256 * 1024];
        let mut offset = 0;
        loop {
            match self.file.read_at(&mut buffer, offset) {
                Ok(0) => return Ok(offset),
                Ok(read) => {
                    self.hasher.update(&buffer[..read]);
                    offset += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::io("read", &self.path, error)),
            }
        }
    }

    /// Appends and hashes. Blocking.
    ///
    /// # Errors
    /// Whatever the operating system says. When the disk or a quota is full, objects are evicted once;
    /// if that did not help, the error's [`Error::is_full`] is true. All bytes counted by
    /// [`Staged::written`] are in the file in any case. Full is also a store whose limits no eviction could
    /// keep any more: a body that did not say how long it is must not take the disk from everyone else.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let size = self.written.saturating_add(bytes.len() as u64);
        if let Some(limit) = self.handle.shared.limits().max_size.filter(|limit| size > *limit) {
            return Err(Error::TooLarge { size, limit });
        }
        if size / LOOK_EVERY != self.written / LOOK_EVERY {
            self.look_for_room()?;
        }
        let mut rest = bytes;
        let mut relieved = false;
        while !rest.is_empty() {
            match self.handle.shared.disk.write_at(&self.file, rest, self.written) {
                Ok(0) => return Err(Error::io("write", &self.path, io::Error::from(ErrorKind::WriteZero))),
                Ok(count) => {
                    self.took(&rest[..count]);
                    rest = &rest[count..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if is_full(&error) => {
                    if !relieved && self.relieve(rest.len() as u64)? {
                        relieved = true;
                        continue;
                    }
                    self.handle.shared.counts.full.store(true, Ordering::Relaxed);
                    return Err(Error::io("write", &self.path, error));
                }
                Err(error) => return Err(Error::io("write", &self.path, error)),
            }
        }
        Ok(())
    }

    fn took(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        self.handle.shared.counts.unfinished.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    /// Has objects evicted if the limits are exceeded, without waiting for it; an error if even an empty
    /// store would exceed them.
    fn look_for_room(&self) -> Result<(), Error> {
        let shared = &self.handle.shared;
        let short = shared.shortage(0)?.bytes();
        if short > 0 {
            self.handle.tell(Command::Tidy);
        }
        if short > shared.evictable() {
            shared.counts.full.store(true, Ordering::Relaxed);
            return Err(Error::io("write", &self.path, io::Error::from(ErrorKind::StorageFull)));
        }
        Ok(())
    }

    /// Asks for room on a full disk; whether anything was freed.
    fn relieve(&self, bytes: u64) -> Result<bool, Error> {
        self.handle.ask(|reply| Command::Relieve { bytes: bytes.max(RELIEF), reply })
    }

    /// Bytes in the file.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// The digest of all bytes written so far.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    /// The file, for followers to read from with offsets. It stays readable after publishing.
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Says what is being transferred. From now on, dropping this keeps the bytes for
    /// [`super::Store::resume`]; a crash keeps them too, unless the machine itself went down, when
    /// nobody knows which of them had reached the disk.
    pub fn describe(&mut self, meta: PartialMeta) {
        if let Some(boot) = &self.handle.shared.boot {
            self.handle.tell(Command::Write(Write::Describe {
                name: self.name.clone(),
                key: self.key.clone(),
                boot: boot.clone(),
                meta: Box::new(meta.clone()),
            }));
            self.meta = Some(meta);
        }
    }

    /// Removes it. Blocking, shortly.
    pub fn discard(mut self) {
        self.end = End::Discarded;
    }

    /// From here on only publishing keeps the bytes: after a failed flush nobody knows what is on the
    /// disk.
    pub(super) fn publish_or_discard(&mut self) {
        self.end = End::Discarded;
    }

    /// Makes the bytes durable. Blocking.
    pub(super) fn flush(&self) -> Result<(), Error> {
        self.handle.shared.disk.sync_data(&self.file).map_err(|error| Error::io("flush", &self.path, error))
    }

    pub(super) fn published(&mut self) {
        self.end = End::Published;
    }

    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// The name of its row in the catalog, if it has one.
    pub(super) fn row(&self) -> Option<&str> {
        self.meta.as_ref().map(|_| self.name.as_str())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let shared = &self.handle.shared;
        if self.end == End::Left
            && self.written > 0
            && let Some(meta) = self.meta.take()
        {
            let parked = Parked {
                name: std::mem::take(&mut self.name),
                key: self.key.clone(),
                meta,
                length: self.written,
            };
            let crowded_out = shared.partials().park(parked);
            if let Some(oldest) = crowded_out {
                remove_parked(&self.handle, &oldest);
            }
            return;
        }
        let published = self.end == End::Published;
        if !published || self.meta.is_some() {
            unlink(&self.path);
        }
        if !published && self.meta.is_some() {
            self.handle.tell(Command::Write(Write::Forget { name: self.name.clone() }));
        }
        shared.partials().end(&self.name);
        shared.counts.unfinished.fetch_sub(self.written, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Staged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Staged")
            .field("path", &self.path)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// Parks again what the last run left, if the machine was not started since.
pub(super) fn restore(handle: &Handle, rows: Vec<(Parked, String)>) {
    let shared = &handle.shared;
    for (mut parked, boot) in rows {
        let length = std::fs::metadata(shared.layout.part(&parked.name)).map_or(0, |found| found.len());
        parked.length = length;
        shared.counts.unfinished.fetch_add(length, Ordering::Relaxed);
        let unwanted = if length > 0 && shared.boot.as_ref() == Some(&boot) {
            shared.partials().park(parked)
        } else {
            Some(parked)
        };
        if let Some(unwanted) = unwanted {
            remove_parked(handle, &unwanted);
        }
    }
}

/// Removes a parked file and its row.
pub(super) fn remove_parked(handle: &Handle, parked: &Parked) {
    unlink(&handle.shared.layout.part(&parked.name));
    forget(handle, parked);
}

fn forget(handle: &Handle, parked: &Parked) {
    handle.shared.partials().end(&parked.name);
    handle.shared.counts.unfinished.fetch_sub(parked.length, Ordering::Relaxed);
    handle.tell(Command::Write(Write::Forget { name: parked.name.clone() }));
}
