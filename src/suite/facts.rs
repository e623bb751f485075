//! Suites and channels as administrators see them: the JSON of the API, read back by the command line.
//!
//! Field names are an interface: more may come, none changes its meaning. Points in time are seconds since
//! 1970, sizes are bytes.

use serde::{Deserialize, Serialize};

/// A suite that somebody here has asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteFacts {
    /// The repository's name.
    pub repo: String,
    /// The folder of the release file.
    pub suite: String,
    /// The number of the current generation.
    pub generation: i64,
    /// `Date` of its release file.
    pub date: Option<i64>,
    /// `Valid-Until` of its release file.
    pub valid_until: Option<i64>,
    /// When it became current here.
    pub adopted_at: i64,
    /// When upstream was last asked with success.
    pub checked_at: i64,
    /// How long ago that is, in seconds.
    pub age_seconds: u64,
    /// Since when upstream's newest state cannot become current.
    pub pending_since: Option<i64>,
    /// Why not.
    pub problem: Option<String>,
    /// Fingerprints of the keys that signed the current generation.
    pub signers: Vec<String>,
    /// Whether signatures over SHA-1 count in this repository.
    #[serde(default)]
    pub legacy_sha1: bool,
}

/// A generation that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationFacts {
    /// Its number.
    pub id: i64,
    /// `Date` of its release file.
    pub date: Option<i64>,
    /// `Valid-Until` of its release file.
    pub valid_until: Option<i64>,
    /// When it became current here.
    pub adopted_at: i64,
    /// When the next one did; none for the current one.
    pub superseded_at: Option<i64>,
    /// SHA-256 of the text of its release file.
    pub text: String,
    /// Where its release file came from.
    pub upstream: String,
    /// Fingerprints of the keys that signed it.
    pub signers: Vec<String>,
    /// The channels that show it, `live` among them.
    pub channels: Vec<String>,
}

/// A suite with all its generations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuiteDetail {
    /// What the list shows of it.
    #[serde(flatten)]
    pub facts: SuiteFacts,
    /// `Origin` of the current release file.
    pub origin: Option<String>,
    /// `Codename` of it.
    pub codename: Option<String>,
    /// Its components.
    pub components: Vec<String>,
    /// Its architectures.
    pub architectures: Vec<String>,
    /// Every generation that is kept, newest first.
    pub generations: Vec<GenerationFacts>,
}

/// A channel beside `live`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelFacts {
    /// Its name.
    pub name: String,
    /// What `live` has had this long is promoted, in seconds; none when it is moved by hand.
    pub after_seconds: Option<u64>,
    /// When it was last rolled back.
    pub rolled_back_at: Option<i64>,
    /// What keeps it from showing what `live` shows, in sentences, where it waits for seeds.
    #[serde(default)]
    pub waits_for: Vec<String>,
    /// What it shows of each suite.
    pub suites: Vec<ShownFacts>,
}

/// What a channel shows of a suite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownFacts {
    /// The repository's name.
    pub repo: String,
    /// The folder of the release file.
    pub suite: String,
    /// The generation that it shows.
    pub generation: i64,
    /// `Date` of that.
    pub date: Option<i64>,
    /// Since when it points there; none while it follows `live`.
    pub since: Option<i64>,
    /// Whether that is the current generation.
    pub current: bool,
}

/// What the move of a channel changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moved {
    /// The channel's name.
    pub channel: String,
    /// What changed; empty when nothing had to.
    pub suites: Vec<MovedSuite>,
}

/// One suite of a channel that was moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedSuite {
    /// The repository's name.
    pub repo: String,
    /// The folder of the release file.
    pub suite: String,
    /// The generation that it showed.
    pub from: Option<i64>,
    /// The generation that it shows now.
    pub to: i64,
}

/// What asking upstream about a suite came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshFacts {
    /// The repository's name.
    pub repo: String,
    /// The folder of the release file.
    pub suite: String,
    /// `current`, `failed` or `running`.
    pub state: String,
    /// Why it failed.
    pub problem: Option<String>,
    /// The current generation.
    pub generation: Option<i64>,
}
