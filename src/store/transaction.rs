//! One transaction of the writer, with the totals it changes.

use std::sync::atomic::Ordering;

use rusqlite::{Connection, TransactionBehavior};

use super::Error;
use super::catalog::{self, Totals};
use super::shared::Shared;

/// Runs `work` in a transaction that is durable when this returns, and then shows its totals to the
/// readers of [`super::Store::usage`]. On an error nothing of it happened.
pub(super) fn commit<T>(
    shared: &Shared,
    connection: &mut Connection,
    work: impl FnOnce(&Connection, &mut Totals) -> rusqlite::Result<T>,
) -> Result<T, Error> {
    let mut change = Totals::default();
    let result =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
            let value = work(&transaction, &mut change)?;
            catalog::add_totals(&transaction, change)?;
            transaction.commit()?;
            Ok(value)
        });
    let value = result.map_err(|error| Error::catalog("write", &shared.layout.catalog, error))?;
    let counts = &shared.counts;
    counts.bytes.fetch_add(change.bytes.cast_unsigned(), Ordering::Relaxed);
    counts.objects.fetch_add(change.objects.cast_unsigned(), Ordering::Relaxed);
    counts.evicted.fetch_add(change.evicted.cast_unsigned(), Ordering::Relaxed);
    counts.held.fetch_add(change.held.cast_unsigned(), Ordering::Relaxed);
    Ok(value)
}
