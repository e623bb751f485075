//! `[[seed]]`: what is wanted, and its mistakes.

use rstest::rstest;

use super::*;

/// What is said about a seed with these further lines, which begin in line 7.
fn seed_mistakes(lines: &str) -> Vec<String> {
    mistakes(&format!("{SEED}{lines}\n"))
}

#[test]
fn a_seed_says_what_is_wanted() {
    let text = format!(
        "{SEED}repo = 'a'\nsuites = ['noble', 'noble-updates']\narchitectures = 'amd64'\n\
         packages = ['nano', 'wine:i386', 'learned']\nsections = 'utils'\npriorities = ['standard']\n\
         selections = 'pc.list'\nhours = '18:00-06:00'\nbudget = '20 GB'\nclosure = 'all'\nlanguages = []\n"
    );
    let seed = Config::parse(&text, "/etc/lumbung/t.toml").unwrap().seeds.remove(0);
    assert!(seed.packages.learned && !seed.packages.everything && seed.recommends && !seed.sources);
    assert_eq!(seed.packages.names, ["nano", "wine:i386"]);
    assert_eq!(seed.packages.selections.unwrap(), Path::new("/etc/lumbung/pc.list"));
    assert_eq!((seed.budget, seed.languages.len()), (Some(20_000_000_000), 0));
    assert_eq!(seed.hours.unwrap().to_string(), "18:00-06:00");
    let least = format!("{SEED}repo = 'a'\nsuites = 'x'\narchitectures = 'amd64'\npackages = '*'");
    let seed = Config::parse(&least, "t.toml").unwrap().seeds.remove(0);
    assert!(seed.packages.everything && seed.languages == ["en"] && seed.components.is_empty());
}

#[test]
fn a_seed_without_anything_is_told_all_it_needs() {
    let found = seed_mistakes("");
    assert_eq!(found.len(), 4, "{found:?}");
    for (mistake, key) in found.iter().zip(["repo", "suites", "architectures", "packages"]) {
        assert!(mistake.starts_with(&format!("t.toml:5: seed[1].{key} (s): is missing; ")), "{mistake}");
    }
}

#[rstest]
#[case("repo = 'b'", "7: seed[1].repo (s): is \"b\", but there is no such repository; there are a")]
#[case(
    "suites = ['../x']",
    "7: seed[1].suites (s): \"../x\" cannot be used: a suite is a name as in a desktop's sources, such as \"noble-updates\""
)]
#[case("suites = []", "7: seed[1].suites (s): is an empty list; it needs at least one value")]
#[case(
    "architectures = ['all']",
    "7: seed[1].architectures (s): \"all\" cannot be used: it is no machine's architecture; name one such as \"amd64\""
)]
#[case(
    "packages = ['*', 'nano']",
    "7: seed[1].packages (s): has no use beside packages = [\"*\"], which is all there is; remove it"
)]
#[case(
    "packages = ['a b']",
    "7: seed[1].packages (s): \"a b\" cannot be used: it must be a package's name, \"*\" for all, or \"learned\" for what desktops here ask for"
)]
#[case(
    "priorities = ['high']",
    "7: seed[1].priorities (s): \"high\" cannot be used: it must be \"required\", \"important\", \"standard\", \"optional\" or \"extra\""
)]
#[case(
    "closure = 'most'",
    "7: seed[1].closure (s): \"most\" cannot be used: it must be \"apt\" (what apt would install) or \"all\" (every alternative, too)"
)]
#[case(
    "hours = '18-6'",
    "7: seed[1].hours (s): \"18-6\" cannot be used: hours are two times of day from 00:00 to 24:00, such as \"18:00-06:00\""
)]
#[case("budget = 0", "7: seed[1].budget (s): is out of range; allowed is 1 B or more")]
#[case("[[seed]]\nname = 's'", "8: seed[2].name (s): is the name of the seed in line 6, too; choose another")]
fn mistakes_in_a_seed_are_named(#[case] lines: &str, #[case] mistake: &str) {
    let found = seed_mistakes(lines);
    assert!(found.contains(&format!("t.toml:{mistake}")), "{found:#?}");
}

#[test]
fn a_seed_needs_a_repository_that_is_verified() {
    let seed = "[[seed]]\nname = 's'\nrepo = 'a'\nsuites = 'x'\narchitectures = 'amd64'\npackages = '*'\n";
    let found = mistakes(&format!("{REPO}{seed}"));
    assert_eq!(
        found,
        [
            "t.toml:7: seed[1].repo (s): is \"a\", where nothing is verified; give that repository a keyring, or https upstreams"
        ]
    );
    let http = REPO.replace("'apt'", "'http'");
    let found = mistakes(&format!("{http}{seed}"));
    assert_eq!(found, ["t.toml:7: seed[1].repo (s): is \"a\", which is of kind http; seeds are of kind apt"]);
}
