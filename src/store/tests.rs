//! The store as its callers see it, then with disks that fail and processes that die.

mod absent;
mod crash;
mod damage;
mod demand;
mod eviction;
mod faults;
mod generations;
mod holding;
mod keeping;
mod migrating;
mod opening;
mod pins;
mod publishing;
mod resuming;
mod retiring;
mod seeds;
mod tables;
mod working_set;

use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::Duration;

use super::disk::Disk;
use super::{Blob, Config, EntryKey, EntryMeta, Error, NewGeneration, PartialMeta, Staged, Store};
use crate::clock::Clock;
use crate::digest::Digest;

/// A folder for a store, its configuration and its clock.
struct Home {
    config: Config,
    clock: Clock,
    /// Removes the folder at the end.
    _folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config {
            path: folder.path().join("store"),
            max_size: None,
            min_free: 0,
            recheck: Duration::from_hours(24),
        };
        Self { config, clock: Clock::system(), _folder: folder }
    }

    fn limited(max_size: u64) -> Self {
        let mut home = Self::new();
        home.config.max_size = Some(max_size);
        home
    }

    fn open(&self) -> Store {
        Store::open(&self.config, self.clock.clone()).unwrap()
    }

    fn open_on(&self, disk: impl Disk + 'static, boot: &str) -> Store {
        Store::open_on(&self.config, self.clock.clone(), Box::new(disk), Some(boot.to_owned())).unwrap()
    }

    fn object(&self, bytes: &[u8]) -> PathBuf {
        let name = Digest::of(bytes).to_string();
        self.config.path.join("objects").join(&name[..2]).join(&name[2..])
    }

    /// How many files a folder of the store has.
    fn count(&self, folder: &str) -> usize {
        std::fs::read_dir(self.config.path.join(folder)).unwrap().count()
    }

    /// A further connection to the catalog, to look behind the store's back.
    fn catalog(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.config.path.join("catalog.sqlite")).unwrap()
    }

    /// Every object that the catalog knows, with its length.
    fn rows(&self) -> Vec<(Digest, u64)> {
        let connection = super::schema::open_reader(&self.config.path.join("catalog.sqlite")).unwrap();
        let mut statement = connection.prepare("SELECT digest, size FROM object").unwrap();
        let rows = statement.query_map([], |row| {
            Ok((Digest::from_bytes(row.get(0)?), row.get::<_, i64>(1)?.cast_unsigned()))
        });
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

fn key(path: &str) -> EntryKey {
    EntryKey { repo: "ubuntu".into(), path: path.into() }
}

fn meta(bytes: &[u8]) -> EntryMeta {
    EntryMeta {
        digest: Digest::of(bytes),
        size: bytes.len() as u64,
        etag: Some("\"abc\"".to_owned()),
        last_modified: Some(-5),
        content_type: Some("application/vnd.debian.binary-package".to_owned()),
        fetched_at: 1_700_000_000,
        validated_at: 1_700_000_001,
        upstream: "http://archive.ubuntu.com/ubuntu/x".to_owned(),
        policy: Some("{}".to_owned()),
    }
}

fn partial(total: u64) -> PartialMeta {
    PartialMeta {
        total: Some(total),
        etag: Some("\"abc\"".to_owned()),
        last_modified: None,
        content_type: None,
        upstream: "http://archive.ubuntu.com/ubuntu/x".to_owned(),
    }
}

fn stage(store: &Store, path: &str, bytes: &[u8]) -> Staged {
    let mut staged = store.begin(&key(path)).unwrap();
    staged.write(bytes).unwrap();
    staged
}

async fn try_put(store: &Store, path: &str, bytes: &[u8]) -> Result<Blob, Error> {
    let mut staged = store.begin(&key(path))?;
    staged.write(bytes)?;
    store.publish(staged, key(path), meta(bytes)).await
}

async fn put(store: &Store, path: &str, bytes: &[u8]) -> Blob {
    try_put(store, path, bytes).await.unwrap()
}

fn read(blob: &Blob) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(blob.size).unwrap()];
    blob.file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

const MINUTE: Duration = Duration::from_mins(1);

/// The name of the object that [`letters`] stores under a letter.
fn digest(letter: &str) -> Digest {
    Digest::of(letter.repeat(100).as_bytes())
}

/// Objects of 100 bytes, one for each letter, a minute apart, the first the oldest.
async fn letters(home: &Home, letters: &str) -> Store {
    let store = home.open();
    for letter in letters.chars().map(String::from) {
        put(&store, &letter, letter.repeat(100).as_bytes()).await;
        home.clock.advance(MINUTE);
    }
    store
}

/// Which of the letters are here.
fn here(store: &Store) -> String {
    ["a", "b", "c", "d", "e", "f"].into_iter().filter(|letter| get(store, letter).is_some()).collect()
}

fn suite(name: &str, text: Digest) -> NewGeneration {
    NewGeneration {
        repo: "ubuntu".into(),
        suite: name.into(),
        text,
        in_release: None,
        release: None,
        release_gpg: None,
        etag: None,
        last_modified: None,
        upstream: "http://archive.ubuntu.com/ubuntu/dists/noble/InRelease".to_owned(),
        date: None,
        valid_until: None,
        signers: Vec::new(),
    }
}

/// The bytes of a key, through the catalog, as a request would find them.
fn get(store: &Store, path: &str) -> Option<Vec<u8>> {
    let entry = store.entry(&key(path)).unwrap()?;
    store.object(&entry.digest).unwrap().map(|blob| read(&blob))
}
