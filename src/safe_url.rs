//! Addresses of upstreams, as types that carry no credentials and compare exactly.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::repo_path::RepoPath;

/// How an upstream is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL of this scheme means when it names none.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host name (lower case, no trailing dot) or IP address without brackets.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host(Box<str>);

impl Host {
    /// The host, without brackets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, when the host is an IP literal.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl FromStr for Host {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(bare) = bare {
            let address: std::net::Ipv6Addr = bare.parse().map_err(|_| UrlError::Host)?;
            return Ok(Self(address.to_string().into()));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if !is_name(text) {
            return Err(UrlError::Host);
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

/// Whether this is a host name, or an IPv4 address in its usual form.
fn is_name(text: &str) -> bool {
    let label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-' || *b == b'_')
            && label.first() != Some(&b'-')
            && label.last() != Some(&b'-')
    };
    let mut labels = text.as_bytes().split(|b| *b == b'.');
    if text.is_empty() || text.len() > 253 || !labels.clone().all(label) {
        return false;
    }
    // `127.1`, `0x7f.1` and `2130706433` are addresses to some resolvers; only dotted quads are to us.
    let last = labels.next_back().unwrap_or_default();
    let numeric = matches!(last, [b'0', b'x' | b'X', ..]) || last.iter().all(u8::is_ascii_digit);
    !numeric || text.parse::<std::net::Ipv4Addr>().is_ok()
}

impl From<IpAddr> for Host {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string().into())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains(':') { write!(f, "[{}]", self.0) } else { f.write_str(&self.0) }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Scheme, host and port: whom a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// How to speak.
    pub scheme: Scheme,
    /// To whom.
    pub host: Host,
    /// On which TCP port.
    pub port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.default_port() { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// An upstream's base: an origin and the folder below which it serves a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BaseUrl {
    /// Whom to ask.
    pub origin: Origin,
    /// The folder; the root for a whole host.
    pub path: RepoPath,
}

/// Why an address was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not `http://` or `https://`.
    #[error("it must begin with http:// or https://")]
    Scheme,
    /// No host, or one with characters that host names do not have.
    #[error("its host is not a host name or IP address")]
    Host,
    /// A port that is not a number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// `user:password@`.
    #[error("it carries a user name or password, which Lumbung does not send")]
    Credentials,
    /// `?…` or `#…`.
    #[error("it has a query or a fragment")]
    Query,
    /// A path that [`RepoPath`] refuses.
    #[error("its path is not plain")]
    Path,
}

impl FromStr for BaseUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = if let Some(rest) = text.strip_prefix("http://") {
            (Scheme::Http, rest)
        } else if let Some(rest) = text.strip_prefix("https://") {
            (Scheme::Https, rest)
        } else {
            return Err(UrlError::Scheme);
        };
        if rest.contains(['?', '#']) {
            return Err(UrlError::Query);
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = parse_authority(authority, scheme.default_port())?;
        let path = RepoPath::parse(path).map_err(|_| UrlError::Path)?;
        // Only now: `/a/.` is a folder as `/a/` is, and shows it no earlier.
        let path = RepoPath::from_decoded(path.as_str().trim_end_matches('/')).map_err(|_| UrlError::Path)?;
        Ok(Self { origin: Origin { scheme, host, port }, path })
    }
}

/// Splits `host`, `host:port` or `[v6]:port`.
///
/// # Errors
/// [`UrlError::Credentials`], [`UrlError::Host`] or [`UrlError::Port`].
pub fn parse_authority(authority: &str, default_port: u16) -> Result<(Host, u16), UrlError> {
    let (host, port) = split_authority(authority, default_port)?;
    Ok((host.parse()?, port))
}

/// As [`parse_authority`], for whom the host is of no interest.
///
/// # Errors
/// The same.
pub fn check_authority(authority: &str) -> Result<(), UrlError> {
    let (host, _) = split_authority(authority, 0)?;
    if host.starts_with('[') || !is_name(host.strip_suffix('.').unwrap_or(host)) {
        // Rare, or wrong.
        host.parse::<Host>()?;
    }
    Ok(())
}

fn split_authority(authority: &str, default_port: u16) -> Result<(&str, u16), UrlError> {
    let bytes = authority.as_bytes();
    if memchr::memchr(b'@', bytes).is_some() {
        return Err(UrlError::Credentials);
    }
    let port_at = match memchr::memrchr(b']', bytes) {
        Some(bracket) => memchr::memchr(b':', &bytes[bracket..]).map(|at| bracket + at),
        None => memchr::memchr(b':', bytes),
    };
    let (host, port) = match port_at {
        None => (authority, default_port),
        Some(at) => {
            let digits = &authority[at + 1..];
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            let port = digits.parse().ok().filter(|port| plain && *port != 0).ok_or(UrlError::Port)?;
            (&authority[..at], port)
        }
    };
    Ok((host, port))
}

impl BaseUrl {
    /// The URL of `path` (and `query`, without its question mark) below this base.
    #[must_use]
    pub fn join(&self, path: &RepoPath, query: Option<&str>) -> String {
        let mut url = self.origin.to_string();
        for part in [&self.path, path] {
            if !part.as_str().is_empty() {
                url.push('/');
                url.push_str(&part.encoded());
            }
        }
        if self.path.as_str().is_empty() && path.as_str().is_empty() {
            url.push('/');
        }
        if let Some(query) = query {
            url.push('?');
            url.push_str(query);
        }
        url
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.origin, self.path.encoded())
    }
}

/// Whether an address is reachable by anyone on the Internet: not loopback, private, link-local,
/// shared, documentation, multicast or otherwise special (RFC 6890 and its registries).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 192 && b == 88 && c == 99)
                || (a == 198 && (b == 18 || b == 19)))
        }
        IpAddr::V6(v6) => {
            if let Some(v4) = v6.to_ipv4_mapped() {
                return is_public(IpAddr::V4(v4));
            }
            let segments = v6.segments();
            // Only 2000::/3 is global unicast; within it, 6to4 and Teredo embed IPv4 addresses and
            // 2001:db8::/32 and 3fff::/20 are documentation.
            segments[0] & 0xe000 == 0x2000
                && segments[0] != 0x2002
                && !(segments[0] == 0x2001 && (segments[1] < 0x200 || segments[1] == 0xdb8))
                && !(segments[0] == 0x3fff && segments[1] < 0x1000)
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://Archive.Ubuntu.com/ubuntu/", "http://archive.ubuntu.com/ubuntu")]
    #[case("https://ppa.launchpadcontent.net", "https://ppa.launchpadcontent.net/")]
    #[case("http://[::1]:8080/a//b", "http://[::1]:8080/a/b")]
    #[case("http://10.0.0.1:80", "http://10.0.0.1/")]
    #[case("http://a/ubuntu/.", "http://a/ubuntu")]
    #[case("http://a/ubuntu/%2e//", "http://a/ubuntu")]
    fn bases_are_normalised(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(text.parse::<BaseUrl>().unwrap().to_string(), shown);
    }

    #[rstest]
    #[case("ftp://a", UrlError::Scheme)]
    #[case("http://", UrlError::Host)]
    #[case("http://a b/", UrlError::Host)]
    #[case("http://127.1/", UrlError::Host)]
    #[case("http://2130706433/", UrlError::Host)]
    #[case("http://0x7f.0x1/", UrlError::Host)]
    #[case("http://0X7F000001/", UrlError::Host)]
    #[case("http://[::g]/", UrlError::Host)]
    #[case("http://-a/", UrlError::Host)]
    #[case("http://a:0/", UrlError::Port)]
    #[case("http://a:+80/", UrlError::Port)]
    #[case("http://a:65536/", UrlError::Port)]
    #[case("http://u:p@a/", UrlError::Credentials)]
    #[case("http://a/?x", UrlError::Query)]
    #[case("http://a/../b", UrlError::Path)]
    fn others_are_refused(#[case] text: &str, #[case] why: UrlError) {
        assert_eq!(text.parse::<BaseUrl>(), Err(why));
    }

    #[test]
    fn joining_encodes_once() {
        let base: BaseUrl = "http://a/ubuntu".parse().unwrap();
        let path = RepoPath::parse("/pool/g%2b%2b~x").unwrap();
        assert_eq!(base.join(&path, None), "http://a/ubuntu/pool/g%2B%2B~x");
        assert_eq!(base.join(&path, Some("q=1")), "http://a/ubuntu/pool/g%2B%2B~x?q=1");
    }

    #[rstest]
    #[case("91.189.91.81", true)]
    #[case("2620:2d:4000:1::16", true)]
    #[case("10.1.2.3", false)]
    #[case("100.64.0.1", false)]
    #[case("169.254.169.254", false)]
    #[case("127.0.0.1", false)]
    #[case("0.0.0.0", false)]
    #[case("::1", false)]
    #[case("::ffff:127.0.0.1", false)]
    #[case("fe80::1", false)]
    #[case("fd00::1", false)]
    #[case("2002:7f00:1::", false)]
    fn public_means_public(#[case] address: &str, #[case] public: bool) {
        assert_eq!(is_public(address.parse().unwrap()), public);
    }
}
