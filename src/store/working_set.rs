//! Which indices of a suite somebody here uses: collected in memory, written in batches like touches.
//!
//! Paths come from clients, so neither memory nor the table grows past a bound; the most recently used
//! stay.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, Result as SqlResult, params};

use super::shared::Shared;
use super::transaction::commit;
use super::writer::Command;
use super::{Error, Store};

/// Most notes in memory: about 1 MiB. Past it, further paths go unnoticed until the writer has made
/// room.
const MOST: usize = 4096;

/// Most rows: about 5 MB.
const MOST_ROWS: usize = 32 * 1024;

/// Longer paths are no index's, in bytes.
const LONGEST: usize = 512;

/// The catalog's time may lag behind by this much, in seconds.
const LAG: i64 = 60 * 60;

pub(super) const USED: &str = "SELECT path FROM index_use WHERE repo = ?1 AND suite = ?2 AND used_at >= ?3";
pub(super) const TRIM: &str = "DELETE FROM index_use WHERE used_at < \
     (SELECT used_at FROM index_use ORDER BY used_at DESC LIMIT 1 OFFSET ?1)";

impl Store {
    /// Notes that an index of a suite was asked for just now; `path` is below the suite's folder. No
    /// I/O; written within a minute, and on close.
    pub fn note_use(&self, repo: &Arc<str>, suite: &str, path: &str) {
        let now = self.shared().clock.unix();
        let crowded = self.shared().notes().note(repo, suite, path, now);
        if crowded {
            self.inner.handle.tell(Command::Flush);
        }
    }

    /// The indices of a suite that were asked for at `since` (unix seconds) or later, sorted. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn working_set(&self, repo: &str, suite: &str, since: i64) -> Result<Vec<Arc<str>>, Error> {
        // Memory first: what is written meanwhile is then seen twice rather than never.
        let mut paths: BTreeSet<Arc<str>> = self.shared().notes().used(repo, suite, since);
        self.shared().readers.read("look up the indices in use", |connection| {
            for path in connection
                .prepare_cached(USED)?
                .query_map(params![repo, suite, since], |row| row.get::<_, Arc<str>>(0))?
            {
                paths.insert(path?);
            }
            Ok(())
        })?;
        Ok(paths.into_iter().collect())
    }
}

#[derive(Debug, Clone, Copy)]
struct Use {
    used: i64,
    /// What the catalog has, if that is known.
    stored: Option<i64>,
}

type Paths = HashMap<Arc<str>, Use>;

/// A note on its way into the catalog.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    repo: Arc<str>,
    suite: Arc<str>,
    path: Arc<str>,
    used: i64,
}

/// The uses not yet in the catalog, by repository and suite; nested, so that noting a known one
/// allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Notes {
    repos: HashMap<Arc<str>, HashMap<Arc<str>, Paths>>,
    count: usize,
    asked: bool,
}

impl Notes {
    /// Notes a use; whether the writer should be asked to write now (told once per flush).
    fn note(&mut self, repo: &Arc<str>, suite: &str, path: &str, now: i64) -> bool {
        let known = self.repos.get_mut(&**repo).and_then(|suites| suites.get_mut(suite)?.get_mut(path));
        if let Some(known) = known {
            known.used = known.used.max(now);
            return false;
        }
        if suite.len() + path.len() > LONGEST {
            return false;
        }
        if self.count < MOST {
            let suites = self.repos.entry(Arc::clone(repo)).or_default();
            if !suites.contains_key(suite) {
                suites.insert(suite.into(), Paths::new());
            }
            if let Some(paths) = suites.get_mut(suite) {
                paths.insert(path.into(), Use { used: now, stored: None });
                self.count += 1;
            }
        }
        self.count >= MOST && !std::mem::replace(&mut self.asked, true)
    }

    fn used(&self, repo: &str, suite: &str, since: i64) -> BTreeSet<Arc<str>> {
        let paths = self.repos.get(repo).and_then(|suites| suites.get(suite));
        paths
            .into_iter()
            .flatten()
            .filter(|(_, known)| known.used >= since)
            .map(|(path, _)| Arc::clone(path))
            .collect()
    }

    /// What the catalog should be told.
    fn due(&self) -> Vec<Due> {
        let mut due = Vec::new();
        for (repo, suites) in &self.repos {
            for (suite, paths) in suites {
                for (path, known) in paths {
                    if known.stored.is_none_or(|stored| known.used - stored >= LAG) {
                        due.push(Due {
                            repo: Arc::clone(repo),
                            suite: Arc::clone(suite),
                            path: Arc::clone(path),
                            used: known.used,
                        });
                    }
                }
            }
        }
        due
    }

    /// The catalog has these times now.
    fn written(&mut self, written: &[Due]) {
        for due in written {
            let suites = self.repos.get_mut(&due.repo);
            let known = suites.and_then(|suites| suites.get_mut(&due.suite)?.get_mut(&due.path));
            if let Some(known) = known {
                known.stored = Some(due.used);
            }
        }
        self.asked = false;
        if self.count > MOST / 2 {
            self.shrink();
        }
    }

    /// Forgets what the catalog has exactly.
    fn shrink(&mut self) {
        self.count = 0;
        for suites in self.repos.values_mut() {
            for paths in suites.values_mut() {
                paths.retain(|_, known| known.stored != Some(known.used));
                self.count += paths.len();
            }
            suites.retain(|_, paths| !paths.is_empty());
        }
        self.repos.retain(|_, suites| !suites.is_empty());
    }
}

/// The writer's part: puts what is due into the catalog.
pub(super) fn flush(shared: &Shared, connection: &mut Connection) -> Result<(), Error> {
    let due = shared.notes().due();
    if due.is_empty() {
        return Ok(());
    }
    commit(shared, connection, |transaction, _| write(transaction, &due))?;
    shared.notes().written(&due);
    Ok(())
}

fn write(transaction: &Connection, due: &[Due]) -> SqlResult<()> {
    let mut put = transaction.prepare_cached(
        "INSERT INTO index_use VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET used_at = excluded.used_at WHERE used_at < excluded.used_at",
    )?;
    for due in due {
        put.execute(params![&*due.repo, &*due.suite, &*due.path, due.used])?;
    }
    transaction.prepare_cached(TRIM)?.execute([i64::try_from(MOST_ROWS - 1).unwrap_or(i64::MAX)])?;
    Ok(())
}
