//! Which files of a suite a seed is planned from, and which it holds beside packages.

use super::closure::Unresolved;
use super::config::Config;
use crate::repo::apt::release::{Listed, Release};
use crate::repo_path::{PathError, RepoPath};

/// File name extensions in the order in which apt takes them, where the release file lists several.
const PREFERRED: [&str; 7] = [".zst", ".xz", ".bz2", ".lzma", ".gz", ".lz4", ""];

/// Icons that software centres fetch with the lists of applications.
const ICONS: [&str; 2] = ["icons-48x48.tar", "icons-64x64.tar"];

/// What a release file lists for a seed.
#[derive(Debug, Default)]
pub(super) struct Gathered<'r> {
    /// The package indices, each in every form that is listed, the preferred one first.
    pub(super) packages: Vec<Vec<&'r Listed>>,
    /// The source indices.
    pub(super) sources: Vec<Vec<&'r Listed>>,
    /// Descriptions, applications, commands, the release upgrader: what desktops fetch beside indices.
    pub(super) others: Vec<&'r Listed>,
    /// Components that the suite does not have.
    pub(super) unresolved: Vec<Unresolved>,
}

/// The folder of the release file of a suite as clients write it: `noble`, or a flat one with a slash at its end.
pub(super) fn folder(suite: &str) -> Result<RepoPath, PathError> {
    if let Some(flat) = suite.strip_suffix('/') {
        let flat = flat.trim_matches('/').trim_start_matches("./");
        return if matches!(flat, "" | ".") { Ok(RepoPath::root()) } else { RepoPath::from_decoded(flat) };
    }
    // A whole host's archives have something in front: `team/ppa/ubuntu/dists/noble`.
    if suite.starts_with("dists/") || suite.contains("/dists/") {
        return RepoPath::from_decoded(suite);
    }
    RepoPath::from_decoded(&format!("dists/{suite}"))
}

/// Whether a suite, as clients write it, is flat: without components, its indices beside its release file.
fn is_flat(suite: &str) -> bool {
    suite.ends_with('/')
}

/// Looks for what a seed needs in the release file of one of its suites.
pub(super) fn gather<'r>(config: &Config, suite: &str, release: &'r Release) -> Gathered<'r> {
    let mut gathered = Gathered::default();
    let mut add = |stem: &str| add_forms(release, stem, &mut gathered.packages);
    if is_flat(suite) {
        add("Packages");
        if config.sources {
            add_forms(release, "Sources", &mut gathered.sources);
        }
        return gathered;
    }
    for component in components(config, suite, release, &mut gathered.unresolved) {
        for architecture in &config.architectures {
            add(&format!("{component}/binary-{architecture}/Packages"));
        }
        if !release.lists_all_with_each {
            add(&format!("{component}/binary-all/Packages"));
        }
        if config.sources {
            add_forms(release, &format!("{component}/source/Sources"), &mut gathered.sources);
        }
        let languages = config.languages.iter().map(|code| format!("{component}/i18n/Translation-{code}"));
        let for_architectures = config.architectures.iter().flat_map(|architecture| {
            [
                format!("{component}/dep11/Components-{architecture}.yml"),
                format!("{component}/cnf/Commands-{architecture}"),
            ]
        });
        let icons = ICONS.iter().map(|icons| format!("{component}/dep11/{icons}"));
        let stems = languages.chain(for_architectures).chain(icons);
        gathered.others.extend(stems.filter_map(|stem| forms(release, &stem).next()));
        let upgrader = format!("{component}/dist-upgrader-all/current/");
        gathered
            .others
            .extend(release.files().iter().filter(|listed| listed.path.as_str().starts_with(&upgrader)));
    }
    gathered
}

/// The components that are wanted and there.
fn components<'c>(
    config: &'c Config,
    suite: &str,
    release: &'c Release,
    unresolved: &mut Vec<Unresolved>,
) -> Vec<&'c str> {
    if config.components.is_empty() {
        return release.components.iter().map(String::as_str).collect();
    }
    let is_there = |component: &str| {
        let folder = format!("{component}/");
        release.components.iter().any(|known| known == component)
            || release.files().iter().any(|listed| listed.path.as_str().starts_with(&folder))
    };
    let (there, gone): (Vec<_>, Vec<_>) =
        config.components.iter().map(String::as_str).partition(|component| is_there(component));
    unresolved.extend(gone.into_iter().map(|component| Unresolved {
        package: format!("{suite}/{component}"),
        reason: format!("the suite has no such component; it has {}", release.components.join(", ")),
    }));
    there
}

fn add_forms<'r>(release: &'r Release, stem: &str, to: &mut Vec<Vec<&'r Listed>>) {
    let forms: Vec<_> = forms(release, stem).collect();
    if !forms.is_empty() {
        to.push(forms);
    }
}

/// The forms in which a file is listed, the preferred one first.
fn forms<'r>(release: &'r Release, stem: &str) -> impl Iterator<Item = &'r Listed> {
    PREFERRED.iter().filter_map(move |extension| release.find(&format!("{stem}{extension}")))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("noble-updates", "dists/noble-updates")]
    #[case("stable/updates", "dists/stable/updates")]
    #[case("team/ppa/ubuntu/dists/noble", "team/ppa/ubuntu/dists/noble")]
    #[case("./", "")]
    #[case("/", "")]
    #[case("./deb/", "deb")]
    fn suites_as_clients_write_them(#[case] suite: &str, #[case] expected: &str) {
        assert_eq!(folder(suite).unwrap().as_str(), expected);
    }
}
