//! Many desktops with real apt, while the publisher publishes one generation after the other, file by
//! file, in any order.
//!
//! `LUMBUNG_LONG=1` runs the long form: 20 desktops, 1,000 updates, 100 generations.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rstest::rstest;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::{IN_RELEASE, RETRY, Setup};
use crate::support::apt::{Apt, Run};
use crate::support::client::get_from;
use crate::support::repository::{File, Package, Repository, day};
use crate::support::server::TestServer;
use crate::support::sha256;

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Extent {
    desktops: usize,
    /// Of all desktops together.
    updates: usize,
    generations: usize,
}

impl Extent {
    fn chosen(desktops: usize) -> Self {
        if std::env::var_os("LUMBUNG_LONG").is_some_and(|long| long == "1") {
            let desktops = if desktops == 1 { 1 } else { 20 };
            Self { desktops, updates: 1000, generations: 100 }
        } else {
            Self { desktops, updates: 10 * desktops, generations: 12 }
        }
    }
}

/// Draws numbers; the same seed draws the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap_or(0)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// What is still to be published, in order.
struct Publisher {
    files: std::vec::IntoIter<File>,
    /// Files for each update that ends.
    pace: f64,
    due: f64,
}

impl Publisher {
    /// Every generation in an order of its own, one after the other; the release file of the last.
    fn new(first: &Repository, extent: Extent, random: &mut Random) -> (Self, Vec<u8>) {
        let (mut all, mut newest) = (Vec::new(), Vec::new());
        for number in 1..=extent.generations {
            let package = Package::new("changing", &number.to_string()).payload_size(1000 + number);
            let published = first.clone().date(day(number as u64)).package(package).publish();
            newest = published.bytes("dists/noble/InRelease").to_vec();
            let mut files: Vec<File> = published.files().to_vec();
            random.shuffle(&mut files);
            all.extend(files);
        }
        let pace = all.len() as f64 / extent.updates as f64;
        (Self { files: all.into_iter(), pace, due: 0.0 }, newest)
    }

    fn step(&mut self, setup: &Setup) {
        self.due += self.pace;
        while self.due >= 1.0 {
            self.due -= 1.0;
            if let Some(file) = self.files.next() {
                setup.origin().route(&format!("/u/{}", file.path), file.reply());
            }
        }
    }
}

/// A run that went without a hitch: nothing failed, was passed over, or did not fit.
fn assert_clean(run: Run) {
    let run = run.assert_ok();
    let hitch = run.stdout.lines().find(|line| line.starts_with("Err:") || line.starts_with("Ign:"));
    assert!(hitch.is_none(), "{}\n{}", run.stdout, run.stderr);
}

fn release_of(lists: &BTreeMap<String, String>) -> &str {
    let (_, hash) = lists.iter().find(|(name, _)| name.ends_with("_InRelease")).expect("a release file");
    hash
}

/// Moves the server's time from update to update, so that it asks upstream for each.
fn time_goes_on(server: &TestServer) {
    server.clock().advance(RETRY);
}

#[rstest]
#[case::with_names_by_hash(3, true)]
#[case::with_plain_names_only(1, false)]
#[tokio::test(flavor = "multi_thread")]
async fn desktops_see_whole_generations_while_files_are_published_in_any_order(
    #[case] desktops: usize,
    #[case] named_by_hash: bool,
) {
    let extent = Extent::chosen(desktops);
    let seed = 0x4c75_6d62_756e_6721;
    let setup = Arc::new(Setup::with(1, "check_every = \"0 s\"\n").await);
    let first = setup.first().by_hash(named_by_hash);
    first.publish().to(setup.origin(), "/u");
    let (publisher, newest) = Publisher::new(&first, extent, &mut Random(seed));
    let publisher = Arc::new(Mutex::new(publisher));
    let began = Instant::now();
    let mut running = JoinSet::new();
    for desktop in 0..extent.desktops {
        let (setup, publisher) = (setup.clone(), publisher.clone());
        let updates = extent.updates / extent.desktops;
        running.spawn(async move {
            let apt = setup.desktop();
            let mut took = Duration::ZERO;
            for _ in 0..updates {
                let start = Instant::now();
                assert_clean(apt.update().await);
                took = took.max(start.elapsed());
                publisher.lock().await.step(&setup);
                time_goes_on(&setup.server);
                if !named_by_hash {
                    // Somebody else brings the new generations, so that they arrive within our updates.
                    let other = [127, 0, 0, 2].into();
                    get_from(other, setup.server.address(), IN_RELEASE).await;
                }
            }
            (desktop, apt, took)
        });
    }
    let desktops: Vec<(usize, Apt, Duration)> = running.join_all().await;
    let left: Vec<File> = publisher.lock().await.files.by_ref().collect();
    for file in left {
        setup.origin().route(&format!("/u/{}", file.path), file.reply());
    }
    setup.switched_to(&newest).await;
    let slowest = desktops.iter().map(|(.., took)| *took).max().unwrap_or_default();
    for (desktop, apt, _) in &desktops {
        assert_clean(apt.update().await);
        assert_eq!(release_of(&apt.lists()), sha256(&newest), "desktop {desktop}");
        let run = apt.download(&["changing"]).await;
        assert_clean(run);
    }
    println!(
        "{extent:?}, seed {seed:#x}: {} s, slowest update {} ms, {} requests upstream",
        began.elapsed().as_secs(),
        slowest.as_millis(),
        setup.origin().requests().len()
    );
}
