//! One attempt on one URL.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Version};
use reqwest::dns::Resolve;
use tokio::time::timeout;
use url::Url;

use super::classify::{Progress, classify};
use super::config::Config;
use super::error::{Error, Refusal, UpstreamError};
use super::guard::{AnyAddress, Guard, PublicOnly, Resolver, SystemResolver, Target};
use super::head::{self, MAX_HEADER_BYTES, MAX_HEADER_FIELDS};
use super::permits::Permits;
use super::redirect::{Trail, forget_secrets};
use super::request::Request;
use super::response::{Body, Limits, Response};
use crate::safe_url::{Origin, Scheme};
use crate::wan::{Governor, Transfer};

/// Idle connections to configured origins are closed after this long.
const POOL_IDLE: Duration = Duration::from_secs(90);
/// Others come from redirects: anybody's servers, and any number of them.
const POOL_IDLE_ELSEWHERE: Duration = Duration::from_secs(30);
const POOL_SIZE_ELSEWHERE: usize = 4;

/// Bytes per second that a request body is granted at least; the answer's time limit begins after that.
const SLOWEST_UPLOAD: u64 = 16 * 1024;

/// What an HTTP/2 upstream may send of one file ahead of what has been read of it, in bytes: enough for 20 Mbit/s
/// at 200 ms. The library's own 2 MiB would let it send a second's worth of a thin line beyond the limit.
const STREAM_WINDOW: u32 = 512 * 1024;

/// Bytes of a head that are no fields, about: `HTTP/1.1 200 OK` and the empty line.
const STATUS_LINE: usize = 20;

/// A redirect's own body is read up to this many bytes and this long, to keep its connection.
const REDIRECT_BODY: usize = 16 * 1024;
const REDIRECT_BODY_TIME: Duration = Duration::from_secs(1);

/// Sends requests; clones share connections and permits.
///
/// TLS: the system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` replace their usual
/// places) and those of [`Config::ca`], read once when the client is made; aws-lc-rs does the cryptography.
/// HTTP/2 where an https upstream offers it, else HTTP/1.1.
#[derive(Debug, Clone)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    guard: Guard,
    permits: Permits,
    governor: Governor,
    /// The permit slot of each configured origin; 0 is everybody else's.
    slots: HashMap<Origin, usize>,
    configured: reqwest::Client,
    elsewhere: reqwest::Client,
    config: Config,
}

/// Whose word is taken for an https upstream's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Authorities {
    SystemAndConfigured,
    Nobody,
}

impl Client {
    /// A client for upstreams at `configured`, which may have any address; `governor` limits what comes from
    /// them. Reads the system's certificates from disk.
    ///
    /// # Errors
    /// When a certificate authority cannot be read, or when there is none at all and `configured` names
    /// an https upstream.
    pub fn new(config: &Config, configured: &[Origin], governor: &Governor) -> Result<Self, Error> {
        Self::with_resolver(config, configured, governor, Arc::new(SystemResolver))
    }

    /// Like [`Client::new`], with another way to find addresses.
    ///
    /// # Errors
    /// As there.
    #[expect(clippy::needless_pass_by_value, reason = "callers hand over the only handle they have")]
    pub fn with_resolver(
        config: &Config,
        configured: &[Origin],
        governor: &Governor,
        resolver: Arc<dyn Resolver>,
    ) -> Result<Self, Error> {
        let prepare = |authorities| Self::prepare(config, configured, governor, &resolver, authorities);
        match prepare(Authorities::SystemAndConfigured) {
            // A bare system has no certificates; plain http needs none.
            Err(Error::Tls(why))
                if config.ca.is_empty() && configured.iter().all(|origin| origin.scheme == Scheme::Http) =>
            {
                tracing::warn!(error = %why, "no certificate authorities found: https upstreams and redirects to https will fail");
                prepare(Authorities::Nobody)
            }
            other => other,
        }
    }

    fn prepare(
        config: &Config,
        configured: &[Origin],
        governor: &Governor,
        resolver: &Arc<dyn Resolver>,
        authorities: Authorities,
    ) -> Result<Self, Error> {
        let mut slots = HashMap::new();
        for origin in configured {
            let next = slots.len() + 1;
            slots.entry(origin.clone()).or_insert(next);
        }
        let permits = Permits::new(config.connections, config.connections_per_host, slots.len() + 1);
        let build =
            |builder: reqwest::ClientBuilder| builder.build().map_err(|error| Error::Tls(root_cause(&error)));
        let any: Arc<dyn Resolve> = Arc::new(AnyAddress(resolver.clone()));
        let public: Arc<dyn Resolve> = Arc::new(PublicOnly(resolver.clone()));
        let near = builder(config, any, authorities)?
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(config.connections_per_host.max(1));
        let far = builder(config, public, authorities)?
            .pool_idle_timeout(POOL_IDLE_ELSEWHERE)
            .pool_max_idle_per_host(POOL_SIZE_ELSEWHERE);
        Ok(Self(Arc::new(Inner {
            guard: Guard::new(configured),
            permits,
            governor: governor.clone(),
            slots,
            configured: build(near)?,
            elsewhere: build(far)?,
            config: config.clone(),
        })))
    }

    /// Sends `request` once and follows its redirects. Returns with the head of the answer, whatever its
    /// status; the body is yet to come.
    ///
    /// Waits for a place among the transfers as long as it takes. Dropping the future gives everything up.
    ///
    /// # Errors
    /// When there is no answer, or none that makes sense.
    pub async fn send(&self, request: Request) -> Result<Response, UpstreamError> {
        let inner = &*self.0;
        let mut here = inner.first(&request.url)?;
        let mut trail = Trail::begin(&here);
        let mut headers = outgoing(&request.headers);
        let mut from: Option<String> = None;
        let mut permit = inner.permits.acquire(inner.slot(&here), &request.urgency).await;
        let mut transfer = inner.governor.transfer(here.origin.host.clone(), request.urgency.clone());
        loop {
            let exchange = inner.exchange(&here, &request, &headers).await;
            let response = exchange.map_err(|error| error.after_redirect_from(from.as_deref()))?;
            let (status, fields) = (response.status(), response.headers());
            transfer.charge(STATUS_LINE + head::size(fields));
            let Some(next) = trail.follow(&inner.guard, &here, &request.method, status, fields)? else {
                let framing = head::check(&request.method, &headers, status, fields)
                    .map_err(|what| UpstreamError::Protocol { host: here.name(), what })?;
                let limits = Limits {
                    host: here.name(),
                    expected: framing.expected,
                    max: inner.config.max_object,
                    idle: inner.config.idle_timeout,
                };
                if framing.object_size().is_some_and(|size| size > limits.max) {
                    return Err(UpstreamError::TooLarge { host: limits.host, limit: limits.max });
                }
                return Ok(Response {
                    status,
                    headers: fields.clone(),
                    url: here.url.into(),
                    content_range: framing.range,
                    delimited: framing.expected.is_some()
                        || fields.contains_key(TRANSFER_ENCODING)
                        || response.version() >= Version::HTTP_2,
                    body: Body::new(response, permit, transfer, limits),
                });
            };
            tracing::debug!(from = %here.name(), to = %next.name(), status = status.as_u16(), "following a redirect");
            finish_redirect(response, &transfer).await;
            if next.origin != here.origin {
                forget_secrets(&mut headers);
            }
            if inner.slot(&next) != inner.slot(&here) {
                // Never wait for a place while holding one.
                drop(permit);
                permit = inner.permits.acquire(inner.slot(&next), &request.urgency).await;
            }
            transfer.moved(&next.origin.host);
            from = Some(here.name());
            here = next;
        }
    }
}

impl Inner {
    fn first(&self, url: &str) -> Result<Target, UpstreamError> {
        let refused = |host, why| UpstreamError::Refused { host, why };
        let url = Url::parse(url).map_err(|_| refused("an address".into(), Refusal::NotAnAddress))?;
        let host = super::guard::host_of(&url);
        self.guard.admit(url).map_err(|why| refused(host, why))
    }

    fn slot(&self, target: &Target) -> usize {
        self.slots.get(&target.origin).copied().unwrap_or(0)
    }

    /// Asks `target`, and waits for the head of the answer.
    async fn exchange(
        &self,
        target: &Target,
        request: &Request,
        headers: &HeaderMap,
    ) -> Result<reqwest::Response, UpstreamError> {
        let mut outgoing = reqwest::Request::new(request.method.clone(), target.url.clone());
        *outgoing.headers_mut() = headers.clone();
        let mut limit = self.config.idle_timeout;
        if let Some(body) = &request.body {
            limit += Duration::from_secs(body.len() as u64 / SLOWEST_UPLOAD);
            *outgoing.body_mut() = Some(body.clone().into());
        }
        let client = if target.configured { &self.configured } else { &self.elsewhere };
        match timeout(limit, client.execute(outgoing)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let connect_timeout = self.config.connect_timeout;
                Err(classify(&error, target.name(), Progress::Head { connect_timeout }))
            }
            Err(_) => {
                Err(UpstreamError::Timeout { host: target.name(), waiting_for: "an answer", after: limit })
            }
        }
    }
}

fn builder(
    config: &Config,
    resolver: Arc<dyn Resolve>,
    authorities: Authorities,
) -> Result<reqwest::ClientBuilder, Error> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        // Another crate of the program can switch any of these on for all users of the library.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .dns_resolver(resolver)
        .connect_timeout(config.connect_timeout)
        .http1_max_headers(MAX_HEADER_FIELDS)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(connection_window(config))
        .http2_max_header_list_size(MAX_HEADER_BYTES);
    if authorities == Authorities::Nobody {
        return Ok(builder.tls_certs_only([]));
    }
    let mut further = Vec::new();
    for (index, pem) in config.ca.iter().enumerate() {
        let found = reqwest::Certificate::from_pem_bundle(pem).map_err(|_| Error::Authority { index })?;
        if found.is_empty() {
            return Err(Error::Authority { index });
        }
        further.extend(found);
    }
    Ok(builder.tls_certs_merge(further))
}

/// What an HTTP/2 upstream may send ahead of all files together: so much that those which wait for their turn on
/// the line never take the window from one whose turn it is.
fn connection_window(config: &Config) -> u32 {
    const MOST: u32 = (1 << 31) - 1;
    let streams = u32::try_from(config.connections_per_host.max(1)).unwrap_or(u32::MAX);
    STREAM_WINDOW.saturating_mul(streams).min(MOST)
}

/// The caller's headers with ours in place of those that are ours to say.
fn outgoing(asked: &HeaderMap) -> HeaderMap {
    let mut headers = asked.clone();
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING, EXPECT, UPGRADE] {
        headers.remove(name);
    }
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("lumbung/", env!("CARGO_PKG_VERSION"))));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers
}

/// Reads the few words that come with a redirect, so that its connection can be used again. Whether that
/// succeeds does not matter.
async fn finish_redirect(mut response: reqwest::Response, transfer: &Transfer) {
    let read = async {
        let mut left = REDIRECT_BODY;
        while let Ok(Some(bytes)) = response.chunk().await {
            transfer.charge(bytes.len());
            match left.checked_sub(bytes.len().max(1)) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    let _ = timeout(REDIRECT_BODY_TIME, read).await;
}

/// What the library's error was caused by; its own words are "builder error".
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a system without certificates falls back to, which cannot be arranged inside a test process.
    #[test]
    fn a_client_can_do_without_authorities() {
        let config = Config {
            connect_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(1),
            patience: Duration::from_secs(1),
            retries: 0,
            connections: 1,
            connections_per_host: 1,
            ca: Vec::new(),
            max_object: 1,
        };
        let governor = Governor::unlimited();
        let resolver: Arc<dyn Resolver> = Arc::new(SystemResolver);
        Client::prepare(&config, &[], &governor, &resolver, Authorities::Nobody).unwrap();
    }
}
