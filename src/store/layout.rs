//! The names inside the store's folder, and the tree's first making.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use super::Error;
use crate::digest::Digest;

/// The layout that this release writes; see the `format` file.
const FORMAT: i64 = 1;

/// Where everything is.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) root: PathBuf,
    pub(super) lock: PathBuf,
    pub(super) catalog: PathBuf,
    pub(super) objects: PathBuf,
    pub(super) partial: PathBuf,
    pub(super) damaged: PathBuf,
    pub(super) tables: PathBuf,
}

impl Layout {
    /// Names only; makes the store's folder if it is not there, so that the lock can be taken.
    pub(super) fn new(path: &Path) -> Result<Self, Error> {
        let root = std::path::absolute(path).map_err(|error| Error::io("find", path, error))?;
        make_folder(&root)?;
        Ok(Self {
            lock: root.join("lock"),
            catalog: root.join("catalog.sqlite"),
            objects: root.join("objects"),
            partial: root.join("partial"),
            damaged: root.join("damaged"),
            tables: root.join("tables"),
            root,
        })
    }

    /// Checks the format, then makes whatever is missing of the tree, durably. Needs the lock.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        self.check_format()?;
        for folder in [&self.objects, &self.partial, &self.damaged, &self.tables] {
            make_folder(folder)?;
        }
        // All of them at once, so that publishing never has to make (and flush) a folder.
        let mut made = false;
        for first in 0..=u8::MAX {
            made |= make_folder(&self.objects.join(format!("{first:02x}")))?;
        }
        if made {
            sync_folder(&self.objects)?;
        }
        sync_folder(&self.root)
    }

    fn check_format(&self) -> Result<(), Error> {
        let path = self.root.join("format");
        match std::fs::read_to_string(&path) {
            Ok(text) => match text.trim().parse::<i64>() {
                Ok(FORMAT) => Ok(()),
                Ok(found) if found > FORMAT => {
                    Err(Error::Newer { path, found: found.to_string(), known: FORMAT })
                }
                _ => Err(Error::Unusable {
                    path,
                    what: "it should hold the number 1; is this folder a store at all?",
                }),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_file(&path, 0o640, format!("{FORMAT}\n").as_bytes())
            }
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    /// The administrator's token: read, or made at the first start.
    pub(super) fn admin_token(&self) -> Result<String, Error> {
        let path = self.root.join("admin-token");
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                restrict(&path)?;
                let token = text.trim();
                if token.len() < 16 || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err(Error::Unusable {
                        path,
                        what: "a token is at least 16 characters without spaces; \
                               remove the file and a new one is made at the next start",
                    });
                }
                Ok(token.to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let token = Digest::from_bytes(random()?).to_string();
                write_file(&path, 0o600, format!("{token}\n").as_bytes())?;
                Ok(token)
            }
            Err(error) => Err(Error::io("read", &path, error)),
        }
    }

    /// The folder of an object.
    pub(super) fn object_folder(&self, digest: &Digest) -> PathBuf {
        self.objects.join(&digest.to_string()[..2])
    }

    /// The file of an object.
    pub(super) fn object(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        let mut path = self.objects.join(&name[..2]);
        path.push(&name[2..]);
        path
    }

    /// The file of an index's table.
    pub(super) fn table(&self, index: &Digest) -> PathBuf {
        self.tables.join(index.to_string())
    }

    /// The file of an unfinished object.
    pub(super) fn part(&self, name: &str) -> PathBuf {
        self.partial.join(format!("{name}.part"))
    }
}

/// Makes a folder and its parents; whether it was missing.
fn make_folder(path: &Path) -> Result<bool, Error> {
    if path.is_dir() {
        return Ok(false);
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .map_err(|error| Error::io("make the folder", path, error))?;
    Ok(true)
}

/// Makes what a folder lists survive a power cut.
pub(super) fn sync_folder(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| Error::io("flush the folder", path, error))
}

/// Removes a file of ours that nobody needs. A failure leaves garbage, which the sweep collects.
pub(super) fn unlink(path: &Path) {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "could not remove a file of the store");
        }
        _ => {}
    }
}

/// Writes a small file that is either wholly there or not at all.
fn write_file(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let part = path.with_extension("new");
    // Left over from a start that was interrupted; its mode may be anything.
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &part, error));
        }
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&part)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|error| Error::io("write", &part, error))?;
    std::fs::rename(&part, path).map_err(|error| Error::io("rename to", path, error))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// A token that others may read is no secret.
fn restrict(path: &Path) -> Result<(), Error> {
    let mode =
        std::fs::metadata(path).map_err(|error| Error::io("look at", path, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "the admin token was readable by others; its mode is now 0600");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .map_err(|error| Error::io("restrict", path, error))?;
    }
    Ok(())
}

/// 32 bytes that nobody can guess.
///
/// # Errors
/// When the system has none.
pub fn random() -> Result<[u8; 32], Error> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 32];
    File::open(path)
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Error::io("read", path, error))?;
    Ok(bytes)
}

/// The kernel's name for the time since the machine was started, or `None` where there is no such
/// thing. What was written but not flushed is whole only within one of these.
pub(super) fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
