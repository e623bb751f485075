//! The validators that clients see, and what they are made from.
//!
//! A stored object is named by its hash, so its `ETag` is its hash. While a body still streams the hash
//! is not known; its tag is then made from upstream's validators. Once the object is stored, both tags
//! are accepted, so that a download begun during the flight resumes after it.

use headers::ETag;

use crate::digest::Digest;

/// What conditional requests are compared with.
#[derive(Debug, Clone)]
pub struct Validators {
    /// The entity tag that is sent: strong, with quotes.
    pub etag: String,
    /// Another strong tag under which the same bytes were sent before.
    pub other_etag: Option<String>,
    /// The date that is sent as `Last-Modified`, in seconds since 1970.
    pub last_modified: i64,
    /// Another date under which the same bytes were sent before.
    pub other_last_modified: Option<i64>,
}

impl Validators {
    /// Every tag that names these bytes.
    pub(super) fn tags(&self) -> impl Iterator<Item = ETag> {
        [Some(&self.etag), self.other_etag.as_ref()].into_iter().flatten().filter_map(|tag| tag.parse().ok())
    }

    pub(super) fn has_tag(&self, tag: &str) -> bool {
        self.etag == tag || self.other_etag.as_deref() == Some(tag)
    }

    pub(super) fn has_date(&self, date: i64) -> bool {
        self.last_modified == date || self.other_last_modified == Some(date)
    }
}

/// Half of a SHA-256 is plenty to tell versions of one path apart, and keeps the header short.
const TAG_DIGITS: usize = 32;

/// The tag of bytes whose hash is known.
#[must_use]
pub(super) fn digest_tag(digest: &Digest) -> String {
    format!("\"{:.TAG_DIGITS$}\"", digest.to_string())
}

/// The tag of bytes that still stream: a function of what upstream says about them.
#[must_use]
pub(super) fn stream_tag(etag: Option<&str>, last_modified: Option<i64>, total: Option<u64>) -> String {
    let digest = Digest::of(format!("{etag:?} {last_modified:?} {total:?}").as_bytes());
    format!("\"u{:.TAG_DIGITS$}\"", digest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_strong_and_tell_versions_apart() {
        let one = stream_tag(Some("\"a\""), Some(1), Some(2));
        let two = stream_tag(Some("\"b\""), Some(1), Some(2));
        assert_ne!(one, two);
        assert!(one.parse::<ETag>().is_ok() && !one.starts_with("W/"));
        assert_eq!(digest_tag(&Digest::of(b"")), "\"e3b0c44298fc1c149afbf4c8996fb924\"");
    }
}
