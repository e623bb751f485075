//! Which of two versions is newer, as dpkg orders them.
//!
//! A version is `[epoch:]upstream[-revision]`. Both parts are compared in turns: a run of characters
//! that are no digits, in which `~` sorts before everything (the end too), letters before the rest; then
//! a run of digits by value. Digits of any length compare without overflow. Texts that are no valid
//! version are ordered as well, somehow but consistently, because one may come along in an index.

use std::cmp::Ordering;

/// Compares two versions. `Equal` does not mean identical: `1.0` and `1.00-0` are one version.
#[must_use]
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    compare_digits(a.epoch, b.epoch)
        .then_with(|| compare_part(a.upstream, b.upstream))
        .then_with(|| compare_part(a.revision, b.revision))
}

struct Parts<'a> {
    epoch: &'a [u8],
    upstream: &'a [u8],
    revision: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(version: &'a [u8]) -> Self {
        let version = version.trim_ascii();
        let (epoch, rest) = match memchr::memchr(b':', version) {
            Some(colon) if version[..colon].iter().all(u8::is_ascii_digit) => {
                (&version[..colon], &version[colon + 1..])
            }
            _ => (b"".as_slice(), version),
        };
        let (upstream, revision) = match memchr::memrchr(b'-', rest) {
            Some(hyphen) => (&rest[..hyphen], &rest[hyphen + 1..]),
            None => (rest, b"".as_slice()),
        };
        Self { epoch, upstream, revision }
    }
}

fn compare_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) =
            (split(&mut a, |byte| !byte.is_ascii_digit()), split(&mut b, |byte| !byte.is_ascii_digit()));
        for at in 0..text_a.len().max(text_b.len()) {
            match weight(text_a.get(at)).cmp(&weight(text_b.get(at))) {
                Ordering::Equal => {}
                unequal => return unequal,
            }
        }
        let (number_a, number_b) = (split(&mut a, u8::is_ascii_digit), split(&mut b, u8::is_ascii_digit));
        match compare_digits(number_a, number_b) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

/// Takes the leading bytes for which `belongs` holds.
fn split<'a>(text: &mut &'a [u8], belongs: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|byte| !belongs(byte)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

/// Where a character that is no digit sorts; the end of the run is `None`.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(b'~') => -1,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}

/// Compares digits by value, whatever their number.
fn compare_digits(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("1.0", "1.0-0", Ordering::Equal)]
    #[case("1.0", "01.00", Ordering::Equal)]
    #[case("0:1", "1", Ordering::Equal)]
    #[case("1:0", "2", Ordering::Greater)]
    #[case("1.0~rc1", "1.0", Ordering::Less)]
    #[case("1.0~~", "1.0~", Ordering::Less)]
    #[case("1.0~~a", "1.0~", Ordering::Less)]
    #[case("1.0a", "1.0+", Ordering::Less)]
    #[case("1.0.", "1.0+", Ordering::Greater)]
    #[case("1.9", "1.10", Ordering::Less)]
    #[case("1-2-3", "1-10-1", Ordering::Less)]
    #[case("7.2-1+deb12u1", "7.2-1", Ordering::Greater)]
    #[case("99999999999999999999999", "100000000000000000000000", Ordering::Less)]
    #[case("", "0", Ordering::Equal)]
    fn as_the_policy_says(#[case] a: &str, #[case] b: &str, #[case] order: Ordering) {
        assert_eq!(compare(a.as_bytes(), b.as_bytes()), order);
        assert_eq!(compare(b.as_bytes(), a.as_bytes()), order.reverse());
    }

    proptest! {
        #[test]
        fn it_is_an_order(a in "[0-2a~+.:-]{0,6}", b in "[0-2a~+.:-]{0,6}", c in "[0-2a~+.:-]{0,6}") {
            let (a, b, c) = (a.as_bytes(), b.as_bytes(), c.as_bytes());
            prop_assert_eq!(compare(a, a), Ordering::Equal);
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            if compare(a, b) != Ordering::Greater && compare(b, c) != Ordering::Greater {
                prop_assert_ne!(compare(a, c), Ordering::Greater);
            }
            if compare(a, b) == Ordering::Equal {
                prop_assert_eq!(compare(a, c), compare(b, c));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(a in any::<Vec<u8>>(), b in any::<Vec<u8>>()) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
    }
}
