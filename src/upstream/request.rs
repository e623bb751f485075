//! What is asked of an upstream.

use bytes::Bytes;
use http::{HeaderMap, Method};

use crate::wan::Urgency;

/// One question to one URL.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET and HEAD follow redirects; other methods do not.
    pub method: Method,
    /// The absolute `http://` or `https://` URL, without credentials.
    pub url: String,
    /// What to send beyond what the client adds. Hop-by-hop fields are the caller's to remove;
    /// `User-Agent`, `Accept-Encoding`, `Host` and the framing of the body are the client's and are replaced.
    pub headers: HeaderMap,
    /// The content to send, if any.
    pub body: Option<Bytes>,
    /// On whose behalf; decides who waits when all connections are taken, or the line is full. It may be
    /// raised meanwhile.
    pub urgency: Urgency,
}

impl Request {
    /// A GET without further headers.
    #[must_use]
    pub fn get(url: impl Into<String>, urgency: impl Into<Urgency>) -> Self {
        let urgency = urgency.into();
        Self { method: Method::GET, url: url.into(), headers: HeaderMap::new(), body: None, urgency }
    }

    /// A HEAD without further headers.
    #[must_use]
    pub fn head(url: impl Into<String>, urgency: impl Into<Urgency>) -> Self {
        Self { method: Method::HEAD, ..Self::get(url, urgency) }
    }
}
