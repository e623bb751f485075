//! Past the store: answers that may not be kept, or for which there is no room.

use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::answer::{Answer, Passed};
use super::failure::Failure;
use super::flight::{Head, Reader};
use super::lookup::Cache;
use super::pass_body::{PassBody, digest_of};
use super::policy;
use crate::clock;
use crate::digest::{Digest, Hasher};
use crate::outcome::Class;
use crate::repo::Resource;
use crate::suite::{Channel, Resolution};
use crate::upstream::{Request, Response, UpstreamError};

/// A request with a method other than GET and HEAD, for repositories that pass them on.
#[derive(Debug)]
pub struct PassRequest {
    /// The method.
    pub method: Method,
    /// Headers that may go upstream.
    pub headers: HeaderMap,
    /// The body, already bounded.
    pub body: Bytes,
}

impl Cache {
    /// Fetches for one client alone.
    pub(super) async fn direct(&self, resource: &Resource, head_only: bool, reason: &'static str) -> Answer {
        let method = if head_only { Method::HEAD } else { Method::GET };
        let request = PassRequest { method, headers: HeaderMap::new(), body: Bytes::new() };
        let answer = self.pass(resource, request, reason).await;
        let (false, Some(promise)) = (head_only, self.promise(resource)) else { return answer };
        match (answer, promise) {
            (Answer::Passed(passed), Ok((digest, size))) if passed.status == StatusCode::OK => {
                let Passed { status, headers, body, reason } = *passed;
                let body = body.checked_from(digest, size, (Hasher::new(), 0));
                Answer::Passed(Box::new(Passed { status, headers, body, reason }))
            }
            (Answer::Passed(passed), Err(failure)) if passed.status == StatusCode::OK => {
                Answer::Failed(failure)
            }
            (answer, _) => answer,
        }
    }

    /// What is known of the resource's bytes: their digest and perhaps their size, or why they cannot be
    /// checked while they stream.
    fn promise(&self, resource: &Resource) -> Option<Result<(Digest, Option<u64>), Failure>> {
        let view = self.0.suites.view(resource.repository.index);
        match view.resolve(resource, &Channel::Live, None) {
            Resolution::Known(known) => Some(
                digest_of(&known.expected)
                    .map(|digest| (digest, known.expected.size()))
                    .ok_or_else(|| Failure::Store("there is no room to check it".into())),
            ),
            _ => resource.class.expected().map(|digest| Ok((digest, None))),
        }
    }

    /// Sends a request on and gives back what upstream answers, whatever it is. Only a request that has
    /// no effect upstream (GET and HEAD) is tried at more than one upstream.
    pub async fn pass(&self, resource: &Resource, request: PassRequest, reason: &'static str) -> Answer {
        let repeatable = request.method.is_safe();
        let mirrors = self.mirrors(resource.repository.index);
        let mut failure = Failure::Unreachable("no upstream is configured".into());
        for index in mirrors.order(Instant::now()) {
            let url = mirrors.base(index).join(&resource.path, resource.query.as_deref());
            let mut upstream = Request::get(url, Class::Client);
            upstream.method = request.method.clone();
            upstream.headers = request.headers.clone();
            upstream.body = (!request.body.is_empty()).then(|| request.body.clone());
            match self.0.client().send(upstream).await {
                // No condition was sent, so there is nothing that could not have been modified.
                Ok(response) if response.status == StatusCode::NOT_MODIFIED => {
                    failure = self.note(resource, index, &response.status_error());
                    if !repeatable {
                        break;
                    }
                }
                Ok(response) if repeatable && response.status.is_server_error() => {
                    failure = self.note(resource, index, &response.status_error());
                }
                Ok(response) if policy::is_portal(resource, &response.headers) => {
                    let upstream: Arc<str> = mirrors.base(index).origin.host.as_str().into();
                    self.note(resource, index, &UpstreamError::Portal { host: upstream.to_string() });
                    failure = Failure::Portal { upstream };
                }
                Ok(response) if repeatable && response.status == StatusCode::NOT_FOUND => {
                    failure = Failure::NotFound { upstream: mirrors.base(index).origin.host.as_str().into() };
                }
                Ok(Response { status, headers, body, .. }) => {
                    mirrors.succeeded(index);
                    let repo = Arc::clone(resource.repository.name());
                    let body = PassBody::unchecked(body, self.0.parts.metrics.clone(), repo);
                    return Answer::Passed(Box::new(Passed { status, headers, body, reason }));
                }
                Err(error) => {
                    failure = self.note(resource, index, &error);
                    if !repeatable {
                        break;
                    }
                }
            }
        }
        Answer::Failed(failure)
    }

    fn note(&self, resource: &Resource, index: usize, error: &UpstreamError) -> Failure {
        self.mirrors(resource.repository.index).failed(index, Instant::now(), error);
        self.0.parts.metrics.upstream_error(resource.repository.name(), error.reason());
        Failure::unreachable(error)
    }

    /// The rest of what `reader` was reading, straight from upstream, for a flight that could not go on
    /// storing. The body begins at the returned number of bytes before the reader's position.
    ///
    /// # Errors
    /// No upstream sends the same object any more.
    pub async fn rest_of(&self, resource: &Resource, reader: &Reader) -> Result<(PassBody, u64), Failure> {
        let position = reader.position();
        let promise = self.promise(resource).transpose()?;
        if promise.is_some() && reader.last().is_some() {
            // A part alone cannot be checked.
            return Err(Failure::Store("there is no room to check it".into()));
        }
        let mut headers = HeaderMap::new();
        if position > 0 {
            let range = reader
                .last()
                .map_or_else(|| format!("bytes={position}-"), |last| format!("bytes={position}-{last}"));
            let date =
                httpdate::fmt_http_date(clock::from_unix(reader.head().validators.last_modified.max(0)));
            for (name, value) in [(header::RANGE, range), (header::IF_RANGE, date)] {
                if let Ok(value) = HeaderValue::from_str(&value) {
                    headers.insert(name, value);
                }
            }
        }
        let request = PassRequest { method: Method::GET, headers, body: Bytes::new() };
        match self.pass(resource, request, "no-room").await {
            Answer::Passed(passed) if begins_at(&passed, position) => match promise {
                None => Ok((passed.body, 0)),
                Some((digest, size)) => {
                    let begun = hash_beginning(reader, position).await?;
                    Ok((passed.body.checked_from(digest, size, (begun, position)), 0))
                }
            },
            Answer::Passed(passed)
                if passed.status == StatusCode::OK && is_same(&passed, resource, reader.head()) =>
            {
                match promise {
                    None => Ok((passed.body, position)),
                    Some((digest, size)) => {
                        Ok((passed.body.checked_from(digest, size, (Hasher::new(), 0)), position))
                    }
                }
            }
            Answer::Failed(failure) => Err(failure),
            _ => Err(Failure::Changed { upstream: "upstream".into() }),
        }
    }
}

/// Hashes what a reader has had of a body that could not be stored.
async fn hash_beginning(reader: &Reader, length: u64) -> Result<Hasher, Failure> {
    let file = Arc::clone(&reader.head().file);
    let hashing = tokio::task::spawn_blocking(move || {
        let mut hasher = Hasher::new();
        let mut buffer = vec![0; 256 * 1024];
        let mut position = 0;
        while position < length {
            let wanted = usize::try_from(length - position).unwrap_or(buffer.len()).min(buffer.len());
            file.read_exact_at(&mut buffer[..wanted], position)?;
            hasher.update(&buffer[..wanted]);
            position += wanted as u64;
        }
        Ok::<_, std::io::Error>(hasher)
    });
    let hashed = hashing.await.map_err(|_| Failure::Stopping)?;
    hashed.map_err(|error| Failure::Store(error.to_string().into()))
}

/// Whether this is the part that was asked for; upstream promised by `If-Range` that it is of the same object.
fn begins_at(passed: &Passed, position: u64) -> bool {
    let range = passed.headers.get(header::CONTENT_RANGE).and_then(|value| value.to_str().ok());
    passed.status == StatusCode::PARTIAL_CONTENT
        && range.is_some_and(|range| range.starts_with(&format!("bytes {position}-")))
}

/// Whether this is the object again of which a reader has had the beginning. Two versions must never be
/// joined, and their sizes alone may agree.
fn is_same(passed: &Passed, resource: &Resource, head: &Head) -> bool {
    if passed.body.announced() != head.total {
        return false;
    }
    let date = passed.headers.get(header::LAST_MODIFIED).and_then(|value| value.to_str().ok());
    match date.and_then(|date| httpdate::parse_http_date(date).ok()) {
        _ if resource.class.expected().is_some() => true,
        Some(date) => head.validators.has_date(clock::unix(date)),
        // A package's name carries its version; mirrors that send no dates still agree on the size.
        None => resource.class.is_immutable() && head.total.is_some(),
    }
}
