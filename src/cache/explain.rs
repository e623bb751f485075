//! Why a request is answered as it is: the facts that [`Cache::serve`] would decide by, without serving.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::lookup::{Cache, key_of};
use super::policy::Decision;
use super::serve::flight_key;
use crate::repo::apt::checksum::Checksum;
use crate::repo::{Kind, PathClass, Resource, Unlisted, document};
use crate::repo_path::RepoPath;
use crate::store::{self, EntryKey, EntryMeta};
use crate::suite::{Channel, Generation, Known, Resolution, View};

/// Everything that decides about one answer. Points in time are seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked.
    pub url: String,
    /// By which rule the address leads to a repository.
    pub rule: String,
    /// The repository's name.
    pub repo: String,
    /// The path in it.
    pub path: String,
    /// What the path says: `release`, `index`, `by-hash`, `immutable` or `other`.
    pub class: String,
    /// What vouches for the repository: `signature`, `https` or `none`.
    pub trust: String,
    /// Whose view of the suites counts.
    pub channel: String,
    /// What is known of the bytes: `release-file`, `listed`, `unlisted`, `unknown-suite`, or `open`, where
    /// nothing vouches for them.
    pub known: String,
    /// The suite's folder.
    pub suite: Option<String>,
    /// The generation that vouches for the bytes.
    pub generation: Option<i64>,
    /// `Date` of its release file.
    pub date: Option<i64>,
    /// When it became current here.
    pub adopted_at: Option<i64>,
    /// Fingerprints of the keys that signed it.
    pub signers: Vec<String>,
    /// The file that lists it.
    pub listed_by: Option<String>,
    /// What it must hash to: `sha256:…`, or `sha512:…` with the first half.
    pub expected_hash: Option<String>,
    /// How many bytes it must have.
    pub expected_size: Option<u64>,
    /// Whether the right bytes are in the store.
    pub present: bool,
    /// SHA-256 of what is in the store.
    pub sha256: Option<String>,
    /// Its size.
    pub size: Option<u64>,
    /// The URL that it came from.
    pub upstream: Option<String>,
    /// When it came.
    pub fetched_at: Option<i64>,
    /// How long ago upstream last confirmed it, or the suite that it belongs to, in seconds.
    pub age_seconds: Option<u64>,
    /// What happens to a request: `serve`, `check`, `fetch`, `join`, `pass` or `refuse`.
    pub decision: String,
    /// Why, in a sentence.
    pub reason: String,
}

impl Cache {
    /// Explains what a request for `resource` in `channel` gets now. `url` and `rule` say how it was understood. Blocking: a few
    /// indexed reads. Nothing is fetched and nothing changes.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn explain(
        &self,
        url: &str,
        rule: &str,
        resource: &Resource,
        channel: &Channel,
    ) -> Result<Explanation, store::Error> {
        let config = &resource.repository.config;
        let view = self.0.suites.view(resource.repository.index).clone();
        let mut explanation = Explanation {
            url: url.to_owned(),
            rule: rule.to_owned(),
            repo: resource.repository.name().to_string(),
            path: resource.key_path().to_string(),
            class: class_word(resource.class).to_owned(),
            trust: config.trust.as_str().to_owned(),
            channel: channel.to_string(),
            ..Explanation::default()
        };
        match view.resolve(resource, channel, None) {
            Resolution::Open => {
                "open".clone_into(&mut explanation.known);
                self.explain_open(resource, &mut explanation)?;
            }
            Resolution::Head { .. } | Resolution::OtherForm => {
                self.explain_head(resource, channel, &view, &mut explanation)?;
            }
            Resolution::Known(known) => {
                self.explain_known(resource, channel, &view, &known, &mut explanation)?;
            }
            Resolution::UnknownSuite(folder) => {
                "unknown-suite".clone_into(&mut explanation.known);
                explanation.suite = Some(folder.as_str().to_owned());
                explanation.decide(
                    "check",
                    "nobody has asked for this suite yet: its release file is fetched first",
                );
            }
            Resolution::Unlisted => {
                "unlisted".clone_into(&mut explanation.known);
                if config.unlisted == Unlisted::Keep && resource.class != PathClass::Release {
                    self.explain_open(resource, &mut explanation)?;
                } else {
                    explanation
                        .decide("pass", "no index or checksum list has it: it is passed on and not kept");
                }
            }
        }
        Ok(explanation)
    }

    /// Waits until indices that have come are read, as requests for packages do.
    pub async fn settled(&self) {
        self.0.building.done().await;
    }

    fn explain_open(&self, resource: &Resource, explanation: &mut Explanation) -> Result<(), store::Error> {
        let key = key_of(resource);
        let entry = self.0.parts.store.entry(&key)?;
        let Some(meta) = entry else {
            self.explain_absent(&key, explanation);
            return Ok(());
        };
        let Some(blob) = self.0.parts.store.object(&meta.digest)? else {
            self.explain_absent(&key, explanation);
            return Ok(());
        };
        explanation.stored(&meta, self.0.parts.clock.unix());
        let entry = super::entry::Entry::new(meta, blob);
        match self.decide(resource, &entry) {
            Decision::Serve if resource.class.is_immutable() => {
                explanation.decide("serve", "what has this name never changes");
            }
            Decision::Serve => explanation.decide("serve", "the copy is within its lifetime"),
            Decision::Revalidate => {
                explanation.decide("check", "the copy's lifetime is over: upstream is asked first, and the copy stands if it does not answer");
            }
        }
        Ok(())
    }

    fn explain_head(
        &self,
        resource: &Resource,
        channel: &Channel,
        view: &View,
        explanation: &mut Explanation,
    ) -> Result<(), store::Error> {
        "release-file".clone_into(&mut explanation.known);
        let Some((folder, form)) = resource.head() else { return Ok(()) };
        let folder = folder.as_str();
        let (Some(suite), Some(shown)) = (view.suite(folder), view.shown(channel, folder)) else {
            return Ok(());
        };
        explanation.vouched(shown);
        let now = self.0.parts.clock.unix();
        explanation.upstream = Some(shown.row.upstream.clone());
        explanation.fetched_at = Some(shown.row.created_at);
        explanation.age_seconds = u64::try_from(now - suite.check.checked_at).ok();
        let Some(digest) = shown.object(form) else {
            explanation.decide(
                "fetch",
                "upstream is asked for this form of the release file, which must say the same",
            );
            return Ok(());
        };
        explanation.expected_hash = Some(format!("sha256:{digest}"));
        if let Some(blob) = self.0.parts.store.object(&digest)? {
            explanation.present = true;
            explanation.sha256 = Some(digest.to_string());
            explanation.size = Some(blob.size);
        }
        let limit = resource.repository.check_every().as_secs();
        let age = explanation.age_seconds.unwrap_or(0);
        if shown.row.id != suite.current.row.id {
            let why =
                format!("the channel {channel} holds generation {}, whatever upstream has", shown.row.id);
            explanation.decide("serve", &why);
        } else if age < limit {
            let why = format!("upstream was asked {age} s ago, which is less than check_every ({limit} s)");
            explanation.decide("serve", &why);
        } else {
            let why = format!(
                "upstream was last asked {age} s ago, and check_every is {limit} s: it is asked first, and this generation stands if it does not answer"
            );
            explanation.decide("check", &why);
        }
        if let Some(problem) = &suite.check.problem {
            explanation.reason =
                format!("{}. What upstream has now is pending: {problem}", explanation.reason);
        }
        Ok(())
    }

    fn explain_known(
        &self,
        resource: &Resource,
        channel: &Channel,
        view: &View,
        known: &Known,
        explanation: &mut Explanation,
    ) -> Result<(), store::Error> {
        "listed".clone_into(&mut explanation.known);
        explanation.expected_size = known.expected.size();
        explanation.expected_hash = Some(match known.expected.checksum {
            Checksum::Sha256(digest) => format!("sha256:{digest}"),
            Checksum::Sha512(half) => format!("sha512:{}…", crate::digest::Digest::from_bytes(half)),
        });
        explain_lister(resource, channel, view, known, explanation);
        let store = &self.0.parts.store;
        let goal = super::goal::Goal::known(known);
        let key = flight_key(resource, known);
        let entry = store.entry(&key_of(resource))?.filter(|meta| goal.is_met_by(meta));
        let entry = if entry.is_some() { entry } else { store.entry(&key)? };
        let digest = known.expected.checksum.sha256().or(entry.as_ref().map(|meta| meta.digest));
        let blob = digest.map(|digest| store.object(&digest)).transpose()?.flatten();
        let Some(blob) = blob else {
            self.explain_absent(&key, explanation);
            return Ok(());
        };
        if let Some(meta) = entry {
            explanation.stored(&meta, self.0.parts.clock.unix());
        }
        explanation.present = true;
        explanation.sha256 = Some(blob.digest.to_string());
        explanation.size = Some(blob.size);
        explanation.decide("serve", "the bytes of this hash are in the store, whatever name they came under");
        Ok(())
    }

    fn explain_absent(&self, key: &EntryKey, explanation: &mut Explanation) {
        if self.is_flying(key) {
            explanation.decide("join", "it is being fetched: the request joins the transfer");
        } else if let Some(failure) = self.recently_missing(key) {
            explanation.decide("refuse", &format!("upstream was asked a moment ago: {failure}"));
        } else if let Some(reason) = self.recently_direct(key) {
            explanation.decide("pass", &format!("upstream's answer may not be kept ({reason})"));
        } else {
            explanation.decide("fetch", "no copy is here: it is fetched from upstream");
        }
    }
}

/// Who vouches for listed bytes.
fn explain_lister(
    resource: &Resource,
    channel: &Channel,
    view: &View,
    known: &Known,
    explanation: &mut Explanation,
) {
    if let Some((folder, path)) = &known.index {
        let Some(suite) = view.suite(folder.as_str()) else { return };
        let shown = view.shown(channel, folder.as_str());
        let all = shown.into_iter().chain(super::channels::kept(suite));
        let lists = |generation: &&std::sync::Arc<Generation>| {
            generation
                .release
                .find(path.as_str())
                .is_some_and(|listed| listed.checksum() == known.expected.checksum)
        };
        if let Some(generation) = all.into_iter().find(lists) {
            explanation.vouched(generation);
            explanation.listed_by = Some(folder.child("Release").as_str().to_owned());
        }
        return;
    }
    if resource.repository.config.kind == Kind::Files {
        let lists = document::lists_for(&resource.repository.config, &resource.path);
        let lists_it = |list: &&RepoPath| view.listed_in(list, &resource.path, channel).is_some();
        let Some(list) = lists.iter().find(lists_it) else {
            explanation.listed_by = Some("the configuration".to_owned());
            return;
        };
        if let Some(shown) = view.shown(channel, list.as_str()) {
            explanation.vouched(shown);
        }
        explanation.listed_by = Some(list.as_str().to_owned());
        return;
    }
    let Some(finding) = view.listed(&resource.path, channel) else { return };
    let Some(generation) = view.lister(channel, &finding.index) else { return };
    explanation.vouched(generation);
    let folder = RepoPath::from_decoded(&generation.row.suite).ok();
    explanation.listed_by = folder
        .zip(generation.listed_as(&finding.index))
        .map(|(folder, listed)| folder.child(listed.path.as_str()).as_str().to_owned());
}

impl Explanation {
    fn decide(&mut self, decision: &str, reason: &str) {
        decision.clone_into(&mut self.decision);
        reason.clone_into(&mut self.reason);
    }

    fn vouched(&mut self, generation: &Generation) {
        let row = &generation.row;
        self.suite = Some(row.suite.to_string());
        self.generation = Some(row.id);
        self.date = row.date;
        self.adopted_at = Some(row.created_at);
        self.signers.clone_from(&row.signers);
    }

    fn stored(&mut self, meta: &EntryMeta, now: i64) {
        self.present = true;
        self.sha256 = Some(meta.digest.to_string());
        self.size = Some(meta.size);
        self.upstream = Some(meta.upstream.clone()).filter(|upstream| !upstream.is_empty());
        self.fetched_at = Some(meta.fetched_at);
        self.age_seconds = u64::try_from(now - meta.validated_at).ok();
    }
}

const fn class_word(class: PathClass) -> &'static str {
    match class {
        PathClass::ByHash(_) => "by-hash",
        PathClass::Immutable => "immutable",
        PathClass::Release => "release",
        PathClass::Index => "index",
        PathClass::Other => "other",
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &str| {
            if value.is_empty() { Ok(()) } else { writeln!(f, "{name:<12} {value}") }
        };
        let date = |seconds: Option<i64>| {
            let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
            time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
        };
        let number = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        row("url", &self.url)?;
        row("rule", &self.rule)?;
        row("repository", &format!("{} (trust: {})", self.repo, self.trust))?;
        row("path", &self.path)?;
        row("class", &self.class)?;
        row("channel", &self.channel)?;
        row("known as", &self.known)?;
        row("suite", self.suite.as_deref().unwrap_or_default())?;
        let generation = self
            .generation
            .map(|id| format!("{id}, dated {}, here since {}", date(self.date), date(self.adopted_at)));
        row("generation", &generation.unwrap_or_default())?;
        row("signed by", &self.signers.join(", "))?;
        row("listed by", self.listed_by.as_deref().unwrap_or_default())?;
        row("must hash to", self.expected_hash.as_deref().unwrap_or_default())?;
        row("must have", &self.expected_size.map(|size| format!("{size} bytes")).unwrap_or_default())?;
        row("in the store", if self.present { "yes" } else { "no" })?;
        row("sha256", self.sha256.as_deref().unwrap_or_default())?;
        row("bytes", &number(self.size))?;
        row("came from", self.upstream.as_deref().unwrap_or_default())?;
        row("came at", &date(self.fetched_at))?;
        row("age", &self.age_seconds.map(|age| format!("{age} s")).unwrap_or_default())?;
        row("decision", &self.decision)?;
        row("because", &self.reason)
    }
}
