//! Moving channels: by hand, after a soak time, and back.
//!
//! A move is one transaction of the catalog, then one swap of what requests see in each repository that it
//! concerns. No bytes move: what a channel points at is here already. Moves come one after the other.
//!
//! A channel with a soak time shows what `live` has had that long. It never goes back by itself, and after
//! a rollback it goes on only to generations that came later: what an administrator took back does not
//! return by the clock.

use std::collections::HashMap;
use std::sync::Arc;

use super::events::EventKind;
use super::lookup::Cache;
use crate::repo::Repository;
use crate::store::{self, Pin};
use crate::suite::{ChannelConfig, Generation, Moved, MovedSuite, Pinned, Suite};

/// Why a channel was not moved.
#[derive(Debug, thiserror::Error)]
pub enum NotMoved {
    /// It is not configured.
    #[error("there is no channel {name:?}; {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are, in a sentence.
        known: String,
    },
    /// The generation is not kept here.
    #[error("no generation {0} is kept here; `lumbung suite show` lists them")]
    NoGeneration(i64),
    /// The channel has not been moved, or was moved for the first time.
    #[error(
        "the channel {0} has nothing to go back to: it has not been moved since it first pointed anywhere"
    )]
    NoPast(String),
    /// It waits for seeds.
    #[error("the channel {0} shows only what its seeds have here (ready_before_promote): {1}")]
    NotReady(String, String),
    /// The catalog.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Cache {
    /// Points a channel at the current generation of every suite that is known here, or of one suite at
    /// generation `to`.
    ///
    /// # Errors
    /// [`NotMoved`]; nothing has changed then.
    pub async fn promote(&self, channel: &str, to: Option<i64>) -> Result<Moved, NotMoved> {
        let config = self.channel(channel)?;
        let name = Arc::clone(&config.name);
        let _moving = self.0.moving.lock().await;
        let mut pins = Vec::new();
        for (repository, suite) in self.every_suite() {
            let chosen = match to {
                None => Some(&suite.current),
                Some(id) => kept(&suite).find(|generation| generation.row.id == id),
            };
            pins.extend(chosen.map(|generation| self.pin(&name, &repository, generation)));
        }
        if let (Some(id), true) = (to, pins.is_empty()) {
            return Err(NotMoved::NoGeneration(id));
        }
        self.check_ready(&config, &pins)?;
        self.point(&name, pins, EventKind::Promoted).await
    }

    /// Points a channel back at what it pointed at before its last change.
    ///
    /// # Errors
    /// [`NotMoved`]; nothing has changed then.
    pub async fn roll_back(&self, channel: &str) -> Result<Moved, NotMoved> {
        let name = self.channel(channel)?.name;
        let _moving = self.0.moving.lock().await;
        let back = self.0.parts.store.roll_back(&name).await?;
        if back.is_empty() {
            return Err(NotMoved::NoPast(channel.to_owned()));
        }
        Ok(self.show(&name, &back, EventKind::RolledBack))
    }

    /// Promotes what `live` has had long enough. Called at start-up, and every minute from then on.
    pub async fn promote_what_has_soaked(&self) {
        let channels = self.0.settings().channels.clone();
        for (channel, after) in channels.iter().filter_map(|channel| Some((channel, channel.after?))) {
            let after = i64::try_from(after.as_secs()).unwrap_or(i64::MAX / 2);
            if let Err(error) = self.soak(channel, after).await {
                tracing::warn!(channel = %channel.name, %error, "a channel cannot be promoted");
            }
        }
    }

    async fn soak(&self, channel: &ChannelConfig, after: i64) -> Result<(), NotMoved> {
        let _moving = self.0.moving.lock().await;
        let store = self.0.parts.store.clone();
        let rollbacks = tokio::task::spawn_blocking(move || store.rollbacks()).await;
        let rollbacks: HashMap<_, _> = rollbacks.map_err(|_| store::Error::Closed)??.into_iter().collect();
        let rolled_back_at = rollbacks.get(&channel.name).copied();
        let ripe = self.0.parts.clock.unix().saturating_sub(after);
        let mut pins = Vec::new();
        for (repository, suite) in self.every_suite() {
            let view = self.0.suites.view(repository.index);
            let folder = &suite.current.row.suite;
            let now = view.pinned(&channel.name, folder).map(|pinned| pinned.generation);
            let next = if self.is_awaited(channel, &repository, folder) {
                // Until its seeds have something, it stays with the oldest that there is.
                kept(&suite).last().filter(|_| now.is_none())
            } else {
                ripest(&suite, ripe, now, rolled_back_at)
            };
            pins.extend(next.map(|next| self.pin(&channel.name, &repository, next)));
        }
        if channel.ready_before_promote {
            let may = |_: &Suite, next: &Generation, now: Option<i64>| match now {
                None => true,
                Some(now) => {
                    let row = &next.row;
                    row.id > now
                        && row.created_at <= ripe
                        && rolled_back_at.is_none_or(|at| row.created_at > at)
                }
            };
            for repository in self.0.repositories().list() {
                for next in self.newest_complete(channel, repository, may) {
                    let pin = self.pin(&channel.name, repository, &next);
                    pins.retain(|other| other.repo != pin.repo || other.suite != pin.suite);
                    pins.push(pin);
                }
            }
        }
        if !pins.is_empty() {
            self.point(&channel.name, pins, EventKind::Promoted).await?;
        }
        Ok(())
    }

    async fn point(&self, channel: &Arc<str>, pins: Vec<Pin>, kind: EventKind) -> Result<Moved, NotMoved> {
        self.0.parts.store.pin(pins.clone()).await?;
        Ok(self.show(channel, &pins, kind))
    }

    /// Lets requests see what a channel points at now.
    fn show(&self, channel: &Arc<str>, pins: &[Pin], kind: EventKind) -> Moved {
        let mut moved = Moved { channel: channel.to_string(), suites: Vec::new() };
        for repository in self.0.repositories().list() {
            let ours: Vec<_> = pins.iter().filter(|pin| pin.repo == *repository.name()).collect();
            if ours.is_empty() {
                continue;
            }
            let view = self.0.suites.view(repository.index).clone();
            for pin in &ours {
                let from = view.pinned(channel, &pin.suite).map(|pinned| pinned.generation);
                if from != Some(pin.generation) {
                    let (repo, suite) = (pin.repo.to_string(), pin.suite.to_string());
                    moved.suites.push(MovedSuite { repo, suite, from, to: pin.generation });
                }
            }
            self.0.suites.change(repository.index, |view| {
                for pin in &ours {
                    let before = view.pinned(channel, &pin.suite);
                    let since = before
                        .filter(|before| before.generation == pin.generation)
                        .map_or(pin.since, |before| before.since);
                    view.set_pin(channel, &pin.suite, Some(Pinned { generation: pin.generation, since }));
                }
            });
        }
        for MovedSuite { repo, suite, to, .. } in &moved.suites {
            let text = format!("the channel {channel} shows generation {to} of {suite}");
            self.tell(kind, &Arc::from(repo.as_str()), suite, &text);
        }
        moved
    }

    /// The configured channels that point at some generation.
    #[must_use]
    pub fn pinning_channels(&self) -> Vec<String> {
        let settings = self.0.settings();
        let points = |name: &Arc<str>| {
            let mut repositories = settings.repositories.list().iter();
            repositories.any(|repository| self.0.suites.view(repository.index).is_pinned_by(name))
        };
        let names = settings.channels.iter().map(|channel| &channel.name);
        names.filter(|name| points(name)).map(ToString::to_string).collect()
    }

    fn channel(&self, name: &str) -> Result<ChannelConfig, NotMoved> {
        let channels = &self.0.settings().channels;
        channels.iter().find(|channel| *channel.name == *name).cloned().ok_or_else(|| {
            let names: Vec<&str> = channels.iter().map(|channel| &*channel.name).collect();
            let known = if names.is_empty() {
                "none is configured: add a [[channel]]".to_owned()
            } else {
                format!("there are {}", names.join(", "))
            };
            NotMoved::Unknown { name: name.to_owned(), known }
        })
    }

    /// Every suite of every repository, as it is now.
    pub(super) fn every_suite(&self) -> Vec<(Arc<Repository>, Suite)> {
        let mut suites = Vec::new();
        for repository in self.0.repositories().list() {
            let view = self.0.suites.view(repository.index);
            let mut ours: Vec<_> = view.suites().collect();
            ours.sort_by_key(|(folder, _)| Arc::clone(folder));
            suites.extend(ours.into_iter().map(|(_, suite)| (Arc::clone(repository), suite.clone())));
        }
        suites
    }

    fn pin(&self, channel: &Arc<str>, repository: &Repository, generation: &Generation) -> Pin {
        Pin {
            channel: Arc::clone(channel),
            repo: Arc::clone(repository.name()),
            suite: Arc::clone(&generation.row.suite),
            generation: generation.row.id,
            since: self.0.parts.clock.unix(),
        }
    }
}

/// Every generation of a suite that is kept, newest first.
pub(super) fn kept(suite: &Suite) -> impl Iterator<Item = &Arc<Generation>> {
    std::iter::once(&suite.current).chain(&suite.older)
}

/// The generation that a channel goes on to, if there is one. `ripe` is when it must have been current at
/// the latest, `now` what the channel points at. A suite that it does not point at anywhere begins with the
/// oldest there is, so that it does not follow `live` until the first has soaked.
fn ripest(
    suite: &Suite,
    ripe: i64,
    now: Option<i64>,
    rolled_back_at: Option<i64>,
) -> Option<&Arc<Generation>> {
    let next = kept(suite).find(|generation| generation.row.created_at <= ripe);
    match now {
        None => next.or_else(|| kept(suite).last()),
        Some(now) => next
            .filter(|next| next.row.id > now)
            .filter(|next| rolled_back_at.is_none_or(|at| next.row.created_at > at)),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::repo::apt::release::Release;
    use crate::store::Check;

    /// Generations 1, 2 and 3, which became current at 100, 200 and 300.
    fn suite() -> Suite {
        let generation = |id: i64| {
            let row = store::Generation {
                id,
                repo: "ubuntu".into(),
                suite: "dists/noble".into(),
                text: crate::digest::Digest::of(b""),
                in_release: None,
                release: None,
                release_gpg: None,
                etag: None,
                last_modified: None,
                upstream: String::new(),
                date: None,
                valid_until: None,
                signers: Vec::new(),
                created_at: id * 100,
                superseded_at: None,
            };
            Arc::new(Generation::new(row, Release::parse(b"Suite: x\nSHA256:\n").unwrap(), None))
        };
        let check = Check {
            repo: "ubuntu".into(),
            suite: "dists/noble".into(),
            checked_at: 0,
            problem: None,
            pending_since: None,
        };
        Suite { current: generation(3), older: vec![generation(2), generation(1)], check }
    }

    #[rstest]
    #[case::nothing_is_ripe_and_nothing_shown(50, None, None, Some(1))]
    #[case::the_first_look(250, None, None, Some(2))]
    #[case::the_next_is_ripe(200, Some(1), None, Some(2))]
    #[case::the_next_is_not_ripe(199, Some(1), None, None)]
    #[case::it_was_promoted_by_hand(250, Some(3), None, None)]
    #[case::what_was_taken_back_stays_away(400, Some(2), Some(350), None)]
    #[case::what_came_later_is_promoted(400, Some(2), Some(250), Some(3))]
    fn a_channel_goes_on(
        #[case] ripe: i64,
        #[case] now: Option<i64>,
        #[case] rolled_back_at: Option<i64>,
        #[case] next: Option<i64>,
    ) {
        let suite = suite();
        assert_eq!(ripest(&suite, ripe, now, rolled_back_at).map(|next| next.row.id), next);
    }
}
