//! What all cases share: the origin, the files, and the servers that stay warm from round to round.

use std::cell::RefCell;
use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::Context as _;
use tempfile::TempDir;

use crate::Options;
use crate::cases::Case;
use crate::client;
use crate::contestant::{Contestant, Kind, Site};
use crate::files::{Archive, Files};
use crate::origin::Origin;
use crate::report::Report;

/// Everything around the cases.
pub struct Bench {
    pub site: Site,
    pub origin: Origin,
    /// How long `wrk` asks.
    pub seconds: u64,
    /// Whether those take part in this round whom no bar names.
    pub peers: bool,
    // Before the folder that they work in.
    warm: RefCell<Vec<Rc<Contestant>>>,
    filled: RefCell<HashSet<(Kind, String)>>,
    /// Peers that could not be had for a case.
    absent: RefCell<HashSet<(Kind, String)>>,
    _folder: TempDir,
}

impl Bench {
    /// Publishes the files of these cases.
    pub fn new(options: &Options, cases: &[&dyn Case]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("peers").tempdir()?;
        // nginx's worker may be another user.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        let files: Vec<Files> = cases.iter().flat_map(|case| case.files()).collect();
        let archive = Arc::new(Archive::publish(&files));
        let origin = Origin::start(Arc::clone(&archive))?;
        let site = Site { folder: folder.path().to_owned(), archive, origin: origin.address };
        std::fs::create_dir_all(site.root())?;
        std::fs::write(site.keyring(), &site.archive.keyring)?;
        for case in cases.iter().filter(|case| case.is_warm()) {
            for files in case.files() {
                site.archive.write(&site.root(), &files)?;
            }
        }
        Ok(Self {
            site,
            origin,
            seconds: options.seconds,
            peers: true,
            warm: RefCell::default(),
            filled: RefCell::default(),
            absent: RefCell::default(),
            _folder: folder,
        })
    }

    /// Those of `kinds` that are installed and take part in this round. `named` always do.
    pub fn field(&self, named: &[Kind], kinds: &[Kind]) -> Vec<Kind> {
        let takes_part = |kind: &Kind| kind.is_here() && (self.peers || named.contains(kind));
        named.iter().chain(kinds).copied().filter(takes_part).collect()
    }

    /// A server with an empty cache, or `None` and a note where a peer cannot be had.
    pub fn cold(&self, kind: Kind, case: &str, report: &mut Report) -> anyhow::Result<Option<Contestant>> {
        self.unless_it_fails(kind, case, report, || kind.start(&self.site))
    }

    /// As [`warm`](Self::warm), or `None` and a note where a peer cannot be had or serves something else.
    pub fn warm_or_note(
        &self,
        kind: Kind,
        files: &Files,
        case: &str,
        report: &mut Report,
    ) -> anyhow::Result<Option<Rc<Contestant>>> {
        self.unless_it_fails(kind, case, report, || self.warm(kind, files))
    }

    /// What keeps a peer from taking part does not end the run; it does not try again.
    fn unless_it_fails<T>(
        &self,
        kind: Kind,
        case: &str,
        report: &mut Report,
        attempt: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<Option<T>> {
        let part = (kind, case.to_owned());
        if self.absent.borrow().contains(&part) {
            return Ok(None);
        }
        match attempt() {
            Ok(begun) => Ok(Some(begun)),
            Err(error) if matches!(kind, Kind::Lumbung | Kind::Static) => Err(error),
            Err(error) => {
                report.note(case, kind, &format!("does not take part: {}", error.root_cause()));
                self.absent.borrow_mut().insert(part);
                Ok(None)
            }
        }
    }

    /// Whether a peer failed to serve what was asked for; says so in the report. Lumbung must not.
    pub fn failed(
        &self,
        crowd: &client::Crowd,
        kind: Kind,
        case: &str,
        report: &mut Report,
    ) -> anyhow::Result<bool> {
        let failed = || crowd.errors.first().map_or(Ok(()), |error| Err(anyhow::Error::msg(error.clone())));
        Ok(self.unless_it_fails(kind, case, report, failed)?.is_none())
    }

    /// A server that stays, with these files in its cache and in memory. Each was compared.
    pub fn warm(&self, kind: Kind, files: &Files) -> anyhow::Result<Rc<Contestant>> {
        let known = self.warm.borrow().iter().find(|contestant| contestant.kind == kind).cloned();
        let contestant = if let Some(contestant) = known {
            contestant
        } else {
            let contestant = Rc::new(kind.start(&self.site)?);
            self.warm.borrow_mut().push(Rc::clone(&contestant));
            contestant
        };
        if self.filled.borrow_mut().insert((kind, files.name.clone())) {
            self.origin.set_line(None);
            for _ in 0..2 {
                self.compare(&contestant, files)?;
            }
        }
        Ok(contestant)
    }

    /// Fetches files and compares every byte.
    pub fn compare(&self, contestant: &Contestant, files: &Files) -> anyhow::Result<()> {
        let paths = files.list().map(|(path, _)| path).collect();
        client::alone(&contestant.order(&self.site), paths)
            .map(drop)
            .with_context(|| format!("{} and the files of {}", contestant.name(), files.name))
    }
}

/// Has the kernel forget what it holds of the files below a folder, once they are on the disk.
pub fn forget(folder: &Path) -> anyhow::Result<()> {
    for item in std::fs::read_dir(folder)? {
        let item = item?;
        if item.file_type()?.is_dir() {
            forget(&item.path())?;
        } else if item.file_type()?.is_file() {
            let file = std::fs::File::open(item.path())?;
            file.sync_data()?;
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        }
    }
    Ok(())
}
