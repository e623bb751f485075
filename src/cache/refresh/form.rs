//! The other form of a suite's release file.
//!
//! Upstream publishes a suite as `InRelease` and as `Release` with `Release.gpg`; a generation is adopted
//! from one of them. A client that asks for the other gets it once it has been fetched and says the same
//! as the generation that is current: a pair from another state would not fit its indices.

use std::sync::Arc;
use std::time::Instant;

use super::fetch::{Bytes, Found};
use crate::cache::answer::Freshness;
use crate::cache::failure::Failure;
use crate::cache::lookup::Cache;
use crate::cache::serve::Resolved;
use crate::digest::Digest;
use crate::outcome::Outcome;
use crate::repo::Resource;
use crate::repo::document::{Document, Form};
use crate::store;
use crate::suite::{Channel, Generation, Resolution};

impl Cache {
    /// Fetches what `resource` asks for beside the form that the current generation has.
    pub(in crate::cache) async fn other_form(
        &self,
        resource: &Resource,
        channel: &Channel,
        given: Option<i64>,
    ) -> Result<Resolved, Failure> {
        let repository = &resource.repository;
        let wrong = || Failure::NotFound { upstream: "the archive".into() };
        let (folder, form) = resource.head().ok_or_else(wrong)?;
        let current = self.current(repository, &folder).ok_or_else(wrong)?;
        let view = self.0.suites.view(repository.index).clone();
        if view.shown(channel, folder.as_str()).is_some_and(|shown| shown.row.id != current.row.id) {
            // Upstream has it only for what is current. apt tries the form that is here next.
            return Err(wrong());
        }
        if form == Form::InRelease {
            // A refresh asks for this form first: where the current generation does not have it, upstream did
            // not have it either, and only the next refresh can tell otherwise.
            let (freshness, outcome) = self.ask_again(repository, &folder, channel).await;
            return match self.0.suites.view(repository.index).resolve(resource, channel, given) {
                Resolution::Head { digest } => Ok(Resolved::Head { digest, freshness, outcome }),
                _ => Err(wrong()),
            };
        }
        let document = Document::of(&repository.config, &folder);
        let mut failure = wrong();
        for mirror in self.mirrors(repository.index).order(Instant::now()) {
            match self.pair(repository, &folder, mirror, None).await {
                Ok(Found::New(published, verified))
                    if document.read(&verified.text).as_ref() == Ok(&current.release)
                        && (document == Document::Release
                            || current.row.text == Digest::of(&verified.text)) =>
                {
                    self.attach(resource, &current, published.form).await?;
                    let found = self.0.suites.view(repository.index).resolve(resource, channel, given);
                    return match found {
                        Resolution::Head { digest } => Ok(Resolved::Head {
                            digest,
                            freshness: Freshness::Checked,
                            outcome: Outcome::Miss,
                        }),
                        _ => Err(wrong()),
                    };
                }
                Ok(_) => {
                    let upstream = self.mirrors(repository.index).base(mirror).origin.host.as_str().into();
                    failure = Failure::Changed { upstream };
                }
                Err(why) => failure = why,
            }
        }
        Err(failure)
    }

    async fn attach(&self, resource: &Resource, current: &Generation, form: Bytes) -> Result<(), Failure> {
        let [in_release, release, release_gpg] = self.put_form(form).await?;
        let in_release = in_release.or(current.row.in_release);
        let release = release.or(current.row.release);
        let release_gpg = release_gpg.or(current.row.release_gpg);
        if let Some(release) = release {
            let attached =
                self.0.parts.store.attach_release(current.row.id, release, release_gpg, in_release);
            attached.await.map_err(|error| Failure::store(&error))?;
        }
        let row = store::Generation { in_release, release, release_gpg, ..current.row.clone() };
        let both = Arc::new(current.with_row(row));
        self.0.suites.change(resource.repository.index, |view| view.replace(&both));
        Ok(())
    }
}
