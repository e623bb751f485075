//! What a seed's runs came to: written down so that the next start of the program goes on where this one ended.
//!
//! What is here of a seed is known by its plan, which is quickly made again; the journal tells whether
//! there is something to go on with, and what administrators want to know afterwards. It is bounded:
//! [`MOST_NAMED`] failures, [`MOST_READY`] generations.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plan::{Plan, PlannedSuite};

/// Files whose failure is told by name; others are only counted.
pub const MOST_NAMED: usize = 100;

/// Sets of generations that are remembered as complete.
const MOST_READY: usize = 64;

/// How a seed stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It was never run.
    #[default]
    Idle,
    /// It waits for its hours before it begins.
    Waiting,
    /// It finds out what is missing.
    Planning,
    /// It fetches.
    Running,
    /// Its hours are over for today; it goes on when they come again.
    Paused,
    /// Everything is here.
    Done,
    /// It has ended, and something could not be had.
    Incomplete,
    /// It could not begin: there is no plan, or no room.
    Failed,
    /// An administrator stopped it.
    Stopped,
}

impl State {
    /// Whether a run is under way.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Planning | Self::Running | Self::Paused)
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Planning => "planning",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Done => "done",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// A file that could not be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedFile {
    /// Below the repository's root.
    pub path: String,
    /// Why, in words.
    pub reason: String,
}

/// A seed's newest run, and what is known from earlier ones. Points in time are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Journal {
    /// How it stands.
    pub state: State,
    /// Whether it runs outside the seed's hours, too.
    pub now: bool,
    /// When the newest run began.
    pub started_at: Option<i64>,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// The generations that the newest plan was made from.
    pub suites: Vec<PlannedSuite>,
    /// The sets of generations for which everything was here at the end of a run, oldest first.
    pub ready: Vec<Vec<PlannedSuite>>,
    /// How many packages the plan has.
    pub packages: u64,
    /// How many files.
    pub files: u64,
    /// How many of them are here.
    pub files_done: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Bytes of those that are here.
    pub bytes_done: u64,
    /// How much the plan cannot resolve; `lumbung seed plan` says what.
    pub unresolved: u64,
    /// How many files could not be had.
    pub failed: u64,
    /// The first of them.
    pub failures: Vec<FailedFile>,
    /// Why the run ended early, or what it waits for.
    pub problem: Option<String>,
}

impl Journal {
    /// Takes over what a plan says.
    pub(super) fn planned(&mut self, plan: &Plan) {
        let here = plan.files.iter().filter(|file| file.present);
        let suite = |(suite, generation): &(Arc<str>, i64)| PlannedSuite {
            suite: suite.to_string(),
            generation: *generation,
        };
        self.suites = plan.generations.iter().map(suite).collect();
        self.packages = plan.packages;
        self.files = plan.files.len() as u64;
        self.files_done = here.count() as u64;
        self.bytes = plan.bytes();
        self.bytes_done = self.bytes - plan.bytes_missing();
        self.unresolved = plan.unresolved.len() as u64;
        (self.failed, self.failures) = (0, Vec::new());
    }

    /// Notes a file that could not be had.
    pub(super) fn fail(&mut self, path: &str, reason: String) {
        self.failed += 1;
        if self.failures.len() < MOST_NAMED {
            self.failures.push(FailedFile { path: path.to_owned(), reason });
        }
    }

    /// Notes that everything of the newest plan is here.
    pub(super) fn is_ready_now(&mut self) {
        self.ready.retain(|known| *known != self.suites);
        self.ready.push(self.suites.clone());
        let surplus = self.ready.len().saturating_sub(MOST_READY);
        self.ready.drain(..surplus);
    }

    /// Bytes of the newest plan that are not here.
    #[must_use]
    pub const fn bytes_missing(&self) -> u64 {
        self.bytes.saturating_sub(self.bytes_done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_reads_what_an_older_release_wrote() {
        let mut journal: Journal = serde_json::from_str("{\"state\":\"running\",\"more\":1}").unwrap();
        assert!(journal.state.is_active());
        for number in 0..1000 {
            journal.fail(&number.to_string(), "why".to_owned());
            journal.suites = vec![PlannedSuite { suite: "dists/noble".into(), generation: number }];
            journal.is_ready_now();
            journal.is_ready_now();
        }
        assert_eq!((journal.failed, journal.failures.len(), journal.ready.len()), (1000, 100, 64));
        assert_eq!(journal.ready[63][0].generation, 999);
        assert!(serde_json::to_string(&journal).unwrap().len() < 32 * 1024);
    }
}
