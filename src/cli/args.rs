//! What may stand on the command line. The long help texts are the manual: the man page is made from
//! them.

#![expect(
    clippy::doc_markdown,
    rustdoc::bare_urls,
    reason = "these comments are read in a terminal, where marks would be in the way"
)]

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};

use crate::history::By;
use crate::safe_url::BaseUrl;
use crate::server::client_script::ClientMode;
use crate::units::{ByteSize, UnitError};

/// A caching mirror and proxy for Ubuntu and application repositories.
///
/// Lumbung stands near the desktops that use it, keeps the packages they ask for, and lets every byte
/// cross the slow line once. It works without a configuration: `lumbung serve` serves Ubuntu.
///
/// Exit status: 0 when done, 1 when a problem was found or met (standard error says what, where and
/// what to do), 2 when called wrongly.
#[derive(Debug, Parser)]
#[command(name = "lumbung", version, max_term_width = 100, arg_required_else_help = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Serve(Serve),
    Check(Check),
    Status(Status),
    Report(Report),
    Seed(Seed),
    Rehearse(Rehearse),
    Suite(Suite),
    Verify(Verify),
    Import(Import),
    Export(Export),
    Reload(Reload),
    Client(Client),
    Why(Why),
    /// Print completions for a shell.
    #[command(hide = true)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, in roff.
    #[command(hide = true)]
    Man,
}

/// Which configuration.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ConfigFile {
    /// The configuration file [default: /etc/lumbung/lumbung.toml, or else the built-in one].
    #[arg(long, value_name = "FILE", global = true)]
    pub(super) config: Option<PathBuf>,
}

/// Serve desktops until told to stop.
///
/// Answers package tools on one address and administrators on another, until SIGTERM or SIGINT; then
/// running transfers have a while to end. What is given here goes before the configuration file.
///
/// Examples:
///
///   lumbung serve
///       with /etc/lumbung/lumbung.toml, or as built in: port 3142, kept in /var/lib/lumbung
///
///   lumbung serve --store ./data --listen 127.0.0.1:3142
///       to try it as an ordinary user
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Serve {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Where desktops ask; port 0 lets the system choose. May be given more than once.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) listen: Vec<SocketAddr>,
    /// Where administrators ask.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) admin: Option<SocketAddr>,
    /// The folder of the store; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub(super) store: Option<PathBuf>,
}

/// Check the configuration, the store, keyrings and upstreams.
///
/// Prints a table with a verdict each: ok, note (worth knowing), or BAD. Nothing is changed, and a
/// running server is not disturbed. Each upstream is really asked, with the configured time-outs.
///
/// Exit status: 1 when anything is BAD.
///
/// Examples:
///
///   lumbung check
///   lumbung check --config ./new.toml --offline
///       before a new file is put in place, without asking upstreams
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Check {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Ask no upstream.
    #[arg(long)]
    pub(super) offline: bool,
}

/// Show what the running server does.
///
/// Asks the server at its administrators' address (from the configuration) and prints what needs
/// attention, the traffic since the start, the store's use, repositories and upstreams, and the
/// transfers that run.
///
/// Examples:
///
///   lumbung status
///   lumbung status --watch
///   lumbung status --json | jq .totals.wan_saved
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Status {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// The administrators' address, when it is not the configured one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) admin: Option<SocketAddr>,
    /// Print the JSON of /api/v1/status.
    #[arg(long)]
    pub(super) json: bool,
    /// Print anew every two seconds, until interrupted.
    #[arg(long)]
    pub(super) watch: bool,
}

/// Say what was asked for, by whom, and what it saved.
///
/// Sums over a time, by repository, office, desktop, package or day. They survive restarts, and are read
/// from the running server or, where none runs, from its store. An office without a name is what belongs to
/// none; addresses of desktops go after the time that `clients` under history says.
///
/// Examples:
///
///   lumbung report
///   lumbung report --since 30d --by office
///   lumbung report --since 30d --by day --format csv > november.csv
///       for a spreadsheet
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Report {
    /// How far back: 12h, 7d, 4w, or "30 days". Rounded up to whole hours; desktops, packages and days are
    /// summed by whole days.
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = since)]
    pub(super) since: u64,
    /// What each row is about.
    #[arg(long, value_name = "WHAT", default_value_t, value_parser = by())]
    pub(super) by: By,
    /// How it is printed.
    #[arg(long, value_enum, default_value_t)]
    pub(super) format: ReportFormat,
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// The administrators' address, when it is not the configured one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) admin: Option<SocketAddr>,
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ReportFormat {
    /// For people.
    #[default]
    Table,
    /// A list of objects.
    Json,
    /// For a spreadsheet.
    Csv,
}

fn since(text: &str) -> Result<u64, String> {
    crate::history::since(text).map_err(|error| format!("{error}, or 12h, 7d, 4w"))
}

fn by() -> impl TypedValueParser<Value = By> {
    PossibleValuesParser::new(By::ALL.map(By::as_str)).try_map(|word| word.parse::<By>())
}

/// What is asked of the running server or its store, and how the answer is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Asking {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// The administrators' address, when it is not the configured one.
    #[arg(long, value_name = "ADDR:PORT", global = true)]
    pub(super) admin: Option<SocketAddr>,
    /// Print JSON.
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// See what is to be here before anybody asks.
///
/// A seed names packages; what belongs to it follows from the signed indices of its suites, as apt would
/// install it. A plan says how many packages and bytes that is, what of it is here already, how long the
/// rest takes on the line, and what cannot be resolved. A suite or an index that is not here yet is
/// fetched for it; packages are not. A run fetches what is missing, after everything that desktops wait
/// for, goes on by itself after a restart, and keeps what it has fetched from being removed. It keeps to the
/// seed's hours: outside of them it waits, unless --now is given. A seed with hours needs no order: it runs
/// each day, and after each new generation of its suites.
///
/// Asks the running server at its administrators' address, with the token in its store. Where no server
/// runs, the store is opened instead.
///
/// Exit status: 1 when something cannot be resolved or fetched, or there is no such seed.
///
/// Examples:
///
///   lumbung seed list
///   lumbung seed plan noble-desktop
///   lumbung seed run noble-desktop --wait
///       fetches what is missing, shows how far it is, and names what could not be had
///   lumbung seed status
///   lumbung seed verify noble-desktop
///       whether a rollout would need no line at all, and what is missing otherwise
///   lumbung seed plan noble-desktop --json | jq .bytes_missing
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Seed {
    #[command(subcommand)]
    pub(super) command: SeedCommand,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// What to do about seeds.
#[derive(Debug, Subcommand)]
pub(super) enum SeedCommand {
    /// List the seeds of the configuration.
    List,
    /// Say what belongs to a seed, and what of it is missing here.
    Plan {
        /// The seed's name.
        name: String,
    },
    /// Fetch what is missing of a seed, within its hours.
    Run {
        /// The seed's name.
        name: String,
        /// Show how far it is until it has ended; exit status 1 if something is missing then.
        #[arg(long)]
        wait: bool,
        /// Do not wait for the seed's hours.
        #[arg(long)]
        now: bool,
    },
    /// Say how the seeds, or one of them, stand.
    Status {
        /// The seed's name; all when absent.
        name: Option<String>,
    },
    /// Stop a run where it is. What has come is kept.
    Stop {
        /// The seed's name.
        name: String,
    },
    /// Prove that a desktop would find everything of a seed here; exit status 0 if it would.
    ///
    /// Makes the plan again, asks for every file as a desktop does, and hashes it. Nothing is fetched.
    Verify {
        /// The seed's name.
        name: String,
        /// For desktops that have what the seed has of this release, and are to be upgraded.
        #[arg(long, value_name = "SUITE", requires = "to")]
        upgrade_from: Option<String>,
        /// To this release, whose suites have to be here.
        #[arg(long, value_name = "SUITE", requires = "upgrade_from")]
        to: Option<String>,
    },
}

/// Rehearse an upgrade: would the desktops seen here find every file?
///
/// Goes by what desktops were seen to ask for of one release, and looks for all that apt would take of another: what
/// is missing here, which packages have no successor, what cannot be resolved. A release is all its suites: noble
/// means noble, noble-updates, noble-security and so on, as they are used here; of the new one, as seeds name them
/// or as they are published. Suites and indices that are not here yet are fetched for it; packages are not.
///
/// What a desktop has had since before it came here is not known. Updates show it in time.
///
/// Exit status: 0 when every file is here and nothing stands in the way, otherwise 1.
///
/// Examples:
///
///   lumbung rehearse --from noble --to resolute
///   lumbung rehearse --from noble --to resolute --json | jq '.repos[].missing[].path'
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Rehearse {
    /// The release that desktops use.
    #[arg(long, value_name = "SUITE")]
    pub(super) from: String,
    /// The release that they are to have.
    #[arg(long, value_name = "SUITE")]
    pub(super) to: String,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// See what is served of each suite, and move channels.
///
/// A suite is served one generation at a time: a signed release file and the indices that it lists. A
/// channel shows, of each suite, the generation that it was last promoted to; `live` shows what upstream
/// has. Moving a channel moves no bytes and takes effect at once, for all desktops that see it.
///
/// Asks the running server at its administrators' address, with the token in its store. Where no server
/// runs, the store is opened instead.
///
/// Exit status: 1 when a suite could not be refreshed, or what was asked for is not there.
///
/// Examples:
///
///   lumbung suite list
///   lumbung suite show ubuntu noble-updates
///   lumbung suite promote stable
///       every suite of the channel `stable` becomes what `live` is now
///   lumbung suite promote stable --to 41
///       one suite of it, the one that generation 41 belongs to, becomes that generation
///   lumbung suite rollback stable
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Suite {
    #[command(subcommand)]
    pub(super) command: SuiteCommand,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// What to do about suites.
#[derive(Debug, Subcommand)]
pub(super) enum SuiteCommand {
    /// List the suites that desktops have asked for, and how current each is.
    List,
    /// Show a suite with every generation that is kept.
    Show {
        /// The repository's name.
        repo: String,
        /// The suite: noble-updates, or the folder of its release file.
        suite: String,
    },
    /// Ask upstream now, whatever the age: about one suite, those of a repository, or all.
    Refresh {
        /// The repository's name.
        repo: Option<String>,
        /// The suite; one that nobody has asked for yet is fetched.
        suite: Option<String>,
    },
    /// List the channels and what each shows.
    Channels,
    /// Point a channel at what `live` is now.
    Promote {
        /// The channel.
        channel: String,
        /// Only the suite of this generation, and at this generation.
        #[arg(long, value_name = "GENERATION")]
        to: Option<i64>,
    },
    /// Point a channel back at what it showed before its last change; once more undoes that.
    Rollback {
        /// The channel.
        channel: String,
    },
}

/// Have the running server read its configuration again.
///
/// The same as SIGHUP. What has changed holds at once, for running transfers as well where it is a limit of the
/// line, and no transfer or answer is cut. When the file has a mistake, or an address cannot be listened on,
/// nothing is changed. What can only change with a restart is named.
///
/// Exit status: 1 when nothing was changed because something is wrong.
///
/// Examples:
///
///   lumbung check --offline && lumbung reload
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Reload {
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Hash every stored object again.
///
/// Reads the whole store at a limited rate and compares each object with the hash that is its name. One
/// that is damaged is set aside, so that no desktop gets it, and listed; it is fetched again when it is
/// asked for, or at once with --repair. It needs no verifying for desktops to be safe: the first serving
/// of an object after a start is hashed anyway.
///
/// The running server does the work, and goes on with it when this command is interrupted. Where no server
/// runs, the store is opened instead; then nothing is fetched.
///
/// Exit status: 1 when something was damaged, repaired or not, or when not everything could be looked at.
///
/// Examples:
///
///   lumbung verify
///   lumbung verify --repair
///   lumbung verify --rate "200 MB" --json
///       faster, at night; what was found as JSON
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Verify {
    /// Fetch what is damaged again.
    #[arg(long)]
    pub(super) repair: bool,
    /// Bytes read per second, at most [default: 50 MB].
    #[arg(long, value_name = "SIZE", value_parser = rate)]
    pub(super) rate: Option<NonZeroU64>,
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// The administrators' address, when it is not the configured one.
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) admin: Option<SocketAddr>,
    /// Print JSON at the end.
    #[arg(long)]
    pub(super) json: bool,
}

fn rate(text: &str) -> Result<NonZeroU64, String> {
    let size: ByteSize = text.parse().map_err(|error: UnitError| error.to_string())?;
    NonZeroU64::new(size.0).ok_or_else(|| "a rate is more than nothing".to_owned())
}

/// Take in what came on a disk.
///
/// Takes bundles (see `lumbung export`), folders that mirror an archive, single packages, ISO images (what is in
/// their pool) and the cache of apt-cacher-ng. Only what something signed confirms is kept: release files and
/// checksum lists are verified with the keyrings of this server's own configuration, and everything else by the
/// hashes that they, or the suites that are here, give. What is refused is named, with the reason. A suite
/// becomes current when what it lists has come in, if it is not older than the one that is here.
///
/// It may be interrupted, and the disk pulled out, at any moment: what has come in stays, and the same command
/// goes on. The running server does the work, and reads the paths as its own user. Where no server runs, the
/// store is opened instead.
///
/// Exit status: 1 when anything was refused, or a suite could not become current.
///
/// Examples:
///
///   lumbung import /media/disk --dry-run
///       what is in it, from when, signed by whom, and what it would change
///   lumbung import /media/disk
///   lumbung import ubuntu-24.04-desktop-amd64.iso nano_7.2-2build1_amd64.deb
///   lumbung import /var/cache/apt-cacher-ng
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Import {
    /// Files and folders.
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Change nothing: say what would be. Sizes are compared; bytes are hashed at the import itself.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Write a seed to a disk, for a server without a line.
///
/// Writes a folder that is a mirror as any apt reads it, with the publisher's own release files, the packages of
/// the seed, a list of checksums for `sha256sum -c`, and a manifest that says what is in it. What of the seed is
/// not here is fetched first. Every file is read back from the disk and hashed before it counts.
///
/// It may be interrupted, and the disk pulled out, at any moment: the same command goes on, after it has checked
/// what is on the disk. With --since only what the other side lacks is written: it has what a generation (its
/// number, see `lumbung suite show`) lists, or an earlier bundle.
///
/// The running server does the work, and writes as its own user. Where no server runs, the store is opened
/// instead.
///
/// Examples:
///
///   lumbung export noble-desktop --to /media/disk
///   lumbung export noble-desktop --to /media/disk/june --since /media/disk/may
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Export {
    /// The seed's name.
    pub(super) seed: String,
    /// The folder to write to; made when it is not there.
    #[arg(long, value_name = "PATH")]
    pub(super) to: PathBuf,
    /// What the other side has: a generation's number, or the folder of an earlier bundle.
    #[arg(long, value_name = "GENERATION|BUNDLE")]
    pub(super) since: Option<String>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Explain any answer.
///
/// Says how a URL is understood, which repository, channel, suite and generation answer for it, who signed
/// that, what the bytes must hash to and which index says so, whether they are here and where they came
/// from, and what would happen to a request now, and why. Nothing is fetched.
///
/// Asks the running server, or opens the store where none runs.
///
/// Examples:
///
///   lumbung why http://archive.ubuntu.com/ubuntu/dists/noble/InRelease
///   lumbung why /ubuntu@stable/pool/main/n/nano/nano_7.2-2build1_amd64.deb
///   lumbung why --client 10.20.1.7 /ubuntu/dists/noble/InRelease
///       as a desktop of that address, and so of its office, sees it
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Why {
    /// What a desktop asks for: a URL, or a path of this server.
    pub(super) url: String,
    /// The desktop's address, which tells its office and so its channel.
    #[arg(long, value_name = "ADDR")]
    pub(super) client: Option<IpAddr>,
    #[command(flatten)]
    pub(super) asking: Asking,
}

/// Print the script that points a desktop here.
///
/// The script rewrites apt's sources to this server (mirror), or sets it as apt's proxy (proxy). It
/// keeps what it changes, and takes it back with --undo. The server gives the same script at
/// /client.sh.
///
/// Examples:
///
///   lumbung client --server http://mirror.example.go.id:3142 > client.sh
///   ssh desktop sudo sh -s -- --dry-run < client.sh
///   curl -fsS http://mirror.example.go.id:3142/client.sh | sudo sh
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Client {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// What the script does unless told otherwise.
    #[arg(long, value_enum, default_value_t)]
    pub(super) mode: ClientMode,
    /// How desktops reach the server [default: `public_url` of the configuration].
    #[arg(long, value_name = "URL")]
    pub(super) server: Option<BaseUrl>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_long_help_with_examples() {
        for command in Args::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let help = command.get_long_about().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n"), "{}: {help}", command.get_name());
        }
    }

    #[test]
    fn wrong_usage_ends_with_2() {
        for words in [&["lumbung"][..], &["lumbung", "serve", "--listen", "here"], &["lumbung", "sreve"]] {
            assert_eq!(Args::try_parse_from(words).unwrap_err().exit_code(), 2, "{words:?}");
        }
    }
}
