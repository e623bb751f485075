//! What nothing lists any more goes before everything else.
//!
//! The time of last use is the order in which objects go. Retired ones keep their order among themselves,
//! in an age before all others; being asked for again brings one back.

use rusqlite::params;

use super::{Error, Store, catalog};
use crate::digest::Digest;

/// Most objects that are retired in one transaction: some milliseconds.
const BATCH: usize = 1024;

/// Seconds between the times of retired objects and their real ones; all real ones are positive.
const AGE: i64 = 1 << 40;

pub(super) const RETIRE: &str = "UPDATE object SET last_used = last_used - ?3 WHERE digest = ?1 \
     AND last_used >= 0 AND NOT EXISTS (SELECT 1 FROM entry WHERE digest = ?1 AND repo <> ?2)";

impl Store {
    /// Lets these objects go before all others, unless another repository than `repo` publishes them, or
    /// until they are asked for again. Those that are not here do not matter. In batches, so that others
    /// can write in between; how many objects it concerned.
    ///
    /// # Errors
    /// When the catalog cannot be written. What was retired before stays so.
    pub async fn retire(&self, repo: &str, objects: &[Digest]) -> Result<usize, Error> {
        let mut all = 0;
        for batch in objects.chunks(BATCH) {
            // Uses that were only noted yet come first, or one of them would undo it later.
            let uses = self.shared().touches().due(true);
            let (repo, batch, noted) = (repo.to_owned(), batch.to_vec(), uses.clone());
            all += self
                .change(move |transaction, _, _| {
                    for (digest, used) in &noted {
                        catalog::touch(transaction, digest, *used)?;
                    }
                    let mut retire = transaction.prepare_cached(RETIRE)?;
                    let mut count = 0;
                    for digest in &batch {
                        count += retire.execute(params![digest.as_bytes().as_slice(), repo, AGE])?;
                    }
                    Ok(Ok(count))
                })
                .await?;
            self.shared().touches().written(&uses);
        }
        Ok(all)
    }
}
