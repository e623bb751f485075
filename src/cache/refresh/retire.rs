//! What only generations list whose time is over goes first when room is needed.

use std::collections::HashSet;
use std::sync::Arc;

use super::restore::digest_of;
use crate::cache::lookup::Cache;
use crate::digest::Digest;
use crate::repo::Repository;
use crate::repo::apt::checksum::Checksum;
use crate::suite::View;

impl Cache {
    /// Tells the store what only these generations list. They are still known here.
    pub(super) async fn retire(&self, gone: &[i64]) {
        for repository in self.0.repositories().list() {
            let (cache, ours, gone) = (self.clone(), Arc::clone(repository), gone.to_vec());
            let found = tokio::task::spawn_blocking(move || cache.listed_only_by(&ours, &gone)).await;
            let Ok(objects) = found else { return };
            if objects.is_empty() {
                continue;
            }
            match self.0.parts.store.retire(repository.name(), &objects).await {
                Ok(0) => {}
                Ok(objects) => {
                    tracing::info!(repo = %repository.name(), objects,
                        "no suite lists these objects any more; they go first when room is needed");
                }
                // They go when they were not asked for longest.
                Err(error) => tracing::warn!(%error, "objects that nothing lists cannot be retired"),
            }
        }
    }

    /// The objects that of all generations of all repositories only these of this repository list; with
    /// their own files. Blocking: walks every table once for each table of theirs. In memory are the
    /// checksums of one table at a time, and what is left of all.
    fn listed_only_by(&self, repository: &Repository, gone: &[i64]) -> Vec<Digest> {
        let repositories = self.0.repositories();
        let others = repositories.list().iter();
        let views: Vec<Arc<View>> =
            others.map(|other| Arc::clone(&self.0.suites.view(other.index))).collect();
        let mut alone = HashSet::new();
        let view = self.0.suites.view(repository.index);
        for table in view.tables_only_of(gone) {
            let mut listed: HashSet<Checksum> = table.iter().map(|expected| expected.checksum).collect();
            for other in views.iter().flat_map(|view| view.tables_not_only_of(gone)) {
                for expected in other.iter() {
                    listed.remove(&expected.checksum);
                }
            }
            alone.extend(listed);
        }
        alone.extend(view.files_only_of(gone));
        let store = &self.0.parts.store;
        alone.iter().filter_map(|checksum| digest_of(store, repository, checksum)).collect()
    }
}
