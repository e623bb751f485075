//! May this release file replace the current one? A pure judgement.

use crate::repo::apt::release::Release;

/// Why a new release file does not become current although its signature is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Objection {
    /// Its `Date` is before the current one's: an old mirror, or somebody who replays an old state. apt
    /// ignores such a file, too.
    #[error("it is older than the one that is served")]
    Older,
    /// Its `Valid-Until` has passed: clients would refuse it.
    #[error("it has expired (Valid-Until has passed)")]
    Expired,
    /// Its `Date` lies in the future by more than clocks differ: clients would refuse it.
    #[error("it is dated in the future; is the clock of this server right?")]
    Future,
}

/// How far ahead of our clock a release file may be dated, in seconds. apt allows 10; a refresh that is a
/// minute early is no harm, because apt asks again.
const CLOCKS_DIFFER: i64 = 60;

/// Judges a verified release file at `now` (seconds since 1970), beside the `Date` of the current one.
pub(super) fn judge(next: &Release, current_date: Option<i64>, now: i64) -> Result<(), Objection> {
    if let (Some(next), Some(current)) = (next.date, current_date)
        && next < current
    {
        return Err(Objection::Older);
    }
    if next.is_expired(now) {
        return Err(Objection::Expired);
    }
    if next.date.is_some_and(|date| date > now + CLOCKS_DIFFER) {
        return Err(Objection::Future);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Some(100), None, Some(90), Ok(()))]
    #[case(Some(100), None, Some(100), Ok(()))]
    #[case(Some(100), None, Some(101), Err(Objection::Older))]
    #[case(None, None, Some(101), Ok(()))]
    #[case(Some(100), Some(999), None, Err(Objection::Expired))]
    #[case(Some(100), Some(1000), None, Ok(()))]
    #[case(Some(1060), None, None, Ok(()))]
    #[case(Some(1061), None, None, Err(Objection::Future))]
    fn at_one_thousand(
        #[case] date: Option<i64>,
        #[case] valid_until: Option<i64>,
        #[case] current: Option<i64>,
        #[case] verdict: Result<(), Objection>,
    ) {
        let mut next = Release::parse(b"Suite: x\nSHA256:\n").unwrap();
        (next.date, next.valid_until) = (date, valid_until);
        assert_eq!(judge(&next, current, 1000), verdict);
    }
}
