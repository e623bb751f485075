//! The one table of refusals and failures: status, reason phrase, words, log level.
//!
//! apt shows the reason phrase to its user and acts on the status, so both are chosen by what apt does
//! with them: it tries a 503 again only if it has a body, falls back to another name only after a 404,
//! and gives up at once on any other 4xx.

use std::fmt::Write as _;

use http::StatusCode;

use crate::cache::Failure;
use crate::repo_path::PathError;
use crate::safe_url::{Host, UrlError};

/// A request that is refused without asking the cache.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Path(PathError),
    #[error("the address asked for cannot be used: {0}")]
    Target(UrlError),
    #[error("only http:// and https:// addresses can be asked for")]
    Scheme,
    #[error("the Host header is missing, doubled or not a host")]
    Host,
    #[error("this method is not supported here")]
    Method,
    #[error("a request of this method may not have a body")]
    BodyNotWanted,
    #[error("the body is larger than this server passes on, or did not come in time")]
    Body,
    #[error("there is no repository of the name or host {first:?} here")]
    UnknownPath { first: Box<str> },
    #[error("there is no channel {name:?} here")]
    UnknownChannel { name: Box<str> },
    #[error("mode is either mirror or proxy")]
    UnknownMode,
    #[error("{host} does not belong to a repository that is configured here")]
    NotOurs { host: Host },
    #[error("tunnels to {host}:{port} are not configured")]
    Tunnel { host: Host, port: u16 },
    #[error("your address is not among the networks that may use this server")]
    Client,
}

/// What a client is told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    /// Short cause, as the reason phrase; printable ASCII.
    pub(super) reason: String,
    /// What failed, and what happens next, in a few lines.
    pub(super) body: String,
}

impl Refusal {
    pub(super) fn told(&self) -> Told {
        let status = match self {
            Self::Path(PathError::TooLong) => StatusCode::URI_TOO_LONG,
            Self::Path(_) | Self::Target(_) | Self::Scheme | Self::Host | Self::UnknownMode => {
                StatusCode::BAD_REQUEST
            }
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyNotWanted | Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownPath { .. } | Self::UnknownChannel { .. } => StatusCode::NOT_FOUND,
            Self::NotOurs { .. } | Self::Tunnel { .. } | Self::Client => StatusCode::FORBIDDEN,
        };
        let next = match self {
            Self::NotOurs { .. } => {
                "Only repositories in the configuration are served. To serve this one, add a \
                [[repo]] with it as upstream or alias to lumbung.toml."
                    .to_owned()
            }
            Self::Tunnel { host, port } => format!(
                "To allow it, add \"{host}:{port}\" to tunnels under [server] in lumbung.toml, and reload."
            ),
            Self::Client => {
                "The administrator can add it to clients under [server] in lumbung.toml.".to_owned()
            }
            Self::UnknownChannel { .. } => {
                "A channel is live, one of the [[channel]]s in lumbung.toml, or a time such as \
                20261120T000000Z."
                    .to_owned()
            }
            Self::UnknownPath { .. } => "The page at / lists the repositories.".to_owned(),
            _ => "The request was not passed on.".to_owned(),
        };
        told(status, &self.to_string(), &next)
    }

    /// A stable word for the metric.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Path(_) | Self::Target(_) | Self::Scheme | Self::Host | Self::UnknownMode => "malformed",
            Self::Method | Self::BodyNotWanted | Self::Body => "method",
            Self::UnknownPath { .. } | Self::UnknownChannel { .. } | Self::NotOurs { .. } => "not-configured",
            Self::Tunnel { .. } => "tunnel",
            Self::Client => "client",
        }
    }
}

/// What a client is told about a failure of the cache.
pub(super) fn failure_told(failure: &Failure) -> Told {
    let (status, next) = match failure {
        Failure::NotFound { .. } => (StatusCode::NOT_FOUND, "Every configured upstream was asked."),
        Failure::Refused { status, .. } => (
            StatusCode::from_u16(*status)
                .ok()
                .filter(StatusCode::is_client_error)
                .unwrap_or(StatusCode::FORBIDDEN),
            "This is the upstream's own answer.",
        ),
        Failure::Unreachable(_)
        | Failure::Portal { .. }
        | Failure::Changed { .. }
        | Failure::Untrusted { .. }
        | Failure::Damaged { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, "No copy is kept here. The next request tries again.")
        }
        Failure::Waiting(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The transfer goes on; what has arrived by then is served at once.",
        ),
        Failure::Busy | Failure::Stopping | Failure::Halted => {
            (StatusCode::SERVICE_UNAVAILABLE, "Try again in a moment.")
        }
        Failure::Store(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "The administrator finds the cause in the log of this server.")
        }
    };
    told(status, &failure.to_string(), next)
}

fn told(status: StatusCode, cause: &str, next: &str) -> Told {
    let mut body = String::new();
    // Writing to a string cannot fail.
    let _ = write!(body, "Lumbung: {cause}.\n{next}\n");
    let reason = cause
        .chars()
        .map(|character| if character == ' ' || character.is_ascii_graphic() { character } else { '?' })
        .take(120)
        .collect();
    Told { status, reason, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_tunnel_names_the_line_to_add() {
        let refusal = Refusal::Tunnel { host: "api.snapcraft.io".parse().unwrap(), port: 443 };
        let told = refusal.told();
        assert_eq!(told.status, StatusCode::FORBIDDEN);
        assert!(told.body.contains("\"api.snapcraft.io:443\""), "{}", told.body);
    }

    #[test]
    fn what_apt_should_try_again_has_a_body() {
        let told = failure_told(&Failure::Unreachable("mirror.example: connection refused".into()));
        assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(!told.body.is_empty());
        assert_eq!(told.reason, "mirror.example: connection refused");
    }

    #[test]
    fn reasons_are_one_printable_line() {
        let told = failure_told(&Failure::Store("disk\r\nInjected: é".into()));
        assert!(told.reason.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()));
    }
}
