//! What a seed wants for itself, as names that the closure begins with.

use std::sync::Arc;

use super::config::Packages;
use super::offers::Offers;

/// The packages that a list of `dpkg --get-selections` wants installed: `name[:architecture]`.
pub(super) fn selected(list: &str) -> impl Iterator<Item = String> + '_ {
    list.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (name, state) = (words.next()?, words.next()?);
        matches!(state, "install" | "hold").then(|| name.to_owned())
    })
}

/// Those of the names that are meant for a machine.
///
/// A name with an architecture is meant for the first machine, to which that is a foreign one or its own. A name
/// without one is meant for every machine that has it; nobody is told that the others do not.
pub(super) fn for_machine<'n>(offers: Offers<'_>, names: &'n [String], is_first: bool) -> Vec<&'n str> {
    let universe = offers.universe();
    let is_here = |name: &str| offers.root(name.as_bytes(), offers.native()).is_some();
    let is_anywhere = |name: &str| {
        universe
            .architectures()
            .any(|other| Offers::new(universe, other).root(name.as_bytes(), other).is_some())
    };
    let meant = |name: &&str| {
        if name.contains(':') { is_first } else { is_here(name) || (is_first && !is_anywhere(name)) }
    };
    names.iter().map(String::as_str).filter(meant).collect()
}

/// Further packages for a machine: those of sections and priorities, and what was asked for lately and is still
/// there.
pub(super) fn more(offers: Offers<'_>, wanted: &Packages, learned: &[Arc<str>]) -> Vec<String> {
    let universe = offers.universe();
    let architecture = String::from_utf8_lossy(universe.architecture_name(offers.native())).into_owned();
    let mut names = Vec::new();
    if !wanted.sections.is_empty() || !wanted.priorities.is_empty() {
        for package in universe.packages().filter(|package| offers.is_own_candidate(*package)) {
            let section = plain(universe.section(package));
            let of_section = wanted.sections.iter().any(|wanted| wanted.as_bytes() == section);
            if of_section || wanted.priorities.contains(&universe.priority(package)) {
                names.push(named(universe.package_name(package), &architecture));
            }
        }
    }
    for name in learned {
        let (name, own) = name.rsplit_once(':').unwrap_or((name, "all"));
        let fits = own == "all" || own == architecture;
        if fits && offers.root(name.as_bytes(), offers.native()).is_some() {
            names.push(named(name.as_bytes(), &architecture));
        }
    }
    names
}

/// A section without the component in front of it.
fn plain(section: &[u8]) -> &[u8] {
    memchr::memrchr(b'/', section).map_or(section, |slash| &section[slash + 1..])
}

fn named(name: &[u8], architecture: &str) -> String {
    format!("{}:{architecture}", String::from_utf8_lossy(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_list_says_what_is_installed() {
        let list = "adduser\t\t\t\tinstall\nlibc6:amd64\tinstall\nold\tdeinstall\ngone\tpurge\nfirefox hold\n\nodd\n";
        assert_eq!(selected(list).collect::<Vec<_>>(), ["adduser", "libc6:amd64", "firefox"]);
    }
}
