//! How things are written on a page: words, numbers and times as its reader knows them.

use jiff::tz::TimeZone;

use super::Visitor;
use super::session::Session;
use crate::history::local;
use crate::language::Language;
use crate::status::bytes_in_words;

/// What a page's frame shows, and how its texts are written.
pub(super) struct Look {
    pub(super) language: Language,
    pub(super) session: Option<Session>,
    pub(super) path: String,
    pub(super) now: i64,
    pub(super) zone: TimeZone,
}

/// One entry of the menu.
pub(super) struct Entry {
    pub(super) path: &'static str,
    pub(super) text: &'static str,
    pub(super) here: bool,
}

impl Look {
    pub(super) fn new(visitor: &Visitor, zone: TimeZone, now: i64) -> Self {
        let (language, session, path) = (visitor.language, visitor.session.clone(), visitor.path.clone());
        Self { language, session, path, now, zone }
    }

    pub(super) const fn t<'t>(&self, english: &'t str, indonesian: &'t str) -> &'t str {
        self.language.say(english, indonesian)
    }

    pub(super) fn menu(&self) -> Vec<Entry> {
        let all = [
            ("/", "Overview", "Ikhtisar"),
            ("/repositories", "Repositories", "Repositori"),
            ("/channels", "Channels", "Kanal"),
            ("/flights", "Transfers", "Transfer"),
            ("/seeds", "Seeds", "Persediaan"),
            ("/offices", "Offices", "Kantor"),
            ("/desktops", "Desktops", "Komputer"),
            ("/packages", "Packages", "Paket"),
            ("/store", "Store", "Penyimpanan"),
            ("/events", "Events", "Peristiwa"),
        ];
        let entry = |(path, english, indonesian)| Entry {
            path,
            text: self.t(english, indonesian),
            here: path == self.path,
        };
        all.map(entry).into()
    }

    /// `12.5 GB`; in Indonesian with a comma.
    pub(super) fn bytes(&self, bytes: u64) -> String {
        self.decimal(bytes_in_words(bytes))
    }

    pub(super) fn rate(&self, bytes: u64) -> String {
        self.decimal(crate::units::BitRate::of_bytes(bytes).to_string())
    }

    /// `1,234,567`, or `1.234.567`.
    pub(super) fn number(&self, number: u64) -> String {
        let digits = number.to_string();
        let separator = self.t(",", ".");
        let mut text = String::new();
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push_str(separator);
            }
            text.push(digit);
        }
        text
    }

    pub(super) fn percent(&self, ratio: Option<f64>) -> String {
        ratio.map_or_else(|| "–".to_owned(), |ratio| self.decimal(format!("{:.1} %", ratio * 100.0)))
    }

    /// A part of a whole as a percentage.
    pub(super) fn share(&self, part: u64, whole: u64) -> String {
        self.percent(share(part, whole))
    }

    /// `24 Nov 14:05`.
    pub(super) fn time(&self, time: i64) -> String {
        let time = local(time, &self.zone);
        format!("{} {} {}", time.day(), self.month(time.month()), time.strftime("%H:%M"))
    }

    /// `24 Nov`.
    pub(super) fn day(&self, time: i64) -> String {
        let time = local(time, &self.zone);
        format!("{} {}", time.day(), self.month(time.month()))
    }

    /// `14:05`.
    pub(super) fn clock(&self, time: i64) -> String {
        local(time, &self.zone).strftime("%H:%M").to_string()
    }

    fn month(&self, month: i8) -> &'static str {
        const ENGLISH: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        const INDONESIAN: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "Mei", "Jun", "Jul", "Agu", "Sep", "Okt", "Nov", "Des"];
        let at = usize::try_from(month - 1).unwrap_or(0).min(11);
        self.t(ENGLISH[at], INDONESIAN[at])
    }

    /// A length of time in its two largest units.
    pub(super) fn duration(&self, seconds: u64) -> String {
        let (day, hour, minute, second) =
            (self.t("d", "hari"), self.t("h", "jam"), self.t("min", "mnt"), self.t("s", "dtk"));
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        let pair = |first: u64, unit: &str, second: u64, next: &str| {
            if second == 0 { format!("{first} {unit}") } else { format!("{first} {unit} {second} {next}") }
        };
        match (days, hours, minutes) {
            (0, 0, 0) => format!("{seconds} {second}"),
            (0, 0, _) => pair(minutes, minute, seconds % 60, second),
            (0, _, _) => pair(hours, hour, minutes, minute),
            _ => pair(days, day, hours, hour),
        }
    }

    pub(super) fn ago(&self, time: i64) -> String {
        let passed = self.duration(u64::try_from(self.now - time).unwrap_or(0));
        format!("{passed} {}", self.t("ago", "lalu"))
    }

    /// A name, or what stands for none.
    pub(super) fn named(&self, name: &str) -> String {
        if name.is_empty() { self.t("(none)", "(tanpa)").to_owned() } else { name.to_owned() }
    }

    fn decimal(&self, text: String) -> String {
        match self.language {
            Language::English => text,
            Language::Indonesian => text.replace('.', ","),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn look(language: Language) -> Look {
        Look { language, session: None, path: "/".to_owned(), now: 1_795_521_600, zone: TimeZone::UTC }
    }

    #[test]
    fn numbers_are_written_as_their_reader_knows_them() {
        let (english, indonesian) = (look(Language::English), look(Language::Indonesian));
        assert_eq!(
            (english.number(1_234_567), indonesian.number(1_234_567)),
            ("1,234,567".into(), "1.234.567".into())
        );
        assert_eq!(
            (english.bytes(12_500_000_000), indonesian.bytes(12_500_000_000)),
            ("12.5 GB".into(), "12,5 GB".into())
        );
        assert_eq!(indonesian.percent(Some(0.987)), "98,7 %");
        assert_eq!(english.time(1_795_521_600), "24 Nov 12:00");
        assert_eq!(indonesian.ago(1_795_521_600 - 7260), "2 jam 1 mnt lalu");
        assert_eq!((english.duration(7 * 86_400), english.duration(61)), ("7 d".into(), "1 min 1 s".into()));
        assert_eq!(
            (english.number(0), english.number(100), english.percent(None)),
            ("0".into(), "100".into(), "–".into())
        );
    }
}
