//! The dialect of Photon, a search engine for OpenStreetMap. It answers in GeoJSON, longitude first.

use serde_json::value::RawValue;

use super::json::{Object, number, quote, write_array, write_object};
use crate::places::answer::{Answer, Unusable};
use crate::places::question::Question;

/// The path of a question, below the base path of `places.url`.
pub const PATH: &str = "/reverse";

/// The request target of a question.
pub(super) fn target(base_path: &str, question: &Question) -> String {
    format!(
        "{base_path}{PATH}?lat={}&lon={}&radius={}&limit=20",
        question.latitude(),
        question.longitude(),
        question.radius_km()
    )
}

/// The answer in the legacy form.
pub(super) fn answer(response: &Object<'_>) -> Result<Answer, Unusable> {
    let features = response.array("features").ok_or(Unusable::NoArray("features"))?;
    let results: Vec<String> =
        features.into_iter().filter_map(Object::of).filter_map(|feature| result(&feature)).collect();
    // A service of a user's own places has an empty licence: they need no attribution.
    let licence = Some(response.string("licence").unwrap_or_else(|| LICENCE.to_owned()));
    let attributions: Vec<String> = licence.into_iter().filter(|licence| !licence.is_empty()).collect();
    Ok(Answer::of_results(&attributions, &results))
}

/// A result; `None`: the place has no name or no location.
fn result(feature: &Object<'_>) -> Option<String> {
    let place = feature.object("properties")?;
    let name = place.string("name")?;
    let coordinates = numbers(feature.object("geometry")?.array("coordinates")?);
    let [Some(longitude), Some(latitude), ..] = coordinates[..] else { return None };
    let viewport = place.array("extent").map(numbers).and_then(|extent| {
        let [Some(west), Some(north), Some(east), Some(south), ..] = extent[..] else { return None };
        write_object(&[("northeast", write_point(north, east)), ("southwest", write_point(south, west))])
    });
    let place_id = place.string("osm_type").zip(place.number("osm_id"));
    let types = place.string("osm_value").into_iter().chain(TYPES.map(str::to_owned));
    let types: Vec<String> = types.map(|text| quote(&text)).collect();
    write_object(&[
        ("geometry", write_object(&[("location", write_point(latitude, longitude)), ("viewport", viewport)])),
        ("name", Some(quote(&name))),
        ("place_id", place_id.map(|(kind, id)| quote(&format!("osm:{}{id}", kind.to_lowercase())))),
        ("types", Some(write_array(&types))),
        ("vicinity", vicinity(&place).map(|text| quote(&text))),
    ])
}

/// The numbers among these elements, each at its place.
fn numbers(values: Vec<&RawValue>) -> Vec<Option<&str>> {
    values.into_iter().map(number).collect()
}

fn write_point(latitude: &str, longitude: &str) -> Option<String> {
    write_object(&[("lat", Some(latitude.to_owned())), ("lng", Some(longitude.to_owned()))])
}

/// `housenumber street, city`; without a street the house number says nothing.
fn vicinity(place: &Object<'_>) -> Option<String> {
    let street = place.string("street").map(|street| match place.string("housenumber") {
        Some(number) => format!("{number} {street}"),
        None => street,
    });
    let parts: Vec<String> = street.into_iter().chain(place.string("city")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The types of every place, after its own.
const TYPES: [&str; 2] = ["point_of_interest", "establishment"];
/// The attribution that OpenStreetMap asks for, if the service names none itself.
const LICENCE: &str = "Data © OpenStreetMap contributors, ODbL 1.0. https://osm.org/copyright";
