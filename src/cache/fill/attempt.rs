//! One try at one upstream: the request, the reading of its status, the body.

use std::sync::Arc;
use std::time::SystemTime;

use http::StatusCode;

use super::transfer::{Break, Transfer, described};
use super::{Fill, HELD_BACK, Step, request};
use crate::cache::failure::Failure;
use crate::cache::flight::{End, Head};
use crate::cache::policy::{self, NotStored};
use crate::cache::validators::{Validators, digest_tag, stream_tag};
use crate::repo::PathClass;
use crate::repo::apt::checksum::Checksum;
use crate::repo_path::RepoPath;
use crate::safe_url::BaseUrl;
use crate::store;
use crate::upstream::{Request, Response, UpstreamError};

/// Whom to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) base: BaseUrl,
    /// Which of the repository's upstreams it is; none for a place where only lost files are sought.
    pub(super) mirror: Option<usize>,
}

/// Who is asked, and when that was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Try<'a> {
    pub(super) source: &'a Source,
    /// What it answers held at this time. It may be minutes until the last byte is here.
    pub(super) asked: SystemTime,
}

impl Fill {
    /// Tries a source, going on from `transfer` where that is possible.
    pub(super) async fn attempt(&self, source: &Source, transfer: &mut Option<Transfer>) -> Step {
        let mut last = None;
        for place in &self.goal.places {
            match self.attempt_at(source, place, transfer).await {
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

    async fn attempt_at(&self, source: &Source, place: &RepoPath, transfer: &mut Option<Transfer>) -> Step {
        let cache = &self.cache.0;
        let base = &source.base;
        if let Some(whole) = transfer.take_if(|transfer| transfer.is_whole()) {
            if self.resource.class.is_immutable() || self.goal.checksum.is_some() {
                return self.finish_whole(whole).await;
            }
            // It may have been replaced since, and there is no rest to ask for that would tell.
            whole.discard().await;
        }
        let this = Try { source, asked: cache.parts.clock.now() };
        let url = base.join(place, self.resource.query.as_deref());
        let mut request = Request::get(url, self.flight.urgency.clone());
        let (class, hash_known) = (self.resource.class, self.goal.checksum.is_some());
        request.headers = request::headers(base, transfer.as_ref(), self.kept.as_deref(), class, hash_known);
        let response = match cache.client().send(request).await {
            Ok(response) => response,
            Err(error) => return self.failed(source, &error),
        };
        let upstream: Arc<str> = base.origin.host.as_str().into();
        match response.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT
                if policy::is_portal(&self.resource, &response.headers) =>
            {
                self.failed(source, &UpstreamError::Portal { host: upstream.to_string() });
                Step::Next(Failure::Portal { upstream })
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                self.succeeded(source);
                self.body(this, response, transfer).await
            }
            StatusCode::NOT_MODIFIED => match &self.kept {
                Some(kept) if transfer.is_none() => {
                    self.succeeded(source);
                    self.confirm(kept, &response, this.asked).await
                }
                _ => self.failed(source, &response.status_error()),
            },
            StatusCode::RANGE_NOT_SATISFIABLE => {
                // What is here is not a beginning of what upstream has.
                self.start_over(transfer, upstream).await
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                self.succeeded(source);
                Step::Next(Failure::NotFound { upstream })
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                self.failed(source, &response.status_error())
            }
            status if status.is_client_error() => {
                self.succeeded(source);
                Step::Next(Failure::Refused { upstream, status: status.as_u16() })
            }
            _ => self.failed(source, &response.status_error()),
        }
    }

    fn succeeded(&self, source: &Source) {
        if let Some(mirror) = source.mirror {
            self.cache.0.mirrors[self.resource.repository.index].succeeded(mirror);
        }
    }

    pub(super) fn failed(&self, source: &Source, error: &UpstreamError) -> Step {
        let cache = &self.cache.0;
        if let Some(mirror) = source.mirror {
            cache.mirrors[self.resource.repository.index].failed(mirror, std::time::Instant::now(), error);
        }
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

    async fn body(&self, this: Try<'_>, response: Response, transfer: &mut Option<Transfer>) -> Step {
        let base = &this.source.base;
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
                return self.failed(this.source, &response.status_error());
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
        if !response.delimited && self.goal.checksum.is_none() {
            return Err(End::Direct(NotStored::NoEnd));
        }
        if self.resource.class == PathClass::Other && self.goal.checksum.is_none() {
            policy::rules(&response.headers, asked).map_err(End::Direct)?;
        }
        match cache.parts.store.make_room(total.unwrap_or(0)).await {
            Ok(true) => {}
            Ok(false) => return Err(End::Direct(NotStored::NoRoom)),
            Err(error) => return Err(self.unstored(&error)),
        }
        let mut meta = described(&response.headers, total, &response.url);
        // A body without a date gets the date of its arrival, and keeps it over restarts.
        meta.last_modified.get_or_insert_with(|| self.unix_now());
        match Transfer::begin(&cache.parts.store, &self.flight.key, meta, self.flight.class).await {
            Ok(Ok(begun)) => {
                self.announce(&begun);
                Ok(begun)
            }
            Ok(Err(error)) => Err(self.unstored(&error)),
            Err(failure) => Err(End::Failed(failure)),
        }
    }

    /// Tells readers about the body, unless they know or could not have a byte of it before it is checked.
    /// Then it is better that they wait: if the check fails, another upstream can still be asked.
    pub(super) fn announce(&self, transfer: &Transfer) {
        let promised = self.goal.checksum.is_some();
        let hidden = promised && transfer.meta().total.is_none_or(|total| total <= HELD_BACK);
        if !hidden {
            self.show(transfer, promised);
        }
    }

    /// Tells readers about a body that was checked, unless they know. They need not wait for the disk: what
    /// they get is right, whether it is kept or not.
    pub(super) fn announce_checked(&self, transfer: &Transfer) {
        self.show(transfer, false);
    }

    /// Tells readers about the body, of which they may have a part only if it has yet to be checked.
    fn show(&self, transfer: &Transfer, promised: bool) {
        if self.flight.has_head() {
            return;
        }
        let meta = transfer.meta();
        let tag = stream_tag(meta.etag.as_deref(), meta.last_modified, meta.total);
        let known = self.goal.checksum.as_ref().and_then(Checksum::sha256);
        let date = meta.last_modified.unwrap_or_else(|| self.unix_now());
        let validators = Validators {
            etag: known.map_or_else(|| tag.clone(), |digest| digest_tag(&digest)),
            other_etag: known.map(|_| tag),
            last_modified: if promised { self.provisional(date) } else { date },
            // Who has the real date got it with bytes that were verified.
            other_last_modified: promised.then_some(date),
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
        this: Try<'_>,
        transfer: Transfer,
        response: Response,
        skip: u64,
        left: &mut Option<Transfer>,
    ) -> Step {
        let cache = &self.cache.0;
        let repo = self.resource.repository.name();
        let hold_back = self.goal.checksum.is_some();
        let count = |bytes| cache.parts.metrics.upstream_bytes(repo, self.flight.urgency.class(), bytes);
        let Response { headers, body, .. } = response;
        let before = transfer.written();
        let (mut transfer, broken) = match transfer.receive(body, skip, &self.flight, hold_back, count).await
        {
            Ok(received) => received,
            Err(failure) => return Step::Done(End::Failed(failure)),
        };
        transfer.note_sender(this.source, before);
        match broken {
            None if transfer.meta().total.is_some_and(|total| total != transfer.written()) => {
                self.misfit(this.source, transfer, left).await
            }
            None => self.commit(transfer, Some((this, &headers))).await,
            Some(Break::Upstream(error @ UpstreamError::TooLarge { .. })) => {
                // More of it is of no use, and what is here would only take up room.
                transfer.discard().await;
                self.failed(this.source, &error);
                Step::Done(End::Failed(Failure::unreachable(&error)))
            }
            Some(Break::Upstream(error)) => {
                *left = Some(transfer);
                self.failed(this.source, &error)
            }
            Some(Break::Store(error)) => {
                transfer.discard().await;
                Step::Done(self.unstored(&error))
            }
        }
    }

    /// A store that is full or broken is no reason to refuse what upstream has: clients get it from there.
    pub(super) fn unstored(&self, error: &store::Error) -> End {
        let (repo, path) = (&self.flight.key.repo, &self.flight.key.path);
        if matches!(error, store::Error::Closed) {
            return End::Failed(Failure::Stopping);
        }
        if error.is_full() {
            tracing::warn!(%repo, %path, %error, "streamed without storing");
            End::Direct(NotStored::NoRoom)
        } else {
            tracing::error!(%repo, %path, %error, "the store cannot be written; streamed without storing");
            End::Direct(NotStored::StoreFailed)
        }
    }

    /// The body ended in good order, but what is here has another size than was announced for the whole.
    async fn misfit(&self, source: &Source, transfer: Transfer, left: &mut Option<Transfer>) -> Step {
        let host = source.base.origin.host.to_string();
        let (received, expected) = (transfer.written(), transfer.meta().total);
        if expected > Some(received) {
            // A part (206) may be less than was asked for; the rest is asked for again.
            *left = Some(transfer);
            return self.failed(source, &UpstreamError::Truncated { host, received, expected });
        }
        transfer.discard().await;
        let what = "its parts are more than the whole".to_owned();
        match self.failed(source, &UpstreamError::Protocol { host, what }) {
            Step::Next(failure) if self.flight.has_head() => Step::Done(End::Failed(failure)),
            step => step,
        }
    }
}
