//! The few operations on which durability rests, as a seam: tests put a disk here that fails at the
//! n-th operation.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags};

/// What the store asks of a file system.
pub(super) trait Disk: Send + Sync {
    /// Writes some of `bytes` at `offset`; how many.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes a file's bytes and length durable.
    fn sync_data(&self, file: &File) -> io::Result<()>;
    /// Makes everything on the file system of `folder` durable, names and bytes.
    fn sync_all(&self, folder: &File) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Gives a file another name, unless that name is taken (`AlreadyExists`).
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file a second name, unless that name is taken (`AlreadyExists`). Where files cannot have
    /// two names it is renamed.
    fn link_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Gives a file another name, in place of whatever had it.
    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Bytes free for this user on the file system of `folder`.
    fn free(&self, folder: &File) -> io::Result<u64>;
}

/// The operating system's.
pub(super) struct Real;

impl Disk for Real {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_all(&self, folder: &File) -> io::Result<()> {
        Ok(rustix::fs::syncfs(folder)?)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // Some network and overlay file systems lack the flag. The store is locked and only its
            // writer names objects, so looking first is no race.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                if to.try_exists()? {
                    return Err(ErrorKind::AlreadyExists.into());
                }
                std::fs::rename(from, to)
            }
            other => Ok(other?),
        }
    }

    fn link_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match std::fs::hard_link(from, to) {
            Err(error) if !matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => {
                self.rename_new(from, to)
            }
            other => other,
        }
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn free(&self, folder: &File) -> io::Result<u64> {
        let stat = rustix::fs::fstatvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}
