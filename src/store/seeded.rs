//! Which objects seeds brought, and whether desktops have asked for them since: what seeding was good for.
//!
//! Collected in memory and written with the touches; what a crash loses of it is a statistic.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, Result as SqlResult, params};

use super::shared::Shared;
use super::transaction::commit;
use super::writer::Command;
use super::{Error, Store};
use crate::digest::Digest;

/// Most marks in memory: under 1 MiB. Past it, further ones are lost until the writer has made room.
const MOST: usize = 16 * 1024;

/// What a seed has to do with an object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seeded {
    /// Nothing: a desktop had it fetched.
    #[default]
    No,
    /// A seed brought it, and nobody has asked for it yet.
    Waiting,
    /// A seed brought it, and somebody has asked for it since.
    Used,
}

impl Seeded {
    const fn number(self) -> i64 {
        match self {
            Self::No => 0,
            Self::Waiting => 1,
            Self::Used => 2,
        }
    }

    const fn of(number: i64) -> Self {
        match number {
            1 => Self::Waiting,
            2 => Self::Used,
            _ => Self::No,
        }
    }
}

/// What is not in the catalog yet.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: HashMap<Digest, Seeded>,
    asked: bool,
}

impl Marks {
    /// Whether the writer should be asked to write now (told once per flush).
    fn note(&mut self, digest: &Digest, seeded: Seeded) -> bool {
        if self.marks.len() < MOST || self.marks.contains_key(digest) {
            let known = self.marks.entry(*digest).or_default();
            *known = seeded.max(*known);
        }
        self.marks.len() >= MOST && !std::mem::replace(&mut self.asked, true)
    }
}

impl Store {
    /// Notes that a seed brought an object, or that one of those was asked for. No I/O; written within a minute,
    /// and on close.
    pub fn note_seeded(&self, digest: &Digest, seeded: Seeded) {
        let crowded = self.shared().marks().note(digest, seeded);
        if crowded {
            self.inner.handle.tell(Command::Flush);
        }
    }
}

/// What a seed has to do with an object. Blocking: an indexed read.
pub(super) fn look_up(shared: &Shared, digest: &Digest) -> Result<Seeded, Error> {
    if let Some(marked) = shared.marks().marks.get(digest) {
        return Ok(*marked);
    }
    shared.readers.read("look up what a seed brought", |connection| {
        let number: Option<i64> = connection
            .prepare_cached("SELECT seeded FROM object WHERE digest = ?1")?
            .query_row([digest.as_bytes().as_slice()], |row| row.get(0))
            .optional()?;
        Ok(number.map_or(Seeded::No, Seeded::of))
    })
}

/// The writer's part: puts the marks into the catalog.
pub(super) fn flush(shared: &Shared, connection: &mut Connection) -> Result<(), Error> {
    let due: Vec<_> = shared.marks().marks.iter().map(|(digest, seeded)| (*digest, *seeded)).collect();
    if due.is_empty() {
        return Ok(());
    }
    commit(shared, connection, |transaction, _| write(transaction, &due))?;
    let mut marks = shared.marks();
    // What changed meanwhile stays for the next time.
    for (digest, seeded) in &due {
        if marks.marks.get(digest) == Some(seeded) {
            marks.marks.remove(digest);
        }
    }
    marks.asked = false;
    Ok(())
}

fn write(transaction: &Connection, due: &[(Digest, Seeded)]) -> SqlResult<()> {
    let mut put =
        transaction.prepare_cached("UPDATE object SET seeded = max(seeded, ?2) WHERE digest = ?1")?;
    for (digest, seeded) in due {
        put.execute(params![digest.as_bytes().as_slice(), seeded.number()])?;
    }
    Ok(())
}
