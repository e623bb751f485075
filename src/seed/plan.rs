//! A plan: every file that a seed wants here.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::closure::Unresolved;
use crate::cache::Wanted;
use crate::repo::apt::checksum::Checksum;
use crate::repo_path::RepoPath;
use crate::wan::{Forecast, Hours};

/// What a seed intends: everything that is needed to fetch and to check it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed's name.
    pub seed: Arc<str>,
    /// The name of the repository that all paths belong to.
    pub repo: Arc<str>,
    /// The suites that it was made from: the folder of each release file, and the number of its generation.
    pub generations: Vec<(Arc<str>, i64)>,
    /// How many packages it has.
    pub packages: u64,
    /// The files, most wanted first; no path twice.
    pub files: Vec<Planned>,
    /// What apt would refuse to install.
    pub unresolved: Vec<Unresolved>,
    /// Files that the seed's budget leaves out, and their bytes.
    pub left_out: (u64, u64),
    /// When the seed may use the line.
    pub hours: Option<Hours>,
    /// How long the missing bytes took from when it was made on, within those hours.
    pub forecast: Forecast,
}

/// One file of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Below the repository's root.
    pub path: RepoPath,
    /// In bytes.
    pub size: u64,
    /// What it must hash to.
    pub checksum: Checksum,
    /// What it is.
    pub part: Part,
    /// Whether it was here when the plan was made.
    pub present: bool,
}

/// What a planned file is, most wanted first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The release file of a suite.
    Release,
    /// What a release file lists.
    Index,
    /// A package.
    Package,
    /// A file of a source package.
    Source,
}

impl Planned {
    /// What is to be had.
    pub(super) const fn wanted(&self) -> Wanted<'_> {
        Wanted { path: &self.path, size: self.size, checksum: self.checksum }
    }
}

impl Plan {
    /// The bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// The bytes of those that are not here.
    #[must_use]
    pub fn bytes_missing(&self) -> u64 {
        self.files.iter().filter(|file| !file.present).map(|file| file.size).sum()
    }

    /// How long the line is used for the missing bytes, in seconds, rounded up; `None` when some of them come
    /// at hours at which nothing limits it.
    #[must_use]
    pub fn seconds_at_limit(&self) -> Option<u64> {
        (self.forecast.unlimited == 0).then(|| whole_seconds(self.forecast.busy))
    }

    /// How long that is from now on, in seconds, rounded up, hours of rest included.
    #[must_use]
    pub fn seconds_within_hours(&self) -> Option<u64> {
        (self.forecast.unlimited == 0).then(|| whole_seconds(self.forecast.elapsed))
    }

    /// How fast the missing bytes come in the mean, in bytes a second.
    fn bytes_per_second(&self) -> Option<u64> {
        let nanos = self.forecast.busy.as_nanos();
        let bytes = u128::from(self.bytes_missing()) * 1_000_000_000;
        (self.forecast.unlimited == 0)
            .then(|| bytes.checked_div(nanos))
            .flatten()
            .and_then(|rate| u64::try_from(rate).ok())
    }
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

/// A plan as scripts read it. Field names are an interface: more may come, none changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFacts {
    /// The seed's name.
    pub seed: String,
    /// The repository's name.
    pub repo: String,
    /// What it was made from.
    pub suites: Vec<PlannedSuite>,
    /// How many packages.
    pub packages: u64,
    /// Every file.
    pub files: Vec<PlannedFile>,
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that are here.
    pub bytes_present: u64,
    /// Bytes that are not.
    pub bytes_missing: u64,
    /// What the seed may use of the line, in bytes a second, the mean over the time that it takes; null when
    /// nothing is missing, or `bytes_without_limit` is not 0.
    pub bytes_per_second: Option<u64>,
    /// How long the line is used for the missing bytes, in seconds, at the limits of the hours at which they
    /// come, if nobody more urgent uses it; null when `bytes_without_limit` is not 0.
    pub seconds_at_limit: Option<u64>,
    /// The seed's hours.
    pub hours: Option<String>,
    /// How long that is from now on, in seconds, with the waiting for those hours.
    pub seconds_within_hours: Option<u64>,
    /// Missing bytes that come at hours without a limit, as fast as the line is.
    pub bytes_without_limit: u64,
    /// In how many seconds those hours begin; null when there are no such bytes.
    pub seconds_until_no_limit: Option<u64>,
    /// What cannot be resolved.
    pub unresolved: Vec<UnresolvedFacts>,
    /// Files that the seed's budget leaves out.
    pub left_out_files: u64,
    /// Their bytes.
    pub left_out_bytes: u64,
}

/// A suite of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedSuite {
    /// The folder of its release file.
    pub suite: String,
    /// The number of its generation.
    pub generation: i64,
}

/// A file of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// Below the repository's root.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// In lower-case hexadecimal digits; null where the publisher gives SHA-512 only.
    pub sha256: Option<String>,
    /// Whether it is here.
    pub present: bool,
}

/// Something that cannot be resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnresolvedFacts {
    /// Which package.
    pub package: String,
    /// Which clause of it, and why.
    pub reason: String,
}

impl From<&Plan> for PlanFacts {
    fn from(plan: &Plan) -> Self {
        let (bytes, bytes_missing) = (plan.bytes(), plan.bytes_missing());
        let suite = |(suite, generation): &(Arc<str>, i64)| PlannedSuite {
            suite: suite.to_string(),
            generation: *generation,
        };
        let file = |file: &Planned| PlannedFile {
            path: file.path.as_str().to_owned(),
            size: file.size,
            sha256: file.checksum.sha256().map(|digest| digest.to_string()),
            present: file.present,
        };
        let unresolved =
            |one: &Unresolved| UnresolvedFacts { package: one.package.clone(), reason: one.reason.clone() };
        Self {
            seed: plan.seed.to_string(),
            repo: plan.repo.to_string(),
            suites: plan.generations.iter().map(suite).collect(),
            packages: plan.packages,
            files: plan.files.iter().map(file).collect(),
            bytes,
            bytes_present: bytes - bytes_missing,
            bytes_missing,
            bytes_per_second: plan.bytes_per_second(),
            seconds_at_limit: plan.seconds_at_limit(),
            hours: plan.hours.map(|hours| hours.to_string()),
            seconds_within_hours: plan.seconds_within_hours(),
            bytes_without_limit: plan.forecast.unlimited,
            seconds_until_no_limit: (plan.forecast.unlimited > 0)
                .then(|| whole_seconds(plan.forecast.elapsed)),
            unresolved: plan.unresolved.iter().map(unresolved).collect(),
            left_out_files: plan.left_out.0,
            left_out_bytes: plan.left_out.1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(sizes: &[(u64, bool)], forecast: Forecast, hours: Option<&str>) -> Plan {
        let file = |(number, (size, present)): (usize, &(u64, bool))| Planned {
            path: RepoPath::from_decoded(&format!("pool/{number}.deb")).unwrap(),
            size: *size,
            checksum: Checksum::Sha512([1; 32]),
            part: Part::Package,
            present: *present,
        };
        Plan {
            seed: "s".into(),
            repo: "a".into(),
            generations: vec![("dists/noble".into(), 3)],
            packages: sizes.len() as u64,
            files: sizes.iter().enumerate().map(file).collect(),
            unresolved: Vec::new(),
            left_out: (0, 0),
            hours: hours.map(|hours| hours.parse().unwrap()),
            forecast,
        }
    }

    #[test]
    fn time_is_that_of_what_is_missing() {
        let forecast = Forecast {
            elapsed: Duration::from_millis(9500),
            busy: Duration::from_millis(3001),
            unlimited: 0,
        };
        let made = plan(&[(1000, true), (2500, false), (501, false)], forecast, Some("18:00-06:00"));
        assert_eq!((made.bytes(), made.bytes_missing()), (4001, 3001));
        let facts = PlanFacts::from(&made);
        assert_eq!((facts.seconds_at_limit, facts.seconds_within_hours), (Some(4), Some(10)));
        assert_eq!((facts.bytes_per_second, facts.bytes_without_limit), (Some(1000), 0));
        assert_eq!(facts.seconds_until_no_limit, None);
    }

    #[test]
    fn what_nothing_limits_has_no_time() {
        let forecast =
            Forecast { elapsed: Duration::from_mins(1), busy: Duration::from_mins(1), unlimited: 400 };
        let facts = PlanFacts::from(&plan(&[(1000, false)], forecast, None));
        assert_eq!((facts.seconds_at_limit, facts.seconds_within_hours), (None, None));
        assert_eq!((facts.bytes_per_second, facts.bytes_without_limit), (None, 400));
        assert_eq!(facts.seconds_until_no_limit, Some(60));
        let nothing = PlanFacts::from(&plan(&[(1000, true)], Forecast::default(), None));
        assert_eq!((nothing.seconds_at_limit, nothing.seconds_within_hours), (Some(0), Some(0)));
    }

    #[test]
    fn facts_add_up() {
        let made = plan(&[(10, true), (5, false)], Forecast::default(), Some("00:00-24:00"));
        let facts = PlanFacts::from(&made);
        assert_eq!((facts.bytes, facts.bytes_present, facts.bytes_missing), (15, 10, 5));
        assert_eq!(facts.files[0].sha256, None);
        assert_eq!(facts.suites, [PlannedSuite { suite: "dists/noble".into(), generation: 3 }]);
    }
}
