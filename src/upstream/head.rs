//! Whether the head of an answer makes sense.
//!
//! The HTTP library refuses what it cannot parse, more than [`MAX_HEADER_FIELDS`] fields, and
//! `Content-Length` values that differ. This module refuses what parses but contradicts itself or the
//! question, because the body behind it cannot be trusted to be what it seems.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode};

/// Fields in one head; the library's own bound, stated so that it cannot change unnoticed.
pub(super) const MAX_HEADER_FIELDS: usize = 100;

/// Bytes of one head's names and values together. (Before it has been parsed, the library holds at most
/// some 400 KiB of it.)
pub(super) const MAX_HEADER_BYTES: u32 = 64 * 1024;

/// The part of an object that a 206 carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentRange {
    /// Position of the first byte, counted from 0.
    pub first: u64,
    /// Position of the last byte, which is part of the body.
    pub last: u64,
    /// Bytes of the whole object, where upstream knows.
    pub total: Option<u64>,
}

/// What the head says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Framing {
    /// Bytes that will follow, where announced.
    pub expected: Option<u64>,
    /// For a 206: which ones.
    pub range: Option<ContentRange>,
}

impl Framing {
    /// The size of the object that the body is, or is a part of.
    pub fn object_size(&self) -> Option<u64> {
        self.range.and_then(|range| range.total.or(Some(range.last.saturating_add(1)))).or(self.expected)
    }
}

/// Judges an answer to `method` with `asked` headers.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn check(
    method: &Method,
    asked: &HeaderMap,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Framing, String> {
    if size(headers) > MAX_HEADER_BYTES as usize {
        return Err(format!("its header has more than {MAX_HEADER_BYTES} bytes"));
    }
    if status.is_informational() {
        return Err(format!("it answered {status}, which nobody asked for"));
    }
    // RFC 9112 §6.1: codings other than chunked were not asked for (TE), and a client that does not
    // understand one must not take the body for content.
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let coding = codings.next();
    if codings.next().is_some()
        || coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
    {
        return Err("its Transfer-Encoding is not just chunked".into());
    }
    let length = content_length(headers)?;
    if coding.is_some() && length.is_some() {
        // RFC 9112 §6.3: "ought to be handled as an error".
        return Err("it has both Content-Length and Transfer-Encoding".into());
    }
    let bodiless =
        *method == Method::HEAD || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let expected = if bodiless { None } else { length };
    let range =
        if status == StatusCode::PARTIAL_CONTENT { Some(part(asked, headers, length)?) } else { None };
    Ok(Framing { expected, range })
}

/// Bytes of these fields on the line, as HTTP/1 writes them.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// RFC 9110 §8.6: one number, or the same one several times.
fn content_length(headers: &HeaderMap) -> Result<Option<u64>, String> {
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for one in value.to_str().unwrap_or("?").split(',') {
            let parsed = number(one.trim()).ok_or("its Content-Length is not a number")?;
            if length.is_some_and(|before| before != parsed) {
                return Err("its Content-Length fields differ".into());
            }
            length = Some(parsed);
        }
    }
    Ok(length)
}

/// The range of a 206, which must be what was asked for.
fn part(asked: &HeaderMap, headers: &HeaderMap, length: Option<u64>) -> Result<ContentRange, String> {
    let Some(wanted) = asked.get(RANGE) else {
        return Err("it sent a part (206) although the whole was asked for".into());
    };
    let mut all = headers.get_all(CONTENT_RANGE).iter();
    let range = match (all.next(), all.next()) {
        (Some(one), None) => one.to_str().ok().and_then(content_range),
        _ => None,
    };
    let range = range.ok_or("it sent a part (206) without saying plainly which (Content-Range)")?;
    if length.is_some_and(|length| length != range.last - range.first + 1) {
        return Err("the Content-Length and Content-Range of its part (206) differ".into());
    }
    let fits = match wanted.to_str().ok().and_then(single_range) {
        Some((Some(first), last)) => range.first == first && last.is_none_or(|last| range.last <= last),
        // A suffix begins wherever the object is long enough to.
        Some((None, _)) => true,
        None => false,
    };
    if fits { Ok(range) } else { Err("it sent another part (206) than the one asked for".into()) }
}

/// `bytes first-last/total`, RFC 9110 §14.4.
fn content_range(text: &str) -> Option<ContentRange> {
    let (unit, rest) = text.trim().split_once(' ')?;
    let (positions, total) = rest.trim().split_once('/')?;
    let (first, last) = positions.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let total = if total == "*" { None } else { Some(number(total)?) };
    let sane = unit.eq_ignore_ascii_case("bytes")
        && first <= last
        // `last - first + 1` must not overflow.
        && last < u64::MAX
        && total.is_none_or(|total| last < total);
    sane.then_some(ContentRange { first, last, total })
}

/// `bytes=first-`, `bytes=first-last` or `bytes=-length`.
fn single_range(text: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let optional = |text: &str| if text.is_empty() { Some(None) } else { number(text).map(Some) };
    Some((optional(first)?, optional(last)?))
}

/// Digits only: no sign, no space.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use rstest::rstest;

    use super::*;

    fn map(fields: &str) -> HeaderMap {
        let field = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
        };
        fields.split('|').filter(|line| !line.is_empty()).map(field).collect()
    }

    fn checked(asked: &str, status: u16, fields: &str) -> Result<Framing, String> {
        check(&Method::GET, &map(asked), StatusCode::from_u16(status).unwrap(), &map(fields))
    }

    #[rstest]
    #[case(200, "", None)]
    #[case(200, "content-length: 5", Some(5))]
    #[case(200, "content-length: 5|content-length: 5, 5", Some(5))]
    #[case(200, "transfer-encoding: Chunked", None)]
    #[case(304, "content-length: 5", None)]
    #[case(204, "content-length: 5", None)]
    #[case(404, "content-length: 0", Some(0))]
    fn lengths(#[case] status: u16, #[case] fields: &str, #[case] expected: Option<u64>) {
        assert_eq!(checked("", status, fields), Ok(Framing { expected, range: None }));
    }

    #[test]
    fn a_head_has_no_body() {
        let framing =
            check(&Method::HEAD, &HeaderMap::new(), StatusCode::OK, &map("content-length: 5")).unwrap();
        assert_eq!(framing.expected, None);
    }

    #[rstest]
    #[case("", 200, "content-length: 5|content-length: 6")]
    #[case("", 200, "content-length: +5")]
    #[case("", 200, "content-length: 99999999999999999999")]
    #[case("", 200, "content-length: 5|transfer-encoding: chunked")]
    #[case("", 200, "transfer-encoding: gzip, chunked")]
    #[case("", 200, "transfer-encoding: gzip|transfer-encoding: chunked")]
    #[case("", 101, "upgrade: h2c")]
    #[case("", 206, "content-range: bytes 0-4/5")]
    #[case("range: bytes=3-", 206, "")]
    #[case("range: bytes=3-", 206, "content-range: bytes 2-4/5")]
    #[case("range: bytes=3-", 206, "content-range: bytes 3-5/5")]
    #[case("range: bytes=3-", 206, "content-range: bytes 3-2/5")]
    #[case("range: bytes=3-", 206, "content-range: 3-4/5")]
    #[case("range: bytes=3-", 206, "content-range: bytes */5")]
    #[case("range: bytes=3-", 206, "content-range: bytes 3-4/5|content-range: bytes 3-4/5")]
    #[case("range: bytes=3-", 206, "content-range: bytes 3-4/5|content-length: 3")]
    #[case("range: bytes=3-", 206, "content-range: bytes 3-18446744073709551615/*")]
    #[case("range: bytes=3-4", 206, "content-range: bytes 3-5/9")]
    #[case("range: bytes=0-1,3-4", 206, "content-type: multipart/byteranges")]
    fn contradictions(#[case] asked: &str, #[case] status: u16, #[case] fields: &str) {
        checked(asked, status, fields).unwrap_err();
    }

    #[rstest]
    #[case("range: bytes=3-", "content-range: bytes 3-4/5|content-length: 2", 3, 4, Some(5))]
    #[case("range: bytes=3-", "content-range: Bytes 3-4/*", 3, 4, None)]
    #[case("range: bytes=3-9", "content-range: bytes 3-4/5", 3, 4, Some(5))]
    #[case("range: bytes=-2", "content-range: bytes 3-4/5", 3, 4, Some(5))]
    fn parts(
        #[case] asked: &str,
        #[case] fields: &str,
        #[case] first: u64,
        #[case] last: u64,
        #[case] total: Option<u64>,
    ) {
        let framing = checked(asked, 206, fields).unwrap();
        assert_eq!(framing.range, Some(ContentRange { first, last, total }));
        assert_eq!(framing.object_size(), Some(5));
    }

    #[test]
    fn a_swollen_header_is_refused() {
        let fields: Vec<_> = (0..90).map(|n| format!("x-{n}: {}", "v".repeat(800))).collect();
        let error = checked("", 200, &fields.join("|")).unwrap_err();
        assert!(error.contains("65536"), "{error}");
    }
}
