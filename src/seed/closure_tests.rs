use std::fmt::Write as _;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::seed::universe::Pin;

/// A universe of one suite for each text; each line is a package: its fields, parted by semicolons.
fn universe(suites: &[(Pin, &str)]) -> Universe {
    let mut universe = Universe::new(&["amd64", "i386"]);
    for (pin, lines) in suites {
        let origin = universe.add_origin(*pin).unwrap();
        universe.read(origin, index(lines).as_bytes()).unwrap();
    }
    universe
}

/// `a 1 amd64; Depends: b` becomes a stanza.
fn index(lines: &str) -> String {
    let stanza = |line: &str| {
        let (head, fields) = line.split_once(';').unwrap_or((line, ""));
        let [name, version, architecture] = head.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line}");
        };
        let fields = fields.split(';').map(str::trim).collect::<Vec<_>>().join("\n");
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n\
             Filename: pool/{name}_{version}_{architecture}.deb\nSize: 1\nSHA256: {}\n{}\n\n",
            "a".repeat(64),
            fields.trim_matches('\n')
        )
    };
    lines.lines().filter(|line| !line.trim().is_empty()).map(stanza).collect()
}

fn close(universe: &Universe, names: &[&str], extent: Extent) -> (Vec<String>, Vec<Unresolved>) {
    let native = universe.architecture(b"amd64").unwrap();
    let wish = Wish { names, recommends: true, extent };
    let closure = closure(Offers::new(universe, native), &wish).unwrap();
    let title = |id: PackageId| {
        let path = String::from_utf8_lossy(universe.file(id).0).into_owned();
        path.trim_start_matches("pool/").trim_end_matches(".deb").to_owned()
    };
    let mut titles: Vec<_> = closure.packages.into_iter().map(title).collect();
    titles.sort_unstable();
    (titles, closure.unresolved)
}

/// The packages for `a`, where nothing is unresolved.
fn of_a(lines: &str) -> String {
    let (packages, unresolved) = close(&universe(&[(Pin::Usual, lines)]), &["a"], Extent::Apt);
    assert_eq!(unresolved, []);
    packages.join(" ")
}

#[rstest]
#[case::hard_and_recommended(
    "a 1 amd64; Pre-Depends: p; Depends: b; Recommends: c; Suggests: d\nb 1 all\nc 1 amd64\nd 1 amd64\np 1 all",
    "a_1_amd64 b_1_all c_1_amd64 p_1_all"
)]
#[case::the_first_alternative("a 1 amd64; Depends: x | c | b\nb 1 all\nc 1 all", "a_1_amd64 c_1_all")]
#[case::one_that_is_chosen_already(
    "a 1 amd64; Depends: b | c, d\nb 1 all\nc 1 all\nd 1 all; Depends: c",
    // In depth, b is taken before d asks for c; what is forced comes first for the other.
    "a_1_amd64 b_1_all c_1_all d_1_all"
)]
#[case::an_alternative_that_cannot_work(
    "a 1 amd64; Depends: b | c\nb 1 all; Depends: e, f\nc 1 all\ne 1 all; Depends: nothing",
    "a_1_amd64 c_1_all"
)]
#[case::versions("a 1 amd64; Depends: b (>= 2) | c (<< 2)\nb 1 all\nc 1.9 all", "a_1_amd64 c_1.9_all")]
#[case::provided(
    "a 1 amd64; Depends: v (>= 2)\nb 1 all; Provides: v\nc 1 all; Provides: v (= 3)",
    "a_1_amd64 c_1_all"
)]
#[case::the_real_one_before_providers(
    "a 1 amd64; Depends: v\nb 1 all; Provides: v\nv 1 all",
    "a_1_amd64 v_1_all"
)]
#[case::a_more_important_provider(
    "a 1 amd64; Depends: v\nb 1 all; Provides: v; Priority: standard\nc 1 all; Provides: v; Priority: optional",
    "a_1_amd64 b_1_all"
)]
#[case::no_conflict_where_there_is_a_choice(
    "a 1 amd64; Conflicts: b; Depends: v\nb 1 all; Provides: v; Priority: required\nc 1 all; Provides: v",
    "a_1_amd64 c_1_all"
)]
#[case::what_breaks_only_older_ones(
    "a 1 amd64; Breaks: b (<< 1); Depends: b | c\nb 1 all\nc 1 all",
    "a_1_amd64 b_1_all"
)]
#[case::what_it_provides_itself(
    "a 1 amd64; Depends: v; Provides: v; Conflicts: v\nb 1 all; Provides: v",
    "a_1_amd64"
)]
#[case::a_circle(
    "a 1 amd64; Depends: b\nb 1 all; Depends: c\nc 1 all; Depends: a",
    "a_1_amd64 b_1_all c_1_all"
)]
#[case::recommended_in_vain(
    "a 1 amd64; Recommends: b, c\nb 1 all; Depends: nothing\nc 1 all",
    "a_1_amd64 c_1_all"
)]
#[case::other_architectures(
    "a 1 amd64; Depends: b, c:i386, d:any, e:i386\nb 1 i386\nb 1 amd64\nc 1 i386; Depends: f\nd 1 amd64; Multi-Arch: allowed\n\
     e 1 i386\nf 1 amd64; Multi-Arch: foreign",
    "a_1_amd64 b_1_amd64 c_1_i386 d_1_amd64 e_1_i386 f_1_amd64"
)]
#[case::the_name_that_was_mentioned_last(
    "a 1 amd64; Depends: v; Suggests: c\nb 1 all; Provides: v\nc 1 all; Provides: v",
    "a_1_amd64 b_1_all"
)]
#[case::the_newest_version("a 1 amd64; Depends: b\nb 1 all\nb 1.10 all\nb 1.9 all", "a_1_amd64 b_1.10_all")]
fn what_apt_would_take(#[case] lines: &str, #[case] packages: &str) {
    assert_eq!(of_a(lines), packages);
}

#[test]
fn a_wrong_turn_leaves_nothing_behind() {
    // b is tried, takes c along, and fails; d is what is left.
    let lines =
        "a 1 amd64; Depends: b | d\nb 1 all; Depends: c, e\nc 1 all\nd 1 all\ne 1 all; Depends: b, nothing";
    let offered = universe(&[(Pin::Usual, lines)]);
    let native = offered.architecture(b"amd64").unwrap();
    let offers = Offers::new(&offered, native);
    let mut walk = Walk::new(offers, true, STEPS);
    walk.take_root(root(offers, "a").unwrap());
    assert_eq!(deep(&mut walk).unwrap(), []);
    let mut chosen: Vec<_> = walk.chosen().map(|id| title(&offered, id)).collect();
    chosen.sort_unstable();
    assert_eq!(chosen, ["a:amd64", "d:all"]);
}

/// A provider of which another suite had a newer version was preferred for that, as if its name were new.
#[test]
fn a_newer_version_does_not_make_a_name_newer() {
    let first = "a 1 amd64; Depends: v\nb 1 all; Provides: v\nc 1 all; Provides: v";
    let suites = [(Pin::Usual, first), (Pin::Usual, "b 2 all; Provides: v")];
    assert_eq!(close(&universe(&suites), &["a"], Extent::Apt).0, ["a_1_amd64", "c_1_all"]);
}

#[test]
fn a_suite_that_is_not_automatic_only_helps_out() {
    let suites = [
        (Pin::NotAutomatic, "b 3 all\nc 3 all"),
        (Pin::Usual, "a 1 amd64; Depends: b, c\nb 1 all"),
        (Pin::ButAutomaticUpgrades, "b 2 all"),
        (Pin::Usual, "b 1 all"),
    ];
    assert_eq!(close(&universe(&suites), &["a"], Extent::Apt).0, ["a_1_amd64", "b_1_all", "c_3_all"]);
}

#[test]
fn what_cannot_be_resolved_is_told_with_its_clause() {
    let lines = "a 1 amd64; Depends: b (>= 2), c, gone | (\nb 1 all\nc 1 all; Depends: nothing";
    let (packages, unresolved) =
        close(&universe(&[(Pin::Usual, lines)]), &["a", "x", "a:i386", "a:riscv64"], Extent::Apt);
    // What is there comes along all the same.
    assert_eq!(packages, ["a_1_amd64", "c_1_all"]);
    let told: Vec<_> = unresolved.iter().map(|one| format!("{}: {}", one.package, one.reason)).collect();
    assert_eq!(
        told,
        [
            "a:amd64: Depends: b (>= 2): there is b:all 1",
            "a:amd64: Depends: gone | (: it cannot be read as a relation",
            "a:i386: no suite of the seed has a package of this name for i386",
            "a:riscv64: the seed has no architecture riscv64",
            "c:all: Depends: nothing: no suite of the seed has it",
            "x: no suite of the seed has a package of this name for amd64",
        ]
    );
}

#[test]
fn roots_that_exclude_each_other_are_for_different_machines() {
    let lines = "a 1 amd64; Depends: v\nb 1 amd64; Conflicts: a; Depends: v\nd 1 all; Provides: v\nc 1 all; Provides: v; Conflicts: b";
    let (packages, unresolved) = close(&universe(&[(Pin::Usual, lines)]), &["a", "b"], Extent::Apt);
    assert_eq!((packages.len(), unresolved.len()), (4, 0), "{packages:?}");
}

#[test]
fn all_means_every_alternative() {
    let lines = "a 1 amd64; Depends: b | v; Recommends: w\nb 1 all\nc 1 all; Provides: v\nd 1 all; Provides: v; Conflicts: c\nw 1 all";
    let packages = close(&universe(&[(Pin::Usual, lines)]), &["a"], Extent::All).0;
    assert_eq!(packages.len(), 5, "{packages:?}");
}

#[test]
fn a_maze_ends() {
    // Each level has two ways, and none leads out.
    let mut lines = String::from("a 1 amd64; Depends: x0 | y0\n");
    for level in 0..40 {
        let next = level + 1;
        for way in ["x", "y"] {
            let _ = writeln!(lines, "{way}{level} 1 all; Depends: x{next} | y{next}");
        }
    }
    let (packages, unresolved) = close(&universe(&[(Pin::Usual, &lines)]), &["a"], Extent::Apt);
    assert!(packages.contains(&"a_1_amd64".to_owned()));
    assert_eq!(unresolved.len(), 1, "{unresolved:?}");
}

proptest! {
    /// Whatever is written, a closure ends, and each clause of what is in it is met or told.
    #[test]
    fn closures_are_closed(relations in proptest::collection::vec((0..12_u8, 0..12_u8, 0..12_u8, 0..4_u8), 1..40)) {
        let mut fields = vec![String::new(); 12];
        for (from, to, or, kind) in relations {
            let name = ["Depends", "Recommends", "Conflicts", "Provides"][usize::from(kind)];
            let target = if kind < 2 { format!("p{to} | p{or}") } else { format!("p{to}") };
            let written = &mut fields[usize::from(from)];
            // A field counts once.
            if !written.contains(name) {
                let _ = write!(written, "; {name}: {target}");
            }
        }
        let lines = fields.iter().enumerate().map(|(n, fields)| format!("p{n} 1 all{fields}"));
        let lines = lines.collect::<Vec<_>>().join("\n");
        let universe = universe(&[(Pin::Usual, &lines)]);
        let offers = Offers::new(&universe, universe.architecture(b"amd64").unwrap());
        let wish = Wish { names: &["p0", "p1", "p2"], recommends: true, extent: Extent::Apt };
        let closure = closure(offers, &wish).unwrap();
        for package in &closure.packages {
            for (need, clause) in followed(&universe, *package, false) {
                let met = offers.meeting(clause, ArchId::ALL).unwrap().iter().any(|one| closure.packages.contains(one));
                prop_assert!(met || need == Need::Soft || !closure.unresolved.is_empty());
            }
        }
    }
}

/// As apt: what is newly installed is the newest version, unless the machine takes its share for a pin.
#[test]
fn machines_that_get_an_update_later_see_the_one_before() {
    let universe = universe(&[
        (
            Pin::Usual,
            "a 1 amd64; Depends: old\nold 1 amd64\nnew 1 amd64\nonly 1 amd64; Phased-Update-Percentage: 0",
        ),
        (
            Pin::Usual,
            "a 2 amd64; Depends: new, only; Phased-Update-Percentage: 10\ns 2 amd64; Phased-Update-Percentage: 10",
        ),
        (Pin::Usual, "s 2 amd64\na 3 i386; Phased-Update-Percentage: 200"),
        (Pin::Usual, "s 1 amd64"),
    ]);
    let native = universe.architecture(b"amd64").unwrap();
    let offers = Offers::new(&universe, native);
    let names = |offers| {
        let wish = Wish { names: &["a", "s"], recommends: true, extent: Extent::Apt };
        let closure = closure(offers, &wish).unwrap();
        assert_eq!(closure.unresolved, []);
        let name = |id: PackageId| {
            [universe.package_name(id), universe.version(id)].map(String::from_utf8_lossy).concat()
        };
        let mut names: Vec<_> = closure.packages.into_iter().map(name).collect();
        names.sort_unstable();
        names.join(" ")
    };
    assert_eq!(names(offers), "a2 new1 only1 s2");
    // What security gives to all is held back by nobody.
    assert_eq!(names(offers.without_phased()), "a1 old1 s2");
    // Nor is what exists in no other version: apt installs it where something needs it.
    let wish = Wish { names: &["only"], recommends: true, extent: Extent::Apt };
    assert_eq!(closure(offers.without_phased(), &wish).unwrap().packages.len(), 1);
}
