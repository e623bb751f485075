//! Whether the store can be kept where the configuration says.

use std::fs::{File, TryLockError};
use std::path::Path;

use super::{Finding, Verdict};
use crate::status::bytes_in_words;
use crate::store::Config;

/// Looks at the folder, its file system, and who holds it.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let path = &config.path;
    let finding = |verdict, words: String| Finding::new(verdict, "store", path.display().to_string(), words);
    let Some(there) = path.ancestors().find(|folder| folder.exists()) else {
        return vec![finding(Verdict::Bad, "no folder above it exists".to_owned())];
    };
    if !there.is_dir() {
        return vec![finding(Verdict::Bad, format!("{} is not a folder", there.display()))];
    }
    let mut findings = Vec::new();
    findings.push(match writable(there) {
        Err(error) => finding(
            Verdict::Bad,
            format!("this user cannot write below {}: {error}; change its owner", there.display()),
        ),
        Ok(()) if there == path => match holder(path) {
            Ok(Holder::Nobody) => finding(Verdict::Ok, "there and writable".to_owned()),
            Ok(Holder::Server) => finding(Verdict::Ok, "there, and held by a running server".to_owned()),
            Err(error) => finding(Verdict::Bad, format!("its lock cannot be looked at: {error}")),
        },
        Ok(()) => finding(Verdict::Ok, format!("not there yet; will be made below {}", there.display())),
    });
    findings.push(match rustix::fs::statvfs(there) {
        Err(error) => finding(Verdict::Bad, format!("the space left cannot be read: {error}")),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let total = disk.f_blocks.saturating_mul(disk.f_frsize);
            let (verdict, words) = space(free, total, config);
            finding(verdict, words)
        }
    });
    findings
}

/// What the free space means for the configured limits. Bytes.
fn space(free: u64, total: u64, config: &Config) -> (Verdict, String) {
    let words = format!("{} free of {}", bytes_in_words(free), bytes_in_words(total));
    if total <= config.min_free {
        let least = bytes_in_words(config.min_free);
        return (Verdict::Bad, format!("{words}: the disk is smaller than min_free = {least}; lower it"));
    }
    if free <= config.min_free {
        let least = bytes_in_words(config.min_free);
        return (Verdict::Note, format!("{words}: below min_free = {least}, nothing new can be kept"));
    }
    match config.max_size {
        Some(limit) if limit > total => {
            let limit = bytes_in_words(limit);
            (Verdict::Note, format!("{words}: max_size = {limit} is more than the disk; min_free decides"))
        }
        _ => (Verdict::Ok, words),
    }
}

/// Tries a file without a name, so that nothing is left behind; where the file system has no such
/// files, asks for the permission alone.
fn writable(folder: &Path) -> Result<(), rustix::io::Errno> {
    use rustix::fs::{Access, Mode, OFlags};
    match rustix::fs::open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR) {
        Ok(_) => Ok(()),
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR) => {
            rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
        }
        Err(error) => Err(error),
    }
}

enum Holder {
    Nobody,
    Server,
}

/// Who holds the store's lock. Taking it for a moment is harmless: a server that starts in that moment
/// would find it held, which is why it is let go at once.
fn holder(path: &Path) -> std::io::Result<Holder> {
    let lock = match File::open(path.join("lock")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Holder::Nobody),
        Err(error) => return Err(error),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Holder::Nobody),
        Err(TryLockError::WouldBlock) => Ok(Holder::Server),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn config(path: &Path) -> Config {
        Config { path: path.to_owned(), min_free: 1, ..Config::default() }
    }

    #[test]
    fn a_folder_that_is_there_works_and_is_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let findings = look(&config(folder.path()));
        assert_eq!(findings[0].verdict, Verdict::Ok, "{findings:?}");
        assert!(findings[0].words.contains("writable"), "{findings:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_made_later() {
        let folder = tempfile::tempdir().unwrap();
        let findings = look(&config(&folder.path().join("a/b")));
        assert!(findings[0].words.contains("not there yet"), "{findings:?}");
        assert!(!folder.path().join("a").exists());
    }

    #[test]
    fn a_file_in_the_way_is_bad() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "").unwrap();
        assert_eq!(look(&config(&folder.path().join("a/b")))[0].verdict, Verdict::Bad);
    }

    #[test]
    fn a_running_server_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let lock = File::create(folder.path().join("lock")).unwrap();
        lock.try_lock().unwrap();
        let findings = look(&config(folder.path()));
        assert!(findings[0].words.contains("running server"), "{findings:?}");
        drop(lock);
        assert!(look(&config(folder.path()))[0].words.contains("writable"));
    }

    #[test]
    fn the_space_is_judged_by_the_limits() {
        let config = |max_size, min_free| Config { max_size, min_free, ..Config::default() };
        assert_eq!(space(50, 100, &config(None, 10)).0, Verdict::Ok);
        assert_eq!(space(50, 100, &config(Some(100), 10)).0, Verdict::Ok);
        assert_eq!(space(50, 100, &config(Some(101), 10)).0, Verdict::Note);
        assert_eq!(space(10, 100, &config(None, 10)).0, Verdict::Note);
        assert_eq!(space(10, 100, &config(None, 100)).0, Verdict::Bad);
    }
}
