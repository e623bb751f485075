//! What belongs to the network that a client is in.

use std::net::IpAddr;

use ipnet::IpNet;

/// A value for each network. Where networks overlap, the narrowest counts.
#[derive(Debug, Clone)]
pub struct Networks<T>(Vec<(IpNet, T)>);

impl<T> Networks<T> {
    /// What belongs to the narrowest network around a client.
    #[must_use]
    pub fn around(&self, client: IpAddr) -> Option<&T> {
        self.0.iter().find(|(network, _)| network.contains(&client)).map(|(_, value)| value)
    }
}

impl<T> Default for Networks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(IpNet, T)> for Networks<T> {
    fn from_iter<I: IntoIterator<Item = (IpNet, T)>>(networks: I) -> Self {
        let mut networks: Vec<_> = networks.into_iter().collect();
        networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.prefix_len()));
        Self(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_network_counts() {
        let network = |text: &str| text.parse::<IpNet>().unwrap();
        let all: Networks<_> =
            [("10.0.0.0/8", 'a'), ("10.1.1.0/24", 'c'), ("10.1.0.0/16", 'b'), ("fd00::/8", 'd')]
                .map(|(text, value)| (network(text), value))
                .into_iter()
                .collect();
        for (client, value) in [
            ("10.9.9.9", Some('a')),
            ("10.1.9.9", Some('b')),
            ("10.1.1.9", Some('c')),
            ("fd00::1", Some('d')),
            ("11.0.0.1", None),
        ] {
            assert_eq!(all.around(client.parse().unwrap()).copied(), value, "{client}");
        }
    }
}
