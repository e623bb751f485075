//! What happened to suites and channels lately, for administrators.
//!
//! A bounded ring in memory: the newest [`KEPT`] events. Each is a line in the log, too. A problem that
//! stays the same is told again only after [`AGAIN`]: a pending suite is tried every minute.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Events that are remembered.
const KEPT: usize = 500;

/// For how long the same event is not told again, in seconds.
const AGAIN: i64 = 3600;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A new generation became current.
    Adopted,
    /// What upstream has now cannot become current (yet).
    Pending,
    /// A suite is signed by another key than before.
    SigningKeyChanged,
    /// Upstream showed an older release file than the current one.
    DateBack,
    /// Upstream's release file has expired.
    Expired,
    /// Something was not what a signature or a hash says.
    VerifyFailure,
    /// A channel was promoted.
    Promoted,
    /// A channel was rolled back.
    RolledBack,
    /// A file that every upstream has deleted was found elsewhere.
    Rescued,
    /// A repository or channel was taken out of the configuration, or what was kept of it has been let go.
    NotConfigured,
    /// A seed has begun to fetch what is missing.
    SeedStarted,
    /// Everything that a seed wants is here.
    Seeded,
    /// A seed has ended with something missing.
    SeedIncomplete,
}

impl EventKind {
    /// The word in the log and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Adopted => "adopted",
            Self::Pending => "pending",
            Self::SigningKeyChanged => "signing-key-changed",
            Self::DateBack => "date-back",
            Self::Expired => "expired",
            Self::VerifyFailure => "verify-failure",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled-back",
            Self::Rescued => "rescued",
            Self::NotConfigured => "not-configured",
            Self::SeedStarted => "seed-started",
            Self::Seeded => "seeded",
            Self::SeedIncomplete => "seed-incomplete",
        }
    }

    const fn is_good(self) -> bool {
        matches!(
            self,
            Self::Adopted
                | Self::Promoted
                | Self::RolledBack
                | Self::Rescued
                | Self::SeedStarted
                | Self::Seeded
        )
    }
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number since the start, from 1.
    pub id: u64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// What kind of thing.
    pub kind: EventKind,
    /// The repository's name; empty for what concerns several.
    pub repo: String,
    /// The suite's folder, or the file's path.
    pub subject: String,
    /// What happened, in words.
    pub text: String,
}

/// The ring. The lock is held for single operations only.
#[derive(Debug, Default)]
pub(super) struct Events(Mutex<Ring>);

#[derive(Debug, Default)]
struct Ring {
    told: u64,
    last: VecDeque<Event>,
}

impl Events {
    /// Remembers and logs an event, unless the same was told a while ago.
    pub(super) fn tell(&self, at: i64, kind: EventKind, repo: &Arc<str>, subject: &str, text: &str) {
        {
            let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let same =
                |event: &&Event| event.kind == kind && event.repo == **repo && event.subject == subject;
            let before = ring.last.iter().rev().find(same);
            if before.is_some_and(|before| before.text == text && (0..AGAIN).contains(&(at - before.at))) {
                return;
            }
            ring.told += 1;
            let (id, repo) = (ring.told, repo.to_string());
            if ring.last.len() == KEPT {
                ring.last.pop_front();
            }
            ring.last.push_back(Event {
                id,
                at,
                kind,
                repo,
                subject: subject.to_owned(),
                text: text.to_owned(),
            });
        }
        let event = kind.as_str();
        if kind.is_good() {
            tracing::info!(event, %repo, subject, "{text}");
        } else {
            tracing::warn!(event, %repo, subject, "{text}");
        }
    }

    /// Those after number `since`, oldest first.
    pub(super) fn since(&self, since: u64) -> Vec<Event> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.last.iter().filter(|event| event.id > since).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest_and_repeats_nothing_for_an_hour() {
        let (events, repo) = (Events::default(), Arc::from("ubuntu"));
        let tell = |at, text: &str| events.tell(at, EventKind::Pending, &repo, "dists/noble", text);
        tell(0, "a");
        tell(60, "a");
        assert_eq!(events.since(0).len(), 1);
        tell(3600, "a");
        tell(3601, "b");
        tell(3602, "a");
        let told: Vec<_> = events.since(1).iter().map(|event| (event.id, event.text.clone())).collect();
        assert_eq!(told, [(2, "a".to_owned()), (3, "b".to_owned()), (4, "a".to_owned())]);
        for number in 0..KEPT {
            tell(4000, &number.to_string());
        }
        assert_eq!(events.since(0).len(), KEPT);
        assert_eq!(events.since(0)[0].text, "0");
    }
}
