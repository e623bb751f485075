//! `[[repo]]`: as written, with defaults, validated, and compared with each other.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::beside;
use super::mistakes::{Given, Place, Report};
use super::reader::{Item, Table};
use super::values::{size, values};
use crate::digest::Digest;
use crate::repo::apt::checksum::{Checksum, parse_hex};
use crate::repo::apt::release::MAX_SIZE;
use crate::repo::apt::table::Expected;
use crate::repo::{Alias, Config, Kind, Rescue, Trust, Unlisted};
use crate::repo_path::RepoPath;
use crate::safe_url::{BaseUrl, Scheme};
use crate::units::Period;

/// First segments of paths that mean something else than a repository.
const RESERVED: [&str; 7] =
    ["snapshot", "client.sh", "mirrors.txt", "mirrors", "HTTPS", "favicon.ico", "robots.txt"];

/// Kinds that a later version will know.
const NOT_YET: [&str; 7] = ["flatpak", "pypi", "oci", "npm", "cargo", "snap", "fwupd"];

/// One repository as written; a value with a mistake counts as absent.
pub(super) struct Written {
    /// Where keys that every repository needs would stand, and what to write there.
    missing: Vec<(Place, &'static str)>,
    name: Option<Given<Arc<str>>>,
    kind: Option<Given<Kind>>,
    upstreams: Vec<Given<BaseUrl>>,
    aliases: Vec<Given<Alias>>,
    keyring: Option<(Place, Vec<PathBuf>)>,
    trust: Option<Given<Trust>>,
    check_every: Option<Duration>,
    legacy_sha1: Option<Given<bool>>,
    rescue: Vec<Given<Rescue>>,
    unlisted: Option<Given<Unlisted>>,
    lists: Option<(Place, Vec<Given<Arc<str>>>)>,
    files: Option<(Place, Vec<WrittenFile>)>,
}

/// A file whose hash is given, as written.
struct WrittenFile {
    missing: Vec<(Place, &'static str)>,
    path: Option<Given<RepoPath>>,
    sha256: Option<Given<Checksum>>,
    sha512: Option<Given<Checksum>>,
    size: Option<u64>,
}

/// Fills in defaults and compares all repositories. Those with mistakes are left out: the mistakes
/// were noted.
pub(super) fn validate(written: Vec<Written>, report: &Report<'_>) -> Vec<Config> {
    check_names(report, &written);
    check_addresses(report, &written);
    written.into_iter().filter_map(|written| written.validate(report)).collect()
}

/// Keys that every repository needs, and what to say to who forgot them.
const NEEDED: [(&str, &str); 3] = [
    ("name", "is missing; a repository needs a name, the first part of its paths, such as \"ubuntu\""),
    ("kind", "is missing; write \"apt\", \"files\" or \"http\""),
    ("upstreams", "is missing; a repository needs at least one address to fetch from"),
];

impl Written {
    pub fn read(table: Table<'_>) -> Self {
        let file = table.report().file();
        let keyring = |text: &str| beside(file, text);
        let ages = Period(Duration::ZERO)..=Period(Duration::from_hours(30 * 24));
        let missing = NEEDED.iter().filter(|(key, _)| table.is_absent(key));
        let written = Self {
            missing: missing.map(|(key, advice)| (table.place(key), *advice)).collect(),
            name: table.item("name").and_then(|item| item.read(name)),
            kind: table.item("kind").and_then(|item| item.read(kind)),
            upstreams: table.item("upstreams").map(|item| item.list(true, Item::parse)).unwrap_or_default(),
            aliases: table.item("aliases").map(|item| item.list(false, Item::parse)).unwrap_or_default(),
            keyring: table
                .item("keyring")
                .map(|item| (item.place().clone(), values(item.list(true, |item| item.read(keyring))))),
            trust: table.item("trust").and_then(|item| item.read(trust)),
            check_every: table
                .item("check_every")
                .and_then(|item| item.within(&ages, "0 s (ask every time) to 30 days"))
                .map(|given| given.value.0),
            legacy_sha1: table
                .item("legacy_sha1")
                .and_then(|item| item.flag().map(|value| Given { value, place: item.place().clone() })),
            rescue: table.item("rescue").map(|item| item.list(false, Item::parse)).unwrap_or_default(),
            unlisted: table.item("unlisted").and_then(|item| item.read(unlisted)),
            lists: table
                .item("lists")
                .map(|item| (item.place().clone(), item.list(false, |item| item.read(list_name)))),
            files: (!table.is_absent("files")).then(|| {
                let files = table.tables("files").into_iter().map(WrittenFile::read).collect();
                (table.place("files"), files)
            }),
        };
        table.finish();
        written
    }

    /// Fills in defaults and looks for contradictions within the repository.
    fn validate(self, report: &Report<'_>) -> Option<Config> {
        for (place, advice) in &self.missing {
            report.wrong(place, *advice);
        }
        let kind = self.kind.as_ref()?.value;
        let trust = self.trust(kind, report);
        for (index, later) in self.upstreams.iter().enumerate() {
            if self.upstreams[..index].iter().any(|earlier| earlier.value == later.value) {
                report.wrong(&later.place, format!("names {} twice; once is enough", later.value));
            }
        }
        self.check_trusted(trust, report);
        self.check_files(kind, report);
        let given = self.files.into_iter().flat_map(|(_, files)| files).filter_map(WrittenFile::entry);
        let given: HashMap<_, _> = given.collect();
        Some(Config {
            name: self.name?.value,
            kind,
            upstreams: values(self.upstreams),
            aliases: values(self.aliases),
            trust,
            keyrings: self.keyring.map(|(_, keyrings)| keyrings).unwrap_or_default(),
            check_every: self.check_every.unwrap_or(Config::CHECK_EVERY),
            legacy_sha1: self.legacy_sha1.is_some_and(|given| given.value),
            rescue: values(self.rescue),
            unlisted: self.unlisted.map(|given| given.value).unwrap_or_default(),
            lists: match self.lists {
                Some((_, lists)) => values(lists),
                None => Config::LISTS.map(Arc::from).to_vec(),
            },
            given,
        })
    }

    /// Keys that only a repository of files has, and what is wrong with its files.
    fn check_files(&self, kind: Kind, report: &Report<'_>) {
        let places =
            [self.lists.as_ref().map(|(place, _)| place), self.files.as_ref().map(|(place, _)| place)];
        for place in places.into_iter().flatten().filter(|_| kind != Kind::Files) {
            let message = format!("has no use in a repository of kind {}; remove it", kind.as_str());
            report.wrong(place, message);
        }
        let files = self.files.iter().flat_map(|(_, files)| files);
        let mut seen = HashSet::new();
        for file in files {
            for (place, advice) in &file.missing {
                report.wrong(place, *advice);
            }
            if let Some(both) = file.sha512.as_ref().filter(|_| file.sha256.is_some()) {
                report.wrong(&both.place, "is one hash more than is needed; give sha256 or sha512");
            }
            if let Some(path) = file.path.as_ref().filter(|path| !seen.insert(path.value.clone())) {
                report.wrong(&path.place, format!("names {} twice; once is enough", path.value));
            }
        }
    }

    /// Keys that mean nothing where nothing is verified beyond single files.
    fn check_trusted(&self, trust: Trust, report: &Report<'_>) {
        if let Some(given) =
            self.legacy_sha1.as_ref().filter(|given| given.value && trust != Trust::Signature)
        {
            report.wrong(&given.place, "has no use without signatures; remove it, or add a keyring");
        }
        if trust != Trust::None {
            return;
        }
        let why = "has no use where nothing is verified (trust is \"none\"); remove it, or add a keyring";
        if let Some(given) = self.rescue.first() {
            report.wrong(&given.place, why);
        }
        if let Some(given) = &self.unlisted {
            report.wrong(&given.place, why);
        }
    }

    /// What vouches for the contents: as written when that can be kept, else what can.
    fn trust(&self, kind: Kind, report: &Report<'_>) -> Trust {
        let plain = self.upstreams.iter().find(|upstream| upstream.value.origin.scheme == Scheme::Http);
        if kind == Kind::Http {
            if let Some((place, _)) = &self.keyring {
                report.wrong(
                    place,
                    "has no use in a repository of kind http, which has no signatures; remove it",
                );
            }
            if let Some(trust) = self.trust.as_ref().filter(|trust| trust.value != Trust::None) {
                let message = format!(
                    "is {:?}, but nothing can be verified in a repository of kind http; remove it",
                    trust.value.as_str()
                );
                report.wrong(&trust.place, message);
            }
            return Trust::None;
        }
        let Some(trust) = &self.trust else {
            return match (&self.keyring, plain) {
                (Some(_), _) => Trust::Signature,
                (None, None) => Trust::Https,
                (None, Some(_)) => Trust::None,
            };
        };
        match (trust.value, &self.keyring, plain) {
            (Trust::Signature, None, _) => report.wrong(
                &trust.place,
                "is \"signature\", but there is no keyring; add keyring = \"/usr/share/keyrings/….gpg\"",
            ),
            (Trust::Https, _, Some(plain)) => {
                let message = format!(
                    "is \"https\", but the upstream {} is not; use https upstreams only, or a keyring",
                    plain.value
                );
                report.wrong(&trust.place, message);
            }
            _ => {}
        }
        trust.value
    }

    /// All addresses under which clients know the repository.
    fn addresses(&self) -> impl Iterator<Item = Given<Alias>> {
        let upstreams = self
            .upstreams
            .iter()
            .map(|given| Given { value: given.value.clone().into(), place: given.place.clone() });
        upstreams.chain(self.aliases.iter().cloned())
    }
}

/// No two repositories have one name.
fn check_names(report: &Report<'_>, written: &[Written]) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    for given in written.iter().filter_map(|written| written.name.as_ref()) {
        let line = report.line(given.place.at);
        if let Some(first) = seen.get(&*given.value) {
            let message = format!("is the name of the repository in line {first}, too; choose another");
            report.wrong(&given.place, message);
        } else {
            seen.insert(&given.value, line);
        }
    }
}

/// No address belongs to two repositories, and no name is another repository's host: the path
/// `/host/…` would mean both.
fn check_addresses(report: &Report<'_>, written: &[Written]) {
    let mut owners: HashMap<Alias, (usize, usize)> = HashMap::new();
    for (index, repo) in written.iter().enumerate() {
        for address in repo.addresses() {
            let line = report.line(address.place.at);
            let (owner, first) = *owners.entry(address.value.clone()).or_insert((index, line));
            if owner != index {
                let message = format!(
                    "has {}, which belongs to {} in line {first}; an address belongs to one repository",
                    address.value,
                    title(&written[owner]),
                );
                report.wrong(&address.place, message);
            }
        }
    }
    for (index, repo) in written.iter().enumerate() {
        let Some(name) = &repo.name else { continue };
        let Ok(host) = name.value.parse() else { continue };
        let taken = |(alias, owner): &(&Alias, &(usize, usize))| {
            alias.host.matches(&host) && (owner.0 != index || !alias.path.as_str().is_empty())
        };
        if let Some((alias, _)) =
            owners.iter().filter(taken).min_by_key(|(alias, owner)| (owner.1, alias.to_string()))
        {
            let message = format!(
                "is also the host of {alias}, so that paths could mean either; choose a name that is no host's"
            );
            report.wrong(&name.place, message);
        }
    }
}

/// A repository in a sentence.
fn title(written: &Written) -> String {
    written.name.as_ref().map_or_else(|| "a repository".to_owned(), |name| name.value.to_string())
}

fn name(text: &str) -> Result<Arc<str>, String> {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._+-".contains(&b));
    if RESERVED.contains(&text) {
        Err(format!("it means something else in paths; reserved are {}", RESERVED.join(", ")))
    } else if first && rest && text.len() <= 64 {
        Ok(Arc::from(text))
    } else {
        Err("a name is 1 to 64 of a-z, 0-9, `.`, `_`, `+` and `-`, and begins with a letter or digit"
            .to_owned())
    }
}

fn kind(text: &str) -> Result<Kind, &'static str> {
    match text {
        "apt" => Ok(Kind::Apt),
        "files" => Ok(Kind::Files),
        "http" => Ok(Kind::Http),
        _ if NOT_YET.contains(&text) => {
            Err("it is not yet supported by this version; supported are \"apt\", \"files\" and \"http\"")
        }
        _ => Err("it must be \"apt\", \"files\" or \"http\""),
    }
}

fn list_name(text: &str) -> Result<Arc<str>, &'static str> {
    let whole =
        !text.is_empty() && text.len() <= 255 && !text.contains(['/', '\\']) && text != "." && text != "..";
    if whole && !text.chars().any(char::is_control) {
        Ok(text.into())
    } else {
        Err("it must be the name of a file, without folders, such as \"SHA256SUMS\"")
    }
}

fn file_path(text: &str) -> Result<RepoPath, String> {
    let path = RepoPath::from_decoded(text).map_err(|error| error.to_string())?;
    if path.file_name().is_empty() {
        return Err("it must be the path of a file below the upstreams' addresses".to_owned());
    }
    Ok(path)
}

fn sha256(text: &str) -> Result<Checksum, &'static str> {
    let hash = parse_hex(text.trim().as_bytes()).map(|hash| Checksum::Sha256(Digest::from_bytes(hash)));
    hash.ok_or("a SHA-256 is 64 digits of 0-9 and a-f")
}

fn sha512(text: &str) -> Result<Checksum, &'static str> {
    let hash = parse_hex(text.trim().as_bytes()).map(|hash| Checksum::from_sha512(&hash));
    hash.ok_or("a SHA-512 is 128 digits of 0-9 and a-f")
}

impl WrittenFile {
    fn read(table: Table<'_>) -> Self {
        let mut missing = Vec::new();
        if table.is_absent("path") {
            let advice = "is missing; write where the file is, below the upstreams' addresses";
            missing.push((table.place("path"), advice));
        }
        if table.is_absent("sha256") && table.is_absent("sha512") {
            missing
                .push((table.place("sha256"), "is missing; write what `sha256sum` says of the right file"));
        }
        let written = Self {
            missing,
            path: table.item("path").and_then(|item| item.read(file_path)),
            sha256: table.item("sha256").and_then(|item| item.read(sha256)),
            sha512: table.item("sha512").and_then(|item| item.read(sha512)),
            size: size(&table, "size", 1, MAX_SIZE, "1 byte to 1 TiB"),
        };
        table.finish();
        written
    }

    fn entry(self) -> Option<(RepoPath, Expected)> {
        let checksum = self.sha256.or(self.sha512)?.value;
        Some((self.path?.value, Expected { size: self.size.unwrap_or(Expected::ANY_SIZE), checksum }))
    }
}

fn unlisted(text: &str) -> Result<Unlisted, &'static str> {
    match text {
        "pass" => Ok(Unlisted::Pass),
        "keep" => Ok(Unlisted::Keep),
        _ => Err("it must be \"pass\" (not kept) or \"keep\" (kept unverified)"),
    }
}

fn trust(text: &str) -> Result<Trust, &'static str> {
    match text {
        "signature" => Ok(Trust::Signature),
        "https" => Ok(Trust::Https),
        "none" => Ok(Trust::None),
        _ => Err("it must be \"signature\", \"https\" or \"none\""),
    }
}
