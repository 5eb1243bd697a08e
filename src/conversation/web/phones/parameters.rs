//! The parameters of a phone's message, in a query, a form or a flat JSON object. What is not known is ignored, and what
//! is of an unexpected type is absent, so that a new version of an app is understood.

use std::fmt;

use percent_encoding::percent_decode;
use serde::Deserialize;
use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The parameters that any app has and that count here, by name. Of one that stands twice the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Parameters {
    values: [Option<Vec<u8>>; NAMES.len()],
    /// The member `location` of a JSON object, if it is an object itself.
    location: Option<Box<str>>,
}

impl Parameters {
    /// Those of a query, in which `?` separates like `&`, because some users write it so in templates.
    pub(super) fn of_query(query: &str) -> Parameters {
        Parameters::of_pairs(query.split(['&', '?']).map(str::as_bytes))
    }

    /// Those of the body of a form.
    pub(super) fn of_form(form: &[u8]) -> Parameters {
        Parameters::of_pairs(form.split(|&byte| byte == b'&'))
    }

    fn of_pairs<'a>(pairs: impl Iterator<Item = &'a [u8]>) -> Parameters {
        let mut parameters = Parameters::default();
        for pair in pairs {
            let Some(equals) = pair.iter().position(|&byte| byte == b'=') else { continue };
            let (name, value) = (&pair[..equals], &pair[equals + 1..]);
            if value.is_empty() || name.len() > ENCODED_NAME_MAX {
                continue;
            }
            if let Some(slot) = parameters.free_slot(&decoded(name)) {
                *slot = Some(decoded(value));
            }
        }
        parameters
    }

    /// Those of a JSON object; `None`: the text is no JSON object.
    pub(super) fn of_json(text: &str) -> Option<Parameters> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let parameters = deserializer.deserialize_map(ParametersVisitor).ok()?;
        deserializer.end().ok()?;
        Some(parameters)
    }

    /// The value of a parameter, which is one of [`NAMES`].
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.values[position(name.as_bytes())?].as_deref()
    }

    /// The value of the first of these parameters that is there.
    pub(super) fn first(&self, names: &[&str]) -> Option<&[u8]> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The member `location`, if it is a JSON object.
    pub(super) fn location_object(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// Adds those of `others` that are not here.
    pub(super) fn join(&mut self, others: Parameters) {
        for (own, other) in self.values.iter_mut().zip(others.values) {
            if own.is_none() {
                *own = other;
            }
        }
        self.location = self.location.take().or(others.location);
    }

    /// The place of a parameter that is known and not there yet.
    fn free_slot(&mut self, name: &[u8]) -> Option<&mut Option<Vec<u8>>> {
        let slot = &mut self.values[position(name)?];
        slot.is_none().then_some(slot)
    }

    fn add_member(&mut self, name: &str, value: &RawValue) {
        if let Some(text) = text_of(value) {
            if !text.is_empty()
                && let Some(slot) = self.free_slot(name.as_bytes())
            {
                *slot = Some(text.into_bytes());
            }
        } else if name == "location" && value.get().starts_with('{') && self.location.is_none() {
            self.location = Some(value.get().into());
        }
    }
}

/// A JSON object as a value with these members; without members if it is another value. A derived reader takes a list for
/// an object, too.
pub(super) fn object<'a, T: Deserialize<'a> + Default>(value: Option<&'a RawValue>) -> T {
    let text = value.map(RawValue::get).filter(|text| text.starts_with('{'));
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// A JSON text or number as text; `None`: the value is of another type.
pub(super) fn text_of(value: &RawValue) -> Option<String> {
    match value.get().as_bytes()[0] {
        b'"' => serde_json::from_str(value.get()).ok(),
        b'-' | b'0'..=b'9' => Some(value.get().to_owned()),
        _ => None,
    }
}

fn position(name: &[u8]) -> Option<usize> {
    NAMES.iter().position(|known| known.as_bytes() == name)
}

/// Decodes a text of a form: `+` is a space. A wrong escape stays as it is.
fn decoded(text: &[u8]) -> Vec<u8> {
    let with_spaces: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    percent_decode(&with_spaces).collect()
}

struct ParametersVisitor;

impl<'a> Visitor<'a> for ParametersVisitor {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Parameters, A::Error> {
        let mut parameters = Parameters::default();
        while let Some(name) = map.next_key::<std::borrow::Cow<'a, str>>()? {
            if position(name.as_bytes()).is_some() {
                let value = map.next_value::<&RawValue>()?;
                parameters.add_member(&name, value);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(parameters)
    }
}

/// All parameters that count, of all apps.
const NAMES: [&str; 21] = [
    "id",
    "deviceid",
    "device_id",
    "device",
    "aid",
    "ser",
    "lat",
    "latitude",
    "lon",
    "lng",
    "longitude",
    "location",
    "timestamp",
    "time",
    "tst",
    "created_at",
    "_type",
    "topic",
    "tid",
    "u",
    "d",
];
/// Bytes of a name, each of which may be percent-encoded; longer names are not known.
const ENCODED_NAME_MAX: usize = 3 * 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn get<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
        parameters.get(name).map(|value| str::from_utf8(value).unwrap())
    }

    #[test]
    fn a_query_has_pairs() {
        let query = Parameters::of_query("id=a%20b+c&id=x&lat=&lat=5&lon&&=5&zzz=1&%74ime=%zz?tst=7&d=a=b");
        assert_eq!((get(&query, "id"), get(&query, "lat")), (Some("a b c"), Some("5")));
        assert_eq!((get(&query, "lon"), get(&query, "time")), (None, Some("%zz")));
        assert_eq!(
            (get(&query, "tst"), get(&query, "d"), get(&query, "zzz")),
            (Some("7"), Some("a=b"), None)
        );
        let form = Parameters::of_form(b"id=a?b&lat=\xff%FF");
        assert_eq!((form.get("id"), form.get("lat")), (Some(&b"a?b"[..]), Some(&b"\xff\xff"[..])));
    }

    #[test]
    fn an_object_has_texts_and_numbers() {
        let object = r#"{"id":5e1,"lat":"1.50","lon":-2,"time":null,"tst":[1],"u":true,"d":"","x":{"id":1},"id":6,
            "topic":"\u00e9","location":{"a":1},"tid":"\ud800"}"#;
        let object = Parameters::of_json(object).unwrap();
        assert_eq!(
            (get(&object, "id"), get(&object, "lat"), get(&object, "lon")),
            (Some("5e1"), Some("1.50"), Some("-2"))
        );
        for absent in ["time", "tst", "u", "d", "location", "tid"] {
            assert_eq!(get(&object, absent), None, "{absent}");
        }
        assert_eq!((get(&object, "topic"), object.location_object()), (Some("é"), Some(r#"{"a":1}"#)));
        let text = Parameters::of_json(r#"{"location":"1,2"}"#).unwrap();
        assert_eq!((get(&text, "location"), text.location_object()), (Some("1,2"), None));
        for wrong in ["", "5", "[]", "{", "null", "{} x", r#"{"id":NaN}"#] {
            assert_eq!(Parameters::of_json(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_query_comes_first() {
        let mut query = Parameters::of_query("id=a");
        query.join(Parameters::of_query("id=b&lat=1"));
        assert_eq!((get(&query, "id"), get(&query, "lat")), (Some("a"), Some("1")));
    }
}
