//! What can go wrong with an upstream, and whether another try may help.

use std::time::Duration;

use http::StatusCode;

/// Why a [`Client`](super::Client) could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of certificate authorities is not PEM, or holds no certificate. Counted from 0.
    #[error("certificate authority file {index} holds no certificate in PEM form")]
    Authority {
        /// Its place in [`Config::ca`](super::Config::ca).
        index: usize,
    },
    /// The TLS library refused the certificate authorities, or the system has none.
    #[error("cannot prepare for https upstreams: {0}")]
    Tls(String),
}

/// Why an address is not spoken to. Each reads on after "it".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not something that a connection can be made for.
    #[error("is not a plain http or https address")]
    NotAnAddress,
    /// `user:password@`.
    #[error("carries a user name or password, which Lumbung does not send")]
    Credentials,
    /// Loopback, private, link-local or otherwise special, and not configured.
    #[error("is not on the public Internet and belongs to no configured repository")]
    NotPublic,
    /// From https to http.
    #[error("would give up https for http")]
    Downgrade,
    /// Where we came from.
    #[error("was visited before: the redirects go round in a circle")]
    Loop,
    /// One too many.
    #[error("would be one redirect too many in a row; at most 5 are followed")]
    TooMany,
}

/// Why one attempt at one upstream failed. The text names the host and says what happened; it holds no
/// path, query or credentials, so that it may be shown to clients and kept in status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpstreamError {
    /// The host's name has no address, or the name service did not answer.
    #[error("the name {host} was not found: {why}")]
    Dns {
        /// Whom we asked for: host, and port where it is unusual.
        host: String,
        /// The name service's words.
        why: String,
    },
    /// No connection came about.
    #[error("cannot connect to {host}: {why}")]
    Connect {
        /// Whom we tried to reach.
        host: String,
        /// The system's words.
        why: String,
    },
    /// The first address asked for is one that we do not speak to.
    #[error("{host} was not asked: it {why}")]
    Refused {
        /// Whom we were to ask.
        host: String,
        /// Why we did not.
        why: Refusal,
    },
    /// Its certificate is not good, or no TLS could be agreed on.
    #[error("no trusted https connection to {host}: {why}")]
    Tls {
        /// Whom we asked.
        host: String,
        /// The TLS library's words.
        why: String,
    },
    /// Silence.
    #[error("{host} sent nothing for {after:?} while we waited for {waiting_for}")]
    Timeout {
        /// Who was silent.
        host: String,
        /// A connection, an answer or more of the body.
        waiting_for: &'static str,
        /// How long we listened.
        after: Duration,
    },
    /// The connection was lost before the body's end was due or known.
    #[error("{host} broke the connection after {received} bytes of the body: {why}")]
    Reset {
        /// Who hung up.
        host: String,
        /// Bytes of the body received in this attempt; 0 when there was no answer yet.
        received: u64,
        /// The system's words.
        why: String,
    },
    /// The connection was closed in good order, but before the body was complete.
    #[error("{host} ended the body early, after {received} bytes{}", of(*.expected))]
    Truncated {
        /// Who stopped.
        host: String,
        /// Bytes of the body received in this attempt.
        received: u64,
        /// Bytes announced, if any were.
        expected: Option<u64>,
    },
    /// What came is not HTTP, or contradicts itself.
    #[error("{host} does not answer as HTTP says: {what}")]
    Protocol {
        /// Who answered.
        host: String,
        /// What was wrong with it.
        what: String,
    },
    /// It sent us where we do not go.
    #[error("{host} redirects to {to}, which was not followed: it {why}")]
    Redirect {
        /// Who redirects.
        host: String,
        /// The host it names, or "an address" when that has none.
        to: String,
        /// Why we did not follow.
        why: Refusal,
    },
    /// The body is longer than `max_object` allows.
    #[error("{host} sends more than the {limit} bytes that one object may have")]
    TooLarge {
        /// Who sends it.
        host: String,
        /// The bound, in bytes.
        limit: u64,
    },
    /// A web page where a file was asked for: a login page of the network, most likely. Made by callers.
    #[error("{host} answered with a web page instead of a file; a login page of the network?")]
    Portal {
        /// Who answered, or in whose name.
        host: String,
    },
    /// The bytes do not have the hash that they must have. Made by callers.
    #[error("{host} sent damaged bytes: their hash is wrong")]
    Damaged {
        /// Who sent them.
        host: String,
    },
    /// A well-formed answer that is not the one we need. Made by callers, see
    /// [`Response::status_error`](super::Response::status_error).
    #[error("{host} answered {status}")]
    Status {
        /// Who answered.
        host: String,
        /// What it answered.
        status: StatusCode,
    },
}

fn of(expected: Option<u64>) -> String {
    expected.map(|bytes| format!(" of {bytes}")).unwrap_or_default()
}

impl UpstreamError {
    /// The stable word for logs and metrics, out of a small closed set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Dns { .. } => "dns",
            Self::Connect { .. } | Self::Refused { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Reset { .. } => "reset",
            Self::Truncated { .. } => "truncated",
            Self::Protocol { .. } => "protocol",
            Self::Redirect { .. } => "redirect",
            Self::TooLarge { .. } => "too-large",
            Self::Portal { .. } => "portal",
            Self::Damaged { .. } => "damaged",
            Self::Status { .. } => "status",
        }
    }

    /// Whether the same request to the same upstream may succeed a little later. What is not transient
    /// may still succeed with another upstream.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::Reset { .. }
            | Self::Truncated { .. } => true,
            Self::Refused { .. }
            | Self::Tls { .. }
            | Self::Protocol { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::Portal { .. }
            | Self::Damaged { .. } => false,
            Self::Status { status, .. } => {
                matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504)
            }
        }
    }

    /// The host that failed: name or address, with its port where that is unusual.
    #[must_use]
    pub fn host(&self) -> &str {
        match self {
            Self::Dns { host, .. }
            | Self::Connect { host, .. }
            | Self::Refused { host, .. }
            | Self::Tls { host, .. }
            | Self::Timeout { host, .. }
            | Self::Reset { host, .. }
            | Self::Truncated { host, .. }
            | Self::Portal { host }
            | Self::Damaged { host }
            | Self::Protocol { host, .. }
            | Self::Redirect { host, .. }
            | Self::TooLarge { host, .. }
            | Self::Status { host, .. } => host,
        }
    }

    /// The same error, for an address that `host` redirected us to.
    pub(super) fn after_redirect_from(self, from: Option<&str>) -> Self {
        match (self, from) {
            (Self::Refused { host: to, why }, Some(from)) => Self::Redirect { host: from.into(), to, why },
            (other, _) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(404, false)]
    #[case(403, false)]
    #[case(408, true)]
    #[case(429, true)]
    #[case(500, true)]
    #[case(501, false)]
    #[case(503, true)]
    fn which_statuses_may_pass(#[case] status: u16, #[case] transient: bool) {
        let error = UpstreamError::Status { host: "a".into(), status: StatusCode::from_u16(status).unwrap() };
        assert_eq!(error.is_transient(), transient);
    }

    #[test]
    fn texts_read_alone() {
        let cut = UpstreamError::Truncated { host: "a".into(), received: 3, expected: Some(9) };
        assert_eq!(cut.to_string(), "a ended the body early, after 3 bytes of 9");
        let silent = UpstreamError::Timeout {
            host: "a".into(),
            waiting_for: "an answer",
            after: Duration::from_secs(20),
        };
        assert_eq!(silent.to_string(), "a sent nothing for 20s while we waited for an answer");
        let refused = UpstreamError::Refused { host: "10.0.0.1".into(), why: Refusal::NotPublic };
        assert_eq!(
            refused.after_redirect_from(Some("a")).to_string(),
            "a redirects to 10.0.0.1, which was not followed: it is not on the public Internet and belongs \
             to no configured repository"
        );
    }
}
