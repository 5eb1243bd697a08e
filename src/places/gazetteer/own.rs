//! Places of a user's own, from a file of lines (docs/protocol.md, section 5).

use std::fmt;

use super::found::Found;
use super::grid::Grid;
use super::packed::{Position, UNITS_PER_DEGREE};
use super::query::Query;
use crate::geo::Centre;
use crate::places::dialect::json::own_form;

/// The places of a file, and their spatial index.
pub struct OwnPlaces {
    places: Vec<OwnPlace>,
    grid: Grid,
}

#[derive(Clone, Debug, PartialEq)]
struct OwnPlace {
    line: usize,
    name: String,
    latitude: String,
    longitude: String,
    /// Latitude and longitude.
    degrees: (f64, f64),
    types: Vec<String>,
    vicinity: Option<String>,
}

/// A line that is no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// The number of the line, from 1.
    pub line: usize,
    /// The problem.
    pub problem: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.problem)
    }
}

impl OwnPlaces {
    /// Reads a file: a place a line, `NAME LATITUDE LONGITUDE [TYPES [VICINITY]]`, separated by one TAB each. Empty
    /// lines and lines that begin with `#` are ignored.
    ///
    /// # Errors
    ///
    /// The first line that is none of these.
    pub fn parse(text: &[u8]) -> Result<OwnPlaces, BadLine> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut places = Vec::new();
        for (number, line) in text.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let line_number = number + 1;
            let place = OwnPlace::parse(line, line_number);
            places.push(place.map_err(|problem| BadLine { line: line_number, problem })?);
        }
        let grid = Grid::new(&places.iter().map(|place| rounded(place.degrees)).collect::<Vec<_>>());
        Ok(OwnPlaces { places, grid })
    }

    /// The places that match, the nearest first, equal distances in the order of the file.
    pub(super) fn find(&self, query: &Query<'_>) -> Vec<Found> {
        let (latitude, longitude) = (query.latitude_degrees, query.longitude_degrees);
        let centre = Centre::new(latitude, longitude);
        // The index has rounded positions.
        let hits = self.grid.within(latitude, longitude, query.radius_m + ROUNDING_M);
        let mut near: Vec<(f64, &OwnPlace)> = hits
            .into_iter()
            .map(|hit| &self.places[hit.index])
            .map(|place| (centre.distance_m(place.degrees.0, place.degrees.1), place))
            .filter(|(distance, place)| {
                *distance <= query.radius_m && query.matches(&place.name, &place.types, None)
            })
            .collect();
        near.sort_by(|(a, one), (b, other)| a.total_cmp(b).then(one.line.cmp(&other.line)));
        near.into_iter().take(query.limit).map(|(distance, place)| place.found(distance)).collect()
    }
}

impl OwnPlace {
    fn parse(line: &[u8], number: usize) -> Result<OwnPlace, String> {
        let line = str::from_utf8(line).map_err(|_| "it is not UTF-8".to_owned())?;
        let fields: Vec<&str> = line.split('\t').collect();
        let (&[name, latitude, longitude], rest) = fields.split_first_chunk::<3>().ok_or_else(|| {
            format!(
                "expected NAME, LATITUDE and LONGITUDE, separated by one TAB each, got {} fields",
                fields.len()
            )
        })?;
        if rest.len() > 2 {
            return Err(format!("expected at most 5 fields, got {}", fields.len()));
        }
        if name.is_empty() {
            return Err("the name is empty".to_owned());
        }
        let types = match rest.first() {
            None | Some(&"") => TYPES.map(str::to_owned).to_vec(),
            Some(types) => types.split(',').map(str::to_owned).collect(),
        };
        let vicinity = rest.get(1).filter(|vicinity| !vicinity.is_empty());
        let (latitude, north) = coordinate("latitude", latitude, 90.0)?;
        let (longitude, east) = coordinate("longitude", longitude, 180.0)?;
        Ok(OwnPlace {
            line: number,
            name: name.to_owned(),
            latitude,
            longitude,
            degrees: (north, east),
            types,
            vicinity: vicinity.map(|&vicinity| vicinity.to_owned()),
        })
    }

    fn found(&self, distance_m: f64) -> Found {
        Found {
            name: self.name.clone(),
            vicinity: self.vicinity.clone(),
            latitude: self.latitude.clone(),
            longitude: self.longitude.clone(),
            viewport: None,
            place_id: format!("line:{}", self.line),
            types: self.types.clone(),
            distance_m,
        }
    }
}

/// Reads `[+-]?D{1,3}(.D+)?` of at most `most` degrees. Returns the digits in JSON's own form, and the number.
fn coordinate(what: &str, text: &str, most: f64) -> Result<(String, f64), String> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_valid = is_digits(whole) && whole.len() <= 3 && is_digits(fraction);
    let degrees = text.parse::<f64>().ok().filter(|degrees| is_valid && degrees.abs() <= most);
    let Some(degrees) = degrees else {
        return Err(format!("expected a {what} in degrees from -{most} to {most}, such as 34.0689"));
    };
    Ok((own_form(text.strip_prefix('+').unwrap_or(text)), degrees))
}

fn rounded((latitude, longitude): (f64, f64)) -> Position {
    let e5 = |degrees: f64| (degrees * f64::from(UNITS_PER_DEGREE)).round() as i32;
    Position { latitude_e5: e5(latitude), longitude_e5: e5(longitude) }
}

/// The types of a place without types.
const TYPES: [&str; 2] = ["point_of_interest", "establishment"];
/// More than the distance between a position and the rounded one in the index.
const ROUNDING_M: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn find(places: &OwnPlaces, radius_m: f64) -> Vec<Found> {
        places.find(&Query::at(34.068930, -118.445127, radius_m))
    }

    #[test]
    fn places_are_read_and_found_nearest_first() {
        let file = "# mine\r\n\r\nFar cafe\t34.10\t-118.40\tcafe,food\t12 Main St\nMünster\t+034.0700\t-118.4450\t\t\n\
                    Twin\t34.0700\t-118.4450";
        let places = OwnPlaces::parse(file.as_bytes()).unwrap();
        let found = find(&places, 10_000.0);
        let names: Vec<&str> = found.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["Münster", "Twin", "Far cafe"]);
        assert_eq!((found[0].latitude.as_str(), found[0].longitude.as_str()), ("34.0700", "-118.4450"));
        assert_eq!((found[0].place_id.as_str(), &found[0].vicinity), ("line:4", &None));
        assert_eq!(found[0].types, ["point_of_interest", "establishment"]);
        assert_eq!(found[2].types, ["cafe", "food"]);
        assert_eq!(found[2].vicinity.as_deref(), Some("12 Main St"));
        assert_eq!(format!("{:.1} {:.1}", found[0].distance_m / 1e3, found[2].distance_m / 1e3), "0.1 5.4");
        assert_eq!(find(&places, 1000.0).len(), 2);
        assert!(find(&OwnPlaces::parse(b"\xef\xbb\xbf").unwrap(), 1000.0).is_empty());
        let many: String = (0..30).map(|n| format!("{n}\t34.07\t-118.45\n")).collect();
        let found = find(&OwnPlaces::parse(many.as_bytes()).unwrap(), 10_000.0);
        assert_eq!((found.len(), found[19].name.as_str()), (20, "19"));
    }

    #[test]
    fn the_first_bad_line_is_named() {
        for (line, words) in [
            (&b"only a name"[..], "got 1 fields"),
            (b"A\t1", "got 2 fields"),
            (b"A\t1\t2\tx\ty\tz", "at most 5 fields, got 6"),
            (b"\t1\t2", "the name is empty"),
            (b"A\t91\t0", "expected a latitude in degrees from -90 to 90"),
            (b"A\t90.01\t0", "latitude"),
            (b"A\t1\t181", "expected a longitude in degrees from -180 to 180"),
            (b"A\t1,5\t2", "latitude"),
            (b"A\t1.\t2", "latitude"),
            (b"A\t.5\t2", "latitude"),
            (b"A\t0001\t2", "latitude"),
            (b"A\t1e1\t2", "latitude"),
            (b"A\t 1\t2", "latitude"),
            (b"A\tinf\t2", "latitude"),
            (b"A\t+-1\t2", "latitude"),
            (b"\xff\t1\t2", "not UTF-8"),
            (b" ", "got 1 fields"),
        ] {
            let file = [b"Good\t-90.0\t+180\n", line, b"\nbad\n"].concat();
            let error = OwnPlaces::parse(&file).err().unwrap();
            assert!(error.line == 2 && error.problem.contains(words), "{}: {error}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn the_index_agrees_with_a_linear_search(
            places in prop::collection::vec((-900_000..=900_000_i32, -1_800_000..=1_800_000_i32), 0..40),
            (north, east, radius_m) in (-90.0..90.0_f64, -180.0..180.0_f64, 0.0..50_000.0_f64),
        ) {
            let text: String = places
                .iter()
                .map(|(a, b)| format!("x\t{}\t{}\n", f64::from(*a) / 1e4, f64::from(*b) / 1e4))
                .collect();
            let places = OwnPlaces::parse(text.as_bytes()).unwrap();
            // A centre near the first place, so that there is something to find.
            let centre = places.places.first().map_or((north, east), |place| {
                ((place.degrees.0 + north / 900.0).clamp(-90.0, 90.0), place.degrees.1)
            });
            let found = places.find(&Query::at(centre.0, centre.1, radius_m));
            let from = Centre::new(centre.0, centre.1);
            let near = |place: &&OwnPlace| from.distance_m(place.degrees.0, place.degrees.1) <= radius_m;
            prop_assert_eq!(found.len(), places.places.iter().filter(near).count().min(20));
            prop_assert!(found.is_sorted_by(|a, b| a.distance_m <= b.distance_m));
        }
    }
}
