//! Asking upstreams for a release file, and believing it or not.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderValue};

use crate::cache::events::EventKind;
use crate::cache::failure::Failure;
use crate::cache::lookup::Cache;
use crate::cache::policy;
use crate::clock;
use crate::outcome::Class;
use crate::repo::apt::release::MAX_TEXT;
use crate::repo::apt::signature::{
    Keyring, SignatureError, Signer, Verdict, Verified, clear_text, keyring_file,
};
use crate::repo::document::{Document, SIGNATURE_ENDINGS};
use crate::repo::{Repository, Trust};
use crate::repo_path::RepoPath;
use crate::safe_url::BaseUrl;
use crate::store;
use crate::suite::Generation;
use crate::upstream::{Request, UpstreamError};

/// A release file as upstream publishes it.
pub(super) struct Published {
    pub(super) form: Bytes,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<i64>,
    pub(super) upstream: String,
}

/// Its bytes, in one of the two forms.
pub(super) enum Bytes {
    /// `InRelease`.
    Inline(Vec<u8>),
    /// `Release`, and `Release.gpg` where the repository is signed.
    Pair(Vec<u8>, Option<Vec<u8>>),
}

/// What one upstream has.
pub(super) enum Found {
    /// The one that is current here.
    Same,
    /// Another one, whose signature is good.
    New(Box<Published>, Verified),
}

/// A small file.
struct Small {
    bytes: Vec<u8>,
    headers: HeaderMap,
    url: String,
}

impl Cache {
    /// The release file of a suite from the upstream at `mirror`: `InRelease`, or the pair where there is no
    /// such file.
    pub(super) async fn ask_release(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        mirror: usize,
        current: Option<&Generation>,
    ) -> Result<Found, Failure> {
        if Document::of(&repository.config, folder) != Document::Release {
            return self.pair(repository, folder, mirror, current).await;
        }
        let inline = current.filter(|current| current.row.in_release.is_some());
        match self.inline(repository, folder, mirror, inline).await {
            Err(Failure::NotFound { .. }) => {}
            answer => return answer,
        }
        let pair = current.filter(|current| current.row.in_release.is_none());
        self.pair(repository, folder, mirror, pair).await
    }

    pub(super) async fn inline(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        mirror: usize,
        known: Option<&Generation>,
    ) -> Result<Found, Failure> {
        let base = self.mirrors(repository.index).base(mirror);
        let known = known.map(|known| &known.row);
        let Some(small) = self.small(repository, mirror, &folder.child("InRelease"), known).await? else {
            return Ok(Found::Same);
        };
        let (bytes, published) = small.published();
        let (form, verified) =
            self.believe(repository, base.origin.host.as_str().into(), Bytes::Inline(bytes)).await?;
        Ok(Found::New(Box::new(published(form)), verified))
    }

    pub(super) async fn pair(
        &self,
        repository: &Arc<Repository>,
        folder: &RepoPath,
        mirror: usize,
        known: Option<&Generation>,
    ) -> Result<Found, Failure> {
        let base = self.mirrors(repository.index).base(mirror);
        let known = known.map(|known| &known.row);
        let document = Document::of(&repository.config, folder);
        let (text, signatures) = document.places(folder);
        let Some(release) = self.small(repository, mirror, &text, known).await? else {
            return Ok(Found::Same);
        };
        let mut signature = None;
        for place in &signatures {
            match self.small(repository, mirror, place, None).await {
                Ok(found) => signature = found.map(|small| small.bytes),
                Err(Failure::NotFound { .. }) => continue,
                Err(failure) => return Err(failure),
            }
            break;
        }
        if signature.is_none() && repository.config.trust == Trust::Signature {
            let upstream: Arc<str> = base.origin.host.as_str().into();
            return Err(match document {
                // apt asks for it under that name, too.
                Document::Release => Failure::NotFound { upstream },
                // Without the name of a suite to go by, it would seem that nothing is listed.
                Document::Sums | Document::File => Failure::Untrusted {
                    upstream,
                    why: format!("{text} has no signature beside it ({})", SIGNATURE_ENDINGS.join(", "))
                        .into(),
                },
            });
        }
        // Without need of it: nobody checks it here, but clients may.
        let (bytes, published) = release.published();
        let (form, verified) =
            self.believe(repository, base.origin.host.as_str().into(), Bytes::Pair(bytes, signature)).await?;
        Ok(Found::New(Box::new(published(form)), verified))
    }

    /// Fetches a small file, or `None` when it is still the `known` one.
    async fn small(
        &self,
        repository: &Arc<Repository>,
        mirror: usize,
        path: &RepoPath,
        known: Option<&store::Generation>,
    ) -> Result<Option<Small>, Failure> {
        let mirrors = self.mirrors(repository.index);
        let base = mirrors.base(mirror);
        let upstream: Arc<str> = base.origin.host.as_str().into();
        let mut request = Request::get(base.join(path, None), Class::Refresh);
        request.headers = conditional(base, known);
        let response = self.0.client().send(request).await;
        let mut response = response.map_err(|error| self.blame(repository, mirror, &error))?;
        match response.status {
            StatusCode::OK if policy::is_page(&response.headers) => {
                self.blame(repository, mirror, &UpstreamError::Portal { host: upstream.to_string() });
                return Err(Failure::Portal { upstream });
            }
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if known.is_some() => {
                mirrors.succeeded(mirror);
                return Ok(None);
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                mirrors.succeeded(mirror);
                return Err(Failure::NotFound { upstream });
            }
            _ => return Err(self.blame(repository, mirror, &response.status_error())),
        }
        let mut bytes = Vec::new();
        loop {
            match response.body.chunk().await {
                Ok(None) => break,
                Ok(Some(piece)) if bytes.len() + piece.len() <= MAX_TEXT => {
                    self.0.parts.metrics.upstream_bytes(
                        repository.name(),
                        Class::Refresh,
                        piece.len() as u64,
                    );
                    bytes.extend_from_slice(&piece);
                }
                Ok(Some(_)) => {
                    let error =
                        UpstreamError::TooLarge { host: upstream.to_string(), limit: MAX_TEXT as u64 };
                    return Err(self.blame(repository, mirror, &error));
                }
                Err(error) => return Err(self.blame(repository, mirror, &error)),
            }
        }
        mirrors.succeeded(mirror);
        Ok(Some(Small { bytes, headers: response.headers, url: response.url }))
    }

    fn blame(&self, repository: &Arc<Repository>, mirror: usize, error: &UpstreamError) -> Failure {
        self.mirrors(repository.index).failed(mirror, Instant::now(), error);
        self.0.parts.metrics.upstream_error(repository.name(), error.reason());
        Failure::unreachable(error)
    }

    /// The text of a release file, if what vouches for the repository vouches for it; and the file again.
    pub(super) async fn believe(
        &self,
        repository: &Arc<Repository>,
        upstream: Arc<str>,
        form: Bytes,
    ) -> Result<(Bytes, Verified), Failure> {
        let keyring = self.0.keyrings[repository.index].load_full();
        let (trust, now) = (repository.config.trust, self.0.parts.clock.now());
        let judging = tokio::task::spawn_blocking(move || {
            let judged = match (trust, &form) {
                (Trust::Signature, Bytes::Inline(file)) => keyring.verify_inline(file, now),
                (Trust::Signature, Bytes::Pair(file, Some(signature))) => {
                    keyring.verify_detached(file, signature, now)
                }
                (Trust::Signature, Bytes::Pair(_, None)) => Err(SignatureError::NotSigned),
                // The transport vouches for the text; what follows from it is checked all the same.
                (Trust::Https | Trust::None, Bytes::Inline(file)) => {
                    clear_text(file).map(|text| Verified { text, signers: Vec::new() })
                }
                (Trust::Https | Trust::None, Bytes::Pair(file, _)) => {
                    Ok(Verified { text: file.clone(), signers: Vec::new() })
                }
            };
            judged.map(|verified| (form, verified)).map_err(|error| error.to_string())
        });
        judging.await.map_err(|_| Failure::Stopping)?.map_err(|why| {
            self.0.parts.metrics.verify_failure(repository.name(), "signature");
            let text = format!("a release file of {upstream} was refused: {why}");
            self.tell(EventKind::VerifyFailure, repository.name(), "", &text);
            Failure::Untrusted { upstream, why: why.into() }
        })
    }
}

impl Small {
    /// The bytes, and a way to describe where they come from once they have been used.
    fn published(self) -> (Vec<u8>, impl FnOnce(Bytes) -> Published) {
        let Self { bytes, headers, url } = self;
        (bytes, move |form| {
            let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
            Published {
                form,
                etag: text(header::ETAG).map(str::to_owned),
                last_modified: text(header::LAST_MODIFIED)
                    .and_then(|date| httpdate::parse_http_date(date).ok())
                    .map(clock::unix),
                upstream: url.split('?').next().unwrap_or_default().to_owned(),
            }
        })
    }
}

/// The fingerprints of those whose signatures are good.
pub(super) fn good(signers: &[Signer]) -> Vec<String> {
    signers
        .iter()
        .filter(|signer| signer.verdict == Verdict::Good)
        .map(|signer| signer.fingerprint.clone())
        .collect()
}

/// Headers that let upstream say "unchanged", and forbid caches on the way to.
fn conditional(base: &BaseUrl, known: Option<&store::Generation>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    let Some(known) = known else { return headers };
    let same_server =
        known.upstream.strip_prefix(&base.origin.to_string()).is_some_and(|rest| rest.starts_with('/'));
    if let Some(tag) =
        known.etag.as_deref().filter(|_| same_server).and_then(|tag| HeaderValue::from_str(tag).ok())
    {
        headers.insert(header::IF_NONE_MATCH, tag);
    }
    let date = known.last_modified.map(|date| httpdate::fmt_http_date(clock::from_unix(date.max(0))));
    if let Some(date) = date.and_then(|date| HeaderValue::from_str(&date).ok()) {
        headers.insert(header::IF_MODIFIED_SINCE, date);
    }
    headers
}

/// The keyring of each repository, as configured. A keyring that cannot be read vouches for nothing: the
/// repository's suites are refused until it is there.
#[must_use]
pub fn load_keyrings(repositories: &[Arc<Repository>]) -> Vec<(Arc<Repository>, Arc<Keyring>)> {
    let with_keyring =
        |repository: &Arc<Repository>| (Arc::clone(repository), Arc::new(load_keyring(repository)));
    repositories.iter().map(with_keyring).collect()
}

fn load_keyring(repository: &Repository) -> Keyring {
    let mut files = Vec::new();
    for path in &repository.config.keyrings {
        match keyring_file::read(path) {
            Ok(file) => files.push(file.bytes),
            Err(error) => {
                tracing::error!(repo = %repository.name(), path = %path.display(), %error, "a keyring cannot be read");
            }
        }
    }
    let keyring = Keyring::load(&files).unwrap_or_else(|error| {
        tracing::error!(repo = %repository.name(), %error, "no keyring: every release file will be refused");
        Keyring::default()
    });
    keyring.with_legacy_sha1(repository.config.legacy_sha1)
}
