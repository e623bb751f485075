//! One line and one count for each request, written when the last byte of its answer was.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};

use super::handler::Shared;
use super::io::Exchange;
use crate::cache::SeedUse;
use crate::history::Ended;
use crate::outcome::{Outcome, Source};
use crate::telemetry::{Lines, LogFormat};

/// Where the lines go, and how they look.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Who writes them.
    pub lines: Lines,
    /// The same as that of other log lines.
    pub format: LogFormat,
}

/// What is noted about one request. The body and its pieces share it; when the last of them is dropped,
/// because it was written or because the client has left, the account is closed.
pub(super) struct Account {
    pub(super) shared: Arc<Shared>,
    pub(super) exchange: Arc<Exchange>,
    pub(super) client: IpAddr,
    pub(super) method: Method,
    pub(super) target: Uri,
    /// Name of the repository; absent for pages and refusals.
    pub(super) repo: Option<Arc<str>>,
    pub(super) status: StatusCode,
    pub(super) outcome: Outcome,
    pub(super) source: Source,
    /// What is owed to a seed.
    pub(super) seeded: Option<SeedUse>,
    pub(super) started: Instant,
    /// When the response head was ready.
    pub(super) answered: Option<Duration>,
    /// Only the end of the connection tells the client where the body ends (HTTP/1.0 without a length).
    pub(super) unframed: bool,
    bytes: AtomicU64,
    cut: Mutex<Option<Box<str>>>,
    /// Who waits until what was given to the connection is written.
    waiting: Mutex<Option<Waker>>,
}

impl Account {
    /// Opens an account; until it is told otherwise the request counts as refused.
    pub(super) fn open(
        shared: Arc<Shared>,
        exchange: Arc<Exchange>,
        client: IpAddr,
        method: Method,
        target: Uri,
    ) -> Self {
        exchange.start();
        Self {
            shared,
            exchange,
            client,
            method,
            target,
            repo: None,
            status: StatusCode::INTERNAL_SERVER_ERROR,
            outcome: Outcome::Error,
            source: Source::Store,
            seeded: None,
            started: Instant::now(),
            answered: None,
            unframed: false,
            bytes: AtomicU64::new(0),
            cut: Mutex::new(None),
            waiting: Mutex::new(None),
        }
    }

    /// So many bytes of the body were written to the connection.
    pub(super) fn sent(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Has `waker` woken when the next piece of the body has been written.
    pub(super) fn wake_after_piece(&self, waker: &Waker) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = Some(waker.clone());
    }

    /// A piece of the body has been written, or given up.
    pub(super) fn piece_done(&self) {
        if let Some(waker) = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
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
        // Pages, refusals and words about failures save nothing of the WAN, and come over none.
        let served = (self.repo.is_some() && self.outcome != Outcome::Error).then_some((self.source, bytes));
        self.shared.metrics.request(repo, self.outcome, took, served);
        if let Some(seed_use) = self.seeded {
            self.shared.metrics.seed_hit(repo, seed_use == SeedUse::First, bytes);
        }
        if let Some(history) = &self.shared.history {
            history.note(Ended {
                client: self.client,
                repo: self.repo.as_ref(),
                path: self.target.path(),
                outcome: self.outcome,
                served,
            });
        }
        // The level of `lumbung::access` in the configuration counts for these lines too.
        if let Some(log) = &self.shared.access_log
            && tracing::enabled!(target: "lumbung::access", tracing::Level::INFO)
        {
            let cut = self.cut.get_mut().unwrap_or_else(PoisonError::into_inner).as_deref();
            let line = Line {
                client: self.client,
                method: &self.method,
                target: &target_without_query(&self.target),
                repo,
                status: self.status.as_u16(),
                outcome: self.outcome.as_str(),
                bytes,
                head_ms: milliseconds(self.answered.unwrap_or(took)),
                ms: milliseconds(took),
                cut,
            };
            log.lines.add(|time, out| match log.format {
                LogFormat::Text => line.text(time, out),
                LogFormat::Json => line.json(time, out),
            });
        }
    }
}

/// What a line says. It looks like the other lines of the log, and is not made by the same means: those
/// cost more than the whole answer of a small file.
struct Line<'a> {
    client: IpAddr,
    method: &'a Method,
    target: &'a str,
    repo: &'a str,
    status: u16,
    outcome: &'static str,
    bytes: u64,
    head_ms: u64,
    ms: u64,
    cut: Option<&'a str>,
}

impl Line<'_> {
    fn text(&self, time: &str, out: &mut Vec<u8>) {
        // By hand: the formatting machinery would cost as much as finding the file.
        pair(out, time, "  INFO lumbung::access: request client=");
        address(self.client, out);
        let mut digits = itoa::Buffer::new();
        pair(out, " method=", self.method.as_str());
        pair(out, " target=", "");
        plain(self.target, out);
        pair(out, " repo=", self.repo);
        pair(out, " status=", digits.format(self.status));
        pair(out, " outcome=", self.outcome);
        pair(out, " bytes=", digits.format(self.bytes));
        pair(out, " head_ms=", digits.format(self.head_ms));
        pair(out, " ms=", digits.format(self.ms));
        if let Some(cut) = self.cut {
            out.extend_from_slice(b" cut=\"");
            plain(cut, out);
            out.push(b'"');
        }
        out.push(b'\n');
    }

    fn json(&self, time: &str, out: &mut Vec<u8>) {
        let Self { client, method, outcome, status, bytes, head_ms, ms, .. } = self;
        let _ = write!(
            out,
            r#"{{"timestamp":"{time}","level":"INFO","message":"request","client":"{client}","method":"{method}""#
        );
        for (name, value) in [("target", Some(self.target)), ("repo", Some(self.repo)), ("cut", self.cut)] {
            if let Some(value) = value {
                let _ = write!(out, ",\"{name}\":");
                let _ = serde_json::to_writer(&mut *out, value);
            }
        }
        let _ = writeln!(
            out,
            r#","status":{status},"outcome":"{outcome}","bytes":{bytes},"head_ms":{head_ms},"ms":{ms}}}"#
        );
    }
}

/// The request target as it is logged: without its query, which may hold what is nobody's business.
fn target_without_query(uri: &Uri) -> Cow<'_, str> {
    // What stands before an `@` is a name and a password.
    let host = uri.authority().map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default());
    match (uri.scheme_str(), host) {
        (Some(scheme), Some(host)) => Cow::Owned(format!("{scheme}://{host}{}", uri.path())),
        (None, Some(host)) => Cow::Borrowed(host),
        _ => Cow::Borrowed(uri.path()),
    }
}

fn pair(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value.as_bytes());
}

fn number(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) => {
            for (at, octet) in address.octets().into_iter().enumerate() {
                if at > 0 {
                    out.push(b'.');
                }
                number(octet.into(), out);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// Text from outside, without what could end a line, or command a terminal.
fn plain(text: &str, out: &mut Vec<u8>) {
    // Not ended by the first that is not, so that many are looked at together.
    if text.bytes().fold(true, |all, byte| all & matches!(byte, b' '..=b'~')) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for character in text.chars() {
        if character == ' ' || character.is_ascii_graphic() {
            let _ = write!(out, "{character}");
        } else {
            let _ = write!(out, "{}", character.escape_unicode());
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(target: &'static str, cut: Option<&'static str>) -> Line<'static> {
        Line {
            client: IpAddr::from([10, 0, 0, 7]),
            method: &Method::GET,
            target,
            repo: "ubuntu",
            status: 200,
            outcome: "hit",
            bytes: 5,
            head_ms: 0,
            ms: 1,
            cut,
        }
    }

    const TIME: &str = "2026-04-01T08:00:00Z";

    #[test]
    fn a_line_of_text_reads_like_the_others() {
        let mut out = Vec::new();
        line("/ubuntu/a", Some("no more")).text(TIME, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "2026-04-01T08:00:00Z  INFO lumbung::access: request client=10.0.0.7 method=GET \
             target=/ubuntu/a repo=ubuntu status=200 outcome=hit bytes=5 head_ms=0 ms=1 cut=\"no more\"\n"
        );
    }

    #[test]
    fn nothing_from_outside_ends_a_line_or_a_string() {
        let target = "/a\r\nb\u{1b}[2J\"\u{9b}\\";
        let (mut text, mut json) = (Vec::new(), Vec::new());
        line(target, None).text(TIME, &mut text);
        line(target, None).json(TIME, &mut json);
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.chars().filter(|character| character.is_control()).count(), 1, "{text}");
        assert_eq!(memchr::memchr_iter(b'\n', &json).count(), 1);
        let event: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!((event["target"].as_str(), event["status"].as_u64()), (Some(target), Some(200)));
    }
}
