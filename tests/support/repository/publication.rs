//! The finished files of a repository, and the ways to put them somewhere.

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;

use crate::support::origin::{Origin, Reply};

/// One file of a repository.
#[derive(Debug, Clone)]
pub struct File {
    /// Relative to the repository's base.
    pub path: String,
    pub bytes: Bytes,
    /// Its `Last-Modified`.
    pub date: SystemTime,
}

impl File {
    pub(super) fn new(path: String, bytes: Vec<u8>, date: SystemTime) -> Self {
        Self { path, bytes: bytes.into(), date }
    }

    /// The answer that serves it.
    pub fn reply(&self) -> Reply {
        Reply::ok(self.bytes.clone()).last_modified(self.date)
    }
}

/// All files of a repository: packages first, then indices, the release files last.
#[derive(Debug, Clone)]
pub struct Publication {
    files: Vec<File>,
}

impl Publication {
    pub(super) fn new(files: Vec<File>) -> Self {
        Self { files }
    }

    /// The files, in the order in which a careful publisher uploads them.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// The content of one file.
    ///
    /// # Panics
    /// When there is none at this path; names those there are.
    pub fn bytes(&self, path: &str) -> Bytes {
        let file = self.files.iter().find(|file| file.path == path);
        let Some(file) = file else {
            let paths: Vec<_> = self.files.iter().map(|file| &file.path).collect();
            panic!("no {path} among {paths:#?}");
        };
        file.bytes.clone()
    }

    /// The content of the package with this file name.
    ///
    /// # Panics
    /// When there is none.
    pub fn deb(&self, file_name: &str) -> Bytes {
        let file = self.files.iter().find(|file| file.path.rsplit('/').next() == Some(file_name));
        file.unwrap_or_else(|| panic!("no package {file_name}")).bytes.clone()
    }

    /// Only the files whose path `wanted` picks.
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        Self { files: self.files.iter().filter(|file| wanted(&file.path)).cloned().collect() }
    }

    /// Serves them below `base` (`/ubuntu`) from now on, all in one step. What `base` had before under
    /// other paths stays.
    pub fn to(&self, origin: &Origin, base: &str) {
        let route = |file: &File| (format!("{base}/{}", file.path), VecDeque::from([file.reply()]));
        origin.route_all(self.files.iter().map(route));
    }

    /// Writes them below `folder` with their dates, for a real web server.
    ///
    /// # Panics
    /// When the folder cannot be written.
    pub fn write_to(&self, folder: &Path) {
        for file in &self.files {
            let path = folder.join(&file.path);
            fs::create_dir_all(path.parent().unwrap_or(folder)).expect("a folder");
            fs::write(&path, &file.bytes).expect("a file");
            let opened = fs::File::options().write(true).open(&path).expect("a file just written");
            opened.set_modified(file.date).expect("a file just written");
        }
    }
}
