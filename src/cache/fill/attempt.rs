//! One try at one upstream: the request, the reading of its status, the body, the commit.

use std::sync::Arc;

use http::{StatusCode, header};

use super::transfer::{Break, Transfer, described};
use super::{Fill, Step, request};
use crate::cache::entry::Entry;
use crate::cache::failure::Failure;
use crate::cache::flight::{End, Head};
use crate::cache::policy::{self, NotStored};
use crate::cache::validators::{Validators, digest_tag, stream_tag};
use crate::repo::{Kind, PathClass};
use crate::store::{EntryMeta, PartialMeta};
use crate::upstream::{Request, Response, UpstreamError};

impl Fill {
    /// Tries the upstream at `index`, going on from `transfer` where that is possible.
    pub(super) async fn attempt(&self, index: usize, transfer: &mut Option<Transfer>) -> Step {
        let cache = &self.cache.0;
        let mirrors = &cache.mirrors[self.resource.repository.index];
        let base = mirrors.base(index);
        if let Some(whole) = transfer.take_if(|transfer| transfer.meta().total == Some(transfer.written())) {
            return self.finish_whole(whole, index).await;
        }
        let url = base.join(&self.resource.path, self.resource.query.as_deref());
        let mut request = Request::get(url, self.flight.class);
        let of_suite = self.resource.class.is_of_suite();
        request.headers = request::headers(base, transfer.as_ref(), self.kept.as_deref(), of_suite);
        let response = match cache.parts.client.send(request).await {
            Ok(response) => response,
            Err(error) => return self.failed(index, &error),
        };
        let upstream: Arc<str> = base.origin.host.as_str().into();
        match response.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT if self.is_portal(&response) => {
                self.failed(index, &UpstreamError::Portal { host: upstream.to_string() });
                Step::Next(Failure::Portal { upstream })
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                mirrors.succeeded(index);
                self.body(index, response, transfer).await
            }
            StatusCode::NOT_MODIFIED => match &self.kept {
                Some(kept) if transfer.is_none() => {
                    mirrors.succeeded(index);
                    self.confirm(kept, &response).await
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

    /// Packages and indices are never web pages; a network that wants a login answers with one.
    fn is_portal(&self, response: &Response) -> bool {
        let page = response
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/html"));
        let file = self.resource.class != PathClass::Other;
        self.resource.repository.config.kind == Kind::Apt && file && page
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

    async fn body(&self, index: usize, response: Response, transfer: &mut Option<Transfer>) -> Step {
        let cache = &self.cache.0;
        let base = cache.mirrors[self.resource.repository.index].base(index);
        let upstream: Arc<str> = base.origin.host.as_str().into();
        let part = response.content_range;
        let total = part.map_or(response.body.announced(), |part| part.total);
        let Some(current) = transfer.take() else {
            if part.is_some() {
                return self.failed(index, &response.status_error());
            }
            return match self.begin(&response, total).await {
                Ok(begun) => self.receive(index, begun, response, 0, transfer).await,
                Err(end) => Step::Done(end),
            };
        };
        let known = self.resource.class.expected().is_some();
        let immutable = self.resource.class.is_immutable();
        let continues = part.is_none_or(|part| part.first == current.written());
        if continues && current.same_object(&response, &base.origin, total, known, immutable) {
            // An upstream that ignored the range sends the beginning again; it is skipped.
            let skip = if part.is_some() { 0 } else { current.written() };
            self.announce(&current);
            return self.receive(index, current, response, skip, transfer).await;
        }
        *transfer = Some(current);
        let whole_anew = part.is_none() && !self.flight.has_head();
        let step = self.start_over(transfer, upstream).await;
        if !whole_anew {
            return step;
        }
        match self.begin(&response, total).await {
            Ok(begun) => self.receive(index, begun, response, 0, transfer).await,
            Err(end) => Step::Done(end),
        }
    }

    /// Opens the file for a fresh body and tells readers about it, or says why it is not stored.
    async fn begin(&self, response: &Response, total: Option<u64>) -> Result<Transfer, End> {
        let cache = &self.cache.0;
        policy::may_store(&response.headers).map_err(End::Direct)?;
        if self.resource.class == PathClass::Other {
            policy::rules(&response.headers, cache.parts.clock.now()).map_err(End::Direct)?;
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

    fn announce(&self, transfer: &Transfer) {
        if self.flight.has_head() {
            return;
        }
        let meta = transfer.meta();
        let tag = stream_tag(meta.etag.as_deref(), meta.last_modified, meta.total);
        let known = self.resource.class.expected();
        let validators = Validators {
            etag: known.map_or_else(|| tag.clone(), |digest| digest_tag(&digest)),
            other_etag: known.map(|_| tag),
            last_modified: meta.last_modified.unwrap_or_else(|| self.unix_now()),
            other_last_modified: None,
        };
        let head = Head {
            validators,
            content_type: meta.content_type.clone(),
            total: meta.total,
            file: transfer.file(),
        };
        let available = if known.is_some() { 0 } else { transfer.written() };
        self.flight.announce(Arc::new(head), available);
    }

    async fn receive(
        &self,
        index: usize,
        transfer: Transfer,
        response: Response,
        skip: u64,
        left: &mut Option<Transfer>,
    ) -> Step {
        let cache = &self.cache.0;
        let repo = self.resource.repository.name();
        let hold_back = self.resource.class.expected().is_some();
        let count = |bytes| cache.parts.metrics.upstream_bytes(repo, self.flight.class, bytes);
        let Response { headers, body, .. } = response;
        let (transfer, broken) = match transfer.receive(body, skip, &self.flight, hold_back, count).await {
            Ok(received) => received,
            Err(failure) => return Step::Done(End::Failed(failure)),
        };
        match broken {
            None => self.commit(transfer, index, Some(&headers)).await,
            Some(Break::Upstream(error @ UpstreamError::TooLarge { .. })) => {
                // More of it is of no use, and what is here would only take up room.
                transfer.discard().await;
                self.failed(index, &error);
                Step::Done(End::Failed(Failure::unreachable(&error)))
            }
            Some(Break::Upstream(error)) => {
                *left = Some(transfer);
                self.failed(index, &error)
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

    /// A transfer that was whole when the program died before its commit.
    async fn finish_whole(&self, transfer: Transfer, index: usize) -> Step {
        self.announce(&transfer);
        self.commit(transfer, index, None).await
    }

    /// Everything has arrived: checks it, lets readers have it, and makes it durable.
    async fn commit(&self, transfer: Transfer, index: usize, headers: Option<&http::HeaderMap>) -> Step {
        let cache = &self.cache.0;
        let digest = transfer.digest();
        if self.resource.class.expected().is_some_and(|expected| expected != digest) {
            let upstream: Arc<str> =
                cache.mirrors[self.resource.repository.index].base(index).origin.host.as_str().into();
            cache.parts.metrics.verify_failure(self.resource.repository.name(), "by-hash");
            self.failed(index, &UpstreamError::Damaged { host: upstream.to_string() });
            transfer.discard().await;
            let damaged = Failure::Damaged { upstream };
            return if self.flight.has_head() {
                Step::Done(End::Failed(damaged))
            } else {
                Step::Next(damaged)
            };
        }
        let size = transfer.written();
        self.flight.complete(size);
        let now = self.unix_now();
        let PartialMeta { etag, last_modified, content_type, upstream, .. } = transfer.meta().clone();
        let policy = headers
            .filter(|_| self.resource.class == PathClass::Other)
            .and_then(|headers| policy::rules(headers, cache.parts.clock.now()).ok())
            .and_then(|policy| serde_json::to_string(&policy).ok());
        let meta = EntryMeta {
            digest,
            size,
            etag,
            last_modified,
            content_type,
            fetched_at: now,
            validated_at: now,
            upstream,
            policy,
        };
        let key = self.flight.key.clone();
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
        let entry = Arc::new(Entry::new(meta, blob));
        cache.open.insert(key, Arc::clone(&entry));
        Step::Done(End::Committed(entry))
    }

    /// Upstream says that the kept copy is still right.
    async fn confirm(&self, kept: &Entry, response: &Response) -> Step {
        let cache = &self.cache.0;
        let mut meta = kept.meta.clone();
        meta.validated_at = self.unix_now();
        if let Some(policy) = &kept.policy {
            let renewed = policy::refreshed_rules(policy, &response.headers, cache.parts.clock.now());
            meta.policy = serde_json::to_string(&renewed).ok();
        }
        let key = self.flight.key.clone();
        if let Err(error) = cache.parts.store.put_entry(key.clone(), meta.clone()).await {
            // The copy is right all the same; it will be checked again sooner than needed.
            tracing::warn!(%error, path = %key.path, "a confirmation cannot be noted");
        }
        let entry = Arc::new(Entry::new(meta, kept.blob.clone()));
        cache.open.insert(key, Arc::clone(&entry));
        Step::Done(End::Confirmed(entry))
    }
}
