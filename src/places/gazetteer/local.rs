//! The answers of the local Places server in each dialect. No HTTP: the parts of a request come in, a status and the
//! text of a body go out.

use super::Gazetteer;
use super::found::{Answer, Found, quote};
use super::nearby::LICENCE;
use super::own::OwnPlaces;
use super::query::Query;

/// The data of the local Places server.
pub enum LocalPlaces {
    /// The embedded places.
    Embedded(Gazetteer),
    /// A user's own places.
    Own(OwnPlaces),
}

impl LocalPlaces {
    /// The places around a point, at most 20, in the order of every answer.
    pub fn near(&self, latitude_degrees: f64, longitude_degrees: f64, radius_m: f64) -> Vec<Found> {
        self.find(&Query::at(latitude_degrees, longitude_degrees, radius_m)).found
    }

    /// The source of the data in plain words; `None`: they are a user's own.
    pub fn licence(&self) -> Option<&'static str> {
        self.find_nothing().licence.map(|licence| licence.plain)
    }

    /// The answer to `GET /maps/api/place/nearbysearch/json?QUERY`.
    ///
    /// * `location` (latitude, longitude in degrees) is required.
    /// * `radius` (metres; above 50,000 counts as 50,000) is required, except with `rankby=distance`. That
    ///   forbids `radius` and requires one of `keyword`, `name` and `type`; its radius is 50,000 m.
    /// * `name` is a part of a place's name, in upper or lower case; `keyword` is that or an airport's IATA
    ///   code.
    /// * `type` is one type; of several joined by `|`, the first. Several joined by commas are ignored, as
    ///   Google does.
    /// * Every other parameter is ignored (`key`, `language`, ...), and so is a parameter without a value.
    ///
    /// The results are one page of at most 20: of the embedded places the most prominent first or the nearest first, of
    /// a user's own always the nearest first. There is no second page, and no `next_page_token`.
    ///
    /// `status` is `OK`, `ZERO_RESULTS`, or `INVALID_REQUEST` with an `error_message`.
    pub fn google_legacy(&self, query: &str) -> String {
        match Query::parse(query) {
            Ok(query) => self.find(&query).google_legacy(),
            Err(message) => format!(
                "{{\n   \"error_message\" : {},\n   \"html_attributions\" : [],\n   \"results\" : [],\n   \
                 \"status\" : \"INVALID_REQUEST\"\n}}\n",
                quote(message)
            ),
        }
    }

    /// The HTTP status and the answer to `POST /v1/places:searchNearby` with this body. `has_mask`: the request names
    /// the fields of the answer, without which Google answers nothing.
    pub fn google(&self, has_mask: bool, body: &[u8]) -> (u16, String) {
        let query = match has_mask {
            true => Query::google(body),
            false => {
                Err("FieldMask is a required parameter. Name it in the header field X-Goog-FieldMask."
                    .to_owned())
            }
        };
        match query {
            Ok(query) => (200, self.find(&query).google()),
            Err(message) => (
                400,
                format!(
                    "{{\n  \"error\": {{\n    \"code\": 400,\n    \"message\": {},\n    \
                     \"status\": \"INVALID_ARGUMENT\"\n  }}\n}}\n",
                    quote(&message)
                ),
            ),
        }
    }

    /// The HTTP status and the answer to `GET /reverse?QUERY`.
    pub fn photon(&self, query: &str) -> (u16, String) {
        match Query::photon(query) {
            Ok(query) => (200, self.find(&query).photon()),
            Err(message) => (400, format!("{{\"message\":{}}}\n", quote(message))),
        }
    }

    fn find(&self, query: &Query<'_>) -> Answer<'static> {
        let found = match self {
            LocalPlaces::Embedded(gazetteer) => gazetteer.find(query),
            LocalPlaces::Own(places) => places.find(query),
        };
        Answer { found, ..self.find_nothing() }
    }

    fn find_nothing(&self) -> Answer<'static> {
        let licence = matches!(self, LocalPlaces::Embedded(_)).then_some(&LICENCE);
        Answer { found: Vec::new(), licence }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::local;
    use super::*;
    use crate::http::client::Response;
    use crate::places::dialect::{Dialect, Service};
    use serde_json::Value;

    /// Names and positions that a herd makes of the answer in a dialect, the attributions, and the whole text.
    fn places(local: &LocalPlaces, dialect: Dialect, radius_m: u32) -> (Vec<String>, Value, String) {
        let (status, body) = match dialect {
            Dialect::GoogleLegacy => {
                (200, local.google_legacy(&format!("location=34.068930,-118.445127&radius={radius_m}")))
            }
            Dialect::Google => local.google(
                true,
                format!(
                    r#"{{"maxResultCount":20,"locationRestriction":{{"circle":{{"center":{{"latitude":34.068930,"longitude":-118.445127}},"radius":{radius_m}}}}}}}"#
                )
                .as_bytes(),
            ),
            Dialect::Photon => local.photon(&format!(
                "lat=34.068930&lon=-118.445127&radius={}&limit=20",
                f64::from(radius_m) / 1e3
            )),
        };
        let service = Service { dialect, ..Service::default() };
        let response = Response { status, body: body.into(), ..Response::default() };
        let text = service.answer(response).text().to_owned();
        let answer: Value = serde_json::from_str(&text).unwrap();
        let results = answer["results"].as_array().unwrap();
        assert_eq!(answer["status"], if results.is_empty() { "ZERO_RESULTS" } else { "OK" });
        let shown = |result: &Value| format!("{} {}", result["name"], result["geometry"]);
        (results.iter().map(shown).collect(), answer["html_attributions"].clone(), text)
    }

    #[test]
    fn all_dialects_give_the_same_places_and_their_source() {
        for (radius_m, most) in [(1, 0), (10_000, 16), (50_000, 20)] {
            let expected = places(local(), Dialect::GoogleLegacy, radius_m);
            assert_eq!(expected.0.len(), most);
            for dialect in Dialect::ALL {
                let (found, attributions, _) = places(local(), dialect, radius_m);
                assert_eq!(found, expected.0, "{dialect:?}");
                let says =
                    attributions[0].as_str().is_some_and(|text| text.contains("Towns and airports only"));
                assert_eq!(says, !found.is_empty() || dialect != Dialect::Google, "{attributions}");
            }
        }
        let own =
            LocalPlaces::Own(OwnPlaces::parse("Münster\t34.0700\t-118.4450\tcafe\tHere".as_bytes()).unwrap());
        for dialect in Dialect::ALL {
            let (found, attributions, text) = places(&own, dialect, 10_000);
            assert_eq!(found, [r#""Münster" {"location":{"lat":34.07,"lng":-118.445}}"#], "{dialect:?}");
            assert!(
                text.contains("34.0700,") && text.contains("-118.4450"),
                "the digits of the file: {text}"
            );
            assert_eq!(attributions.to_string(), "[]", "{dialect:?}");
        }
    }

    #[test]
    fn google_wants_a_mask_and_a_radius() {
        for (has_mask, body, words) in [(false, "{}", "FieldMask"), (true, "{}", "location_restriction")] {
            let (status, text) = local().google(has_mask, body.as_bytes());
            let error: Value = serde_json::from_str(&text).unwrap();
            assert_eq!((status, &error["error"]["status"]), (400, &Value::from("INVALID_ARGUMENT")));
            assert!(error["error"]["message"].as_str().unwrap().contains(words), "{text}");
        }
        let (status, text) = local().photon("lat=1");
        assert_eq!((status, text.as_str()), (400, "{\"message\":\"missing search term 'lon'\"}\n"));
    }
}
