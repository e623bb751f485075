//! The few headers that go upstream.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::transfer::Transfer;
use crate::cache::entry::Entry;
use crate::clock;
use crate::repo::PathClass;
use crate::safe_url::{BaseUrl, Origin};

/// Headers of a request for the rest of `transfer`, or to confirm `kept`, or for the whole.
pub(super) fn headers(
    base: &BaseUrl,
    transfer: Option<&Transfer>,
    kept: Option<&Entry>,
    class: PathClass,
    hash_known: bool,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if class.is_of_suite() {
        // Another cache between us and the archive must not answer for it (RFC 9111 §5.2.1.1).
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    }
    if let Some(transfer) = transfer.filter(|transfer| transfer.written() > 0) {
        put(&mut headers, header::RANGE, &format!("bytes={}-", transfer.written()));
        if hash_known {
            // The hash decides in the end. A condition would only keep a server that has lost its dates,
            // or never had any, from sending the rest alone.
            return headers;
        }
        let meta = transfer.meta();
        let tag =
            meta.etag.as_deref().filter(|tag| is_strong(tag) && same_origin(&meta.upstream, &base.origin));
        if let Some(tag) = tag {
            put(&mut headers, header::IF_RANGE, tag);
        } else if let Some(date) = meta.last_modified {
            put(&mut headers, header::IF_RANGE, &http_date(date));
        }
    } else if let Some(kept) = kept {
        // A tag means something only to the server that made it, and hides the date from others
        // (RFC 9110 §13.1.3).
        let tag = kept.meta.etag.as_deref().filter(|_| same_origin(&kept.meta.upstream, &base.origin));
        if let Some(tag) = tag {
            put(&mut headers, header::IF_NONE_MATCH, tag);
        }
        if let Some(date) = kept.meta.last_modified {
            put(&mut headers, header::IF_MODIFIED_SINCE, &http_date(date));
        }
    }
    headers
}

/// Only strong tags may join parts (RFC 9110 §13.1.5).
pub(super) fn is_strong(tag: &str) -> bool {
    tag.starts_with('"')
}

/// Whether a URL that the catalog remembers belongs to this origin.
pub(super) fn same_origin(url: &str, origin: &Origin) -> bool {
    url.strip_prefix(&origin.to_string()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn http_date(unix: i64) -> String {
    httpdate::fmt_http_date(clock::from_unix(unix.max(0)))
}

/// A value that no header can carry (an upstream's tag with odd bytes) is left out.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_whole() {
        let origin = "http://a.example".parse::<BaseUrl>().unwrap().origin;
        assert!(same_origin("http://a.example/x", &origin));
        assert!(!same_origin("http://a.example.org/x", &origin));
        assert!(!same_origin("http://a.example:8080/x", &origin));
        assert!(!same_origin("https://a.example/x", &origin));
    }

    #[test]
    fn weak_tags_join_nothing() {
        assert!(is_strong("\"a\""));
        assert!(!is_strong("W/\"a\""));
    }
}
