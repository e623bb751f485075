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
use crate::outcome::Outcome;
use crate::repo::Resource;
use crate::repo::apt::release::Release;
use crate::repo_path::RepoPath;
use crate::store;
use crate::suite::{Channel, Form, Generation, Resolution};

impl Cache {
    /// Fetches what `resource` asks for beside the form that the current generation has.
    pub(in crate::cache) async fn other_form(
        &self,
        resource: &Resource,
        channel: &Channel,
    ) -> Result<Resolved, Failure> {
        let repository = &resource.repository;
        let wrong = || Failure::NotFound { upstream: "the archive".into() };
        let folder = RepoPath::from_decoded(resource.path.parent()).map_err(|_| wrong())?;
        let current = self.current(repository, &folder).ok_or_else(wrong)?;
        let view = self.0.suites.view(repository.index).clone();
        if view.shown(channel, folder.as_str()).is_some_and(|shown| shown.row.id != current.row.id) {
            // Upstream has it only for what is current. apt tries the form that is here next.
            return Err(wrong());
        }
        let form = Form::of(resource.path.file_name()).ok_or_else(wrong)?;
        let mut failure = wrong();
        for mirror in self.mirrors(repository.index).order(Instant::now()) {
            let asked = match form {
                Form::InRelease => self.inline(repository, &folder, mirror, None).await,
                Form::Release | Form::Signature => self.pair(repository, &folder, mirror, None).await,
            };
            match asked {
                Ok(Found::New(published, verified))
                    if Release::parse(&verified.text).as_ref() == Ok(&current.release) =>
                {
                    self.attach(resource, &current, published.form).await?;
                    let found = self.0.suites.view(repository.index).resolve(resource, channel);
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
        let store = &self.0.parts.store;
        let failed = |error: store::Error| Failure::store(&error);
        let put =
            async |bytes: Vec<u8>| store.put_object(bytes).await.map(|blob| blob.digest).map_err(failed);
        let (mut in_release, mut release, mut release_gpg) =
            (current.row.in_release, current.row.release, current.row.release_gpg);
        match form {
            Bytes::Inline(bytes) => in_release = Some(put(bytes).await?),
            Bytes::Pair(text, signature) => {
                release = Some(put(text).await?);
                if let Some(signature) = signature {
                    release_gpg = Some(put(signature).await?);
                }
            }
        }
        if let Some(release) = release {
            store.attach_release(current.row.id, release, release_gpg, in_release).await.map_err(failed)?;
        }
        let row = store::Generation { in_release, release, release_gpg, ..current.row.clone() };
        let both = Arc::new(Generation::new(row, current.release.clone()));
        self.0.suites.change(resource.repository.index, |view| view.replace_current(Arc::clone(&both)));
        Ok(())
    }
}
