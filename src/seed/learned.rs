//! The seeds that are there without being configured: what desktops here ask for, in its newest versions.
//!
//! There is one for each verified apt repository that desktops asked something of: `learned` for the first of the
//! configuration, `learned-NAME` for others. It takes in all suites that desktops use, each release for itself,
//! since a package means another version in each; and it ends where its budget does. It makes no sense where a
//! seed is configured that wants everything of the repository, or what is learned.

use std::sync::Arc;

use super::config::{Config, Packages};
use super::family;
use super::rehearsal::habits;
use crate::cache::Cache;
use crate::repo::{self, Kind, Trust};
use crate::store;
use crate::wan::Hours;

/// How the built-in seeds work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learning {
    /// Whether there are any. Default yes.
    pub enabled: bool,
    /// Most bytes that each may take. Default [`Learning::BUDGET`], but a tenth of the store where that is limited to
    /// less.
    pub budget: Option<u64>,
    /// When they may use the line. Default 18:00-06:00; none is always.
    pub hours: Option<Hours>,
}

impl Learning {
    /// What a built-in seed may take where nothing is said, in bytes.
    const BUDGET: u64 = 20_000_000_000;

    /// When, where nothing is said: at night.
    pub const HOURS: &str = "18:00-06:00";

    /// The names that built-in seeds of these repositories may have, each with its repository's position.
    fn names<'r>(&self, repos: impl Iterator<Item = &'r repo::Config>) -> Vec<(usize, Arc<str>)> {
        let verified =
            repos.enumerate().filter(|(_, repo)| repo.kind == Kind::Apt && repo.trust != Trust::None);
        let verified = verified.filter(|_| self.enabled);
        let name = |(position, (at, repo)): (usize, (usize, &repo::Config))| {
            let name = if position == 0 { "learned".to_owned() } else { format!("learned-{}", repo.name) };
            (at, name.into())
        };
        verified.enumerate().map(name).collect()
    }

    /// The names of all seeds that there may be: of those that are configured, and of the built-in ones.
    #[must_use]
    pub fn all_names(&self, seeds: &[Config], repos: &[repo::Config]) -> Vec<Arc<str>> {
        let built_in = self.names(repos.iter()).into_iter().map(|(_, name)| name);
        seeds.iter().map(|seed| Arc::clone(&seed.name)).chain(built_in).collect()
    }
}

/// The built-in seeds beside those that are configured. Blocking.
pub(super) fn seeds(
    cache: &Cache,
    learning: &Learning,
    configured: &[Arc<Config>],
) -> Result<Vec<Arc<Config>>, store::Error> {
    let mut found = Vec::new();
    let limit = cache.usage().limit.map_or(u64::MAX, |limit| limit / 10);
    let budget = learning.budget.unwrap_or(Learning::BUDGET.min(limit));
    let repositories = cache.repositories();
    let repos = repositories.list();
    for (at, name) in learning.names(repos.iter().map(|repository| &repository.config)) {
        let Some(repository) = repos.get(at) else { continue };
        let is_done = |seed: &Arc<Config>| {
            let wanted = &seed.packages;
            seed.name == name || (seed.repo == *repository.name() && (wanted.everything || wanted.learned))
        };
        let folders = cache.suites_here(repository);
        if configured.iter().any(is_done) || folders.is_empty() || !cache.is_demanded(repository)? {
            continue;
        }
        found.push(Arc::new(Config {
            name,
            suites: folders.iter().map(|folder| family::as_written(folder)).collect(),
            packages: Packages { learned: true, ..Packages::default() },
            budget: Some(budget),
            hours: learning.hours,
            built_in: true,
            ..habits(cache, repository, &folders)?
        }));
    }
    Ok(found)
}
