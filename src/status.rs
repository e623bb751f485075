//! What the running server knows about itself, as one value: the answer of `/api/v1/status`, which
//! `lumbung status` reads back and the overview page shows.
//!
//! These are plain facts; how they are collected is the business of whoever holds the parts. Field
//! names are an interface: more may come, none changes its meaning. Sizes are bytes, times are whole
//! seconds, points in time are seconds since 1970.

mod attention;
mod text;

use std::net::SocketAddr;
use std::ops::AddAssign;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::seed::SeedState;
use crate::suite::SuiteFacts;

pub use text::{bytes_in_words, columns, local_time, seconds_in_words};

/// The server at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// When it started.
    pub started: i64,
    /// How long it has been running.
    pub uptime_seconds: u64,
    /// The configuration's file, or `built-in`.
    pub config: String,
    /// Where desktops ask.
    pub listen: Vec<SocketAddr>,
    /// Where administrators ask.
    pub admin: SocketAddr,
    /// Clients' connections open now.
    pub connections: u64,
    /// Transfers from upstreams running now.
    pub flights: Vec<Flight>,
    /// What is kept.
    pub store: Store,
    /// How the line to the upstreams is used.
    #[serde(default)]
    pub wan: Wan,
    /// The configured repositories, in their order.
    pub repos: Vec<Repo>,
    /// The suites that somebody has asked for.
    #[serde(default)]
    pub suites: Vec<SuiteFacts>,
    /// The configured seeds, and how they stand.
    #[serde(default)]
    pub seeds: Vec<SeedState>,
    /// What keeps channels from showing what `live` shows, a sentence each.
    #[serde(default)]
    pub channels_wait_for: Vec<String>,
    /// What was counted since the start, all repositories together.
    pub totals: Totals,
}

/// A transfer from an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// The repository's name.
    pub repo: String,
    /// What is fetched.
    pub path: String,
    /// Bytes that have come.
    pub received: u64,
    /// Bytes that will have come at the end, where upstream said so.
    pub total: Option<u64>,
    /// How many clients read along.
    pub readers: u64,
    /// Since when it runs.
    pub seconds: u64,
}

/// The store's use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Store {
    /// Its folder.
    pub path: PathBuf,
    /// Bytes of objects held.
    pub bytes: u64,
    /// How many objects are held.
    pub objects: u64,
    /// The most bytes it may hold, where a limit is set.
    pub limit: Option<u64>,
    /// Bytes free on its file system.
    pub free: u64,
    /// Bytes that it leaves free there.
    pub min_free: u64,
    /// Bytes removed to make room since the start.
    pub evicted_bytes: u64,
    /// Whether nothing more can be kept, and answers are streamed without storing.
    pub full: bool,
    /// Of the bytes held, those known to be needed by a suite or a channel, which are never removed.
    #[serde(default)]
    pub held_bytes: u64,
    /// The channels that point at generations and so keep what those list.
    #[serde(default)]
    pub held_by: Vec<String>,
}

/// The use of the line to the upstreams. Rates are bytes per second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wan {
    /// The limit that holds now; none is unlimited.
    pub limit: Option<u64>,
    /// What comes now: the mean of the last seconds.
    pub rate: u64,
    /// Transfers that wait for their turn because the line is full.
    pub waiting: WanWaiting,
    /// When the limit changes next, where the schedule has it do so.
    pub change: Option<WanChange>,
}

/// Transfers by on whose behalf they wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WanWaiting {
    /// A desktop waits.
    pub client: u64,
    /// A suite is being brought up to date.
    pub refresh: u64,
    /// A seed is being filled.
    pub seed: u64,
}

/// A change of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WanChange {
    /// From when it holds.
    pub at: i64,
    /// What holds then; none is unlimited.
    pub limit: Option<u64>,
}

/// A configured repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repo {
    /// Its name.
    pub name: String,
    /// Its kind, as configured.
    pub kind: String,
    /// What its contents are checked against: `signature`, `https` or `none`.
    pub trust: String,
    /// Whether signatures over SHA-1 count.
    #[serde(default)]
    pub legacy_sha1: bool,
    /// Where it comes from, in the configured order.
    pub upstreams: Vec<Upstream>,
    /// What was counted for it since the start.
    pub traffic: Traffic,
}

/// An upstream's health.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its base.
    pub url: String,
    /// Whether it is asked; one that failed repeatedly rests.
    pub healthy: bool,
    /// Failures in a row.
    pub failures: u32,
    /// The latest failure, in words.
    pub last_error: Option<String>,
    /// How long it still rests.
    pub resting_seconds: Option<u64>,
}

/// Requests by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Answered from the store without asking upstream.
    pub hit: u64,
    /// Began a transfer from upstream.
    pub miss: u64,
    /// Joined a transfer that ran already.
    pub joined: u64,
    /// Answered from the store after upstream had confirmed the copy.
    pub revalidated: u64,
    /// Answered from the store although upstream could not confirm the copy.
    pub stale: u64,
    /// Answered past the store: passed through from upstream, or a page of the server's own.
    pub passed: u64,
    /// Refused or failed.
    pub error: u64,
}

impl Requests {
    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        self.answered() + self.passed + self.error
    }

    /// Those that a kept or shared copy could answer.
    const fn answered(&self) -> u64 {
        self.without_transfer() + self.miss
    }

    /// Those that began no transfer of their own.
    const fn without_transfer(&self) -> u64 {
        self.hit + self.joined + self.revalidated + self.stale
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, other: Self) {
        self.hit += other.hit;
        self.miss += other.miss;
        self.joined += other.joined;
        self.revalidated += other.revalidated;
        self.stale += other.stale;
        self.passed += other.passed;
        self.error += other.error;
    }
}

/// Requests and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// What clients asked.
    pub requests: Requests,
    /// Bytes sent to clients that were held already.
    pub served_from_store: u64,
    /// Bytes sent to clients out of transfers that ran.
    pub served_from_upstream: u64,
    /// Bytes that came over the WAN.
    pub fetched: u64,
    /// The hits that seeding made.
    #[serde(default)]
    pub seeds: SeedHits,
}

/// Hits on what seeds had brought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedHits {
    /// All of them.
    pub hits: u64,
    /// Those that were the first on an object: a desktop would have waited for the line.
    pub first: u64,
    /// Bytes sent in all of them.
    pub bytes: u64,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, other: Self) {
        self.requests += other.requests;
        self.served_from_store += other.served_from_store;
        self.served_from_upstream += other.served_from_upstream;
        self.fetched += other.fetched;
        self.seeds.hits += other.seeds.hits;
        self.seeds.first += other.seeds.first;
        self.seeds.bytes += other.seeds.bytes;
    }
}

/// Traffic, and what follows from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// The sums.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Of the requests that could be answered, the share (0 to 1) that began no transfer of its own.
    /// Absent before the first.
    pub hit_ratio_requests: Option<f64>,
    /// Of the bytes served, the share (0 to 1) that was held already. Absent before the first.
    pub hit_ratio_bytes: Option<f64>,
    /// Bytes served beyond those that came over the WAN.
    pub wan_saved: u64,
}

impl From<Traffic> for Totals {
    fn from(traffic: Traffic) -> Self {
        let served = traffic.served_from_store + traffic.served_from_upstream;
        let requests = traffic.requests;
        Self {
            traffic,
            hit_ratio_requests: ratio(requests.without_transfer(), requests.answered()),
            hit_ratio_bytes: ratio(traffic.served_from_store, served),
            wan_saved: served.saturating_sub(traffic.fetched),
        }
    }
}

impl FromIterator<Traffic> for Totals {
    fn from_iter<I: IntoIterator<Item = Traffic>>(traffic: I) -> Self {
        let mut sum = Traffic::default();
        for part in traffic {
            sum += part;
        }
        Self::from(sum)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::seed::{Journal, RunFacts, SeedFacts, State};

    /// A server with one of everything.
    pub(crate) fn example() -> Status {
        let traffic = Traffic {
            requests: Requests { hit: 90, miss: 8, joined: 2, error: 1, ..Requests::default() },
            served_from_store: 900_000_000,
            served_from_upstream: 100_000_000,
            fetched: 60_000_000,
            seeds: SeedHits { hits: 40, first: 12, bytes: 300_000_000 },
        };
        Status {
            version: "0.1.0".to_owned(),
            started: 1_795_000_000,
            uptime_seconds: 93_784,
            config: "/etc/lumbung/lumbung.toml".to_owned(),
            listen: vec![SocketAddr::from(([0, 0, 0, 0], 3142))],
            admin: SocketAddr::from(([127, 0, 0, 1], 3143)),
            connections: 17,
            flights: vec![Flight {
                repo: "ubuntu".to_owned(),
                path: "pool/main/l/linux/linux-image_6.8.0-1_amd64.deb".to_owned(),
                received: 5_000_000,
                total: Some(20_000_000),
                readers: 3,
                seconds: 4,
            }],
            store: Store {
                path: PathBuf::from("/var/lib/lumbung"),
                bytes: 12_000_000_000,
                objects: 34_567,
                limit: Some(400_000_000_000),
                free: 80_000_000_000,
                min_free: 10_000_000_000,
                evicted_bytes: 5_000_000,
                full: false,
                held_bytes: 1_000_000_000,
                held_by: vec!["pilot".to_owned(), "stable".to_owned()],
            },
            wan: Wan {
                limit: Some(2_500_000),
                rate: 2_480_000,
                waiting: WanWaiting { client: 3, refresh: 0, seed: 8 },
                change: Some(WanChange { at: 1_795_100_000, limit: Some(10_000_000) }),
            },
            repos: vec![Repo {
                name: "ubuntu".to_owned(),
                kind: "apt".to_owned(),
                trust: "signature".to_owned(),
                legacy_sha1: false,
                upstreams: vec![
                    Upstream {
                        url: "http://id.archive.ubuntu.com/ubuntu".to_owned(),
                        healthy: true,
                        failures: 0,
                        last_error: None,
                        resting_seconds: None,
                    },
                    Upstream {
                        url: "http://archive.ubuntu.com/ubuntu".to_owned(),
                        healthy: false,
                        failures: 3,
                        last_error: Some("archive.ubuntu.com did not answer within 5 s".to_owned()),
                        resting_seconds: Some(20),
                    },
                ],
                traffic,
            }],
            channels_wait_for: vec![
                "the channel stable waits: the seed noble-desktop has 300 MB left".to_owned(),
            ],
            seeds: vec![SeedState {
                seed: SeedFacts {
                    seed: "noble-desktop".to_owned(),
                    repo: "ubuntu".to_owned(),
                    suites: Vec::new(),
                    components: Vec::new(),
                    architectures: vec!["amd64".to_owned()],
                    wanted: "3 packages".to_owned(),
                    hours: Some("18:00-06:00".to_owned()),
                    budget: None,
                },
                run: RunFacts {
                    journal: Journal { state: State::Waiting, ..Journal::default() },
                    bytes_missing: Some(300_000_000),
                    ..RunFacts::default()
                },
            }],
            suites: vec![SuiteFacts {
                repo: "ubuntu".to_owned(),
                suite: "dists/noble".to_owned(),
                generation: 7,
                date: Some(1_795_000_000),
                valid_until: None,
                adopted_at: 1_795_000_100,
                checked_at: 1_795_090_000,
                age_seconds: 120,
                pending_since: None,
                problem: None,
                signers: vec!["F6ECB3762474EDA9D21B7022871920D1991BC93C".to_owned()],
                legacy_sha1: false,
            }],
            totals: Totals::from(traffic),
        }
    }

    #[test]
    fn json_round_trips_and_keeps_the_promised_names() {
        let status = example();
        let json = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), status);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        for pointer in [
            "/version",
            "/uptime_seconds",
            "/store/limit",
            "/wan/limit",
            "/wan/rate",
            "/wan/waiting/client",
            "/wan/change/at",
            "/wan/change/limit",
            "/repos/0/upstreams/1/last_error",
            "/totals/requests/hit",
            "/totals/hit_ratio_bytes",
            "/totals/wan_saved",
            "/flights/0/received",
            "/suites/0/age_seconds",
            "/suites/0/pending_since",
        ] {
            assert!(value.pointer(pointer).is_some(), "{pointer} in {json}");
        }
    }

    #[test]
    fn a_newer_server_may_say_more() {
        let mut value = serde_json::to_value(example()).unwrap();
        value["something_new"] = serde_json::json!({ "x": 1 });
        assert_eq!(serde_json::from_value::<Status>(value).unwrap(), example());
    }

    #[test]
    fn ratios_count_what_began_no_transfer() {
        let totals = example().totals;
        assert_eq!(totals.hit_ratio_requests, Some(0.92));
        assert_eq!(totals.hit_ratio_bytes, Some(0.9));
        assert_eq!(totals.wan_saved, 940_000_000);
        let nothing = Totals::default();
        assert_eq!(Totals::from(Traffic::default()), nothing);
        assert_eq!(nothing.hit_ratio_requests, None);
    }

    #[test]
    fn more_fetched_than_served_saves_nothing() {
        let traffic = Traffic { served_from_upstream: 1, fetched: 5, ..Traffic::default() };
        assert_eq!(Totals::from(traffic).wan_saved, 0);
    }

    #[test]
    fn a_healthy_server_needs_no_attention() {
        let mut status = example();
        status.repos[0].upstreams.truncate(1);
        assert_eq!(status.attention(), Vec::<String>::new());
    }

    #[test]
    fn what_needs_attention_is_said() {
        let mut status = example();
        assert!(status.attention()[0].contains("1 of 2 upstreams of ubuntu do not answer"));
        status.repos[0].upstreams.remove(0);
        status.repos[0].trust = "none".to_owned();
        status.repos[0].legacy_sha1 = true;
        status.suites[0].problem = Some("its index is missing".to_owned());
        status.store.full = true;
        let notes = status.attention().join("\n");
        for words in [
            "No upstream of ubuntu",
            "did not answer within 5 s",
            "not verified",
            "store is full",
            "1 GB may not be removed",
            "the channels pilot, stable",
            "its index is missing",
            "SHA-1",
        ] {
            assert!(notes.contains(words), "{words:?} in {notes}");
        }
    }
}
