//! Names, labels and sums as a scrape shows them.

use super::*;
use crate::status::tests::example;

fn page_after(count: impl Fn(&Metrics)) -> String {
    let metrics = Metrics::new(&["ubuntu", "ppa"]);
    count(&metrics);
    metrics.encode(&example()).unwrap()
}

#[track_caller]
fn assert_line(page: &str, line: &str) {
    assert!(page.lines().any(|found| found == line), "no line {line:?} in\n{page}");
}

#[test]
fn every_outcome_has_its_own_place() {
    for (at, outcome) in OUTCOMES.into_iter().enumerate() {
        assert_eq!(outcome_index(outcome), at);
    }
}

#[test]
fn names_are_those_of_the_manual() {
    let page = page_after(|metrics| {
        let served = Some((Source::Store, 1000));
        metrics.request("ubuntu", Outcome::Hit, Duration::from_millis(2), served);
        metrics.upstream_bytes("ppa", Class::Seed, 7);
        metrics.seed_hit("ppa", true, 6);
        metrics.seed_hit("ppa", false, 4);
        metrics.upstream_error("ppa", "timeout");
        metrics.verify_failure("ubuntu", "deb");
        metrics.refused("not-configured");
        metrics.tunnel_bytes(11);
        metrics.flight_started();
        metrics.flight_started();
        metrics.flight_ended();
        metrics.connection_opened();
    });
    for line in [
        "lumbung_requests_total{repo=\"ubuntu\",outcome=\"hit\"} 1",
        "lumbung_requests_total{repo=\"ubuntu\",outcome=\"error\"} 0",
        "lumbung_served_bytes_total{repo=\"ubuntu\",source=\"store\"} 1000",
        "lumbung_upstream_bytes_total{repo=\"ppa\",class=\"seed\"} 7",
        "lumbung_seed_hits_total{repo=\"ppa\"} 2",
        "lumbung_seed_first_hits_total{repo=\"ppa\"} 1",
        "lumbung_seed_hit_bytes_total{repo=\"ppa\"} 10",
        "lumbung_seed_hits_total{repo=\"ubuntu\"} 0",
        "lumbung_upstream_errors_total{repo=\"ppa\",reason=\"timeout\"} 1",
        "lumbung_verify_failures_total{repo=\"ubuntu\",what=\"deb\"} 1",
        "lumbung_refused_total{reason=\"not-configured\"} 1",
        "lumbung_tunnel_bytes_total 11",
        "lumbung_flights 1",
        "lumbung_client_connections 1",
        "lumbung_store_bytes 12000000000",
        "lumbung_store_objects 34567",
        "lumbung_store_limit_bytes 400000000000",
        "lumbung_evicted_bytes_total 5000000",
        "lumbung_wan_limit_bytes_per_second 2500000",
        "lumbung_wan_rate_bytes_per_second 2480000",
        "lumbung_wan_waiting{class=\"client\"} 3",
        "lumbung_wan_waiting{class=\"seed\"} 8",
        "lumbung_request_seconds_count{outcome=\"hit\"} 1",
        "lumbung_request_seconds_sum{outcome=\"hit\"} 0.002",
        "lumbung_request_seconds_bucket{le=\"0.001\",outcome=\"hit\"} 0",
        "lumbung_request_seconds_bucket{le=\"0.0025\",outcome=\"hit\"} 1",
        "lumbung_request_seconds_bucket{le=\"+Inf\",outcome=\"hit\"} 1",
        "lumbung_upstream_up{repo=\"ubuntu\",upstream=\"http://archive.ubuntu.com/ubuntu\"} 0",
        "lumbung_suite_age_seconds{repo=\"ubuntu\",suite=\"dists/noble\"} 120",
        "lumbung_suite_generation_pending{repo=\"ubuntu\",suite=\"dists/noble\"} 0",
        "lumbung_seed_bytes_missing{seed=\"noble-desktop\"} 300000000",
        concat!("lumbung_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert_line(&page, line);
    }
    assert!(page.ends_with("# EOF\n"));
}

#[test]
fn unknown_names_make_no_new_rows() {
    let page = page_after(|metrics| {
        for name in ["evil\"name", "another"] {
            metrics.request(name, Outcome::Error, Duration::ZERO, None);
            metrics.upstream_error(name, "dns");
        }
    });
    assert_line(&page, "lumbung_requests_total{repo=\"-\",outcome=\"error\"} 2");
    assert_line(&page, "lumbung_upstream_errors_total{repo=\"-\",reason=\"dns\"} 2");
    assert!(!page.contains("evil"));
}

#[test]
fn a_store_without_a_limit_shows_none() {
    let mut status = example();
    let metrics = Metrics::new(&["ubuntu"]);
    assert!(metrics.encode(&status).unwrap().contains("\nlumbung_store_limit_bytes 400"));
    status.store.limit = None;
    assert!(!metrics.encode(&status).unwrap().contains("\nlumbung_store_limit_bytes "));
    status.wan.limit = None;
    assert!(!metrics.encode(&status).unwrap().contains("\nlumbung_wan_limit_bytes_per_second "));
}

#[test]
fn totals_can_be_read_again() {
    let metrics = Metrics::new(&["ubuntu"]);
    let served = Some((Source::Upstream, 5));
    metrics.request("ubuntu", Outcome::Joined, Duration::from_secs(1), served);
    metrics.upstream_bytes("ubuntu", Class::Client, 3);
    metrics.upstream_bytes("ubuntu", Class::Refresh, 2);
    metrics.request("nowhere", Outcome::Error, Duration::ZERO, None);
    let traffic = metrics.traffic("ubuntu");
    assert_eq!(traffic.requests, Requests { joined: 1, ..Requests::default() });
    assert_eq!((traffic.served_from_upstream, traffic.fetched), (5, 5));
    assert_eq!(metrics.traffic_elsewhere().requests.error, 1);
}

#[test]
fn what_is_not_configured_any_more_shows_no_row() {
    let (metrics, mut status) = (Metrics::new(&["ubuntu"]), example());
    let rows = ["lumbung_upstream_up{", "lumbung_suite_age_seconds{", "lumbung_seed_bytes_missing{"];
    let shown = |page: &str| rows.map(|row| page.contains(row));
    assert_eq!(shown(&metrics.encode(&status).unwrap()), [true; 3]);
    status.repos.iter_mut().for_each(|repo| repo.upstreams.clear());
    status.suites.clear();
    status.seeds.clear();
    assert_eq!(shown(&metrics.encode(&status).unwrap()), [false; 3]);
}
