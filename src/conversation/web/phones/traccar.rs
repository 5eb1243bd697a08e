//! Parameters, as OsmAnd, GPSLogger and Traccar Client send them: in a query, in a form, or as a flat JSON object; and the
//! JSON of Traccar Client 9, whose position is in an object of its own.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::parameters::{Parameters, object, text_of};
use super::point::{Point, Position, id};
use super::sender::Sender;

/// Reads the parameters of the body together with those of the query, which come first.
pub(super) fn read(body: Parameters, sender: &Sender) -> Point {
    let is_nested = body.location_object().is_some();
    let mut all = sender.query.clone();
    all.join(body);
    let names: &[&str] = if is_nested { &NAMES_OF_NESTED } else { &NAMES };
    let client = names.iter().find_map(|name| id(all.get(name)?)).or_else(|| sender.token_id());
    let position = match all.location_object() {
        Some(location) if !has_own_position(&all) => nested(location),
        _ => flat(&all),
    };
    Point { id: client, position }
}

fn has_own_position(all: &Parameters) -> bool {
    all.first(&LATITUDE).is_some() || all.first(&LONGITUDE).is_some()
}

/// The position of parameters.
fn flat(all: &Parameters) -> Result<Position, super::point::NoPosition> {
    let (mut latitude, mut longitude) = (all.first(&LATITUDE), all.first(&LONGITUDE));
    if latitude.is_none()
        && longitude.is_none()
        && let Some(location) = all.get("location")
    {
        let comma = location.iter().position(|&byte| byte == b',').unwrap_or(location.len());
        let (before, after) = location.split_at(comma);
        (latitude, longitude) = (Some(before), Some(after.get(1..).unwrap_or_default()));
    }
    Position::read(latitude, longitude, all.first(&["timestamp", "time", "tst"]))
}

/// The position of `{"timestamp":…,"coords":{"latitude":…,"longitude":…}}`. Without `coords` it is a heartbeat.
fn nested(location: &str) -> Result<Position, super::point::NoPosition> {
    let location: Location<'_> = object(serde_json::from_str(location).ok());
    let coords: Coords<'_> = object(location.coords);
    let text = |value: Option<&RawValue>| value.and_then(text_of);
    let (latitude, longitude, time) =
        (text(coords.latitude), text(coords.longitude), text(location.timestamp));
    let bytes = |text: &'_ Option<String>| text.as_ref().map(|text| text.as_bytes().to_vec());
    Position::read(bytes(&latitude).as_deref(), bytes(&longitude).as_deref(), bytes(&time).as_deref())
}

#[derive(Default, Deserialize)]
struct Location<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    coords: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Coords<'a> {
    #[serde(borrow)]
    latitude: Option<&'a RawValue>,
    #[serde(borrow)]
    longitude: Option<&'a RawValue>,
}

/// The names of the ID, in the order in which they count.
const NAMES: [&str; 6] = ["id", "deviceid", "device_id", "device", "aid", "ser"];
/// The same for Traccar Client 9.
const NAMES_OF_NESTED: [&str; 6] = ["device_id", "id", "deviceid", "device", "aid", "ser"];
const LATITUDE: [&str; 2] = ["lat", "latitude"];
const LONGITUDE: [&str; 3] = ["lon", "lng", "longitude"];

#[cfg(test)]
mod tests {
    use super::super::point::NoPosition;
    use super::*;

    fn of_query(query: &str) -> Point {
        read(Parameters::default(), &Sender { query: Parameters::of_query(query), ..Sender::default() })
    }

    #[test]
    fn a_position_is_under_one_of_some_names() {
        for query in [
            "lat=1.5&lon=2.5",
            "latitude=1.5&lng=2.5",
            "location=1.5,2.5",
            "lat=1.5&longitude=2.5&location=9,9",
        ] {
            assert_eq!(of_query(query).position.unwrap().location, "+1.5+2.5", "{query}");
        }
        for query in ["location=1.5", "location=1.5,2.5,3", "location=,", "lat=1&location=1,2"] {
            assert_eq!(of_query(query).position, Err(NoPosition::BadLocation), "{query}");
        }
        assert_eq!(of_query("id=x").position, Err(NoPosition::Heartbeat));
        let time = |query: &str| of_query(&format!("lat=1&lon=2&{query}")).position.unwrap().time;
        assert_eq!(time("tst=3&time=2&timestamp=1").as_deref(), Some("1"));
        assert_eq!(
            (time("tst=3&time=2").as_deref(), time("tst=3").as_deref(), time("")),
            (Some("2"), Some("3"), None)
        );
    }

    #[test]
    fn the_id_is_under_one_of_some_names() {
        let id = |query: &str| of_query(query).id.map(|id| String::from_utf8(id).unwrap());
        assert_eq!(id("ser=6&aid=5&device=4&device_id=3&deviceid=2&id=1").as_deref(), Some("1"));
        assert_eq!(id("ser=6&aid=5&device=4&device_id=3&deviceid=2").as_deref(), Some("2"));
        assert_eq!((id("ser=6&aid=5").as_deref(), id("lat=1")), (Some("5"), None));
        let sender = Sender { token: Some(b"ada".to_vec()), ..Sender::default() };
        assert_eq!(read(Parameters::default(), &sender).id, Some(b"ada".to_vec()));
        let long = format!("id={}&ser=b", "x".repeat(1025));
        assert_eq!(id(&long).as_deref(), Some("b"), "an ID that is too long is none");
    }

    #[test]
    fn traccar_9_has_an_object() {
        let of_json = |json: &str| read(Parameters::of_json(json).unwrap(), &Sender::default());
        let point = of_json(
            r#"{"id":"b","device_id":"a","location":{"timestamp":"2026-11-28T03:00:12.481Z","coords":{"latitude":52.2003,"longitude":"0.10","x":1}}}"#,
        );
        assert_eq!(point.id, Some(b"a".to_vec()));
        let position = point.position.unwrap();
        assert_eq!(
            (&*position.location, position.time.as_deref()),
            ("+52.2003+0.10", Some("1795834812.481"))
        );
        for json in [r#"{"id":1,"location":{"timestamp":5}}"#, r#"{"id":1,"location":{"coords":[1,2]}}"#] {
            assert_eq!(of_json(json).position, Err(NoPosition::Heartbeat), "{json}");
        }
        let half = r#"{"id":1,"location":{"coords":{"latitude":1,"longitude":null}}}"#;
        assert_eq!(of_json(half).position, Err(NoPosition::BadLocation));
    }
}
