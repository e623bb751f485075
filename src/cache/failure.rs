//! Why there is no answer, in words for the person at the desktop.

use std::sync::Arc;
use std::time::Duration;

use crate::upstream::UpstreamError;

/// A request that could not be served. What status a client sees is decided in the server alone.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// Every upstream that answered says there is no such thing.
    #[error("{upstream} has no such file")]
    NotFound {
        /// Host that said so.
        upstream: Arc<str>,
    },
    /// Upstream refuses it (a 4xx other than 404).
    #[error("{upstream} refuses it with status {status}")]
    Refused {
        /// Host that said so.
        upstream: Arc<str>,
        /// Its status.
        status: u16,
    },
    /// No upstream could deliver it. The text names the last one and what happened.
    #[error("{0}")]
    Unreachable(Arc<str>),
    /// Upstream answered with a web page where a file should be.
    #[error("{upstream} answered with a web page instead of the file; a login page of the network?")]
    Portal {
        /// Host that said so.
        upstream: Arc<str>,
    },
    /// It is being fetched, but nothing has come for this long. The transfer goes on.
    #[error("nothing has come from upstream for {} s; still trying", .0.as_secs())]
    Waiting(Duration),
    /// Upstream replaced the file while it was on its way.
    #[error("{upstream} replaced the file while it was being fetched")]
    Changed {
        /// Host that did so.
        upstream: Arc<str>,
    },
    /// A release file without a signature to go by, or one that must not be used.
    #[error("the release file of {upstream} was refused: {why}")]
    Untrusted {
        /// Where it came from.
        upstream: Arc<str>,
        /// Why, in words.
        why: Arc<str>,
    },
    /// The bytes are not those that were promised.
    #[error("what {upstream} sent is damaged: its hash is wrong")]
    Damaged {
        /// Host that sent them.
        upstream: Arc<str>,
    },
    /// More transfers are under way than this server allows.
    #[error("too many transfers are under way")]
    Busy,
    /// The server is ending.
    #[error("the server is shutting down")]
    Stopping,
    /// A seed gave it up for now.
    #[error("the seed for which it was fetched was stopped, or its hours are over")]
    Halted,
    /// The store could not be read or written.
    #[error("the store failed: {0}")]
    Store(Arc<str>),
}

impl Failure {
    /// Whether upstream gave a definite answer, so that asking again at once is pointless.
    #[must_use]
    pub const fn is_definite(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Refused { .. })
    }

    /// Whether asking again in a moment may help.
    #[must_use]
    pub(super) const fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Portal { .. } | Self::Changed { .. } | Self::Damaged { .. }
        )
    }

    pub(super) fn unreachable(error: &UpstreamError) -> Self {
        Self::Unreachable(error.to_string().into())
    }

    pub(super) fn store(error: &crate::store::Error) -> Self {
        Self::Store(error.to_string().into())
    }
}
