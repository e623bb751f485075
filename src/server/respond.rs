//! From the cache's answer and the client's conditions to a response head and its content.

use std::time::SystemTime;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use hyper::ext::ReasonPhrase;

use super::body::{Content, Source as BodySource, Stored};
use super::error::Told;
use super::multipart;
use crate::cache::{
    Answer, ByteRange, Cache, Conditions, Description, Entry, Freshness, Passed, SeedUse, Validators, Verdict,
};
use crate::clock;
use crate::outcome::{Outcome, Source};
use crate::repo::Resource;

/// RFC 9211's header, which `http` does not name yet.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Headers of an answer from the store, `Date` included.
const HEADERS: usize = 12;

/// Headers of an upstream that are passed on with a response that goes past the store.
const PASSED_ON: [HeaderName; 12] = [
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    header::CACHE_CONTROL,
    header::EXPIRES,
    header::VARY,
    header::ALLOW,
];

/// A response without its account: head and content, and what the account should say.
pub(super) struct Reply {
    pub(super) head: Response<()>,
    pub(super) content: Content,
    pub(super) outcome: Outcome,
    pub(super) source: Source,
    /// What is owed to a seed.
    pub(super) seeded: Option<SeedUse>,
}

/// What the reply depends on besides the answer.
pub(super) struct Asking<'a> {
    pub(super) cache: &'a Cache,
    pub(super) resource: &'a Resource,
    pub(super) conditions: &'a Conditions,
    pub(super) head_only: bool,
    pub(super) now: SystemTime,
}

impl Asking<'_> {
    /// Builds the reply to `answer`.
    pub(super) fn reply(&self, answer: Answer) -> Reply {
        match answer {
            Answer::Stored { entry, outcome, freshness, checked_at } => {
                let checked_at = checked_at.unwrap_or(entry.meta.validated_at);
                self.stored(&entry, outcome, &freshness, checked_at)
            }
            Answer::Flying { flight, head, outcome, seeded } => {
                let verdict = self.conditions.judge(&head.validators, head.total);
                let mut response = Self::described(
                    verdict,
                    &Description::new(&head.validators, head.content_type.as_deref()),
                    head.total,
                );
                let status = match outcome {
                    Outcome::Joined => "lumbung; fwd=uri-miss; collapsed",
                    Outcome::Miss => "lumbung; fwd=uri-miss; stored",
                    // It lay in the store, and is hashed while it is sent.
                    _ => "lumbung; hit",
                };
                response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static(status));
                let source = |first, last| BodySource::Flight {
                    reader: Box::new(flight.reader(&head, first, last)),
                    cache: self.cache.clone(),
                    resource: Box::new(self.resource.clone()),
                };
                if let (Some(parts), Some(size)) =
                    (self.parts(verdict, &head.validators, head.total), head.total)
                {
                    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
                    let part = |part: ByteRange| source(part.first, Some(part.last));
                    let content = multipart::divide(response.headers_mut(), size, &parts, part);
                    return Reply { head: response, content, outcome, source: source_of(outcome), seeded };
                }
                let range = match verdict {
                    Verdict::Full => Some((0, None, head.total)),
                    Verdict::Partial(range) => Some((range.first, Some(range.last), Some(range.len()))),
                    _ => None,
                };
                let content = match range {
                    Some((first, last, size)) if !self.head_only && size != Some(0) => {
                        source(first, last).into_content(size)
                    }
                    _ => Content::Empty,
                };
                let seeded = seeded.filter(|_| !matches!(content, Content::Empty));
                Reply { head: response, content, outcome, source: source_of(outcome), seeded }
            }
            Answer::Passed(passed) => self.passed(*passed),
            Answer::Failed(failure) => told(super::error::failure_told(&failure), self.head_only),
        }
    }

    fn stored(
        &self,
        entry: &std::sync::Arc<Entry>,
        outcome: Outcome,
        freshness: &Freshness,
        checked_at: i64,
    ) -> Reply {
        let size = entry.meta.size;
        let verdict = self.conditions.judge(&entry.validators, Some(size));
        let mut response = if verdict == Verdict::Full {
            let mut response = Response::new(());
            *response.headers_mut() = entry.head(|| whole(entry)).clone();
            response
        } else {
            Self::described(verdict, entry.description(), Some(size))
        };
        let age = clock::unix(self.now).saturating_sub(checked_at).max(0);
        let headers = response.headers_mut();
        headers.insert(header::AGE, HeaderValue::from(age));
        if (verdict, outcome, freshness) != (Verdict::Full, Outcome::Hit, &Freshness::Fresh) {
            headers.insert(CACHE_STATUS, cache_status(entry, outcome, freshness));
        }
        if let Some(parts) = self.parts(verdict, &entry.validators, Some(size)) {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            let part = |part| BodySource::Stored(Stored::new(std::sync::Arc::clone(entry), part));
            let content = multipart::divide(response.headers_mut(), size, &parts, part);
            let seeded = self.seeded(entry, outcome, &content);
            return Reply { head: response, content, outcome, source: source_of(outcome), seeded };
        }
        let range = match verdict {
            Verdict::Full if size > 0 => Some(ByteRange { first: 0, last: size - 1 }),
            Verdict::Partial(range) => Some(range),
            _ => None,
        };
        let content = match range {
            Some(range) if !self.head_only => part_of(entry, range),
            _ => Content::Empty,
        };
        let seeded = self.seeded(entry, outcome, &content);
        Reply { head: response, content, outcome, source: source_of(outcome), seeded }
    }

    /// What is owed to a seed by an answer that gives something of a kept copy.
    fn seeded(&self, entry: &Entry, outcome: Outcome, content: &Content) -> Option<SeedUse> {
        let is_hit = outcome == Outcome::Hit && !matches!(content, Content::Empty);
        if is_hit { self.cache.seed_use(entry) } else { None }
    }

    /// The parts that a request for several is answered with.
    fn parts(&self, verdict: Verdict, validators: &Validators, size: Option<u64>) -> Option<Vec<ByteRange>> {
        // A range means nothing to a HEAD (RFC 9110 §14.2).
        let whole = verdict == Verdict::Full && !self.head_only;
        whole.then(|| self.conditions.parts(validators, size)).flatten()
    }

    /// Status and headers for a representation with these properties.
    fn described(verdict: Verdict, description: &Description, size: Option<u64>) -> Response<()> {
        // Room for all, so that the map grows once.
        let mut response = Response::new(());
        response.headers_mut().reserve(HEADERS);
        *response.status_mut() = match verdict {
            Verdict::Full => StatusCode::OK,
            Verdict::Partial(_) => StatusCode::PARTIAL_CONTENT,
            Verdict::NotModified => StatusCode::NOT_MODIFIED,
            Verdict::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
            Verdict::Unsatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        };
        let headers = response.headers_mut();
        common(headers);
        let known = [(header::ETAG, &description.etag), (header::LAST_MODIFIED, &description.last_modified)];
        for (name, value) in known {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let length = match verdict {
            Verdict::Full => size,
            Verdict::Partial(range) => {
                let total = size.unwrap_or_default();
                put(headers, header::CONTENT_RANGE, &format!("bytes {}-{}/{total}", range.first, range.last));
                Some(range.len())
            }
            Verdict::Unsatisfiable => {
                put(headers, header::CONTENT_RANGE, &format!("bytes */{}", size.unwrap_or_default()));
                Some(0)
            }
            Verdict::PreconditionFailed => Some(0),
            // RFC 9110 §15.4.5: no length of what is not sent.
            Verdict::NotModified => None,
        };
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if matches!(verdict, Verdict::Full | Verdict::Partial(_))
            && let Some(content_type) = &description.content_type
        {
            headers.insert(header::CONTENT_TYPE, content_type.clone());
        }
        response
    }

    fn passed(&self, passed: Passed) -> Reply {
        let mut response = Response::new(());
        *response.status_mut() = passed.status;
        let headers = response.headers_mut();
        common(headers);
        for name in PASSED_ON {
            for value in passed.headers.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        put(headers, CACHE_STATUS, &format!("lumbung; fwd=bypass; detail={}", passed.reason));
        let announced = passed.body.announced();
        let bodiless = self.head_only || matches!(passed.status.as_u16(), 204 | 304);
        let length = if self.head_only {
            passed.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
        } else {
            announced.filter(|_| !bodiless)
        };
        if let Some(length) = length {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        let content = if bodiless || announced == Some(0) {
            Content::Empty
        } else {
            BodySource::Upstream { body: passed.body, skip: 0, left: None }.into_content(announced)
        };
        Reply { head: response, content, outcome: Outcome::Passed, source: Source::Upstream, seeded: None }
    }
}

/// So much of a stored object: from memory where it is short, from its file otherwise.
fn part_of(entry: &std::sync::Arc<Entry>, range: ByteRange) -> Content {
    let within = || Some(usize::try_from(range.first).ok()?..usize::try_from(range.last + 1).ok()?);
    match entry.short().zip(within()) {
        Some((bytes, range)) if range.end <= bytes.len() => Content::Text(bytes.slice(range)),
        _ => Content::Stored(Stored::new(std::sync::Arc::clone(entry), range)),
    }
}

/// The head of a hit with everything, but for the age: a place for that is kept.
fn whole(entry: &Entry) -> HeaderMap {
    let response = Asking::described(Verdict::Full, entry.description(), Some(entry.meta.size));
    let mut headers = response.into_parts().0.headers;
    headers.insert(header::AGE, HeaderValue::from(0));
    headers.insert(CACHE_STATUS, cache_status(entry, Outcome::Hit, &Freshness::Fresh));
    headers
}

const fn source_of(outcome: Outcome) -> Source {
    match outcome {
        Outcome::Miss | Outcome::Joined => Source::Upstream,
        _ => Source::Store,
    }
}

/// A reply made of words.
pub(super) fn told(told: Told, head_only: bool) -> Reply {
    let mut reply = text(told.status, "text/plain; charset=utf-8", told.body, head_only);
    if let Ok(reason) = ReasonPhrase::try_from(told.reason.into_bytes()) {
        reply.head.extensions_mut().insert(reason);
    }
    put(reply.head.headers_mut(), header::CACHE_CONTROL, "no-store");
    reply.outcome = Outcome::Error;
    reply
}

/// A reply made here.
pub(super) fn text(status: StatusCode, content_type: &'static str, text: String, head_only: bool) -> Reply {
    let mut head = Response::new(());
    *head.status_mut() = status;
    let headers = head.headers_mut();
    common(headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let content = if head_only { Content::Empty } else { Content::Text(text.into()) };
    Reply { head, content, outcome: Outcome::Passed, source: Source::Store, seeded: None }
}

/// How a stored copy came to be served, in the words of RFC 9211.
fn cache_status(entry: &Entry, outcome: Outcome, freshness: &Freshness) -> HeaderValue {
    HeaderValue::from_static(match (outcome, freshness) {
        (Outcome::Miss, _) => "lumbung; fwd=uri-miss; stored",
        (Outcome::Joined, _) => "lumbung; fwd=uri-miss; collapsed",
        (_, Freshness::Fresh) if entry.is_unverified() => "lumbung; hit; detail=unverified",
        (_, Freshness::Fresh) => "lumbung; hit",
        (_, Freshness::Checked) => "lumbung; fwd=stale; fwd-status=304",
        (_, Freshness::Unchecked(why)) => {
            let mut status = "lumbung; hit; ttl=-1; detail=\"not checked: ".to_owned();
            status.extend(
                why.chars().filter(|c| (*c == ' ' || c.is_ascii_graphic()) && *c != '"' && *c != '\\'),
            );
            status.push('"');
            return HeaderValue::from_str(&status)
                .unwrap_or(HeaderValue::from_static("lumbung; hit; ttl=-1"));
        }
    })
}

fn common(headers: &mut HeaderMap) {
    headers.insert(header::VIA, HeaderValue::from_static("1.1 lumbung"));
}

/// What upstream wrote into a header may not be one any more; then it is left out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Adds the methods that work, as a 405 must say (RFC 9110 §15.5.6).
pub(super) fn allow(reply: &mut Reply) {
    reply.head.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
}
