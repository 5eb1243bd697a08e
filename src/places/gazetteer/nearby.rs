//! Searches of the embedded places.

use super::found::{Found, Licence, Viewport};
use super::packed::UNITS_PER_DEGREE;
use super::query::{Order, Query};
use super::{Gazetteer, NearbyPlace, PlaceKind, Position};

impl Gazetteer {
    /// The places that match, the best first.
    pub(super) fn find(&self, query: &Query<'_>) -> Vec<Found> {
        let nearby = self.within(query.latitude_degrees, query.longitude_degrees, query.radius_m);
        let matching = nearby.into_iter().filter(|nearby| matches(query, nearby));
        let mut ranked: Vec<(f64, NearbyPlace<'_>)> = matching
            .map(|nearby| match query.order {
                Order::Prominence => (-prominence(&nearby), nearby),
                Order::Distance => (nearby.distance_m, nearby),
            })
            .collect();
        // The index breaks ties, so that equal queries have equal answers.
        ranked.sort_by(|(a, one), (b, other)| a.total_cmp(b).then(one.index.cmp(&other.index)));
        ranked.into_iter().take(query.limit).map(|(_, nearby)| found(&nearby)).collect()
    }
}

/// Whether a place passes the filters of a query.
fn matches(query: &Query<'_>, nearby: &NearbyPlace<'_>) -> bool {
    let place = &nearby.place;
    match place.kind {
        PlaceKind::Airport { iata: Some(code), .. } => {
            query.matches(place.name, types(place.kind), str::from_utf8(&code).ok())
        }
        _ => query.matches(place.name, types(place.kind), None),
    }
}

/// The rank of a place by population and distance: ten times the population outweighs 10 km.
fn prominence(nearby: &NearbyPlace<'_>) -> f64 {
    let population = match nearby.place.kind {
        PlaceKind::Locality { population, .. } => f64::from(population),
        PlaceKind::Airport { iata: Some(_), .. } => AIRPORT_WITH_IATA_POPULATION,
        PlaceKind::Airport { iata: None, .. } => AIRPORT_POPULATION,
    };
    // The 10 keeps the logarithm finite for places of unknown population, which is stored as 0.
    2.0 * (population + 10.0).log10() - nearby.distance_m / 5_000.0
}

fn types(kind: PlaceKind) -> &'static [&'static str] {
    match kind {
        PlaceKind::Locality { .. } => &["locality", "political"],
        PlaceKind::Airport { .. } => &["airport", "point_of_interest", "establishment"],
    }
}

fn found(nearby: &NearbyPlace<'_>) -> Found {
    let (place_id, margin_e5) = match nearby.place.kind {
        PlaceKind::Locality { geonames, .. } => (format!("geonames:{geonames}"), LOCALITY_MARGIN_E5),
        PlaceKind::Airport { icao, .. } => {
            (format!("icao:{}", icao.map(char::from).iter().collect::<String>()), AIRPORT_MARGIN_E5)
        }
    };
    let (northeast, southwest) = (moved(nearby.position, margin_e5), moved(nearby.position, -margin_e5));
    Found {
        name: nearby.place.name.to_owned(),
        vicinity: Some(nearby.place.vicinity.to_owned()),
        latitude: degrees(nearby.position.latitude_e5),
        longitude: degrees(nearby.position.longitude_e5),
        viewport: Some(Viewport {
            north: degrees(northeast.latitude_e5),
            east: degrees(northeast.longitude_e5),
            south: degrees(southwest.latitude_e5),
            west: degrees(southwest.longitude_e5),
        }),
        place_id,
        types: types(nearby.place.kind).iter().map(|&name| name.to_owned()).collect(),
        distance_m: nearby.distance_m,
    }
}

/// The position moved by `by_e5` to the north and to the east. It stops at a pole and wraps around at 180
/// degrees.
fn moved(position: Position, by_e5: i32) -> Position {
    let (pole, half_turn) = (90 * UNITS_PER_DEGREE, 180 * UNITS_PER_DEGREE);
    let longitude_e5 = match position.longitude_e5 + by_e5 {
        east if east > half_turn => east - 2 * half_turn,
        west if west < -half_turn => west + 2 * half_turn,
        within => within,
    };
    Position { latitude_e5: (position.latitude_e5 + by_e5).clamp(-pole, pole), longitude_e5 }
}

/// A coordinate in degrees with its five stored decimals, without conversion to floating point.
fn degrees(value_e5: i32) -> String {
    let sign = if value_e5 < 0 { "-" } else { "" };
    let (whole, part) = (value_e5.abs() / UNITS_PER_DEGREE, value_e5.abs() % UNITS_PER_DEGREE);
    format!("{sign}{whole}.{part:05}")
}

/// The population that an air strip ranks with: that of a town.
const AIRPORT_POPULATION: f64 = 50_000.0;
/// The population that an airport with an IATA code ranks with. The data does not distinguish large airports
/// from small ones, so it is less than a large city's.
const AIRPORT_WITH_IATA_POPULATION: f64 = 100_000.0;
/// Half the height and width of a locality's viewport in 1e-5 degrees, about 1 km.
const LOCALITY_MARGIN_E5: i32 = 1_000;
/// Half the height and width of an airport's viewport in 1e-5 degrees, about 2 km; a long runway has 4 km.
const AIRPORT_MARGIN_E5: i32 = 2_000;
/// What the licence of GeoNames (CC BY 4.0) asks to say, and how little these data are.
pub(super) const LICENCE: Licence = Licence {
    html: "Towns and airports only. Place names and coordinates: \
        <a href=\"https://www.geonames.org/\">GeoNames</a>, \
        <a href=\"https://creativecommons.org/licenses/by/4.0/\">CC BY 4.0</a>, reduced and re-encoded",
    plain: "Towns and airports only. Place names and coordinates: GeoNames (https://www.geonames.org/), CC BY 4.0 \
        (https://creativecommons.org/licenses/by/4.0/), reduced and re-encoded",
    uri: "https://www.geonames.org/",
};

#[cfg(test)]
mod tests {
    use super::super::LocalPlaces;
    use super::super::packed::tests::small_file;
    use super::super::tests::local;
    use super::*;
    use serde_json::{Value, json};

    fn ask(query: &str) -> Value {
        serde_json::from_str(&local().google_legacy(query)).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    fn names(query: &str) -> Vec<String> {
        let results = ask(query)["results"].as_array().unwrap().clone();
        results.iter().map(|result| result["name"].as_str().unwrap().to_string()).collect()
    }

    const UCLA: &str = "location=34.068930,-118.445127";

    #[test]
    fn an_answer_has_the_format_of_google() {
        let gazetteer = LocalPlaces::Embedded(Gazetteer::from_packed(&small_file()).unwrap());
        assert_eq!(
            gazetteer.google_legacy("location=-90,0&radius=5&key=secret"),
            r#"{
   "html_attributions" : [ "Towns and airports only. Place names and coordinates: <a href=\"https://www.geonames.org/\">GeoNames</a>, <a href=\"https://creativecommons.org/licenses/by/4.0/\">CC BY 4.0</a>, reduced and re-encoded" ],
   "results" : [
      {
         "geometry" : {
            "location" : {
               "lat" : -90.00000,
               "lng" : 180.00000
            },
            "viewport" : {
               "northeast" : {
                  "lat" : -89.99000,
                  "lng" : -179.99000
               },
               "southwest" : {
                  "lat" : -90.00000,
                  "lng" : 179.99000
               }
            }
         },
         "name" : "Café",
         "place_id" : "geonames:9",
         "types" : [ "locality", "political" ],
         "vicinity" : "Nowhere"
      }
   ],
   "status" : "OK"
}
"#
        );
        assert_eq!(
            gazetteer.google_legacy("location=45,45&radius=5"),
            format!(
                "{{\n   \"html_attributions\" : [ {} ],\n   \"results\" : [],\n   \"status\" : \"ZERO_RESULTS\"\n}}\n",
                serde_json::Value::from(LICENCE.html)
            ),
            "it says why there may be nothing"
        );
        assert_eq!(
            gazetteer.google_legacy("radius=5"),
            "{\n   \"error_message\" : \"location is missing\",\n   \"html_attributions\" : [],\n   \
             \"results\" : [],\n   \"status\" : \"INVALID_REQUEST\"\n}\n"
        );
        let all =
            serde_json::from_str::<Value>(&gazetteer.google_legacy("location=0,-180&radius=9")).unwrap();
        assert_eq!(all["results"][0]["geometry"]["location"], json!({ "lat": -0.00001, "lng": -180.0 }));
        assert_eq!(all["results"][0]["place_id"], "icao:XXXX");
        assert_eq!(all["results"][0]["types"], json!(["airport", "point_of_interest", "establishment"]));
    }

    #[test]
    fn every_answer_has_the_same_json_keys() {
        for location in ["34.06893,-118.445127", "-90,0", "90,180", "-16.85,179.97", "35.676192,139.650311"] {
            let text = local().google_legacy(&format!("location={location}&radius=50000"));
            let answer: Value = serde_json::from_str(&text).unwrap();
            let keys: Vec<&String> = answer.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["html_attributions", "results", "status"]);
            let results = answer["results"].as_array().unwrap();
            assert!(results.len() <= 20);
            assert_eq!(answer["status"], if results.is_empty() { "ZERO_RESULTS" } else { "OK" });
            assert_eq!(answer["html_attributions"], json!([LICENCE.html]));
            for result in results {
                let keys: Vec<&String> = result.as_object().unwrap().keys().collect();
                assert_eq!(keys, ["geometry", "name", "place_id", "types", "vicinity"]);
                let geometry = &result["geometry"];
                for corner in [
                    &geometry["location"],
                    &geometry["viewport"]["northeast"],
                    &geometry["viewport"]["southwest"],
                ] {
                    assert!((-90.0..=90.0).contains(&corner["lat"].as_f64().unwrap()));
                    assert!((-180.0..=180.0).contains(&corner["lng"].as_f64().unwrap()));
                }
            }
            assert!(!text.contains("\n\n"), "an empty line would end the reply to a WHATSAT");
        }
    }

    #[test]
    fn results_are_sorted_by_prominence() {
        let query = format!("{UCLA}&radius=10000");
        let found = names(&query);
        assert_eq!(found.len(), 16);
        assert_eq!(found[..3], ["Santa Monica Municipal Airport", "Santa Monica", "Sawtelle"]);
        assert_eq!(local().google_legacy(&query), local().google_legacy(&query));
        assert_eq!(names(&format!("{UCLA}&radius=50000")).len(), 20);
        assert_eq!(names(&format!("{UCLA}&radius=50000"))[0], "Los Angeles");
    }

    #[test]
    fn equal_ranks_are_sorted_by_id() {
        // Two localities with the same population at the same point.
        let expected = ["geonames:496456", "geonames:574675"];
        for order in ["radius=1", "rankby=distance&keyword=setun"] {
            let answer = ask(&format!("location=55.71667,37.41667&{order}"));
            let ids = [&answer["results"][0]["place_id"], &answer["results"][1]["place_id"]];
            assert_eq!(ids, expected, "{order}");
        }
    }

    #[test]
    fn rankby_distance_sorts_by_distance() {
        let found = names(&format!("{UCLA}&rankby=distance&type=locality"));
        assert_eq!(found.len(), 20);
        assert_eq!(found[..3], ["Bel Air", "Westwood", "Century City"]);
    }

    #[test]
    fn filters_select_by_type_name_and_keyword() {
        let near = |filter: &str| names(&format!("{UCLA}&radius=10000&{filter}"));
        assert_eq!(near("type=airport"), ["Santa Monica Municipal Airport"]);
        assert_eq!(near("type=airport|locality"), ["Santa Monica Municipal Airport"]);
        assert_eq!(near("type=locality").len(), 15);
        assert_eq!(near("type=airport,locality").len(), 16);
        assert_eq!(near("type=").len(), 16);
        assert_eq!(near("type=cafe"), [""; 0]);
        assert_eq!(near("name=MONICA"), ["Santa Monica Municipal Airport", "Santa Monica"]);
        assert_eq!(near("keyword=santa+monica&type=locality"), ["Santa Monica"]);
        assert_eq!(near("keyword=smo"), ["Santa Monica Municipal Airport"]);
        assert_eq!(near("name=smo"), [""; 0]);
        assert_eq!(names("location=48.8566,2.3522&radius=50000&name=%C3%89VRY")[0], "Évry");
    }

    #[test]
    fn an_invalid_query_is_refused_with_a_message() {
        let answer = ask("location=90.1,0&radius=5");
        assert_eq!(answer["status"], "INVALID_REQUEST");
        assert_eq!(answer["error_message"], "the latitude of location must be from -90 to 90");
        assert_eq!(answer["results"], json!([]));
    }

    #[test]
    fn equivalent_queries_have_equal_answers() {
        let expected = local().google_legacy("location=34.068930,-118.445127&radius=10000");
        for query in [
            "radius=10000&location=34.068930,-118.445127&key=abc&language=en",
            "location=34.068930%2C-118.445127&radius=10000",
            "location=%2B34.068930,-118.445127&radius=10000.0",
            "location=+34.068930,+-118.445127&radius=10000",
            "&&location=34.068930,-118.445127&radius=10000&radius=5&=&x",
            "l%6Fcation=34.068930,-118.445127&%72adius=%31%300%30%30",
        ] {
            assert_eq!(local().google_legacy(query), expected, "{query}");
        }
    }

    #[test]
    fn a_radius_is_capped_at_50_km_and_may_be_zero() {
        let at_most = local().google_legacy(&format!("{UCLA}&radius=50000"));
        assert_eq!(local().google_legacy(&format!("{UCLA}&radius=50001")), at_most);
        assert_eq!(local().google_legacy(&format!("{UCLA}&radius={}", "9".repeat(400))), at_most);
        assert_eq!(ask(&format!("{UCLA}&radius=0"))["status"], "ZERO_RESULTS");
        assert_eq!(names("location=-90,77&radius=0"), ["South Pole Station Airport"]);
    }

    #[test]
    fn coordinates_are_written_with_five_decimals() {
        assert_eq!(degrees(0), "0.00000");
        assert_eq!(degrees(-1), "-0.00001");
        assert_eq!(degrees(-11_844_513), "-118.44513");
        assert_eq!(degrees(18_000_000), "180.00000");
    }
}
