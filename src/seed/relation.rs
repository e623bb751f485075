//! The relations of packages to each other: `libc6 (>= 2.36) | libc6.1, perl:any`.
//!
//! A field such as `Depends` is a row of [clauses](Clause) parted by commas, all of which must hold; a
//! clause is a row of [alternatives](Alternative) parted by bars, one of which must. `Conflicts`, `Breaks`
//! and `Provides` have one alternative in each clause. The grammar is that of Debian Policy §7.1.
//!
//! Reading copies nothing and is done when it is needed: of a suite's 70,000 packages a seed visits a few
//! thousand. A clause that makes no sense spoils itself only, as a vendor's careless field must not take the
//! rest of his package with it.

use std::cmp::Ordering;

use crate::repo::apt::version;

/// One requirement: alternatives, of which any will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clause<'a>(&'a [u8]);

/// One way to meet a clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alternative<'a> {
    /// The name of a package, or of something that packages provide.
    pub name: &'a [u8],
    /// What stands after the name's colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a [u8]>,
    /// Which versions will do; all when absent.
    pub bound: Option<Bound<'a>>,
    /// The words between brackets: the architectures that it is meant for, or with `!` is not.
    restriction: &'a [u8],
}

/// A bound on versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound<'a> {
    /// How the version must compare.
    pub relation: Relation,
    /// With what.
    pub version: &'a [u8],
}

/// How two versions compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `<<`
    Earlier,
    /// `<=`, and `<` of long ago
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`, and `>` of long ago
    LaterOrEqual,
    /// `>>`
    Later,
}

/// A text that is no relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it cannot be read as a relation")]
pub struct BadRelation;

/// The clauses of a field, without empty ones.
pub fn clauses(field: &[u8]) -> impl Iterator<Item = Clause<'_>> + Clone {
    field.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|text| !text.is_empty()).map(Clause)
}

impl<'a> Clause<'a> {
    /// Its alternatives in the order of preference.
    pub fn alternatives(self) -> impl Iterator<Item = Result<Alternative<'a>, BadRelation>> {
        self.0.split(|byte| *byte == b'|').map(|text| Alternative::parse(text).ok_or(BadRelation))
    }

    /// What stands in the index, for messages.
    #[must_use]
    pub const fn text(self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Alternative<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let mut rest = text.trim_ascii();
        let name = take(&mut rest, |byte| !byte.is_ascii_whitespace() && !b":([<".contains(&byte));
        if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut read = Self { name, qualifier: None, bound: None, restriction: b"" };
        if let Some(after) = rest.strip_prefix(b":") {
            rest = after;
            let word = take(&mut rest, |byte| !byte.is_ascii_whitespace() && !b"([<".contains(&byte));
            read.qualifier = Some(word).filter(|word| !word.is_empty());
            read.qualifier?;
        }
        loop {
            rest = rest.trim_ascii_start();
            let Some((first, after)) = rest.split_first() else { return Some(read) };
            let close = match first {
                b'(' => b')',
                b'[' => b']',
                b'<' => b'>',
                _ => return None,
            };
            let end = memchr::memchr(close, after)?;
            let inside = after[..end].trim_ascii();
            rest = &after[end + 1..];
            match first {
                b'(' if read.bound.is_none() => read.bound = Some(Bound::parse(inside)?),
                b'[' => read.restriction = inside,
                // Build profiles do not occur in binary packages, and restrict nothing here.
                b'<' => {}
                _ => return None,
            }
        }
    }

    /// Whether it is meant for packages of this architecture.
    #[must_use]
    pub fn is_for(&self, architecture: &[u8]) -> bool {
        let mut words =
            self.restriction.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).peekable();
        match words.peek() {
            None => true,
            Some(first) if first.starts_with(b"!") => {
                !words.any(|word| word.strip_prefix(b"!") == Some(architecture))
            }
            Some(_) => words.any(|word| word == architecture || word == b"any"),
        }
    }
}

impl<'a> Bound<'a> {
    fn parse(text: &'a [u8]) -> Option<Self> {
        let signs = text.iter().take_while(|byte| b"<=>".contains(byte)).count();
        let (relation, version) = text.split_at(signs);
        let relation = match relation {
            b"<<" => Relation::Earlier,
            b"<=" | b"<" => Relation::EarlierOrEqual,
            b"=" | b"==" => Relation::Equal,
            b">=" | b">" => Relation::LaterOrEqual,
            b">>" => Relation::Later,
            _ => return None,
        };
        let version = version.trim_ascii();
        (!version.is_empty()).then_some(Self { relation, version })
    }

    /// Whether a version keeps to it.
    #[must_use]
    pub fn admits(&self, version: &[u8]) -> bool {
        let order = version::compare(version, self.version);
        match self.relation {
            Relation::Earlier => order == Ordering::Less,
            Relation::EarlierOrEqual => order != Ordering::Greater,
            Relation::Equal => order == Ordering::Equal,
            Relation::LaterOrEqual => order != Ordering::Less,
            Relation::Later => order == Ordering::Greater,
        }
    }
}

/// Takes the leading bytes for which `belongs` holds.
fn take<'a>(text: &mut &'a [u8], belongs: impl Fn(u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|byte| !belongs(*byte)).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn only(text: &str) -> Alternative<'_> {
        let all: Vec<_> = clauses(text.as_bytes()).flat_map(Clause::alternatives).collect();
        assert_eq!(all.len(), 1, "{text}");
        all[0].unwrap()
    }

    #[test]
    fn clauses_and_alternatives_in_their_order() {
        let text = b"libc6 (>= 2.36), ,\n default-mta | mail-transport-agent,perl:any(>>5)";
        let names: Vec<Vec<_>> = clauses(text)
            .map(|clause| {
                let text =
                    |alternative: Alternative<'_>| String::from_utf8_lossy(alternative.name).into_owned();
                clause.alternatives().map(|alternative| text(alternative.unwrap())).collect()
            })
            .collect();
        assert_eq!(names, [vec!["libc6"], vec!["default-mta", "mail-transport-agent"], vec!["perl"]]);
    }

    #[rstest]
    #[case("a (<< 2)", Relation::Earlier, "1", "2")]
    #[case("a(<=2)", Relation::EarlierOrEqual, "2", "2.1")]
    #[case("a (< 2)", Relation::EarlierOrEqual, "2", "3")]
    #[case("a ( = 1:2-1 ) [amd64 i386]", Relation::Equal, "1:2-1", "2-1")]
    #[case("a:any (>= 2)", Relation::LaterOrEqual, "2", "2~rc1")]
    #[case("a (> 2) <!nocheck>", Relation::LaterOrEqual, "2", "1")]
    #[case("a (>> 2)", Relation::Later, "2.0.1", "2")]
    fn bounds_admit_versions(
        #[case] text: &str,
        #[case] relation: Relation,
        #[case] good: &str,
        #[case] bad: &str,
    ) {
        let read = only(text);
        let bound = read.bound.unwrap();
        assert_eq!((read.name, bound.relation), (b"a".as_slice(), relation));
        assert!(bound.admits(good.as_bytes()) && !bound.admits(bad.as_bytes()));
    }

    #[test]
    fn qualifiers_and_restrictions() {
        assert_eq!(only("python3:any").qualifier, Some(b"any".as_slice()));
        assert!(only("a").is_for(b"amd64") && only("a [any]").is_for(b"amd64"));
        assert!(only("a [i386 amd64]").is_for(b"amd64") && !only("a [i386]").is_for(b"amd64"));
        assert!(only("a [!i386]").is_for(b"amd64") && !only("a [!i386 !amd64]").is_for(b"amd64"));
    }

    #[rstest]
    #[case("(>= 2)")]
    #[case("a (>= )")]
    #[case("a (2)")]
    #[case("a (>= 2")]
    #[case("a (>= 2) b")]
    #[case("a (>= 2) (<< 3)")]
    #[case("a:")]
    #[case("a |")]
    #[case("a (=> 2)")]
    fn what_makes_no_sense_is_refused(#[case] text: &str) {
        assert!(clauses(text.as_bytes()).flat_map(Clause::alternatives).any(|read| read.is_err()), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(bytes in "[ab:|,()<>=\\[\\]! 1.~\n]{0,60}") {
            for alternative in clauses(bytes.as_bytes()).flat_map(Clause::alternatives).flatten() {
                prop_assert!(!alternative.name.is_empty());
                let _ = alternative.is_for(b"a");
                let _ = alternative.bound.map(|bound| bound.admits(b"1"));
            }
        }
    }
}
