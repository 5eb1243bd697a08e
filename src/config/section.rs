//! Reading one value or one object of the file, with the place in the file at hand for a mistake.

use super::error::{Mistake, quoted, shortened};
use super::json::Node;
use std::collections::HashSet;
use std::time::Duration;

/// One value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Item<'a> {
    place: String,
    node: &'a Node,
}

/// A whole number that a key may have, in the key's own unit.
pub(super) struct Bounds {
    pub(super) default: u64,
    pub(super) least: u64,
    pub(super) most: u64,
}

impl<'a> Item<'a> {
    /// The value of the whole file.
    pub(super) fn root(node: &'a Node) -> Item<'a> {
        Item { place: String::new(), node }
    }

    /// A mistake in this value.
    pub(super) fn mistake(&self, why: impl Into<String>) -> Mistake {
        Mistake::new(self.place.clone(), why)
    }

    pub(super) fn text(&self) -> Result<&'a str, Mistake> {
        match self.node {
            Node::Text(text) => Ok(text),
            _ => Err(self.wanted("a text in quotes")),
        }
    }

    pub(super) fn flag(&self) -> Result<bool, Mistake> {
        match self.node {
            Node::Flag(flag) => Ok(*flag),
            _ => Err(self.wanted("true or false")),
        }
    }

    pub(super) fn count(&self, bounds: &Bounds) -> Result<u64, Mistake> {
        let wanted = format!("a whole number from {} to {} is wanted", bounds.least, bounds.most);
        match self.node {
            Node::Count(count) if (bounds.least..=bounds.most).contains(count) => Ok(*count),
            Node::Count(count) => Err(self.mistake(format!("{wanted}, not {count}"))),
            Node::Number(number) => Err(self.mistake(format!("{wanted}, not {number}"))),
            Node::Text(text) => Err(self.mistake(format!("{wanted}, without quotes, not {}", quoted(text)))),
            _ => Err(self.mistake(format!("{wanted}, not {}", self.node.kind()))),
        }
    }

    /// The texts of a list.
    pub(super) fn texts(&self) -> Result<Vec<&'a str>, Mistake> {
        match self.node {
            Node::List(nodes) => nodes
                .iter()
                .enumerate()
                .map(|(index, node)| Item { place: format!("{}[{index}]", self.place), node }.text())
                .collect(),
            Node::Text(text) => {
                let name = quoted(text);
                Err(self.mistake(format!("a list is wanted, not a text; write [{name}]")))
            }
            _ => Err(self.wanted("a list of texts")),
        }
    }

    /// The values of an object whose keys the writer chooses, in the order of the file.
    pub(super) fn entries(&self) -> Result<Vec<(&'a str, Item<'a>)>, Mistake> {
        let Node::Object(pairs) = self.node else {
            return Err(self.wanted("an object { … }"));
        };
        let mut seen = HashSet::new();
        pairs
            .iter()
            .map(|(key, node)| {
                let item = Item { place: inside(&self.place, key), node };
                if !seen.insert(key) {
                    return Err(item.mistake("stands here twice; remove one of the two"));
                }
                Ok((key.as_str(), item))
            })
            .collect()
    }

    /// The object that this value is, which has none but the `known` keys.
    pub(super) fn section(&self, known: &[&str]) -> Result<Section<'a>, Mistake> {
        let entries = self.entries()?;
        if let Some((_, item)) = entries.iter().find(|(key, _)| !known.contains(key)) {
            return Err(item.mistake(format!("is not a known key; those here are {}", known.join(", "))));
        }
        Ok(Section { place: self.place.clone(), entries })
    }

    fn wanted(&self, what: &str) -> Mistake {
        self.mistake(format!("{what} is wanted, not {}", self.node.kind()))
    }
}

/// An object of which every key is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Section<'a> {
    place: String,
    entries: Vec<(&'a str, Item<'a>)>,
}

impl<'a> Section<'a> {
    pub(super) fn item(&self, key: &str) -> Option<&Item<'a>> {
        self.entries.iter().find(|(name, _)| *name == key).map(|(_, item)| item)
    }

    /// The value of a key that has no default; `example` is what one might write.
    pub(super) fn required(&self, key: &str, example: &str) -> Result<&Item<'a>, Mistake> {
        self.item(key).ok_or_else(|| {
            Mistake::new(inside(&self.place, key), format!("is missing; write for example {example}"))
        })
    }

    /// The object of a key, without entries if the key is absent.
    pub(super) fn section(&self, key: &str, known: &[&str]) -> Result<Section<'a>, Mistake> {
        self.item(key).map_or_else(|| Ok(Section::default()), |item| item.section(known))
    }

    pub(super) fn count(&self, key: &str, bounds: &Bounds) -> Result<u64, Mistake> {
        self.item(key).map_or(Ok(bounds.default), |item| item.count(bounds))
    }

    pub(super) fn milliseconds(&self, key: &str, bounds: &Bounds) -> Result<Duration, Mistake> {
        self.count(key, bounds).map(Duration::from_millis)
    }

    pub(super) fn seconds(&self, key: &str, bounds: &Bounds) -> Result<Duration, Mistake> {
        self.count(key, bounds).map(Duration::from_secs)
    }
}

fn inside(place: &str, key: &str) -> String {
    let key = if key.is_empty() { quoted(key) } else { shortened(key) };
    if place.is_empty() { key } else { format!("{place}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { default: 7, least: 1, most: 9 };

    /// What the reading of the key `k` of `{"s": {"k": value}}` complains of.
    fn complaint(value: &str, read: impl Fn(&Item<'_>) -> Option<Mistake>) -> String {
        let node = Node::parse(&format!(r#"{{"s": {{"k": {value}}}}}"#)).unwrap();
        let section = Item::root(&node).section(&["s"]).unwrap().section("s", &["k"]).unwrap();
        let Mistake { place, why } = read(section.item("k").unwrap()).unwrap();
        format!("{place}: {why}")
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_wanted() {
        let count = |item: &Item<'_>| item.count(&BOUNDS).err();
        assert_eq!(complaint("1", |item| item.text().err()), "s.k: a text in quotes is wanted, not a number");
        assert_eq!(
            complaint(r#""no""#, |item| item.flag().err()),
            "s.k: true or false is wanted, not a text"
        );
        assert_eq!(complaint("10", count), "s.k: a whole number from 1 to 9 is wanted, not 10");
        assert_eq!(complaint("0", count), "s.k: a whole number from 1 to 9 is wanted, not 0");
        assert_eq!(complaint("5.0", count), "s.k: a whole number from 1 to 9 is wanted, not 5.0");
        assert_eq!(
            complaint(r#""5""#, count),
            "s.k: a whole number from 1 to 9 is wanted, without quotes, not \"5\""
        );
        assert_eq!(complaint("null", count), "s.k: a whole number from 1 to 9 is wanted, not null");
        assert_eq!(
            complaint("{}", |item| item.texts().err()),
            "s.k: a list of texts is wanted, not an object"
        );
        assert_eq!(
            complaint(r#""B""#, |item| item.texts().err()),
            "s.k: a list is wanted, not a text; write [\"B\"]"
        );
        assert_eq!(
            complaint(r#"["B", 1]"#, |item| item.texts().err()),
            "s.k[1]: a text in quotes is wanted, not a number"
        );
        assert_eq!(
            complaint("[]", |item| item.entries().err()),
            "s.k: an object { … } is wanted, not a list"
        );
    }

    #[test]
    fn unknown_double_and_missing_keys_are_named() {
        let complaint = |value: &str| complaint(value, |item| item.section(&["a", "b"]).err());
        assert_eq!(complaint(r#"{"a": 1, "c": 2}"#), "s.k.c: is not a known key; those here are a, b");
        assert_eq!(complaint(r#"{"": 2}"#), "s.k.\"\": is not a known key; those here are a, b");
        assert_eq!(complaint(r#"{"a": 1, "a": 1}"#), "s.k.a: stands here twice; remove one of the two");
        let missing = Section::default().required("a", "1").unwrap_err();
        assert_eq!(missing, Mistake::new("a", "is missing; write for example 1"));
    }

    #[test]
    fn an_absent_key_has_its_default() {
        assert_eq!(Section::default().count("k", &BOUNDS), Ok(7));
    }
}
