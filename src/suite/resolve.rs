//! What is known of the bytes at a path.

use super::channel::Channel;
use super::generation::{Form, Generation};
use super::view::{Finding, View};
use crate::digest::Digest;
use crate::repo::apt::by_hash;
use crate::repo::apt::release::{Listed, Release};
use crate::repo::apt::table::Expected;
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
    /// What is known of the resource's bytes, seen through `channel`.
    #[must_use]
    pub fn resolve(&self, resource: &Resource, channel: &Channel) -> Resolution {
        let config = &resource.repository.config;
        if config.kind != Kind::Apt || config.trust == Trust::None {
            return Resolution::Open;
        }
        match resource.class {
            PathClass::Other => Resolution::Open,
            PathClass::Release => self.head(&resource.path, channel),
            PathClass::ByHash(_) | PathClass::Index => self.index(&resource.path, channel),
            PathClass::Immutable if by_hash::parse(resource.path.as_str()).is_some() => {
                self.index(&resource.path, channel)
            }
            PathClass::Immutable => self.package(&resource.path, channel),
        }
    }

    fn head(&self, path: &RepoPath, channel: &Channel) -> Resolution {
        let folder = path.parent();
        let Some(suite) = self.suite(folder) else {
            // `binary-amd64/Release` is a file that the suite's own release file lists.
            return match self.suite_of(path) {
                Some((_, suite, below)) if suite.current.find(below.as_str()).is_some() => {
                    self.index(path, channel)
                }
                _ => RepoPath::from_decoded(folder).map_or(Resolution::Unlisted, Resolution::UnknownSuite),
            };
        };
        let shown = self.shown(channel, folder).unwrap_or(&suite.current);
        let Some(form) = Form::of(path.file_name()) else { return Resolution::Unlisted };
        match shown.object(form) {
            Some(digest) => Resolution::Head { digest },
            None => Resolution::OtherForm,
        }
    }

    fn index(&self, path: &RepoPath, channel: &Channel) -> Resolution {
        let Some((folder, suite, below)) = self.suite_of(path) else {
            let folder = crate::repo::suite_folder(path);
            return RepoPath::from_decoded(folder).map_or(Resolution::Unlisted, Resolution::UnknownSuite);
        };
        let shown = self.shown(channel, folder).unwrap_or(&suite.current);
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
        Resolution::Known(Known { expected, places: vec![path.clone()], index: None, date })
    }
}

/// A file that the release file of the suite in `folder` lists, with the places where upstream publishes
/// it: under its hash too, if the release file says so.
#[must_use]
pub fn known_index(folder: &RepoPath, release: &Release, listed: &Listed) -> Known {
    let mut places = Vec::with_capacity(2);
    if release.acquire_by_hash {
        places.push(folder.child(&by_hash::path_of(listed)));
    }
    places.push(folder.child(listed.path.as_str()));
    let index = Some((folder.clone(), listed.path.clone()));
    Known { expected: Generation::expected(listed), places, index, date: release.date }
}
