//! Overland: a batch of GeoJSON points.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::parameters::{object, text_of};
use super::point::{NoPosition, Point, Position, id};
use super::sender::Sender;

/// The parts of a batch that are points; `None`: the body is no JSON object with an array `locations`.
pub(super) fn parts(body: &str) -> Option<Vec<&str>> {
    // A derived reader takes a list for an object, too.
    let batch: Batch<'_> = serde_json::from_str(body).ok().filter(|_| body.trim_start().starts_with('{'))?;
    let current = batch.current.filter(|current| current.get() != "null");
    Some(batch.locations.into_iter().chain(current).map(RawValue::get).collect())
}

/// Reads a point.
pub(super) fn read(feature: &str, sender: &Sender) -> Point {
    let feature: Option<&RawValue> = serde_json::from_str(feature).ok();
    let feature: Feature<'_> = object(feature);
    let properties: Properties<'_> = object(feature.properties);
    let own = properties.device_id.and_then(text_of);
    let of_query = || ["device_id", "id"].iter().find_map(|name| id(sender.query.get(name)?));
    let client = own.and_then(|own| id(own.as_bytes())).or_else(of_query).or_else(|| sender.token_id());
    Point { id: client, position: position(&feature, &properties) }
}

fn position(feature: &Feature<'_>, properties: &Properties<'_>) -> Result<Position, NoPosition> {
    let is = |value: Option<&RawValue>, text: &str| value.and_then(text_of).is_some_and(|own| own == text);
    let has_action = properties.action.is_some_and(|action| action.get() != "null");
    let geometry: Geometry<'_> = object(feature.geometry);
    // Visits and trips have the time of their end.
    if !is(feature.kind, "Feature")
        || !is(geometry.kind, "Point")
        || has_action
        || is(properties.kind, "trip")
    {
        return Err(NoPosition::OtherMessage);
    }
    let coordinates = geometry.coordinates.and_then(|value| serde_json::from_str(value.get()).ok());
    let coordinates: Vec<&RawValue> = coordinates.unwrap_or_default();
    let degrees = |at: usize| coordinates.get(at).and_then(|value| text_of(value)).unwrap_or_default();
    let time = properties.timestamp.and_then(text_of);
    // Longitude first (RFC 7946, section 3.1.1).
    Position::read(
        Some(degrees(1).as_bytes()),
        Some(degrees(0).as_bytes()),
        time.as_deref().map(str::as_bytes),
    )
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    locations: Vec<&'a RawValue>,
    #[serde(borrow)]
    current: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Feature<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    geometry: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Geometry<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    coordinates: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct Properties<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    action: Option<&'a RawValue>,
    #[serde(borrow)]
    device_id: Option<&'a RawValue>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(coordinates: &str, properties: &str) -> String {
        format!(
            r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":{coordinates}}},"properties":{{{properties}}}}}"#
        )
    }

    #[test]
    fn a_batch_is_an_object_with_an_array() {
        assert_eq!(
            parts(r#"{"x":[1],"current":{"a":1},"locations":[{},5]}"#).unwrap(),
            ["{}", "5", r#"{"a":1}"#]
        );
        assert_eq!(parts(r#"{"locations":[],"current":null,"trip":{}}"#).unwrap(), [""; 0]);
        for wrong in ["", "{", "[]", "[[]]", "{}", r#"{"locations":5}"#, "null", "id=x"] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_point_has_longitude_first() {
        let properties = r#""timestamp":"2026-11-28T03:00:12Z","device_id":"ada","speed":-1"#;
        let point = read(&feature("[0.1218,52.20030,24]", properties), &Sender::default());
        let position = point.position.unwrap();
        assert_eq!((&*position.location, position.time.as_deref()), ("+52.20030+0.1218", Some("1795834812")));
        assert_eq!(point.id, Some(b"ada".to_vec()));
        for (coordinates, properties) in
            [("[1]", ""), ("[1,null]", ""), ("{}", ""), ("[]", ""), ("[1,91]", ""), ("[\"x\",1]", "")]
        {
            let point = read(&feature(coordinates, properties), &Sender::default());
            assert_eq!(point.position, Err(NoPosition::BadLocation), "{coordinates}");
        }
    }

    #[test]
    fn visits_and_trips_are_no_points() {
        let other = |text: &str| read(text, &Sender::default()).position == Err(NoPosition::OtherMessage);
        assert!(
            other(&feature("[1,2]", r#""action":"visit""#)) && other(&feature("[1,2]", r#""type":"trip""#))
        );
        assert!(other("5") && other("{}") && other(r#"{"type":"Feature","geometry":null,"properties":{}}"#));
        assert!(other(&feature("[1,2]", "").replace("Point", "LineString")));
        assert!(other(&feature("[1,2]", "").replace("Feature", "Other")));
        assert!(!other(&feature("[1,2]", r#""action":null,"type":"x""#)));
    }

    #[test]
    fn the_id_is_of_the_point_or_of_the_query() {
        let id = |properties: &str, query: &str| {
            read(&feature("[1,2]", properties), &Sender::with_query(query))
                .id
                .map(|id| String::from_utf8(id).unwrap())
        };
        assert_eq!(id(r#""device_id":"A b""#, "device_id=q").as_deref(), Some("A%20b"));
        assert_eq!(id(r#""device_id":"""#, "id=q&device_id=d").as_deref(), Some("d"));
        assert_eq!(
            (id(r#""device_id":7"#, "").as_deref(), id("", "id=q").as_deref()),
            (Some("7"), Some("q"))
        );
        assert_eq!(id("", ""), None);
    }
}
