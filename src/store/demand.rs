//! What desktops ask for: per repository each package with how often and by how many, and per desktop the set of
//! packages that it was seen to use.
//!
//! ```text
//! demand           a package of a repository: the last day, and for some fortnights how often and by whom
//! desktop          a client's address, or an office alone, as a user of one suite
//! desktop_package  which packages it asked for, and the last day
//! ```
//!
//! Addresses are kept for a time that is configured; after that only the office is, whose set grows instead. All of
//! it is bounded: the oldest goes. Clients choose what they ask for, but only what a verified index lists gets here.

mod buckets;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Result as SqlResult, params};

use self::buckets::Buckets;
use super::{Error, Store};

/// Most packages, of all repositories: about 16 MB.
const MOST_PACKAGES: i64 = 64 * 1024;

/// Most desktops, once for each suite that they use: about 2 MB. Further ones count to their office at once.
const MOST_DESKTOPS: i64 = 16 * 1024;

/// Most packages of all desktops together: about 30 MB; 500 desktops with 2,000 each.
const MOST_USES: i64 = 1_000_000;

/// How long it is known what a desktop or an office uses, in days.
const KNOWN_FOR: i64 = 400;

/// The day of a time, both counted from the beginning of 1970.
#[must_use]
pub const fn day(unix: i64) -> i64 {
    unix.div_euclid(24 * 3600)
}

/// Something that a desktop asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The repository's name.
    pub repo: Arc<str>,
    /// The package and its architecture, `nano:amd64`.
    pub package: Arc<str>,
    /// The folder of the suite that lists it.
    pub suite: Arc<str>,
    /// Who asked.
    pub client: IpAddr,
    /// The office of the client, empty where none is configured.
    pub office: Arc<str>,
}

/// A package that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demanded {
    /// The package and its architecture.
    pub package: Arc<str>,
    /// The last [day] on which it was asked for.
    pub last_day: i64,
    /// How often, within the time that was asked about, to a fortnight.
    pub times: u64,
    /// By about how many clients.
    pub clients: u64,
}

/// What some desktops use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Packages with their architectures.
    pub packages: Vec<Arc<str>>,
    /// Each desktop, or office, with the positions of its packages, sorted.
    pub sets: Vec<UseSet>,
}

/// What one desktop uses, or what is only known of an office by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UseSet {
    /// The address; empty for an office as a whole.
    pub address: String,
    /// The office; empty for none.
    pub office: String,
    /// Positions in [`Uses::packages`].
    pub packages: Vec<u32>,
}

impl Store {
    /// Enters what was asked for at `unix`, each with how often. Without `addresses` it counts to offices alone.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn note_demand(
        &self,
        asked: HashMap<Asked, u32>,
        unix: i64,
        addresses: bool,
    ) -> Result<(), Error> {
        self.change(move |transaction, _, _| note(transaction, &asked, day(unix), addresses).map(Ok)).await
    }

    /// Replaces addresses that asked before a [day] by their offices, and forgets what is too old at `unix`.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn age_demand(&self, addresses_before: i64, unix: i64) -> Result<(), Error> {
        self.change(move |transaction, _, _| age(transaction, addresses_before, day(unix)).map(Ok)).await
    }

    /// The packages of a repository that were asked for on the [day] `since` or later: those of most desktops
    /// first, then the more often and more lately asked. Blocking.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn demand(&self, repo: &str, since: i64) -> Result<Vec<Demanded>, Error> {
        let mut found = self.shared().readers.read("look up what was asked for", |connection| {
            connection
                .prepare_cached(
                    "SELECT package, last_day, buckets FROM demand WHERE repo = ?1 AND last_day >= ?2",
                )?
                .query_map(params![repo, since], |row| {
                    let (times, clients) = Buckets::read(&row.get::<_, Vec<u8>>(2)?).since(since);
                    Ok(Demanded { package: row.get(0)?, last_day: row.get(1)?, times, clients })
                })?
                .collect::<SqlResult<Vec<_>>>()
        })?;
        found.sort_by(|a, b| {
            let key = |one: &Demanded| (one.clients, one.times, one.last_day);
            key(b).cmp(&key(a)).then_with(|| a.package.cmp(&b.package))
        });
        Ok(found)
    }

    /// Whether anything of a repository was asked for on the [day] `since` or later. Blocking: one indexed read.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn is_demanded(&self, repo: &str, since: i64) -> Result<bool, Error> {
        self.shared().readers.read("look up what was asked for", |connection| {
            connection
                .prepare_cached("SELECT 1 FROM demand WHERE repo = ?1 AND last_day >= ?2 LIMIT 1")?
                .exists(params![repo, since])
        })
    }

    /// What each desktop uses of these suites of a repository. Blocking: a walk over all of it.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub fn uses(&self, repo: &str, suites: &[Arc<str>]) -> Result<Uses, Error> {
        self.shared().readers.read("look up what desktops use", |connection| uses(connection, repo, suites))
    }
}

fn note(transaction: &Connection, asked: &HashMap<Asked, u32>, today: i64, addresses: bool) -> SqlResult<()> {
    let mut packages: HashMap<(&str, &str), Vec<(&Asked, u32)>> = HashMap::new();
    for (one, times) in asked {
        packages.entry((&one.repo, &one.package)).or_default().push((one, *times));
    }
    let mut grew = false;
    let mut desktops = HashMap::new();
    for ((repo, package), asked) in packages {
        let (id, is_new) = note_package(transaction, repo, package, &asked, today)?;
        grew |= is_new;
        for (one, _) in asked {
            let address = if addresses { one.client.to_string() } else { String::new() };
            let key = (repo, &*one.suite, address, &*one.office);
            let desktop = if let Some(known) = desktops.get(&key) {
                *known
            } else {
                let found = desktop(transaction, key.0, key.1, &key.2, key.3)?;
                desktops.insert(key, found);
                found
            };
            grew |= use_of(transaction, desktop, id, today)?;
        }
    }
    if grew { trim(transaction) } else { Ok(()) }
}

/// Counts a package; its number, and whether it is a new one.
fn note_package(
    transaction: &Connection,
    repo: &str,
    package: &str,
    asked: &[(&Asked, u32)],
    today: i64,
) -> SqlResult<(i64, bool)> {
    let known: Option<(i64, Vec<u8>)> = transaction
        .prepare_cached("SELECT id, buckets FROM demand WHERE repo = ?1 AND package = ?2")?
        .query_row(params![repo, package], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let mut buckets = known.as_ref().map(|(_, bytes)| Buckets::read(bytes)).unwrap_or_default();
    for (one, times) in asked {
        buckets.note(today, one.client, *times);
    }
    let buckets = buckets.write();
    if let Some((id, _)) = known {
        transaction
            .prepare_cached("UPDATE demand SET last_day = max(last_day, ?2), buckets = ?3 WHERE id = ?1")?
            .execute(params![id, today, buckets])?;
        return Ok((id, false));
    }
    transaction
        .prepare_cached("INSERT INTO demand (repo, package, last_day, buckets) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![repo, package, today, buckets])?;
    Ok((transaction.last_insert_rowid(), true))
}

/// The number of a desktop, or of its office where there are too many desktops.
fn desktop(transaction: &Connection, repo: &str, suite: &str, address: &str, office: &str) -> SqlResult<i64> {
    let known: Option<i64> = transaction
        .prepare_cached(
            "SELECT id FROM desktop WHERE repo = ?1 AND suite = ?2 AND address = ?3 AND office = ?4",
        )?
        .query_row([repo, suite, address, office], |row| row.get(0))
        .optional()?;
    if let Some(known) = known {
        return Ok(known);
    }
    if !address.is_empty() && count(transaction, "SELECT count(*) FROM desktop")? >= MOST_DESKTOPS {
        return desktop(transaction, repo, suite, "", office);
    }
    transaction
        .prepare_cached("INSERT INTO desktop (repo, suite, address, office) VALUES (?1, ?2, ?3, ?4)")?
        .execute([repo, suite, address, office])?;
    Ok(transaction.last_insert_rowid())
}

/// Notes that a desktop uses a package; whether that is new.
fn use_of(transaction: &Connection, desktop: i64, package: i64, day: i64) -> SqlResult<bool> {
    let updated = transaction
        .prepare_cached(
            "UPDATE desktop_package SET last_day = max(last_day, ?3) WHERE desktop = ?1 AND package = ?2",
        )?
        .execute([desktop, package, day])?;
    if updated == 0 {
        transaction
            .prepare_cached("INSERT INTO desktop_package VALUES (?1, ?2, ?3)")?
            .execute([desktop, package, day])?;
    }
    Ok(updated == 0)
}

/// Drops the oldest of what is too much.
fn trim(transaction: &Connection) -> SqlResult<()> {
    let over = count(transaction, "SELECT count(*) FROM desktop_package")? - MOST_USES;
    if over > 0 {
        transaction.execute(
            "DELETE FROM desktop_package WHERE last_day <= \
             (SELECT last_day FROM desktop_package ORDER BY last_day LIMIT 1 OFFSET ?1)",
            [over],
        )?;
    }
    let over = count(transaction, "SELECT count(*) FROM demand")? - MOST_PACKAGES;
    if over > 0 {
        transaction.execute(
            "DELETE FROM demand WHERE id IN (SELECT id FROM demand ORDER BY last_day, id LIMIT ?1)",
            [over],
        )?;
        drop_dangling(transaction)?;
    }
    Ok(())
}

fn age(transaction: &Connection, addresses_before: i64, today: i64) -> SqlResult<()> {
    let offices: Vec<(String, String, String)> = transaction
        .prepare(
            "SELECT DISTINCT repo, suite, office FROM desktop WHERE address <> '' AND EXISTS \
             (SELECT 1 FROM desktop_package WHERE desktop = desktop.id AND last_day < ?1)",
        )?
        .query_map([addresses_before], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<SqlResult<_>>()?;
    for (repo, suite, office) in offices {
        let whole = desktop(transaction, &repo, &suite, "", &office)?;
        transaction
            .prepare_cached(
                "INSERT INTO desktop_package SELECT ?1, package, max(last_day) FROM desktop_package WHERE \
                 last_day < ?2 AND desktop IN (SELECT id FROM desktop WHERE repo = ?3 AND suite = ?4 AND \
                 office = ?5 AND address <> '') GROUP BY package \
                 ON CONFLICT DO UPDATE SET last_day = max(last_day, excluded.last_day)",
            )?
            .execute(params![whole, addresses_before, repo, suite, office])?;
    }
    transaction.execute(
        "DELETE FROM desktop_package WHERE last_day < ?1 AND desktop IN \
         (SELECT id FROM desktop WHERE address <> '')",
        [addresses_before],
    )?;
    let old = today - KNOWN_FOR;
    transaction.execute("DELETE FROM desktop_package WHERE last_day < ?1", [old])?;
    transaction.execute("DELETE FROM demand WHERE last_day < ?1", [old])?;
    drop_dangling(transaction)
}

/// Drops what belongs to packages or desktops that are not there any more.
fn drop_dangling(transaction: &Connection) -> SqlResult<()> {
    transaction.execute_batch(
        "DELETE FROM desktop_package WHERE package NOT IN (SELECT id FROM demand);
         DELETE FROM desktop WHERE id NOT IN (SELECT desktop FROM desktop_package);",
    )
}

fn count(transaction: &Connection, query: &str) -> SqlResult<i64> {
    transaction.prepare_cached(query)?.query_row([], |row| row.get(0))
}

fn uses(connection: &Connection, repo: &str, suites: &[Arc<str>]) -> SqlResult<Uses> {
    let mut uses = Uses::default();
    let mut positions: HashMap<i64, u32> = HashMap::new();
    let mut sets: HashMap<(String, String), Vec<u32>> = HashMap::new();
    let mut packages = connection.prepare_cached(
        "SELECT desktop_package.package, demand.package FROM desktop_package JOIN demand \
         ON demand.id = desktop_package.package WHERE desktop = ?1",
    )?;
    for suite in suites {
        let desktops: Vec<(i64, String, String)> = connection
            .prepare_cached("SELECT id, address, office FROM desktop WHERE repo = ?1 AND suite = ?2")?
            .query_map([repo, suite], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<SqlResult<_>>()?;
        for (id, address, office) in desktops {
            let set = sets.entry((address, office)).or_default();
            let mut rows = packages.query([id])?;
            while let Some(row) = rows.next()? {
                let number: i64 = row.get(0)?;
                let position = if let Some(known) = positions.get(&number) {
                    *known
                } else {
                    let position = u32::try_from(uses.packages.len()).unwrap_or(u32::MAX);
                    uses.packages.push(row.get(1)?);
                    positions.insert(number, position);
                    position
                };
                set.push(position);
            }
        }
    }
    uses.sets = sets
        .into_iter()
        .map(|((address, office), mut packages)| {
            packages.sort_unstable();
            packages.dedup();
            UseSet { address, office, packages }
        })
        .collect();
    uses.sets.sort_by(|a, b| (&a.office, &a.address).cmp(&(&b.office, &b.address)));
    Ok(uses)
}
