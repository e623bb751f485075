//! The end of a transfer: the check of what came, and its way into the store.

use std::sync::Arc;
use std::time::SystemTime;

use super::attempt::Try;
use super::transfer::Transfer;
use super::{Fill, Step};
use crate::cache::entry::Entry;
use crate::cache::events::EventKind;
use crate::cache::failure::Failure;
use crate::cache::flight::End;
use crate::cache::lookup::key_of;
use crate::cache::policy;
use crate::cache::serve::checksum_key;
use crate::clock;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::repo::PathClass;
use crate::repo::apt::checksum::{Checksum, Sha512Hasher};
use crate::store::{EntryMeta, PartialMeta, Seeded};
use crate::upstream::{Response, UpstreamError};

impl Fill {
    /// A transfer that was whole when the program died before its commit.
    pub(super) async fn finish_whole(&self, transfer: Transfer) -> Step {
        self.announce(&transfer);
        self.commit(transfer, None).await
    }

    /// The bytes are not those that the path promises.
    async fn damaged(&self, transfer: Transfer) -> Step {
        self.cache.0.parts.metrics.verify_failure(self.resource.repository.name(), "object");
        let senders = transfer.senders().to_vec();
        transfer.discard().await;
        let last = senders.last().map(|source| source.base.origin.host.as_str());
        let upstream: Arc<str> = last.unwrap_or("an upstream").into();
        // An index that is not what its release file says is what a mirror in mid-sync looks like: everything
        // else that it has may be right.
        let is_index = self.goal.known.as_ref().is_some_and(|known| known.index.is_some());
        if let [sender] = &senders[..]
            && !is_index
        {
            self.failed(sender, &UpstreamError::Damaged { host: upstream.to_string() });
        }
        let mirrors: Vec<usize> = senders.iter().filter_map(|source| source.mirror).collect();
        self.cache.note_lie(&self.flight.key, &mirrors);
        let text = format!("what {upstream} sent was not what its hash says");
        let repo = self.resource.repository.name();
        self.cache.tell(EventKind::VerifyFailure, repo, self.resource.path.as_str(), &text);
        let damaged = Failure::Damaged { upstream };
        if self.flight.has_head() { Step::Done(End::Failed(damaged)) } else { Step::Next(damaged) }
    }

    /// Everything has arrived: checks it, lets readers have it, and makes it durable. `from` is the try
    /// that brought the last of it, and what its answer said.
    pub(super) async fn commit(&self, transfer: Transfer, from: Option<(Try<'_>, &http::HeaderMap)>) -> Step {
        let cache = &self.cache.0;
        let digest = transfer.digest();
        if !self.is_right(&transfer, &digest).await {
            return self.damaged(transfer).await;
        }
        let size = transfer.written();
        // Whoever has read an index to its end may ask for what it lists: from here on that waits until
        // the index has been read here, too.
        let built = self.goal.known.as_ref().map(|known| (known, cache.building.begin()));
        self.flight.complete(size);
        // After that, so that whoever learns of it only now is told its size in any case.
        self.announce_checked(&transfer);
        let now = self.unix_now();
        let PartialMeta { etag, last_modified, content_type, upstream, .. } = transfer.meta().clone();
        let rules = || {
            let (this, headers) =
                from.filter(|_| self.resource.class == PathClass::Other && self.goal.checksum.is_none())?;
            serde_json::to_string(&policy::rules(headers, this.asked).ok()?).ok()
        };
        let policy = self.goal.mark().or_else(rules);
        let provisional =
            last_modified.map(|date| self.provisional(date)).filter(|_| self.goal.checksum.is_some());
        let meta = EntryMeta {
            digest,
            size,
            etag,
            last_modified,
            content_type,
            fetched_at: now,
            validated_at: from.map_or(now, |(this, _)| clock::unix(this.asked)),
            upstream,
            policy,
        };
        let key = key_of(&self.resource);
        let published = cache.parts.store.publish(transfer.into_staged(), key.clone(), meta.clone()).await;
        let blob = match published {
            Ok(blob) => blob,
            // Those who read along have every byte; those who have not begun yet go upstream.
            Err(error) => return Step::Done(self.unstored(&error)),
        };
        if self.resource.class == PathClass::Release
            && self.kept.as_ref().is_some_and(|kept| kept.meta.digest != digest)
        {
            self.cache.suite_changed(&self.resource, now);
        }
        let mut entry = Entry::new(meta, blob);
        // Downloads that began before the hash was known to be right resume with that date.
        entry.validators.other_last_modified = provisional;
        if self.flight.class == Class::Seed {
            entry.set_seeded();
            cache.parts.store.note_seeded(&digest, Seeded::Waiting);
        }
        let entry = Arc::new(entry);
        cache.open.insert(key, Arc::clone(&entry));
        if let Some((known, built)) = built {
            if let checksum @ Checksum::Sha512(_) = &known.expected.checksum {
                let name = checksum_key(&self.resource.repository, checksum);
                if let Err(error) = cache.parts.store.put_entry(name, entry.meta.clone()).await {
                    tracing::warn!(%error, path = %self.resource.path, "the checksum of an object cannot be noted");
                }
            }
            if self.flight.class == Class::Client {
                self.cache.note_use(&self.resource, known);
            }
            self.cache.learn_later(&self.resource.repository, known, digest, built);
        }
        Step::Done(End::Committed(entry))
    }

    /// The date under which unverified bytes are sent. If they turn out wrong and the connection is cut,
    /// apt resumes with it, and must not be given the rest of another body: so it differs from the real
    /// date, and from the one that the wrong bytes had.
    pub(super) fn provisional(&self, date: i64) -> i64 {
        if self.goal.checksum.is_none() {
            return date;
        }
        date - 1 - i64::from(self.cache.liars(&self.flight.key).times())
    }

    /// Whether what has arrived is what was promised.
    async fn is_right(&self, transfer: &Transfer, digest: &Digest) -> bool {
        if self.goal.size.is_some_and(|size| size != transfer.written()) {
            return false;
        }
        match &self.goal.checksum {
            None => true,
            Some(Checksum::Sha256(expected)) => expected == digest,
            Some(checksum @ Checksum::Sha512(_)) => {
                let (file, expected) = (transfer.file(), *checksum);
                tokio::task::spawn_blocking(move || sha512(&file).is_ok_and(|found| found == expected))
                    .await
                    .unwrap_or(false)
            }
        }
    }

    /// Upstream says that the kept copy is still right.
    pub(super) async fn confirm(&self, kept: &Entry, response: &Response, asked: SystemTime) -> Step {
        let cache = &self.cache.0;
        let mut meta = kept.meta.clone();
        meta.validated_at = clock::unix(asked);
        if let Some(policy) = &kept.policy {
            let renewed = policy::refreshed_rules(policy, &response.headers, asked);
            meta.policy = serde_json::to_string(&renewed).ok();
        }
        let key = key_of(&self.resource);
        if let Err(error) = cache.parts.store.put_entry(key.clone(), meta.clone()).await {
            // The copy is right all the same; it will be checked again sooner than needed.
            tracing::warn!(%error, path = %key.path, "a confirmation cannot be noted");
        }
        let entry = Arc::new(Entry::new(meta, kept.blob.clone()));
        cache.open.insert(key, Arc::clone(&entry));
        Step::Done(End::Confirmed(entry))
    }
}

/// The SHA-512 of a file, for the few vendors who give nothing else.
fn sha512(file: &std::fs::File) -> std::io::Result<Checksum> {
    let mut hasher = Sha512Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut position = 0;
    loop {
        match std::os::unix::fs::FileExt::read_at(file, &mut buffer, position)? {
            0 => return Ok(hasher.finish()),
            count => {
                hasher.update(&buffer[..count]);
                position += count as u64;
            }
        }
    }
}
