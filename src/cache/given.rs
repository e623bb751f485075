//! Which generation of a suite a client was given.
//!
//! An update takes several requests, and a suite may change between them. Under its hash an index of the
//! generation before stays reachable, but a plain name, and the signature beside a release file, mean one
//! thing at a time. So a client gets what belongs to the release file that it was given last. Clients
//! behind one address count as one: then the last release file that any of them was given decides.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::lookup::Cache;
use crate::digest::Digest;
use crate::repo::Resource;
use crate::store::EntryKey;

/// How long a client that was given a release file gets what belongs to it under plain names. A slow line
/// takes minutes from the first file of an update to the last.
const GIVEN_FOR: Duration = Duration::from_mins(30);

impl Cache {
    /// The generation of the resource's suite that `client` was given lately.
    pub(super) fn given(&self, resource: &Resource, client: IpAddr) -> Option<i64> {
        if !resource.class.is_of_suite() {
            return None;
        }
        let view = self.0.suites.view(resource.repository.index);
        let folder = match resource.head() {
            Some((document, _)) if view.suite(document.as_str()).is_some() => document.shared(),
            _ => Arc::clone(view.suite_of(&resource.path)?.0),
        };
        let key = EntryKey { repo: Arc::clone(resource.repository.name()), path: folder };
        let (since, generation) = self.0.given.get(&(client, key))?;
        self.is_recent(since, GIVEN_FOR).then_some(generation)
    }

    /// Remembers which generation a client was given.
    pub(super) fn note_given(&self, resource: &Resource, client: IpAddr, digest: Digest) {
        let view = self.0.suites.view(resource.repository.index);
        let Some((folder, _)) = resource.head() else { return };
        let Some(suite) = view.suite(folder.as_str()) else { return };
        let Some(generation) = suite.with_object(&digest) else { return };
        let suite = Arc::clone(&generation.row.suite);
        let key = EntryKey { repo: Arc::clone(resource.repository.name()), path: suite };
        self.0.given.insert((client, key), (self.0.parts.clock.unix(), generation.row.id));
    }
}
