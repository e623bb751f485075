//! What is known of the bytes at a path.

use super::channel::Channel;
use super::generation::Generation;
use super::view::{Finding, View};
use crate::digest::Digest;
use crate::repo::apt::by_hash;
use crate::repo::apt::release::{Listed, Release};
use crate::repo::apt::table::Expected;
use crate::repo::document::{self, Form};
use crate::repo::{Kind, PathClass, Resource, Trust};
use crate::repo_path::RepoPath;

/// What the generations say about a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// Nothing vouches for this repository, or the file is not one that indices list: its class alone
    /// decides.
    Open,
    /// The release file of a suite, in one of its forms.
    Head {
        /// The object.
        digest: Digest,
    },
    /// A file whose bytes are known before they are here.
    Known(Known),
    /// It belongs to a suite that nobody here has asked for: its release file must be fetched first.
    UnknownSuite(RepoPath),
    /// The suite's release file in a form that upstream has not been asked for yet.
    OtherForm,
    /// Nothing that is trusted lists it.
    Unlisted,
}

/// Bytes that are known by hash, and where they may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Their size and hash.
    pub expected: Expected,
    /// Where upstream may have them, best first.
    pub places: Vec<RepoPath>,
    /// For an index: the suite's folder and the plain path below it.
    pub index: Option<(RepoPath, RepoPath)>,
    /// `Date` of the generation that lists them, in seconds since 1970.
    pub date: Option<i64>,
}

impl View {
    /// What is known of the resource's bytes, seen through `channel` by somebody who was last given the
    /// generation `given` of the suite: as long as that one is here, plain names and a detached signature
    /// mean what belongs to it, so that a switch between two requests of one update tears nothing.
    #[must_use]
    pub fn resolve(&self, resource: &Resource, channel: &Channel, given: Option<i64>) -> Resolution {
        let config = &resource.repository.config;
        if let Some(expected) = config.given.get(&resource.path) {
            return Resolution::Known(known_file(*expected, &resource.path, None));
        }
        if config.kind == Kind::Http || config.trust == Trust::None {
            return Resolution::Open;
        }
        match resource.class {
            PathClass::Other if config.kind == Kind::Files => self.file(resource, channel),
            PathClass::Other => Resolution::Open,
            PathClass::Release => self.head(resource, channel, given),
            // What nothing lists, but whose name tells its hash, is verified by that.
            PathClass::ByHash(_) => match self.index(&resource.path, channel, given) {
                Resolution::Unlisted => Resolution::Open,
                known => known,
            },
            PathClass::Index => self.index(&resource.path, channel, given),
            PathClass::Immutable if by_hash::parse(resource.path.as_str()).is_some() => {
                self.index(&resource.path, channel, given)
            }
            PathClass::Immutable => self.package(&resource.path, channel),
        }
    }

    fn head(&self, resource: &Resource, channel: &Channel, given: Option<i64>) -> Resolution {
        let path = &resource.path;
        let Some((folder, form)) = resource.head() else { return Resolution::Unlisted };
        let Some(suite) = self.suite(folder.as_str()) else {
            // `binary-amd64/Release` is a file that the suite's own release file lists.
            return match self.suite_of(path) {
                Some((_, suite, below)) if suite.current.find(below.as_str()).is_some() => {
                    self.index(path, channel, given)
                }
                _ => Resolution::UnknownSuite(folder),
            };
        };
        let given = given.filter(|_| form == Form::Signature);
        let shown = self.shown_to(channel, folder.as_str(), given).unwrap_or(&suite.current);
        match shown.object(form) {
            Some(digest) => Resolution::Head { digest },
            None => Resolution::OtherForm,
        }
    }

    fn index(&self, path: &RepoPath, channel: &Channel, given: Option<i64>) -> Resolution {
        let Some((folder, suite, below)) = self.suite_of(path) else {
            let folder = crate::repo::suite_folder(path);
            return RepoPath::from_decoded(folder).map_or(Resolution::Unlisted, Resolution::UnknownSuite);
        };
        let shown = self.shown_to(channel, folder, given).unwrap_or(&suite.current);
        let named_by_hash = by_hash::parse(below.as_str()).is_some();
        // Under its hash an index of an older generation stays reachable; under its plain name there is
        // only the one that is shown.
        let older = suite.older.iter().chain([&suite.current]).filter(|_| named_by_hash);
        let found = std::iter::once(shown)
            .chain(older)
            .find_map(|generation| generation.find(below.as_str()).map(|listed| (generation, listed)));
        if let Some((generation, listed)) = found {
            let Ok(folder) = RepoPath::from_decoded(folder) else { return Resolution::Unlisted };
            return Resolution::Known(known_index(&folder, &generation.release, listed));
        }
        self.package(path, channel)
    }

    fn package(&self, path: &RepoPath, channel: &Channel) -> Resolution {
        let Some(Finding { expected, index }) = self.listed(path, channel) else {
            return Resolution::Unlisted;
        };
        let date = self.lister(channel, &index).and_then(|generation| generation.release.date);
        Resolution::Known(known_file(expected, path, date))
    }

    /// A file of a repository with checksum lists, as far as these are known here.
    fn file(&self, resource: &Resource, channel: &Channel) -> Resolution {
        let lists = document::lists_for(&resource.repository.config, &resource.path);
        let known = lists.iter().find_map(|list| self.listed_in(list, &resource.path, channel));
        match (known, lists.into_iter().next()) {
            (Some(known), _) => Resolution::Known(known),
            (None, Some(first)) if self.suite(first.as_str()).is_none() => Resolution::UnknownSuite(first),
            (None, _) => Resolution::Unlisted,
        }
    }

    /// What a checksum list says about a file, if it is known here and does.
    #[must_use]
    pub fn listed_in(&self, list: &RepoPath, path: &RepoPath, channel: &Channel) -> Option<Known> {
        let shown = self.shown(channel, list.as_str())?;
        let listed = shown.release.find(path.below(list.parent())?.as_str())?;
        Some(known_file(Generation::expected(listed), path, shown.release.date))
    }
}

/// A file that is published under its path alone.
fn known_file(expected: Expected, path: &RepoPath, date: Option<i64>) -> Known {
    Known { expected, places: vec![path.clone()], index: None, date }
}

/// A file that the release file of the suite in `folder` lists, with the places where upstream publishes
/// it: under its hash too, if the release file says so.
#[must_use]
pub fn known_index(folder: &RepoPath, release: &Release, listed: &Listed) -> Known {
    let mut places = Vec::with_capacity(3);
    if release.acquire_by_hash {
        places.extend(by_hash::paths_of(listed).map(|path| folder.child(&path)));
    }
    places.push(folder.child(listed.path.as_str()));
    let index = Some((folder.clone(), listed.path.clone()));
    Known { expected: Generation::expected(listed), places, index, date: release.date }
}
