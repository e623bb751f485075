//! Tables are kept as they were given, or not at all.

use std::fs::File;
use std::io;
use std::path::Path;

use super::*;
use crate::store::Swept;
use crate::store::disk::Real;

fn index() -> Digest {
    Digest::of(b"index")
}

#[test]
fn a_table_comes_back_after_a_restart_and_is_replaced_whole() {
    let home = Home::new();
    let store = home.open();
    assert_eq!(store.load_table(&index()).unwrap(), None);
    store.save_table(&index(), b"a longer table").unwrap();
    store.save_table(&index(), b"table").unwrap();
    store.save_table(&Digest::of(b"empty"), b"").unwrap();
    drop(store);
    let store = home.open();
    assert_eq!(store.load_table(&index()).unwrap().unwrap(), b"table");
    assert_eq!(store.load_table(&Digest::of(b"empty")).unwrap().unwrap(), b"");
    assert_eq!(home.count("tables"), 2);
}

#[test]
fn a_table_that_the_disk_changed_is_none() {
    let home = Home::new();
    let store = home.open();
    let path = home.config.path.join("tables").join(index().to_string());
    let damages: [fn(&mut Vec<u8>); 4] =
        [|bytes| bytes[33] ^= 1, |bytes| bytes[0] ^= 1, |bytes| bytes.truncate(34), Vec::clear];
    for damage in damages {
        store.save_table(&index(), b"table").unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(store.load_table(&index()).unwrap(), None);
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn a_sweep_removes_tables_that_nothing_holds_and_unfinished_ones_but_no_young_ones() {
    let home = Home::new();
    let store = home.open();
    let held = store.put_object(b"index".to_vec()).await.unwrap().digest;
    let first = store.adopt(suite("dists/noble", held), vec![]).await.unwrap();
    store.save_table(&held, b"held").unwrap();
    store.save_table(&Digest::of(b"other"), b"not held").unwrap();
    let tables = home.config.path.join("tables");
    std::fs::write(tables.join(format!("{held}-0123.new")), b"left by a crash").unwrap();
    std::fs::write(tables.join("README"), b"not ours").unwrap();
    assert_eq!(store.sweep().unwrap(), Swept::default());
    home.clock.advance(Duration::from_hours(2));
    assert_eq!(store.sweep().unwrap(), Swept { tables: 2, ..Swept::default() });
    assert_eq!(store.load_table(&held).unwrap().unwrap(), b"held");
    assert_eq!(store.load_table(&Digest::of(b"other")).unwrap(), None);

    let text = store.put_object(b"next".to_vec()).await.unwrap().digest;
    store.adopt(suite("dists/noble", text), vec![]).await.unwrap();
    store.drop_generations(vec![first.id]).await.unwrap();
    assert_eq!(store.sweep().unwrap(), Swept { tables: 1, ..Swept::default() });
    assert_eq!(home.count("tables"), 1, "what is not ours stays");
}

/// A disk that cannot flush files, nor name them over others.
struct Broken {
    flush: bool,
}

impl Disk for Broken {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<usize> {
        Real.write_at(file, bytes, offset)
    }
    fn sync_data(&self, file: &File) -> io::Result<()> {
        if self.flush { Err(io::Error::other("injected")) } else { Real.sync_data(file) }
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
    fn rename_over(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::Error::other("injected"))
    }
    fn free(&self, folder: &File) -> io::Result<u64> {
        Real.free(folder)
    }
}

#[test]
fn a_table_that_could_not_be_flushed_or_named_leaves_the_old_one_and_no_litter() {
    let home = Home::new();
    let store = home.open();
    store.save_table(&index(), b"old").unwrap();
    drop(store);
    for flush in [true, false] {
        let store = home.open_on(Broken { flush }, "boot");
        let error = store.save_table(&index(), b"new").unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        assert_eq!(store.load_table(&index()).unwrap().unwrap(), b"old");
        assert_eq!(home.count("tables"), 1);
    }
}
