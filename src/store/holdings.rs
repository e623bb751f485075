//! What of many things is here.

use super::{Error, Store, catalog};
use crate::digest::Digest;

/// Look-ups for which a connection is lent at a time; others wait for a few milliseconds at most.
const AT_ONCE: usize = 1000;

impl Store {
    /// For each object whether it is here: the catalog knows it, and its file has the right length. Blocking:
    /// an indexed read and a question to the file system each.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn are_here(&self, digests: &[Digest]) -> Result<Vec<bool>, Error> {
        let shared = self.shared();
        let mut here = Vec::with_capacity(digests.len());
        for some in digests.chunks(AT_ONCE) {
            let sizes: Vec<Option<u64>> = shared.readers.read("look up objects", |connection| {
                some.iter().map(|digest| catalog::object(connection, digest)).collect()
            })?;
            here.extend(some.iter().zip(sizes).map(|(digest, size)| {
                let found = size.and_then(|_| std::fs::metadata(shared.layout.object(digest)).ok());
                found.is_some_and(|found| found.is_file() && Some(found.len()) == size)
            }));
        }
        Ok(here)
    }
}
