//! Proof before a rollout: would a desktop find everything here?
//!
//! A verification makes the plan again from what is here, asks of every file of it what a desktop would ask (by
//! its name, and an index by its hash as well), and hashes the bytes that would be served. Nothing is fetched.
//! For an upgrade the plan is that of the other suites, with the packages that the seed puts on a desktop. One
//! verification runs at a time, on a task of its own; what it found stays until the next one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::journal::FailedFile;
use super::plan::{Part, Plan, PlannedSuite, UnresolvedFacts};
use super::planner::{PlanError, Planner};
use crate::cache::{Cache, Pace};

/// Files that are named; others are only counted.
const MOST_NAMED: usize = 1000;

/// Bytes that are hashed in a second, at most, so that desktops notice little.
const RATE: u64 = 200_000_000;

/// An upgrade from one release to another: the suites of the seed whose names begin with `from` become those
/// that begin with `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// What desktops have: `noble`.
    pub from: String,
    /// What they are to have.
    pub to: String,
}

/// A verification, running or ended. Sizes are bytes, points in time seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyFacts {
    /// Its number since the program started, from 1.
    pub number: u64,
    /// The seed's name.
    pub seed: String,
    /// The upgrade that it is about, if it is about one.
    pub upgrade: Option<Upgrade>,
    /// Whether it is still going on.
    pub running: bool,
    /// Whether it has ended well: a desktop would find everything here.
    pub complete: bool,
    /// When it began.
    pub started_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// The generations that a desktop would see.
    pub suites: Vec<PlannedSuite>,
    /// How many packages a desktop with everything would have.
    pub packages: u64,
    /// Files in all.
    pub files: u64,
    /// Files that were looked at.
    pub files_done: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that were looked at.
    pub bytes_done: u64,
    /// How many files a desktop would not get.
    pub missing_files: u64,
    /// The first of them.
    pub missing: Vec<FailedFile>,
    /// What apt would refuse to install, whatever is here.
    pub unresolved: Vec<UnresolvedFacts>,
    /// Why it ended before it had seen everything.
    pub problem: Option<String>,
}

/// A verification is running already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the seed {0} is being verified already")]
pub struct VerifyRunning(String);

/// Verifies seeds; clones are the same one.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    cache: Cache,
    planner: Planner,
    /// The newest one. Held for single operations only.
    newest: Mutex<VerifyFacts>,
}

impl Verifier {
    /// For the planner's seeds.
    #[must_use]
    pub fn new(cache: Cache, planner: Planner) -> Self {
        Self(Arc::new(Inner { cache, planner, newest: Mutex::default() }))
    }

    /// The newest verification; with number 0 before the first.
    #[must_use]
    pub fn newest(&self) -> VerifyFacts {
        self.facts().clone()
    }

    /// Begins one, unless the same one runs.
    ///
    /// # Errors
    /// When there is no such seed.
    pub fn start(
        &self,
        name: &str,
        upgrade: Option<Upgrade>,
    ) -> Result<Result<VerifyFacts, VerifyRunning>, PlanError> {
        let config = self.0.planner.known(name)?;
        let begun = {
            let mut facts = self.facts();
            if facts.running {
                let same = facts.seed == name && facts.upgrade == upgrade;
                return Ok(if same { Ok(facts.clone()) } else { Err(VerifyRunning(facts.seed.clone())) });
            }
            *facts = VerifyFacts {
                number: facts.number + 1,
                seed: name.to_owned(),
                upgrade: upgrade.clone(),
                running: true,
                started_at: self.0.cache.unix_now(),
                ..VerifyFacts::default()
            };
            facts.clone()
        };
        let running = Running(self.clone());
        self.0.cache.tasks().spawn(async move {
            let tasks = running.0.0.cache.tasks().clone();
            let done = tokio::select! {
                done = running.0.verify(config, upgrade) => done,
                () = tasks.stopping() => Err("the program stopped".to_owned()),
            };
            running.end(done);
        });
        Ok(Ok(begun))
    }

    async fn verify(&self, config: Arc<Config>, upgrade: Option<Upgrade>) -> Result<(), String> {
        let words = |error: PlanError| error.to_string();
        let repository = self.0.cache.repository_named(&config.repo);
        let repository =
            repository.ok_or_else(|| format!("the repository {} is not configured", config.repo))?;
        let mut plan = self.0.planner.make(Arc::clone(&config), false).await.map_err(words)?;
        let mut carried = HashSet::new();
        if let Some(upgrade) = &upgrade {
            let upgraded = upgraded(&config, upgrade, &plan)?;
            carried.extend(upgraded.packages.names.iter().cloned());
            plan = self.0.planner.make(Arc::new(upgraded), false).await.map_err(words)?;
        }
        carried.retain(|name| !config.packages.names.contains(name));
        self.begin(&plan, &carried);
        for problem in self.0.cache.would_refuse(&repository, &plan.generations) {
            self.miss(&problem.0, problem.1);
        }
        let mut pace = Pace::new(RATE);
        for file in &plan.files {
            let asked =
                self.0.cache.would_serve(&repository, &plan.generations, &file.wanted(), &mut pace).await;
            if let Err(why) = asked {
                self.miss(file.path.as_str(), why);
            }
            let mut facts = self.facts();
            facts.files_done += 1;
            facts.bytes_done += file.size;
        }
        Ok(())
    }

    /// Begins to look at the files of a plan; packages that are `carried` over may be gone.
    fn begin(&self, plan: &Plan, carried: &HashSet<String>) {
        let told = super::plan::PlanFacts::from(plan);
        let mut facts = self.facts();
        facts.suites = told.suites;
        (facts.packages, facts.files, facts.bytes) = (plan.packages, plan.files.len() as u64, plan.bytes());
        facts.unresolved = told.unresolved;
        // What the new release does not have any more simply goes from a desktop.
        facts.unresolved.retain(|one| !carried.contains(&one.package));
        facts.unresolved.truncate(MOST_NAMED);
    }

    fn miss(&self, path: &str, reason: String) {
        let mut facts = self.facts();
        facts.missing_files += 1;
        if facts.missing.len() < MOST_NAMED {
            facts.missing.push(FailedFile { path: path.to_owned(), reason });
        }
    }

    fn facts(&self) -> MutexGuard<'_, VerifyFacts> {
        // Every change is whole after one statement, so a poisoned lock is still good.
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same seed on the other suites, with the packages that are in its plan.
fn upgraded(config: &Config, upgrade: &Upgrade, plan: &Plan) -> Result<Config, String> {
    let Upgrade { from, to } = upgrade;
    let mut next = config.clone();
    next.suites = config.suites.iter().map(|suite| renamed(suite, from, to)).collect();
    if next.suites == config.suites {
        let suites = config.suites.join(", ");
        return Err(format!("no suite of the seed is called {from}, or {from}-…; it has {suites}"));
    }
    let native = config.architectures.first().map_or("", String::as_str);
    for file in plan.files.iter().filter(|file| file.part == Part::Package) {
        let name = file.path.file_name().trim_end_matches(".deb");
        let (Some((package, _)), Some((_, architecture))) = (name.split_once('_'), name.rsplit_once('_'))
        else {
            continue;
        };
        let is_native = architecture == native || architecture == "all";
        next.packages.names.push(if is_native {
            package.to_owned()
        } else {
            format!("{package}:{architecture}")
        });
    }
    next.packages.names.sort_unstable();
    next.packages.names.dedup();
    Ok(next)
}

/// `noble-updates` from `noble` to `jammy`: `jammy-updates`.
fn renamed(suite: &str, from: &str, to: &str) -> String {
    match suite.strip_prefix(from) {
        Some(rest) if rest.is_empty() || rest.starts_with('-') => format!("{to}{rest}"),
        _ => suite.to_owned(),
    }
}

/// Marks the verification as ended however it ends, be it by a panic.
struct Running(Verifier);

impl Running {
    fn end(&self, done: Result<(), String>) {
        let now = self.0.0.cache.unix_now();
        let mut facts = self.0.facts();
        if facts.running {
            (facts.running, facts.ended_at) = (false, Some(now));
            facts.complete = done.is_ok() && facts.missing_files == 0 && facts.unresolved.is_empty();
            facts.problem = done.err();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended in order long before, but for a panic.
        self.end(Err("it broke off; the log may say why".to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_of_a_release_are_renamed_together() {
        for (suite, renamed_to) in [
            ("noble", "next"),
            ("noble-updates", "next-updates"),
            ("nobler", "nobler"),
            ("x/noble", "x/noble"),
        ] {
            assert_eq!(renamed(suite, "noble", "next"), renamed_to);
        }
    }
}
