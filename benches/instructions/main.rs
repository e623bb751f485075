//! Instructions of the hot paths, counted by valgrind: the same on every run, whatever else the machine does.
//!
//! ```text
//! cargo bench --bench instructions            all, with what changed since the last run here
//! cargo bench --bench instructions -- hit     those with this in their names
//! ```
//!
//! Fails when one takes over a tenth more than was [recorded]. Needs valgrind and `gungraun-runner` in the
//! version of `gungraun` (`cargo install gungraun-runner`). Valgrind shows programs a processor without SHA
//! extensions and without AVX-512, so that the counts do not depend on which one there is; system calls count
//! as nothing. `rep movs`, by which the C library copies and clears more than some kilobytes, counts each
//! round: such figures are larger than what they cost.

#![allow(unused_qualifications, missing_docs, clippy::must_use_candidate, reason = "what the macros write")]
#![expect(clippy::disallowed_methods, reason = "how what the macros write ends")]

#[path = "../../tests/support/mod.rs"]
#[expect(
    dead_code,
    unused_imports,
    clippy::pedantic,
    clippy::expect_used,
    reason = "made for tests, which use all of it and may panic"
)]
mod support;

#[expect(clippy::expect_used, reason = "what cannot be set up cannot be measured")]
mod kitchen;
mod recorded;

use std::hint::black_box;

use gungraun::{library_benchmark, library_benchmark_group, main};
use lumbung::cache::Answer;
use lumbung::digest::{Digest, Hasher};
use lumbung::repo::apt::checksum::Checksum;
use lumbung::repo::apt::index::{IndexKind, read};
use lumbung::repo::apt::table::{Builder, Expected, Table};
use lumbung::seed::{Extent, Offers, Universe, Wish, closure};
use lumbung::server::bench::Desk;
use lumbung::store::{Config, EntryKey, Store};
use tempfile::TempDir;

use kitchen::{CONDITIONAL, Parts, REQUEST, Served};
use recorded::recorded;

/// How often the short ones are done.
const TIMES: usize = 100;

fn times(mut work: impl FnMut()) {
    (0..TIMES).for_each(|_| work());
}

// From a request's bytes to the last of its answer, on one connection that stays. The client is included.
#[library_benchmark(config = recorded("hit"), setup = Served::with)]
#[bench::keep_alive(REQUEST)]
fn hit(mut served: Served) -> Served {
    times(|| {
        black_box(served.ask());
    });
    served
}

#[library_benchmark(config = recorded("not_modified"), setup = Served::with)]
#[bench::keep_alive(CONDITIONAL)]
fn not_modified(mut served: Served) -> Served {
    times(|| {
        black_box(served.ask());
    });
    served
}

#[library_benchmark(config = recorded("count_heads"))]
#[bench::pipelined(REQUEST.repeat(10))]
fn count_heads(bytes: String) -> String {
    times(|| {
        black_box(Desk::count_heads(black_box(bytes.as_bytes())));
    });
    bytes
}

#[library_benchmark(config = recorded("route"))]
#[bench::package(Parts::new())]
fn route(parts: Parts) -> Parts {
    times(|| drop(black_box(parts.desk.route(black_box(&parts.request)))));
    parts
}

#[library_benchmark(config = recorded("resolve"))]
#[bench::package(Parts::new())]
fn resolve(parts: Parts) -> Parts {
    times(|| drop(black_box(parts.desk.resolve(black_box(&parts.resource)))));
    parts
}

#[library_benchmark(config = recorded("serve"))]
#[bench::package(Parts::new())]
fn serve(parts: Parts) -> Parts {
    times(|| drop(black_box(parts.serve())));
    parts
}

fn answered() -> (Parts, Vec<Answer>) {
    let parts = Parts::new();
    let answers = (0..TIMES).map(|_| parts.serve()).collect();
    (parts, answers)
}

#[library_benchmark(config = recorded("head"))]
#[bench::whole(answered())]
fn head((parts, answers): (Parts, Vec<Answer>)) -> Parts {
    for answer in answers {
        drop(black_box(parts.desk.head(&parts.request, &parts.resource, black_box(answer))));
    }
    parts
}

// From an index to the table of what it lists.
#[library_benchmark(config = recorded("packages"))]
#[bench::two_thousand(kitchen::packages(2000))]
fn packages(index: Vec<u8>) -> Table {
    let mut builder = Builder::new();
    let count = read(IndexKind::Packages, index.as_slice(), |item| {
        let expected = Expected { size: item.size, checksum: item.checksum };
        let _ = builder.add(&item.path, &expected);
    });
    assert!(count.is_ok_and(|count| count.items == 2000));
    builder.finish()
}

fn path(number: usize) -> String {
    format!("pool/main/l/lib{number}/lib{number}_1.{number}_amd64.deb")
}

fn table() -> (Table, Vec<String>) {
    let mut builder = Builder::new();
    for number in 0..20_000 {
        let expected = Expected { size: number as u64, checksum: Checksum::Sha256(Digest::of(b"x")) };
        let _ = builder.add(&path(number), &expected);
    }
    (builder.finish(), (0..TIMES).map(|number| path(number * 100)).collect())
}

#[library_benchmark(config = recorded("look_up"))]
#[bench::of_twenty_thousand(table())]
fn look_up((table, paths): (Table, Vec<String>)) -> Table {
    for path in &paths {
        assert!(table.find(black_box(path)).next().is_some());
    }
    table
}

// By itself, in software: the one below does it too.
#[library_benchmark(config = recorded("hash"))]
#[bench::of_a_mebibyte(vec![7; 1024 * 1024])]
fn hash(bytes: Vec<u8>) -> Digest {
    let mut hasher = Hasher::new();
    bytes.chunks(64 * 1024).for_each(|piece| hasher.update(piece));
    hasher.finish()
}

// What apt would install along with one of two thousand packages.
#[library_benchmark(config = recorded("closed"))]
#[bench::of_two_thousand(kitchen::universe(2000))]
fn closed(universe: Universe) -> Universe {
    let Some(native) = universe.architecture(b"amd64") else { panic!("an architecture") };
    let wish = Wish { names: &["libexample1999"], recommends: true, extent: Extent::Apt };
    let found = closure(Offers::new(&universe, native), black_box(&wish));
    assert!(found.is_ok_and(|found| found.packages.len() == 2000 && found.unresolved.is_empty()));
    universe
}

fn store() -> (TempDir, Option<Store>) {
    let folder = tempfile::tempdir();
    let Ok(folder) = folder else { panic!("no folder") };
    let config = Config { path: folder.path().join("store"), min_free: 0, ..Config::default() };
    let store = Store::open(&config, lumbung::clock::Clock::system());
    (folder, store.ok())
}

// Small bodies on their way to the disk, up to the flush: names, files, limits, hashes.
#[library_benchmark(config = recorded("stage"))]
#[bench::of_two_kibibytes(store())]
fn stage((folder, store): (TempDir, Option<Store>)) -> (TempDir, Option<Store>) {
    let Some(opened) = &store else { panic!("no store") };
    let key = EntryKey { repo: "u".into(), path: "pool/a.deb".into() };
    times(|| {
        let Ok(mut staged) = opened.begin(&key) else { panic!("no room") };
        for piece in [[1; 1024], [2; 1024]] {
            assert!(staged.write(black_box(&piece)).is_ok());
        }
        black_box(staged.digest());
    });
    (folder, store)
}

library_benchmark_group!(
    name = requests;
    benchmarks = hit, not_modified, count_heads, route, resolve, serve, head
);
library_benchmark_group!(
    name = bytes;
    benchmarks = packages, look_up, closed, hash, stage
);
main!(library_benchmark_groups = requests, bytes);
