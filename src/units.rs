//! Sizes, lengths of time and rates as people write and read them: `400 GB`, `10 min`, `20 Mbit/s`.
//!
//! All types read what an administrator writes, refuse everything else with a sentence that says what
//! is allowed, and print the short form that status pages and messages use. Reading is exact: numbers
//! never pass through floating point.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes. Reads `400 GB` (powers of 1000), `16 KiB` (powers of 1024) or plain bytes;
/// prints at most four significant digits in powers of 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// A length of time. Reads `250 ms`, `5 s`, `10 min`, `2 h` or `30 days`; prints one number and one
/// unit, rounded down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(pub Duration);

/// How fast data may go, in bits per second, as lines are sold. Reads `64 kbit/s`, `20 Mbit/s` or
/// `1 Gbit/s` (powers of 1000); prints at most four significant digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitRate(pub u64);

/// Why a size, a length of time or a rate was refused; the text says what is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// Not a size.
    #[error("a size is a number and a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), such as \"400 GB\"")]
    Size,
    /// A size that the catalog's signed 64-bit integers cannot hold.
    #[error("it is too large; sizes end at 9000000 TB")]
    SizeRange,
    /// Not a length of time.
    #[error("a time is a number and a unit (ms, s, min, h, days), such as \"10 min\"")]
    Period,
    /// A length of time for which clocks would overflow sooner or later.
    #[error("it is too long; times end at 3650 days")]
    PeriodRange,
    /// Not a rate.
    #[error("a rate is a number of bits and a unit (kbit/s, Mbit/s, Gbit/s), such as \"20 Mbit/s\"")]
    Rate,
    /// A rate beyond any line.
    #[error("it is too fast; rates end at 1000 Gbit/s")]
    RateRange,
}

/// Units of sizes, as written; the first of equal value is the one that is printed.
const SIZES: [(&str, u64); 11] = [
    ("B", 1),
    ("", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Units of sizes that are printed, smallest first.
const PRINTED_SIZES: [(&str, u64); 4] =
    [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];

/// Largest size: what the catalog can hold, in whole terabytes.
const LARGEST_SIZE: u64 = 9_000_000 * 1_000_000_000_000;

/// Units of time in milliseconds, as written.
const PERIODS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("day", 86_400_000), ("days", 86_400_000)];

/// Units of rates in bits per second, as written.
const RATES: [(&str, u64); 4] =
    [("bit/s", 1), ("kbit/s", 1_000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000)];

/// Units of rates that are printed, smallest first.
const PRINTED_RATES: [(&str, u64); 3] = [("kbit/s", 1_000), ("Mbit/s", 1_000_000), ("Gbit/s", 1_000_000_000)];

/// Largest rate, in bits per second.
const LARGEST_RATE: u64 = 1_000_000_000_000;

/// Longest length of time, in milliseconds.
const LONGEST_PERIOD: u64 = 3650 * 86_400_000;

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bytes = scaled(text, &SIZES).ok_or(UnitError::Size)?;
        let bytes = u64::try_from(bytes).ok().filter(|bytes| *bytes <= LARGEST_SIZE);
        bytes.map(Self).ok_or(UnitError::SizeRange)
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let milliseconds = scaled(text, &PERIODS).ok_or(UnitError::Period)?;
        let milliseconds = u64::try_from(milliseconds).ok().filter(|ms| *ms <= LONGEST_PERIOD);
        milliseconds.map(|ms| Self(Duration::from_millis(ms))).ok_or(UnitError::PeriodRange)
    }
}

impl FromStr for BitRate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let bits = scaled(text, &RATES).ok_or(UnitError::Rate)?;
        let bits = u64::try_from(bits).ok().filter(|bits| *bits <= LARGEST_RATE);
        bits.map(Self).ok_or(UnitError::RateRange)
    }
}

impl BitRate {
    /// The rate that is so many bytes per second.
    #[must_use]
    pub const fn of_bytes(bytes: u64) -> Self {
        Self(bytes.saturating_mul(8))
    }

    /// The same in bytes per second, rounded down.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0 / 8
    }
}

/// The value of `number unit`, in the smallest unit and rounded down; `None` when it is not of that form.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u128> {
    let text = text.trim();
    let number_ends = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_ends);
    let unit = unit.trim_start();
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    // Twelve digits on either side are beyond any use, and keep the product within 128 bits.
    let digits = |part: &str| (1..=20).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 12 {
        return None;
    }
    let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = fraction.parse::<u128>().ok()? * u128::from(*factor) / power;
    Some(whole.parse::<u128>().ok()? * u128::from(*factor) + fraction)
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000 {
            return write!(f, "{} B", self.0);
        }
        short(f, self.0, &PRINTED_SIZES)
    }
}

impl fmt::Display for BitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000 {
            return write!(f, "{} bit/s", self.0);
        }
        short(f, self.0, &PRINTED_RATES)
    }
}

/// The value in the smallest unit that takes at most four digits, or in the last.
fn short(f: &mut fmt::Formatter<'_>, value: u64, units: &[(&str, u64)]) -> fmt::Result {
    let tenths = |unit: u64| (u128::from(value) * 10 + u128::from(unit / 2)) / u128::from(unit);
    let fitting = units.iter().find(|(_, unit)| tenths(*unit) < 10_000).or(units.last());
    let Some((name, unit)) = fitting else { return Ok(()) };
    match tenths(*unit) {
        tenths if tenths < 1_000 && tenths % 10 != 0 => {
            write!(f, "{}.{} {name}", tenths / 10, tenths % 10)
        }
        tenths => write!(f, "{} {name}", tenths / 10),
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 if !self.0.is_zero() => write!(f, "{} ms", self.0.as_millis()),
            0..120 => write!(f, "{seconds} s"),
            120..7_200 => write!(f, "{} min", seconds / 60),
            7_200..172_800 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("400 GB", 400_000_000_000)]
    #[case("16 KiB", 16_384)]
    #[case("16KiB", 16_384)]
    #[case(" 1.5 MB ", 1_500_000)]
    #[case("0.25 KiB", 256)]
    #[case("1024", 1_024)]
    #[case("12 B", 12)]
    #[case("0", 0)]
    fn sizes_are_read(#[case] text: &str, #[case] bytes: u64) {
        assert_eq!(text.parse(), Ok(ByteSize(bytes)));
    }

    #[rstest]
    #[case("", UnitError::Size)]
    #[case("GB", UnitError::Size)]
    #[case("-1 GB", UnitError::Size)]
    #[case("4 gb", UnitError::Size)]
    #[case("4 GB 3", UnitError::Size)]
    #[case("1.2.3 GB", UnitError::Size)]
    #[case(".5 GB", UnitError::Size)]
    #[case("1e9", UnitError::Size)]
    #[case("٣ GB", UnitError::Size)]
    #[case("9000001 TB", UnitError::SizeRange)]
    #[case("99999999999999999999 TiB", UnitError::SizeRange)]
    fn other_sizes_are_refused(#[case] text: &str, #[case] why: UnitError) {
        assert_eq!(text.parse::<ByteSize>(), Err(why));
    }

    #[rstest]
    #[case("250 ms", Duration::from_millis(250))]
    #[case("5 s", Duration::from_secs(5))]
    #[case("1.5 s", Duration::from_millis(1_500))]
    #[case("10min", Duration::from_mins(10))]
    #[case("2 h", Duration::from_hours(2))]
    #[case("1 day", Duration::from_hours(24))]
    #[case("30 days", Duration::from_hours(720))]
    fn periods_are_read(#[case] text: &str, #[case] period: Duration) {
        assert_eq!(text.parse(), Ok(Period(period)));
    }

    #[rstest]
    #[case("10", UnitError::Period)]
    #[case("10 m", UnitError::Period)]
    #[case("soon", UnitError::Period)]
    #[case("3651 days", UnitError::PeriodRange)]
    fn other_periods_are_refused(#[case] text: &str, #[case] why: UnitError) {
        assert_eq!(text.parse::<Period>(), Err(why));
    }

    #[rstest]
    #[case("20 Mbit/s", 20_000_000)]
    #[case("64kbit/s", 64_000)]
    #[case("2.5 Gbit/s", 2_500_000_000)]
    #[case("800 bit/s", 800)]
    fn rates_are_read(#[case] text: &str, #[case] bits: u64) {
        assert_eq!(text.parse(), Ok(BitRate(bits)));
    }

    #[rstest]
    #[case("20", UnitError::Rate)]
    #[case("20 Mbit", UnitError::Rate)]
    #[case("20 MB/s", UnitError::Rate)]
    #[case("20 Mbps", UnitError::Rate)]
    #[case("fast", UnitError::Rate)]
    #[case("1001 Gbit/s", UnitError::RateRange)]
    fn other_rates_are_refused(#[case] text: &str, #[case] why: UnitError) {
        assert_eq!(text.parse::<BitRate>(), Err(why));
    }

    #[rstest]
    #[case(0, "0 bit/s")]
    #[case(999, "999 bit/s")]
    #[case(64_000, "64 kbit/s")]
    #[case(20_000_000, "20 Mbit/s")]
    #[case(19_960_000, "20 Mbit/s")]
    #[case(2_500_000_000, "2.5 Gbit/s")]
    #[case(1_000_000_000_000, "1000 Gbit/s")]
    fn rates_are_printed(#[case] bits: u64, #[case] shown: &str) {
        assert_eq!(BitRate(bits).to_string(), shown);
    }

    #[rstest]
    #[case(0, "0 B")]
    #[case(999, "999 B")]
    #[case(1_000, "1 kB")]
    #[case(1_234_567_890, "1.2 GB")]
    #[case(12_340_000, "12.3 MB")]
    #[case(123_400_000, "123 MB")]
    #[case(999_960_000, "1 GB")]
    #[case(u64::MAX, "18446744 TB")]
    fn sizes_are_printed(#[case] bytes: u64, #[case] shown: &str) {
        assert_eq!(ByteSize(bytes).to_string(), shown);
    }

    #[rstest]
    #[case(0, "0 s")]
    #[case(250, "250 ms")]
    #[case(90_000, "90 s")]
    #[case(239_000, "3 min")]
    #[case(7_200_000, "2 h")]
    #[case(2_592_000_000, "30 days")]
    fn periods_are_printed(#[case] milliseconds: u64, #[case] shown: &str) {
        assert_eq!(Period(Duration::from_millis(milliseconds)).to_string(), shown);
    }

    proptest! {
        #[test]
        fn exact_rates_round_trip(number in 0_u64..1_000, unit in 0_usize..PRINTED_RATES.len()) {
            let rate = BitRate(number * PRINTED_RATES[unit].1);
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }

        #[test]
        fn exact_sizes_round_trip(number in 0_u64..1_000, unit in 0_usize..PRINTED_SIZES.len()) {
            let size = ByteSize(number * PRINTED_SIZES[unit].1);
            prop_assert_eq!(size.to_string().parse(), Ok(size));
        }

        #[test]
        fn printed_sizes_are_near(bytes in 0..LARGEST_SIZE) {
            let near: ByteSize = ByteSize(bytes).to_string().parse().unwrap();
            prop_assert!(near.0.abs_diff(bytes) <= bytes / 19, "{} for {bytes}", near.0);
        }

        #[test]
        fn printed_periods_are_read(milliseconds in 0..LONGEST_PERIOD) {
            let period = Duration::from_millis(milliseconds);
            let near: Period = Period(period).to_string().parse().unwrap();
            prop_assert!(near.0 <= period && near.0 >= period / 2, "{near:?} for {period:?}");
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}|[0-9.]{0,30} ?[a-zA-Z]{0,4}") {
            let _ = (text.parse::<ByteSize>(), text.parse::<Period>(), text.parse::<BitRate>());
        }
    }
}
