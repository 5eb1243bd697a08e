//! The values of a file of JSON that people edit, each with its place, so that every error can name it.
//!
//! `serde_json::Value` keeps the last of two equal keys, and a derived `Deserialize` takes a list for an
//! object. Both would accept a wrong file.

use super::error::Error;
use super::words::{did_you_mean, quoted, shortened};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt::{self, Display};
use std::iter;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// One value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Item<'a> {
    place: String,
    json: &'a RawValue,
}

impl<'a> Item<'a> {
    /// The value of a whole file. Its text must be JSON.
    pub(crate) fn of_file(text: &'a str) -> Result<Item<'a>, Error> {
        // A `RawValue` alone would call a trailing comma a wrong key, and miss wrong escapes in strings.
        let json = serde_json::from_str::<Value>(text).and_then(|_| serde_json::from_str(text));
        let json = json.map_err(|error| not_json(&error))?;
        Ok(Item { place: String::new(), json })
    }

    /// An error at this place.
    pub(crate) fn error(&self, problem: impl Into<String>) -> Error {
        Error::new(self.place.clone(), problem)
    }

    /// The error of a value of another type or out of its range.
    pub(crate) fn expected(&self, expected: &str) -> Error {
        let json = self.json.get();
        let got = match json.as_bytes()[0] {
            b'{' => "an object".to_owned(),
            b'[' => "a list".to_owned(),
            _ => serde_json::from_str(json).map_or_else(|_| shortened(json), |text: String| quoted(&text)),
        };
        self.error(format!("expected {expected}, got {got}"))
    }

    fn read<T: Deserialize<'a>>(&self, expected: &str) -> Result<T, Error> {
        serde_json::from_str(self.json.get()).map_err(|_| self.expected(expected))
    }

    pub(crate) fn is_null(&self) -> bool {
        self.json.get() == "null"
    }

    pub(crate) fn string(&self) -> Result<String, Error> {
        self.read("a string")
    }

    /// A string in the form of `T`.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self) -> Result<T, Error> {
        self.string()?.parse().map_err(|error: T::Err| self.error(error.to_string()))
    }

    /// A path, relative to the current folder instead of the `folder` of the file.
    pub(crate) fn path(&self, folder: &Path) -> Result<PathBuf, Error> {
        let path = self.string()?;
        // No file system takes an empty path or a NUL, and a line feed would break messages with the path.
        if path.is_empty() || path.chars().any(char::is_control) {
            return Err(self.expected("a path without control characters"));
        }
        Ok(folder.join(path))
    }

    pub(crate) fn flag(&self) -> Result<bool, Error> {
        self.read("true or false")
    }

    /// The values of a list.
    pub(crate) fn list(&self) -> Result<Vec<Item<'a>>, Error> {
        let items: Vec<&RawValue> = self.read("a list").map_err(|error| match self.string() {
            Ok(text) => self.error(format!("expected a list, got a string; write [{}]", quoted(&text))),
            Err(_) => error,
        })?;
        let place = |index| format!("{}[{index}]", self.place);
        Ok(items.into_iter().enumerate().map(|(index, json)| Item { place: place(index), json }).collect())
    }

    /// The keys and values of an object, in the order of the file; no key twice.
    pub(crate) fn entries(&self) -> Result<Vec<(String, Item<'a>)>, Error> {
        let Pairs(pairs) = self.read("an object { … }")?;
        let mut keys = HashSet::new();
        if let Some((key, _)) = pairs.iter().find(|(key, _)| !keys.insert(key)) {
            return Err(Error::new(inside(&self.place, key), "duplicate key; remove one of the two"));
        }
        let item = |key: &str, json| Item { place: inside(&self.place, key), json };
        Ok(pairs.iter().map(|(key, json)| (key.clone(), item(key, json))).collect())
    }

    /// An object with no other keys than the `known` ones.
    pub(crate) fn section(&self, known: &[&str]) -> Result<Section<'a>, Error> {
        let entries = self.entries()?;
        if let Some((key, item)) = entries.iter().find(|(key, _)| !known.contains(&key.as_str())) {
            let meant = did_you_mean(key, known.iter().copied());
            return Err(item.error(format!("unknown key; known keys here: {}{meant}", known.join(", "))));
        }
        Ok(Section { place: self.place.clone(), entries })
    }
}

/// An object of which every key is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Section<'a> {
    place: String,
    entries: Vec<(String, Item<'a>)>,
}

impl<'a> Section<'a> {
    pub(crate) fn get(&self, key: &str) -> Option<&Item<'a>> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, item)| item)
    }

    /// The value of a key without a default; `example` is a value for the error.
    pub(crate) fn required(&self, key: &str, example: &str) -> Result<&Item<'a>, Error> {
        self.get(key).ok_or_else(|| {
            Error::new(inside(&self.place, key), format!("is missing; write for example {example}"))
        })
    }

    /// The object of a key; without entries if the key is absent.
    pub(crate) fn section(&self, key: &str, known: &[&str]) -> Result<Section<'a>, Error> {
        self.get(key).map_or_else(|| Ok(Section::default()), |item| item.section(known))
    }

    /// The integer of a key, in the unit of the key.
    pub(crate) fn integer<T>(&self, key: &str, default: T, bounds: RangeInclusive<T>) -> Result<T, Error>
    where
        T: DeserializeOwned + PartialOrd + Display,
    {
        let Some(item) = self.get(key) else { return Ok(default) };
        let no_quotes = if item.string().is_ok() { " without quotes" } else { "" };
        let expected = format!("an integer from {} to {}{no_quotes}", bounds.start(), bounds.end());
        let number = item.read(&expected)?;
        if bounds.contains(&number) { Ok(number) } else { Err(item.expected(&expected)) }
    }
}

/// The pairs of an object in the order of the file, duplicates included.
struct Pairs<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs<'de>, D::Error> {
        deserializer.deserialize_map(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Pairs<'de>, A::Error> {
        iter::from_fn(|| object.next_entry().transpose()).collect::<Result<_, _>>().map(Pairs)
    }
}

fn inside(place: &str, key: &str) -> String {
    let key = if key.is_empty() { quoted(key) } else { shortened(key) };
    if place.is_empty() { key } else { format!("{place}.{key}") }
}

fn not_json(error: &serde_json::Error) -> Error {
    let (line, column) = (error.line(), error.column());
    let whole = error.to_string();
    let problem = whole.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&whole);
    let problem = problem.replace("EOF while", "the file ends while");
    Error::new(format!("line {line}, column {column}"), format!("not JSON: {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The error of reading the key `k` of `{"s": {"k": value}}`.
    fn error_of<T>(value: &str, read: impl Fn(&Item<'_>, &Section<'_>) -> Result<T, Error>) -> String {
        let text = format!(r#"{{"s": {{"k": {value}}}}}"#);
        let file = Item::of_file(&text).unwrap().section(&["s"]).unwrap();
        let section = file.section("s", &["k"]).unwrap();
        let error = read(section.get("k").unwrap(), &section).err().unwrap().to_string();
        error.strip_prefix(": ").unwrap().to_owned()
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_expected() {
        let string = |value: &str| error_of(value, |item, _| item.string());
        assert_eq!(string("1"), "s.k: expected a string, got 1");
        assert_eq!(string("null"), "s.k: expected a string, got null");
        assert_eq!(error_of(r#""no""#, |item, _| item.flag()), "s.k: expected true or false, got \"no\"");
        assert_eq!(
            error_of("[]", |item, _| item.entries().map(drop)),
            "s.k: expected an object { … }, got a list"
        );
        let list = |value: &str| error_of(value, |item, _| item.list().map(drop));
        assert_eq!(list("{}"), "s.k: expected a list, got an object");
        assert_eq!(list(r#""B""#), "s.k: expected a list, got a string; write [\"B\"]");
        assert_eq!(
            error_of(r#"["B", 1]"#, |item, _| item.list()?[1].string()),
            "s.k[1]: expected a string, got 1"
        );
        for (value, got) in [
            ("10", "10"),
            ("0", "0"),
            ("-1", "-1"),
            ("5.0", "5.0"),
            ("5e0", "5e0"),
            ("18446744073709551616", "18446744073709551616"),
            ("null", "null"),
            ("{}", "an object"),
        ] {
            let error = error_of(value, |_, section| section.integer("k", 7, 1..=9));
            assert_eq!(error, format!("s.k: expected an integer from 1 to 9, got {got}"));
        }
        let error = error_of(r#""5""#, |_, section| section.integer("k", 7, 1..=9));
        assert_eq!(error, "s.k: expected an integer from 1 to 9 without quotes, got \"5\"");
    }

    #[test]
    fn unknown_duplicate_and_missing_keys_are_named() {
        let section = |value: &str| error_of(value, |item, _| item.section(&["alpha", "b"]).map(drop));
        assert_eq!(section(r#"{"alpha": 1, "c": 2}"#), "s.k.c: unknown key; known keys here: alpha, b");
        assert_eq!(
            section(r#"{"alhpa": 2}"#),
            "s.k.alhpa: unknown key; known keys here: alpha, b; did you mean alpha?"
        );
        assert_eq!(section(r#"{"beta": 2}"#), "s.k.beta: unknown key; known keys here: alpha, b");
        assert_eq!(section(r#"{"": 2}"#), "s.k.\"\": unknown key; known keys here: alpha, b");
        assert_eq!(section(r#"{"b": 1, "b": 1}"#), "s.k.b: duplicate key; remove one of the two");
        let missing = Section::default().required("a", "1").unwrap_err();
        assert_eq!(missing, Error::new("a", "is missing; write for example 1"));
    }

    #[test]
    fn an_absent_key_has_its_default() {
        assert_eq!(Section::default().integer("k", 7, 1..=9), Ok(7));
    }

    #[test]
    fn keys_keep_the_order_of_the_file() {
        let entries = Item::of_file(r#"{"b": 1, "a": [], "\u0063": {}}"#).unwrap().entries().unwrap();
        let keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keys, ["b", "a", "c"]);
    }

    #[test]
    fn a_file_that_is_not_json_is_wrong_at_a_line_and_column() {
        for (text, place, problem) in [
            ("{", "line 1, column 1", "not JSON: the file ends while parsing an object"),
            ("{\n  \"a\": 1,\n}", "line 3, column 1", "not JSON: trailing comma"),
            ("herd: x", "line 1, column 1", "not JSON: expected value"),
            ("{} {}", "line 1, column 4", "not JSON: trailing characters"),
            (r#"{"a": "\ud800"}"#, "line 1, column 14", "not JSON: unexpected end of hex escape"),
        ] {
            assert_eq!(Item::of_file(text).unwrap_err(), Error::new(place, problem), "{text}");
        }
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let error = Item::of_file(&"[".repeat(1_000_000)).unwrap_err();
        assert!(error.to_string().contains("recursion limit"), "{error}");
    }
}
