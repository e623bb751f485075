//! Having what a plan is made from: generations, their indices, and an administrator's list.

use std::io::{self, Read};
use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::assemble::{Index, Material, Shelf, SuiteMaterial};
use super::gather::{folder, gather};
use super::plan::{Part, Planned};
use super::planner::PlanError;
use super::universe::Pin;
use crate::cache::{Cache, archive_root};
use crate::digest::Digest;
use crate::repo::Repository;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::compression::Compression;
use crate::repo::apt::release::{Automatic, Listed, Release};
use crate::repo_path::RepoPath;
use crate::suite::Generation;

/// Indices that are fetched at the same time.
const AT_ONCE: usize = 4;

/// The longest selection list that is read, in bytes.
const LONGEST_LIST: u64 = 16 << 20;

/// Most bytes an index may have unpacked whose release file does not say.
const UNPACKED: u64 = 2 << 30;

/// Has a suite and its indices.
pub(super) async fn take_suite(
    cache: &Cache,
    repository: &Arc<Repository>,
    suite: &str,
    fetch: bool,
    material: &mut Material,
) -> Result<SuiteMaterial, PlanError> {
    let what = || format!("the suite {suite} of {}", repository.name());
    let folder = folder(suite).map_err(|_| PlanError::NotHere(what()))?;
    let generation = if fetch {
        let obtained = cache.obtain_generation(repository, &folder).await;
        obtained.map_err(|why| PlanError::Failed { what: what(), why })?
    } else {
        let current = cache.current_generation(repository, &folder);
        current.ok_or_else(|| PlanError::NotHere(what()))?
    };
    let gathered = gather(&material.config, suite, &generation.release);
    material.unresolved.extend(gathered.unresolved);
    let source = Source { cache, repository, folder: &folder, release: &generation.release, fetch };
    let packages = source.indices(&gathered.packages).await?;
    let sources = source.indices(&gathered.sources).await?;
    let preferred = gathered.packages.iter().chain(&gathered.sources).filter_map(|forms| forms.first());
    let listed = preferred.chain(&gathered.others).map(|listed| Planned {
        path: folder.child(listed.path.as_str()),
        size: listed.size,
        checksum: listed.checksum(),
        part: Part::Index,
        present: false,
    });
    let mut files = release_files(cache, &folder, &generation).await?;
    files.extend(listed);
    Ok(SuiteMaterial {
        folder: folder.shared(),
        generation: generation.row.id,
        root: archive_root(&folder),
        pin: match generation.release.automatic {
            Automatic::Yes => Pin::Usual,
            Automatic::Upgrades => Pin::ButAutomaticUpgrades,
            Automatic::No => Pin::NotAutomatic,
        },
        packages,
        sources,
        files,
    })
}

/// Where the indices of a suite come from.
struct Source<'a> {
    cache: &'a Cache,
    repository: &'a Arc<Repository>,
    folder: &'a RepoPath,
    release: &'a Release,
    fetch: bool,
}

impl Source<'_> {
    async fn indices(&self, wanted: &[Vec<&Listed>]) -> Result<Vec<Index>, PlanError> {
        let wanted: Vec<_> = wanted.iter().map(|forms| self.index(forms)).collect();
        futures_util::stream::iter(wanted).buffered(AT_ONCE).try_collect().await
    }

    /// One index: in a form that is here, or else in the one that apt prefers.
    async fn index(&self, forms: &[&Listed]) -> Result<Index, PlanError> {
        let Self { cache, repository, folder, release, fetch } = self;
        let what =
            |listed: &Listed| format!("{} of {}", folder.child(listed.path.as_str()), repository.name());
        let failed = |listed: &Listed, why| PlanError::Failed { what: what(listed), why };
        let read = |listed: &Listed, digest| {
            let (compression, stem) = Compression::of(listed.path.as_str());
            let limit = release.find(stem).map_or(UNPACKED, |plain| plain.size);
            Index { digest, compression, limit }
        };
        for listed in forms {
            let found = cache.find_listed(repository, folder, release, listed).await;
            if let Some(digest) = found.map_err(|why| failed(listed, why))? {
                return Ok(read(listed, digest));
            }
        }
        let Some(listed) = forms.first() else { return Err(PlanError::Stopping) };
        if !fetch {
            return Err(PlanError::NotHere(what(listed)));
        }
        let obtained = cache.obtain_listed(repository, folder, release, listed).await;
        Ok(read(listed, obtained.map_err(|why| failed(listed, why))?))
    }
}

/// The files that announce a generation, as far as they are here.
async fn release_files(
    cache: &Cache,
    folder: &RepoPath,
    generation: &Generation,
) -> Result<Vec<Planned>, PlanError> {
    let row = &generation.row;
    let forms = [("InRelease", row.in_release), ("Release", row.release), ("Release.gpg", row.release_gpg)];
    let forms = forms.map(|(name, digest)| digest.map(|digest| (folder.child(name), digest)));
    let cache = cache.clone();
    let sized = tokio::task::spawn_blocking(move || {
        let planned = |(path, digest): (RepoPath, Digest)| {
            let size = cache.object_size(&digest).ok().flatten()?;
            let checksum = Checksum::Sha256(digest);
            Some(Planned { path, size, checksum, part: Part::Release, present: true })
        };
        forms.into_iter().flatten().filter_map(planned).collect()
    });
    sized.await.map_err(|_| PlanError::Stopping)
}

pub(super) fn read_list(file: &std::path::Path) -> Result<String, PlanError> {
    let unreadable = |why: &dyn std::fmt::Display| PlanError::Selections {
        file: file.display().to_string(),
        why: why.to_string().into(),
    };
    let opened = std::fs::File::open(file).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    opened.take(LONGEST_LIST + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > LONGEST_LIST {
        return Err(unreadable(&"it is longer than any list of packages"));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(&error))
}

/// The store, as plans see it.
pub(super) struct Shelved<'a> {
    pub(super) cache: &'a Cache,
    pub(super) repository: &'a Repository,
}

impl Shelf for Shelved<'_> {
    fn read(&self, digest: &Digest) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.cache.read_object(digest)?))
    }

    fn are_here(&self, checksums: &[Checksum]) -> io::Result<Vec<bool>> {
        let here = self.cache.are_here(self.repository, checksums);
        here.map_err(|error| io::Error::other(error.to_string()))
    }
}
