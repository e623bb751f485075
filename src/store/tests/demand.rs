//! What desktops ask for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::store::{Asked, day};

const DAY: i64 = 24 * 3600;

fn asked(package: &str, client: u8, office: &str) -> Asked {
    Asked {
        repo: "ubuntu".into(),
        package: package.into(),
        suite: "dists/noble".into(),
        client: IpAddr::from([10, 0, 0, client]),
        office: office.into(),
    }
}

async fn note(store: &Store, unix: i64, addresses: bool, all: &[(&str, u8, &str)]) {
    let all: HashMap<_, _> =
        all.iter().map(|(package, client, office)| (asked(package, *client, office), 1)).collect();
    store.note_demand(all, unix, addresses).await.unwrap();
}

fn wanted(store: &Store, since: i64) -> Vec<String> {
    let found = store.demand("ubuntu", since).unwrap();
    found.iter().map(|one| format!("{} {}x by {}", one.package, one.times, one.clients)).collect()
}

/// Each set as `office/address: packages`.
fn sets(store: &Store) -> Vec<String> {
    let uses = store.uses("ubuntu", &["dists/noble".into(), "dists/noble-updates".into()]).unwrap();
    let words = |set: &crate::store::UseSet| {
        let mut names: Vec<&str> = set.packages.iter().map(|at| &*uses.packages[*at as usize]).collect();
        names.sort_unstable();
        format!("{}/{}: {}", set.office, set.address, names.join(" "))
    };
    uses.sets.iter().map(words).collect()
}

#[tokio::test]
async fn what_more_desktops_want_comes_first_and_all_of_it_survives_a_restart() {
    let home = Home::new();
    let store = home.open();
    let now = 20_000 * DAY + 5;
    note(&store, now, true, &[("nano:amd64", 1, ""), ("vim:amd64", 1, "a"), ("vim:amd64", 2, "a")]).await;
    note(&store, now + DAY, true, &[("nano:amd64", 1, ""), ("emacs:all", 3, "")]).await;
    note(&store, now + 70 * DAY, true, &[("new:amd64", 9, "")]).await;
    store.close();
    let store = home.open();
    let today = day(now + DAY);
    assert_eq!(
        wanted(&store, today - 60),
        ["vim:amd64 2x by 2", "nano:amd64 2x by 1", "new:amd64 1x by 1", "emacs:all 1x by 1"]
    );
    assert_eq!(wanted(&store, today + 1), ["new:amd64 1x by 1"]);
    assert_eq!(store.demand("debian", 0).unwrap(), []);
    assert!(store.is_demanded("ubuntu", today).unwrap() && !store.is_demanded("debian", 0).unwrap());
    assert_eq!(
        sets(&store),
        [
            "/10.0.0.1: nano:amd64",
            "/10.0.0.3: emacs:all",
            "/10.0.0.9: new:amd64",
            "a/10.0.0.1: vim:amd64",
            "a/10.0.0.2: vim:amd64"
        ]
    );
}

#[tokio::test]
async fn addresses_become_their_offices_in_time() {
    let home = Home::new();
    let store = home.open();
    let now = 20_000 * DAY;
    note(&store, now, true, &[("nano:amd64", 1, "a"), ("vim:amd64", 2, "a"), ("vim:amd64", 7, "")]).await;
    note(&store, now + 10 * DAY, true, &[("emacs:all", 1, "a")]).await;
    store.age_demand(day(now) + 5, now + 10 * DAY).await.unwrap();
    assert_eq!(sets(&store), ["/: vim:amd64", "a/: nano:amd64 vim:amd64", "a/10.0.0.1: emacs:all"]);
    let left: i64 = home
        .catalog()
        .query_row("SELECT count(*) FROM desktop WHERE address IN ('10.0.0.2', '10.0.0.7')", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(left, 0);
    // Who keeps no addresses has none from the beginning.
    note(&store, now, false, &[("gone:all", 4, "a")]).await;
    assert_eq!(sets(&store)[1], "a/: gone:all nano:amd64 vim:amd64");
    // And after more than a year nothing is left of what nobody asks for.
    store.age_demand(day(now) + 500, now + 500 * DAY).await.unwrap();
    assert_eq!((sets(&store).len(), wanted(&store, 0).len()), (0, 0));
}

#[tokio::test]
async fn a_flood_is_bounded_and_the_youngest_stay() {
    let home = Home::new();
    let store = home.open();
    for round in 0..3_i64 {
        let flood = |number: u32| Asked {
            client: IpAddr::from(number.to_be_bytes()),
            ..asked(&format!("p{round}-{number}:amd64"), 0, "")
        };
        let all = (0..30_000).map(|number| (flood(number), 1)).collect();
        store.note_demand(all, round * DAY, true).await.unwrap();
    }
    let count = |table: &str| -> i64 {
        home.catalog().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("demand"), 64 * 1024);
    assert!(count("desktop") <= 16 * 1024 + 1, "{}", count("desktop"));
    assert!(count("desktop_package") <= 64 * 1024);
    let newest: Arc<str> = "p2-7:amd64".into();
    assert!(store.demand("ubuntu", 2).unwrap().iter().any(|one| one.package == newest));
}
