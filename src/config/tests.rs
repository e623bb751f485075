//! Whole files: those that are shipped, those with mistakes, and arbitrary text.

mod seeds;

use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::repo::{Kind, Trust};

/// A repository without mistakes, for files whose mistakes are elsewhere.
const REPO: &str = "[[repo]]\nname = 'a'\nkind = 'apt'\nupstreams = 'http://a.example/x'\n";

/// What is said about a file named `t.toml`.
fn mistakes(text: &str) -> Vec<String> {
    match Config::parse(text, "t.toml") {
        Ok(_) => Vec::new(),
        Err(mistakes) => mistakes.0.iter().map(ToString::to_string).collect(),
    }
}

/// One repository from its further lines.
fn repo(lines: &str) -> crate::repo::Config {
    let text = format!("[[repo]]\nname = 'a'\n{lines}\n");
    Config::parse(&text, "/etc/lumbung/t.toml").unwrap().repos.remove(0)
}

#[test]
fn the_built_in_configuration_serves_ubuntu() {
    let config = Config::built_in();
    assert_eq!(config.origin, "built-in");
    let names: Vec<_> = config.repos.iter().map(|repo| &*repo.name).collect();
    assert_eq!(names, ["ubuntu", "ubuntu-ports", "releases", "cdimage", "changelogs"]);
    assert_eq!(config.repos[0].trust, Trust::Signature);
    assert_eq!(config.repos[4].kind, Kind::Http);
    let images: Vec<_> = config.repos.iter().filter(|repo| repo.kind == Kind::Files).collect();
    assert!(images.len() == 2 && images.iter().all(|repo| repo.trust == Trust::Signature));
    let known = |url: &str| {
        let origin = url.parse::<crate::safe_url::BaseUrl>().unwrap().origin;
        config.repos[0].aliases.iter().any(|alias| alias.matches(&origin))
    };
    assert!(known("http://security.ubuntu.com") && known("http://id.archive.ubuntu.com"));
    assert!(!known("http://ubuntu.com"));
}

/// What the built-in file spells out is what the code takes when nothing is written.
#[test]
fn the_built_in_configuration_spells_out_defaults() {
    let built_in = Config::built_in();
    let silent = Config::parse(REPO, "t.toml").unwrap();
    assert_eq!(format!("{:?}", built_in.server), format!("{:?}", silent.server));
    assert_eq!(format!("{:?}", built_in.store), format!("{:?}", silent.store));
    assert_eq!(format!("{:?}", silent.server), format!("{:?}", crate::server::Config::default()));
    assert_eq!(format!("{:?}", silent.upstream), format!("{:?}", crate::upstream::Config::default()));
}

#[test]
fn the_example_has_every_key() {
    let text = include_str!("../../config/example.toml");
    let config = Config::parse(text, "example.toml").unwrap();
    let trusts: Vec<_> = config.repos.iter().map(|repo| (&*repo.name, repo.trust)).collect();
    assert_eq!(trusts[4..6], [("ppa", Trust::Https), ("docker", Trust::Signature)]);
    assert_eq!(config.store.max_size, Some(400_000_000_000));
    // An unknown key is answered with the known ones: each of them must be in the example.
    let probe = "[server]\nqqqqqqqqq = 1\n[store]\nqqqqqqqqq = 1\n[upstream]\nqqqqqqqqq = 1\n[log]\nqqqqqqqqq = 1\n[history]\nqqqqqqqqq = 1\n[[repo]]\nqqqqqqqqq = 1\n[[seed]]\nqqqqqqqqq = 1\n";
    let mut keys = 0;
    for mistake in mistakes(probe) {
        let Some((_, known)) = mistake.split_once("known are ") else { continue };
        for key in known.split(", ") {
            let stands = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} ="));
            assert!(text.lines().any(stands), "{key} is not in the example");
            keys += 1;
        }
    }
    assert!(keys > 30, "{keys} keys");
}

#[rstest]
#[case("[server]\nlisten = 3142", "2: server.listen: is a number; write a text in quotes")]
#[case(
    "[server]\nlisten = 'localhost:1'",
    "2: server.listen: \"localhost:1\" cannot be used: it must be an IP address and a port, such as \"0.0.0.0:3142\" or \"[::]:3142\""
)]
#[case("[server]\nlisten = []", "2: server.listen: is an empty list; it needs at least one value")]
#[case(
    "[server]\nlisten = ['1.2.3.4:5',\n '1.2.3.4:5']",
    "3: server.listen: 1.2.3.4:5 takes the same address as 1.2.3.4:5; write each address once, and none beside a wildcard"
)]
#[case(
    "[server]\nlisten = '127.0.0.1:3143'",
    "2: server.listen: server.admin 127.0.0.1:3143 takes the same address as server.listen 127.0.0.1:3143; choose another port"
)]
#[case(
    "[server]\nadmin = '127.0.0.1:3142'",
    "2: server.admin: server.admin 127.0.0.1:3142 takes the same address as server.listen 0.0.0.0:3142; choose another port"
)]
#[case("[server]\nlisen = 1", "2: server.lisen: is not a known key; did you mean `listen`?")]
#[case("[store]\nsize = 1", "2: store.size: is not a known key; known are path, max_size, min_free, recheck")]
#[case(
    "[server]\npublic_url = 'http://m.example/x'",
    "2: server.public_url: \"http://m.example/x\" cannot be used: it must have no path, only scheme, host and port, as in \"http://m.example\""
)]
#[case(
    "[server]\npublic_url = 'http://m.example/?x'",
    "2: server.public_url: \"http://m.example/?x\" cannot be used: it has a query or a fragment"
)]
#[case(
    "[server]\nclients = '10.1.0.0/8'",
    "2: server.clients: \"10.1.0.0/8\" cannot be used: it has bits beyond its prefix; write \"10.0.0.0/8\" for the network"
)]
#[case(
    "[server]\nclients = ['all']",
    "2: server.clients: \"all\" cannot be used: it must be a network or an address, such as \"10.0.0.0/8\", \"fd00::/8\" or \"10.1.2.3\""
)]
#[case(
    "[server]\ntunnels = ['api.snapcraft.io']",
    "2: server.tunnels: \"api.snapcraft.io\" cannot be used: it has no port; write \"host:port\", such as \"api.snapcraft.io:443\""
)]
#[case(
    "[server]\nmax_connections = '5'",
    "2: server.max_connections: must be a whole number from 1 to 1000000, without quotes"
)]
#[case(
    "[server]\nmax_connections = 9\nmax_connections_per_client = 0xA",
    "3: server.max_connections_per_client: is more than server.max_connections (9); it must be at most that"
)]
#[case(
    "[server]\nmax_header_size = 100",
    "2: server.max_header_size: is out of range; allowed is 8 KiB to 1 MiB"
)]
#[case(
    "[server]\nheader_timeout = 10",
    "2: server.header_timeout: 10 cannot be used: a time is a number and a unit (ms, s, min, h, days), such as \"10 min\""
)]
#[case("[server]\nidle_timeout = '2 h'", "2: server.idle_timeout: is out of range; allowed is 10 ms to 1 h")]
#[case("[server]\naccess_log = 'no'", "2: server.access_log: must be true or false, without quotes")]
#[case(
    "[store]\nmax_size = 0",
    "2: store.max_size: is out of range; allowed is 1 B to 1000000 TB; leave it out for no limit"
)]
#[case(
    "[store]\nmin_free = '10 Gb'",
    "2: store.min_free: \"10 Gb\" cannot be used: a size is a number and a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), such as \"400 GB\""
)]
#[case(
    "[store]\npath = 'cache'",
    "2: store.path: \"cache\" cannot be used: it must be an absolute path, such as \"/var/lib/lumbung\""
)]
#[case(
    "[upstream]\nretries = -1",
    "2: upstream.retries: must be a whole number from 0 to 100, without quotes"
)]
#[case(
    "[upstream]\nconnections_per_host = 33",
    "2: upstream.connections_per_host: is more than upstream.connections (32); it must be at most that"
)]
#[case("[log]\nformat = 'xml'", "2: log.format: \"xml\" cannot be used: it must be \"text\" or \"json\"")]
#[case(
    "[wan]\nlimit = '20'",
    "2: wan.limit: \"20\" cannot be used: a rate is a number of bits and a unit (kbit/s, Mbit/s, Gbit/s), such as \"20 Mbit/s\", or \"unlimited\""
)]
#[case(
    "[wan]\nlimit = '9 kbit/s'",
    "2: wan.limit: \"9 kbit/s\" cannot be used: it is out of range; allowed is 64 kbit/s to 100 Gbit/s, or \"unlimited\""
)]
#[case("[wan]\nlimit = 20", "2: wan.limit: is a number; write a text in quotes")]
#[case(
    "[wan]\ntimezone = 'Borneo'",
    "2: wan.timezone: \"Borneo\" cannot be used: there is no time zone of that name; write a place, such as \"Asia/Pontianak\""
)]
#[case(
    "[wan]\nschedule = [{ hours = '18:00-06:00' }]",
    "2: wan.schedule[1].limit: is missing; write what holds then, such as \"80 Mbit/s\" or \"unlimited\""
)]
#[case(
    "[wan]\nschedule = [{ days = 'Sat', limit = '1 Mbit/s' },\n{ limit = 'unlimited' }]",
    "3: wan.schedule[2].hours: is missing; say when the limit holds, with hours, such as \"18:00-06:00\", days, or both"
)]
#[case(
    "[wan]\nschedule = [{ days = 'weekend', limit = '1 Mbit/s' }]",
    "2: wan.schedule[1].days: \"weekend\" cannot be used: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, one, a range or several, such as \"Mon-Fri\" or \"Sat,Sun\""
)]
#[case(
    "[wan]\nschedule = [{ hours = '18-06', limit = '1 Mbit/s' }]",
    "2: wan.schedule[1].hours: \"18-06\" cannot be used: hours are two times of day from 00:00 to 24:00, such as \"18:00-06:00\""
)]
#[case(
    "[wan]\nschedule = [{ hours = '18:00-06:00', limits = '1 Mbit/s', limit = '1 Mbit/s' }]",
    "2: wan.schedule[1].limits: is not a known key; did you mean `limit`?"
)]
#[case(
    "[wan]\nschedule = '18:00'",
    "2: wan.schedule: is a text; write [[wan.schedule]] with doubled brackets"
)]
#[case(
    "[wan]\nhosts = { 'http://a/' = '1 Mbit/s' }",
    "2: wan.hosts.\"http://a/\": is not a host; write the name alone, such as \"archive.ubuntu.com\""
)]
#[case(
    "[wan]\nhosts = { a = 'unlimited' }",
    "2: wan.hosts.a: \"unlimited\" cannot be used: a rate is a number of bits and a unit (kbit/s, Mbit/s, Gbit/s), such as \"20 Mbit/s\""
)]
#[case("[wan]\nhosts = { a = '1 Mbit/s', A = '2 Mbit/s' }", "2: wan.hosts.A: names a twice; once is enough")]
#[case("[wan]\nhosts = '1 Mbit/s'", "2: wan.hosts: is a text; write a section, [wan.hosts]")]
#[case(
    "[[channel]]\nafter = '1 h'",
    "1: channel[1].name: is missing; a channel needs a name, such as \"stable\""
)]
#[case(
    "[[channel]]\nname = 'live'",
    "2: channel[1].name (live): \"live\" cannot be used: live is what upstream has, and always there; choose another name"
)]
#[case(
    "[[channel]]\nname = '20261120T000000Z'",
    "2: channel[1].name (20261120T000000Z): \"20261120T000000Z\" cannot be used: it is a time, which needs no channel; choose another name"
)]
#[case(
    "[[channel]]\nname = 'Stable'",
    "2: channel[1].name (Stable): \"Stable\" cannot be used: a channel's name is 1 to 64 of a-z, 0-9, `-` and `_`"
)]
#[case(
    "[[channel]]\nname = 'x'\n[[channel]]\nname = 'x'",
    "4: channel[2].name (x): is the name of the channel in line 2, too; choose another"
)]
#[case(
    "[[channel]]\nname = 'x'\nafter = '1 s'",
    "3: channel[1].after (x): is out of range; allowed is 1 min to 365 days; leave it out to promote by hand"
)]
#[case(
    "[[office]]\nname = 'O'",
    "1: office[1].networks (O): is missing; an office is known by its networks, such as [\"10.20.1.0/24\"]"
)]
#[case(
    "[[office]]\nnetworks = '10.1.0.0/16'",
    "1: office[1].name: is missing; an office needs a name, such as \"Bappeda\""
)]
#[case(
    "[[channel]]\nname = 'x'\n[[office]]\nname = 'O'\nnetworks = '10.1.0.0/16'\nchannel = 'y'",
    "6: office[1].channel (O): is \"y\", but there is no such channel; there are live, x. Add a [[channel]] of that name"
)]
#[case(
    "[[office]]\nname = 'O'\nnetworks = '10.1.0.0/16'\n[[office]]\nname = 'P'\nnetworks = ['10.2.0.0/16', '10.1.0.0/16']",
    "6: office[2].networks (P): has a network that stands in line 3, too; a network belongs to one office"
)]
#[case(
    "[[office]]\nname = 'O'\nnetworks = '10.1.0.1/16'",
    "3: office[1].networks (O): \"10.1.0.1/16\" cannot be used: it has bits beyond its prefix; write \"10.1.0.0/16\" for the network"
)]
#[case("[sever]", "1: sever: is not a known key; did you mean `server`?")]
#[case("server = 1", "1: server: is a number; write a section, [server]")]
#[case(
    "\"a\\u001b\" = 1",
    "1: \"a\\u{1b}\": is not a known key; known are server, store, wan, upstream, repo, channel, office, seed, learned, history, log"
)]
fn mistakes_in_sections_are_named(#[case] text: &str, #[case] said: &str) {
    assert_eq!(mistakes(&format!("{text}\n{REPO}")), [format!("t.toml:{said}")]);
}

#[rstest]
#[case("", "1: repo: is missing; configure at least one repository in a section [[repo]]")]
#[case("repo = 1", "1: repo: is a number; write [[repo]] with doubled brackets")]
#[case("repo = []", "1: repo: is an empty list; write [[repo]] at least once")]
#[case("[repo]\nname = 'a'", "1: repo: is a table; write [[repo]] with doubled brackets")]
#[case("repo = [1]", "1: repo: holds something else than tables; write [[repo]] before each")]
fn repositories_must_be_there(#[case] text: &str, #[case] said: &str) {
    assert_eq!(mistakes(text), [format!("t.toml:{said}")]);
}

#[rstest]
#[case(
    "name = 'Ä'",
    "2: repo[2].name (\"Ä\"): \"Ä\" cannot be used: a name is 1 to 64 of a-z, 0-9, `.`, `_`, `+` and `-`, and begins with a letter or digit"
)]
#[case(
    "name = 'robots.txt'",
    "2: repo[2].name (robots.txt): \"robots.txt\" cannot be used: it means something else in paths; reserved are snapshot, client.sh, mirrors.txt, mirrors, HTTPS, favicon.ico, robots.txt"
)]
#[case("name = 'a'", "2: repo[2].name (a): is the name of the repository in line 2, too; choose another")]
#[case(
    "name = 'a.example'",
    "2: repo[2].name (a.example): is also the host of http://a.example/x, so that paths could mean either; choose a name that is no host's"
)]
#[case(
    "name = 'b'\nkind = 'oci'",
    "3: repo[2].kind (b): \"oci\" cannot be used: it is not yet supported by this version; supported are \"apt\", \"files\" and \"http\""
)]
#[case(
    "name = 'b'\nkind = 'deb'",
    "3: repo[2].kind (b): \"deb\" cannot be used: it must be \"apt\", \"files\" or \"http\""
)]
#[case(
    "name = 'b'\nlists = 'SHA256SUMS'",
    "3: repo[2].lists (b): has no use in a repository of kind apt; remove it"
)]
#[case(
    "name = 'b'\nkind = 'files'\nlists = 'a/SHA256SUMS'",
    "4: repo[2].lists (b): \"a/SHA256SUMS\" cannot be used: it must be the name of a file, without folders, such as \"SHA256SUMS\""
)]
#[case(
    "name = 'b'\nkind = 'files'\nfiles = [{ path = 'a.deb' }]",
    "4: repo[2].files[1].sha256: is missing; write what `sha256sum` says of the right file"
)]
#[case(
    "name = 'b'\nkind = 'files'\nfiles = [{ path = '../a', sha256 = '0263829989b6fd954f72baaf2fc64bc2e2f01d692d4de72986ea808f6e99813f' }]",
    "4: repo[2].files[1].path: \"../a\" cannot be used: the path has a .. segment"
)]
#[case(
    "name = 'b'\nupstreams = 'ftp://b'",
    "3: repo[2].upstreams (b): \"ftp://b\" cannot be used: it must begin with http:// or https://"
)]
#[case(
    "name = 'b'\nupstreams = 'http://a.example/x'",
    "3: repo[2].upstreams (b): has http://a.example/x, which belongs to a in line 4; an address belongs to one repository"
)]
#[case(
    "name = 'b'\nupstreams = ['http://b.example', 'http://b.example:80/']",
    "3: repo[2].upstreams (b): names http://b.example/ twice; once is enough"
)]
#[case(
    "name = 'b'\naliases = ['http://*']",
    "3: repo[2].aliases (b): \"http://*\" cannot be used: `*` may only stand as `*.` before a host name of at least two parts, such as `*.archive.ubuntu.com`"
)]
#[case(
    "name = 'b'\nkeyring = ''",
    "3: repo[2].keyring (b): \"\" cannot be used: it must be a path, such as \"/usr/share/keyrings/own.gpg\""
)]
#[case(
    "name = 'b'\ntrust = 'signature'",
    "3: repo[2].trust (b): is \"signature\", but there is no keyring; add keyring = \"/usr/share/keyrings/….gpg\""
)]
#[case(
    "name = 'b'\ntrust = 'https'",
    "3: repo[2].trust (b): is \"https\", but the upstream http://b.example/ is not; use https upstreams only, or a keyring"
)]
#[case(
    "name = 'b'\nkind = 'http'\ntrust = 'https'",
    "4: repo[2].trust (b): is \"https\", but nothing can be verified in a repository of kind http; remove it"
)]
#[case(
    "name = 'b'\nkind = 'http'\nkeyring = '/k'",
    "4: repo[2].keyring (b): has no use in a repository of kind http, which has no signatures; remove it"
)]
#[case(
    "name = 'b'\ncheck_every = '31 days'",
    "3: repo[2].check_every (b): is out of range; allowed is 0 s (ask every time) to 30 days"
)]
#[case(
    "name = 'b'\nrescue = 'http://{when}/'\nkeyring = '/k'",
    "3: repo[2].rescue (b): \"http://{when}/\" cannot be used: only {time} may stand in braces, and only in the path"
)]
#[case(
    "name = 'b'\nrescue = 'http://s.example/{time}'",
    "3: repo[2].rescue (b): has no use where nothing is verified (trust is \"none\"); remove it, or add a keyring"
)]
#[case(
    "name = 'b'\nunlisted = 'drop'\nkeyring = '/k'",
    "3: repo[2].unlisted (b): \"drop\" cannot be used: it must be \"pass\" (not kept) or \"keep\" (kept unverified)"
)]
#[case(
    "name = 'b'\nlegacy_sha1 = true",
    "3: repo[2].legacy_sha1 (b): has no use without signatures; remove it, or add a keyring"
)]
#[case(
    "name = 'b'\ncheck = 1",
    "3: repo[2].check (b): is not a known key; known are name, kind, upstreams, aliases, keyring, trust, check_every, legacy_sha1, rescue, unlisted, lists, files"
)]
fn mistakes_in_repositories_are_named(#[case] lines: &str, #[case] said: &str) {
    let mut text = format!("{REPO}[[repo]]\n{lines}\n");
    if !lines.contains("kind =") {
        text.push_str("kind = 'apt'\n");
    }
    if !lines.contains("upstreams =") {
        text.push_str("upstreams = 'http://b.example'\n");
    }
    // The lines of the cases count from the second repository's first.
    let (line, rest) = said.split_once(':').unwrap();
    let line = line.parse::<usize>().unwrap() + REPO.lines().count();
    assert_eq!(mistakes(&text), [format!("t.toml:{line}:{rest}")]);
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_lines() {
    let text = "[[repo]]\nnmae = 'b'\nkind = 'apt'\n[store]\nmax_size = 'lots'\n[server]\nadmin = 1\ncolour = 'red'\n";
    let lines: Vec<_> =
        Config::parse(text, "t.toml").unwrap_err().0.into_iter().map(|m| (m.line, m.key)).collect();
    let expected = [
        (1, "repo[1].name"),
        (1, "repo[1].upstreams"),
        (2, "repo[1].nmae"),
        (5, "store.max_size"),
        (7, "server.admin"),
        (8, "server.colour"),
    ];
    assert_eq!(lines, expected.map(|(line, key)| (line, key.to_owned())));
}

#[test]
fn what_is_not_toml_is_named_beside_other_mistakes() {
    let text = "[server]\nlisten = \nadmin = 'x:1'\n[store\npath = 'y'\n[server]\n";
    let said = mistakes(text);
    let begins = ["t.toml:2: this is not TOML: ", "t.toml:3: server.admin: ", "t.toml:4: this is not TOML: "];
    for begin in begins {
        assert!(said.iter().any(|said| said.starts_with(begin)), "{begin} is not in {said:#?}");
    }
    assert!(!said.iter().any(|said| said.contains("is missing")), "{said:#?}");
}

#[test]
fn trust_follows_from_what_there_is() {
    let https = "kind = 'apt'\nupstreams = ['https://a.example', 'https://b.example']";
    assert_eq!(repo(https).trust, Trust::Https);
    assert_eq!(
        repo("kind = 'apt'\nupstreams = ['https://a.example', 'http://b.example']").trust,
        Trust::None
    );
    assert_eq!(repo("kind = 'http'\nupstreams = 'https://a.example'").trust, Trust::None);
    let signed = repo(&format!("{https}\nkeyring = ['own.gpg', '/k/other.gpg']"));
    assert_eq!(signed.trust, Trust::Signature);
    assert_eq!(signed.keyrings, [Path::new("/etc/lumbung/own.gpg"), Path::new("/k/other.gpg")]);
    assert_eq!(signed.check_every, Duration::from_mins(10));
}

#[test]
fn limits_follow_the_one_that_was_written() {
    let text = format!("[server]\nmax_connections = 100\n[upstream]\nconnections = 5\n{REPO}");
    let config = Config::parse(&text, "t.toml").unwrap();
    assert_eq!(config.server.max_connections_per_client, 75);
    assert_eq!(config.upstream.connections_per_host, 3);
}

#[test]
fn channels_and_offices_become_plain_values() {
    let text = format!(
        "[[channel]]\nname = 'pilot'\n[[channel]]\nname = 'stable'\nafter = '7 days'\n\
         [[office]]\nname = 'O'\nnetworks = '10.1.0.0/16'\nchannel = 'stable'\n\
         [[office]]\nname = 'P'\nnetworks = ['10.1.2.0/24', '10.1.3.7']\n{REPO}"
    );
    let config = Config::parse(&text, "t.toml").unwrap();
    let channels: Vec<_> = config.channels.iter().map(|channel| (&*channel.name, channel.after)).collect();
    assert_eq!(channels, [("pilot", None), ("stable", Some(Duration::from_hours(7 * 24)))]);
    let offices: Vec<_> =
        config.offices.iter().map(|office| (&*office.name, office.channel.to_string())).collect();
    assert_eq!(offices, [("O", "stable".to_owned()), ("P", "live".to_owned())]);
    assert_eq!(config.offices[1].networks[1].to_string(), "10.1.3.7/32");
}

#[test]
fn certificates_are_read_beside_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let pem = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap().cert.pem();
    std::fs::write(folder.path().join("ca.pem"), &pem).unwrap();
    std::fs::write(folder.path().join("not.pem"), "-----BEGIN NOTHING-----").unwrap();
    let file = folder.path().join("t.toml");
    let load = |ca: &str| {
        std::fs::write(&file, format!("[upstream]\nca = {ca}\n{REPO}")).unwrap();
        Config::load(Some(&file))
    };
    assert_eq!(load("'ca.pem'").unwrap().upstream.ca, [pem.as_bytes()]);
    let said = load("['ca.pem', 'not.pem', 'gone.pem']").unwrap_err().to_string();
    let said: Vec<_> = said.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].contains(":2: upstream.ca: \"not.pem\"") && said[0].contains("holds no certificate"),
        "{said:?}"
    );
    assert!(said[1].contains("gone.pem cannot be read: No such file"), "{said:?}");
}

#[test]
fn a_named_file_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let error = Config::load(Some(&folder.path().join("gone.toml"))).unwrap_err();
    assert!(matches!(error, LoadError::Read { .. }), "{error}");
    assert!(error.to_string().contains("gone.toml: the configuration cannot be read"), "{error}");
}

#[test]
fn the_command_line_has_the_last_word() {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    let overrides = Overrides {
        listen: vec![address("127.0.0.1:0")],
        admin: Some(address("127.0.0.1:0")),
        store: Some(PathBuf::from("kept")),
    };
    let config = Config::built_in().apply(overrides).unwrap();
    assert_eq!(config.server.listen, [address("127.0.0.1:0")]);
    assert_eq!(config.server.admin, address("127.0.0.1:0"));
    assert_eq!(config.store.path, std::env::current_dir().unwrap().join("kept"));
    let clash = Overrides { admin: Some(address("127.0.0.1:3142")), ..Overrides::default() };
    assert_eq!(
        Config::built_in().apply(clash).unwrap_err().to_string(),
        "command line: --admin: the admin address 127.0.0.1:3142 takes the same address as the listen address \
         0.0.0.0:3142; choose another port"
    );
}

/// Text that is nearly a configuration: shuffled pieces of real ones.
fn near_toml() -> impl Strategy<Value = String> {
    let piece = proptest::sample::select(vec![
        "[server]\n",
        "[[repo]]\n",
        "[repo]\n",
        "[store",
        "]\n",
        "listen = ",
        "name = ",
        "upstreams = [",
        "'http://*.é'",
        "\"",
        "'''",
        "1_0",
        "-0x1",
        "nan",
        "1979-05-27",
        "true",
        ",",
        "\n",
        "\r\n",
        "=",
        ".",
        "{",
        "}",
        "kind = 'apt'\n",
        "trust = 'https'\n",
    ]);
    proptest::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_mistakes_in_order(text in prop_oneof![near_toml(), "\\PC{0,200}", "[\\s\\S]{0,100}"]) {
        if let Err(Mistakes(mistakes)) = Config::parse(&text, "t.toml") {
            prop_assert!(!mistakes.is_empty());
            prop_assert!(mistakes.is_sorted_by_key(|mistake| mistake.line));
            prop_assert!(mistakes.iter().all(|mistake| (1..=text.lines().count().max(1) + 1).contains(&mistake.line)));
        }
    }
}

/// A repository that seeds can be taken from, and a seed's name.
const SEED: &str =
    "[[repo]]\nname = 'a'\nkind = 'apt'\nupstreams = 'https://a.example/x'\n[[seed]]\nname = 's'\n";
