//! From a disk into the store: only what something signed confirms.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::blocking;
use super::facts::{SuiteStanding, SuiteState};
use super::job::{ImportOrder, Progress};
use super::places::{Item, is_bundle_list, scan};
use super::shelf::Shelf;
use crate::cache::{Arrival, Cache, Carried, NotTaken, Vouched};
use crate::digest::Digest;
use crate::repo::apt::by_hash;
use crate::repo::apt::checksum::Checksum;
use crate::repo::apt::release::MAX_TEXT;
use crate::repo::apt::table::Expected;
use crate::repo::document::{Document, Form};
use crate::repo::{Kind, Repository, Resource};
use crate::repo_path::RepoPath;
use crate::safe_url::Host;

/// Folders in which an archive's paths begin.
const ROOTS: [&str; 2] = ["dists", "pool"];

pub(super) async fn run(cache: Cache, order: ImportOrder, progress: Progress) -> Result<(), String> {
    progress.change(|facts| "looking what there is".clone_into(&mut facts.step));
    let whole_images =
        cache.repositories().list().iter().any(|repository| repository.config.kind == Kind::Files);
    let paths = order.paths.clone();
    let found = blocking(move || scan(&paths, whole_images)).await?.map_err(|error| error.to_string())?;
    progress.change(|facts| {
        facts.bundle = Some(found.bundles.join("; ")).filter(|words| !words.is_empty());
        facts.files_total = found.items.len() as u64;
        facts.bytes_total = found.items.iter().map(|item| item.size).sum();
    });
    let items: Vec<Arc<Item>> = found.items.into_iter().map(Arc::new).collect();
    let mut import = Import {
        cache,
        dry_run: order.dry_run,
        roots: order.paths,
        done: vec![false; items.len()],
        items,
        progress,
        shelf: Shelf::default(),
        listed: None,
    };
    let vouched = import.documents().await?;
    import.files().await?;
    import.adopt(vouched).await
}

struct Import {
    cache: Cache,
    dry_run: bool,
    roots: Vec<PathBuf>,
    items: Vec<Arc<Item>>,
    /// Which of them need nothing more.
    done: Vec<bool>,
    progress: Progress,
    shelf: Shelf,
    /// Everything that is listed, once it is needed.
    listed: Option<HashMap<Digest, usize>>,
}

/// A document that may become current: its repository, its suite, and where it stands in the facts.
type Waiting = (Arc<Repository>, RepoPath, Vouched, usize);

/// The items, by position, that are the forms of one document.
#[derive(Debug, Clone, Copy, Default)]
struct Forms {
    in_release: Option<usize>,
    text: Option<usize>,
    signature: Option<usize>,
}

impl Forms {
    fn all(self) -> impl Iterator<Item = usize> {
        [self.in_release, self.text, self.signature].into_iter().flatten()
    }
}

impl Import {
    /// Where an item may be published, the most likely first.
    fn homes(&self, item: &Item) -> Vec<(Arc<Repository>, RepoPath)> {
        if let Some(found) = item.origin.as_deref().and_then(|url| self.cache.resource_at(url)) {
            return vec![(found.repository, found.path)];
        }
        let Some(path) = item.path.as_deref().and_then(|path| RepoPath::from_decoded(path).ok()) else {
            return Vec::new();
        };
        let (first, rest) = path.split_first();
        if let Some(repository) = self.cache.repository_named(first).filter(|_| !rest.as_str().is_empty()) {
            return vec![(repository, rest)];
        }
        if first.contains('.')
            && first.parse::<Host>().is_ok()
            && let Some(found) = self.cache.resource_at(&format!("http://{first}/{}", rest.encoded()))
        {
            return vec![(found.repository, found.path)];
        }
        let segments: Vec<&str> = path.as_str().split('/').collect();
        let Some(root) = segments.iter().position(|segment| ROOTS.contains(segment)) else {
            return Vec::new();
        };
        let Ok(path) = RepoPath::from_decoded(&segments[root..].join("/")) else { return Vec::new() };
        let all = self.cache.repositories();
        let archives = all.list().iter().filter(|repository| repository.config.kind == Kind::Apt);
        archives.map(|repository| (Arc::clone(repository), path.clone())).collect()
    }

    /// Verifies every release file and checksum list, and reads what they list.
    async fn documents(&mut self) -> Result<Vec<Waiting>, String> {
        self.progress.change(|facts| "verifying signatures".clone_into(&mut facts.step));
        let mut found: BTreeMap<(usize, RepoPath), (Arc<Repository>, Forms)> = BTreeMap::new();
        let mut places: Vec<(usize, usize, RepoPath)> = Vec::new();
        for (at, item) in self.items.iter().enumerate() {
            if item.on_image || item.path.as_deref().is_some_and(is_bundle_list) {
                continue;
            }
            for (repository, path) in self.homes(item) {
                let resource = Resource::new(Arc::clone(&repository), path.clone(), None);
                if let Some((suite, form)) = resource.head() {
                    let new = || (Arc::clone(&repository), Forms::default());
                    let (_, forms) = found.entry((repository.index, suite)).or_insert_with(new);
                    match form {
                        Form::InRelease => forms.in_release = Some(at),
                        Form::Text => forms.text = Some(at),
                        Form::Signature => forms.signature = Some(at),
                    }
                }
                places.push((repository.index, at, path));
            }
        }
        let suites: HashSet<(usize, String)> =
            found.keys().map(|(of, suite)| (*of, suite.as_str().to_owned())).collect();
        let (mut waiting, mut refused) = (Vec::new(), Vec::new());
        for ((of, suite), (repository, forms)) in found {
            // `binary-amd64/Release` is a file of the suite above it.
            let below = suite
                .as_str()
                .match_indices('/')
                .any(|(at, _)| suites.contains(&(of, suite.as_str()[..at].to_owned())));
            if below && Document::of(&repository.config, &suite) == Document::Release {
                continue;
            }
            if forms.all().all(|at| self.done[at]) {
                continue;
            }
            match self.vouch(&repository, &suite, forms).await? {
                Err(reason) => refused.push((repository, suite, forms, reason)),
                Ok(vouched) => {
                    forms.all().for_each(|at| self.finish(at));
                    let place = self.tell(&repository, &suite, &vouched);
                    self.indices(&repository, &suite, &vouched, &places).await?;
                    waiting.push((repository, suite, vouched, place));
                }
            }
        }
        // Of several repositories that an archive's suite might belong to, one that believes it is enough.
        for (repository, suite, forms, reason) in refused {
            if forms.all().all(|at| self.done[at]) {
                continue;
            }
            self.progress.change(|facts| {
                facts.suites.push(SuiteState {
                    repo: repository.name().to_string(),
                    suite: suite.as_str().to_owned(),
                    date: None,
                    signers: Vec::new(),
                    standing: SuiteStanding::Refused,
                    generation: None,
                    problem: Some(reason.clone()),
                });
            });
            for at in forms.all().filter(|at| !self.done[*at]).collect::<Vec<_>>() {
                self.refuse(at, &reason);
            }
        }
        Ok(waiting)
    }

    async fn vouch(
        &self,
        repository: &Arc<Repository>,
        suite: &RepoPath,
        forms: Forms,
    ) -> Result<Result<Vouched, String>, String> {
        let mut read = Vec::new();
        for form in [forms.in_release, forms.text, forms.signature] {
            let Some(item) = form.map(|at| Arc::clone(&self.items[at])) else {
                read.push(None);
                continue;
            };
            let bytes = blocking(move || {
                let mut bytes = Vec::new();
                item.open()?.take(MAX_TEXT as u64 + 1).read_to_end(&mut bytes).map(|_| bytes)
            });
            match bytes.await? {
                Ok(bytes) => read.push(Some(bytes)),
                Err(error) => return Ok(Err(format!("it cannot be read: {error}"))),
            }
        }
        let mut read = read.into_iter().map(Option::unwrap_or_default);
        let mut next = |form: Option<usize>| read.next().filter(|_| form.is_some());
        let carried = Carried {
            in_release: next(forms.in_release),
            text: next(forms.text),
            signature: next(forms.signature),
            from: forms.all().next().map(|at| self.items[at].name.clone()).unwrap_or_default(),
        };
        let vouched = self.cache.vouch_for(repository, suite, carried).await;
        Ok(vouched.map_err(|failure| failure.to_string()))
    }

    /// Notes a verified document; its place in the facts.
    fn tell(&self, repository: &Repository, suite: &RepoPath, vouched: &Vouched) -> usize {
        let standing = match vouched {
            Vouched { is_current: true, .. } => SuiteStanding::Same,
            Vouched { is_older: true, .. } => SuiteStanding::Older,
            Vouched { objection: Some(_), .. } => SuiteStanding::Refused,
            Vouched { is_known: true, .. } => SuiteStanding::Newer,
            _ => SuiteStanding::New,
        };
        let state = SuiteState {
            repo: repository.name().to_string(),
            suite: suite.as_str().to_owned(),
            date: vouched.release.date,
            signers: vouched.signers.clone(),
            standing,
            generation: None,
            problem: vouched.objection.clone(),
        };
        let mut place = 0;
        self.progress.change(|facts| {
            place = facts.suites.len();
            facts.suites.push(state);
        });
        place
    }

    /// Takes in what a document lists by itself, and reads the indices among that.
    async fn indices(
        &mut self,
        repository: &Arc<Repository>,
        suite: &RepoPath,
        vouched: &Vouched,
        places: &[(usize, usize, RepoPath)],
    ) -> Result<(), String> {
        match Document::of(&repository.config, suite) {
            Document::File => return Ok(()),
            Document::Sums => {
                self.shelf.add_list(repository.index, suite.clone(), vouched.release.clone());
                return Ok(());
            }
            Document::Release => {}
        }
        for (_, at, path) in places.iter().filter(|(of, ..)| *of == repository.index) {
            let Some(below) = path.below(suite.as_str()).filter(|_| !self.done[*at]) else { continue };
            let listed = match by_hash::parse(below.as_str()) {
                Some(by_hash) => vouched.release.find_by_hash(&by_hash),
                None => vouched.release.find(below.as_str()),
            };
            let Some(listed) = listed else { continue };
            let expected = Expected { size: listed.size, checksum: listed.checksum() };
            let plain = suite.child(listed.path.as_str());
            if !self.take(*at, repository, &plain, expected).await? {
                continue;
            }
            let (item, folder, index) = (Arc::clone(&self.items[*at]), suite.clone(), listed.path.clone());
            let table = blocking(move || Cache::read_index(&folder, &index, item.open()?)).await?;
            match table {
                Ok(Some((roots, table))) => self.shelf.add_table(repository.index, roots, table),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(path = %plain, %error, "a carried index cannot be read");
                }
            }
            if !self.dry_run && !vouched.is_older {
                self.cache.note_index(repository, suite, &listed.path);
            }
        }
        Ok(())
    }

    /// Goes through everything else.
    async fn files(&mut self) -> Result<(), String> {
        for at in 0..self.items.len() {
            if self.done[at] {
                continue;
            }
            let item = Arc::clone(&self.items[at]);
            self.progress.change(|facts| facts.step.clone_from(&item.name));
            if item.path.as_deref().is_some_and(is_bundle_list) {
                self.finish(at);
                continue;
            }
            let homes = self.homes(&item);
            let known = homes.iter().find_map(|(repository, path)| {
                let here = || self.cache.expected_at(repository, path);
                let expected = self.shelf.find(repository.index, path).or_else(here)?;
                Some((Arc::clone(repository), path.clone(), expected))
            });
            match known {
                Some((repository, path, expected)) => {
                    self.take(at, &repository, &path, expected).await?;
                }
                None => self.take_by_hash(at).await?,
            }
        }
        Ok(())
    }

    /// Takes in what is listed at a path; whether it is here, or would be.
    async fn take(
        &mut self,
        at: usize,
        repository: &Arc<Repository>,
        path: &RepoPath,
        expected: Expected,
    ) -> Result<bool, String> {
        let item = Arc::clone(&self.items[at]);
        let (cache, of) = (self.cache.clone(), Arc::clone(repository));
        let here = blocking(move || cache.are_here(&of, &[expected.checksum])).await?;
        if here.map_err(|error| error.to_string())? == [true] {
            self.progress.change(|facts| {
                facts.present_files += 1;
                facts.present_bytes += item.size;
            });
            self.finish(at);
            return Ok(true);
        }
        if expected.size().is_some_and(|size| size != item.size) {
            let reason = format!(
                "it has {} bytes, and what is signed says {}: damaged, cut short or replaced",
                item.size, expected.size
            );
            self.refuse(at, &reason);
            return Ok(false);
        }
        if self.dry_run {
            self.count_new(item.size);
            self.finish(at);
            return Ok(true);
        }
        let sha512 = matches!(expected.checksum, Checksum::Sha512(_));
        let Some(arrival) = self.stage(at, sha512).await? else { return Ok(false) };
        if !arrival.is(&expected) {
            let reason = match expected.checksum {
                Checksum::Sha256(digest) => format!(
                    "its SHA-256 is {}, and what is signed says {digest}: damaged or replaced",
                    arrival.digest()
                ),
                Checksum::Sha512(_) => "its SHA-512 is not what is signed: damaged or replaced".to_owned(),
            };
            Cache::discard(arrival).await;
            self.refuse(at, &reason);
            return Ok(false);
        }
        let kept = self.cache.settle(arrival, repository, Some(path), item.name.clone()).await;
        kept.map_err(|error| error.to_string())?;
        self.count_new(item.size);
        self.finish(at);
        Ok(true)
    }

    /// Takes in a file whose name says nothing, if anything lists its hash.
    async fn take_by_hash(&mut self, at: usize) -> Result<(), String> {
        const UNKNOWN: &str = "nothing that is signed lists it";
        let item = Arc::clone(&self.items[at]);
        if self.listed.is_none() {
            let cache = self.cache.clone();
            let mut listed = blocking(move || cache.every_listed()).await?;
            listed.extend(self.shelf.digests());
            self.listed = Some(listed);
        }
        let owner = |digest: &Digest| self.listed.as_ref().and_then(|listed| listed.get(digest).copied());
        if self.dry_run {
            let hashed = blocking({
                let item = Arc::clone(&item);
                move || Digest::read(item.open()?)
            });
            match hashed.await? {
                Ok(digest) if owner(&digest).is_some() => {
                    self.count_new(item.size);
                    self.finish(at);
                }
                Ok(_) => self.refuse(at, UNKNOWN),
                Err(error) => self.refuse(at, &format!("it cannot be read: {error}")),
            }
            return Ok(());
        }
        let Some(arrival) = self.stage(at, false).await? else { return Ok(()) };
        let digest = arrival.digest();
        let of = self.listed.as_ref().and_then(|listed| listed.get(&digest).copied());
        let Some(repository) = of.and_then(|of| self.cache.repository_numbered(of)) else {
            Cache::discard(arrival).await;
            self.refuse(at, UNKNOWN);
            return Ok(());
        };
        let (cache, checked) = (self.cache.clone(), Arc::clone(&repository));
        let here = blocking(move || cache.are_here(&checked, &[Checksum::Sha256(digest)])).await?;
        if here.map_err(|error| error.to_string())? == [true] {
            Cache::discard(arrival).await;
            self.progress.change(|facts| {
                facts.present_files += 1;
                facts.present_bytes += item.size;
            });
        } else {
            let kept = self.cache.settle(arrival, &repository, None, item.name.clone()).await;
            kept.map_err(|error| error.to_string())?;
            self.count_new(item.size);
        }
        self.finish(at);
        Ok(())
    }

    /// Reads an item in; `None` when it cannot be read and the rest can.
    async fn stage(&mut self, at: usize, sha512: bool) -> Result<Option<Arrival>, String> {
        let item = Arc::clone(&self.items[at]);
        let opened = Arc::clone(&item);
        match self.cache.stage(move || opened.open(), (item.size, sha512), |_| {}).await {
            Ok(arrival) => Ok(Some(arrival)),
            Err(NotTaken::Unreadable(error)) => {
                // One bad sector costs one file; a disk that is gone costs the rest.
                let (file, roots) = (item.file().to_owned(), self.roots.clone());
                let there = blocking(move || file.exists() && roots.iter().all(|root| root.exists()));
                if !there.await? {
                    return Err(format!(
                        "{}: {error}; the disk is gone. When it is back, give the same command again: what has \
                         come in stays",
                        item.name
                    ));
                }
                self.refuse(at, &format!("it cannot be read: {error}"));
                Ok(None)
            }
            Err(error) => Err(format!("{}: {error}", item.name)),
        }
    }

    /// Makes what was verified current, now that what it lists is here.
    async fn adopt(&mut self, waiting: Vec<Waiting>) -> Result<(), String> {
        for (repository, suite, vouched, place) in waiting {
            if self.dry_run || vouched.is_older || vouched.objection.is_some() {
                continue;
            }
            self.progress.change(|facts| facts.step = format!("{} {suite}", repository.name()));
            let adopted = self.cache.adopt_carried(&repository, &suite, vouched).await;
            self.progress.change(|facts| {
                let Some(state) = facts.suites.get_mut(place) else { return };
                match adopted {
                    Ok(generation) => state.generation = generation,
                    Err(failure) => state.problem = Some(failure.to_string()),
                }
            });
        }
        Ok(())
    }

    fn count_new(&self, size: u64) {
        self.progress.change(|facts| {
            facts.new_files += 1;
            facts.new_bytes += size;
        });
    }

    fn refuse(&mut self, at: usize, reason: &str) {
        let name = self.items[at].name.clone();
        tracing::warn!(%name, %reason, "not imported");
        self.progress.change(|facts| facts.refuse(&name, reason));
        self.finish(at);
    }

    fn finish(&mut self, at: usize) {
        if !std::mem::replace(&mut self.done[at], true) {
            let size = self.items[at].size;
            self.progress.change(|facts| {
                facts.files_done += 1;
                facts.bytes_done += size;
            });
        }
    }
}
