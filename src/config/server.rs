//! `[server]`: as written, with defaults, validated.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::mistakes::{Given, Place, Report};
use super::reader::Table;
use super::values::{HOUR, period, size, values};
use crate::safe_url::{BaseUrl, Host, parse_authority};
use crate::server::Config;
use crate::units::Period;

/// The section as written; a value with a mistake counts as absent.
pub(super) struct Written {
    listen: Option<Vec<Given<SocketAddr>>>,
    admin: Option<Given<SocketAddr>>,
    public_url: Option<String>,
    clients: Option<Vec<IpNet>>,
    tunnels: Option<Vec<(Host, u16)>>,
    max_connections: Option<Given<u32>>,
    max_connections_per_client: Option<Given<u32>>,
    max_header_size: Option<u64>,
    max_body_size: Option<u64>,
    header_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    stall_timeout: Option<Duration>,
    shutdown_grace: Option<Duration>,
    access_log: Option<bool>,
}

impl Written {
    pub fn read(table: Table<'_>) -> Self {
        let written = Self {
            listen: table.item("listen").map(|item| item.list(true, |item| item.read(address))),
            admin: table.item("admin").and_then(|item| item.read(address)),
            public_url: table
                .item("public_url")
                .and_then(|item| item.read(public_url))
                .map(|given| given.value),
            clients: table.item("clients").map(|item| values(item.list(true, |item| item.read(network)))),
            tunnels: table.item("tunnels").map(|item| values(item.list(false, |item| item.read(tunnel)))),
            max_connections: table.item("max_connections").and_then(|item| item.count(1..=1_000_000)),
            max_connections_per_client: table
                .item("max_connections_per_client")
                .and_then(|item| item.count(1..=1_000_000)),
            max_header_size: size(&table, "max_header_size", 8 << 10, 1 << 20, "8 KiB to 1 MiB"),
            max_body_size: size(&table, "max_body_size", 0, 1 << 30, "0 B to 1 GiB"),
            header_timeout: period(&table, "header_timeout"),
            idle_timeout: period(&table, "idle_timeout"),
            stall_timeout: period(&table, "stall_timeout"),
            shutdown_grace: table
                .item("shutdown_grace")
                .and_then(|item| item.within(&(Period(Duration::ZERO)..=Period(HOUR)), "0 s to 1 h"))
                .map(|given| given.value.0),
            access_log: table.item("access_log").and_then(|item| item.flag()),
        };
        table.finish();
        written
    }

    /// Fills in defaults and looks for contradictions.
    pub fn validate(self, report: &Report<'_>) -> Config {
        let default = Config::default();
        let listen = self.listen.unwrap_or_default();
        check_listen(report, &listen);
        let admin = self.admin.as_ref().map_or(default.admin, |given| given.value);
        let given = listen.iter().map(|listen| (listen.value, Some(&listen.place)));
        let assumed = default.listen.iter().filter(|_| listen.is_empty()).map(|listen| (*listen, None));
        let clash = given.chain(assumed).find(|(listen, _)| collide(*listen, admin));
        if let Some((address, place)) = clash
            && let Some(place) = self.admin.as_ref().map(|admin| &admin.place).or(place)
        {
            report.wrong(place, same_address("server.admin", admin, "server.listen", address));
        }
        let (max_connections, max_connections_per_client) =
            connections(report, self.max_connections.as_ref(), self.max_connections_per_client.as_ref());
        Config {
            listen: if listen.is_empty() { default.listen } else { values(listen) },
            admin,
            public_url: self.public_url,
            clients: self.clients.unwrap_or(default.clients),
            tunnels: self.tunnels.unwrap_or(default.tunnels),
            max_connections,
            max_connections_per_client,
            max_header_size: self
                .max_header_size
                .and_then(|size| usize::try_from(size).ok())
                .unwrap_or(default.max_header_size),
            max_body_size: self.max_body_size.unwrap_or(default.max_body_size),
            header_timeout: self.header_timeout.unwrap_or(default.header_timeout),
            idle_timeout: self.idle_timeout.unwrap_or(default.idle_timeout),
            stall_timeout: self.stall_timeout.unwrap_or(default.stall_timeout),
            shutdown_grace: self.shutdown_grace.unwrap_or(default.shutdown_grace),
            access_log: self.access_log.unwrap_or(default.access_log),
        }
    }
}

/// Whether two addresses cannot be listened on together. Port 0 is another port each time.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let wild = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || (wild && one.is_ipv4() == other.is_ipv4()))
}

/// What to say when two addresses collide.
fn same_address(key: &str, address: SocketAddr, other_key: &str, other: SocketAddr) -> String {
    format!("{key} {address} takes the same address as {other_key} {other}; choose another port")
}

fn check_listen(report: &Report<'_>, listen: &[Given<SocketAddr>]) {
    for (index, later) in listen.iter().enumerate() {
        if let Some(earlier) = listen[..index].iter().find(|earlier| collide(earlier.value, later.value)) {
            let message = format!(
                "{} takes the same address as {}; write each address once, and none beside a wildcard",
                later.value, earlier.value
            );
            report.wrong(&later.place, message);
        }
    }
}

/// Both limits of connections: the default of the second follows the first.
fn connections(report: &Report<'_>, all: Option<&Given<u32>>, each: Option<&Given<u32>>) -> (usize, usize) {
    let default = Config::default();
    let count = |given: &Given<u32>| usize::try_from(given.value).unwrap_or(usize::MAX);
    let max = all.map_or(default.max_connections, count);
    let Some(each) = each else { return (max, max - max / 4) };
    if count(each) > max {
        let message = format!("is more than server.max_connections ({max}); it must be at most that");
        report.wrong(&each.place, message);
    }
    (max, count(each))
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "it must be an IP address and a port, such as \"0.0.0.0:3142\" or \"[::]:3142\"")
}

fn public_url(text: &str) -> Result<String, String> {
    let url: BaseUrl = text.parse().map_err(|why| format!("{why}"))?;
    if url.path.as_str().is_empty() {
        Ok(url.origin.to_string())
    } else {
        Err(format!("it must have no path, only scheme, host and port, as in \"{}\"", url.origin))
    }
}

/// A network, or a single address as one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(address));
    }
    let network: IpNet = text.parse().map_err(|_| {
        "it must be a network or an address, such as \"10.0.0.0/8\", \"fd00::/8\" or \"10.1.2.3\"".to_owned()
    })?;
    if network == network.trunc() {
        Ok(network)
    } else {
        Err(format!("it has bits beyond its prefix; write \"{}\" for the network", network.trunc()))
    }
}

fn tunnel(text: &str) -> Result<(Host, u16), String> {
    // Port 0 cannot be written, so it stands for a port that was not.
    let (host, port) = parse_authority(text, 0).map_err(|why| format!("{why}; write \"host:port\""))?;
    if port == 0 {
        Err("it has no port; write \"host:port\", such as \"api.snapcraft.io:443\"".to_owned())
    } else {
        Ok((host, port))
    }
}

/// Checks the addresses again after the command line has changed some.
pub(super) fn check_addresses(report: &Report<'_>, config: &Config) {
    let place = |key: &str| Place { key: key.to_owned(), at: 0 };
    let listen: Vec<_> =
        config.listen.iter().map(|address| Given { value: *address, place: place("--listen") }).collect();
    check_listen(report, &listen);
    if let Some(listen) = config.listen.iter().find(|listen| collide(**listen, config.admin)) {
        report.wrong(
            &place("--admin"),
            same_address("the admin address", config.admin, "the listen address", *listen),
        );
    }
}
