//! A suite that comes on a disk instead of over the line.
//!
//! It is verified and judged as one from upstream. An index that is used here and did not come along is
//! still asked for upstream: without it the suite would be torn.

use std::sync::{Arc, PoisonError};

use tokio::sync::watch;

use super::fetch::{Bytes, Published, good};
use super::judge::{Objection, judge};
use super::{Over, key};
use crate::cache::failure::Failure;
use crate::cache::lookup::Cache;
use crate::digest::Digest;
use crate::repo::apt::release::Release;
use crate::repo::apt::signature::Verified;
use crate::repo::document::{Document, SIGNATURE_ENDINGS};
use crate::repo::{Repository, Trust};
use crate::repo_path::RepoPath;

/// The files of a document as they were found.
#[derive(Debug, Clone, Default)]
pub struct Carried {
    /// `InRelease`.
    pub in_release: Option<Vec<u8>>,
    /// `Release`, or a checksum list.
    pub text: Option<Vec<u8>>,
    /// The signature beside that.
    pub signature: Option<Vec<u8>>,
    /// Where they were found, for people.
    pub from: String,
}

/// A document that somebody in this repository's keyring signed.
pub struct Vouched {
    /// What it lists.
    pub release: Release,
    /// Fingerprints of the keys that signed it.
    pub signers: Vec<String>,
    /// Whether it is what is current here.
    pub is_current: bool,
    /// Whether there is a current one.
    pub is_known: bool,
    /// What is here is newer.
    pub is_older: bool,
    /// Why clients would refuse it by its dates.
    pub objection: Option<String>,
    published: Published,
    verified: Verified,
}

impl Cache {
    /// Verifies a document with the repository's own keyring, and compares it with what is here. Nothing
    /// changes.
    ///
    /// # Errors
    /// Why it is not believed.
    pub async fn vouch_for(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        carried: Carried,
    ) -> Result<Vouched, Failure> {
        let Carried { in_release, text, signature, from } = carried;
        let upstream: Arc<str> = from.as_str().into();
        let unfit = |why: String| Failure::Untrusted { upstream: Arc::clone(&upstream), why: why.into() };
        if repository.config.trust != Trust::Signature {
            return Err(unfit(format!(
                "{} has no keyring, so that nothing on a disk can be verified",
                repository.name()
            )));
        }
        let form = match (in_release, text, signature) {
            (Some(inline), ..) => Bytes::Inline(inline),
            (None, Some(text), signature @ Some(_)) => Bytes::Pair(text, signature),
            (None, Some(_), None) => {
                let endings = SIGNATURE_ENDINGS.join(", ");
                return Err(unfit(format!("there is no signature beside it ({endings})")));
            }
            (None, None, _) => return Err(unfit("there is only a signature".to_owned())),
        };
        let (form, verified) = self.believe(repository, Arc::clone(&upstream), form).await?;
        let document = Document::of(&repository.config, folder);
        let release = document.read(&verified.text).map_err(|error| unfit(error.to_string()))?;
        let current = self.current(repository, folder);
        let date = current.as_ref().and_then(|current| current.row.date);
        let is_current =
            current.as_ref().is_some_and(|current| current.row.text == Digest::of(&verified.text));
        let objection = judge(&release, date, self.0.parts.clock.unix()).err();
        let published = Published { form, etag: None, last_modified: release.date, upstream: from.clone() };
        Ok(Vouched {
            signers: good(&verified.signers),
            is_current,
            is_known: current.is_some(),
            is_older: objection == Some(Objection::Older),
            objection: objection.filter(|_| !is_current).map(|objection| objection.to_string()),
            release,
            published,
            verified,
        })
    }

    /// Makes a carried document current, unless it is. Its indices have come before. Waits for a refresh of
    /// the suite that is under way.
    ///
    /// # Errors
    /// Why it does not become current.
    pub async fn adopt_carried(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        vouched: Vouched,
    ) -> Result<Option<i64>, Failure> {
        let (key, (sender, watcher)) = (key(repository, folder), watch::channel(None));
        loop {
            let mut other = {
                let mut running = self.0.refreshes.0.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(other) = running.get(&key).cloned() else {
                    running.insert(key.clone(), watcher.clone());
                    break;
                };
                other
            };
            // A sender that is gone has ended, too.
            let _ = other.wait_for(Option::is_some).await;
            tokio::task::yield_now().await;
        }
        let over = Over { cache: self.clone(), key };
        let current = self.current(repository, folder);
        let Vouched { published, verified, .. } = vouched;
        let adopted = self.consider(repository, folder, published, verified, current.as_deref()).await;
        drop(over);
        // Nobody may be waiting.
        let _ = sender.send(Some(adopted.clone()));
        adopted?;
        Ok(self.current(repository, folder).map(|current| current.row.id))
    }
}
