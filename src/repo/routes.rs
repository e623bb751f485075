//! Finding the repository that an address belongs to.

use std::sync::Arc;

use crate::repo_path::RepoPath;
use crate::safe_url::{Host, Origin, Scheme};

use super::config::{Alias, Config, HostPattern};
use super::resource::{Repository, Resource};

/// Every configured repository, and the addresses that lead to them.
#[derive(Debug)]
pub struct Repositories {
    list: Vec<Arc<Repository>>,
    /// Longest folder first, so that the most specific address wins.
    addresses: Vec<Address>,
    /// The first number that no repository has had.
    next: usize,
}

/// One host and folder by which clients may know a repository.
#[derive(Debug)]
struct Address {
    host: HostPattern,
    scheme: Scheme,
    port: u16,
    folder: RepoPath,
    repository: Arc<Repository>,
}

impl Address {
    /// A port that was written down must be met exactly. A default port matches the default port of
    /// either scheme: apt speaks plain http to its proxy about upstreams that we reach by https.
    fn matches(&self, host: &Host, port: u16) -> bool {
        let standard = self.port == self.scheme.default_port();
        let port_matches = if standard { port == 80 || port == 443 } else { port == self.port };
        port_matches && self.host.matches(host)
    }
}

impl Repositories {
    /// Indexes the configured repositories.
    #[must_use]
    pub fn new(configs: Vec<Config>) -> Self {
        Self::after(None, configs)
    }

    /// Repositories as they are configured now. Those that have not changed stay the same; others get numbers
    /// of their own.
    #[must_use]
    pub fn reconfigured(&self, configs: Vec<Config>) -> Self {
        Self::after(Some(self), configs)
    }

    fn after(before: Option<&Self>, configs: Vec<Config>) -> Self {
        let mut next = before.map_or(0, |before| before.next);
        let list: Vec<_> = configs
            .into_iter()
            .map(|config| {
                let same = before.and_then(|before| before.by_name(&config.name));
                if let Some(same) = same.filter(|same| same.config == config) {
                    return Arc::clone(same);
                }
                let index = next;
                next += 1;
                Arc::new(Repository { config, index })
            })
            .collect();
        let mut addresses = Vec::new();
        for repository in &list {
            for base in &repository.config.upstreams {
                addresses.push(Address {
                    host: HostPattern::Exact(base.origin.host.clone()),
                    scheme: base.origin.scheme,
                    port: base.origin.port,
                    folder: base.path.clone(),
                    repository: Arc::clone(repository),
                });
            }
            for alias in &repository.config.aliases {
                addresses.push(Address {
                    host: alias.host.clone(),
                    scheme: alias.scheme,
                    port: alias.port,
                    folder: alias.path.clone(),
                    repository: Arc::clone(repository),
                });
            }
        }
        addresses.sort_by_key(|address| std::cmp::Reverse(address.folder.as_str().len()));
        Self { list, addresses, next }
    }

    /// The first number that none of them has, nor any before them.
    #[must_use]
    pub const fn next_number(&self) -> usize {
        self.next
    }

    /// In the order of the configuration.
    #[must_use]
    pub fn list(&self) -> &[Arc<Repository>] {
        &self.list
    }

    /// The repository of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Arc<Repository>> {
        self.list.iter().find(|repository| &**repository.name() == name)
    }

    /// What stands at `path` on a host that belongs to a repository.
    #[must_use]
    pub fn by_address(
        &self,
        host: &Host,
        port: u16,
        path: &RepoPath,
        query: Option<&str>,
    ) -> Option<Resource> {
        self.addresses.iter().filter(|address| address.matches(host, port)).find_map(|address| {
            let below = path.below(address.folder.as_str())?;
            Some(Resource::new(Arc::clone(&address.repository), below, query))
        })
    }

    /// Whether `host` belongs to any repository, whatever the folder.
    #[must_use]
    pub fn knows_host(&self, host: &Host) -> bool {
        self.addresses.iter().any(|address| address.host.matches(host))
    }

    /// The origins of every upstream, rescue and single host that the administrator wrote down: the only
    /// ones that may have any address.
    #[must_use]
    pub fn origins(&self) -> Vec<Origin> {
        let mut origins: Vec<_> = self
            .list
            .iter()
            .flat_map(|repository| {
                let config = &repository.config;
                let upstreams = config.upstreams.iter().map(|base| base.origin.clone());
                let aliases = config.aliases.iter().filter_map(Alias::base).map(|base| base.origin);
                upstreams.chain(aliases).chain(config.rescue.iter().map(|rescue| rescue.origin().clone()))
            })
            .collect();
        origins.sort();
        origins.dedup();
        origins
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::config::Kind;
    use super::*;

    fn repository(name: &str, upstream: &str, aliases: &[&str]) -> Config {
        Config {
            name: name.into(),
            upstreams: vec![upstream.parse().unwrap()],
            aliases: aliases.iter().map(|alias| alias.parse().unwrap()).collect(),
            ..Config::example(Kind::Apt)
        }
    }

    fn repositories() -> Repositories {
        Repositories::new(vec![
            repository(
                "ubuntu",
                "http://archive.ubuntu.com/ubuntu",
                &["http://security.ubuntu.com/ubuntu", "http://*.archive.ubuntu.com/ubuntu"],
            ),
            repository("ports", "http://archive.ubuntu.com/ubuntu/ports", &[]),
            repository("ppa", "https://ppa.launchpadcontent.net", &[]),
            repository("own", "http://10.0.0.5:8080/apt", &[]),
        ])
    }

    #[rstest]
    #[case("archive.ubuntu.com", 80, "/ubuntu/dists/noble/InRelease", Some(("ubuntu", "dists/noble/InRelease")))]
    #[case("id.archive.ubuntu.com", 80, "/ubuntu/dists/noble/InRelease", Some(("ubuntu", "dists/noble/InRelease")))]
    #[case("archive.ubuntu.com", 80, "/ubuntu/ports/x", Some(("ports", "x")))]
    #[case("archive.ubuntu.com", 80, "/ubuntu-old/x", None)]
    #[case("archive.ubuntu.com", 8080, "/ubuntu/x", None)]
    #[case("evil-archive.ubuntu.com", 80, "/ubuntu/x", None)]
    #[case("ppa.launchpadcontent.net", 80, "/a/b/ubuntu/dists/noble/InRelease", Some(("ppa", "a/b/ubuntu/dists/noble/InRelease")))]
    #[case("ppa.launchpadcontent.net", 443, "/x", Some(("ppa", "x")))]
    #[case("10.0.0.5", 8080, "/apt/x", Some(("own", "x")))]
    #[case("10.0.0.5", 80, "/apt/x", None)]
    #[case("169.254.169.254", 80, "/latest/meta-data", None)]
    fn addresses_lead_to_repositories(
        #[case] host: &str,
        #[case] port: u16,
        #[case] path: &str,
        #[case] found: Option<(&str, &str)>,
    ) {
        let repositories = repositories();
        let path = RepoPath::parse(path).unwrap();
        let resource = repositories.by_address(&host.parse().unwrap(), port, &path, None);
        let seen = resource.as_ref().map(|r| (&**r.repository.name(), r.path.as_str()));
        assert_eq!(seen, found);
    }

    #[test]
    fn what_has_not_changed_stays_the_same() {
        let before = repositories();
        let after = before.reconfigured(vec![
            repository("own", "http://10.0.0.5:8080/apt", &[]),
            repository("ppa", "https://ppa.example", &[]),
            repository("new", "https://new.example", &[]),
        ]);
        let numbers: Vec<_> = after.list().iter().map(|one| (&**one.name(), one.index)).collect();
        assert_eq!(numbers, [("own", 3), ("ppa", 4), ("new", 5)]);
        assert!(Arc::ptr_eq(&after.list()[0], &before.list()[3]));
        let again = after.reconfigured(vec![repository("ubuntu", "http://archive.ubuntu.com/ubuntu", &[])]);
        assert_eq!(again.list()[0].index, 6, "a number is not given twice");
    }

    #[test]
    fn queries_are_dropped_where_they_mean_nothing() {
        let repositories = repositories();
        let path = RepoPath::parse("/ubuntu/x").unwrap();
        let host = "archive.ubuntu.com".parse().unwrap();
        let resource = repositories.by_address(&host, 80, &path, Some("a=1")).unwrap();
        assert_eq!(&*resource.key_path(), "x");
    }
}
