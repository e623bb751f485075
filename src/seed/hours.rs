//! The hours of the day in which a seed may use the line.

use std::fmt;
use std::str::FromStr;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A stretch of every day, over midnight where it ends before it begins: `18:00-06:00`. Local time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hours {
    /// The first minute of the day that belongs to it.
    from: u16,
    /// The first minute that does not any more, 1 to [`DAY`].
    until: u16,
}

/// The text is no such stretch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("hours are two times of day, such as \"18:00-06:00\"; leave them out for the whole day")]
pub struct InvalidHours;

impl Hours {
    /// How many seconds of a day belong to it.
    #[must_use]
    pub fn seconds_a_day(&self) -> u64 {
        let minutes = (DAY + self.until - self.from) % DAY;
        u64::from(if minutes == 0 { DAY } else { minutes }) * 60
    }
}

impl FromStr for Hours {
    type Err = InvalidHours;

    fn from_str(text: &str) -> Result<Self, InvalidHours> {
        let (from, until) = text.split_once('-').ok_or(InvalidHours)?;
        let (from, until) = (time(from)?, time(until)?);
        // The same time twice may mean everything or nothing.
        if from == until || from >= DAY || until == 0 {
            return Err(InvalidHours);
        }
        Ok(Self { from, until })
    }
}

/// The minute of `18:00`; `24:00` is the end of a day.
fn time(text: &str) -> Result<u16, InvalidHours> {
    let (hour, minute) = text.trim().split_once(':').ok_or(InvalidHours)?;
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|_| digits).ok_or(InvalidHours)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let minutes = hour * 60 + minute;
    if minute < 60 && minutes <= DAY { Ok(minutes) } else { Err(InvalidHours) }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, until] = [self.from, self.until].map(|minutes| (minutes / 60, minutes % 60));
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.0, from.1, until.0, until.1)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("18:00-06:00", 12)]
    #[case("6:00 - 18:00", 12)]
    #[case("00:00-24:00", 24)]
    #[case("22:00-24:00", 2)]
    #[case("23:00-01:00", 2)]
    fn stretches_of_a_day(#[case] text: &str, #[case] hours: u64) {
        let read: Hours = text.parse().unwrap();
        assert_eq!(read.seconds_a_day(), hours * 3600);
        assert_eq!(read.to_string().parse(), Ok(read));
    }

    #[rstest]
    #[case("18:00")]
    #[case("18-06")]
    #[case("18:00-18:00")]
    #[case("24:00-06:00")]
    #[case("18:00-00:00")]
    #[case("18:60-19:00")]
    #[case("25:00-26:00")]
    #[case("+1:00-06:00")]
    fn other_text_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Hours>(), Err(InvalidHours));
    }
}
