//! Everything a client's request may do to an answer: conditional headers and ranges (RFC 9110 §13, §14).

use headers::{HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince};
use http::{HeaderMap, header};

use super::validators::Validators;

/// The conditional and range headers of one request, parsed. A header that does not parse is ignored,
/// as RFC 9110 asks.
#[derive(Debug, Clone, Default)]
pub struct Conditions {
    if_match: Option<IfMatch>,
    if_none_match: Option<IfNoneMatch>,
    if_modified_since: Option<i64>,
    if_unmodified_since: Option<i64>,
    range: Option<RangeSpec>,
    /// Several ranges in one header.
    ranges: Vec<RangeSpec>,
    if_range: Option<IfRange>,
}

/// Most ranges of one request that are answered part by part; to more, the whole is a correct answer, too
/// (RFC 9110 §14.2). zsync asks for 20.
const MOST_RANGES: usize = 64;

/// A `bytes=` range as it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RangeSpec {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum IfRange {
    Tag(String),
    Date(i64),
}

/// A range that lies within a representation; both ends inclusive, as in `Content-Range`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub first: u64,
    /// Last byte.
    pub last: u64,
}

impl ByteRange {
    /// Number of bytes; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a range that was satisfiable has at least one byte")]
    pub const fn len(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// What the conditions make of a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// 200 with everything.
    Full,
    /// 206 with this part.
    Partial(ByteRange),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    Unsatisfiable,
}

impl Conditions {
    /// Reads the headers of a request.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        // Most requests have none. One look at each name is less than six look-ups.
        if !headers.keys().any(is_condition) {
            return Self::default();
        }
        Self {
            if_match: headers.typed_get(),
            if_none_match: headers.typed_get(),
            if_modified_since: headers
                .typed_get::<IfModifiedSince>()
                .map(|date| crate::clock::unix(date.into())),
            if_unmodified_since: headers
                .typed_get::<IfUnmodifiedSince>()
                .map(|date| crate::clock::unix(date.into())),
            range: single(headers, &header::RANGE).and_then(parse_range),
            ranges: single(headers, &header::RANGE).and_then(parse_ranges).unwrap_or_default(),
            if_range: single(headers, &header::IF_RANGE).map(parse_if_range),
        }
    }

    /// Whether a part is asked for.
    #[must_use]
    pub const fn has_range(&self) -> bool {
        self.range.is_some()
    }

    /// Judges a representation with these validators and, if it is known yet, this size in bytes. The
    /// order of the checks is that of RFC 9110 §13.2.2.
    #[must_use]
    pub fn judge(&self, validators: &Validators, size: Option<u64>) -> Verdict {
        if let Some(condition) = &self.if_match {
            if !validators.tags().any(|tag| condition.precondition_passes(&tag)) {
                return Verdict::PreconditionFailed;
            }
        } else if let Some(date) = self.if_unmodified_since
            && validators.last_modified > date
        {
            return Verdict::PreconditionFailed;
        }
        if let Some(condition) = &self.if_none_match {
            // The condition passes when nothing matches.
            if validators.tags().any(|tag| !condition.precondition_passes(&tag)) {
                return Verdict::NotModified;
            }
        } else if let Some(date) = self.if_modified_since
            && validators.last_modified <= date
        {
            return Verdict::NotModified;
        }
        match (self.range, size) {
            (Some(range), Some(size)) if self.range_applies(validators) => resolve(range, size),
            _ => Verdict::Full,
        }
    }

    /// The parts that were asked for at once, where [`judge`](Self::judge) says that everything is a right
    /// answer: in order, and none touching another. Anything else that is asked for is nothing a client needs,
    /// and cheap to ask for while it is dear to send.
    #[must_use]
    pub fn parts(&self, validators: &Validators, size: Option<u64>) -> Option<Vec<ByteRange>> {
        let size = size.filter(|_| !self.ranges.is_empty() && self.range_applies(validators))?;
        let mut parts: Vec<ByteRange> = Vec::with_capacity(self.ranges.len());
        for range in &self.ranges {
            let Verdict::Partial(part) = resolve(*range, size) else { return None };
            if parts.last().is_some_and(|before| part.first <= before.last) {
                return None;
            }
            parts.push(part);
        }
        Some(parts)
    }

    /// `If-Range` compares exactly: strongly for tags, to the second for dates (RFC 9110 §13.1.5).
    fn range_applies(&self, validators: &Validators) -> bool {
        match &self.if_range {
            None => true,
            Some(IfRange::Tag(tag)) => validators.has_tag(tag),
            Some(IfRange::Date(date)) => validators.has_date(*date),
        }
    }
}

fn is_condition(name: &header::HeaderName) -> bool {
    [
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
        header::RANGE,
        header::IF_RANGE,
    ]
    .contains(name)
}

/// The value of a header that occurs exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

fn parse_range(text: &str) -> Option<RangeSpec> {
    let set = text.trim().strip_prefix("bytes=")?.trim();
    if set.contains(',') { None } else { parse_spec(set) }
}

/// Several ranges, all of which make sense.
fn parse_ranges(text: &str) -> Option<Vec<RangeSpec>> {
    let set = text.trim().strip_prefix("bytes=")?;
    let many = (2..=MOST_RANGES).contains(&set.split(',').take(MOST_RANGES + 1).count());
    if !many {
        return None;
    }
    set.split(',').map(|spec| parse_spec(spec.trim())).collect()
}

fn parse_spec(set: &str) -> Option<RangeSpec> {
    let (first, last) = set.split_once('-')?;
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse().unwrap_or(u64::MAX))
    };
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(RangeSpec::Last),
        (first, "") => number(first).map(RangeSpec::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(RangeSpec::Between(first, last))
        }
    }
}

fn parse_if_range(text: &str) -> IfRange {
    let text = text.trim();
    if text.starts_with('"') || text.starts_with("W/") {
        return IfRange::Tag(text.to_owned());
    }
    // A date that cannot be read matches nothing, so the whole is sent.
    let date = httpdate::parse_http_date(text).map_or(i64::MIN, crate::clock::unix);
    IfRange::Date(date)
}

const fn resolve(range: RangeSpec, size: u64) -> Verdict {
    let (first, last) = match range {
        RangeSpec::From(first) => (first, size.saturating_sub(1)),
        RangeSpec::Between(first, last) => (first, if last < size { last } else { size.saturating_sub(1) }),
        RangeSpec::Last(0) => return Verdict::Unsatisfiable,
        RangeSpec::Last(count) => (size.saturating_sub(count), size.saturating_sub(1)),
    };
    if first >= size { Verdict::Unsatisfiable } else { Verdict::Partial(ByteRange { first, last }) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use rstest::rstest;

    use super::*;

    fn validators() -> Validators {
        Validators {
            etag: "\"v\"".into(),
            other_etag: Some("\"u\"".into()),
            last_modified: 784_111_777,
            other_last_modified: None,
        }
    }

    fn judge(headers: &[(&str, &str)], size: Option<u64>) -> Verdict {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(header::HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Conditions::of(&map).judge(&validators(), size)
    }

    fn part(first: u64, last: u64) -> Verdict {
        Verdict::Partial(ByteRange { first, last })
    }

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[rstest]
    #[case(&[], Verdict::Full)]
    #[case(&[("if-none-match", "\"v\"")], Verdict::NotModified)]
    #[case(&[("if-none-match", "W/\"v\"")], Verdict::NotModified)]
    #[case(&[("if-none-match", "\"x\", \"u\"")], Verdict::NotModified)]
    #[case(&[("if-none-match", "*")], Verdict::NotModified)]
    #[case(&[("if-none-match", "\"x\""), ("if-modified-since", DATE)], Verdict::Full)]
    #[case(&[("if-modified-since", DATE)], Verdict::NotModified)]
    #[case(&[("if-modified-since", LATER)], Verdict::NotModified)]
    #[case(&[("if-modified-since", EARLIER)], Verdict::Full)]
    #[case(&[("if-modified-since", "yesterday")], Verdict::Full)]
    #[case(&[("if-match", "\"x\"")], Verdict::PreconditionFailed)]
    #[case(&[("if-match", "\"v\"")], Verdict::Full)]
    #[case(&[("if-unmodified-since", EARLIER)], Verdict::PreconditionFailed)]
    #[case(&[("range", "bytes=0-0")], part(0, 0))]
    #[case(&[("range", "bytes=10-")], part(10, 99))]
    #[case(&[("range", "bytes=10-1000")], part(10, 99))]
    #[case(&[("range", "bytes=-30")], part(70, 99))]
    #[case(&[("range", "bytes=-300")], part(0, 99))]
    #[case(&[("range", "bytes=-0")], Verdict::Unsatisfiable)]
    #[case(&[("range", "bytes=100-")], Verdict::Unsatisfiable)]
    #[case(&[("range", "bytes=99999999999999999999999-")], Verdict::Unsatisfiable)]
    #[case(&[("range", "bytes=5-4")], Verdict::Full)]
    #[case(&[("range", "bytes=0-1,5-6")], Verdict::Full)]
    #[case(&[("range", "bytes=0-1"), ("range", "bytes=5-6")], Verdict::Full)]
    #[case(&[("range", "lines=0-1")], Verdict::Full)]
    #[case(&[("range", "bytes=+1-")], Verdict::Full)]
    #[case(&[("range", "bytes=10-"), ("if-range", DATE)], part(10, 99))]
    #[case(&[("range", "bytes=10-"), ("if-range", LATER)], Verdict::Full)]
    #[case(&[("range", "bytes=10-"), ("if-range", EARLIER)], Verdict::Full)]
    #[case(&[("range", "bytes=10-"), ("if-range", "\"u\"")], part(10, 99))]
    #[case(&[("range", "bytes=10-"), ("if-range", "W/\"v\"")], Verdict::Full)]
    #[case(&[("range", "bytes=10-"), ("if-range", "nonsense")], Verdict::Full)]
    #[case(&[("range", "bytes=0-1"), ("if-none-match", "\"v\"")], Verdict::NotModified)]
    fn conditions_are_judged_in_order(#[case] headers: &[(&str, &str)], #[case] verdict: Verdict) {
        assert_eq!(judge(headers, Some(100)), verdict);
    }

    #[rstest]
    #[case("bytes=0-1,5-6", Some(vec![(0, 1), (5, 6)]))]
    #[case("bytes=0-1, 5-6 ,90-1000", Some(vec![(0, 1), (5, 6), (90, 99)]))]
    #[case("bytes=0-1,-5", Some(vec![(0, 1), (95, 99)]))]
    #[case("bytes=0-1", None)]
    #[case("bytes=5-6,0-1", None)]
    #[case("bytes=0-5,5-6", None)]
    #[case("bytes=0-5,100-", None)]
    #[case("bytes=0-5,x", None)]
    #[case("bytes=0-5,", None)]
    fn several_ranges_are_parts_when_they_are_in_order(
        #[case] text: &'static str,
        #[case] expected: Option<Vec<(u64, u64)>>,
    ) {
        let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(text))]);
        let parts = Conditions::of(&headers).parts(&validators(), Some(100));
        assert_eq!(parts.map(|parts| parts.iter().map(|part| (part.first, part.last)).collect()), expected);
    }

    #[test]
    fn too_many_ranges_are_the_whole() {
        let text: Vec<_> = (0..=MOST_RANGES).map(|n| format!("{}-{}", n * 2, n * 2)).collect();
        let value = HeaderValue::from_str(&format!("bytes={}", text.join(","))).unwrap();
        let headers = HeaderMap::from_iter([(header::RANGE, value)]);
        assert_eq!(Conditions::of(&headers).parts(&validators(), Some(10_000)), None);
    }

    #[test]
    fn without_a_size_there_are_no_ranges() {
        assert_eq!(judge(&[("range", "bytes=10-")], None), Verdict::Full);
        assert_eq!(judge(&[("range", "bytes=0-")], Some(0)), Verdict::Unsatisfiable);
    }
}
