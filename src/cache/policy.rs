//! May the kept copy be served as it is? A pure judgement.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http_cache_semantics::{CacheOptions, CachePolicy};

use super::entry::Entry;
use super::failure::Failure;
use crate::clock;
use crate::repo::{Kind, PathClass, Resource};

/// What to do with a kept copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// Serve it.
    Serve,
    /// Ask upstream first.
    Revalidate,
}

/// Judges `entry` at `now`, which is only asked where it matters. `suite_changed` is when the release file
/// of its suite last changed: what was checked before then may belong to the state before (seconds since
/// 1970).
pub(super) fn decide(
    resource: &Resource,
    entry: &Entry,
    suite_changed: Option<i64>,
    now: impl FnOnce() -> SystemTime,
) -> Decision {
    let fresh = match resource.class {
        PathClass::ByHash(_) | PathClass::Immutable => true,
        PathClass::Release | PathClass::Index => {
            let checked = entry.meta.validated_at;
            let age = clock::unix(now()).saturating_sub(checked);
            let young = (0..whole_seconds(resource.repository.check_every())).contains(&age);
            young && suite_changed.is_none_or(|changed| checked >= changed)
        }
        PathClass::Other => entry.policy.as_ref().is_some_and(|policy| {
            policy.before_request(&request(HeaderMap::new()), now()).satisfies_without_revalidation()
        }),
    };
    if fresh { Decision::Serve } else { Decision::Revalidate }
}

/// Whether a kept copy is served although upstream failed in this way. A suite's files stay what they
/// were when upstream has lost them; anything else that is gone upstream is gone here too (RFC 9111 §4.3.3).
pub(super) const fn outlives(class: PathClass, failure: &Failure) -> bool {
    class.is_of_suite() || !failure.is_definite()
}

/// Whether an answer with these headers is a web page where a file was asked for. Packages and indices are
/// never web pages; a network that wants a login answers with one.
pub(super) fn is_portal(resource: &Resource, headers: &HeaderMap) -> bool {
    is_page(headers) && resource.repository.config.kind == Kind::Apt && resource.class != PathClass::Other
}

/// Whether an answer calls itself a web page.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|value| value.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
}

pub(super) fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Why an answer of upstream does not enter the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotStored {
    /// `Cache-Control: no-store` or `private`, or a rule of RFC 9111 §3 forbids it.
    Forbidden,
    /// It sets a cookie: it was made for one client.
    Cookie,
    /// `Vary: *` (RFC 9111 §4.1).
    VaryAll,
    /// Its end cannot be told from a lost connection, nor is there a hash to check it by.
    NoEnd,
    /// There is no room and none can be made.
    NoRoom,
    /// The store cannot be written.
    StoreFailed,
}

impl NotStored {
    /// For logs and `Cache-Status`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "no-store",
            Self::Cookie => "set-cookie",
            Self::VaryAll => "vary",
            Self::NoEnd => "no-end",
            Self::NoRoom => "no-room",
            Self::StoreFailed => "store-failed",
        }
    }
}

/// Whether a complete answer with these headers may be kept for everyone, whatever its kind.
pub(super) fn may_store(headers: &HeaderMap) -> Result<(), NotStored> {
    let directive = |wanted: &str| {
        headers.get_all(http::header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).any(
            |value| {
                value.split(',').any(|part| {
                    part.trim().split('=').next().is_some_and(|name| name.trim().eq_ignore_ascii_case(wanted))
                })
            },
        )
    };
    if directive("no-store") || directive("private") {
        return Err(NotStored::Forbidden);
    }
    if headers.contains_key(http::header::SET_COOKIE) {
        return Err(NotStored::Cookie);
    }
    let vary_all = headers
        .get_all(http::header::VARY)
        .iter()
        .any(|value| value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii() == b"*"));
    if vary_all { Err(NotStored::VaryAll) } else { Ok(()) }
}

/// The rules of RFC 9111 for an answer that is governed by its own headers, or why it is not kept.
pub(super) fn rules(headers: &HeaderMap, now: SystemTime) -> Result<CachePolicy, NotStored> {
    let response = response(200, headers.clone());
    let policy = CachePolicy::new_options(&request(HeaderMap::new()), &response, now, options());
    if policy.is_storable() { Ok(policy) } else { Err(NotStored::Forbidden) }
}

/// The rules after upstream confirmed the copy with a 304 that had these headers.
pub(super) fn refreshed_rules(policy: &CachePolicy, headers: &HeaderMap, now: SystemTime) -> CachePolicy {
    use http_cache_semantics::AfterResponse::{Modified, NotModified};
    match policy.after_response(&request(HeaderMap::new()), &response(304, headers.clone()), now) {
        NotModified(policy, _) | Modified(policy, _) => policy,
    }
}

fn options() -> CacheOptions {
    CacheOptions { shared: true, ..CacheOptions::default() }
}

/// The library wants a request to compare; ours are all the same, because no header of a client that
/// could select a variant goes upstream.
fn request(headers: HeaderMap) -> http::Request<()> {
    let mut request = http::Request::new(());
    *request.headers_mut() = headers;
    request
}

fn response(status: u16, headers: HeaderMap) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::HeaderName;
    use rstest::rstest;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[rstest]
    #[case(&[], Ok(()))]
    #[case(&[("cache-control", "max-age=3, Private")], Err(NotStored::Forbidden))]
    #[case(&[("cache-control", "private=\"x\"")], Err(NotStored::Forbidden))]
    #[case(&[("cache-control", "no-store")], Err(NotStored::Forbidden))]
    #[case(&[("cache-control", "no-cache")], Ok(()))]
    #[case(&[("set-cookie", "a=b")], Err(NotStored::Cookie))]
    #[case(&[("vary", "accept, *")], Err(NotStored::VaryAll))]
    #[case(&[("vary", "accept-encoding")], Ok(()))]
    fn what_may_be_kept(
        #[case] pairs: &[(&'static str, &'static str)],
        #[case] verdict: Result<(), NotStored>,
    ) {
        assert_eq!(may_store(&headers(pairs)), verdict);
    }

    #[test]
    fn own_headers_govern_and_a_304_renews_them() {
        let start = SystemTime::now();
        let policy = rules(&headers(&[("cache-control", "max-age=60")]), start).unwrap();
        let fresh = |policy: &CachePolicy, after: u64| {
            let now = start + Duration::from_secs(after);
            policy.before_request(&request(HeaderMap::new()), now).satisfies_without_revalidation()
        };
        assert!(fresh(&policy, 59));
        assert!(!fresh(&policy, 61));
        let renewed = refreshed_rules(
            &policy,
            &headers(&[("cache-control", "max-age=60")]),
            start + Duration::from_secs(100),
        );
        assert!(fresh(&renewed, 150));
    }
}
