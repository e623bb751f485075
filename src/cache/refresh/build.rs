//! Completing a generation and making it current.

use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt as _;

use super::fetch::{Bytes, Found, Published, good};
use super::judge::{Objection, judge};
use super::{KEPT, USED};
use crate::cache::events::EventKind;
use crate::cache::failure::Failure;
use crate::cache::lookup::Cache;
use crate::digest::Digest;
use crate::outcome::Class;
use crate::repo::apt::release::Release;
use crate::repo::apt::signature::Verified;
use crate::repo::document::Document;
use crate::repo::{Repository, Resource};
use crate::repo_path::RepoPath;
use crate::store::{Check, NewGeneration};
use crate::suite::{Generation, Known, known_index};
use crate::upstream::Backoff;

/// Indices of a new generation that are fetched at the same time.
const AT_ONCE: usize = 4;

/// How long the table of an index stays that no generation lists (yet), in seconds.
const TABLES_FOR: i64 = 3600;

impl Cache {
    /// One refresh: the story that the module's documentation tells.
    pub(super) async fn check_suite(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
    ) -> Result<(), Failure> {
        let current = self.current(repository, folder);
        let mut backoff = Backoff::new(self.0.settings().retries);
        let failure = loop {
            match self.ask_all(repository, folder, current.as_deref()).await {
                Ok(()) => return Ok(()),
                Err(failure) if current.is_none() && failure.is_transient() => match backoff.next() {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => break failure,
                },
                Err(failure) => break failure,
            }
        };
        if current.is_some() {
            let problem = failure.to_string();
            let text = format!("the suite stays as it is: {problem}");
            self.tell(EventKind::Pending, repository.name(), folder.as_str(), &text);
            self.note_check(repository, folder, Some(problem)).await;
        }
        Err(failure)
    }

    /// Asks one upstream after the other until one has a state that may be served.
    async fn ask_all(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        current: Option<&Generation>,
    ) -> Result<(), Failure> {
        // What the disk has lost, upstream must send although it has not changed.
        let whole = match current {
            Some(current) => self.is_whole(current).await.then_some(current),
            None => None,
        };
        let mut failure = Failure::Unreachable("no upstream is configured".into());
        for mirror in self.mirrors(repository.index).order(Instant::now()) {
            match self.ask_release(repository, folder, mirror, whole).await {
                Ok(Found::Same) => {
                    self.note_check(repository, folder, None).await;
                    return Ok(());
                }
                Ok(Found::New(published, verified)) => {
                    match self.consider(repository, folder, *published, verified, current).await {
                        Ok(()) => return Ok(()),
                        Err(why) => failure = why,
                    }
                }
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    /// Whether every form of the release file that the generation has is in the store.
    async fn is_whole(&self, generation: &Generation) -> bool {
        let row = &generation.row;
        let forms = [row.in_release, row.release, row.release_gpg].into_iter().flatten();
        let (store, forms) = (self.0.parts.store.clone(), forms.collect::<Vec<_>>());
        let here = move || forms.iter().all(|form| matches!(store.object(form), Ok(Some(_))));
        tokio::task::spawn_blocking(here).await.unwrap_or(true)
    }

    pub(in crate::cache) fn current(
        &self,
        repository: &Repository,
        folder: &RepoPath,
    ) -> Option<Arc<Generation>> {
        self.0.suites.view(repository.index).suite(folder.as_str()).map(|suite| Arc::clone(&suite.current))
    }

    /// Judges a new release file, completes its generation and switches to it.
    pub(super) async fn consider(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        published: Published,
        verified: Verified,
        current: Option<&Generation>,
    ) -> Result<(), Failure> {
        let Verified { text, signers } = verified;
        let unfit = |why: String| Failure::Untrusted {
            upstream: published.upstream.as_str().into(),
            why: why.into(),
        };
        let document = Document::of(&repository.config, folder);
        let release = document.read(&text).map_err(|error| unfit(error.to_string()))?;
        let now = self.0.parts.clock.unix();
        if let Err(objection) = judge(&release, current.and_then(|current| current.row.date), now) {
            self.0.parts.metrics.verify_failure(repository.name(), "release-date");
            let kind = match objection {
                Objection::Older => Some(EventKind::DateBack),
                Objection::Expired => Some(EventKind::Expired),
                Objection::Future => None,
            };
            if let Some(kind) = kind {
                let text = format!("the release file of {} was refused: {objection}", published.upstream);
                self.tell(kind, repository.name(), folder.as_str(), &text);
            }
            return Err(unfit(objection.to_string()));
        }
        let signers = good(&signers);
        if let Some(current) = current {
            let keyring = self.0.keyrings[repository.index].load_full();
            if !keyring.is_same_signer(&current.row.signers, &signers, self.0.parts.clock.now()) {
                self.0.parts.metrics.verify_failure(repository.name(), "signing-key-changed");
                let text = format!(
                    "the suite is signed by {}, and was by {}",
                    signers.join(", "),
                    current.row.signers.join(", ")
                );
                self.tell(EventKind::SigningKeyChanged, repository.name(), folder.as_str(), &text);
                return Err(unfit(
                    "it is signed by another key than the one that is served, which is still \
                    in the keyring; if this is right, remove the old key there"
                        .to_owned(),
                ));
            }
            if release == current.release && Self::is_same(current, &published, &text) {
                // An upstream that does not know, or does not tell, that nothing has changed.
                self.put_form(published.form).await?;
                self.note_check(repository, folder, None).await;
                return Ok(());
            }
        }
        let indices = self.complete(repository, folder, &release).await?;
        self.adopt(repository, folder, (published, text), release, (signers, indices)).await
    }

    /// Whether what was published is what the generation has, byte for byte.
    fn is_same(current: &Generation, published: &Published, text: &[u8]) -> bool {
        let row = &current.row;
        let is = |known: Option<Digest>, bytes: &[u8]| known == Some(Digest::of(bytes));
        row.text == Digest::of(text)
            && match &published.form {
                Bytes::Inline(bytes) => is(row.in_release, bytes),
                Bytes::Pair(release, None) => is(row.release, release) && row.release_gpg.is_none(),
                Bytes::Pair(release, Some(signature)) => {
                    is(row.release, release) && is(row.release_gpg, signature)
                }
            }
    }

    /// Stores the files of a release file: `InRelease`, `Release`, `Release.gpg`.
    pub(super) async fn put_form(&self, form: Bytes) -> Result<[Option<Digest>; 3], Failure> {
        let put = async |bytes: Option<Vec<u8>>| match bytes {
            Some(bytes) => self.put(bytes).await.map(Some),
            None => Ok(None),
        };
        Ok(match form {
            Bytes::Inline(bytes) => [put(Some(bytes)).await?, None, None],
            Bytes::Pair(release, signature) => [None, put(Some(release)).await?, put(signature).await?],
        })
    }

    async fn put(&self, bytes: Vec<u8>) -> Result<Digest, Failure> {
        let put = self.0.parts.store.put_object(bytes).await;
        put.map(|blob| blob.digest).map_err(|error| Failure::store(&error))
    }

    /// Fetches every index of the new generation that is used here and not in the store yet, and gives
    /// them all.
    async fn complete(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        release: &Release,
    ) -> Result<Vec<Digest>, Failure> {
        let used = self.used(repository, folder).await?;
        let wanted = used
            .iter()
            .filter_map(|path| release.find(path))
            .map(|listed| known_index(folder, release, listed));
        let mut fetched = futures_util::stream::iter(wanted.collect::<Vec<_>>())
            .map(|known| self.obtain(repository, known))
            .buffer_unordered(AT_ONCE);
        let mut indices = Vec::new();
        while let Some(index) = fetched.next().await {
            indices.push(index?);
        }
        self.0.building.done().await;
        Ok(indices)
    }

    async fn used(&self, repository: &Arc<Repository>, folder: &RepoPath) -> Result<Vec<Arc<str>>, Failure> {
        let store = self.0.parts.store.clone();
        let (repo, folder) = (Arc::clone(repository.name()), folder.clone());
        let since = self.0.parts.clock.unix() - USED;
        tokio::task::spawn_blocking(move || store.working_set(&repo, folder.as_str(), since))
            .await
            .map_err(|_| Failure::Stopping)?
            .map_err(|error| Failure::store(&error))
    }

    /// Has an index fetched, checked, stored and read, whatever is here of it already.
    async fn obtain(&self, repository: &Arc<Repository>, known: Known) -> Result<Digest, Failure> {
        let Some((folder, path)) = &known.index else { return Err(Failure::Stopping) };
        let resource = Resource::new(Arc::clone(repository), folder.child(path.as_str()), None);
        let entry = self.have(&resource, &known, Class::Refresh).await?;
        self.learn(repository, &known, entry.meta.digest).await;
        Ok(entry.meta.digest)
    }

    async fn adopt(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        (published, text): (Published, Vec<u8>),
        release: Release,
        (signers, indices): (Vec<String>, Vec<Digest>),
    ) -> Result<(), Failure> {
        let store = &self.0.parts.store;
        let text = self.put(text).await?;
        let Published { form, etag, last_modified, upstream } = published;
        let [in_release, plain, signature] = self.put_form(form).await?;
        let now = self.0.parts.clock.unix();
        let new = NewGeneration {
            repo: Arc::clone(repository.name()),
            suite: folder.as_str().into(),
            text,
            in_release,
            release: plain,
            release_gpg: signature,
            etag,
            last_modified: Some(last_modified.unwrap_or(now)),
            upstream,
            date: release.date,
            valid_until: release.valid_until,
            signers,
        };
        let row = store.adopt(new, indices).await.map_err(|error| Failure::store(&error))?;
        let text = format!("generation {} is current", row.id);
        self.tell(EventKind::Adopted, repository.name(), folder.as_str(), &text);
        let check = self.checked(repository, folder, None);
        let before = self.current(repository, folder);
        let generation = Arc::new(Generation::new(row, release, before.as_deref()));
        self.0.suites.change(repository.index, |view| view.adopt(Arc::clone(&generation), check.clone()));
        self.save_check(check).await;
        Ok(())
    }

    fn checked(&self, repository: &Repository, folder: &RepoPath, problem: Option<String>) -> Check {
        let now = self.0.parts.clock.unix();
        let view = self.0.suites.view(repository.index);
        let before = view.suite(folder.as_str()).and_then(|suite| suite.check.pending_since);
        Check {
            repo: Arc::clone(repository.name()),
            suite: folder.as_str().into(),
            checked_at: now,
            pending_since: problem.as_ref().map(|_| before.unwrap_or(now)),
            problem,
        }
    }

    async fn note_check(&self, repository: &Repository, folder: &RepoPath, problem: Option<String>) {
        let mut check = self.checked(repository, folder, problem);
        if check.problem.is_some() {
            // A failed check says nothing about how current the suite is.
            let view = self.0.suites.view(repository.index);
            check.checked_at = view.suite(folder.as_str()).map_or(0, |suite| suite.check.checked_at);
        }
        self.0.suites.change(repository.index, |view| view.set_check(check.clone()));
        self.save_check(check).await;
    }

    async fn save_check(&self, check: Check) {
        if let Err(error) = self.0.parts.store.set_check(check).await {
            tracing::warn!(%error, "the check of a suite cannot be noted");
        }
    }

    /// Drops generations that were superseded long ago and that no channel needs, and the tables of what
    /// nobody lists any more.
    pub(super) async fn forget_generations(&self) {
        if let Err(error) = self.0.parts.store.let_go_unpinned().await {
            tracing::warn!(%error, "what channels do not point at any more is still held");
        }
        let oldest = self.0.parts.clock.unix() - self.kept_for();
        let store = self.0.parts.store.clone();
        let gone = tokio::task::spawn_blocking(move || store.droppable(oldest)).await;
        let Ok(Ok(gone)) = gone else { return };
        // First, so that a crash in between leaves it to be done again.
        if !gone.is_empty() {
            self.retire(&gone).await;
        }
        if !gone.is_empty()
            && let Err(error) = self.0.parts.store.drop_generations(gone.clone()).await
        {
            tracing::warn!(%error, "old generations cannot be dropped");
            return;
        }
        let before = self.0.parts.clock.unix() - TABLES_FOR;
        for repository in self.0.repositories().list() {
            let stale = self.0.suites.view(repository.index).has_tables_before(before);
            if stale || !gone.is_empty() {
                self.0.suites.change(repository.index, |view| {
                    view.drop_older(&gone);
                    view.forget_tables(before);
                });
            }
        }
    }

    /// How long superseded generations are kept, in seconds: as long as some channel may still be promoted
    /// to them.
    pub(in crate::cache) fn kept_for(&self) -> i64 {
        let settings = self.0.settings();
        let longest = settings.channels.iter().filter_map(|channel| channel.after).max();
        let longest = longest.map_or(0, |after| i64::try_from(after.as_secs()).unwrap_or(i64::MAX / 2));
        // A day more, for a server that was off when its time came.
        KEPT.max(longest + 24 * 3600)
    }
}
