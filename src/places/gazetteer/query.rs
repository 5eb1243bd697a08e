//! The parser of query strings with the parameters of Google's legacy Nearby Search.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// The parameters of a Nearby Search.
#[derive(Debug)]
pub struct Query<'a> {
    /// The latitude of the centre, from -90 to 90.
    pub latitude_degrees: f64,
    /// The longitude of the centre, from -180 to 180.
    pub longitude_degrees: f64,
    /// The radius, from 0 to 50,000.
    pub radius_m: f64,
    /// The order of the results.
    pub order: Order,
    /// A part of a name, or an airport's IATA code, in lower case.
    pub keyword: Option<String>,
    /// A part of a name, in lower case.
    pub name: Option<String>,
    /// A type that results must have.
    pub place_type: Option<Cow<'a, str>>,
}

/// The order of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The most prominent first.
    Prominence,
    /// The nearest first.
    Distance,
}

impl Query<'_> {
    /// Parses a query string. The error is a message for the client.
    pub fn parse(query: &str) -> Result<Query<'_>, &'static str> {
        let parameter = |name: &str| parameter(query, name);
        let location = parameter("location").ok_or("location is missing")?;
        let (latitude_degrees, longitude_degrees) = read_location(&location)?;
        let order = match parameter("rankby").as_deref() {
            None | Some("prominence") => Order::Prominence,
            Some("distance") => Order::Distance,
            Some(_) => return Err("rankby must be prominence or distance"),
        };
        let keyword = parameter("keyword");
        let name = parameter("name");
        let place_type = parameter("type");
        let radius_m = match (order, parameter("radius")) {
            (Order::Prominence, Some(radius)) => read_radius_m(&radius)?,
            (Order::Prominence, None) => return Err("radius is missing"),
            (Order::Distance, Some(_)) => return Err("radius must not be given with rankby=distance"),
            (Order::Distance, None) if keyword.is_none() && name.is_none() && place_type.is_none() => {
                return Err("rankby=distance needs one of keyword, name and type");
            }
            (Order::Distance, None) => MAX_RADIUS_M,
        };
        Ok(Query {
            latitude_degrees,
            longitude_degrees,
            radius_m,
            order,
            keyword: keyword.map(|keyword| keyword.to_lowercase()),
            name: name.map(|name| name.to_lowercase()),
            place_type: place_type.and_then(first_type),
        })
    }
}

/// The value of the first parameter with that name; `None` if there is none or its value is empty.
fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.find(|(key, _)| decode(key) == name)?;
    Some(decode(value)).filter(|value| !value.is_empty())
}

/// Decodes `%XX` to a byte and `+` to a space. A `%` that is not followed by two hexadecimal digits stays,
/// and bytes that are not UTF-8 become U+FFFD.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    // Before the escapes, because `%2B` is a plus sign.
    let spaced = text.replace('+', " ");
    Cow::Owned(percent_decode_str(&spaced).decode_utf8_lossy().into_owned())
}

fn read_location(text: &str) -> Result<(f64, f64), &'static str> {
    let (latitude, longitude) = text.split_once(',').ok_or("location must be latitude,longitude")?;
    let latitude = read_number(latitude).ok_or("the latitude of location is not a number")?;
    let longitude = read_number(longitude).ok_or("the longitude of location is not a number")?;
    if !(-90.0..=90.0).contains(&latitude) {
        return Err("the latitude of location must be from -90 to 90");
    }
    if !(-180.0..=180.0).contains(&longitude) {
        return Err("the longitude of location must be from -180 to 180");
    }
    Ok((latitude, longitude))
}

fn read_radius_m(text: &str) -> Result<f64, &'static str> {
    let radius_m = read_number(text).ok_or("radius is not a number")?;
    if radius_m < 0.0 {
        return Err("radius must not be negative");
    }
    Ok(radius_m.min(MAX_RADIUS_M))
}

/// Parses a decimal number, without infinities, NaN and exponents. White space around it is allowed: an
/// unencoded `+` sign is decoded to a space.
fn read_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let is_decimal = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+'));
    text.parse().ok().filter(|_| is_decimal)
}

/// The first of types joined by `|`. `None`: they are joined by commas, which Google ignores.
fn first_type(types: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match types.split_once('|') {
        _ if types.contains(',') => None,
        Some((first, _)) => Some(Cow::Owned(first.to_string())),
        None => Some(types),
    }
}

/// The greatest radius, in metres. Google caps a radius, too.
const MAX_RADIUS_M: f64 = 50_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_queries_are_refused_with_a_message() {
        for (query, message) in [
            ("", "location is missing"),
            ("location=&radius=5", "location is missing"),
            ("Location=1,1&radius=5", "location is missing"),
            ("location=34.1&radius=5", "location must be latitude,longitude"),
            ("location=+34.068930-118.445127&radius=5", "location must be latitude,longitude"),
            ("location=a,1&radius=5", "the latitude of location is not a number"),
            ("location=NaN,1&radius=5", "the latitude of location is not a number"),
            ("location=,1&radius=5", "the latitude of location is not a number"),
            ("location=1,1,1&radius=5", "the longitude of location is not a number"),
            ("location=1,1e1&radius=5", "the longitude of location is not a number"),
            ("location=90.1,0&radius=5", "the latitude of location must be from -90 to 90"),
            ("location=0,-180.00001&radius=5", "the longitude of location must be from -180 to 180"),
            ("location=1,1", "radius is missing"),
            ("location=1,1&radius=", "radius is missing"),
            ("location=1,1&radius=-1", "radius must not be negative"),
            ("location=1,1&radius=ten", "radius is not a number"),
            ("location=1,1&radius=inf", "radius is not a number"),
            ("location=1,1&radius=1e3", "radius is not a number"),
            ("location=1,1&rankby=distance", "rankby=distance needs one of keyword, name and type"),
            ("location=1,1&rankby=distance&type=", "rankby=distance needs one of keyword, name and type"),
            (
                "location=1,1&rankby=distance&type=airport&radius=5",
                "radius must not be given with rankby=distance",
            ),
            ("location=1,1&rankby=fame&radius=5", "rankby must be prominence or distance"),
        ] {
            assert_eq!(Query::parse(query).err(), Some(message), "{query}");
        }
        assert!(Query::parse("location=1,1&rankby=prominence&radius=5").is_ok());
        assert!(Query::parse("location=1,1&rankby=distance&type=a,b").is_ok());
    }

    #[test]
    fn a_malformed_escape_is_left_as_it_is() {
        assert_eq!(decode("a%2Cb+c%c3%a9"), "a,b cé");
        assert_eq!(decode("%2B+%2b"), "+ +");
        assert_eq!(decode("100%"), "100%");
        assert_eq!(decode("%4"), "%4");
        assert_eq!(decode("%+1%zz%é"), "% 1%zz%é");
        assert_eq!(decode("%ff%00"), "\u{fffd}\0");
    }
}
