//! What a repository is, as plain values: its name, kind, addresses and root of trust.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::apt::table::Expected;
use crate::repo_path::RepoPath;
use crate::safe_url::{BaseUrl, Host, Origin, Scheme, UrlError};

/// One configured repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The first segment of its paths: `[a-z0-9][a-z0-9._+-]*`, unique.
    pub name: Arc<str>,
    /// What its paths mean.
    pub kind: Kind,
    /// Where it is fetched from, preferred first; never empty.
    pub upstreams: Vec<BaseUrl>,
    /// Further addresses under which clients know it. Default none.
    pub aliases: Vec<Alias>,
    /// What vouches for its contents. Default: `Signature` with keyrings, else `Https` when every
    /// upstream is https, else `None`.
    pub trust: Trust,
    /// Files with the public keys that sign it, absolute; not necessarily there. Default none.
    pub keyrings: Vec<PathBuf>,
    /// A suite younger than this is served without asking upstream. Default 10 min: mirrors change a
    /// few times a day, and 500 desktops that wake together ask once.
    pub check_every: Duration,
    /// Whether signatures over SHA-1 of keys from before 2021 are accepted, for vendors who never made a
    /// new key. Default no.
    pub legacy_sha1: bool,
    /// Where packages that every upstream has deleted are sought, by their hash. Default nowhere.
    pub rescue: Vec<Rescue>,
    /// What becomes of files that no index lists, where indices vouch for files.
    pub unlisted: Unlisted,
    /// Kind `files`: the names of checksum lists. Default [`Config::LISTS`].
    pub lists: Vec<Arc<str>>,
    /// Kind `files`: files whose hashes were written down, by path. Nothing else needs to vouch for them.
    pub given: HashMap<RepoPath, Expected>,
}

/// What becomes of a file that nothing vouches for, in a repository where something should.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Unlisted {
    /// It is passed on, and not kept. The default.
    #[default]
    Pass,
    /// It is kept by the rules of its class, marked as unverified.
    Keep,
}

impl Unlisted {
    /// The word in configuration and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Keep => "keep",
        }
    }
}

/// The address of a snapshot service: a base, in whose path `{time}` may stand for the `Date` of the
/// generation that lists what is sought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescue {
    text: Box<str>,
    origin: Origin,
}

/// Why the address of a rescue was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RescueError {
    /// It is not an address.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Braces that are not `{time}`, or a `{time}` outside the path.
    #[error("only {{time}} may stand in braces, and only in the path")]
    Braces,
}

impl Rescue {
    const TIME: &str = "{time}";

    /// Whom it asks.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The base for a generation of this `Date` (seconds since 1970). None without one, where it is needed.
    #[must_use]
    pub fn base(&self, date: Option<i64>) -> Option<BaseUrl> {
        if !self.text.contains(Self::TIME) {
            return self.text.parse().ok();
        }
        let time = jiff::Timestamp::from_second(date?).ok()?.strftime("%Y%m%dT%H%M%SZ").to_string();
        self.text.replace(Self::TIME, &time).parse().ok()
    }
}

impl FromStr for Rescue {
    type Err = RescueError;

    fn from_str(text: &str) -> Result<Self, RescueError> {
        let filled = text.replace(Self::TIME, "20000101T000000Z");
        if filled.contains(['{', '}']) {
            return Err(RescueError::Braces);
        }
        let base: BaseUrl = filled.parse()?;
        let host_ends = text.find("://").and_then(|at| text[at + 3..].find('/').map(|end| at + 3 + end));
        if text.find(Self::TIME).is_some_and(|at| host_ends.is_none_or(|end| at < end)) {
            return Err(RescueError::Braces);
        }
        Ok(Self { text: text.into(), origin: base.origin })
    }
}

impl fmt::Display for Rescue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Config {
    /// Default of [`Config::check_every`].
    pub const CHECK_EVERY: Duration = Duration::from_mins(10);

    /// Default of [`Config::lists`].
    pub const LISTS: [&str; 2] = ["SHA256SUMS", "SHA512SUMS"];

    /// A repository of this kind, for unit tests.
    #[cfg(test)]
    pub(crate) fn example(kind: Kind) -> Self {
        Self {
            name: "example".into(),
            kind,
            upstreams: vec!["http://archive.example/ubuntu".parse().unwrap()],
            aliases: Vec::new(),
            trust: Trust::None,
            keyrings: Vec::new(),
            check_every: Self::CHECK_EVERY,
            legacy_sha1: false,
            rescue: Vec::new(),
            unlisted: Unlisted::Pass,
            lists: Self::LISTS.map(Arc::from).to_vec(),
            given: HashMap::new(),
        }
    }
}

/// What the paths of a repository mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// One or many apt archives.
    Apt,
    /// Release images and single files, with checksum lists or hashes that were written down.
    Files,
    /// Any origin, cached by its own headers (RFC 9111).
    Http,
}

impl Kind {
    /// The word in configuration and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Apt => "apt",
            Self::Files => "files",
            Self::Http => "http",
        }
    }
}

/// What vouches for a repository's contents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// A signature by a key of its keyrings.
    Signature,
    /// The certificate of its https upstreams.
    Https,
    /// Nothing; shown as unverified everywhere.
    None,
}

impl Trust {
    /// The word in configuration and status.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Https => "https",
            Self::None => "none",
        }
    }
}

/// An address under which clients know a repository: `http://*.archive.ubuntu.com/ubuntu`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Alias {
    /// How the client speaks, or means to speak, to it.
    pub scheme: Scheme,
    /// Which hosts.
    pub host: HostPattern,
    /// On which TCP port.
    pub port: u16,
    /// The folder below which the repository lies; the root for whole hosts.
    pub path: RepoPath,
}

/// One host, or all hosts below a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(Host),
    /// Written `*.name`: every host whose name ends in `.name`, but not `name` itself.
    Below(Host),
}

/// Why an alias was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AliasError {
    /// It is not an address, with or without its `*.`.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// A `*` that is not `*.` before a name of two or more parts.
    #[error(
        "`*` may only stand as `*.` before a host name of at least two parts, such as `*.archive.ubuntu.com`"
    )]
    Pattern,
}

impl Alias {
    /// Whether a request to `origin` may be for this alias; the path is the caller's to compare.
    #[must_use]
    pub fn matches(&self, origin: &Origin) -> bool {
        self.scheme == origin.scheme && self.port == origin.port && self.host.matches(&origin.host)
    }
}

impl Alias {
    /// The address as one to fetch from, where it is that of a single host.
    #[must_use]
    pub fn base(&self) -> Option<BaseUrl> {
        let HostPattern::Exact(host) = &self.host else { return None };
        let origin = Origin { scheme: self.scheme, host: host.clone(), port: self.port };
        Some(BaseUrl { origin, path: self.path.clone() })
    }
}

impl FromStr for Alias {
    type Err = AliasError;

    fn from_str(text: &str) -> Result<Self, AliasError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
        let name_from = authority.rfind(']').unwrap_or(0);
        let host_ends = authority[name_from..].find(':').map_or(authority.len(), |at| name_from + at);
        let (host, tail) = rest.split_at(host_ends);
        let pattern: HostPattern = host.parse()?;
        // The star is off: what remains is judged as any other address is.
        let base: BaseUrl = format!("{scheme}://{}{tail}", pattern.name()).parse()?;
        Ok(Self { scheme: base.origin.scheme, host: pattern, port: base.origin.port, path: base.path })
    }
}

impl From<BaseUrl> for Alias {
    /// An upstream's own address is one under which clients know the repository, too.
    fn from(base: BaseUrl) -> Self {
        let Origin { scheme, host, port } = base.origin;
        Self { scheme, host: HostPattern::Exact(host), port, path: base.path }
    }
}

impl fmt::Display for Alias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if matches!(self.host, HostPattern::Below(_)) { "*." } else { "" };
        write!(f, "{}://{star}{}", self.scheme.as_str(), self.host.name())?;
        if self.port != self.scheme.default_port() {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{}", self.path.encoded())
    }
}

impl HostPattern {
    /// Whether `host` is meant.
    #[must_use]
    pub fn matches(&self, host: &Host) -> bool {
        match self {
            Self::Exact(exact) => exact == host,
            Self::Below(name) => host
                .as_str()
                .strip_suffix(name.as_str())
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|labels| !labels.is_empty()),
        }
    }

    /// The host without its star.
    fn name(&self) -> &Host {
        match self {
            Self::Exact(host) | Self::Below(host) => host,
        }
    }
}

impl FromStr for HostPattern {
    type Err = AliasError;

    fn from_str(text: &str) -> Result<Self, AliasError> {
        let Some(name) = text.strip_prefix("*.") else {
            if text.contains('*') {
                return Err(AliasError::Pattern);
            }
            return Ok(Self::Exact(text.parse()?));
        };
        if name.contains('*') {
            return Err(AliasError::Pattern);
        }
        let name: Host = name.parse()?;
        // `*.com` would hand half the Internet to one repository, and addresses have no names below.
        if name.ip().is_some() || !name.as_str().contains('.') {
            return Err(AliasError::Pattern);
        }
        Ok(Self::Below(name))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://security.ubuntu.com/ubuntu/", "http://security.ubuntu.com/ubuntu")]
    #[case("http://*.Archive.ubuntu.com/ubuntu", "http://*.archive.ubuntu.com/ubuntu")]
    #[case("https://*.example.org:8443", "https://*.example.org:8443/")]
    #[case("http://[::1]:80/a", "http://[::1]/a")]
    #[case("http://[::1]/a", "http://[::1]/a")]
    fn aliases_are_normalised(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(text.parse::<Alias>().unwrap().to_string(), shown);
    }

    #[rstest]
    #[case("archive.ubuntu.com", AliasError::Url(UrlError::Scheme))]
    #[case("ftp://a", AliasError::Url(UrlError::Scheme))]
    #[case("http://", AliasError::Url(UrlError::Host))]
    #[case("http://a:x/", AliasError::Url(UrlError::Port))]
    #[case("http://a/?q", AliasError::Url(UrlError::Query))]
    #[case("http://*/", AliasError::Pattern)]
    #[case("http://*.com/", AliasError::Pattern)]
    #[case("http://*.10.0.0.1/", AliasError::Pattern)]
    #[case("http://a.*.example.org/", AliasError::Pattern)]
    #[case("http://*.*.example.org/", AliasError::Pattern)]
    fn other_aliases_are_refused(#[case] text: &str, #[case] why: AliasError) {
        assert_eq!(text.parse::<Alias>(), Err(why));
    }

    #[rstest]
    #[case("http://id.archive.ubuntu.com", true)]
    #[case("http://a.b.archive.ubuntu.com", true)]
    #[case("http://archive.ubuntu.com", false)]
    #[case("http://evilarchive.ubuntu.com", false)]
    #[case("http://archive.ubuntu.com.evil.org", false)]
    #[case("https://id.archive.ubuntu.com", false)]
    #[case("http://id.archive.ubuntu.com:8080", false)]
    fn a_star_stands_for_names_below(#[case] origin: &str, #[case] meant: bool) {
        let alias: Alias = "http://*.archive.ubuntu.com/ubuntu".parse().unwrap();
        assert_eq!(alias.matches(&origin.parse::<BaseUrl>().unwrap().origin), meant);
    }

    #[test]
    fn a_rescue_is_filled_with_the_time() {
        let rescue: Rescue = "http://snapshot.example/archive/debian/{time}".parse().unwrap();
        assert_eq!(rescue.origin().to_string(), "http://snapshot.example");
        let base = rescue.base(Some(1_795_132_800)).unwrap();
        assert_eq!(base.to_string(), "http://snapshot.example/archive/debian/20261120T000000Z");
        assert_eq!(rescue.base(None), None);
        let plain: Rescue = "http://old.example/ubuntu".parse().unwrap();
        assert_eq!(plain.base(None).unwrap().to_string(), "http://old.example/ubuntu");
    }

    #[rstest]
    #[case("snapshot.example", RescueError::Url(UrlError::Scheme))]
    #[case("http://{time}.example/x", RescueError::Braces)]
    #[case("http://a.example/{date}", RescueError::Braces)]
    #[case("http://a.example/{time", RescueError::Braces)]
    fn other_rescues_are_refused(#[case] text: &str, #[case] why: RescueError) {
        assert_eq!(text.parse::<Rescue>(), Err(why));
    }

    #[test]
    fn an_exact_host_stands_for_itself() {
        let alias: Alias = "http://security.ubuntu.com/ubuntu".parse().unwrap();
        assert!(alias.matches(&"http://security.ubuntu.com".parse::<BaseUrl>().unwrap().origin));
        assert!(!alias.matches(&"http://x.security.ubuntu.com".parse::<BaseUrl>().unwrap().origin));
    }
}
