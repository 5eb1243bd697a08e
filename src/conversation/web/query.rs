//! The parameters of a query, and percent-encoded texts (RFC 3986, section 2.1).

use std::borrow::Cow;
use std::fmt::Write as _;

use super::response::Response;
use crate::text::decimal::{Decimal, integer};
use crate::text::fields::is_field;
use crate::text::location::Location;

/// The parameters of a query, `name=value` with `&` between them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a>(pub(super) &'a str);

impl<'a> Query<'a> {
    /// The value of a parameter, as it was sent; `None`: it is not there. Parameters with other names are ignored.
    ///
    /// # Errors
    ///
    /// When it is there twice: which of them counts is not certain.
    pub(super) fn raw(self, name: &str) -> Result<Option<&'a str>, Response> {
        let mut values = self.0.split('&').filter_map(|pair| {
            let (own, value) = pair.split_once('=').unwrap_or((pair, ""));
            (own == name).then_some(value)
        });
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Response::bad(&format!("{name}: expected one value, got several"))),
        }
    }

    /// The decoded value of a parameter.
    pub(super) fn get(self, name: &str) -> Result<Option<Cow<'a, [u8]>>, Response> {
        self.raw(name)?.map(|value| decoded(name, value)).transpose()
    }

    /// The value of a parameter that is an ID of a client, or the beginning of one.
    pub(super) fn id(self, name: &str) -> Result<Option<Cow<'a, [u8]>>, Response> {
        let value = self.get(name)?;
        if value.as_ref().is_some_and(|id| !id.is_empty() && !is_field(id)) {
            return Err(Response::bad(&format!(
                "{name}: expected no white space, which no ID of a client has"
            )));
        }
        Ok(value)
    }

    /// The value of a parameter that is an integer; `or` if it is not there.
    pub(super) fn integer(self, name: &str, max: u64, or: u64) -> Result<u64, Response> {
        let Some(value) = self.get(name)? else { return Ok(or) };
        integer(&value)
            .filter(|&number| number <= max)
            .ok_or_else(|| wrong(name, &format!("an integer from 0 to {max}"), &value))
    }

    /// The value of the parameter `km`, `D+(.D+)?`, up to `max`.
    pub(super) fn kilometres(self, max: u32) -> Result<Cow<'a, [u8]>, Response> {
        let Some(value) = self.get("km")? else {
            return Err(Response::bad(&format!("km: expected a radius from 0 to {max} km, got none")));
        };
        match Decimal::parse(&value) {
            Some(radius) if radius.at_most(max) => Ok(value),
            _ => Err(wrong("km", &format!("a radius from 0 to {max} km, like 2.5"), &value)),
        }
    }

    /// The location of the parameters `latitude` and `longitude`, in the form of a line; `None`: neither is there.
    pub(super) fn location(self) -> Result<Option<Vec<u8>>, Response> {
        let (latitude, longitude) = (self.get("latitude")?, self.get("longitude")?);
        if latitude.is_none() && longitude.is_none() {
            return Ok(None);
        }
        let location = coordinate("latitude", latitude.as_deref(), LATITUDE_MAX).and_then(|latitude| {
            let longitude = coordinate("longitude", longitude.as_deref(), LONGITUDE_MAX)?;
            Ok([latitude, longitude].concat())
        });
        location.map(Some).map_err(|error| Response::bad(&error))
    }
}

/// A coordinate with its sign. The error is in words.
pub(super) fn coordinate(name: &str, value: Option<&[u8]>, limit: u32) -> Result<Vec<u8>, String> {
    let expected = format!("expected degrees from -{limit} to {limit}, like 34.0689");
    let Some(value) = value else {
        return Err(format!("{name}: {expected}, got none"));
    };
    let sign = if matches!(value.first(), Some(b'+' | b'-')) { &b""[..] } else { b"+" };
    let signed = [sign, value].concat();
    let (latitude, longitude) =
        if limit == LATITUDE_MAX { (&signed[..], &b"+0"[..]) } else { (&b"+0"[..], &signed[..]) };
    let whole = [latitude, longitude].concat();
    if Location::parse(&whole).is_some_and(|location| location.latitude() == latitude) {
        return Ok(signed);
    }
    Err(format!("{name}: {expected}, got '{}'", shown(value)))
}

/// The error of a value that is not as expected.
pub(super) fn wrong(name: &str, expected: &str, value: &[u8]) -> Response {
    Response::bad(&format!("{name}: expected {expected}, got '{}'", shown(value)))
}

fn shown(value: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(&value[..value.len().min(SHOWN_MAX)])
}

/// Decodes a text of a target; `name` says in errors what it is.
pub(super) fn decoded<'a>(name: &str, text: &'a str) -> Result<Cow<'a, [u8]>, Response> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text.as_bytes()));
    }
    let is_hex = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_hexdigit);
    let bytes = text.as_bytes();
    for (at, _) in text.match_indices('%') {
        if !is_hex(bytes.get(at + 1)) || !is_hex(bytes.get(at + 2)) {
            return Err(wrong(name, "two hexadecimal digits after each %", bytes));
        }
    }
    Ok(Cow::Owned(percent_encoding::percent_decode(bytes).collect()))
}

/// Appends the percent-encoded form of an ID, as a segment of a path.
pub(super) fn encode(id: &[u8], output: &mut Vec<u8>) {
    let mut text = String::new();
    for &byte in id {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            // Writing into a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    output.extend_from_slice(text.as_bytes());
}

/// The greatest latitude and longitude, in degrees.
pub(super) const LATITUDE_MAX: u32 = 90;
pub(super) const LONGITUDE_MAX: u32 = 180;
/// Bytes of a wrong value that an error shows.
const SHOWN_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(response: Response) -> String {
        String::from_utf8(response.body).unwrap()
    }

    #[test]
    fn parameters_are_found_and_decoded() {
        let query = Query("a=1&b=%6b+x&c&d=&e=a=b");
        let get = |name| query.get(name).unwrap().map(Cow::into_owned);
        assert_eq!(get("a"), Some(b"1".to_vec()));
        assert_eq!(get("b"), Some(b"k+x".to_vec()), "no ID has a space that + could stand for");
        assert_eq!((get("c"), get("d")), (Some(Vec::new()), Some(Vec::new())));
        assert_eq!((get("e"), get("f")), (Some(b"a=b".to_vec()), None));
        assert!(text(Query("a=1&a=1").get("a").unwrap_err()).contains("a: expected one value"));
        for value in ["%", "%4", "%zz", "a%4x", "%%41"] {
            let query = format!("a={value}");
            assert!(text(Query(&query).get("a").unwrap_err()).contains("a: expected two hex"), "{value}");
        }
    }

    #[test]
    fn values_are_checked() {
        let limit = |query| Query(query).integer("limit", 20, 7).map_err(text);
        assert_eq!((limit(""), limit("limit=20"), limit("limit=0")), (Ok(7), Ok(20), Ok(0)));
        for query in ["limit=21", "limit=-1", "limit=x", "limit=", "limit=1.5", "limit=99999999999999999999"]
        {
            assert!(
                limit(query).unwrap_err().contains("limit: expected an integer from 0 to 20, got"),
                "{query}"
            );
        }
        let km = |query| Query(query).kilometres(50).map(Cow::into_owned).map_err(text);
        assert_eq!(km("km=2.5"), Ok(b"2.5".to_vec()));
        for query in ["", "km=", "km=51", "km=-1", "km=1e1", "km=x"] {
            assert!(km(query).unwrap_err().contains("km: expected a radius from 0 to 50 km"), "{query}");
        }
    }

    #[test]
    fn a_location_is_two_numbers() {
        let location = |query| {
            Query(query)
                .location()
                .map(|found| found.map(|text| String::from_utf8(text).unwrap()))
                .map_err(text)
        };
        assert_eq!(location(""), Ok(None));
        for (query, expected) in [
            ("latitude=34.068930&longitude=-118.445127", "+34.068930-118.445127"),
            ("longitude=%2B5&latitude=-0", "-0+5"),
            ("latitude=+90&longitude=180.0", "+90+180.0"),
        ] {
            assert_eq!(location(query), Ok(Some(expected.to_owned())));
        }
        for (query, word) in [
            ("latitude=1", "longitude: expected degrees from -180 to 180"),
            ("longitude=1", "latitude: expected degrees from -90 to 90"),
            ("latitude=91&longitude=0", "latitude: "),
            ("latitude=0&longitude=180.5", "longitude: "),
            ("latitude=NaN&longitude=0", "latitude: "),
            ("latitude=&longitude=0", "latitude: "),
            ("latitude=1e1&longitude=0", "latitude: "),
            ("latitude=1-1&longitude=0", "latitude: "),
            ("latitude=1&longitude=1-1", "longitude: "),
            ("latitude=--1&longitude=0", "latitude: "),
        ] {
            assert!(location(query).unwrap_err().contains(word), "{query}");
        }
    }

    #[test]
    fn ids_are_encoded_as_segments() {
        let mut output = Vec::new();
        encode(b"a/b%\xff~", &mut output);
        assert_eq!(output, b"a%2Fb%25%FF~");
    }
}
