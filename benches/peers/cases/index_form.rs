//! A whole release known by hash: what it takes in memory, and what a new generation of it costs.

use std::fmt::Write as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use super::{Case, KIB, mib};
use crate::bench::Bench;
use crate::client::{self, Crowd, Order};
use crate::content::hex;
use crate::contestant::{Contestant, Kind, Settings, Site, program};
use crate::files::{Archive, Files};
use crate::origin::Origin;
use crate::process;
use crate::report::{Bar, Figure, Report};
use crate::support::repository::Key;

static FIGURES: [Figure; 5] = [
    Figure { name: "memory of the index form", unit: "MiB", bars: &[Bar::AtMost(40.0)] },
    Figure { name: "listed files", unit: "", bars: &[] },
    Figure { name: "CPU of a generation with 20 MB of Packages", unit: "s", bars: &[Bar::AtMost(1.0)] },
    Figure { name: "longest hit meanwhile", unit: "ms", bars: &[Bar::AtMost(5.0)] },
    Figure { name: "p99 of hits meanwhile", unit: "ms", bars: &[] },
];

/// Suites, and packages of each architecture in them: main and universe.
const SUITES: [(&str, usize, usize); 4] = [
    ("noble", 6_000, 64_000),
    ("noble-updates", 8_000, 12_000),
    ("noble-security", 6_000, 8_000),
    ("noble-backports", 100, 400),
];
const ARCHITECTURES: [&str; 2] = ["amd64", "i386"];

/// The suite that gets a new generation: its one index has 20 MB.
const CHANGING: (&str, usize) = ("changing", 20_000);

/// Hits between two looks at whether the refresh has ended.
const HITS: usize = 200;

pub struct IndexForm {
    hot: Files,
    /// By what the number of packages is divided.
    share: usize,
}

impl IndexForm {
    pub fn new(smoke: bool) -> Self {
        Self { hot: Files::new("hot", 1, &[32 * KIB]), share: if smoke { 500 } else { 1 } }
    }

    /// A release, and the suite that changes in its `day`th state.
    fn publish(&self, archive: &mut Archive, key: &Key, day: u64) {
        if day == 0 {
            for (suite, main, universe) in SUITES {
                let mut indices = Vec::new();
                for architecture in ARCHITECTURES {
                    for (component, count) in [("main", main), ("universe", universe)] {
                        let text =
                            index(&format!("{suite}-{component}-{architecture}"), count / self.share + 1);
                        indices.push((format!("{component}/binary-{architecture}/Packages"), text));
                    }
                }
                archive.list(suite, &borrowed(&indices), key, 0);
            }
        }
        let (suite, count) = CHANGING;
        let text = index(&format!("{suite}{day}"), count / self.share + 1);
        archive.list(suite, &[("main/binary-amd64/Packages", text)], key, day);
    }
}

impl Case for IndexForm {
    fn name(&self) -> &'static str {
        "a release known by hash"
    }

    fn files(&self) -> Vec<Files> {
        Vec::new()
    }

    fn run(&self, bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
        let key = Key::generate("Release");
        let mut archive = Archive::publish(std::slice::from_ref(&self.hot));
        self.publish(&mut archive, &key, 0);
        archive.resign(&key);
        let mut site = Site::within(bench, "release", archive)?;
        let origin = Origin::start(Arc::clone(&site.archive))?;
        site.origin = origin.address;

        let store = site.folder.join("store");
        let settings = Settings { store: Some(store), ..Settings::default() };
        let empty = Settings { store: Some(site.folder.join("empty")), unsigned: true };
        let before = {
            let contestant = Contestant::lumbung(&site, &empty)?;
            process::private(contestant.process)?
        };
        let texts: Vec<_> = site.archive.texts.keys().cloned().collect();
        let (releases, indices): (Vec<_>, Vec<_>) =
            texts.into_iter().partition(|path| path.ends_with("InRelease"));
        let contestant = Contestant::lumbung(&site, &settings)?;
        client::alone(&contestant.order(&site), releases)?;
        client::alone(&contestant.order(&site), indices)?;
        drop(contestant);
        // As after a start, when nothing is left of the reading.
        let contestant = Contestant::lumbung(&site, &settings)?;
        let hot: Vec<_> = self.hot.list().map(|(path, _)| path).collect();
        client::alone(&contestant.order(&site), hot.clone())?;
        let memory = process::private(contestant.process)?.saturating_sub(before);
        let listed: usize =
            SUITES.iter().map(|(_, main, universe)| 2 * (main + universe)).sum::<usize>() / self.share;

        let mut next = |day| -> anyhow::Result<()> {
            let mut archive = Archive::publish(std::slice::from_ref(&self.hot));
            self.publish(&mut archive, &key, day);
            archive.resign(&key);
            site.archive = Arc::new(archive);
            origin.replace(Arc::clone(&site.archive));
            Ok(())
        };
        next(1)?;
        let used = process::used(contestant.process)?;
        let status = refresh(&contestant)?.wait()?;
        anyhow::ensure!(status.success(), "the refresh failed");
        let cpu = process::used(contestant.process)?.saturating_sub(used);
        next(2)?;
        let order = contestant.order(&site);
        let seen = hits_during(&order, &hot, refresh(&contestant)?)?;
        let values = [
            mib(memory),
            super::float(listed as u64),
            cpu.as_secs_f64(),
            Crowd::quantile(&seen, 1.0),
            Crowd::quantile(&seen, 0.99),
        ];
        for (figure, value) in FIGURES.iter().zip(values) {
            report.add(self.name(), figure, Kind::Lumbung, value);
        }
        Ok(())
    }
}

/// Asks for a hit again and again until a command has ended.
fn hits_during(order: &Order, hot: &[String], mut command: Child) -> anyhow::Result<Vec<Duration>> {
    let paths: Vec<_> = hot.iter().cycle().take(HITS).cloned().collect();
    let mut seen = Vec::new();
    loop {
        let ended = command.try_wait()?;
        seen.extend(client::alone(order, paths.clone())?.whole);
        if let Some(status) = ended {
            anyhow::ensure!(status.success(), "the refresh failed");
            seen.sort_unstable();
            return Ok(seen);
        }
    }
}

/// Has the server ask upstream about the suite, complete its new generation and switch to it.
fn refresh(contestant: &Contestant) -> anyhow::Result<Child> {
    let mut command = Command::new(program());
    command.args(["suite", "refresh", "debian", &format!("dists/{}", CHANGING.0), "--config"]);
    command.arg(contestant.home.join("lumbung.toml")).stdout(Stdio::null());
    command.spawn().context("the command could not be started")
}

fn borrowed(indices: &[(String, Vec<u8>)]) -> Vec<(&str, Vec<u8>)> {
    indices.iter().map(|(name, text)| (name.as_str(), text.clone())).collect()
}

/// An index with stanzas of a kilobyte, as they are on average.
fn index(seed: &str, count: usize) -> Vec<u8> {
    let mut text = String::new();
    for number in 0..count {
        let hash = hex(&Sha256::digest(format!("{seed}{number}")));
        let _ = write!(
            text,
            "Package: {seed}-{number}\nArchitecture: amd64\nVersion: 1:2.{number}-3ubuntu1\nPriority: optional\n\
             Section: universe/libs\nOrigin: Ubuntu\nMaintainer: Ubuntu Developers <devel@lists.example.com>\n\
             Original-Maintainer: Somebody <somebody@example.org>\nBugs: https://bugs.example.com/filebug\n\
             Installed-Size: {number}\nDepends: libc6 (>= 2.38), libgcc-s1 (>= 3.0), libstdc++6 (>= 13.1)\n\
             Filename: pool/universe/libe/{seed}/{seed}-{number}_2.{number}-3ubuntu1_amd64.deb\nSize: {number}12\n\
             MD5sum: {}\nSHA1: {}\nSHA256: {hash}\nSHA512: {hash}{hash}\nHomepage: https://www.example.org/{seed}\n\
             Description: an example of a library with some words about it\nDescription-md5: {}\n\n",
            &hash[..32],
            &hash[..40],
            &hash[32..],
        );
    }
    text.into_bytes()
}
