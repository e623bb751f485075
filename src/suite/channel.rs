//! Which generation of a suite somebody sees.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::DateTime;

/// A configured channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its name; never `live`, and not a time.
    pub name: Arc<str>,
    /// It shows what `live` has had for this long. Absent: it is moved by hand only.
    pub after: Option<Duration>,
    /// It is promoted only to what the seeds of its suites have here.
    pub ready_before_promote: bool,
}

/// Whose view of the suites is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The current generations: what upstream has.
    #[default]
    Live,
    /// What a named channel is pointed at.
    Named(Arc<str>),
    /// What was current here at a time, in seconds since 1970.
    At(i64),
}

/// How a time is written, as in Ubuntu's and Debian's snapshot services.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The text can be no channel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a channel is a name of lower-case letters, digits, - and _, or a time such as 20261120T000000Z")]
pub struct InvalidChannel;

impl FromStr for Channel {
    type Err = InvalidChannel;

    fn from_str(text: &str) -> Result<Self, InvalidChannel> {
        if text == "live" {
            return Ok(Self::Live);
        }
        let name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if !text.is_empty() && text.len() <= 64 && text.bytes().all(name) {
            return Ok(Self::Named(text.into()));
        }
        let time = DateTime::strptime(TIME, text).map_err(|_| InvalidChannel)?;
        let time = jiff::tz::TimeZone::UTC.to_timestamp(time).map_err(|_| InvalidChannel)?;
        Ok(Self::At(time.as_second()))
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Live => f.write_str("live"),
            Self::Named(name) => f.write_str(name),
            Self::At(time) => match jiff::Timestamp::from_second(*time) {
                Ok(time) => f.write_str(&time.strftime(TIME).to_string()),
                Err(_) => write!(f, "{time}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("live", Channel::Live)]
    #[case("stable", Channel::Named("stable".into()))]
    #[case("20261120T000000Z", Channel::At(1_795_132_800))]
    fn names_and_times_round_trip(#[case] text: &str, #[case] channel: Channel) {
        assert_eq!(text.parse(), Ok(channel.clone()));
        assert_eq!(channel.to_string(), text);
    }

    #[rstest]
    #[case("")]
    #[case("Stable")]
    #[case("20261320T000000Z")]
    #[case("a/b")]
    fn other_text_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Channel>(), Err(InvalidChannel));
    }
}
