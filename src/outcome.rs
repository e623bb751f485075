//! How a request ended, and for whom bytes crossed the WAN: the words shared by responses, access log
//! and metrics.

/// What became of one client request. The strings are the metric label, the log field and the
/// vocabulary of `Cache-Status` details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Answered from the store without asking upstream.
    Hit,
    /// This request began a transfer from upstream.
    Miss,
    /// This request joined a transfer that was already running.
    Joined,
    /// Upstream confirmed the kept copy (304) before it was served.
    Revalidated,
    /// The kept copy was served although upstream could not confirm it.
    Stale,
    /// Answered past the store: passed through from upstream, or a page of the server's own.
    Passed,
    /// Refused or failed.
    Error,
}

impl Outcome {
    /// All of them. History on disk counts by this order, which therefore never changes; new ones go last.
    pub const ALL: [Self; 7] =
        [Self::Hit, Self::Miss, Self::Joined, Self::Revalidated, Self::Stale, Self::Passed, Self::Error];

    /// The stable word for logs, metrics and headers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Joined => "joined",
            Self::Revalidated => "revalidated",
            Self::Stale => "stale",
            Self::Passed => "passed",
            Self::Error => "error",
        }
    }
}

/// Where the bytes of a response came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// Already held when the request came.
    Store,
    /// Fetched for this request, or for one it joined.
    Upstream,
}

impl Source {
    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Upstream => "upstream",
        }
    }
}

/// On whose behalf something is fetched from upstream, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A client is waiting.
    Client,
    /// A suite is being brought up to date.
    Refresh,
    /// A seed is being filled.
    Seed,
}

impl Class {
    /// All of them, in an order that history on disk counts by, too.
    pub const ALL: [Self; 3] = [Self::Client, Self::Refresh, Self::Seed];

    /// The stable word for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Refresh => "refresh",
            Self::Seed => "seed",
        }
    }
}
