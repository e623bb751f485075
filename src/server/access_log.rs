//! One line and one count for each request, written when the last byte of its answer was.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::io::Exchange;
use crate::outcome::{Outcome, Source};
use crate::telemetry::Metrics;

/// What is noted about one request. The body and its pieces share it; when the last of them is dropped,
/// because it was written or because the client has left, the account is closed.
pub(super) struct Account {
    pub(super) metrics: Metrics,
    pub(super) exchange: Arc<Exchange>,
    /// Whether a line is written.
    pub(super) log: bool,
    pub(super) client: IpAddr,
    pub(super) method: Method,
    /// The target without its query, which may hold what is nobody's business.
    pub(super) target: Box<str>,
    /// Name of the repository; absent for pages and refusals.
    pub(super) repo: Option<Arc<str>>,
    pub(super) status: StatusCode,
    pub(super) outcome: Outcome,
    pub(super) source: Source,
    pub(super) started: Instant,
    /// When the response head was ready.
    pub(super) answered: Option<Duration>,
    /// Only the end of the connection tells the client where the body ends (HTTP/1.0 without a length).
    pub(super) unframed: bool,
    bytes: AtomicU64,
    cut: Mutex<Option<Box<str>>>,
}

impl Account {
    /// Opens an account; until it is told otherwise the request counts as refused.
    pub(super) fn open(
        metrics: Metrics,
        exchange: Arc<Exchange>,
        log: bool,
        client: IpAddr,
        method: Method,
        target: &str,
    ) -> Self {
        exchange.start();
        Self {
            metrics,
            exchange,
            log,
            client,
            method,
            target: target.into(),
            repo: None,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            outcome: Outcome::Error,
            source: Source::Store,
            started: Instant::now(),
            answered: None,
            unframed: false,
            bytes: AtomicU64::new(0),
            cut: Mutex::new(None),
        }
    }

    /// So many bytes of the body were written to the connection.
    pub(super) fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The body was cut short.
    pub(super) fn cut(&self, why: &str) {
        *self.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.into());
        if self.unframed {
            self.exchange.abort();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.exchange.finish();
        let took = self.started.elapsed();
        let bytes = *self.bytes.get_mut();
        let repo = self.repo.as_deref().unwrap_or("-");
        self.metrics.request(repo, self.outcome, took);
        // Pages, refusals and words about failures save nothing of the WAN, and come over none.
        if self.repo.is_some() && self.outcome != Outcome::Error {
            self.metrics.served(repo, self.source, bytes);
        }
        if self.log {
            let answered = self.answered.unwrap_or(took);
            let cut = self.cut.get_mut().unwrap_or_else(PoisonError::into_inner).as_deref();
            tracing::info!(
                target: "lumbung::access",
                client = %self.client,
                method = %self.method,
                target = %self.target,
                repo,
                status = self.status.as_u16(),
                outcome = self.outcome.as_str(),
                bytes,
                head_ms = milliseconds(answered),
                ms = milliseconds(took),
                cut,
                "request"
            );
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
