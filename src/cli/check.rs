//! `lumbung check`: is what the configuration names there, and does it work?
//!
//! Nothing is changed: what must be tried by writing is written to an unnamed file. A store that a
//! running server holds is fine.

mod keyring;
mod store;
mod upstream;
mod wan;

use std::fmt;

use super::{Ending, args, output};
use crate::config::Config;
use crate::repo::Trust;

/// How one thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It works.
    Ok,
    /// It works, and somebody should know this.
    Note,
    /// It does not work, or will not.
    Bad,
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    verdict: Verdict,
    /// What was looked at: `store`, `keyring`, …
    what: &'static str,
    /// Which one.
    name: String,
    /// In words.
    words: String,
}

impl Finding {
    fn new(verdict: Verdict, what: &'static str, name: impl Into<String>, words: impl Into<String>) -> Self {
        Self { verdict, what, name: name.into(), words: words.into() }
    }
}

/// All findings, in the order in which they are shown.
#[derive(Debug, Default)]
struct Report(Vec<Finding>);

impl Report {
    fn is_bad(&self) -> bool {
        self.0.iter().any(|finding| finding.verdict == Verdict::Bad)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |cell: fn(&Finding) -> &str| {
            self.0.iter().map(|finding| cell(finding).chars().count()).max().unwrap_or(0)
        };
        let (what, name) = (width(|finding| finding.what), width(|finding| &finding.name));
        for finding in &self.0 {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok",
                Verdict::Note => "note",
                Verdict::Bad => "BAD",
            };
            writeln!(f, "{verdict:4}  {:what$}  {:name$}  {}", finding.what, finding.name, finding.words)?;
        }
        let bad = self.0.iter().filter(|finding| finding.verdict == Verdict::Bad).count();
        match bad {
            0 => writeln!(f, "\nEverything needed works."),
            1 => writeln!(f, "\n1 thing is BAD and must be mended."),
            _ => writeln!(f, "\n{bad} things are BAD and must be mended."),
        }
    }
}

pub(super) fn run(args: &args::Check) -> anyhow::Result<Ending> {
    let mut report = Report::default();
    match Config::load(args.file.config.as_deref()) {
        Ok(config) => look(&config, args.offline, &mut report)?,
        Err(error) => {
            let file = args.file.config.as_ref().map_or_else(String::new, |file| file.display().to_string());
            for line in error.to_string().lines() {
                report.0.push(Finding::new(Verdict::Bad, "configuration", file.clone(), line));
            }
        }
    }
    output::data(&report);
    Ok(if report.is_bad() { Ending::Problem } else { Ending::Done })
}

fn look(config: &Config, offline: bool, report: &mut Report) -> anyhow::Result<()> {
    let names: Vec<&str> = config.repos.iter().map(|repo| &*repo.name).collect();
    report.0.push(Finding::new(
        Verdict::Ok,
        "configuration",
        &config.origin,
        format!("read; repositories: {}", names.join(", ")),
    ));
    report.0.extend(store::look(&config.store));
    report.0.push(Finding::new(Verdict::Ok, "wan", "limit", wan::words(&config.wan)));
    for repo in &config.repos {
        for file in &repo.keyrings {
            report.0.push(keyring::look(&repo.name, file, repo.legacy_sha1, std::time::SystemTime::now()));
        }
        if repo.trust == Trust::None {
            let words = match repo.given.len() {
                0 => "its contents are not verified (trust = \"none\")".to_owned(),
                1 => "only the file with a given hash is verified (trust = \"none\")".to_owned(),
                count => format!("only the {count} files with a given hash are verified (trust = \"none\")"),
            };
            report.0.push(Finding::new(Verdict::Note, "trust", &*repo.name, words));
        }
    }
    if offline {
        let words = "not asked (--offline)";
        report.0.push(Finding::new(Verdict::Note, "upstreams", "all", words));
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    report.0.extend(runtime.block_on(upstream::look(&config.upstream, &config.repos))?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up_and_counts_what_is_bad() {
        let mut report = Report(vec![
            Finding::new(Verdict::Ok, "store", "/a", "fine"),
            Finding::new(Verdict::Note, "keyring", "/long/name", "soon"),
        ]);
        assert!(!report.is_bad());
        assert!(report.to_string().ends_with("Everything needed works.\n"));
        report.0.push(Finding::new(Verdict::Bad, "upstream", "http://a/", "gone"));
        assert!(report.is_bad());
        let text = report.to_string();
        assert!(text.contains("1 thing is BAD"), "{text}");
        let at = |words: &str| text.lines().find_map(|line| line.find(words)).unwrap();
        assert_eq!((at("fine"), at("soon")), (at("gone"), at("gone")), "{text}");
    }
}
