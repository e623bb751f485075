//! The governor as transfers see it, on a clock that the tests move.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rstest::rstest;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::clock::Clock;
use crate::outcome::Class;
use crate::safe_url::Host;
use crate::units::BitRate;

const MBIT: u64 = 1_000_000;

/// What was passed on: when, by whom, how much.
type Log = Arc<Mutex<Vec<(Duration, usize, u64)>>>;

/// A governor that runs, and what its transfers did.
struct Scene {
    governor: Governor,
    begun: Instant,
    log: Log,
    running: JoinHandle<()>,
}

/// How a transfer behaves.
#[derive(Debug, Clone, Copy)]
struct Manner {
    host: &'static str,
    class: Class,
    /// Bytes that come at once.
    piece: usize,
    /// When it begins, and when it ends by itself.
    from: Duration,
    until: Duration,
    /// How long it rests between pieces.
    rest: Duration,
}

impl Manner {
    fn greedy(class: Class) -> Self {
        Self {
            host: "a.example",
            class,
            piece: 64 * 1024,
            from: Duration::ZERO,
            until: Duration::MAX,
            rest: Duration::ZERO,
        }
    }
}

impl Scene {
    fn new(plan: Plan) -> Self {
        Self::at(plan, Clock::system())
    }

    fn limited(bits: u64) -> Self {
        Self::new(Plan { limit: Some(BitRate(bits)), ..Plan::default() })
    }

    fn at(plan: Plan, clock: Clock) -> Self {
        let governor = Governor::new(plan, clock);
        let running = tokio::spawn(governor.clone().run());
        Self { governor, begun: Instant::now(), log: Log::default(), running }
    }

    fn host(name: &str) -> Host {
        name.parse().unwrap()
    }

    fn start(&self, who: usize, manner: Manner) -> (Urgency, JoinHandle<()>) {
        let urgency = Urgency::from(manner.class);
        let mut transfer = self.governor.transfer(Self::host(manner.host), urgency.clone());
        let (log, begun) = (Arc::clone(&self.log), self.begun);
        let task = tokio::spawn(async move {
            tokio::time::sleep(manner.from).await;
            while begun.elapsed() < manner.until {
                let mut left = manner.piece;
                while left > 0 {
                    let granted = transfer.turn(left).await;
                    assert!((1..=left).contains(&granted), "{granted} of {left}");
                    log.lock().unwrap().push((begun.elapsed(), who, granted as u64));
                    left -= granted;
                }
                tokio::time::sleep(manner.rest).await;
            }
        });
        (urgency, task)
    }

    /// Lets the time come, counted from the beginning.
    async fn until(&self, seconds: u64) {
        tokio::time::sleep_until(self.begun + Duration::from_secs(seconds)).await;
    }

    fn entries(&self) -> Vec<(Duration, usize, u64)> {
        self.log.lock().unwrap().clone()
    }

    /// Bytes passed on from one second to another, by transfer.
    fn by_transfer(&self, from: u64, to: u64) -> HashMap<usize, u64> {
        let mut sums = HashMap::new();
        for (at, who, bytes) in self.entries() {
            if (from..to).contains(&at.as_secs()) {
                *sums.entry(who).or_default() += bytes;
            }
        }
        sums
    }

    fn bytes(&self, from: u64, to: u64) -> u64 {
        self.by_transfer(from, to).values().sum()
    }

    /// The most that any stretch of `length` saw.
    fn busiest(&self, length: Duration) -> u64 {
        let entries = self.entries();
        let (mut most, mut sum, mut first) = (0, 0, 0);
        for (at, _, bytes) in &entries {
            sum += bytes;
            while entries[first].0 + length <= *at {
                sum -= entries[first].2;
                first += 1;
            }
            most = most.max(sum);
        }
        most
    }

    /// The longest time for which a transfer, between its first and last byte or up to now, got nothing.
    fn longest_silence(&self) -> Duration {
        let mut last = HashMap::new();
        let mut longest = Duration::ZERO;
        for (at, who, _) in self.entries() {
            if let Some(before) = last.insert(who, at) {
                longest = longest.max(at.saturating_sub(before));
            }
        }
        let now = self.begun.elapsed();
        last.values().map(|before| now.saturating_sub(*before)).fold(longest, Duration::max)
    }

    #[track_caller]
    fn assert_within(&self, bits: u64) {
        let (most, allowed) = (self.busiest(Duration::from_secs(1)), bits / 8 * 102 / 100);
        assert!(most <= allowed, "{most} bytes in a second where {allowed} are allowed");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.running.abort();
    }
}

#[rstest]
#[case(64_000)]
#[case(1_000_000)]
#[case(20_000_000)]
#[case(100_000_000)]
#[case(1_000_000_000)]
#[case(10_000_000_000)]
#[tokio::test(start_paused = true)]
async fn no_second_has_more_and_a_minute_has_all(#[case] bits: u64) {
    let scene = Scene::limited(bits);
    for who in 0..12 {
        let class = [Class::Client, Class::Refresh, Class::Seed][who % 3];
        let manner = Manner {
            // Not so small that a fast line takes the test too long.
            piece: [1400, 16 * 1024, 64 * 1024, 400 * 1024][who % 4]
                .max(usize::try_from(bits / 8000).unwrap()),
            from: Duration::from_millis(37 * who as u64),
            ..Manner::greedy(class)
        };
        scene.start(who, manner);
    }
    scene.until(61).await;
    scene.assert_within(bits);
    let (minute, all) = (scene.bytes(1, 61), bits / 8 * 60);
    assert!(minute >= all * 97 / 100, "{minute} of {all}");
}

#[tokio::test(start_paused = true)]
async fn rest_is_not_made_up_for() {
    let bits = 20 * MBIT;
    let scene = Scene::limited(bits);
    for who in 0..8 {
        // All come back at the same moment, again and again.
        let manner =
            Manner { piece: 2_000_000, rest: Duration::from_secs(20), ..Manner::greedy(Class::Client) };
        scene.start(who, manner);
    }
    scene.until(120).await;
    scene.assert_within(bits);
}

#[rstest]
#[case([64 * 1024, 16 * 1024, 16 * 1024, 16 * 1024])]
#[case([400 * 1024, 8 * 1024, 64 * 1024, 16 * 1024])]
#[tokio::test(start_paused = true)]
async fn transfers_of_a_class_get_the_same(#[case] pieces: [usize; 4]) {
    let scene = Scene::limited(20 * MBIT);
    for (who, piece) in pieces.into_iter().enumerate() {
        scene.start(who, Manner { piece, ..Manner::greedy(Class::Client) });
    }
    scene.until(20).await;
    let shares = scene.by_transfer(0, 20);
    let mean = scene.bytes(0, 20) / 4;
    for (who, bytes) in shares {
        assert!(bytes.abs_diff(mean) <= mean / 10, "{who}: {bytes}, mean {mean}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_starts_level() {
    let scene = Scene::limited(20 * MBIT);
    scene.start(0, Manner::greedy(Class::Seed));
    scene.start(1, Manner { from: Duration::from_secs(30), ..Manner::greedy(Class::Seed) });
    scene.until(40).await;
    let shares = scene.by_transfer(30, 40);
    assert!(shares[&0].abs_diff(shares[&1]) <= shares[&0] / 10, "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn classes_come_in_order() {
    let scene = Scene::limited(20 * MBIT);
    scene.start(2, Manner::greedy(Class::Seed));
    scene.start(1, Manner { from: Duration::from_secs(10), ..Manner::greedy(Class::Refresh) });
    let (_, client) =
        scene.start(0, Manner { from: Duration::from_secs(20), ..Manner::greedy(Class::Client) });
    scene.until(30).await;
    client.abort();
    scene.until(41).await;
    let percent = |who: usize, from| {
        let all = scene.bytes(from, from + 9);
        100 * scene.by_transfer(from, from + 9).get(&who).copied().unwrap_or(0) / all
    };
    assert_eq!(percent(2, 1), 100);
    assert!(percent(1, 11) >= 97, "a seed keeps a little: {}", percent(1, 11));
    assert!(percent(0, 21) >= 92, "and a refresh: {}", percent(0, 21));
    assert!(percent(1, 21) >= 3, "nobody is left with nothing: {}", percent(1, 21));
    assert!(percent(2, 21) >= 1, "nobody is left with nothing: {}", percent(2, 21));
    assert!(percent(1, 31) >= 97, "it was granted the line again: {}", percent(1, 31));
}

/// Behind a full line, a small file takes as long as the line needs for it, and next to nothing beside.
#[tokio::test(start_paused = true)]
async fn a_small_file_does_not_wait_for_what_is_less_urgent() {
    let scene = Scene::limited(20 * MBIT);
    for who in 0..12 {
        let class = if who % 2 == 0 { Class::Refresh } else { Class::Seed };
        scene.start(who, Manner { piece: 400 * 1024, ..Manner::greedy(class) });
    }
    scene.until(5).await;
    let begun = Instant::now();
    let mut transfer = scene.governor.transfer(Scene::host("a.example"), Class::Client.into());
    let (size, mut had) = (50_000, 0);
    while had < size {
        had += transfer.turn(size - had).await;
    }
    let (took, least) = (begun.elapsed(), Duration::from_millis(20));
    assert!(took <= least + Duration::from_millis(15), "{took:?}");

    // And on an idle one it is there at once.
    let idle = Scene::limited(20 * MBIT);
    idle.until(1).await;
    let begun = Instant::now();
    let mut transfer = idle.governor.transfer(Scene::host("a.example"), Class::Client.into());
    let mut had = 0;
    while had < 30_000 {
        had += transfer.turn(30_000 - had).await;
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// Whoever changes the limit all the time gets no more for it.
#[tokio::test(start_paused = true)]
async fn changes_are_no_way_around_the_limit() {
    let scene = Scene::limited(8 * MBIT);
    scene.start(0, Manner::greedy(Class::Client));
    let charging = scene.governor.transfer(Scene::host("b.example"), Class::Client.into());
    for tenth in 1..=100_u64 {
        charging.charge(30_000);
        let bits = 8 * MBIT - tenth % 2;
        scene.governor.set(Plan { limit: Some(BitRate(bits)), ..Plan::default() });
        tokio::time::sleep_until(scene.begun + Duration::from_millis(100 * tenth)).await;
    }
    // Of a megabyte a second heads took three tenths.
    let content = scene.bytes(0, 10);
    assert!((6_500_000..=7_010_000).contains(&content), "{content}");
}

#[rstest]
#[case(64_000, 50)]
#[case(10_000_000, 400)]
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_half_a_minute(#[case] bits: u64, #[case] clients: usize) {
    let scene = Scene::limited(bits);
    for who in 0..clients {
        scene.start(who, Manner::greedy(Class::Client));
    }
    for who in clients..clients + 20 {
        scene.start(who, Manner::greedy(if who % 2 == 0 { Class::Refresh } else { Class::Seed }));
    }
    scene.until(120).await;
    assert_eq!(scene.by_transfer(0, 120).len(), clients + 20, "everybody got something");
    assert!(scene.longest_silence() < Duration::from_secs(25), "{:?}", scene.longest_silence());
}

#[tokio::test(start_paused = true)]
async fn a_desktop_that_waits_makes_it_urgent() {
    // So slow that the seed would wait for long.
    let scene = Scene::limited(64_000);
    for who in 1..6 {
        scene.start(who, Manner::greedy(Class::Client));
    }
    let (urgency, _) = scene.start(0, Manner::greedy(Class::Seed));
    scene.until(10).await;
    urgency.raise(Class::Client);
    scene.until(20).await;
    let (before, after) = (scene.by_transfer(0, 10)[&0], scene.by_transfer(10, 20)[&0]);
    assert!(before <= 8_000 * 10 / 40, "{before}");
    // A sixth, like everybody else.
    assert!(after >= 8_000 * 10 / 6 * 9 / 10, "{after}");
}

#[tokio::test(start_paused = true)]
async fn another_plan_holds_within_a_second() {
    let scene = Scene::limited(20 * MBIT);
    scene.start(0, Manner::greedy(Class::Seed));
    scene.until(10).await;
    scene.governor.set(Plan { limit: Some(BitRate(2 * MBIT)), ..Plan::default() });
    scene.until(20).await;
    let slow = scene.bytes(11, 20);
    assert!(slow <= 2 * MBIT / 8 * 9 * 102 / 100, "{slow}");
    scene.governor.set(Plan { limit: Some(BitRate(80 * MBIT)), ..Plan::default() });
    scene.until(30).await;
    let fast = scene.bytes(21, 30);
    assert!(fast >= 80 * MBIT / 8 * 9 * 97 / 100, "{fast}");
    assert_eq!(scene.governor.usage().limit, Some(BitRate(80 * MBIT)));
}

#[tokio::test(start_paused = true)]
async fn no_limit_any_more_lets_everybody_go() {
    let scene = Scene::limited(64_000);
    let waiting: Vec<_> = (0..20)
        .map(|who| {
            let until = Duration::from_millis(1);
            scene.start(who, Manner { piece: 10_000_000, until, ..Manner::greedy(Class::Seed) }).1
        })
        .collect();
    scene.until(5).await;
    scene.governor.set(Plan::default());
    for task in waiting {
        task.await.unwrap();
    }
    assert!(scene.begun.elapsed() < Duration::from_secs(6), "{:?}", scene.begun.elapsed());
    assert_eq!(scene.governor.usage().waiting, [0, 0, 0]);
}

#[tokio::test(start_paused = true)]
async fn limits_change_at_their_hour() {
    let clock = Clock::system();
    let zone = TimeZone::get("Asia/Pontianak").unwrap();
    // Half a minute before six in the evening, on whatever day that is next.
    let evening = Window { days: Days::ALL, hours: "18:00-18:01".parse().unwrap() };
    let now = Timestamp::try_from(clock.now()).unwrap();
    let next = evening.spans(now, &zone).find(|span| span.begin > now).unwrap().begin;
    let ahead = Duration::try_from(next.duration_since(now)).unwrap();
    clock.advance(ahead.saturating_sub(Duration::from_secs(30)));

    let schedule = vec![Scheduled { window: evening, limit: Some(BitRate(80 * MBIT)) }];
    let plan = Plan { limit: Some(BitRate(8 * MBIT)), schedule, zone, hosts: Vec::new() };
    let scene = Scene::at(plan, clock.clone());
    scene.start(0, Manner::greedy(Class::Client));
    scene.until(2).await;
    let change = scene.governor.usage().change.unwrap();
    assert_eq!((change.at, change.limit), (next, Some(BitRate(80 * MBIT))));

    // The clock is moved by whole seconds.
    clock.advance(Duration::from_secs(31));
    scene.until(4).await;
    clock.advance(Duration::from_mins(1));
    scene.until(6).await;
    let rates = [1, 3, 5].map(|second| scene.bytes(second, second + 1) * 8 / MBIT);
    assert!((7..=8).contains(&rates[0]), "{rates:?}");
    assert!((77..=81).contains(&rates[1]), "{rates:?}");
    assert!((7..=8).contains(&rates[2]), "{rates:?}");
}

#[tokio::test(start_paused = true)]
async fn who_leaves_leaves_nothing_behind() {
    let scene = Scene::limited(64_000);
    let mut tasks: Vec<_> = (0..50).map(|who| scene.start(who, Manner::greedy(Class::Client)).1).collect();
    scene.until(3).await;
    assert!(scene.governor.usage().waiting[0] >= 49);
    let stays = tasks.pop();
    for task in &tasks {
        task.abort();
    }
    scene.until(4).await;
    assert!(scene.governor.usage().waiting[0] <= 1);
    scene.until(14).await;
    let alone = scene.bytes(4, 14);
    assert!(alone >= 8_000 * 10 * 97 / 100, "{alone}");
    scene.assert_within(64_000);
    drop(stays);
}

/// A body that is read by somebody who gives up waiting now and then.
#[tokio::test(start_paused = true)]
async fn impatience_costs_nothing() {
    let scene = Scene::limited(64_000);
    scene.start(1, Manner::greedy(Class::Client));
    let mut transfer = scene.governor.transfer(Scene::host("a.example"), Class::Client.into());
    let mut had = 0;
    while scene.begun.elapsed() < Duration::from_secs(30) {
        if let Ok(granted) = tokio::time::timeout(Duration::from_millis(1), transfer.turn(1400)).await {
            had += granted;
        }
    }
    let other = scene.bytes(0, 30);
    assert!((had as u64).abs_diff(other) <= other / 10, "{had} and {other}");
}

#[tokio::test(start_paused = true)]
async fn hosts_have_limits_of_their_own() {
    let hosts = vec![(Scene::host("slow.example"), BitRate(2 * MBIT))];
    let scene = Scene::new(Plan { limit: Some(BitRate(20 * MBIT)), hosts: hosts.clone(), ..Plan::default() });
    for who in 0..3 {
        scene.start(who, Manner { host: "slow.example", ..Manner::greedy(Class::Client) });
    }
    let (_, other) = scene.start(3, Manner::greedy(Class::Seed));
    scene.until(20).await;
    other.abort();
    let slow: u64 = (0..3).map(|who| scene.by_transfer(10, 20)[&who]).sum();
    let rest = scene.by_transfer(10, 20)[&3];
    assert!((194..=204).contains(&(slow * 8 * 100 / 10 / MBIT)), "{slow}");
    assert!(rest >= 18 * MBIT / 8 * 10 * 97 / 100, "what it leaves is the others': {rest}");

    // Without a limit of the line it still holds.
    scene.governor.set(Plan { hosts, ..Plan::default() });
    scene.until(30).await;
    let slow: u64 = (0..3).map(|who| scene.by_transfer(21, 30)[&who]).sum();
    assert!(slow <= 2 * MBIT / 8 * 9 * 102 / 100, "{slow}");
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_nothing_waits() {
    let governor = Governor::unlimited();
    let mut transfer = governor.transfer(Scene::host("a.example"), Class::Seed.into());
    let begun = Instant::now();
    for _ in 0..10_000 {
        assert_eq!(transfer.turn(400 * 1024).await, 400 * 1024);
    }
    transfer.charge(1000);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(governor.usage().limit, None);
}

#[tokio::test(start_paused = true)]
async fn heads_count() {
    let scene = Scene::limited(8 * MBIT);
    scene.start(0, Manner::greedy(Class::Client));
    let charging = scene.governor.transfer(Scene::host("b.example"), Class::Client.into());
    for second in 1..=20 {
        charging.charge(500_000);
        scene.until(second).await;
    }
    let content = scene.bytes(1, 20);
    assert!((450_000..=510_000).contains(&(content / 19)), "{content}");
}

fn manner() -> impl Strategy<Value = Manner> {
    let class = prop_oneof![Just(Class::Client), Just(Class::Refresh), Just(Class::Seed)];
    let host = prop_oneof![Just("a.example"), Just("slow.example")];
    let piece = prop_oneof![1..2_000_usize, 1..500_000_usize];
    (class, host, piece, 0..4_000_u64, 0..8_000_u64, prop_oneof![Just(0), 0..700_u64]).prop_map(
        |(class, host, piece, from, lasts, rest)| Manner {
            host,
            class,
            piece,
            from: Duration::from_millis(from),
            until: Duration::from_millis(from + lasts),
            rest: Duration::from_millis(rest),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whoever comes, goes and rests when: no second has more, and all who are there in the end go on.
    #[test]
    fn the_limit_holds_whatever_transfers_do(
        manners in prop::collection::vec(manner(), 1..24),
        kbits in prop_oneof![64..1_000_u64, 1_000..200_000_u64],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let bits = kbits * 1000;
            let hosts = vec![(Scene::host("slow.example"), BitRate(bits / 3))];
            let scene = Scene::new(Plan { limit: Some(BitRate(bits)), hosts, ..Plan::default() });
            for (who, manner) in manners.into_iter().enumerate() {
                scene.start(who, manner);
            }
            scene.until(12).await;
            scene.assert_within(bits);
            prop_assert!(scene.longest_silence() < Duration::from_secs(30));
            Ok(())
        })?;
    }
}
