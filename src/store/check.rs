//! When each suite was last compared with upstream, and what came of it.

use std::sync::Arc;

use rusqlite::params;

use super::{Error, Store};

/// The last comparison of a suite with upstream. Dates are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// The repository's name.
    pub repo: Arc<str>,
    /// The folder of the release file.
    pub suite: Arc<str>,
    /// When upstream was asked.
    pub checked_at: i64,
    /// Why what upstream has now is not current here, in words; none when it is.
    pub problem: Option<String>,
    /// Since when it has not been.
    pub pending_since: Option<i64>,
}

impl Store {
    /// Remembers a comparison in place of the suite's last one.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn set_check(&self, check: Check) -> Result<(), Error> {
        self.change(move |transaction, _, _| {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO suite_check VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    &*check.repo,
                    &*check.suite,
                    check.checked_at,
                    check.problem,
                    check.pending_since
                ])?;
            Ok(Ok(()))
        })
        .await
    }

    /// The last comparison of every suite. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn checks(&self) -> Result<Vec<Check>, Error> {
        self.shared().readers.read("list the suites' checks", |connection| {
            connection
                .prepare_cached(
                    "SELECT repo, suite, checked_at, problem, pending_since FROM suite_check \
                     ORDER BY repo, suite",
                )?
                .query_map([], |row| {
                    Ok(Check {
                        repo: row.get(0)?,
                        suite: row.get(1)?,
                        checked_at: row.get(2)?,
                        problem: row.get(3)?,
                        pending_since: row.get(4)?,
                    })
                })?
                .collect()
        })
    }
}
