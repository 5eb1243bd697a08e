//! JSON as it stands in the file: keys in their order, and each as often as it was written.
//!
//! `serde_json::Value` silently keeps the last of two equal keys. In a herd file the first may be the
//! one that was meant, so a [`Node`] keeps both for the reader to complain about.

use super::error::Mistake;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// One value of a JSON text.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Flag(bool),
    /// A number that is not negative, and was written without point and exponent.
    Count(u64),
    /// Any other number, in words.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// Reads the one value of a text. A mistake's place is its line and column.
    pub(super) fn parse(text: &str) -> Result<Node, Mistake> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Node::deserialize(&mut deserializer)
            .and_then(|node| deserializer.end().map(|()| node))
            .map_err(|error| mistake(&error))
    }

    /// What kind of value this is, for "… is wanted, not a list".
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Flag(_) => "true or false",
            Node::Count(_) | Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Object(_) => "an object",
        }
    }
}

fn mistake(error: &serde_json::Error) -> Mistake {
    let (line, column) = (error.line(), error.column());
    let whole = error.to_string();
    // serde_json ends its message with the position, which stands in front of ours.
    let why = whole.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&whole);
    let why = why.replace("EOF while", "the file ends while");
    Mistake::new(format!("line {line}, column {column}"), format!("not JSON: {why}"))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Flag(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Count(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(u64::try_from(value).map_or_else(|_| Node::Number(value.to_string()), Node::Count))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        // Debug keeps the `.0` of a whole number, without which "5 is not a whole number" would be read.
        Ok(Node::Number(format!("{value:?}")))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Node, E> {
        Ok(Node::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = object.next_entry()? {
            pairs.push(pair);
        }
        Ok(Node::Object(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_their_order_and_their_doubles() {
        let node = Node::parse(r#"{"b": 1, "a": [null, true, -1, 2.0, "x"], "b": {}}"#).unwrap();
        let list = vec![
            Node::Null,
            Node::Flag(true),
            Node::Number("-1".into()),
            Node::Number("2.0".into()),
            Node::Text("x".into()),
        ];
        let pairs = [("b", Node::Count(1)), ("a", Node::List(list)), ("b", Node::Object(vec![]))];
        assert_eq!(node, Node::Object(pairs.map(|(key, value)| (key.to_owned(), value)).into()));
    }

    #[test]
    fn what_is_no_json_is_found_by_line_and_column() {
        for (text, place, why) in [
            ("{", "line 1, column 1", "not JSON: the file ends while parsing an object"),
            ("{\n  \"a\": 1,\n}", "line 3, column 1", "not JSON: trailing comma"),
            ("herd: x", "line 1, column 1", "not JSON: expected value"),
            ("{} {}", "line 1, column 4", "not JSON: trailing characters"),
        ] {
            assert_eq!(Node::parse(text), Err(Mistake::new(place, why)), "{text}");
        }
    }

    #[test]
    fn deep_nesting_is_a_mistake_and_not_a_full_stack() {
        assert!(Node::parse(&"[".repeat(1_000_000)).unwrap_err().why.contains("recursion limit"));
    }
}
