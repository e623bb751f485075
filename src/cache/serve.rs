//! From a resource to its answer.
//!
//! First the [suites](crate::suite) say what is known of the bytes. Bytes known by hash are served from any
//! copy that has it, and fetched against it otherwise. The release file of a suite is the current
//! generation's, checked with upstream now and then. What nothing vouches for is kept by the rules of its
//! class.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{Answer, Freshness};
use super::entry::Entry;
use super::failure::Failure;
use super::flight::{End, Flight, Landing};
use super::goal::{Goal, is_expected};
use super::lookup::{Cache, key_of};
use super::policy::{self, Decision, NotStored};
use super::refresh::Refreshed;
use crate::digest::Digest;
use crate::outcome::{Class, Outcome};
use crate::repo::apt::checksum::Checksum;
use crate::repo::document::Form;
use crate::repo::{Kind, PathClass, Repository, Resource, Unlisted};
use crate::repo_path::RepoPath;
use crate::store::{EntryKey, EntryMeta};
use crate::suite::{Channel, Known, Resolution, Suite};

/// How long a client waits for the first sign of upstream while no copy is at hand. apt gives up on 30 s of silence
/// and would ask again without having been told why; a 503 with a body before that makes it retry and shows the reason.
pub(super) const PATIENCE: Duration = Duration::from_secs(25);

impl Cache {
    /// Answers a request of `client` for `resource` as `channel` shows it. With `head_only` a
    /// body that is neither here nor on its way is not fetched just to describe it.
    pub async fn serve(
        &self,
        resource: &Resource,
        channel: &Channel,
        client: IpAddr,
        head_only: bool,
    ) -> Answer {
        match self.at_once(resource, channel, (!head_only).then_some(client)) {
            Some(answer) => answer,
            // By itself: a connection whose every request is a hit needs no room for all that may have to be
            // waited for otherwise.
            None => Box::pin(self.serve_slowly(resource, channel, client, head_only)).await,
        }
    }

    async fn serve_slowly(
        &self,
        resource: &Resource,
        channel: &Channel,
        client: IpAddr,
        head_only: bool,
    ) -> Answer {
        let mut answer = self.answer(resource, channel, client, head_only).await;
        if head_only {
            return answer;
        }
        // Once more for a copy that turned out damaged. What has just come is not hashed again, so that a
        // second damage means a disk that changes what it is given.
        for _ in 0..2 {
            match self.recheck(resource, answer).await {
                Some(answer) => return answer,
                None => answer = self.answer(resource, channel, client, head_only).await,
            }
        }
        Answer::Failed(Failure::Damaged { upstream: "the disk of this server".into() })
    }

    /// The answer to a request for something that was asked for before, if nothing has changed since: the
    /// copy is held open and was hashed lately, and the same indices list it under this name.
    fn at_once(&self, resource: &Resource, channel: &Channel, client: Option<IpAddr>) -> Option<Answer> {
        if *channel != Channel::Live || resource.class != PathClass::Immutable {
            return None;
        }
        let entry = self.newest(&key_of(resource))?;
        let stamp = self.0.suites.view(resource.repository.index).stamp();
        let now = self.0.parts.clock.unix();
        if !entry.is_listed_in(stamp) || !self.is_trusted(&entry, now) {
            return None;
        }
        if entry.note_use(now) {
            self.0.parts.store.touch(&entry.meta.digest);
        }
        if let Some(client) = client {
            self.note_package(resource, client, Some(&entry));
        }
        Some(Answer::Stored { entry, outcome: Outcome::Hit, freshness: Freshness::Fresh, checked_at: None })
    }

    async fn answer(
        &self,
        resource: &Resource,
        channel: &Channel,
        client: IpAddr,
        head_only: bool,
    ) -> Answer {
        // Taken before what is listed is looked up: a change in between makes the note useless, never wrong.
        let stamp = self.0.suites.view(resource.repository.index).stamp();
        match self.resolve(resource, channel, client).await {
            Ok(Resolved::Open) => self.serve_open(resource, Goal::open(resource), head_only).await,
            Ok(Resolved::Head { digest, freshness, outcome }) => {
                self.note_given(resource, client, digest);
                self.serve_head(resource, channel, digest, freshness, outcome).await
            }
            Ok(Resolved::Known(known)) => {
                let client = (!head_only).then_some(client);
                let answer = self.serve_known(resource, channel, &known, client).await;
                // What an index is good for depends on who asks; a package is the same for everybody.
                if let Answer::Stored { entry, outcome: Outcome::Hit, .. } = &answer
                    && *channel == Channel::Live
                    && known.index.is_none()
                {
                    entry.note_listed(stamp);
                }
                answer
            }
            Ok(Resolved::Unlisted) if keeps_unlisted(resource) => {
                self.serve_open(resource, Goal::unlisted(resource), head_only).await
            }
            Ok(Resolved::Unlisted) => self.direct(resource, head_only, "unlisted").await,
            Err(failure) => Answer::Failed(failure),
        }
    }

    /// Starts fetching what a client is about to ask for, unless it is here or on its way.
    pub async fn prefetch(&self, resource: &Resource, channel: &Channel, client: IpAddr) {
        match self.resolution(resource, channel, client) {
            Resolution::Open => {
                let key = key_of(resource);
                let Ok(kept) = self.load(&key).await else { return };
                let fresh =
                    kept.as_ref().is_some_and(|entry| self.decide(resource, entry) == Decision::Serve);
                if !fresh && !self.is_hopeless(resource, &key) {
                    // A refusal here is repeated, and told, when the request itself arrives.
                    let _ = self.join_or_start(resource, key, Goal::open(resource), kept, Class::Client);
                }
            }
            Resolution::Known(known) => {
                if matches!(self.find_known(resource, channel, &known).await, Ok(None)) {
                    let key = flight_key(resource, &known);
                    let _ = self.join_or_start(resource, key, Goal::known(&known), None, Class::Client);
                }
            }
            // These wait for a release file, of which there is one at a time anyway.
            Resolution::Head { .. }
            | Resolution::UnknownSuite(_)
            | Resolution::OtherForm
            | Resolution::Unlisted => {}
        }
    }

    /// What the generations that are here say about a resource.
    pub(crate) fn resolution(&self, resource: &Resource, channel: &Channel, client: IpAddr) -> Resolution {
        let given = self.given(resource, client);
        self.0.suites.view(resource.repository.index).resolve(resource, channel, given)
    }

    async fn resolve(
        &self,
        resource: &Resource,
        channel: &Channel,
        client: IpAddr,
    ) -> Result<Resolved, Failure> {
        let repository = &resource.repository;
        if repository.config.kind == Kind::Files && resource.class == PathClass::Other {
            return self.resolve_file(resource, channel).await;
        }
        let given = self.given(resource, client);
        let look = || self.0.suites.view(repository.index).resolve(resource, channel, given);
        let mut resolution = look();
        if let Resolution::UnknownSuite(folder) = &resolution {
            match self.refresh(repository, folder, PATIENCE).await {
                Refreshed::Done => resolution = look(),
                // Below `dists` lie files that belong to no suite.
                Refreshed::Failed(Failure::NotFound { .. }) if resource.class != PathClass::Release => {
                    resolution = Resolution::Unlisted;
                }
                Refreshed::Failed(failure) => return Err(failure),
                Refreshed::Impatient => return Err(Failure::Waiting(PATIENCE)),
            }
            if let Resolution::Head { digest } = resolution {
                return Ok(Resolved::Head { digest, freshness: Freshness::Checked, outcome: Outcome::Miss });
            }
        }
        if resolution == Resolution::Unlisted
            && resource.class == PathClass::Immutable
            && self.0.building.done().await
        {
            resolution = look();
        }
        match resolution {
            Resolution::Open => Ok(Resolved::Open),
            Resolution::Known(known) => Ok(Resolved::Known(known)),
            // Still unknown after a refresh: the archive has no such suite.
            Resolution::Unlisted | Resolution::UnknownSuite(_) => Ok(Resolved::Unlisted),
            Resolution::OtherForm => self.other_form(resource, channel, given).await,
            Resolution::Head { digest } => {
                let (folder, form) = resource.head().ok_or_else(|| no_such_file(repository))?;
                if form == Form::Signature {
                    // It belongs to the text that was given a moment ago.
                    return Ok(Resolved::Head { digest, freshness: Freshness::Fresh, outcome: Outcome::Hit });
                }
                let (freshness, outcome) = self.ask_again(repository, &folder, channel).await;
                // The refresh may have switched to a new generation.
                let digest = match look() {
                    Resolution::Head { digest } => digest,
                    _ => digest,
                };
                Ok(Resolved::Head { digest, freshness, outcome })
            }
        }
    }

    /// Has upstream asked about a suite when its time has come, and says how current it is.
    pub(super) async fn ask_again(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        channel: &Channel,
    ) -> (Freshness, Outcome) {
        let view = self.0.suites.view(repository.index).clone();
        let Some(suite) = view.suite(folder.as_str()) else { return (Freshness::Fresh, Outcome::Hit) };
        let shown = view.shown(channel, folder.as_str());
        if shown.is_some_and(|shown| shown.row.id != suite.current.row.id) {
            // What a channel holds on to does not depend on what upstream says today; yet `live` has to
            // move on, even if nobody looks at it, for the channel to have something to be promoted to.
            let due = !self.is_young(suite, repository.check_every());
            if due && !self.mirrors(repository.index).all_resting(Instant::now()) {
                self.start_refresh(repository, folder);
            }
            return (Freshness::Fresh, Outcome::Hit);
        }
        if self.is_young(suite, repository.check_every()) {
            return (Freshness::Fresh, Outcome::Hit);
        }
        if let Some(failure) = self.failed_lately(repository, folder) {
            return (Freshness::Unchecked(failure.to_string().into()), Outcome::Stale);
        }
        if self.mirrors(repository.index).all_resting(Instant::now()) {
            return (Freshness::Unchecked("every upstream failed a moment ago".into()), Outcome::Stale);
        }
        match self.refresh(repository, folder, self.0.settings().patience).await {
            Refreshed::Done => (Freshness::Checked, Outcome::Revalidated),
            Refreshed::Failed(why) => (Freshness::Unchecked(why.to_string().into()), Outcome::Stale),
            Refreshed::Impatient => {
                (Freshness::Unchecked("upstream does not answer yet".into()), Outcome::Stale)
            }
        }
    }

    fn is_young(&self, suite: &Suite, check_every: Duration) -> bool {
        let age = self.0.parts.clock.unix() - suite.check.checked_at;
        u64::try_from(age).is_ok_and(|age| age < check_every.as_secs())
    }

    async fn serve_head(
        &self,
        resource: &Resource,
        channel: &Channel,
        digest: Digest,
        freshness: Freshness,
        outcome: Outcome,
    ) -> Answer {
        let about = |suite: &Suite| {
            let generation = suite.with_object(&digest).map(|generation| generation.shown_date);
            (generation, suite.check.checked_at)
        };
        let view = self.0.suites.view(resource.repository.index).clone();
        let folder = resource.head().map(|(folder, _)| folder);
        let suite = folder.as_ref().and_then(|folder| view.suite(folder.as_str()));
        let (date, checked_at) = suite.map(about).unwrap_or_default();
        let mut found = self.object_entry(resource, channel, digest, date).await;
        if matches!(found, Ok(None))
            && let Some(folder) = &folder
        {
            // The disk has lost it. A refresh fetches again what upstream still has.
            self.refresh(&resource.repository, folder, PATIENCE).await;
            found = self.object_entry(resource, channel, digest, date).await;
        }
        match found {
            Ok(Some(entry)) => {
                self.0.parts.store.touch(&digest);
                Answer::Stored { entry, outcome, freshness, checked_at: Some(checked_at) }
            }
            Ok(None) => {
                Answer::Failed(Failure::Store("the release file that is current is not in the store".into()))
            }
            Err(failure) => Answer::Failed(failure),
        }
    }

    async fn serve_known(
        &self,
        resource: &Resource,
        channel: &Channel,
        known: &Known,
        // Who asks for the body; nobody where only the head is wanted.
        client: Option<IpAddr>,
    ) -> Answer {
        let head_only = client.is_none();
        match self.find_known(resource, channel, known).await {
            Ok(Some(entry)) => {
                self.note_use(resource, known);
                self.learn(&resource.repository, known, entry.meta.digest).await;
                let answer = self.hit(Arc::clone(&entry), Freshness::Fresh, Outcome::Hit);
                if let Some(client) = client {
                    self.note_demand(resource, known, client, Some(&entry));
                }
                return answer;
            }
            Ok(None) => {}
            Err(failure) => return Answer::Failed(failure),
        }
        if let Some(client) = client {
            self.note_demand(resource, known, client, None);
        }
        let key = flight_key(resource, known);
        if let Some(failure) = self.recently_missing(&key) {
            return Answer::Failed(failure);
        }
        if head_only && known.index.is_none() && self.is_nowhere(resource, &key) {
            return self.direct(resource, true, "head").await;
        }
        loop {
            let begun = self.join_or_start(resource, key.clone(), Goal::known(known), None, Class::Client);
            let answer = match begun {
                Ok((flight, joined)) => self.land(resource, head_only, &flight, joined, None).await,
                Err(failure) => Answer::Failed(failure),
            };
            // A seed had given it up a moment before. The next one is ours, and nobody gives that up.
            if !matches!(answer, Answer::Failed(Failure::Halted)) {
                return answer;
            }
        }
    }

    /// Whether something that was not here a moment ago is neither on its way by now nor has it come in
    /// between. A flight shows its object before it leaves the table: hence the order.
    fn is_nowhere(&self, resource: &Resource, flight: &EntryKey) -> bool {
        !self.is_flying(flight) && self.newest(&key_of(resource)).is_none()
    }

    /// Counts an index among those that are used here, now that somebody got it. One that is listed but
    /// cannot be had must not keep the next generation waiting.
    pub(super) fn note_use(&self, resource: &Resource, known: &Known) {
        if let Some((folder, path)) = &known.index {
            self.0.parts.store.note_use(resource.repository.name(), folder.as_str(), path.as_str());
        }
    }

    /// Has known bytes in the store, and gives their entry.
    pub(super) async fn have(
        &self,
        resource: &Resource,
        known: &Known,
        class: Class,
    ) -> Result<Arc<Entry>, Failure> {
        if let Some(entry) = self.find_known(resource, &Channel::Live, known).await? {
            return Ok(entry);
        }
        let key = flight_key(resource, known);
        loop {
            let (flight, _) = self.join_or_start(resource, key.clone(), Goal::known(known), None, class)?;
            return match flight.ended().await {
                End::Committed(entry) | End::Confirmed(entry) => Ok(entry),
                // Given up before we joined it.
                End::Failed(Failure::Halted) if class != Class::Seed => continue,
                End::Kept(_, failure) | End::Failed(failure) => Err(failure),
                End::Direct(reason) => Err(Failure::Store(format!("not stored: {}", reason.as_str()).into())),
            };
        }
    }

    /// A copy of known bytes: under this name, or under any.
    pub(super) async fn find_known(
        &self,
        resource: &Resource,
        channel: &Channel,
        known: &Known,
    ) -> Result<Option<Arc<Entry>>, Failure> {
        let is_it = |entry: &Arc<Entry>| is_expected(&known.expected, &entry.meta);
        if let Some(entry) = self.load(&key_of(resource)).await?.filter(is_it) {
            return Ok(Some(entry));
        }
        match known.expected.checksum {
            Checksum::Sha256(digest) => self.object_entry(resource, channel, digest, None).await,
            checksum @ Checksum::Sha512(_) => {
                let named = self.load(&checksum_key(&resource.repository, &checksum)).await?;
                Ok(named.filter(is_it))
            }
        }
    }

    /// An entry for an object that is in the store under whatever name, or `None`.
    async fn object_entry(
        &self,
        resource: &Resource,
        channel: &Channel,
        digest: Digest,
        last_modified: Option<i64>,
    ) -> Result<Option<Arc<Entry>>, Failure> {
        let plain = key_of(resource);
        // Two channels may show two objects under one name. The name is that of `live`'s; what others show
        // is kept by its hash, so that they do not drive each other out.
        let key = match channel {
            Channel::Live => plain.clone(),
            Channel::Named(_) | Channel::At(_) => {
                checksum_key(&resource.repository, &Checksum::Sha256(digest))
            }
        };
        for key in [&plain, &key] {
            if let Some(entry) = self.0.open.get(key).filter(|entry| entry.meta.digest == digest) {
                return Ok(Some(entry));
            }
        }
        let store = self.0.parts.store.clone();
        let wanted = key.clone();
        let found = tokio::task::spawn_blocking(move || {
            let Some(blob) = store.object(&digest)? else { return Ok(None) };
            Ok(Some((blob, store.entry(&wanted)?)))
        });
        let found = found.await.map_err(|_| Failure::Stopping)?;
        let Some((blob, named)) = found.map_err(|error: crate::store::Error| Failure::store(&error))? else {
            return Ok(None);
        };
        let now = self.0.parts.clock.unix();
        let meta = named.filter(|meta| meta.digest == digest).unwrap_or_else(|| EntryMeta {
            digest,
            size: blob.size,
            etag: None,
            last_modified: Some(last_modified.unwrap_or(now)),
            content_type: None,
            fetched_at: now,
            validated_at: now,
            upstream: String::new(),
            policy: None,
        });
        if let Err(error) = self.0.parts.store.put_entry(key.clone(), meta.clone()).await {
            tracing::warn!(%error, path = %key.path, "another name of an object cannot be noted");
        }
        let entry = Arc::new(Entry::new(meta, blob));
        self.0.open.insert(key, Arc::clone(&entry));
        Ok(Some(entry))
    }

    async fn serve_open(&self, resource: &Resource, goal: Goal, head_only: bool) -> Answer {
        let key = key_of(resource);
        let Ok(kept) = self.load(&key).await else {
            // A store that cannot be read is no reason to refuse what upstream has.
            return self.direct(resource, head_only, NotStored::StoreFailed.as_str()).await;
        };
        if let Some(entry) = &kept {
            if self.decide(resource, entry) == Decision::Serve {
                return self.hit(Arc::clone(entry), Freshness::Fresh, Outcome::Hit);
            }
            if self.mirrors(resource.repository.index).all_resting(Instant::now()) {
                let why = Arc::from("every upstream failed a moment ago");
                return self.hit(Arc::clone(entry), Freshness::Unchecked(why), Outcome::Stale);
            }
        }
        if let Some(failure) = self.recently_missing(&key) {
            return self.kept_or(resource, kept, failure);
        }
        if let Some(reason) = self.recently_direct(&key) {
            return self.direct_or(resource, head_only, reason, kept).await;
        }
        let probe = head_only && kept.is_none() && !resource.class.is_of_suite();
        if probe && self.is_nowhere(resource, &key) {
            return self.direct(resource, true, "head").await;
        }
        match self.join_or_start(resource, key, goal, kept.clone(), Class::Client) {
            Ok((flight, joined)) => self.land(resource, head_only, &flight, joined, kept).await,
            Err(failure) => self.kept_or(resource, kept, failure),
        }
    }

    async fn land(
        &self,
        resource: &Resource,
        head_only: bool,
        flight: &Arc<Flight>,
        joined: bool,
        kept: Option<Arc<Entry>>,
    ) -> Answer {
        let outcome = if joined { Outcome::Joined } else { Outcome::Miss };
        let limit = if kept.is_some() { self.0.settings().patience } else { PATIENCE };
        // Who joins late does not wait as long again for an upstream that is already known to be slow.
        let patience = if kept.is_some() { limit.saturating_sub(flight.started.elapsed()) } else { limit };
        match flight.landing(patience).await {
            Landing::Streaming(head) => {
                Answer::Flying { flight: Arc::clone(flight), head, outcome, seeded: None }
            }
            Landing::Impatient => match kept {
                Some(entry) => {
                    let why = Arc::from("upstream does not answer");
                    self.hit(entry, Freshness::Unchecked(why), Outcome::Stale)
                }
                None => Answer::Failed(Failure::Waiting(limit)),
            },
            Landing::Ended(End::Committed(entry)) => self.hit(entry, Freshness::Checked, outcome),
            Landing::Ended(End::Confirmed(entry)) => {
                self.hit(entry, Freshness::Checked, Outcome::Revalidated)
            }
            Landing::Ended(End::Kept(entry, why)) => {
                self.hit(entry, Freshness::Unchecked(why.to_string().into()), Outcome::Stale)
            }
            Landing::Ended(End::Direct(reason)) => {
                self.direct_or(resource, head_only, reason.as_str(), kept).await
            }
            Landing::Ended(End::Failed(failure)) => Answer::Failed(failure),
        }
    }

    /// The kept copy, where there is one that this failure leaves standing.
    fn kept_or(&self, resource: &Resource, kept: Option<Arc<Entry>>, failure: Failure) -> Answer {
        match kept {
            Some(entry) if policy::outlives(resource.class, &failure) => {
                self.hit(entry, Freshness::Unchecked(failure.to_string().into()), Outcome::Stale)
            }
            _ => Answer::Failed(failure),
        }
    }

    async fn direct_or(
        &self,
        resource: &Resource,
        head_only: bool,
        reason: &'static str,
        kept: Option<Arc<Entry>>,
    ) -> Answer {
        match self.direct(resource, head_only, reason).await {
            Answer::Failed(failure) => self.kept_or(resource, kept, failure),
            answer => answer,
        }
    }

    fn hit(&self, entry: Arc<Entry>, freshness: Freshness, outcome: Outcome) -> Answer {
        if entry.note_use(self.0.parts.clock.unix()) {
            self.0.parts.store.touch(&entry.meta.digest);
        }
        Answer::Stored { entry, outcome, freshness, checked_at: None }
    }

    fn is_hopeless(&self, resource: &Resource, key: &EntryKey) -> bool {
        self.mirrors(resource.repository.index).all_resting(Instant::now())
            || self.recently_missing(key).is_some()
            || self.recently_direct(key).is_some()
    }
}

/// A resolution that needs no more waiting.
pub(super) enum Resolved {
    Open,
    Head { digest: Digest, freshness: Freshness, outcome: Outcome },
    Known(Known),
    Unlisted,
}

fn no_such_file(repository: &Repository) -> Failure {
    let upstream = repository.config.upstreams.first().map_or("upstream", |base| base.origin.host.as_str());
    Failure::NotFound { upstream: upstream.into() }
}

/// Bytes that are known by hash are fetched once, whatever names they are asked for under.
pub(super) fn flight_key(resource: &Resource, known: &Known) -> EntryKey {
    checksum_key(&resource.repository, &known.expected.checksum)
}

/// The name of bytes that stands for their checksum alone; no path of a repository has a colon there.
pub(super) fn checksum_key(repository: &Repository, checksum: &Checksum) -> EntryKey {
    let path = match checksum {
        Checksum::Sha256(digest) => format!("sha256:{digest}"),
        Checksum::Sha512(half) => format!("sha512:{}", Digest::from_bytes(*half)),
    };
    EntryKey { repo: Arc::clone(repository.name()), path: path.into() }
}

/// Whether a file that no index lists is kept all the same. A release file never is: it would vouch for
/// what nobody vouched for.
fn keeps_unlisted(resource: &Resource) -> bool {
    resource.repository.config.unlisted == Unlisted::Keep && resource.class != PathClass::Release
}
