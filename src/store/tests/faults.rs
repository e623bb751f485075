//! Disks that fail at the n-th operation, and disks that are full.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::store::disk::Real;

/// Counts down with every operation that changes something, and fails the one at zero.
#[derive(Clone)]
struct Failing(Arc<AtomicUsize>);

impl Failing {
    fn after(&self, operations: usize) {
        self.0.store(operations, Ordering::SeqCst);
    }

    fn has_failed(&self) -> bool {
        self.0.load(Ordering::SeqCst) == usize::MAX
    }

    fn step(&self) -> io::Result<()> {
        // Zero wraps to the largest number: it fails once, and is seen to have.
        match self.0.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(io::Error::other("injected")),
            usize::MAX => {
                self.0.store(usize::MAX, Ordering::SeqCst);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Disk for Failing {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.step()?;
        Real.write_at(file, bytes, offset)
    }
    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.step()?;
        Real.sync_data(file)
    }
    fn sync_all(&self, folder: &File) -> io::Result<()> {
        self.step()?;
        Real.sync_all(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step()?;
        Real.sync_folder(folder)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        Real.rename_new(from, to)
    }
    fn link_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        Real.link_new(from, to)
    }
    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        Real.rename_over(from, to)
    }
    fn free(&self, folder: &File) -> io::Result<u64> {
        Real.free(folder)
    }
}

#[tokio::test]
async fn whichever_operation_fails_nothing_is_claimed_and_a_second_try_works() {
    let home = Home::new();
    let disk = Failing(Arc::new(AtomicUsize::new(usize::MAX)));
    let store = home.open_on(disk.clone(), "boot");
    // A small object and one that is flushed before it enters the queue.
    for size in [100, 1_500_000] {
        let mut failures = 0;
        loop {
            let bytes = vec![u8::try_from(failures).unwrap(); size];
            disk.after(failures);
            let result = try_put(&store, "a", &bytes).await;
            if !disk.has_failed() {
                result.unwrap();
                break;
            }
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Io { .. }) && !error.is_full(), "{error}");
            assert!(!home.rows().contains(&(Digest::of(&bytes), size as u64)), "after {failures}");
            assert!(store.object(&Digest::of(&bytes)).unwrap().is_none());
            assert_eq!((home.count("partial"), store.usage().unfinished_bytes), (0, 0));
            put(&store, "a", &bytes).await;
            assert!(get(&store, "a").unwrap() == bytes);
            failures += 1;
        }
        // Write, flush, rename, flush the folder.
        assert_eq!(failures, 4);
        disk.after(usize::MAX);
    }
}

#[tokio::test]
async fn a_batch_whose_common_flush_fails_claims_none_of_its_objects() {
    let home = Home::new();
    let disk = Failing(Arc::new(AtomicUsize::new(usize::MAX)));
    let store = home.open_on(disk.clone(), "boot");
    // The hook holds the writer thread until ten publications wait for it.
    let (here, mut arrived) = tokio::sync::mpsc::channel(1);
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    store.on_evict(Box::new(move |_| {
        here.blocking_send(()).unwrap();
        wait.lock().unwrap().recv().unwrap();
    }));
    put(&store, "hold", b"hold").await;
    let held = tokio::task::spawn_blocking({
        let store = store.clone();
        move || store.set_aside(&Digest::of(b"hold"))
    });
    arrived.recv().await.unwrap();
    let staged: Vec<_> = (0..10_u8).map(|n| stage(&store, "x", &[n])).collect();
    let publications = staged.into_iter().zip(0..10_u8).map(|(staged, n)| {
        let store = store.clone();
        async move { store.publish(staged, key(&n.to_string()), meta(&[n])).await }
    });
    let mut all = Box::pin(futures_util::future::join_all(publications));
    // One poll puts all of them into the queue.
    assert!(futures_util::poll!(&mut all).is_pending());
    disk.after(0);
    go.send(()).unwrap();
    held.await.unwrap().unwrap();
    for result in all.await {
        let error = result.unwrap_err();
        assert!(error.to_string().starts_with("cannot flush the file system of"), "{error}");
    }
    assert!(disk.has_failed());
    assert_eq!((home.rows().len(), home.count("partial"), store.usage().objects), (0, 0, 0));
    put(&store, "0", &[0]).await;
    assert_eq!(get(&store, "0").unwrap(), [0]);
}

/// A small disk: what the store's folder holds counts against its capacity, in bytes.
struct Small {
    store: PathBuf,
    capacity: u64,
}

impl Small {
    fn used(&self) -> u64 {
        fn length(path: &Path) -> u64 {
            let Ok(files) = std::fs::read_dir(path) else { return 0 };
            files
                .flatten()
                .map(|file| match file.metadata() {
                    Ok(found) if found.is_dir() => length(&file.path()),
                    Ok(found) => found.len(),
                    Err(_) => 0,
                })
                .sum()
        }
        length(&self.store.join("objects")) + length(&self.store.join("partial"))
    }
}

impl Disk for Small {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let room = usize::try_from(self.capacity.saturating_sub(self.used())).unwrap();
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Real.write_at(file, &bytes[..bytes.len().min(room)], offset)
    }
    fn sync_data(&self, file: &File) -> io::Result<()> {
        Real.sync_data(file)
    }
    fn sync_all(&self, folder: &File) -> io::Result<()> {
        Real.sync_all(folder)
    }
    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        Real.sync_folder(folder)
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        Real.rename_new(from, to)
    }
    fn link_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        Real.link_new(from, to)
    }
    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        Real.rename_over(from, to)
    }
    fn free(&self, _folder: &File) -> io::Result<u64> {
        Ok(self.capacity.saturating_sub(self.used()))
    }
}

#[tokio::test]
async fn a_full_disk_takes_from_what_is_cold_and_then_says_that_it_is_full() {
    let home = Home::new();
    let store = home.open_on(Small { store: home.config.path.clone(), capacity: 1000 }, "boot");
    put(&store, "cold", &[1; 600]).await;
    // Written seconds ago: safe, so nothing helps.
    let mut staged = store.begin(&key("new")).unwrap();
    let error = staged.write(&[2; 700]).unwrap_err();
    assert!(error.is_full() && store.usage().full, "{error}");
    assert_eq!((staged.written(), staged.digest()), (400, Digest::of(&[2; 400])));
    drop(staged);
    assert!(get(&store, "cold").is_some());

    home.clock.advance(Duration::from_mins(1));
    put(&store, "new", &[2; 700]).await;
    assert_eq!((get(&store, "cold"), store.usage().full), (None, false));
    assert_eq!(get(&store, "new").unwrap(), [2; 700]);
}

#[tokio::test]
async fn free_space_is_kept_free() {
    let mut home = Home::new();
    home.config.min_free = 400;
    let store = home.open_on(Small { store: home.config.path.clone(), capacity: 1000 }, "boot");
    put(&store, "a", &[1; 300]).await;
    home.clock.advance(Duration::from_mins(1));
    put(&store, "b", &[2; 300]).await;
    home.clock.advance(Duration::from_mins(1));
    assert_eq!((store.usage().free, store.usage().min_free), (400, 400));
    assert!(!store.make_room(601).await.unwrap());
    assert_eq!(store.usage().objects, 2);
    assert!(store.make_room(200).await.unwrap());
    assert!(get(&store, "a").is_none() && get(&store, "b").is_some());
}
