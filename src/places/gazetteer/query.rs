//! The parsers of questions in each dialect.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::places::dialect::json::Object;

/// The parameters of a search.
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
    /// The greatest number of results.
    pub limit: usize,
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
            limit: MAX_RESULTS,
        })
    }

    /// The question for all places around a point.
    pub fn at(latitude_degrees: f64, longitude_degrees: f64, radius_m: f64) -> Query<'static> {
        Query {
            latitude_degrees,
            longitude_degrees,
            radius_m,
            order: Order::Prominence,
            keyword: None,
            name: None,
            place_type: None,
            limit: MAX_RESULTS,
        }
    }

    /// Parses the query string of a reverse search of Photon: `lat`, `lon`, `radius` in km (1 without it) and
    /// `limit` (1 without it). The error is a message for the client.
    pub fn photon(query: &str) -> Result<Query<'static>, &'static str> {
        let number = |name: &str, or: &'static str| {
            parameter(query, name).map_or(Ok(None), |text| read_number(&text).map(Some).ok_or(or))
        };
        let latitude = number("lat", "lat is not a number")?.ok_or("missing search term 'lat'")?;
        let longitude = number("lon", "lon is not a number")?.ok_or("missing search term 'lon'")?;
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return Err(
                "invalid search term 'lat' or 'lon': expected lat from -90 to 90 and lon from -180 to 180",
            );
        }
        let radius_km = number("radius", "radius is not a number")?.unwrap_or(1.0);
        if radius_km < 0.0 {
            return Err("radius must not be negative");
        }
        let limit = number("limit", "limit is not a number")?.unwrap_or(1.0);
        let radius_m = (radius_km * 1000.0).min(MAX_RADIUS_M);
        // The cast turns negative numbers into 0.
        Ok(Query { limit: (limit as usize).min(MAX_RESULTS), ..Query::at(latitude, longitude, radius_m) })
    }

    /// Parses the body of a `searchNearby` of Google's Places API (New). The error is a message for the client.
    pub fn google(body: &[u8]) -> Result<Query<'static>, String> {
        let text = str::from_utf8(body).map_err(|_| "the body is not UTF-8".to_owned())?;
        let body = Object::parse(text).map_err(|_| "the body is not a JSON object".to_owned())?;
        let circle = body.object("locationRestriction").and_then(|restriction| restriction.object("circle"));
        let circle = circle.ok_or("location_restriction.circle is a required parameter")?;
        let centre = circle.object("center").ok_or("location_restriction.circle.center is missing")?;
        // A member that is absent is 0.
        let number = |object: &Object<'_>, name: &str| match object.member(name) {
            None => Ok(0.0),
            Some(_) => object
                .number(name)
                .and_then(|text| text.parse::<f64>().ok())
                .ok_or_else(|| format!("Invalid value at '{name}': expected a number")),
        };
        let (latitude, longitude) = (number(&centre, "latitude")?, number(&centre, "longitude")?);
        if !(-90.0..=90.0).contains(&latitude) || !(-180.0..=180.0).contains(&longitude) {
            return Err("Latitude must be in [-90, 90], and longitude in [-180, 180]".to_owned());
        }
        let radius_m = number(&circle, "radius")?;
        if !(radius_m > 0.0 && radius_m <= MAX_RADIUS_M) {
            return Err(format!("Radius must be in (0, {MAX_RADIUS_M}] meters"));
        }
        let limit = match number(&body, "maxResultCount")? {
            0.0 => MAX_RESULTS,
            count if (1.0..=MAX_RESULTS as f64).contains(&count) && count.fract() == 0.0 => count as usize,
            _ => return Err(format!("max_result_count must be between 1 and {MAX_RESULTS}")),
        };
        Ok(Query { limit, ..Query::at(latitude, longitude, radius_m) })
    }

    /// Whether a place with this name, these types and this code passes the filters.
    pub(super) fn matches<T: AsRef<str>>(&self, name: &str, types: &[T], code: Option<&str>) -> bool {
        if let Some(wanted) = &self.place_type
            && !types.iter().any(|own| own.as_ref() == wanted)
        {
            return false;
        }
        if self.keyword.is_none() && self.name.is_none() {
            return true;
        }
        let name = name.to_lowercase();
        let has_code = |keyword: &str| code.is_some_and(|code| code.eq_ignore_ascii_case(keyword));
        self.name.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()))
            && self.keyword.as_ref().is_none_or(|wanted| name.contains(wanted.as_str()) || has_code(wanted))
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

/// The greatest number of results: a page of Google Places.
const MAX_RESULTS: usize = 20;
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
    fn questions_of_photon_are_read() {
        let query = Query::photon("lat=34.07&lon=-118.45&radius=1.5&limit=20&lang=en").unwrap();
        assert_eq!((query.latitude_degrees, query.longitude_degrees), (34.07, -118.45));
        assert_eq!((query.radius_m, query.limit), (1500.0, 20));
        let query = Query::photon("lon=1&lat=2&radius=51&limit=-3").unwrap();
        assert_eq!((query.radius_m, query.limit), (50_000.0, 0));
        let query = Query::photon("lon=1&lat=2").unwrap();
        assert_eq!((query.radius_m, query.limit), (1000.0, 1));
        for (query, words) in [
            ("lon=1", "'lat'"),
            ("lat=1", "'lon'"),
            ("lat=x&lon=1", "lat is not a number"),
            ("lat=91&lon=1", "from -90 to 90"),
            ("lat=1&lon=181", "from -180 to 180"),
            ("lat=1&lon=1&radius=-1", "negative"),
            ("lat=1&lon=1&radius=1e3", "radius is not a number"),
            ("lat=1&lon=1&limit=x", "limit is not a number"),
        ] {
            assert!(Query::photon(query).unwrap_err().contains(words), "{query}");
        }
    }

    #[test]
    fn questions_of_google_are_read() {
        let body = |centre: &str, rest: &str| {
            format!(
                r#"{{"locationRestriction":{{"circle":{{"center":{{{centre}}}{rest}}}}},"maxResultCount":7}}"#
            )
        };
        let query =
            Query::google(body(r#""latitude":34.07,"longitude":-118.45"#, r#","radius":500.5"#).as_bytes());
        let query = query.unwrap();
        assert_eq!((query.latitude_degrees, query.longitude_degrees), (34.07, -118.45));
        assert_eq!((query.radius_m, query.limit), (500.5, 7));
        for (body, words) in [
            ("".to_owned(), "not a JSON object"),
            ("[]".to_owned(), "not a JSON object"),
            ("{}".to_owned(), "required parameter"),
            (r#"{"locationRestriction":{"circle":{}}}"#.to_owned(), "center is missing"),
            (body(r#""latitude":"x""#, ""), "expected a number"),
            (body(r#""latitude":91"#, r#","radius":5"#), "Latitude"),
            (body(r#""longitude":181"#, r#","radius":5"#), "longitude"),
            (body("", ""), "Radius"),
            (body("", r#","radius":0"#), "Radius"),
            (body("", r#","radius":50000.1"#), "Radius"),
            (body("", r#","radius":1e999"#), "Radius"),
            (body("", r#","radius":5"#).replace(":7", ":21"), "max_result_count"),
            (body("", r#","radius":5"#).replace(":7", ":1.5"), "max_result_count"),
        ] {
            let error = Query::google(body.as_bytes()).unwrap_err();
            assert!(error.contains(words), "{body}: {error}");
        }
        assert!(Query::google(b"\xff").is_err());
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
