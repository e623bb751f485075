//! What charts show: the same few sums, bucket after bucket, without gaps.

use rusqlite::params;

use super::Error;
use super::calendar::midnight;
use super::reader::Reader;
use super::report::outcome;
use super::write::{DAY, MINUTE, bucket};
use crate::outcome::Outcome;

/// How much a chart shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Window {
    /// The last hour, by minutes.
    Hour,
    /// The last 24 hours, by half hours.
    #[default]
    Day,
    /// The last 30 days, by days.
    Month,
}

/// One bucket. Sizes are bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Point {
    /// Its begin, in seconds since 1970.
    pub start: i64,
    /// Requests that a kept or shared copy could answer.
    pub answered: u64,
    /// Of them, those that began no transfer.
    pub hits: u64,
    /// Bytes sent to clients.
    pub served: u64,
    /// Of them, those that were held already.
    pub from_store: u64,
    /// Bytes that came over the WAN.
    pub fetched: u64,
}

impl Window {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// The length of rows that are read, and of a bucket, in seconds; and how many buckets there are.
    const fn shape(self) -> (i64, i64, usize) {
        match self {
            Self::Hour => (MINUTE, MINUTE, 60),
            Self::Day => (MINUTE, 30 * MINUTE, 48),
            Self::Month => (DAY, DAY, 30),
        }
    }
}

impl Reader {
    /// The buckets of a window, the one that runs last. Blocking.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn series(&self, window: Window) -> Result<Vec<Point>, Error> {
        let (span, step, count) = window.shape();
        let mut points = self.empty(window, step, count);
        let from = points.first().map_or(self.now, |first| first.start);
        self.fill(&mut points, span, from).map_err(|error| self.wrong(error))?;
        Ok(points)
    }

    /// Bytes served, and bytes that came over the WAN, since the history began. Blocking.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn ever(&self) -> Result<(u64, u64), Error> {
        let sum = |query: &str| -> rusqlite::Result<u64> {
            let sum: i64 = self.connection.query_row(query, [DAY], |row| row.get(0))?;
            Ok(sum.max(0).cast_unsigned())
        };
        let served = sum("SELECT coalesce(sum(store + upstream), 0) FROM total WHERE span = ?1");
        let fetched = sum("SELECT coalesce(sum(bytes), 0) FROM fetched WHERE span = ?1");
        served.and_then(|served| Ok((served, fetched?))).map_err(|error| self.wrong(error))
    }

    fn empty(&self, window: Window, step: i64, count: usize) -> Vec<Point> {
        let last = bucket(step, self.now, &self.zone);
        let before = |index: usize| (count - 1 - index).cast_signed() as i64;
        let start = |index: usize| {
            if window != Window::Month {
                return last - before(index) * step;
            }
            // Days are not all of the same length.
            midnight(last, before(index), &self.zone).unwrap_or(last - before(index) * step)
        };
        (0..count).map(|index| Point { start: start(index), ..Point::default() }).collect()
    }

    fn fill(&self, points: &mut [Point], span: i64, from: i64) -> rusqlite::Result<()> {
        let mut totals = self.connection.prepare(
            "SELECT start, outcome, sum(requests), sum(store), sum(upstream) FROM total
             WHERE span = ?1 AND start >= ?2 GROUP BY start, outcome",
        )?;
        let mut found = totals.query(params![span, from])?;
        while let Some(row) = found.next()? {
            let Some(point) = holding(points, row.get(0)?) else { continue };
            let number =
                |column| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(column)?.max(0).cast_unsigned()) };
            let (requests, store, upstream) = (number(2)?, number(3)?, number(4)?);
            match outcome(row.get(1)?) {
                Some(Outcome::Hit | Outcome::Joined | Outcome::Revalidated | Outcome::Stale) => {
                    point.answered += requests;
                    point.hits += requests;
                }
                Some(Outcome::Miss) => point.answered += requests,
                Some(Outcome::Error | Outcome::Passed) | None => {}
            }
            point.from_store += store;
            point.served += store + upstream;
        }
        let sums = "SELECT start, sum(bytes) FROM fetched WHERE span = ?1 AND start >= ?2 GROUP BY start";
        let mut fetched = self.connection.prepare(sums)?;
        let mut found = fetched.query(params![span, from])?;
        while let Some(row) = found.next()? {
            if let Some(point) = holding(points, row.get(0)?) {
                point.fetched += row.get::<_, i64>(1)?.max(0).cast_unsigned();
            }
        }
        Ok(())
    }
}

/// The bucket that a time lies in.
fn holding(points: &mut [Point], time: i64) -> Option<&mut Point> {
    let after = points.partition_point(|point| point.start <= time);
    points.get_mut(after.checked_sub(1)?)
}
