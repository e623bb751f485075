//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 §14.6), as zsync asks for them.

use std::collections::VecDeque;

use http::header::{self, HeaderMap, HeaderValue};

use super::body::{Content, Source};
use crate::cache::ByteRange;

/// Stands between the parts. The bytes of a part may hold it: readers go by the lengths that each part's
/// `Content-Range` tells, and what is here is at least unlikely.
const BOUNDARY: &str = "lumbung-3f1c9e0b7d24a658";

/// Makes a whole answer one of parts: its headers (with the whole's length and type) and its content. `part`
/// gives where the bytes of a range come from.
pub(super) fn divide(
    headers: &mut HeaderMap,
    size: u64,
    ranges: &[ByteRange],
    part: impl Fn(ByteRange) -> Source,
) -> Content {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or("application/octet-stream").to_owned();
    let mut sources = VecDeque::with_capacity(2 * ranges.len() + 1);
    let mut length = 0;
    let mut text = |sources: &mut VecDeque<Source>, text: String| {
        length += text.len() as u64;
        sources.push_back(Source::Text(text.into()));
    };
    for range in ranges {
        let head = format!(
            "\r\n--{BOUNDARY}\r\nContent-Type: {kind}\r\nContent-Range: bytes {}-{}/{size}\r\n\r\n",
            range.first, range.last
        );
        text(&mut sources, head);
        sources.push_back(part(*range));
    }
    text(&mut sources, format!("\r\n--{BOUNDARY}--\r\n"));
    length += ranges.iter().map(ByteRange::len).sum::<u64>();
    if let Ok(kind) = HeaderValue::from_str(&format!("multipart/byteranges; boundary={BOUNDARY}")) {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Source::Several(sources).into_content(Some(length))
}
