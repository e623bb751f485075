//! One try at one upstream: the request, the reading of its status, the body, the commit.

use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;

use super::transfer::{Break, Transfer, described};
use super::{Fill, HELD_BACK, Step, request};
use crate::cache::entry::Entry;
use crate::cache::failure::Failure;
use crate::cache::flight::{End, Head};
use crate::cache::lookup::key_of;
use crate::cache::policy::{self, NotStored};
use crate::cache::serve::checksum_key;
use crate::cache::validators::{Validators, digest_tag, stream_tag};
use crate::clock;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::repo::PathClass;
use crate::repo::apt::checksum::{Checksum, Sha512Hasher};
use crate::repo_path::RepoPath;
use crate::store::{EntryMeta, PartialMeta};
use crate::upstream::{Request, Response, UpstreamError};

/// Which upstream is asked, and when it was.
#[derive(Debug, Clone, Copy)]
struct Try {
    index: usize,
    /// What it answers held at this time. It may be minutes until the last byte is here.
    asked: SystemTime,
}

impl Fill {
    /// Tries the upstream at `index`, going on from `transfer` where that is possible.
    pub(super) async fn attempt(&self, index: usize, transfer: &mut Option<Transfer>) -> Step {
        let mut last = None;
        for place in &self.goal.places {
            match self.attempt_at(index, place, transfer).await {
                // The next place may have it: its plain name, where it is not published by its hash.
                // Some stores of files refuse what they do not have.
                Step::Next(
                    failure @ (Failure::NotFound { .. } | Failure::Changed { .. } | Failure::Refused { .. }),
                ) => {
                    last = Some(failure);
                }
                step => return step,
            }
        }
        Step::Next(last.unwrap_or_else(|| Failure::Unreachable("there is nowhere to look".into())))
    }

    async fn attempt_at(&self, index: usize, place: &RepoPath, transfer: &mut Option<Transfer>) -> Step {
        let cache = &self.cache.0;
        let mirrors = &cache.mirrors[self.resource.repository.index];
        let base = mirrors.base(index);
        if let Some(whole) = transfer.take_if(|transfer| transfer.is_whole()) {
            if self.resource.class.is_immutable() || self.goal.checksum.is_some() {
                return self.finish_whole(whole).await;
            }
            // It may have been replaced since, and there is no rest to ask for that would tell.
            whole.discard().await;
        }
        let this = Try { index, asked: cache.parts.clock.now() };
        let url = base.join(place, self.resource.query.as_deref());
        let mut request = Request::get(url, self.flight.class);
        let (class, hash_known) = (self.resource.class, self.goal.checksum.is_some());
        request.headers = request::headers(base, transfer.as_ref(), self.kept.as_deref(), class, hash_known);
        let response = match cache.parts.client.send(request).await {
            Ok(response) => response,
            Err(error) => return self.failed(index, &error),
        };
        let upstream: Arc<str> = base.origin.host.as_str().into();
        match response.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT
                if policy::is_portal(&self.resource, &response.headers) =>
            {
                self.failed(index, &UpstreamError::Portal { host: upstream.to_string() });
                Step::Next(Failure::Portal { upstream })
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                mirrors.succeeded(index);
                self.body(this, response, transfer).await
            }
            StatusCode::NOT_MODIFIED => match &self.kept {
                Some(kept) if transfer.is_none() => {
                    mirrors.succeeded(index);
                    self.confirm(kept, &response, this.asked).await
                }
                _ => self.failed(index, &response.status_error()),
            },
            StatusCode::RANGE_NOT_SATISFIABLE => {
                // What is here is not a beginning of what upstream has.
                self.start_over(transfer, upstream).await
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                mirrors.succeeded(index);
                Step::Next(Failure::NotFound { upstream })
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                self.failed(index, &response.status_error())
            }
            status if status.is_client_error() => {
                mirrors.succeeded(index);
                Step::Next(Failure::Refused { upstream, status: status.as_u16() })
            }
            _ => self.failed(index, &response.status_error()),
        }
    }

    fn failed(&self, index: usize, error: &UpstreamError) -> Step {
        let cache = &self.cache.0;
        cache.mirrors[self.resource.repository.index].failed(index, std::time::Instant::now(), error);
        cache.parts.metrics.upstream_error(self.resource.repository.name(), error.reason());
        tracing::debug!(repo = %self.flight.key.repo, path = %self.flight.key.path, %error, "upstream failed");
        Step::Next(Failure::unreachable(error))
    }

    /// Drops what has arrived because upstream has something else now. Clients that have had bytes of it
    /// cannot go on.
    async fn start_over(&self, transfer: &mut Option<Transfer>, upstream: Arc<str>) -> Step {
        if let Some(old) = transfer.take() {
            old.discard().await;
        }
        let changed = Failure::Changed { upstream };
        if self.flight.has_head() { Step::Done(End::Failed(changed)) } else { Step::Next(changed) }
    }

    async fn body(&self, this: Try, response: Response, transfer: &mut Option<Transfer>) -> Step {
        let base = self.cache.0.mirrors[self.resource.repository.index].base(this.index);
        let upstream: Arc<str> = base.origin.host.as_str().into();
        let part = response.content_range;
        let total = part.map_or(response.body.announced(), |part| part.total);
        if let (Some(total), Some(size)) = (total, self.goal.size)
            && total != size
        {
            // Nobody's fault: a mirror that is behind, or ahead, has another file under this name.
            return Step::Next(Failure::Changed { upstream });
        }
        let Some(current) = transfer.take() else {
            if part.is_some() {
                return self.failed(this.index, &response.status_error());
            }
            return match self.begin(&response, total, this.asked).await {
                Ok(begun) => self.receive(this, begun, response, 0, transfer).await,
                Err(end) => Step::Done(end),
            };
        };
        let known = self.goal.checksum.is_some();
        let immutable = self.resource.class.is_immutable();
        let continues = part.is_none_or(|part| part.first == current.written());
        if continues && current.same_object(&response, &base.origin, total, known, immutable) {
            // An upstream that ignored the range sends the beginning again; it is skipped.
            let skip = if part.is_some() { 0 } else { current.written() };
            self.announce(&current);
            return self.receive(this, current, response, skip, transfer).await;
        }
        *transfer = Some(current);
        let whole_anew = part.is_none() && !self.flight.has_head();
        let step = self.start_over(transfer, upstream).await;
        if !whole_anew {
            return step;
        }
        match self.begin(&response, total, this.asked).await {
            Ok(begun) => self.receive(this, begun, response, 0, transfer).await,
            Err(end) => Step::Done(end),
        }
    }

    /// Opens the file for a fresh body and tells readers about it, or says why it is not stored.
    async fn begin(
        &self,
        response: &Response,
        total: Option<u64>,
        asked: SystemTime,
    ) -> Result<Transfer, End> {
        let cache = &self.cache.0;
        policy::may_store(&response.headers).map_err(End::Direct)?;
        if self.resource.class == PathClass::Other {
            policy::rules(&response.headers, asked).map_err(End::Direct)?;
        }
        let room = cache.parts.store.make_room(total.unwrap_or(0)).await;
        if !room.map_err(|error| End::Failed(Failure::store(&error)))? {
            return Err(End::Direct(NotStored::NoRoom));
        }
        let mut meta = described(&response.headers, total, &response.url);
        // A body without a date gets the date of its arrival, and keeps it over restarts.
        meta.last_modified.get_or_insert_with(|| self.unix_now());
        match Transfer::begin(&cache.parts.store, &self.flight.key, meta).await {
            Ok(Ok(begun)) => {
                self.announce(&begun);
                Ok(begun)
            }
            Ok(Err(error)) if error.is_full() => Err(End::Direct(NotStored::NoRoom)),
            Ok(Err(error)) => Err(End::Failed(Failure::store(&error))),
            Err(failure) => Err(End::Failed(failure)),
        }
    }

    /// Tells readers about the body, unless they know or could not have a byte of it before it is checked.
    /// Then it is better that they wait: if the check fails, another upstream can still be asked.
    fn announce(&self, transfer: &Transfer) {
        let meta = transfer.meta();
        let promised = self.goal.checksum.is_some();
        let hidden = promised && meta.total.is_none_or(|total| total <= HELD_BACK);
        if hidden || self.flight.has_head() {
            return;
        }
        let tag = stream_tag(meta.etag.as_deref(), meta.last_modified, meta.total);
        let known = self.goal.checksum.as_ref().and_then(Checksum::sha256);
        let validators = Validators {
            etag: known.map_or_else(|| tag.clone(), |digest| digest_tag(&digest)),
            other_etag: known.map(|_| tag),
            last_modified: self.provisional(meta.last_modified.unwrap_or_else(|| self.unix_now())),
            other_last_modified: None,
        };
        let head = Head {
            validators,
            content_type: meta.content_type.clone(),
            total: meta.total,
            file: transfer.file(),
        };
        let available = if promised { 0 } else { transfer.written() };
        self.flight.announce(Arc::new(head), available);
    }

    async fn receive(
        &self,
        this: Try,
        transfer: Transfer,
        response: Response,
        skip: u64,
        left: &mut Option<Transfer>,
    ) -> Step {
        let cache = &self.cache.0;
        let repo = self.resource.repository.name();
        let hold_back = self.goal.checksum.is_some();
        let count = |bytes| cache.parts.metrics.upstream_bytes(repo, self.flight.class, bytes);
        let Response { headers, body, .. } = response;
        let (transfer, broken) = match transfer.receive(body, skip, &self.flight, hold_back, count).await {
            Ok(received) => received,
            Err(failure) => return Step::Done(End::Failed(failure)),
        };
        match broken {
            None if transfer.meta().total.is_some_and(|total| total != transfer.written()) => {
                self.misfit(this.index, transfer, left).await
            }
            None => self.commit(transfer, Some((this, &headers))).await,
            Some(Break::Upstream(error)) => {
                *left = Some(transfer);
                self.failed(this.index, &error)
            }
            Some(Break::Store(error)) => {
                transfer.discard().await;
                tracing::error!(%error, path = %self.flight.key.path, "a transfer cannot be stored");
                Step::Done(if error.is_full() {
                    End::Direct(NotStored::NoRoom)
                } else {
                    End::Failed(Failure::store(&error))
                })
            }
        }
    }

    /// The body ended in good order, but what is here has another size than was announced for the whole.
    async fn misfit(&self, index: usize, transfer: Transfer, left: &mut Option<Transfer>) -> Step {
        let host = self.host(index).to_string();
        let (received, expected) = (transfer.written(), transfer.meta().total);
        if expected > Some(received) {
            // A part (206) may be less than was asked for; the rest is asked for again.
            *left = Some(transfer);
            return self.failed(index, &UpstreamError::Truncated { host, received, expected });
        }
        transfer.discard().await;
        let what = "its parts are more than the whole".to_owned();
        match self.failed(index, &UpstreamError::Protocol { host, what }) {
            Step::Next(failure) if self.flight.has_head() => Step::Done(End::Failed(failure)),
            step => step,
        }
    }

    /// A transfer that was whole when the program died before its commit.
    async fn finish_whole(&self, transfer: Transfer) -> Step {
        self.announce(&transfer);
        self.commit(transfer, None).await
    }

    /// The host of the upstream at `index`.
    fn host(&self, index: usize) -> Arc<str> {
        self.cache.0.mirrors[self.resource.repository.index].base(index).origin.host.as_str().into()
    }

    /// The bytes are not those that the path promises.
    async fn damaged(&self, transfer: Transfer, sender: Option<usize>) -> Step {
        self.cache.0.parts.metrics.verify_failure(self.resource.repository.name(), "object");
        transfer.discard().await;
        let upstream = sender.map_or_else(|| Arc::from("an upstream"), |index| self.host(index));
        if let Some(index) = sender {
            self.failed(index, &UpstreamError::Damaged { host: upstream.to_string() });
            self.cache.note_lie(&self.flight.key, index);
        }
        let damaged = Failure::Damaged { upstream };
        if self.flight.has_head() { Step::Done(End::Failed(damaged)) } else { Step::Next(damaged) }
    }

    /// Everything has arrived: checks it, lets readers have it, and makes it durable. `from` is the try
    /// that brought the last of it, and what its answer said.
    async fn commit(&self, transfer: Transfer, from: Option<(Try, &http::HeaderMap)>) -> Step {
        let cache = &self.cache.0;
        let digest = transfer.digest();
        if !self.is_right(&transfer, &digest).await {
            return self.damaged(transfer, from.map(|(this, _)| this.index)).await;
        }
        let size = transfer.written();
        // Whoever has read an index to its end may ask for what it lists: from here on that waits until
        // the index has been read here, too.
        let built = self.goal.known.as_ref().map(|known| (known, cache.building.begin()));
        self.flight.complete(size);
        let now = self.unix_now();
        let PartialMeta { etag, last_modified, content_type, upstream, .. } = transfer.meta().clone();
        let rules = || {
            let (this, headers) = from.filter(|_| self.resource.class == PathClass::Other)?;
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
            Err(error) => {
                tracing::error!(%error, path = %key.path, "a complete transfer cannot be stored");
                return Step::Done(End::Failed(Failure::store(&error)));
            }
        };
        if self.resource.class == PathClass::Release
            && self.kept.as_ref().is_some_and(|kept| kept.meta.digest != digest)
        {
            self.cache.suite_changed(&self.resource, now);
        }
        let mut entry = Entry::new(meta, blob);
        // Downloads that began before the hash was known to be right resume with that date.
        entry.validators.other_last_modified = provisional;
        let entry = Arc::new(entry);
        cache.open.insert(key, Arc::clone(&entry));
        if let Some((known, built)) = built {
            if let checksum @ Checksum::Sha512(_) = &known.expected.checksum {
                let name = checksum_key(&self.resource.repository, checksum);
                if let Err(error) = cache.parts.store.put_entry(name, entry.meta.clone()).await {
                    tracing::warn!(%error, path = %known.places[0], "the checksum of an object cannot be noted");
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
    fn provisional(&self, date: i64) -> i64 {
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
    async fn confirm(&self, kept: &Entry, response: &Response, asked: SystemTime) -> Step {
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
