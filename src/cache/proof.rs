//! What a desktop would get, found out without asking upstream.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::lookup::{Cache, key_of};
use super::scrub::Pace;
use super::seeding::Wanted;
use crate::digest::{Digest, Hasher};
use crate::repo::apt::by_hash;
use crate::repo::apt::checksum::Checksum;
use crate::repo::{Repository, Resource, Trust};
use crate::repo_path::RepoPath;
use crate::suite::{Channel, Resolution};

/// Bytes read and hashed at a time.
const PIECE: usize = 256 * 1024;

impl Cache {
    /// Which release files a desktop would refuse, and why.
    #[must_use]
    pub fn would_refuse(
        &self,
        repository: &Repository,
        generations: &[(Arc<str>, i64)],
    ) -> Vec<(String, String)> {
        let view = self.0.suites.view(repository.index);
        let now = self.unix_now();
        let wrong = generations.iter().filter_map(|(folder, id)| {
            let why = match view.generation(folder, *id) {
                None => "its generation is not here any more",
                Some(generation) if generation.release.is_expired(now) => {
                    "it has expired (Valid-Until has passed): refresh the suite"
                }
                Some(generation)
                    if repository.config.trust == Trust::Signature && generation.row.signers.is_empty() =>
                {
                    "no key of the keyring has signed it"
                }
                Some(_) => return None,
            };
            Some((format!("{folder}/InRelease"), why.to_owned()))
        });
        wrong.collect()
    }

    /// Whether a desktop that asks for a file now would be given the right bytes from here: under its name, and
    /// an index under its hash. The bytes are hashed; what turns out damaged is set aside.
    ///
    /// # Errors
    /// What the desktop would meet instead, in words.
    pub async fn would_serve(
        &self,
        repository: &Arc<Repository>,
        generations: &[(Arc<str>, i64)],
        wanted: &Wanted<'_>,
        pace: &mut Pace,
    ) -> Result<(), String> {
        let mut found = None;
        for path in self.asked_as(repository, generations, wanted) {
            let resource = Resource::new(Arc::clone(repository), path.clone(), None);
            found = Some(self.would_find(&resource, wanted).await.map_err(|why| {
                if path == *wanted.path { why } else { format!("{why} (asked for as {path})") }
            })?);
        }
        let digest = found.ok_or_else(|| "it has no name".to_owned())?;
        let resource = Resource::new(Arc::clone(repository), wanted.path.clone(), None);
        let damage = self.hash_object(digest).await?;
        tokio::time::sleep_until(pace.spend(wanted.size)).await;
        if let Some(why) = damage {
            self.report_damage(&key_of(&resource), &digest, None);
            return Err(why);
        }
        Ok(())
    }

    /// The paths under which desktops ask for a file.
    fn asked_as(
        &self,
        repository: &Repository,
        generations: &[(Arc<str>, i64)],
        wanted: &Wanted<'_>,
    ) -> Vec<RepoPath> {
        let view = self.0.suites.view(repository.index);
        let mut paths = vec![wanted.path.clone()];
        for (folder, id) in generations {
            let Some(generation) = view.generation(folder, *id) else { continue };
            let (Some(below), Ok(folder)) = (wanted.path.below(folder), RepoPath::from_decoded(folder))
            else {
                continue;
            };
            if let Some(listed) = generation.release.find(below.as_str())
                && generation.release.acquire_by_hash
            {
                paths.extend(by_hash::paths_of(listed).map(|path| folder.child(&path)));
            }
        }
        paths
    }

    async fn would_find(&self, resource: &Resource, wanted: &Wanted<'_>) -> Result<Digest, String> {
        // The address of no client: one that was given no generation before.
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        match self.resolution(resource, &Channel::Live, nobody) {
            Resolution::Known(known) if known.expected.checksum == wanted.checksum => {
                match self.find_known(resource, &Channel::Live, &known).await {
                    Ok(Some(entry)) => Ok(entry.meta.digest),
                    Ok(None) => Err("it is not here".to_owned()),
                    Err(failure) => Err(failure.to_string()),
                }
            }
            Resolution::Head { digest } if Checksum::Sha256(digest) == wanted.checksum => Ok(digest),
            Resolution::Known(_) | Resolution::Head { .. } => {
                Err("a newer state of its suite has other bytes under this name".to_owned())
            }
            Resolution::UnknownSuite(_) | Resolution::OtherForm => {
                Err("its suite is not here in this form".to_owned())
            }
            Resolution::Open | Resolution::Unlisted => Err("no index that is here lists it".to_owned()),
        }
    }

    /// What is wrong with the bytes of an object. One that is damaged is set aside.
    async fn hash_object(&self, digest: Digest) -> Result<Option<String>, String> {
        let store = self.0.parts.store.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let Some(blob) = store.object(&digest)? else { return Ok(Some("it is not here".to_owned())) };
            // What is in memory says nothing about the disk. No more than a hint: an error changes nothing.
            let _ = rustix::fs::fadvise(&blob.file, 0, None, rustix::fs::Advice::DontNeed);
            let (mut hasher, mut buffer, mut reader) = (Hasher::new(), vec![0; PIECE], blob.reader());
            let why = loop {
                match reader.read(&mut buffer) {
                    Ok(0) => {
                        if hasher.finish() == digest {
                            store.note_verified(&digest);
                            return Ok(None);
                        }
                        break "its bytes have changed on the disk; it was set aside".to_owned();
                    }
                    Ok(count) => hasher.update(&buffer[..count]),
                    Err(error) => break format!("it cannot be read: {error}"),
                }
            };
            store.set_aside(&digest)?;
            Ok::<_, crate::store::Error>(Some(why))
        });
        match hashed.await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("the program stopped".to_owned()),
        }
    }
}
