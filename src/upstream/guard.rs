//! Whom we may speak to.
//!
//! Rules: a URL must be plain http or https without credentials. What the administrator configured may
//! have any address: that host on its configured ports, and on the usual port of either scheme, so that
//! a private mirror can move its users to https, but not send us to some other service of its machine.
//! Anything else – a redirect's target above all – must have a public address.
//!
//! The rule is kept in two places because a connection is made in two ways: a host written as an IP
//! address never reaches a resolver and is judged in [`Guard::admit`]; a name is judged when it has been
//! resolved, by [`PublicOnly`], on the very addresses that are then connected to, so that a name that
//! changes its mind between check and use gains nothing.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve};
use url::{Host as UrlHost, Url};

use super::error::Refusal;
use crate::safe_url::{Host, Origin, Scheme, is_public};

/// The addresses of a host, to be awaited.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of names.
pub trait Resolver: Send + Sync + 'static {
    /// The addresses of `host`, best first. An error or an empty list means that it has none.
    fn resolve(&self, host: &str) -> Resolving;
}

/// Asks the operating system (`/etc/hosts`, DNS and what else it is set up for).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str) -> Resolving {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// An address that passed the guard.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// What to ask for; without credentials and fragment.
    pub url: Url,
    /// Whom to ask.
    pub origin: Origin,
    /// Whether the administrator vouches for it, so that it may have any address.
    pub configured: bool,
}

impl Target {
    /// The host, and its port where that is unusual: what errors call it.
    pub fn name(&self) -> String {
        name(&self.origin)
    }
}

/// What an origin is called in errors.
fn name(origin: &Origin) -> String {
    if origin.port == origin.scheme.default_port() {
        origin.host.to_string()
    } else {
        format!("{}:{}", origin.host, origin.port)
    }
}

/// What a URL's host is called in errors, even if the URL is refused.
pub(super) fn host_of(url: &Url) -> String {
    origin_of(url).map_or_else(|_| url.host_str().unwrap_or("an address").to_owned(), |origin| name(&origin))
}

/// Decides by URL.
#[derive(Debug)]
pub(super) struct Guard {
    configured: Vec<Origin>,
}

impl Guard {
    pub fn new(configured: &[Origin]) -> Self {
        Self { configured: configured.to_vec() }
    }

    /// Judges a URL as far as that is possible before its host is resolved.
    ///
    /// # Errors
    /// A [`Refusal`] for credentials, other schemes, odd hosts, and IP addresses that are neither public
    /// nor configured.
    pub fn admit(&self, mut url: Url) -> Result<Target, Refusal> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        let origin = origin_of(&url)?;
        url.set_fragment(None);
        let configured = self.is_configured(&origin);
        match origin.host.ip() {
            Some(address) if !configured && !is_public(address) => Err(Refusal::NotPublic),
            _ => Ok(Target { url, origin, configured }),
        }
    }

    fn is_configured(&self, origin: &Origin) -> bool {
        let usual_port = origin.port == origin.scheme.default_port();
        self.configured
            .iter()
            .any(|known| known.host == origin.host && (usual_port || known.port == origin.port))
    }
}

fn origin_of(url: &Url) -> Result<Origin, Refusal> {
    let scheme = match url.scheme() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(Refusal::NotAnAddress),
    };
    let host = match url.host() {
        Some(UrlHost::Domain(name)) => name.parse::<Host>(),
        Some(UrlHost::Ipv4(address)) => address.to_string().parse(),
        Some(UrlHost::Ipv6(address)) => format!("[{address}]").parse(),
        None => return Err(Refusal::NotAnAddress),
    };
    let host = host.map_err(|_| Refusal::NotAnAddress)?;
    let port = url.port_or_known_default().filter(|port| *port != 0).ok_or(Refusal::NotAnAddress)?;
    Ok(Origin { scheme, host, port })
}

/// A resolver for configured hosts: any address will do.
pub(super) struct AnyAddress(pub Arc<dyn Resolver>);

/// A resolver for all other hosts: names with no public address are refused, and the public ones of a
/// mixed answer are used alone.
pub(super) struct PublicOnly(pub Arc<dyn Resolver>);

impl Resolve for AnyAddress {
    fn resolve(&self, name: Name) -> reqwest::dns::Resolving {
        let resolving = self.0.resolve(name.as_str());
        Box::pin(async move { addresses(resolving.await?) })
    }
}

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> reqwest::dns::Resolving {
        let resolving = self.0.resolve(name.as_str());
        Box::pin(async move {
            let found = resolving.await?;
            let public: Vec<_> = found.iter().copied().filter(|address| is_public(*address)).collect();
            if public.is_empty() && !found.is_empty() {
                return Err(Refusal::NotPublic.into());
            }
            addresses(public)
        })
    }
}

/// Port 0 stands for the URL's port.
fn addresses(found: Vec<IpAddr>) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    if found.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "it has no address").into());
    }
    Ok(Box::new(found.into_iter().map(|address| SocketAddr::new(address, 0))))
}

impl fmt::Debug for AnyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyAddress")
    }
}

impl fmt::Debug for PublicOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublicOnly")
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::safe_url::BaseUrl;

    fn guard() -> Guard {
        let origin = |text: &str| text.parse::<BaseUrl>().unwrap().origin;
        Guard::new(&[origin("http://10.0.0.5:8080"), origin("http://mirror.lan")])
    }

    #[rstest]
    #[case("http://10.0.0.5:8080/x", true)]
    #[case("https://10.0.0.5/x", true)]
    #[case("http://mirror.lan/x?y", true)]
    #[case("http://MIRROR.lan.:80/x", true)]
    #[case("https://mirror.lan/x", true)]
    #[case("http://mirror.lan:9200/", false)]
    #[case("http://91.189.91.81/x", false)]
    #[case("https://elsewhere.example/x", false)]
    fn admitted_and_vouched_for(#[case] url: &str, #[case] configured: bool) {
        assert_eq!(guard().admit(url.parse().unwrap()).unwrap().configured, configured);
    }

    #[rstest]
    #[case("http://u@mirror.lan/", Refusal::Credentials)]
    #[case("http://u:p@mirror.lan/", Refusal::Credentials)]
    #[case("http://10.0.0.5:9200/", Refusal::NotPublic)]
    #[case("http://10.0.0.6:8080/", Refusal::NotPublic)]
    #[case("http://169.254.169.254/latest", Refusal::NotPublic)]
    #[case("http://2130706433/", Refusal::NotPublic)]
    #[case("http://0x7f.1/", Refusal::NotPublic)]
    #[case("http://127.1/", Refusal::NotPublic)]
    #[case("http://[::1]/", Refusal::NotPublic)]
    #[case("http://[::ffff:10.0.0.1]/", Refusal::NotPublic)]
    #[case("file:///etc/passwd", Refusal::NotAnAddress)]
    #[case("ftp://mirror.lan/", Refusal::NotAnAddress)]
    #[case("http://mirror.lan:0/", Refusal::NotAnAddress)]
    fn refused(#[case] url: &str, #[case] why: Refusal) {
        assert_eq!(guard().admit(url.parse().unwrap()).unwrap_err(), why);
    }

    #[test]
    fn errors_name_the_port_only_where_it_is_unusual() {
        assert_eq!(host_of(&"https://a.example/x?secret".parse().unwrap()), "a.example");
        assert_eq!(host_of(&"http://u:p@a.example:81/x".parse().unwrap()), "a.example:81");
    }
}
