//! One line and one count for each request, written when its body has ended.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};

use super::io::Exchange;
use crate::outcome::{Outcome, Source};
use crate::telemetry::Metrics;

/// What is noted about one request. Dropping it closes the account.
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
    bytes: u64,
    cut: Option<Box<str>>,
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
            bytes: 0,
            cut: None,
        }
    }

    /// So many bytes of the body went to the connection.
    pub(super) const fn sent(&mut self, bytes: u64) {
        self.bytes += bytes;
    }

    /// The body was cut short.
    pub(super) fn cut(&mut self, why: &str) {
        self.cut = Some(why.into());
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.exchange.finish();
        let took = self.started.elapsed();
        let repo = self.repo.as_deref().unwrap_or("-");
        self.metrics.request(repo, self.outcome, took);
        // Pages, refusals and words about failures save nothing of the WAN, and come over none.
        if self.repo.is_some() && self.outcome != Outcome::Error {
            self.metrics.served(repo, self.source, self.bytes);
        }
        if self.log {
            let answered = self.answered.unwrap_or(took);
            tracing::info!(
                target: "lumbung::access",
                client = %self.client,
                method = %self.method,
                target = %self.target,
                repo,
                status = self.status.as_u16(),
                outcome = self.outcome.as_str(),
                bytes = self.bytes,
                head_ms = milliseconds(answered),
                ms = milliseconds(took),
                cut = self.cut.as_deref(),
                "request"
            );
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
