//! Who is served, where, and within which bounds, as plain values.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::safe_url::Host;
use crate::suite::Channel;

/// Who is served, where, and within which bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where clients are served. Default `0.0.0.0:3142`, the port that apt's proxies traditionally
    /// use. Port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Where the administrator's pages and API are served. Default `127.0.0.1:3143`: nobody else's
    /// business until somebody decides so.
    pub admin: SocketAddr,
    /// How clients reach this server, `http://host:port` without a trailing slash. Default none: what
    /// the client's own request names is used in the pages and scripts made for it.
    pub public_url: Option<String>,
    /// Networks whose hosts may use it. Default: private, loopback and link-local networks, so
    /// that a server with a public address is no open proxy.
    pub clients: Vec<IpNet>,
    /// Hosts and ports that CONNECT may reach beyond the hosts of repositories on 443. Default none.
    pub tunnels: Vec<(Host, u16)>,
    /// Client connections at the same time. Default 16384: 500 desktops with room for a storm, at some
    /// tens of kilobytes each.
    pub max_connections: usize,
    /// Client connections at the same time from one address. Default 12288, three quarters of all:
    /// whole offices stand behind one address, yet no address alone can shut out the others.
    pub max_connections_per_client: usize,
    /// Longest request head in bytes, request line included. Default 16 KiB: twice what a browser with
    /// large cookies sends.
    pub max_header_size: usize,
    /// Longest request body in bytes. Default 8 MiB: queries of software centres are far shorter, and
    /// this is no place for uploads.
    pub max_body_size: u64,
    /// How long a client may take to send a request head, once begun. Default 10 s.
    pub header_timeout: Duration,
    /// How long a kept-alive connection may rest between requests. Default 75 s: longer than apt thinks
    /// between two fetches.
    pub idle_timeout: Duration,
    /// How long a client may take no byte of an answer. Default 60 s: a laptop may sleep for a moment,
    /// but may not hold a file open for ever.
    pub stall_timeout: Duration,
    /// How long running answers may go on after the order to stop. Default 30 s: below the 90 s after
    /// which systemd kills.
    pub shutdown_grace: Duration,
    /// Whether each request is logged. Default yes.
    pub access_log: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3142))],
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 3143)),
            public_url: None,
            clients: near_networks(),
            tunnels: Vec::new(),
            max_connections: 16_384,
            max_connections_per_client: 12_288,
            max_header_size: 16 << 10,
            max_body_size: 8 << 20,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_mins(1),
            shutdown_grace: Duration::from_secs(30),
            access_log: true,
        }
    }
}

/// A named set of client networks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Office {
    /// What people call it.
    pub name: Arc<str>,
    /// Where its clients are; no network belongs to two offices.
    pub networks: Vec<IpNet>,
    /// What its clients see. Default `live`.
    pub channel: Channel,
}

/// Networks that do not reach across the Internet: loopback, private (RFC 1918, RFC 4193) and
/// link-local ones.
fn near_networks() -> Vec<IpNet> {
    let v4 = [
        ([10, 0, 0, 0], 8),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
    ];
    let v6 = [
        (Ipv6Addr::LOCALHOST, 128),
        (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    ];
    let v4 = v4.into_iter().map(|(address, prefix)| IpNet::new_assert(IpAddr::from(address), prefix));
    let v6 = v6.into_iter().map(|(address, prefix)| IpNet::new_assert(IpAddr::V6(address), prefix));
    v4.chain(v6).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("127.0.0.1", true)]
    #[case("10.20.1.7", true)]
    #[case("172.31.255.1", true)]
    #[case("172.32.0.1", false)]
    #[case("192.168.1.1", true)]
    #[case("169.254.1.1", true)]
    #[case("::1", true)]
    #[case("fd00::7", true)]
    #[case("fe80::7", true)]
    #[case("91.189.91.81", false)]
    #[case("2620:2d:4000:1::16", false)]
    fn only_near_clients_by_default(#[case] address: IpAddr, #[case] served: bool) {
        let config = Config::default();
        assert_eq!(config.clients.iter().any(|network| network.contains(&address)), served);
    }
}
