//! From the store to a disk.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::blocking;
use super::bundle::{MANIFEST, Manifest, ManifestFile, ManifestSuite, README, SUMS, part_of};
use super::job::{ExportOrder, Progress};
use crate::cache::Cache;
use crate::digest::{Digest, Hasher};
use crate::repo::Repository;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::table::Expected;
use crate::repo_path::RepoPath;
use crate::seed::{Part, Plan, Planner};
use crate::status::bytes_in_words;

/// Bytes that are read and written at a time.
const PIECE: usize = 1024 * 1024;

/// How long a plan is waited for at a time.
const PATIENCE: Duration = Duration::from_mins(1);

/// One file to write.
struct Wanted {
    path: RepoPath,
    size: u64,
    /// Its object, where that is here.
    digest: Option<Digest>,
    checksum: Checksum,
}

/// What the other side has.
enum Since {
    Nothing,
    Checksums(HashSet<Checksum>, String),
    Digests(HashSet<Digest>, String),
}

pub(super) async fn run(
    cache: &Cache,
    planner: &Planner,
    order: &ExportOrder,
    progress: &Progress,
) -> Result<(), String> {
    progress.change(|facts| "planning the seed".clone_into(&mut facts.step));
    let plan = loop {
        if cache.tasks().is_stopping() {
            return Err("the server is shutting down".to_owned());
        }
        // Asking again joins what is under way.
        match planner.plan(&order.seed, true, PATIENCE).await {
            Ok(Some(plan)) => break plan,
            Ok(None) => {}
            Err(error) => return Err(error.to_string()),
        }
    };
    let repository = cache.repository_named(&plan.repo).ok_or("the seed's repository is not configured")?;
    let (since, order_to) = (since(cache, &repository, order).await?, order.to.clone());
    let (mut wanted, suites) = gather(cache, &repository, &plan).await?;
    let all = wanted.len();
    wanted.retain(|file| !since.has(file));
    let bytes: u64 = wanted.iter().map(|file| file.size).sum();
    progress.change(|facts| {
        facts.left_out_files = (all - wanted.len()) as u64;
        (facts.files_total, facts.bytes_total) = (wanted.len() as u64, bytes);
    });
    let folder = order_to.join(&**repository.name());
    let (to, needed) = (order_to.clone(), room_needed(&folder, &wanted));
    blocking(move || has_room(&to, &folder, needed)).await??;
    let mut manifest = Manifest {
        format: 1,
        made_at: date(cache.unix_now()),
        made_by: concat!("lumbung ", env!("CARGO_PKG_VERSION")).to_owned(),
        seed: plan.seed.to_string(),
        since: since.words(),
        suites,
        files: Vec::with_capacity(wanted.len()),
    };
    for file in &wanted {
        let written = write_one(cache, &repository, file, &order_to, progress).await?;
        manifest.files.push(written);
    }
    progress.change(|facts| "writing the list".clone_into(&mut facts.step));
    blocking(move || {
        for name in [README, SUMS, MANIFEST] {
            refuse_links(&order_to, &order_to.join(name))?;
        }
        let written = manifest.write(&order_to);
        written.map_err(|(path, error)| told(&path, &error))?;
        let opened = File::open(&order_to);
        opened
            .and_then(|folder| rustix::fs::syncfs(&folder).map_err(io::Error::from))
            .map_err(|error| told(&order_to, &error))
    })
    .await?
}

fn told(path: &Path, error: &io::Error) -> String {
    format!(
        "{}: {error}; when the disk is back, or has room, give the same command again: what is on it is checked \
         and not written again",
        path.display()
    )
}

fn date(unix: i64) -> String {
    jiff::Timestamp::from_second(unix).map(|time| time.to_string()).unwrap_or_default()
}

/// What the other side has, as the order says.
async fn since(cache: &Cache, repository: &Repository, order: &ExportOrder) -> Result<Since, String> {
    let Some(since) = order.since.clone() else { return Ok(Since::Nothing) };
    if let Ok(generation) = since.parse::<i64>() {
        let listed = cache.listed_by(repository, generation).ok_or_else(|| {
            format!(
                "no generation {generation} of {} is kept here; `lumbung suite show` lists them",
                repository.name()
            )
        })?;
        return Ok(Since::Checksums(listed, format!("generation {generation}")));
    }
    let path = PathBuf::from(&since);
    let manifest = blocking(move || Manifest::read(&path)).await?;
    let manifest = manifest.map_err(|error| format!("{since}: {error}"))?;
    let manifest = manifest.ok_or_else(|| format!("{since}: there is no bundle, or it was not finished"))?;
    Ok(Since::Digests(manifest.digests(), format!("the bundle of {}", manifest.made_at)))
}

impl Since {
    fn has(&self, file: &Wanted) -> bool {
        match self {
            Self::Nothing => false,
            Self::Checksums(listed, _) => listed.contains(&file.checksum),
            Self::Digests(digests, _) => file.digest.is_some_and(|digest| digests.contains(&digest)),
        }
    }

    fn words(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Checksums(_, words) | Self::Digests(_, words) => Some(words.clone()),
        }
    }
}

/// Everything that belongs to a plan: the suites with what of them is here, then the packages.
async fn gather(
    cache: &Cache,
    repository: &Arc<Repository>,
    plan: &Plan,
) -> Result<(Vec<Wanted>, Vec<ManifestSuite>), String> {
    let (mut wanted, mut suites) = (Vec::new(), Vec::new());
    for (folder, id) in &plan.generations {
        let gone = || format!("generation {id} of {folder} is gone meanwhile; give the same command again");
        let generation = cache.generation(repository, folder, *id).ok_or_else(gone)?;
        suites.push(ManifestSuite {
            repo: repository.name().to_string(),
            suite: folder.to_string(),
            date: generation.row.date.map(date),
            signers: generation.row.signers.clone(),
        });
        let path = RepoPath::from_decoded(folder).map_err(|error| error.to_string())?;
        let (cache, repository) = (cache.clone(), Arc::clone(repository));
        let held = blocking(move || cache.held_by_generation(&repository, &path, &generation)).await?;
        wanted.extend(held.map_err(|error| error.to_string())?.into_iter().map(|held| Wanted {
            path: held.path,
            size: held.size,
            digest: Some(held.digest),
            checksum: Checksum::Sha256(held.digest),
        }));
    }
    let mut paths: HashSet<RepoPath> = wanted.iter().map(|file| file.path.clone()).collect();
    // Its release files are there in the form in which upstream published them.
    for file in plan.files.iter().filter(|file| file.part != Part::Release) {
        if paths.insert(file.path.clone()) {
            let digest = file.checksum.sha256();
            wanted.push(Wanted { path: file.path.clone(), size: file.size, digest, checksum: file.checksum });
        }
    }
    Ok((wanted, suites))
}

/// The bytes that are not on the disk yet, as far as sizes tell.
fn room_needed(folder: &Path, wanted: &[Wanted]) -> u64 {
    let is_there = |file: &&Wanted| {
        fs::metadata(folder.join(file.path.as_str())).is_ok_and(|found| found.len() == file.size)
    };
    wanted.iter().filter(|file| !is_there(file)).map(|file| file.size).sum()
}

/// Makes the folder, and says early when the disk is too small.
fn has_room(to: &Path, folder: &Path, needed: u64) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| told(folder, &error))?;
    let free = rustix::fs::statvfs(to).map(|found| found.f_bavail.saturating_mul(found.f_frsize));
    match free {
        Ok(free) if free < needed => Err(format!(
            "{} has {} free, and {} more are needed; take a larger disk, or carry only what is new with --since",
            to.display(),
            bytes_in_words(free),
            bytes_in_words(needed)
        )),
        _ => Ok(()),
    }
}

/// Has one file on the disk, and checked there.
async fn write_one(
    cache: &Cache,
    repository: &Arc<Repository>,
    file: &Wanted,
    to: &Path,
    progress: &Progress,
) -> Result<ManifestFile, String> {
    if cache.tasks().is_stopping() {
        return Err("the server is shutting down".to_owned());
    }
    let below = format!("{}/{}", repository.name(), file.path);
    progress.change(|facts| facts.step.clone_from(&below));
    let expected = Expected { size: file.size, checksum: file.checksum };
    // A file of a suite has been looked up by its object; a package may be missing here.
    let (digest, size) = match (file.digest, file.checksum) {
        (Some(digest), Checksum::Sha256(named)) if digest == named && is_here(cache, digest).await? => {
            (digest, file.size)
        }
        _ => cache
            .obtain_file(repository, &file.path, expected)
            .await
            .map_err(|why| format!("{below} is not here and cannot be fetched: {why}"))?,
    };
    let (target, disk) = (to.join(&below), to.to_owned());
    let (from, counting) = (cache.clone(), progress.clone());
    let wrote = blocking(move || {
        let count = |bytes: u64| counting.change(|facts| facts.bytes_done += bytes);
        refuse_links(&disk, &target)?;
        if is_right(&target, digest, size) {
            count(size);
            return Ok(false);
        }
        copy(&from, digest, &target, count).map(|()| true)
    })
    .await??;
    progress.change(|facts| {
        facts.files_done += 1;
        if wrote {
            (facts.new_files, facts.new_bytes) = (facts.new_files + 1, facts.new_bytes + size);
        } else {
            (facts.present_files, facts.present_bytes) =
                (facts.present_files + 1, facts.present_bytes + size);
        }
    });
    Ok(ManifestFile { path: below, size, sha256: digest.to_string() })
}

/// Refuses a link between the folder that was named and a file below it, or in the file's place: disks go through
/// many hands, and a link could lead anywhere.
fn refuse_links(disk: &Path, target: &Path) -> Result<(), String> {
    let part = part_of(target);
    let below = target.ancestors().take_while(|folder| *folder != disk).chain([part.as_path()]);
    let mut links = below.filter(|path| fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()));
    match links.next() {
        None => Ok(()),
        Some(link) => Err(format!(
            "{}: a link on the disk, which could lead anywhere; remove it, and give the same command again",
            link.display()
        )),
    }
}

async fn is_here(cache: &Cache, digest: Digest) -> Result<bool, String> {
    let cache = cache.clone();
    let found = blocking(move || cache.object_size(&digest)).await?;
    found.map(|size| size.is_some()).map_err(|error| error.to_string())
}

/// Whether the file is on the disk already: an earlier export may have been broken off anywhere.
fn is_right(path: &Path, digest: Digest, size: u64) -> bool {
    let found = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|found| found.len() == size));
    found.is_some_and(|file| Digest::read(file).is_ok_and(|found| found == digest))
}

/// Writes an object to a file that appears whole or not at all.
fn copy(cache: &Cache, digest: Digest, target: &Path, count: impl Fn(u64)) -> Result<(), String> {
    let source = cache.read_object(&digest).map_err(|error| format!("the object {digest}: {error}"))?;
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).map_err(|error| told(folder, &error))?;
    }
    let part = part_of(target);
    let at = |error: io::Error| told(&part, &error);
    let mut file =
        File::options().read(true).write(true).create(true).truncate(true).open(&part).map_err(at)?;
    let (mut source, mut hasher, mut buffer) = (source, Hasher::new(), vec![0; PIECE]);
    loop {
        let read = source.read(&mut buffer).map_err(|error| format!("the object {digest}: {error}"))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        file.write_all(&buffer[..read]).map_err(at)?;
        count(read as u64);
    }
    if hasher.finish() != digest {
        // Nothing has the final name yet.
        let _ = fs::remove_file(&part);
        return Err(format!("the object {digest} is damaged here; `lumbung verify --repair` mends it"));
    }
    file.sync_data().map_err(at)?;
    // What is in memory says nothing about the disk. No more than a hint: an error changes nothing.
    let _ = rustix::fs::fadvise(file.as_fd(), 0, None, rustix::fs::Advice::DontNeed);
    let read_back = File::open(&part).and_then(Digest::read).map_err(at)?;
    if read_back != digest {
        return Err(format!(
            "{} came back from the disk with other bytes: the disk is broken",
            part.display()
        ));
    }
    fs::rename(&part, target).map_err(|error| told(target, &error))
}
