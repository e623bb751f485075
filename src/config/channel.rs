//! `[[channel]]` and `[[office]]`: as written, validated against each other.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::mistakes::{Given, Place, Report};
use super::reader::{Item, Table};
use super::server::network;
use crate::server::Office;
use crate::suite::{Channel, ChannelConfig};
use crate::units::Period;

/// Shortest and longest soak time.
const SOAK: std::ops::RangeInclusive<Period> =
    Period(Duration::from_mins(1))..=Period(Duration::from_hours(24 * 365));

/// One channel as written; a value with a mistake counts as absent.
pub(super) struct WrittenChannel {
    missing: Option<Place>,
    name: Option<Given<Arc<str>>>,
    after: Option<Duration>,
    ready_before_promote: bool,
}

/// One office as written.
pub(super) struct WrittenOffice {
    missing: Vec<(Place, &'static str)>,
    name: Option<Given<Arc<str>>>,
    networks: Vec<Given<IpNet>>,
    channel: Option<Given<Channel>>,
}

impl WrittenChannel {
    pub fn read(table: Table<'_>) -> Self {
        let written = Self {
            missing: table.is_absent("name").then(|| table.place("name")),
            name: table.item("name").and_then(|item| item.read(channel_name)),
            after: table
                .item("after")
                .and_then(|item| item.within(&SOAK, "1 min to 365 days; leave it out to promote by hand"))
                .map(|given| given.value.0),
            ready_before_promote: table
                .item("ready_before_promote")
                .and_then(|item| item.flag())
                .unwrap_or(false),
        };
        table.finish();
        written
    }
}

impl WrittenOffice {
    pub fn read(table: Table<'_>) -> Self {
        const NEEDED: [(&str, &str); 2] = [
            ("name", "is missing; an office needs a name, such as \"Bappeda\""),
            ("networks", "is missing; an office is known by its networks, such as [\"10.20.1.0/24\"]"),
        ];
        let missing = NEEDED.iter().filter(|(key, _)| table.is_absent(key));
        let written = Self {
            missing: missing.map(|(key, advice)| (table.place(key), *advice)).collect(),
            name: table.item("name").and_then(|item| item.read(office_name)),
            networks: table
                .item("networks")
                .map(|item| item.list(true, |item| item.read(network)))
                .unwrap_or_default(),
            channel: table.item("channel").and_then(|item| Item::parse(&item)),
        };
        table.finish();
        written
    }
}

/// The channels, compared with each other.
pub(super) fn channels(written: Vec<WrittenChannel>, report: &Report<'_>) -> Vec<ChannelConfig> {
    for place in written.iter().filter_map(|channel| channel.missing.as_ref()) {
        report.wrong(place, "is missing; a channel needs a name, such as \"stable\"");
    }
    let names = written.iter().filter_map(|channel| channel.name.as_ref());
    no_two(report, names, |first| format!("is the name of the channel in line {first}, too; choose another"));
    written
        .into_iter()
        .filter_map(|written| {
            let WrittenChannel { name, after, ready_before_promote, .. } = written;
            Some(ChannelConfig { name: name?.value, after, ready_before_promote })
        })
        .collect()
}

/// The offices, compared with each other and with the channels.
pub(super) fn offices(
    written: Vec<WrittenOffice>,
    channels: &[ChannelConfig],
    report: &Report<'_>,
) -> Vec<Office> {
    for (place, advice) in written.iter().flat_map(|office| &office.missing) {
        report.wrong(place, *advice);
    }
    let names = written.iter().filter_map(|office| office.name.as_ref());
    no_two(report, names, |first| format!("is the name of the office in line {first}, too; choose another"));
    let networks = written.iter().flat_map(|office| &office.networks);
    no_two(report, networks, |first| {
        format!("has a network that stands in line {first}, too; a network belongs to one office")
    });
    for given in written.iter().filter_map(|office| office.channel.as_ref()) {
        let Channel::Named(name) = &given.value else { continue };
        if !channels.iter().any(|channel| channel.name == *name) {
            let known: Vec<&str> =
                std::iter::once("live").chain(channels.iter().map(|channel| &*channel.name)).collect();
            let message = format!(
                "is {:?}, but there is no such channel; there are {}. Add a [[channel]] of that name",
                &**name,
                known.join(", ")
            );
            report.wrong(&given.place, message);
        }
    }
    written
        .into_iter()
        .filter_map(|written| {
            Some(Office {
                name: written.name?.value,
                networks: super::values::values(written.networks),
                channel: written.channel.map(|given| given.value).unwrap_or_default(),
            })
        })
        .collect()
}

/// Reports values that stand in the file twice, with the line of the first.
fn no_two<'g, T: Eq + Hash + 'g>(
    report: &Report<'_>,
    given: impl Iterator<Item = &'g Given<T>>,
    message: impl Fn(usize) -> String,
) {
    let mut seen = HashMap::new();
    for given in given {
        let line = report.line(given.place.at);
        let first = *seen.entry(&given.value).or_insert((line, given.place.at));
        if first.1 != given.place.at {
            report.wrong(&given.place, message(first.0));
        }
    }
}

fn channel_name(text: &str) -> Result<Arc<str>, String> {
    match text.parse() {
        Ok(Channel::Named(name)) => Ok(name),
        Ok(Channel::Live) => {
            Err("live is what upstream has, and always there; choose another name".to_owned())
        }
        Ok(Channel::At(_)) => Err("it is a time, which needs no channel; choose another name".to_owned()),
        Err(_) => Err("a channel's name is 1 to 64 of a-z, 0-9, `-` and `_`".to_owned()),
    }
}

fn office_name(text: &str) -> Result<Arc<str>, &'static str> {
    if text.trim().is_empty() || text.len() > 100 || text.contains(char::is_control) {
        Err("a name is 1 to 100 printable characters")
    } else {
        Ok(text.into())
    }
}
