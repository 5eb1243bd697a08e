//! JSON that is read and written without changing a number: the members of an object as they came, and the
//! text of new objects.

use std::collections::BTreeMap;

use memchr::memchr;
use serde_json::value::RawValue;

use crate::places::answer::Unusable;

/// The members of a JSON object. Of several members with one name the last one counts.
pub(in crate::places) struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    /// Reads a JSON text, whose nesting may have any depth.
    pub(in crate::places) fn parse(text: &'a str) -> Result<Object<'a>, Unusable> {
        let value: &RawValue =
            serde_json::from_str(text).map_err(|why| Unusable::NotJson(why.to_string()))?;
        if has_half_a_pair(text) {
            return Err(Unusable::HalfAPair);
        }
        Object::of(value).ok_or(Unusable::NotAnObject)
    }

    /// The members of this value; `None`: it is not an object.
    pub(in crate::places) fn of(value: &'a RawValue) -> Option<Object<'a>> {
        serde_json::from_str(value.get()).ok().map(Object)
    }

    /// A member of any type.
    pub(in crate::places) fn member(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    pub(in crate::places) fn object(&self, name: &str) -> Option<Object<'a>> {
        self.member(name).and_then(Object::of)
    }

    pub(in crate::places) fn array(&self, name: &str) -> Option<Vec<&'a RawValue>> {
        self.member(name).and_then(elements)
    }

    pub(in crate::places) fn string(&self, name: &str) -> Option<String> {
        self.member(name).and_then(string)
    }

    pub(in crate::places) fn flag(&self, name: &str) -> Option<bool> {
        self.member(name).and_then(|value| serde_json::from_str(value.get()).ok())
    }

    /// The text of a number.
    pub(in crate::places) fn number(&self, name: &str) -> Option<&'a str> {
        self.member(name).and_then(number)
    }
}

/// The elements of this value; `None`: it is not an array.
pub(in crate::places) fn elements(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// The text that this value stands for; `None`: it is not a string.
pub(in crate::places) fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// The text of this value; `None`: it is not a number.
pub(in crate::places) fn number(value: &RawValue) -> Option<&str> {
    value.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()).then(|| value.get())
}

/// Writes an object with the members that have a value, in this order, without white space; `None`: there is no
/// member. The values are JSON texts.
pub(in crate::places) fn write_object(members: &[(&str, Option<String>)]) -> Option<String> {
    let mut text = String::new();
    for (name, value) in members {
        if let Some(value) = value {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&quote(name));
            text.push(':');
            text.push_str(value);
        }
    }
    if text.is_empty() {
        return None;
    }
    text.push('}');
    Some(text)
}

/// Writes an array of these JSON texts, without white space.
pub(in crate::places) fn write_array(elements: &[String]) -> String {
    format!("[{}]", elements.join(","))
}

/// Writes a string. Escaped are `"`, `\` and control characters only.
pub(in crate::places) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Removes the zeros at the front that JSON does not allow: `-00.50` becomes `-0.50`. `decimal` is
/// `-?D+(.D+)?`.
pub(in crate::places) fn own_form(decimal: &str) -> String {
    let (sign, digits) = decimal.strip_prefix('-').map_or(("", decimal), |digits| ("-", digits));
    let whole = digits.find('.').unwrap_or(digits.len());
    let needless = digits[..whole.saturating_sub(1)].bytes().take_while(|&digit| digit == b'0').count();
    format!("{sign}{}", &digits[needless..])
}

/// Whether a string of this valid JSON text has half of a surrogate pair, which is no character.
fn has_half_a_pair(text: &str) -> bool {
    let mut rest = text.as_bytes();
    // In valid JSON a backslash begins an escape, and escapes are in strings only.
    while let Some(at) = memchr(b'\\', rest) {
        let escape = &rest[at..];
        rest = match (unit(escape), unit(escape.get(6..).unwrap_or_default())) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => &escape[12..],
            (Some(0xd800..=0xdfff), _) => return true,
            (Some(_), _) => &escape[6..],
            (None, _) => escape.get(2..).unwrap_or_default(),
        };
    }
    false
}

/// The UTF-16 code unit of the escape `\uXXXX` at the front.
pub(in crate::places) fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_of_another_type_is_absent() {
        let text = r#"{"s":"a","n":1,"b":true,"o":{},"a":[],"z":null,"n":-2.50}"#;
        let object = Object::parse(text).unwrap();
        for name in ["s", "n", "b", "o", "a", "z", "x"] {
            assert_eq!(object.string(name).is_some(), name == "s", "{name}");
            assert_eq!(object.number(name).is_some(), name == "n", "{name}");
            assert_eq!(object.flag(name).is_some(), name == "b", "{name}");
            assert_eq!(object.object(name).is_some(), name == "o", "{name}");
            assert_eq!(object.array(name).is_some(), name == "a", "{name}");
        }
        assert_eq!(object.number("n"), Some("-2.50"), "the last of two");
    }

    #[test]
    fn half_a_surrogate_pair_is_found_anywhere() {
        for text in [
            r#"{"a":"\ud800"}"#,
            r#"{"\udc00":1}"#,
            r#"{"a":["\ud83d\ud83d\ude00"]}"#,
            r#"{"a":"\ud83dx\ude00"}"#,
            r#"{"a":"\\\uDFFF"}"#,
        ] {
            assert_eq!(Object::parse(text).err(), Some(Unusable::HalfAPair), "{text}");
        }
        for text in [r#"{"a":"\ud83d\ude00\u00e9"}"#, r#"{"a":"\\ud800"}"#, r#"{"a":"\\\\"}"#] {
            assert!(Object::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn strings_are_written_with_the_least_escapes() {
        assert_eq!(
            quote("\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é\u{2028}😀"),
            "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}é\u{2028}😀\""
        );
    }

    #[test]
    fn needless_zeros_at_the_front_go() {
        for (decimal, expected) in [
            ("-00.50", "-0.50"),
            ("007", "7"),
            ("000", "0"),
            ("0.0", "0.0"),
            ("-0", "-0"),
            ("010.500", "10.500"),
            ("-118.445127", "-118.445127"),
        ] {
            assert_eq!(own_form(decimal), expected, "{decimal}");
        }
    }
}
