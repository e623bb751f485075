//! What seeds have to remember: their journals, and what must not be evicted because one of their plans
//! lists it.
//!
//! Each plan that a seed carries out has a number, and holds every object that it lists, here or not yet, as a
//! generation holds its indices: in the table `hold`, under the negative of its number. The next plan holds
//! what it lists before the one before it lets go, so that nothing is without a holder in between. A
//! complete plan may be kept beside newer ones for a while; then it holds only what none of them does.

use rusqlite::{Connection, Result as SqlResult, params};

use super::catalog::Totals;
use super::{Error, Store, hold};
use crate::digest::Digest;

/// Most holds that are changed in one transaction: some milliseconds.
const BATCH: usize = 1024;

pub(super) const SHARED: &str = "DELETE FROM hold WHERE generation = ?1 AND digest IN \
     (SELECT old.digest FROM hold old JOIN hold new ON new.digest = old.digest AND new.generation = ?2 \
     WHERE old.generation = ?1 LIMIT ?3)";

impl Store {
    /// What a seed wrote down last. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn seed_journals(&self) -> Result<Vec<(String, String)>, Error> {
        self.shared().readers.read("read the journals of seeds", |connection| {
            connection
                .prepare_cached("SELECT name, journal FROM seed ORDER BY name")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        })
    }

    /// Writes down where a seed is; durable when it returns.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn set_seed_journal(&self, seed: &str, journal: String) -> Result<(), Error> {
        let seed = seed.to_owned();
        self.change(move |transaction, _, _| {
            transaction
                .prepare_cached("INSERT OR REPLACE INTO seed (name, journal) VALUES (?1, ?2)")?
                .execute([seed, journal])?;
            Ok(Ok(()))
        })
        .await
    }

    /// Begins a plan of a seed, and holds what it lists; its number. Those of these objects that are not here
    /// are held as soon as they come. Plans of the seed that were begun before and not completed are
    /// forgotten. In batches, so that others can write in between.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn begin_seed_plan(&self, seed: &str, objects: Vec<Digest>) -> Result<i64, Error> {
        let name = seed.to_owned();
        let number = self
            .change(move |transaction, _, now| {
                transaction
                    .prepare_cached("INSERT INTO seed_plan (seed, made_at) VALUES (?1, ?2)")?
                    .execute(params![name, now])?;
                Ok(Ok(transaction.last_insert_rowid()))
            })
            .await?;
        self.hold_for_seed(number, objects).await?;
        self.drop_seed_plans(seed, "complete = 0 AND number <> ?2", number).await?;
        Ok(number)
    }

    /// Has a plan hold further objects.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn hold_for_seed(&self, number: i64, objects: Vec<Digest>) -> Result<(), Error> {
        for batch in objects.chunks(BATCH) {
            let batch = batch.to_vec();
            self.change(move |transaction, totals, _| {
                hold::hold(transaction, -number, &batch, totals)?;
                Ok(Ok(()))
            })
            .await?;
        }
        Ok(())
    }

    /// Notes that everything that a plan lists is here. Earlier plans let go, but for complete ones made at
    /// `keep_since` (unix seconds) or later: they keep what this one does not hold. Nothing is kept without it.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn complete_seed_plan(
        &self,
        seed: &str,
        number: i64,
        keep_since: Option<i64>,
    ) -> Result<(), Error> {
        self.change(move |transaction, _, _| {
            transaction
                .prepare_cached("UPDATE seed_plan SET complete = 1 WHERE number = ?1")?
                .execute([number])?;
            Ok(Ok(()))
        })
        .await?;
        let Some(keep_since) = keep_since else { return self.drop_other_seed_plans(seed, number).await };
        for older in self.seed_plans(seed, "made_at < ?2", keep_since).await? {
            if older != number {
                self.drop_seed_plan(seed, older).await?;
            }
        }
        for older in self.seed_plans(seed, "number < ?2", number).await? {
            let most = i64::try_from(BATCH).unwrap_or(i64::MAX);
            // The newer plan holds them as well: no mark changes.
            while self
                .change(move |transaction, _, _| {
                    Ok(Ok(transaction.prepare_cached(SHARED)?.execute(params![-older, -number, most])?))
                })
                .await?
                > 0
            {}
        }
        Ok(())
    }

    /// Lets go of everything that plans of a seed hold, except the one of this number.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn drop_other_seed_plans(&self, seed: &str, number: i64) -> Result<(), Error> {
        self.drop_seed_plans(seed, "number <> ?2", number).await
    }

    /// Lets go of what one plan holds.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn drop_seed_plan(&self, seed: &str, number: i64) -> Result<(), Error> {
        self.drop_seed_plans(seed, "number = ?2", number).await
    }

    /// Forgets a seed: its journal, and all that its plans hold.
    ///
    /// # Errors
    /// When the catalog cannot be written. What was let go before stays so.
    pub async fn forget_seed(&self, seed: &str) -> Result<(), Error> {
        self.drop_seed_plans(seed, "number > ?2", 0).await?;
        let seed = seed.to_owned();
        self.change(move |transaction, _, _| {
            transaction.prepare_cached("DELETE FROM seed WHERE name = ?1")?.execute([seed])?;
            Ok(Ok(()))
        })
        .await
    }

    /// The plans of a seed of which a condition holds. There are few.
    async fn seed_plans(&self, seed: &str, condition: &'static str, value: i64) -> Result<Vec<i64>, Error> {
        let seed = seed.to_owned();
        self.change(move |transaction, _, _| {
            let query = format!("SELECT number FROM seed_plan WHERE seed = ?1 AND {condition}");
            let plans = transaction
                .prepare_cached(&query)?
                .query_map(params![seed, value], |row| row.get(0))?
                .collect::<SqlResult<_>>()?;
            Ok(Ok(plans))
        })
        .await
    }

    async fn drop_seed_plans(&self, seed: &str, condition: &'static str, value: i64) -> Result<(), Error> {
        for number in self.seed_plans(seed, condition, value).await? {
            while self
                .change(move |transaction, totals, _| drop_some(transaction, number, totals).map(Ok))
                .await?
            {}
        }
        Ok(())
    }
}

/// Lets go of some of what a plan holds, or at last of the plan; whether there may be more.
fn drop_some(transaction: &Connection, number: i64, totals: &mut Totals) -> SqlResult<bool> {
    if hold::release_some(transaction, -number, BATCH, totals)? > 0 {
        return Ok(true);
    }
    transaction.prepare_cached("DELETE FROM seed_plan WHERE number = ?1")?.execute([number])?;
    Ok(false)
}
