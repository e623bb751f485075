//! Hours of the week at which something holds: `Mon-Fri`, `18:00-06:00`.
//!
//! A [`Window`] is read on the clock on the wall of one time zone and answers in points of time, so that
//! whoever uses it need not know about zones or about the two nights of a year on which an hour is missing
//! or comes twice. Hours over midnight belong to the day on which they begin: `Fri` with `18:00-06:00` ends
//! on Saturday morning. On a night on which the clock is changed such a window is an hour shorter or longer;
//! a border that falls into a missing hour moves to after it, and one in an hour that comes twice means the
//! first time.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;

/// Days of the week. Reads `Mon`, `Mon-Fri`, `Sat,Sun`, `Fri-Mon`; prints each day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Days(u8);

/// From one time of day to another, over midnight if that is not later. Reads and prints `18:00-06:00`; the
/// end may be `24:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Minutes since midnight; below a day.
    from: u16,
    /// Minutes since midnight; above 0, up to a day.
    to: u16,
}

/// Hours on days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The days on which it begins.
    pub days: Days,
    /// How long it lasts.
    pub hours: Hours,
}

/// One occurrence of a window: from `begin` until just before `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first instant.
    pub begin: Timestamp,
    /// The first instant after it.
    pub end: Timestamp,
}

/// Why days or hours were refused; the text says what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// Not days.
    #[error(
        "days are Mon, Tue, Wed, Thu, Fri, Sat, Sun, one, a range or several, such as \"Mon-Fri\" or \"Sat,Sun\""
    )]
    Days,
    /// Not hours.
    #[error("hours are two times of day from 00:00 to 24:00, such as \"18:00-06:00\"")]
    Hours,
    /// Hours that last for nothing, or for a day: nobody can tell which.
    #[error("it ends when it begins; write \"00:00-24:00\" for the whole day")]
    NoLength,
}

const NAMES: [(&str, &str); 7] = [
    ("Mon", "Monday"),
    ("Tue", "Tuesday"),
    ("Wed", "Wednesday"),
    ("Thu", "Thursday"),
    ("Fri", "Friday"),
    ("Sat", "Saturday"),
    ("Sun", "Sunday"),
];

const MINUTES_OF_DAY: u16 = 24 * 60;

impl Days {
    /// Every day.
    pub const ALL: Self = Self(0b111_1111);

    /// Whether this day is one of them.
    #[must_use]
    pub fn contains(self, day: Weekday) -> bool {
        let index = day.to_monday_zero_offset().unsigned_abs();
        self.0 & (1 << index) != 0
    }
}

impl Hours {
    /// The whole day.
    pub const ALL: Self = Self { from: 0, to: MINUTES_OF_DAY };
}

impl Window {
    /// Whether it is open at `at` in `zone`.
    #[must_use]
    pub fn contains(&self, at: Timestamp, zone: &TimeZone) -> bool {
        self.spans(at, zone).next().is_some_and(|span| span.begin <= at)
    }

    /// The next time after `at` at which it begins or ends. None only where time itself ends.
    #[must_use]
    pub fn border_after(&self, at: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        self.spans(at, zone).flat_map(|span| [span.begin, span.end]).find(|border| *border > at)
    }

    /// Its occurrences that end after `at`, in order, without an end: the first may have begun before.
    pub fn spans(&self, at: Timestamp, zone: &TimeZone) -> impl Iterator<Item = Span> {
        // What is open now began today or yesterday.
        let today = zone.to_datetime(at).date();
        let first = today.yesterday().unwrap_or(today);
        std::iter::successors(Some(first), |day| day.tomorrow().ok())
            .filter(|day| self.days.contains(day.weekday()))
            .map_while(|day| self.on(day, zone))
            .filter(move |span| span.end > at && span.begin < span.end)
    }

    /// The occurrence that begins on `day`.
    fn on(self, day: Date, zone: &TimeZone) -> Option<Span> {
        let Hours { from, to } = self.hours;
        let last_day = if to <= from { day.tomorrow().ok()? } else { day };
        Some(Span { begin: instant(day, from, zone)?, end: instant(last_day, to, zone)? })
    }
}

/// When the clock on the wall shows so many minutes after midnight.
fn instant(day: Date, minutes: u16, zone: &TimeZone) -> Option<Timestamp> {
    let day = if minutes < MINUTES_OF_DAY { day } else { day.tomorrow().ok()? };
    let (hour, minute) = (minutes / 60 % 24, minutes % 60);
    let time = day.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0);
    zone.to_ambiguous_timestamp(time).compatible().ok()
}

impl FromStr for Days {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let mut days = 0;
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (day(first)?, day(last)?);
            let mut index = first;
            loop {
                days |= 1 << index;
                if index == last {
                    break;
                }
                index = (index + 1) % NAMES.len();
            }
        }
        Ok(Self(days))
    }
}

/// The day's place in the week.
fn day(text: &str) -> Result<usize, WindowError> {
    let text = text.trim();
    let is_it =
        |(short, long): &(&str, &str)| text.eq_ignore_ascii_case(short) || text.eq_ignore_ascii_case(long);
    NAMES.iter().position(is_it).ok_or(WindowError::Days)
}

impl FromStr for Hours {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let (from, to) = text.split_once('-').ok_or(WindowError::Hours)?;
        let (from, to) = (minutes(from)?, minutes(to)?);
        if from == to {
            return Err(WindowError::NoLength);
        }
        if from == MINUTES_OF_DAY {
            return Err(WindowError::Hours);
        }
        // To midnight and over midnight are the same there.
        let to = if to == 0 { MINUTES_OF_DAY } else { to };
        Ok(Self { from, to })
    }
}

/// Minutes since midnight of `18:00`.
fn minutes(text: &str) -> Result<u16, WindowError> {
    let number = |text: &str, most: u16| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = digits.then(|| text.parse::<u16>().ok()).flatten();
        number.filter(|number| *number <= most).ok_or(WindowError::Hours)
    };
    let (hour, minute) = text.trim().split_once(':').ok_or(WindowError::Hours)?;
    let minutes = number(hour, 24)? * 60 + number(minute, 59)?;
    if minutes <= MINUTES_OF_DAY { Ok(minutes) } else { Err(WindowError::Hours) }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (index, (name, _)) in NAMES.iter().enumerate() {
            if self.0 & (1 << index) != 0 {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == Days::ALL {
            return write!(f, "daily {}", self.hours);
        }
        write!(f, "{} {}", self.days, self.hours)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn window(days: &str, hours: &str) -> Window {
        Window { days: days.parse().unwrap(), hours: hours.parse().unwrap() }
    }

    #[rstest]
    #[case("Mon-Fri", "Mon,Tue,Wed,Thu,Fri")]
    #[case("sat, SUNDAY", "Sat,Sun")]
    #[case("Fri-Mon", "Mon,Fri,Sat,Sun")]
    #[case("Wed", "Wed")]
    #[case("Mon-Tue,Sun", "Mon,Tue,Sun")]
    fn days_are_read(#[case] text: &str, #[case] days: &str) {
        assert_eq!(text.parse::<Days>().unwrap().to_string(), days);
    }

    #[rstest]
    #[case("")]
    #[case("Mon-")]
    #[case("Mon,,Tue")]
    #[case("Senin")]
    #[case("Mon-Tue-Wed")]
    fn other_days_are_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Days>(), Err(WindowError::Days));
    }

    #[rstest]
    #[case("18:00-06:00", "18:00-06:00")]
    #[case(" 00:00 - 24:00 ", "00:00-24:00")]
    #[case("18:30-00:00", "18:30-24:00")]
    fn hours_are_read(#[case] text: &str, #[case] hours: &str) {
        assert_eq!(text.parse::<Hours>().unwrap().to_string(), hours);
    }

    #[rstest]
    #[case("18-06", WindowError::Hours)]
    #[case("18:00", WindowError::Hours)]
    #[case("25:00-06:00", WindowError::Hours)]
    #[case("24:30-06:00", WindowError::Hours)]
    #[case("24:00-06:00", WindowError::Hours)]
    #[case("8:00-06:00", WindowError::Hours)]
    #[case("+8:00-06:00", WindowError::Hours)]
    #[case("18:60-06:00", WindowError::Hours)]
    #[case("06:00-06:00", WindowError::NoLength)]
    #[case("00:00-00:00", WindowError::NoLength)]
    fn other_hours_are_refused(#[case] text: &str, #[case] why: WindowError) {
        assert_eq!(text.parse::<Hours>(), Err(why));
    }

    /// 2026-11-20 is a Friday; Pontianak is seven hours ahead of UTC all year.
    #[rstest]
    #[case("2026-11-20T10:59:59Z", false)]
    #[case("2026-11-20T11:00:00Z", true)]
    // Saturday morning still belongs to Friday.
    #[case("2026-11-20T22:59:59Z", true)]
    #[case("2026-11-20T23:00:00Z", false)]
    // Saturday evening does not.
    #[case("2026-11-21T12:00:00Z", false)]
    // Nor does Monday morning, which would be Sunday's.
    #[case("2026-11-22T22:00:00Z", false)]
    #[case("2026-11-23T11:00:00Z", true)]
    fn nights_belong_to_the_day_on_which_they_begin(#[case] now: &str, #[case] open: bool) {
        let nights = window("Mon-Fri", "18:00-06:00");
        assert_eq!(nights.contains(at(now), &zone("Asia/Pontianak")), open);
    }

    #[test]
    fn borders_follow_each_other() {
        let zone = zone("Asia/Pontianak");
        let nights = window("Fri-Sat", "18:00-06:00");
        let mut now = at("2026-11-20T00:00:00Z");
        let mut borders = Vec::new();
        for _ in 0..5 {
            now = nights.border_after(now, &zone).unwrap();
            borders.push(now);
        }
        let expected = [
            "2026-11-20T11:00:00Z",
            "2026-11-20T23:00:00Z",
            "2026-11-21T11:00:00Z",
            "2026-11-21T23:00:00Z",
            "2026-11-27T11:00:00Z",
        ];
        assert_eq!(borders, expected.map(at));
    }

    /// In Berlin 2026-03-29 had no hour from 2 to 3, and 2026-10-25 had it twice.
    #[rstest]
    #[case("22:00-06:00", "2026-03-28T12:00:00Z", "2026-03-28T21:00:00Z", "2026-03-29T04:00:00Z")]
    #[case("22:00-06:00", "2026-10-24T12:00:00Z", "2026-10-24T20:00:00Z", "2026-10-25T05:00:00Z")]
    // Both borders in the missing hour: it happens after it.
    #[case("02:15-02:45", "2026-03-29T00:00:00Z", "2026-03-29T01:15:00Z", "2026-03-29T01:45:00Z")]
    // An end in the missing hour.
    #[case("01:00-02:30", "2026-03-28T23:00:00Z", "2026-03-29T00:00:00Z", "2026-03-29T01:30:00Z")]
    // The hour that comes twice: once is enough.
    #[case("02:15-02:45", "2026-10-25T00:00:00Z", "2026-10-25T00:15:00Z", "2026-10-25T00:45:00Z")]
    #[case("02:30-04:00", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T03:00:00Z")]
    fn the_clock_is_changed(#[case] hours: &str, #[case] now: &str, #[case] begin: &str, #[case] end: &str) {
        let window = Window { days: Days::ALL, hours: hours.parse().unwrap() };
        let next = window.spans(at(now), &zone("Europe/Berlin")).next();
        assert_eq!(next, Some(Span { begin: at(begin), end: at(end) }));
    }

    #[test]
    fn a_whole_day_is_always_open_and_ends_at_midnight() {
        let zone = zone("Asia/Pontianak");
        let always = Window { days: Days::ALL, hours: Hours::ALL };
        let now = at("2026-11-20T10:00:00Z");
        assert!(always.contains(now, &zone));
        assert_eq!(always.border_after(now, &zone), Some(at("2026-11-20T17:00:00Z")));
        assert!(always.contains(at("2026-11-20T17:00:00Z"), &zone));
    }

    /// Whatever the window and the moment, the next border is the first time at which it opens or shuts.
    #[test]
    fn between_borders_nothing_changes() {
        let zone = zone("Europe/Berlin");
        for hours in ["22:00-06:00", "02:30-03:30", "00:00-24:00", "23:59-00:01"] {
            for days in ["Sat", "Sun", "Sat-Sun", "Mon-Sun"] {
                let window = window(days, hours);
                let mut now = at("2026-10-23T00:00:00Z");
                while now < at("2026-11-03T00:00:00Z") {
                    let border = window.border_after(now, &zone).unwrap();
                    let open = window.contains(now, &zone);
                    let mut probe = now;
                    while probe < border {
                        assert_eq!(window.contains(probe, &zone), open, "{days} {hours} at {probe}");
                        probe += std::time::Duration::from_mins(7);
                    }
                    now = border;
                }
            }
        }
    }
}
