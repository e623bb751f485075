//! A real publisher's repositories on local disk: Debian's or Ubuntu's own signed suites byte for byte, with
//! some hundreds of their packages.
//!
//! The first test that asks builds it through the machine's apt, from the machine's sources; all tests of the
//! following day share it, across processes. Only the path part of the sources' URLs is kept, never a host.
//!
//! ```text
//! CARGO_TARGET_TMPDIR/real-upstream/
//!   lock                 held while someone looks or builds
//!   1795500000/          one finished state, named by the second it was finished
//!     manifest.json      suites, packages, and every file with its size and SHA-256
//!     keyring-N.gpg      the keyrings that the suites are signed by
//!     files/             what a web server serves: <root>/dists/…, <root>/pool/…
//!   new/                 one that is being built
//! ```
//!
//! ```ignore
//! let real = RealUpstream::obtain();
//! let nginx = Nginx::serve(&real.folder());
//! let apt = Apt::new(&real.sources(&nginx.url("")));
//! apt.update().await.assert_ok();
//! apt.download(&real.packages()).await.assert_ok();
//! real.assert_archives(&apt.archives());
//! ```

mod build;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::apt::Source;

/// How old a state may be before it is built anew: suites expire, and packages leave the publisher's pool.
const FRESH: Duration = Duration::from_hours(24);

/// How old a state is before it is removed: until then a test that began with it may still read it.
const STALE: Duration = Duration::from_hours(48);

/// One finished state.
pub struct RealUpstream {
    folder: PathBuf,
    manifest: Manifest,
}

/// What is in a state.
#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    suites: Vec<Suite>,
    /// The packages that were asked for by name, and came with all they depend on.
    packages: Vec<String>,
    files: Vec<File>,
}

/// A suite of the upstream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Suite {
    /// The path of its repository: `debian`, `debian-security`.
    pub root: String,
    pub name: String,
    pub components: Vec<String>,
    /// The keyring's file name.
    keyring: String,
}

/// A file of the upstream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct File {
    /// Relative to [`RealUpstream::folder`].
    pub path: String,
    pub size: u64,
    /// In lower-case hexadecimal digits.
    pub sha256: String,
}

impl RealUpstream {
    /// The newest state, built now when there is none of today. Blocks, for minutes when it builds.
    ///
    /// # Panics
    /// When the machine's apt cannot fetch what is needed.
    pub fn obtain() -> Self {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-upstream");
        fs::create_dir_all(&parent).expect("a folder for the real upstream");
        let lock = fs::File::create(parent.join("lock")).expect("a lock file");
        // Held until the end of this function, whichever way it ends.
        #[expect(
            clippy::disallowed_methods,
            reason = "whoever holds it builds what this waits for, and ends"
        )]
        lock.lock().expect("a lock that nobody holds for ever");
        let mut fresh = None;
        for (age, folder) in finished(&parent) {
            if age > STALE {
                fs::remove_dir_all(&folder).expect("a folder of ours");
            } else if age < FRESH && fresh.is_none() {
                fresh = Self::open(folder);
            }
        }
        fresh.unwrap_or_else(|| {
            let staging = parent.join("new");
            if staging.exists() {
                fs::remove_dir_all(&staging).expect("what a killed test left behind");
            }
            build::build(&staging);
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a date after 1970");
            let folder = parent.join(now.as_secs().to_string());
            fs::rename(&staging, &folder).expect("a name that is new");
            Self::open(folder).expect("what was just built is complete")
        })
    }

    /// `None` when something is missing.
    fn open(folder: PathBuf) -> Option<Self> {
        let text = fs::read(folder.join("manifest.json")).ok()?;
        let manifest: Manifest = serde_json::from_slice(&text).ok()?;
        let whole = |file: &File| {
            let found = fs::metadata(folder.join("files").join(&file.path));
            found.is_ok_and(|found| found.len() == file.size)
        };
        manifest.files.iter().all(whole).then_some(Self { folder, manifest })
    }

    /// What a web server serves as `/`.
    pub fn folder(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// Its suites in the order of the machine's sources.
    pub fn suites(&self) -> &[Suite] {
        &self.manifest.suites
    }

    /// The keyring file of a suite.
    pub fn keyring(&self, suite: &Suite) -> PathBuf {
        self.folder.join(&suite.keyring)
    }

    /// Packages to install: each comes with its dependencies, and all of these are here.
    pub fn packages(&self) -> Vec<&str> {
        self.manifest.packages.iter().map(String::as_str).collect()
    }

    /// Every file.
    pub fn files(&self) -> &[File] {
        &self.manifest.files
    }

    /// The packages' files.
    pub fn debs(&self) -> impl Iterator<Item = &File> {
        self.files().iter().filter(|file| file.path.ends_with(".deb"))
    }

    /// The sources of a client that finds `<base>/<root>/dists/…`; `base` without a slash at its end.
    pub fn sources(&self, base: &str) -> Vec<Source> {
        let source = |suite: &Suite| {
            let keyring = fs::read(self.keyring(suite)).expect("the keyring of a finished state");
            Source::apt(format!("{base}/{}", suite.root), &suite.name, &suite.components.join(" "))
                .signed_by(keyring)
        };
        self.suites().iter().map(source).collect()
    }

    /// Asserts that a client that downloaded [`packages`](Self::packages) has every package here, byte for byte.
    ///
    /// # Panics
    /// When one is missing, superfluous or different.
    pub fn assert_archives(&self, archives: &BTreeMap<String, String>) {
        // apt writes the colon of an epoch as %3a, where the pool has no epoch: compare by content.
        let mut here: Vec<&str> = self.debs().map(|file| file.sha256.as_str()).collect();
        let mut there: Vec<&str> = archives.values().map(String::as_str).collect();
        here.sort_unstable();
        there.sort_unstable();
        assert_eq!(here.len(), there.len(), "packages here and at the client");
        assert!(here == there, "the client has other bytes than the upstream");
    }
}

/// The finished states below `parent` with their ages, newest first.
fn finished(parent: &Path) -> Vec<(Duration, PathBuf)> {
    let entries = fs::read_dir(parent).expect("a folder of ours");
    let mut states: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let built: u64 = entry.file_name().to_str()?.parse().ok()?;
            let age = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(built));
            Some((age.unwrap_or_default(), entry.path()))
        })
        .collect();
    states.sort();
    states
}
