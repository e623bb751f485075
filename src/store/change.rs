//! Rare changes of the catalog: each has a transaction of its own, apart from the batches.

use rusqlite::Connection;

use super::catalog::Totals;
use super::shared::Shared;
use super::transaction::commit;
use super::writer::Command;
use super::{Error, Store};

/// What the writer thread runs between two batches.
pub(super) type Change = Box<dyn FnOnce(&Shared, &mut Connection) + Send>;

impl Store {
    /// Runs `work` on the writer thread in one transaction, with the time in unix seconds; durable when
    /// it returns. The outer result is the catalog's: an error there undoes everything. The inner one is
    /// a refusal, which must come before the first row is written. Dropping the future does not undo
    /// what the writer thread has got already.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection, &mut Totals, i64) -> rusqlite::Result<Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = self.permit().await?;
        self.inner
            .handle
            .ask_async(|reply| {
                Command::Change(Box::new(move |shared, connection| {
                    let now = shared.clock.unix();
                    let done =
                        commit(shared, connection, |transaction, totals| work(transaction, totals, now));
                    drop(permit);
                    reply.answer(done.flatten());
                }))
            })
            .await
    }
}
