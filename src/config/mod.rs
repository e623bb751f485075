//! Configuration: a TOML file becomes plain, validated values, or a list of everything wrong with it.
//!
//! It goes through three stages, one file per section. *As written*: `reader` takes the table apart
//! key by key and notes each mistake with its line, so that an administrator repairs a file in one go.
//! *Merged*: what was not written takes its default, which lives, with its reason, beside the field in
//! the subsystem's own `Config`. *Validated*: contradictions between keys are mistakes as well; what
//! comes out needs no second check anywhere. The command line comes last, through [`Config::apply`].
//!
//! Whether keyrings and upstreams are there is not asked here: they may come and go while the
//! configuration stays right, and `lumbung check` looks at them.

mod channel;
mod history;
mod learned;
mod log;
mod mistakes;
mod reader;
mod repo;
mod seed;
mod server;
mod store;
mod upstream;
mod values;
mod wan;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

pub use history::History;
pub use mistakes::{Mistake, Mistakes};

use self::mistakes::{Place, Report};
use self::reader::Table;
use crate::telemetry::LogConfig;

/// Where the configuration is looked for when no file is named.
pub const DEFAULT_FILE: &str = "/etc/lumbung/lumbung.toml";

/// [`Config::origin`] of the default that is part of the program.
pub const BUILT_IN: &str = "built-in";

/// The default that is part of the program.
const BUILT_IN_TEXT: &str = include_str!("../../config/lumbung.toml");

/// Sections that a later version will know.
const NOT_YET: [&str; 1] = ["alert"];

/// Everything that was configured, as plain values.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who is served, where, and within which bounds.
    pub server: crate::server::Config,
    /// Where objects are kept.
    pub store: crate::store::Config,
    /// How much of the line may be used, and when.
    pub wan: crate::wan::Plan,
    /// How upstreams are asked.
    pub upstream: crate::upstream::Config,
    /// The repositories, in the order of the file; at least one.
    pub repos: Vec<crate::repo::Config>,
    /// The channels beside `live`, in the order of the file.
    pub channels: Vec<crate::suite::ChannelConfig>,
    /// The offices, in the order of the file.
    pub offices: Vec<crate::server::Office>,
    /// What is to be here before anybody asks, in the order of the file.
    pub seeds: Vec<crate::seed::Config>,
    /// What is learned without a seed that says so.
    pub learning: crate::seed::Learning,
    /// What is remembered of who asked for what.
    pub history: History,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The file it came from, or [`BUILT_IN`].
    pub origin: String,
}

/// What the command line of `serve` says instead of the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Instead of `server.listen`; none when empty.
    pub listen: Vec<SocketAddr>,
    /// Instead of `server.admin`.
    pub admin: Option<SocketAddr>,
    /// Instead of `store.path`; below the current folder when relative.
    pub store: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file is not there, not readable or not UTF-8.
    #[error("{}: the configuration cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read, and must be corrected.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
}

impl Config {
    /// Reads a configuration from `text`, which stands in `file`: paths in it are relative to that
    /// file's folder. Reads the certificate files that the text names.
    ///
    /// # Errors
    /// Every mistake in the text, in the order of its lines. While some line is no TOML, contradictions
    /// and missing keys are left out: what would settle them may stand in that line.
    pub fn parse(text: &str, file: &str) -> Result<Self, Mistakes> {
        let (document, errors) = DeTable::parse_recoverable(text);
        let report = Report::new(file, text);
        let written = Written::read(Table::root(&report, document.get_ref()), &report);
        if errors.is_empty() {
            let config = written.validate(&report);
            return report.finish(config);
        }
        report.not_toml(&errors);
        Err(report.mistakes())
    }

    /// Reads the configuration from `path`, or else from [`DEFAULT_FILE`] when there is one, or else
    /// takes the built-in one. Blocks on the file system.
    ///
    /// # Errors
    /// [`LoadError::Read`] or [`LoadError::Mistakes`].
    pub fn load(path: Option<&Path>) -> Result<Self, LoadError> {
        let file = path.unwrap_or(Path::new(DEFAULT_FILE));
        match std::fs::read_to_string(file) {
            Ok(text) => Ok(Self::parse(&text, &file.to_string_lossy())?),
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.is_none() => Ok(Self::built_in()),
            Err(source) => Err(LoadError::Read { path: file.to_owned(), source }),
        }
    }

    /// The default that serves Ubuntu and works as it is.
    ///
    /// # Panics
    /// Never: the text is part of the program, and a test reads it.
    #[must_use]
    pub fn built_in() -> Self {
        match Self::parse(BUILT_IN_TEXT, BUILT_IN) {
            Ok(config) => config,
            Err(mistakes) => unreachable!("the built-in configuration has mistakes:\n{mistakes}"),
        }
    }

    /// Takes over what the command line says.
    ///
    /// # Errors
    /// When the addresses collide now, or the store's folder cannot be made absolute.
    pub fn apply(mut self, overrides: Overrides) -> Result<Self, Mistakes> {
        let report = Report::command_line();
        let addresses_changed = !overrides.listen.is_empty() || overrides.admin.is_some();
        if !overrides.listen.is_empty() {
            self.server.listen = overrides.listen;
        }
        if let Some(admin) = overrides.admin {
            self.server.admin = admin;
        }
        if addresses_changed {
            server::check_addresses(&report, &self.server);
        }
        if let Some(store) = overrides.store {
            match std::path::absolute(&store) {
                Ok(path) => self.store.path = path,
                Err(why) => report.wrong(
                    &Place { key: "--store".to_owned(), at: 0 },
                    format!("{:?} cannot be used: {why}; name a folder", store.display().to_string()),
                ),
            }
        }
        report.finish(self)
    }
}

/// The file as written, before defaults.
struct Written {
    server: server::Written,
    store: store::Written,
    wan: wan::Written,
    upstream: upstream::Written,
    repos: Vec<repo::Written>,
    channels: Vec<channel::WrittenChannel>,
    offices: Vec<channel::WrittenOffice>,
    seeds: Vec<seed::Written>,
    learned: learned::Written,
    history: History,
    log: LogConfig,
    /// Where the first `[[repo]]` would stand, when no such section was written.
    no_repo: Option<Place>,
}

impl Written {
    fn read(root: Table<'_>, report: &Report<'_>) -> Self {
        // An absent section is read as an empty one.
        let empty = DeTable::new();
        let section = |key| root.table(key).unwrap_or_else(|| Table::root(report, &empty));
        let written = Self {
            server: server::Written::read(section("server")),
            store: store::Written::read(section("store")),
            wan: wan::Written::read(section("wan")),
            upstream: upstream::Written::read(section("upstream")),
            repos: root.tables("repo").into_iter().map(repo::Written::read).collect(),
            channels: root.tables("channel").into_iter().map(channel::WrittenChannel::read).collect(),
            offices: root.tables("office").into_iter().map(channel::WrittenOffice::read).collect(),
            seeds: root.tables("seed").into_iter().map(seed::Written::read).collect(),
            learned: learned::Written::read(section("learned")),
            history: history::read(section("history")),
            log: log::read(section("log")),
            no_repo: root.is_absent("repo").then(|| root.place("repo")),
        };
        root.finish_before(&NOT_YET);
        written
    }

    /// Fills in defaults and looks for contradictions. The value is of use only when the report stays
    /// empty.
    fn validate(self, report: &Report<'_>) -> Config {
        if let Some(place) = &self.no_repo {
            report.wrong(place, "is missing; configure at least one repository in a section [[repo]]");
        }
        let channels = channel::channels(self.channels, report);
        let repos = repo::validate(self.repos, report);
        Config {
            server: self.server.validate(report),
            learning: self.learned.validate(),
            store: self.store.validate(),
            wan: self.wan.validate(report),
            upstream: self.upstream.validate(report),
            seeds: seed::validate(self.seeds, &repos, report),
            repos,
            offices: channel::offices(self.offices, &channels, report),
            channels,
            history: self.history,
            log: self.log,
            origin: report.file().to_owned(),
        }
    }
}

/// A path as a configuration file means it: absolute, or relative to the file's folder.
fn beside(file: &str, text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains('\0') {
        return Err("it must be a path, such as \"/usr/share/keyrings/own.gpg\"".to_owned());
    }
    let folder = Path::new(file).parent().unwrap_or(Path::new(""));
    std::path::absolute(folder.join(text)).map_err(|why| why.to_string())
}
