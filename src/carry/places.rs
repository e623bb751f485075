//! What there is to take in: the files below the paths that an import is given.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::bundle::{MANIFEST, Manifest, PART, README, SUMS};
use super::iso;

/// Most files of one import; each takes some 300 bytes of memory.
const MOST: usize = 2_000_000;

/// Deepest folder.
const DEEPEST: usize = 64;

/// Longest head that apt-cacher-ng keeps of an answer, in bytes.
const HEAD: u64 = 16 * 1024;

/// One file that may be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// For people.
    pub(super) name: String,
    place: Place,
    /// In bytes.
    pub(super) size: u64,
    /// Relative to the folder or image that it was found in; `None` for a file that was named itself.
    pub(super) path: Option<String>,
    /// Where apt-cacher-ng had it from.
    pub(super) origin: Option<String>,
    /// A suite on an image is not the archive's: what it lists is, but it is a part of it.
    pub(super) on_image: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File(PathBuf),
    Inside { image: PathBuf, offset: u64 },
}

/// Everything below the paths.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) items: Vec<Item>,
    /// What the bundles among them say of themselves.
    pub(super) bundles: Vec<String>,
}

/// Something that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{path} cannot be read: {error}", path = .path.display())]
pub(super) struct Unreadable {
    path: PathBuf,
    error: io::Error,
}

impl Item {
    /// Opens it at its beginning; it ends where it should. Blocking.
    pub(super) fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        match &self.place {
            Place::File(path) => Ok(Box::new(File::open(path)?)),
            Place::Inside { image, offset } => {
                let mut file = File::open(image)?;
                file.seek(SeekFrom::Start(*offset))?;
                Ok(Box::new(file.take(self.size)))
            }
        }
    }

    /// What must be there for it to be readable at all.
    pub(super) fn file(&self) -> &Path {
        match &self.place {
            Place::File(path) | Place::Inside { image: path, .. } => path,
        }
    }
}

/// Looks through `paths`. With `whole_images` an image is a file to take in as well. Blocking.
pub(super) fn scan(paths: &[PathBuf], whole_images: bool) -> Result<Scan, Unreadable> {
    let mut scan = Scan::default();
    for path in paths {
        let unreadable = |error| Unreadable { path: path.clone(), error };
        let metadata = fs::metadata(path).map_err(unreadable)?;
        if metadata.is_dir() {
            if let Some(bundle) =
                Manifest::read(path).map_err(|error| Unreadable { path: path.join(MANIFEST), error })?
            {
                scan.bundles.push(bundle.words());
            }
            folder(path, whole_images, &mut scan)?;
            continue;
        }
        file(path, metadata.len(), None, whole_images, &mut scan).map_err(unreadable)?;
    }
    Ok(scan)
}

/// Walks a folder; links are not followed, they would lead out of it or round in it.
fn folder(root: &Path, whole_images: bool, scan: &mut Scan) -> Result<(), Unreadable> {
    let mut folders = vec![(root.to_owned(), String::new(), 0)];
    while let Some((folder, below, depth)) = folders.pop() {
        let unreadable = |error| Unreadable { path: folder.clone(), error };
        for entry in fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            let metadata = entry.metadata().map_err(unreadable)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            if metadata.is_dir() {
                // apt-cacher-ng keeps its own notes in folders that begin so.
                if depth < DEEPEST && !(below.is_empty() && name.starts_with('_')) {
                    folders.push((entry.path(), path, depth + 1));
                }
            } else if metadata.is_file() && !is_ours(&below, &name) {
                file(&entry.path(), metadata.len(), Some(path), whole_images, scan).map_err(unreadable)?;
            }
        }
    }
    Ok(())
}

/// What an export, or apt-cacher-ng, writes beside the files.
fn is_ours(below: &str, name: &str) -> bool {
    let beside = below.is_empty() && [MANIFEST, README].contains(&name);
    beside || name.ends_with(PART) || is_head(name)
}

fn is_head(name: &str) -> bool {
    name.strip_suffix(".head").is_some_and(|name| !name.is_empty())
}

fn file(
    path: &Path,
    size: u64,
    below: Option<String>,
    whole_images: bool,
    scan: &mut Scan,
) -> io::Result<()> {
    if scan.items.len() >= MOST {
        return Err(io::Error::other(format!("there are more than {MOST} files; import them in parts")));
    }
    let name = path.display().to_string();
    let looks_like_one = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("iso"));
    if looks_like_one
        && let Ok(image) = File::open(path)
        && iso::is_image(&image)
    {
        for inside in iso::files(&image)? {
            scan.items.push(Item {
                name: format!("{name}:{}", inside.path),
                place: Place::Inside { image: path.to_owned(), offset: inside.offset },
                size: inside.size,
                path: Some(inside.path),
                origin: None,
                on_image: true,
            });
        }
        if !whole_images {
            return Ok(());
        }
    }
    let origin = below.as_ref().and_then(|_| origin(path));
    let place = Place::File(path.to_owned());
    scan.items.push(Item { name, place, size, path: below, origin, on_image: false });
    Ok(())
}

/// Where apt-cacher-ng had a file from, as it notes beside it.
fn origin(path: &Path) -> Option<String> {
    let mut head = path.as_os_str().to_owned();
    head.push(".head");
    let mut text = Vec::new();
    File::open(PathBuf::from(head)).ok()?.take(HEAD).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("X-Original-Source").then(|| value.trim().to_owned())
    })
}

/// Whether a name is that of the list that an export writes beside its tree: it lists the tree, and is
/// nobody's.
pub(super) fn is_bundle_list(path: &str) -> bool {
    path == SUMS
}
