//! Turns the HTTP library's errors into ours.
//!
//! The library nests what happened several levels deep. The chain of sources is searched for the one
//! that knows best, the most specific first. Texts are taken from there, never from the outer levels,
//! which would repeat the whole URL.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use super::error::{Refusal, UpstreamError};

/// How far an exchange had come when it failed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Progress {
    /// No answer yet, perhaps no connection.
    Head {
        /// How long a connection may take to come about.
        connect_timeout: Duration,
    },
    /// In the body.
    Body {
        /// Bytes of it so far.
        received: u64,
        /// Bytes announced.
        expected: Option<u64>,
    },
}

/// What `error` from `host` means.
pub(super) fn classify(error: &reqwest::Error, host: String, progress: Progress) -> UpstreamError {
    if let Some(why) = find::<Refusal>(error) {
        return UpstreamError::Refused { host, why: *why };
    }
    if error.is_dns() {
        return UpstreamError::Dns { host, why: innermost(error) };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return UpstreamError::Tls { host, why: tls.to_string() };
    }
    if error.is_connect() {
        return match progress {
            Progress::Head { connect_timeout: after } if error.is_timeout() => {
                UpstreamError::Timeout { host, waiting_for: "a connection", after }
            }
            _ => UpstreamError::Connect { host, why: innermost(error) },
        };
    }
    let http = find::<hyper::Error>(error);
    if http.is_some_and(hyper::Error::is_parse) {
        return UpstreamError::Protocol { host, what: innermost(error) };
    }
    let ended_early = http.is_some_and(hyper::Error::is_incomplete_message)
        || find::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
    let malformed = find::<io::Error>(error).is_some_and(|error| {
        matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
    });
    match progress {
        Progress::Body { received, expected } if ended_early => {
            UpstreamError::Truncated { host, received, expected }
        }
        _ if malformed => UpstreamError::Protocol { host, what: innermost(error) },
        Progress::Body { received, .. } => UpstreamError::Reset { host, received, why: innermost(error) },
        Progress::Head { .. } => UpstreamError::Reset { host, received: 0, why: innermost(error) },
    }
}

/// The words of the error that everything else wraps.
fn innermost(error: &reqwest::Error) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}

fn find<T: StdError + 'static>(error: &reqwest::Error) -> Option<&T> {
    chain(error).find_map(|error| error.downcast_ref::<T>())
}

fn chain(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |error| cause(*error))
}

/// What an error was caused by. An I/O error that was made from another error names that one's source
/// as its own and so hides it.
fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}
