//! `[[seed]]`: as written, with defaults, validated against the repositories.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::beside;
use super::mistakes::{Given, Place, Report};
use super::reader::{Item, Table};
use super::values::{size, values};
use crate::repo::{self, Kind, Trust};
use crate::seed::{Config, Extent, MAX_ARCHITECTURES, Packages, Priority};
use crate::wan::Hours;

/// Keys that every seed needs, and what to say to who forgot them.
const NEEDED: [(&str, &str); 4] = [
    ("name", "is missing; a seed needs a name, such as \"noble-desktop\""),
    ("repo", "is missing; name the [[repo]] that the seed is taken from"),
    ("suites", "is missing; name at least one, such as [\"noble\", \"noble-updates\", \"noble-security\"]"),
    ("architectures", "is missing; name at least one, such as [\"amd64\"]"),
];

/// Keys that say what is wanted, of which a seed needs one.
const WANTED: [&str; 4] = ["packages", "sections", "priorities", "selections"];

/// One seed as written; a value with a mistake counts as absent.
pub(super) struct Written {
    missing: Vec<(Place, &'static str)>,
    /// Where `packages` would stand, when nothing is wanted.
    nothing: Option<Place>,
    name: Option<Given<Arc<str>>>,
    repo: Option<Given<Arc<str>>>,
    suites: Vec<Given<String>>,
    components: Vec<Given<String>>,
    architectures: Vec<Given<String>>,
    packages: Vec<Given<String>>,
    sections: Vec<Given<String>>,
    priorities: Vec<Given<Priority>>,
    selections: Option<Given<PathBuf>>,
    recommends: Option<bool>,
    closure: Option<Given<Extent>>,
    sources: Option<bool>,
    /// Absent when the key is.
    languages: Option<Vec<Given<String>>>,
    budget: Option<u64>,
    hours: Option<Given<Hours>>,
}

impl Written {
    pub fn read(table: Table<'_>) -> Self {
        let file = table.report().file();
        let missing = NEEDED.iter().filter(|(key, _)| table.is_absent(key));
        let list = |key, needed, read: fn(&str) -> Result<String, &'static str>| {
            table.item(key).map(|item| item.list(needed, |item| item.read(read)))
        };
        let written = Self {
            missing: missing.map(|(key, advice)| (table.place(key), *advice)).collect(),
            nothing: WANTED.iter().all(|key| table.is_absent(key)).then(|| table.place("packages")),
            name: table.item("name").and_then(|item| item.read(name)),
            repo: table.item("repo").and_then(|item| item.read(|text| Ok::<_, String>(Arc::from(text)))),
            suites: list("suites", true, suite).unwrap_or_default(),
            components: list("components", true, component).unwrap_or_default(),
            architectures: list("architectures", true, architecture).unwrap_or_default(),
            packages: list("packages", true, package).unwrap_or_default(),
            sections: list("sections", true, section).unwrap_or_default(),
            priorities: table
                .item("priorities")
                .map(|item| item.list(true, |item| item.read(priority)))
                .unwrap_or_default(),
            selections: table.item("selections").and_then(|item| item.read(|text| beside(file, text))),
            recommends: table.item("recommends").and_then(|item| item.flag()),
            closure: table.item("closure").and_then(|item| item.read(extent)),
            sources: table.item("sources").and_then(|item| item.flag()),
            languages: list("languages", false, language),
            budget: size(&table, "budget", 1, u64::MAX, "1 B or more"),
            hours: table.item("hours").and_then(|item| Item::parse(&item)),
        };
        table.finish();
        written
    }

    fn validate(self, repos: &[repo::Config], report: &Report<'_>) -> Option<Config> {
        for (place, advice) in &self.missing {
            report.wrong(place, *advice);
        }
        if let Some(place) = &self.nothing {
            report.wrong(
                place,
                "is missing; say what is wanted: packages (\"*\" for all, \"learned\" for what desktops \
                 here ask for), sections, priorities or selections",
            );
        }
        if let Some(given) = &self.repo {
            check_repo(given, repos, report);
        }
        if let Some(given) = self.architectures.get(MAX_ARCHITECTURES) {
            report.wrong(&given.place, format!("has more than {MAX_ARCHITECTURES} architectures"));
        }
        let everything = self.packages.iter().any(|given| given.value == "*");
        if everything {
            let others = self.packages.iter().filter(|given| given.value != "*").map(|given| &given.place);
            let others = others.chain(self.sections.iter().map(|given| &given.place));
            let others = others.chain(self.priorities.iter().map(|given| &given.place));
            let others = others.chain(self.selections.as_ref().map(|given| &given.place));
            for place in others {
                report.wrong(place, "has no use beside packages = [\"*\"], which is all there is; remove it");
            }
        }
        let learned = self.packages.iter().any(|given| given.value == "learned");
        let mut names = values(self.packages);
        names.retain(|name| name != "*" && name != "learned");
        let english = || Config::LANGUAGES.map(str::to_owned).to_vec();
        Some(Config {
            name: self.name?.value,
            repo: self.repo?.value,
            suites: values(self.suites),
            components: values(self.components),
            architectures: values(self.architectures),
            packages: Packages {
                everything,
                learned,
                names,
                sections: values(self.sections),
                priorities: values(self.priorities),
                selections: self.selections.map(|given| given.value),
            },
            recommends: self.recommends.unwrap_or(true),
            closure: self.closure.map_or(Extent::Apt, |given| given.value),
            sources: self.sources.unwrap_or(false),
            languages: self.languages.map_or_else(english, values),
            budget: self.budget,
            hours: self.hours.map(|given| given.value),
            built_in: false,
        })
    }
}

/// The seeds, compared with each other and with the repositories.
pub(super) fn validate(written: Vec<Written>, repos: &[repo::Config], report: &Report<'_>) -> Vec<Config> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for given in written.iter().filter_map(|seed| seed.name.as_ref()) {
        let line = report.line(given.place.at);
        if let Some(first) = seen.get(&*given.value) {
            report
                .wrong(&given.place, format!("is the name of the seed in line {first}, too; choose another"));
        } else {
            seen.insert(&given.value, line);
        }
    }
    written.into_iter().filter_map(|seed| seed.validate(repos, report)).collect()
}

/// A seed is planned from verified indices, which not every repository has.
fn check_repo(given: &Given<Arc<str>>, repos: &[repo::Config], report: &Report<'_>) {
    let Some(found) = repos.iter().find(|repo| repo.name == given.value) else {
        let known: Vec<&str> = repos.iter().map(|repo| &*repo.name).collect();
        let message = format!(
            "is {:?}, but there is no such repository; there are {}",
            &*given.value,
            known.join(", ")
        );
        return report.wrong(&given.place, message);
    };
    if found.kind != Kind::Apt {
        let message = format!(
            "is {:?}, which is of kind {}; seeds are of kind apt",
            &*given.value,
            found.kind.as_str()
        );
        report.wrong(&given.place, message);
    } else if found.trust == Trust::None {
        let message = format!(
            "is {:?}, where nothing is verified; give that repository a keyring, or https upstreams",
            &*given.value
        );
        report.wrong(&given.place, message);
    }
}

fn name(text: &str) -> Result<Arc<str>, &'static str> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._+-".contains(&byte);
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if first && text.len() <= 64 && text.bytes().all(good) {
        Ok(text.into())
    } else {
        Err("a name is 1 to 64 of a-z, 0-9, `.`, `_`, `+` and `-`, and begins with a letter or digit")
    }
}

/// Takes a text of these characters.
fn of(text: &str, more: &[u8], advice: &'static str) -> Result<String, &'static str> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    let sane = !text.is_empty() && text.len() <= 200 && text.bytes().all(good);
    let dots = text.split('/').any(|segment| matches!(segment, "." | ".."));
    if sane && (!dots || matches!(text, "." | "./" | "/")) { Ok(text.to_owned()) } else { Err(advice) }
}

fn suite(text: &str) -> Result<String, &'static str> {
    of(text, b"/._+~-", "a suite is a name as in a desktop's sources, such as \"noble-updates\"")
}

fn component(text: &str) -> Result<String, &'static str> {
    of(text, b"/._+-", "a component is a name such as \"main\"")
}

fn architecture(text: &str) -> Result<String, &'static str> {
    match text {
        "all" | "any" | "source" => Err("it is no machine's architecture; name one such as \"amd64\""),
        _ => of(text, b"-", "an architecture is a name such as \"amd64\""),
    }
}

fn package(text: &str) -> Result<String, &'static str> {
    const ADVICE: &str =
        "it must be a package's name, \"*\" for all, or \"learned\" for what desktops here ask for";
    if text == "*" {
        return Ok(text.to_owned());
    }
    of(text, b".+-:", ADVICE)
}

fn section(text: &str) -> Result<String, &'static str> {
    of(text, b"-", "a section is a name such as \"utils\"")
}

fn language(text: &str) -> Result<String, &'static str> {
    of(text, b"_@", "a language is a code such as \"id\" or \"pt_BR\"")
}

fn priority(text: &str) -> Result<Priority, &'static str> {
    match Priority::of(text.as_bytes()) {
        Priority::Extra if text != "extra" => {
            Err("it must be \"required\", \"important\", \"standard\", \"optional\" or \"extra\"")
        }
        priority => Ok(priority),
    }
}

fn extent(text: &str) -> Result<Extent, &'static str> {
    match text {
        "apt" => Ok(Extent::Apt),
        "all" => Ok(Extent::All),
        _ => Err("it must be \"apt\" (what apt would install) or \"all\" (every alternative, too)"),
    }
}
