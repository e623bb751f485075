//! What administrators ask about suites and channels, and have done to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::channels::kept;
use super::events::{Event, EventKind};
use super::lookup::Cache;
use super::refresh::Refreshed;
use crate::repo::Repository;
use crate::repo::apt::checksum::Checksum;
use crate::repo_path::RepoPath;
use crate::store;
use crate::suite::{
    Channel, ChannelFacts, Generation, GenerationFacts, RefreshFacts, ShownFacts, Suite, SuiteDetail,
    SuiteFacts,
};

/// Nothing here has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// No repository of the name is configured.
    #[error("there is no repository {0:?} in the configuration")]
    Repository(String),
    /// Nobody has asked for the suite, and upstream was not asked.
    #[error("the suite {suite:?} of {repo} is not known here: nobody has asked for it yet")]
    Suite {
        /// The repository's name.
        repo: String,
        /// What was asked for.
        suite: String,
    },
}

impl Cache {
    /// Every suite that is known here, by repository and folder.
    #[must_use]
    pub fn suites(&self) -> Vec<SuiteFacts> {
        self.every_suite().iter().map(|(repository, suite)| self.facts(repository, suite)).collect()
    }

    /// One suite. Its name is that of its folder, with or without `dists/`.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn suite(&self, repo: &str, name: &str) -> Result<SuiteDetail, Unknown> {
        let repository = self.repository(repo)?;
        let view = self.0.suites.view(repository.index).clone();
        let unknown = || Unknown::Suite { repo: repo.to_owned(), suite: name.to_owned() };
        let suite = view.suite(name).or_else(|| view.suite(&format!("dists/{name}"))).ok_or_else(unknown)?;
        let release = &suite.current.release;
        let folder = &suite.current.row.suite;
        let channels = |id: i64| {
            let live = (suite.current.row.id == id).then(|| "live".to_owned());
            let shows = |name: &&Arc<str>| {
                let shown = view.shown(&Channel::Named(Arc::clone(name)), folder);
                shown.is_some_and(|shown| shown.row.id == id)
            };
            let settings = self.0.settings();
            let named = settings.channels.iter().map(|channel| &channel.name).filter(shows);
            live.into_iter().chain(named.map(ToString::to_string)).collect()
        };
        Ok(SuiteDetail {
            facts: self.facts(&repository, suite),
            origin: release.origin.clone(),
            codename: release.codename.clone(),
            components: release.components.clone(),
            architectures: release.architectures.clone(),
            generations: kept(suite)
                .map(|generation| generation_facts(generation, channels(generation.row.id)))
                .collect(),
        })
    }

    /// Every configured channel, and what it shows. Blocking: one indexed read.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn channels(&self) -> Result<Vec<ChannelFacts>, store::Error> {
        let rollbacks: HashMap<_, _> = self.0.parts.store.rollbacks()?.into_iter().collect();
        let suites = self.every_suite();
        let settings = self.0.settings();
        let facts = settings.channels.iter().map(|config| {
            let shown = suites.iter().filter_map(|(repository, suite)| {
                let view = self.0.suites.view(repository.index);
                let folder = &suite.current.row.suite;
                let shown = view.shown(&Channel::Named(Arc::clone(&config.name)), folder)?;
                Some(ShownFacts {
                    repo: repository.name().to_string(),
                    suite: folder.to_string(),
                    generation: shown.row.id,
                    date: shown.row.date,
                    since: view.pinned(&config.name, folder).map(|pinned| pinned.since),
                    current: shown.row.id == suite.current.row.id,
                })
            });
            ChannelFacts {
                name: config.name.to_string(),
                after_seconds: config.after.map(|after| after.as_secs()),
                rolled_back_at: rollbacks.get(&config.name).copied(),
                waits_for: self.waits_for(config),
                suites: shown.collect(),
            }
        });
        Ok(facts.collect())
    }

    /// The files that the indices of a generation list, as far as those are used here: hash and size. Takes
    /// tens of milliseconds for a whole release.
    #[must_use]
    pub fn listed_files(&self, repo: &str, generation: i64) -> Vec<(Checksum, u64)> {
        let Ok(repository) = self.repository(repo) else { return Vec::new() };
        let view = self.0.suites.view(repository.index).clone();
        let wanted = [generation];
        let tables = view.tables_of(&wanted);
        tables.flat_map(|(_, table)| table.iter()).map(|listed| (listed.checksum, listed.size)).collect()
    }

    /// What happened lately, after event number `since`.
    #[must_use]
    pub fn events(&self, since: u64) -> Vec<Event> {
        self.0.events.since(since)
    }

    /// Notes what happened to a seed.
    pub fn tell_of_seed(&self, kind: EventKind, repo: &Arc<str>, seed: &str, text: &str) {
        self.tell(kind, repo, seed, text);
    }

    pub(super) fn tell(&self, kind: EventKind, repo: &Arc<str>, subject: &str, text: &str) {
        self.0.events.tell(self.0.parts.clock.unix(), kind, repo, subject, text);
    }

    /// Asks upstream now: about one suite, known here or not; about all known ones of a repository; or about
    /// all. What takes longer than `patience` goes on by itself.
    ///
    /// # Errors
    /// [`Unknown`].
    pub async fn refresh_suites(
        &self,
        repo: Option<&str>,
        suite: Option<&str>,
        patience: Duration,
    ) -> Result<Vec<RefreshFacts>, Unknown> {
        let wanted = if let (Some(repo), Some(name)) = (repo, suite) {
            let repository = self.repository(repo)?;
            let unknown = |_| Unknown::Suite { repo: repo.to_owned(), suite: name.to_owned() };
            let known = self.suite(repo, name).map(|detail| detail.facts.suite);
            let folder = known.unwrap_or_else(|_| {
                if name.contains('/') { name.to_owned() } else { format!("dists/{name}") }
            });
            vec![(repository, RepoPath::from_decoded(&folder).map_err(unknown)?)]
        } else {
            let only = repo.map(|repo| self.repository(repo)).transpose()?.map(|repository| repository.index);
            self.every_suite()
                .into_iter()
                .filter(|(repository, _)| only.is_none_or(|only| only == repository.index))
                .filter_map(|(repository, suite)| {
                    Some((repository, RepoPath::from_decoded(&suite.current.row.suite).ok()?))
                })
                .collect()
        };
        let asked = wanted.iter().map(|(repository, folder)| async move {
            let (state, problem) = match self.refresh(repository, folder, patience).await {
                Refreshed::Done => ("current", None),
                Refreshed::Failed(why) => ("failed", Some(why.to_string())),
                Refreshed::Impatient => ("running", None),
            };
            RefreshFacts {
                repo: repository.name().to_string(),
                suite: folder.as_str().to_owned(),
                state: state.to_owned(),
                problem,
                generation: self.current(repository, folder).map(|current| current.row.id),
            }
        });
        Ok(futures_util::future::join_all(asked).await)
    }

    fn repository(&self, name: &str) -> Result<Arc<Repository>, Unknown> {
        self.0.repositories().by_name(name).cloned().ok_or_else(|| Unknown::Repository(name.to_owned()))
    }

    fn facts(&self, repository: &Repository, suite: &Suite) -> SuiteFacts {
        let row = &suite.current.row;
        let age = self.0.parts.clock.unix().saturating_sub(suite.check.checked_at);
        SuiteFacts {
            repo: repository.name().to_string(),
            suite: row.suite.to_string(),
            generation: row.id,
            date: row.date,
            valid_until: row.valid_until,
            adopted_at: row.created_at,
            checked_at: suite.check.checked_at,
            age_seconds: u64::try_from(age).unwrap_or(0),
            pending_since: suite.check.pending_since,
            problem: suite.check.problem.clone(),
            signers: row.signers.clone(),
            legacy_sha1: repository.config.legacy_sha1,
        }
    }
}

fn generation_facts(generation: &Generation, channels: Vec<String>) -> GenerationFacts {
    let row = &generation.row;
    GenerationFacts {
        id: row.id,
        date: row.date,
        valid_until: row.valid_until,
        adopted_at: row.created_at,
        superseded_at: row.superseded_at,
        text: row.text.to_string(),
        upstream: row.upstream.clone(),
        signers: row.signers.clone(),
        channels,
    }
}
