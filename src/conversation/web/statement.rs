//! The body of a PUT: a location and a time as JSON, made a line of IAMAT. Numbers keep their digits.

use std::fmt;

use serde::de::{Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::query::{LATITUDE_MAX, LONGITUDE_MAX, coordinate};
use crate::text::decimal::written_out;

/// What a PUT says about its client, as the operands of an IAMAT.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// The location, in the form of a line.
    pub(super) location: String,
    /// The time; `None`: now.
    pub(super) time: Option<String>,
}

impl Report {
    /// Reads a body: `{"latitude":…,"longitude":…,"time":…}` or `{"location":"…","time":…}`. Other members are ignored, so
    /// that what GET returns can be sent again.
    ///
    /// # Errors
    ///
    /// What was expected, in words. The text of a location and the time are not checked any further.
    pub(super) fn parse(body: &[u8]) -> Result<Report, String> {
        let text = str::from_utf8(body).map_err(|_| expected_object("bytes that are not UTF-8"))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = deserializer
            .deserialize_map(MembersVisitor)
            .and_then(|members| deserializer.end().map(|()| members))
            .map_err(|error| expected_object(&error.to_string()))?;
        members.into_report()
    }
}

fn expected_object(got: &str) -> String {
    format!(
        "the body: expected a JSON object like {{\"latitude\":34.0689,\"longitude\":-118.4451}}, got {got}"
    )
}

/// The members of a body that count, as they were sent.
#[derive(Default)]
struct Members<'a> {
    latitude: Option<&'a RawValue>,
    longitude: Option<&'a RawValue>,
    location: Option<&'a RawValue>,
    time: Option<&'a RawValue>,
}

impl Members<'_> {
    fn into_report(self) -> Result<Report, String> {
        let location = match (self.location, self.latitude, self.longitude) {
            (Some(location), None, None) => text(location)
                .ok_or_else(|| wrong("location", "a text like \"+34.0689-118.4451\"", location))?,
            (Some(_), ..) => {
                return Err(
                    "location: expected either location, or latitude and longitude, got both".to_owned()
                );
            }
            (None, Some(latitude), Some(longitude)) => {
                degrees("latitude", latitude, LATITUDE_MAX)?
                    + &degrees("longitude", longitude, LONGITUDE_MAX)?
            }
            (None, None, Some(_)) => return Err("latitude: expected a number, got none".to_owned()),
            (None, Some(_), None) => return Err("longitude: expected a number, got none".to_owned()),
            (None, None, None) => {
                return Err("latitude: expected latitude and longitude, or location, got none".to_owned());
            }
        };
        let time = self.time.map(|time| {
            let expected = "POSIX seconds like 1621464827.959, as a number or a text";
            text(time).or_else(|| number(time.get())).ok_or_else(|| wrong("time", expected, time))
        });
        Ok(Report { location, time: time.transpose()? })
    }
}

/// The value of a JSON string.
fn text(value: &RawValue) -> Option<String> {
    if value.get().starts_with('"') { serde_json::from_str(value.get()).ok() } else { None }
}

/// A coordinate with its sign.
fn degrees(name: &str, value: &RawValue, limit: u32) -> Result<String, String> {
    let number = number(value.get()).ok_or_else(|| wrong(name, "a number of degrees like 34.0689", value))?;
    let degrees = coordinate(name, Some(number.as_bytes()), limit)?;
    Ok(String::from_utf8_lossy(&degrees).into_owned())
}

/// A JSON number without exponent, with the same value and digits; `None`: it is no number, or it would have more than
/// [`DIGITS_MAX`] digits.
fn number(text: &str) -> Option<String> {
    if !text.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']) {
        return None;
    }
    if !text.contains(['e', 'E']) {
        return (text.len() <= DIGITS_MAX).then(|| text.to_owned());
    }
    written_out(text, DIGITS_MAX)
}

fn wrong(name: &str, expected: &str, value: &RawValue) -> String {
    let shown: String = value.get().chars().take(SHOWN_MAX).collect();
    format!("{name}: expected {expected}, got {shown}")
}

struct MembersVisitor;

impl<'a> Visitor<'a> for MembersVisitor {
    type Value = Members<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Members<'a>, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key::<String>()? {
            let member = match &*name {
                "latitude" => &mut members.latitude,
                "longitude" => &mut members.longitude,
                "location" => &mut members.location,
                "time" => &mut members.time,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if member.replace(map.next_value::<&RawValue>()?).is_some() {
                return Err(serde::de::Error::custom(format_args!("{name} twice")));
            }
        }
        Ok(members)
    }
}

/// Digits of a number that are written out: more than any line of usual limits has.
const DIGITS_MAX: usize = 1000;
/// Characters of a wrong value that an error shows.
const SHOWN_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_body_has_a_location_in_one_of_two_forms() {
        for (body, location, time) in [
            (
                r#"{"latitude":34.0680,"longitude":-118.445127,"time":1621464827.50}"#,
                "+34.0680-118.445127",
                Some("1621464827.50"),
            ),
            (
                r#"{"location":"+34-118","time":"1621464827.959498503"}"#,
                "+34-118",
                Some("1621464827.959498503"),
            ),
            (r#" {"longitude":0,"latitude":-0.0,"x":{"latitude":5}} "#, "-0.0+0", None),
            (
                r#"{"latitude":1.5e1,"longitude":-1.8E+02,"time":1.6214648275e9}"#,
                "+15-180",
                Some("1621464827.5"),
            ),
            ("\u{feff}{\"location\":\"\\u002b1-1\"}", "+1-1", None),
        ] {
            let expected = Report { location: location.to_owned(), time: time.map(str::to_owned) };
            assert_eq!(Report::parse(body.as_bytes()), Ok(expected), "{body}");
        }
    }

    #[test]
    fn a_wrong_body_says_what_was_expected() {
        for (body, words) in [
            ("", "the body: expected a JSON object"),
            ("{", "the body: expected a JSON object"),
            ("[]", "the body: expected a JSON object"),
            ("null", "the body: expected a JSON object"),
            ("latitude=1&longitude=2", "the body: expected a JSON object"),
            (r#"{"location":"+1-1"} x"#, "the body: expected a JSON object"),
            ("{}", "latitude: expected latitude and longitude, or location"),
            (r#"{"latitude":1}"#, "longitude: expected a number, got none"),
            (r#"{"longitude":1}"#, "latitude: expected a number, got none"),
            (
                r#"{"latitude":null,"longitude":0}"#,
                "latitude: expected a number of degrees like 34.0689, got null",
            ),
            (r#"{"latitude":"1","longitude":0}"#, "latitude: expected a number"),
            (r#"{"latitude":NaN,"longitude":0}"#, "the body: "),
            (r#"{"latitude":1,"longitude":0,"location":"+1-1"}"#, "got both"),
            (r#"{"latitude":1,"latitude":1,"longitude":0}"#, "latitude twice"),
            (r#"{"location":[34,-118]}"#, "location: expected a text"),
            (r#"{"location":"+1-1","time":true}"#, "time: expected POSIX seconds"),
            (r#"{"latitude":1e999999999,"longitude":0}"#, "latitude: expected a number"),
            (r#"{"latitude":1e-99999999999999999999,"longitude":0}"#, "latitude: expected a number"),
        ] {
            let error = Report::parse(body.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        }
        assert!(Report::parse(b"{\"location\":\"\xff\"}").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn exponents_are_written_out_exactly() {
        for (text, expected) in [
            ("5", "5"),
            ("-0", "-0"),
            ("12.340", "12.340"),
            ("1e0", "1"),
            ("1.50e0", "1.50"),
            ("1.5e1", "15"),
            ("1.50e1", "15.0"),
            ("1.5e3", "1500"),
            ("0.5e1", "5"),
            ("0.05e1", "0.5"),
            ("0e5", "0"),
            ("0.0e9", "0"),
            ("-0.0e1", "-0"),
            ("15e-1", "1.5"),
            ("15e-2", "0.15"),
            ("15e-4", "0.0015"),
            ("1621464827959E-3", "1621464827.959"),
        ] {
            assert_eq!(number(text).as_deref(), Some(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_number_keeps_its_value(text in "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?") {
            let written = number(&text).unwrap();
            prop_assert!(written.bytes().all(|byte| byte.is_ascii_digit() || b"-.".contains(&byte)), "{}", written);
            prop_assert_eq!(written.parse::<f64>().unwrap(), text.parse::<f64>().unwrap());
        }

        #[test]
        fn no_body_makes_the_reader_panic(body: Vec<u8>, text in "\\{\"(latitude|time|location)\":[-0-9eE.\"]{0,9}\\}") {
            let _ = Report::parse(&body);
            let _ = Report::parse(text.as_bytes());
        }
    }
}
