//! The dialect of Google's Places API (New), `searchNearby`.

use super::json::{Object, elements, own_form, quote, string, write_array, write_object};
use crate::places::answer::{Answer, Unusable};
use crate::places::question::Question;

/// The path of a question, below the base path of `places.url`.
pub const PATH: &str = "/v1/places:searchNearby";
/// The header field of the key.
pub(super) const KEY_FIELD: &str = "X-Goog-Api-Key";
/// The header field that names the fields of an answer. Google refuses a question without it.
pub const MASK_FIELD: &str = "X-Goog-FieldMask";
/// The fields of an answer. Google bills a question by the dearest of them, so that ratings, prices and opening
/// hours are left out.
pub(super) const MASK: &str = "places.id,places.displayName,places.location,places.viewport,places.types,\
    places.formattedAddress,places.shortFormattedAddress,places.businessStatus,places.plusCode,\
    places.iconMaskBaseUri,places.iconBackgroundColor,places.attributions";

/// The body of a question.
pub(super) fn body(question: &Question) -> String {
    let (latitude, longitude) = (own_form(question.latitude()), own_form(question.longitude()));
    format!(
        r#"{{"maxResultCount":20,"locationRestriction":{{"circle":{{"center":{{"latitude":{latitude},"longitude":{longitude}}},"radius":{}}}}}}}"#,
        question.radius_m()
    )
}

/// The answer in the legacy form.
pub(super) fn answer(response: &Object<'_>) -> Result<Answer, Unusable> {
    let places = match response.member("places") {
        // An empty list is left out.
        None => Vec::new(),
        Some(places) => elements(places).ok_or(Unusable::NoArray("places"))?,
    };
    let (mut results, mut attributions) = (Vec::new(), Vec::new());
    for place in places.into_iter().filter_map(Object::of) {
        if let Some(result) = result(&place) {
            results.push(result);
            attributions.extend(attributions_of(&place));
        }
    }
    let mut seen = std::collections::HashSet::new();
    attributions.retain(|attribution: &String| seen.insert(attribution.clone()));
    Ok(Answer::of_results(&attributions, &results))
}

/// A result; `None`: the place has no name or no location.
fn result(place: &Object<'_>) -> Option<String> {
    let quoted = |name: &str| place.string(name).map(|text| quote(&text));
    let name = place.object("displayName")?.string("text")?;
    let location = write_point(&place.object("location")?)?;
    let viewport = place.object("viewport").and_then(|viewport| {
        let corner = |name| viewport.object(name).and_then(|corner| write_point(&corner));
        Some((corner("high")?, corner("low")?))
    });
    let viewport = viewport.and_then(|(northeast, southwest)| {
        write_object(&[("northeast", Some(northeast)), ("southwest", Some(southwest))])
    });
    let open_now = ["currentOpeningHours", "regularOpeningHours"]
        .iter()
        .find_map(|hours| place.object(hours)?.flag("openNow"));
    let plus_code = place.object("plusCode").and_then(|code| {
        let quoted = |name: &str| code.string(name).map(|text| quote(&text));
        write_object(&[("compound_code", quoted("compoundCode")), ("global_code", quoted("globalCode"))])
    });
    let price_level = place.string("priceLevel").and_then(|level| {
        let level = level.strip_prefix("PRICE_LEVEL_")?;
        PRICE_LEVELS.iter().position(|known| *known == level)
    });
    let types = place.array("types").map(|types| {
        let types: Vec<String> = types.into_iter().filter_map(string).map(|text| quote(&text)).collect();
        write_array(&types)
    });
    write_object(&[
        ("business_status", quoted("businessStatus")),
        ("geometry", write_object(&[("location", Some(location)), ("viewport", viewport)])),
        ("icon_background_color", quoted("iconBackgroundColor")),
        ("icon_mask_base_uri", quoted("iconMaskBaseUri")),
        ("name", Some(quote(&name))),
        ("opening_hours", open_now.and_then(|open| write_object(&[("open_now", Some(open.to_string()))]))),
        ("place_id", quoted("id")),
        ("plus_code", plus_code),
        ("price_level", price_level.map(|level| level.to_string())),
        ("rating", place.number("rating").map(str::to_owned)),
        ("types", types),
        ("user_ratings_total", place.number("userRatingCount").map(str::to_owned)),
        ("vicinity", quoted("shortFormattedAddress").or_else(|| quoted("formattedAddress"))),
    ])
}

/// The levels 0 to 4, after `PRICE_LEVEL_`.
const PRICE_LEVELS: [&str; 5] = ["FREE", "INEXPENSIVE", "MODERATE", "EXPENSIVE", "VERY_EXPENSIVE"];

fn write_point(point: &Object<'_>) -> Option<String> {
    let (latitude, longitude) = (point.number("latitude")?, point.number("longitude")?);
    write_object(&[("lat", Some(latitude.to_owned())), ("lng", Some(longitude.to_owned()))])
}

/// The attributions of a place, in HTML.
fn attributions_of(place: &Object<'_>) -> Vec<String> {
    let attributions = place.array("attributions").unwrap_or_default();
    let in_html = |attribution: Object<'_>| {
        let provider = escaped(&attribution.string("provider")?);
        Some(match attribution.string("providerUri") {
            Some(uri) => format!("<a href=\"{}\">{provider}</a>", escaped(&uri)),
            None => provider,
        })
    };
    attributions.into_iter().filter_map(Object::of).filter_map(in_html).collect()
}

/// The text in HTML, also as the value of an attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
