//! What the line may be used for, in words.

use crate::units::BitRate;
use crate::wan::Plan;

/// The limits of `plan`, in the order in which they count.
pub(super) fn words(plan: &Plan) -> String {
    let limit =
        |limit: Option<BitRate>| limit.map_or_else(|| "unlimited".to_owned(), |rate| rate.to_string());
    let entries = plan.schedule.iter().map(|entry| format!("{}: {}", entry.window, limit(entry.limit)));
    let zone = plan.zone.iana_name().unwrap_or("of the system");
    let zone = (!plan.schedule.is_empty()).then(|| format!("time zone {zone}"));
    let hosts = plan.hosts.iter().map(|(host, rate)| format!("from {}: {rate}", host.as_str()));
    let words: Vec<String> =
        std::iter::once(limit(plan.limit)).chain(entries).chain(zone).chain(hosts).collect();
    words.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn a_plan_reads_as_it_counts() {
        let words_of = |text: &str| {
            let repo = "[[repo]]\nname = 'a'\nkind = 'http'\nupstreams = 'http://a.example'\n";
            words(&Config::parse(&format!("{text}\n{repo}"), "t.toml").unwrap().wan)
        };
        assert_eq!(words_of(""), "unlimited");
        let text = "[wan]\nlimit = '20 Mbit/s'\ntimezone = 'Asia/Pontianak'\n\
                    hosts = { 'b.example' = '5 Mbit/s' }\nschedule = [\n\
                    { days = 'Sat-Sun', limit = 'unlimited' },\n\
                    { days = 'Mon-Fri', hours = '18:00-06:00', limit = '80 Mbit/s' },\n]";
        let said = "20 Mbit/s; Sat,Sun 00:00-24:00: unlimited; Mon,Tue,Wed,Thu,Fri 18:00-06:00: 80 Mbit/s; \
                    time zone Asia/Pontianak; from b.example: 5 Mbit/s";
        assert_eq!(words_of(text), said);
    }
}
