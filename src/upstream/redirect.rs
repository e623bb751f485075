//! Where a redirect leads, and whether we go there.

use http::header::{AUTHORIZATION, COOKIE, LOCATION, PROXY_AUTHORIZATION};
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use super::error::{Refusal, UpstreamError};
use super::guard::{Guard, Target, host_of};
use crate::safe_url::Scheme;

/// How many redirects are followed for one request.
const MAX_HOPS: usize = 5;

/// The way that one request has taken so far.
#[derive(Debug)]
pub(super) struct Trail {
    /// Every URL asked, the current one last.
    visited: Vec<Url>,
}

impl Trail {
    pub fn begin(at: &Target) -> Self {
        Self { visited: vec![at.url.clone()] }
    }

    /// The next address that `status` and `headers` from `here` lead to; `None` when they are the answer.
    ///
    /// # Errors
    /// [`UpstreamError::Redirect`] when they lead where we do not go.
    pub fn follow(
        &mut self,
        guard: &Guard,
        here: &Target,
        method: &Method,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> Result<Option<Target>, UpstreamError> {
        let mut locations = headers.get_all(LOCATION).iter();
        let location = match locations.next() {
            Some(location) if is_followed(method, status) => location,
            _ => return Ok(None),
        };
        let refused = |to: String, why| Err(UpstreamError::Redirect { host: here.name(), to, why });
        // Two targets are none: who knows which one another reader would take.
        let one = location.to_str().ok().filter(|_| locations.next().is_none());
        let Some(url) = one.and_then(|text| here.url.join(text).ok()) else {
            return refused("an address".into(), Refusal::NotAnAddress);
        };
        let to = host_of(&url);
        let next = match guard.admit(url) {
            Ok(next) => next,
            Err(why) => return refused(to, why),
        };
        if here.origin.scheme == Scheme::Https && next.origin.scheme == Scheme::Http {
            return refused(to, Refusal::Downgrade);
        }
        if self.visited.contains(&next.url) {
            return refused(to, Refusal::Loop);
        }
        if self.visited.len() > MAX_HOPS {
            return refused(to, Refusal::TooMany);
        }
        self.visited.push(next.url.clone());
        Ok(Some(next))
    }
}

/// Whether an answer with a `Location` sends us there. Only what may be repeated is repeated.
fn is_followed(method: &Method, status: StatusCode) -> bool {
    (*method == Method::GET || *method == Method::HEAD)
        && matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Takes from `headers` what was meant for the first origin alone. Ranges and conditions stay: they are
/// about the same resource, wherever it lies.
pub(super) fn forget_secrets(headers: &mut HeaderMap) {
    for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;
    use crate::safe_url::BaseUrl;

    fn guard() -> Guard {
        Guard::new(&["http://mirror.lan".parse::<BaseUrl>().unwrap().origin])
    }

    fn follow(
        from: &str,
        method: &Method,
        status: u16,
        to: &[&str],
    ) -> Result<Option<String>, UpstreamError> {
        let guard = guard();
        let here = guard.admit(from.parse().unwrap()).unwrap();
        let headers: HeaderMap =
            to.iter().map(|to| (LOCATION, HeaderValue::from_bytes(to.as_bytes()).unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        let next = Trail::begin(&here).follow(&guard, &here, method, status, &headers)?;
        Ok(next.map(|next| next.url.to_string()))
    }

    #[rstest]
    #[case(301, "/b", Some("http://mirror.lan/b"))]
    #[case(302, "b?q=1#f", Some("http://mirror.lan/x/b?q=1"))]
    #[case(303, "//elsewhere.example/b", Some("http://elsewhere.example/b"))]
    #[case(307, "https://mirror.lan/x/a", Some("https://mirror.lan/x/a"))]
    #[case(308, "http://elsewhere.example", Some("http://elsewhere.example/"))]
    #[case(300, "/b", None)]
    #[case(304, "/b", None)]
    #[case(305, "/b", None)]
    #[case(200, "/b", None)]
    fn followed(#[case] status: u16, #[case] to: &str, #[case] next: Option<&str>) {
        assert_eq!(follow("http://mirror.lan/x/a", &Method::GET, status, &[to]).unwrap().as_deref(), next);
    }

    #[rstest]
    #[case("http://mirror.lan/", "http://10.0.0.1/", Refusal::NotPublic)]
    #[case("http://mirror.lan/", "http://u:p@elsewhere.example/", Refusal::Credentials)]
    #[case("http://mirror.lan/", "file:///etc/passwd", Refusal::NotAnAddress)]
    #[case("http://mirror.lan/", "http://[", Refusal::NotAnAddress)]
    #[case("http://mirror.lan/", "ü", Refusal::NotAnAddress)]
    #[case("https://mirror.lan/", "http://mirror.lan/b", Refusal::Downgrade)]
    #[case("http://mirror.lan/a", "/a#again", Refusal::Loop)]
    fn refused(#[case] from: &str, #[case] to: &str, #[case] expected: Refusal) {
        let error = follow(from, &Method::GET, 302, &[to]).unwrap_err();
        assert!(matches!(error, UpstreamError::Redirect { why, .. } if why == expected), "{error}");
    }

    #[test]
    fn two_targets_are_none() {
        let error = follow("http://mirror.lan/", &Method::GET, 302, &["/a", "/b"]).unwrap_err();
        assert!(matches!(error, UpstreamError::Redirect { why: Refusal::NotAnAddress, .. }));
    }

    #[test]
    fn what_is_not_repeatable_is_not_repeated() {
        assert_eq!(follow("http://mirror.lan/", &Method::POST, 307, &["/b"]).unwrap(), None);
        assert_eq!(follow("http://mirror.lan/", &Method::GET, 302, &[]).unwrap(), None);
    }

    #[test]
    fn five_hops_and_no_more() {
        let guard = guard();
        let mut here = guard.admit("http://mirror.lan/0".parse().unwrap()).unwrap();
        let mut trail = Trail::begin(&here);
        let mut step = |here: &Target, n: usize| {
            let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from(n))]);
            trail.follow(&guard, here, &Method::GET, StatusCode::FOUND, &headers)
        };
        for n in 1..=5 {
            here = step(&here, n).unwrap().unwrap();
        }
        let error = step(&here, 6).unwrap_err();
        assert!(matches!(error, UpstreamError::Redirect { why: Refusal::TooMany, .. }), "{error}");
    }

    #[test]
    fn secrets_stay_with_whom_they_were_meant_for() {
        let mut headers = HeaderMap::new();
        for name in ["authorization", "cookie", "proxy-authorization", "range", "if-range"] {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        forget_secrets(&mut headers);
        let mut left: Vec<_> = headers.keys().map(http::HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["if-range", "range"]);
    }
}
