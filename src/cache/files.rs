//! What is known of a file that stands in no suite: the checksum lists near it.
//!
//! A list is kept as a suite is: asked for conditionally, verified with its signature, the last good one
//! served until the next is. A client that asks for an image alone, as installers do, is answered by lists
//! that are as current as those it would get if it asked for them.

use super::failure::Failure;
use super::lookup::Cache;
use super::refresh::Refreshed;
use super::serve::{PATIENCE, Resolved};
use crate::repo::{Resource, document};
use crate::suite::{Channel, Resolution};

impl Cache {
    /// Looks the file up in the lists that may have it, each of which is asked for when its time has come.
    pub(super) async fn resolve_file(
        &self,
        resource: &Resource,
        channel: &Channel,
    ) -> Result<Resolved, Failure> {
        let repository = &resource.repository;
        let view = || self.0.suites.view(repository.index).clone();
        match view().resolve(resource, channel, None) {
            Resolution::Open => return Ok(Resolved::Open),
            // Hashes that were written down need no list.
            Resolution::Known(known) if repository.config.given.contains_key(&resource.path) => {
                return Ok(Resolved::Known(known));
            }
            _ => {}
        }
        let mut refused = None;
        for list in document::lists_for(&repository.config, &resource.path) {
            if view().suite(list.as_str()).is_some() {
                self.ask_again(repository, &list, channel).await;
            } else {
                match self.refresh(repository, &list, PATIENCE).await {
                    Refreshed::Done => {}
                    // Most folders have one list, and many have none.
                    Refreshed::Failed(Failure::NotFound { .. }) => continue,
                    Refreshed::Failed(failure) => {
                        refused.get_or_insert(failure);
                        continue;
                    }
                    Refreshed::Impatient => return Err(Failure::Waiting(PATIENCE)),
                }
            }
            if let Some(known) = view().listed_in(&list, &resource.path, channel) {
                return Ok(Resolved::Known(known));
            }
        }
        // A list that cannot be had or believed might be the one that lists it.
        refused.map_or(Ok(Resolved::Unlisted), Err)
    }
}
