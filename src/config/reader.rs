//! Reads a TOML table key by key, noting mistakes instead of stopping at the first.
//!
//! A [`Table`] remembers which keys it was asked for; whatever is left at the end is unknown, and is
//! reported with the nearest key that is known. An [`Item`] is one value with its place; its methods
//! return nothing when they noted a mistake, and the caller goes on with the default.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::mistakes::{Given, Place, Report};

/// A table of the file.
pub(super) struct Table<'d> {
    report: &'d Report<'d>,
    entries: &'d DeTable<'d>,
    /// The table's path (empty for the file itself), what follows a key's path in parentheses, and
    /// where the table begins.
    path: String,
    label: String,
    at: usize,
    known: RefCell<Vec<&'static str>>,
}

/// A value of the file.
pub(super) struct Item<'d> {
    report: &'d Report<'d>,
    value: &'d DeValue<'d>,
    place: Place,
}

impl<'d> Table<'d> {
    /// The file's own table.
    pub fn root(report: &'d Report<'d>, entries: &'d DeTable<'d>) -> Self {
        Self { report, entries, path: String::new(), label: String::new(), at: 0, known: RefCell::default() }
    }

    pub fn report(&self) -> &'d Report<'d> {
        self.report
    }

    /// Where `key` would stand: for what is wrong because it is missing.
    pub fn place(&self, key: &str) -> Place {
        self.place_at(key, self.at)
    }

    fn place_at(&self, key: &str, at: usize) -> Place {
        let dot = if self.path.is_empty() || key.is_empty() { "" } else { "." };
        let label = if self.label.is_empty() { String::new() } else { format!(" ({})", self.label) };
        Place { key: format!("{}{dot}{}{label}", self.path, shown(key)), at }
    }

    /// The value of a key, which is known from now on.
    pub fn item(&self, key: &'static str) -> Option<Item<'d>> {
        self.known.borrow_mut().push(key);
        let (_, value) = self.entries.get_key_value(key)?;
        let place = self.place_at(key, value.span().start);
        Some(Item { report: self.report, value: value.get_ref(), place })
    }

    /// The table below a key; absent ones and other values (a mistake) are `None`.
    pub fn table(&self, key: &'static str) -> Option<Table<'d>> {
        let item = self.item(key)?;
        if let DeValue::Table(entries) = item.value {
            return Some(self.below(entries, self.joined(key), String::new(), item.place.at));
        }
        item.wrong(&format!("is {}; write a section, [{}]", item.what(), self.joined(key)));
        None
    }

    /// The tables of `[[key]]`, numbered from 1 and labelled with their `name`.
    pub fn tables(&self, key: &'static str) -> Vec<Table<'d>> {
        let Some(item) = self.item(key) else { return Vec::new() };
        let key = self.joined(key);
        let DeValue::Array(values) = item.value else {
            item.wrong(&format!("is {}; write [[{key}]] with doubled brackets", item.what()));
            return Vec::new();
        };
        // Within a section it may be a list in one line, of which nothing is left.
        if values.is_empty() && self.path.is_empty() {
            item.wrong(&format!("is an empty list; write [[{key}]] at least once"));
        }
        let table = |(index, value): (usize, &'d Spanned<DeValue<'d>>)| {
            let DeValue::Table(entries) = value.get_ref() else {
                item.wrong(&format!("holds something else than tables; write [[{key}]] before each"));
                return None;
            };
            let name = entries.get("name").and_then(|name| name.get_ref().as_str());
            let label = name.map(shown).unwrap_or_default();
            Some(self.below(entries, format!("{key}[{}]", index + 1), label, value.span().start))
        };
        values.iter().enumerate().filter_map(table).collect()
    }

    /// Every key and its value, for a table whose keys are names of the administrator's. All are known then.
    pub fn items(&self) -> Vec<(&'d str, Item<'d>)> {
        let item = |(key, value): (&'d Spanned<DeString<'d>>, &'d Spanned<DeValue<'d>>)| {
            let name: &'d str = key.get_ref();
            let place = self.place_at(name, value.span().start);
            (name, Item { report: self.report, value: value.get_ref(), place })
        };
        self.entries.iter().map(item).collect()
    }

    /// A key's full path.
    fn joined(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn below(&self, entries: &'d DeTable<'d>, path: String, label: String, at: usize) -> Table<'d> {
        Table { report: self.report, entries, path, label, at, known: RefCell::default() }
    }

    /// Whether the file does not have the key at all.
    pub fn is_absent(&self, key: &str) -> bool {
        !self.entries.contains_key(key)
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        self.finish_before(&[]);
    }

    /// Reports every key that nobody asked for, and otherwise those that only a later version knows.
    pub fn finish_before(self, not_yet: &[&str]) {
        let known = self.known.borrow();
        for written in self.entries.keys() {
            let key: &str = written.get_ref();
            if known.contains(&key) {
                continue;
            }
            let message = if not_yet.contains(&key) {
                "is not yet supported by this version; remove it".to_owned()
            } else if let Some(near) = nearest(key, &known) {
                format!("is not a known key; did you mean `{near}`?")
            } else {
                format!("is not a known key; known are {}", known.join(", "))
            };
            self.report.wrong(&self.place_at(key, written.span().start), message);
        }
    }
}

impl<'d> Item<'d> {
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Notes a mistake at this value.
    pub fn wrong(&self, message: &str) {
        self.report.wrong(&self.place, message);
    }

    /// The value's type in words.
    fn what(&self) -> &'static str {
        match self.value {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        }
    }

    fn given<T>(&self, value: T) -> Given<T> {
        Given { value, place: self.place.clone() }
    }

    /// A text that `read` takes, or refuses with a sentence.
    pub fn read<T, E: Display>(&self, read: impl FnOnce(&str) -> Result<T, E>) -> Option<Given<T>> {
        let DeValue::String(text) = self.value else {
            self.wrong(&format!("is {}; write a text in quotes", self.what()));
            return None;
        };
        match read(text) {
            Ok(value) => Some(self.given(value)),
            Err(why) => {
                self.wrong(&format!("{text:?} cannot be used: {why}"));
                None
            }
        }
    }

    /// A text that its type takes.
    pub fn parse<T: FromStr<Err: Display>>(&self) -> Option<Given<T>> {
        self.read(str::parse)
    }

    /// A text, or (for sizes) a bare number, that its type takes, within `range`; `limits` says so.
    pub fn within<T>(&self, range: &RangeInclusive<T>, limits: &str) -> Option<Given<T>>
    where
        T: FromStr<Err: Display> + PartialOrd,
    {
        let given = match self.value {
            DeValue::Integer(number) if number.radix() == 10 => match number.as_str().parse() {
                Ok(value) => self.given(value),
                Err(why) => {
                    self.wrong(&format!("{number} cannot be used: {why}"));
                    return None;
                }
            },
            _ => self.parse()?,
        };
        if range.contains(&given.value) {
            return Some(given);
        }
        self.wrong(&format!("is out of range; allowed is {limits}"));
        None
    }

    /// A whole number within `range`.
    pub fn count(&self, range: RangeInclusive<u32>) -> Option<Given<u32>> {
        let (low, high) = (range.start(), range.end());
        let number = self.value.as_integer();
        let number = number.and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(&format!("must be a whole number from {low} to {high}, without quotes"));
        }
        number.map(|number| self.given(number))
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Option<bool> {
        let flag = self.value.as_bool();
        if flag.is_none() {
            self.wrong("must be true or false, without quotes");
        }
        flag
    }

    /// One value, or a list of them; those with mistakes are left out. An empty list is a mistake when
    /// one is `needed`.
    pub fn list<T>(&self, needed: bool, read: impl Fn(&Item<'d>) -> Option<Given<T>>) -> Vec<Given<T>> {
        let DeValue::Array(values) = self.value else {
            return read(self).into_iter().collect();
        };
        if needed && values.is_empty() {
            self.wrong("is an empty list; it needs at least one value");
        }
        let item = |value: &'d Spanned<DeValue<'d>>| {
            let place = Place { key: self.place.key.clone(), at: value.span().start };
            read(&Item { report: self.report, value: value.get_ref(), place })
        };
        values.iter().filter_map(item).collect()
    }
}

/// A key or name as messages show it: quoted and escaped unless plain.
fn shown(key: &str) -> String {
    let plain = key.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.+".contains(&b));
    if plain { key.to_owned() } else { format!("{key:?}") }
}

/// The known key that a misspelt one most likely means: at most a third of its letters differ.
fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    // The distance is quadratic in time; no key is longer than this.
    if key.len() > 40 {
        return None;
    }
    let near = known.iter().map(|known| (distance(key, known), *known)).min()?;
    (near.0 <= (near.1.len() / 3).max(1)).then_some(near.1)
}

/// How many letters must be added, removed or changed to make one word the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        assert_eq!(distance("listen", "listen"), 0);
        assert_eq!(distance("lisen", "listen"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn only_near_keys_are_suggested() {
        let known = ["listen", "admin", "clients"];
        assert_eq!(nearest("lisen", &known), Some("listen"));
        assert_eq!(nearest("client", &known), Some("clients"));
        assert_eq!(nearest("colour", &known), None);
    }
}
