//! The places of an answer, and the answer in each dialect. No HTTP: the text of a body goes out.
//!
//! An answer has only what the data has. Other fields (opening hours, ratings, photos) are absent, never null.

/// A place of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The name.
    pub name: String,
    /// The region, or an address; `None`: unknown.
    pub vicinity: Option<String>,
    /// The latitude in degrees, in JSON's own form.
    pub latitude: String,
    /// The longitude in degrees, in JSON's own form.
    pub longitude: String,
    /// The area to show; `None`: unknown.
    pub viewport: Option<Viewport>,
    /// The ID of the place in its data.
    pub place_id: String,
    /// The types, in the words of Google.
    pub types: Vec<String>,
    /// The great-circle distance from the centre of the search, in metres.
    pub distance_m: f64,
}

/// The edges of an area in degrees, in JSON's own form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Viewport {
    /// The northern edge.
    pub north: String,
    /// The eastern edge.
    pub east: String,
    /// The southern edge.
    pub south: String,
    /// The western edge.
    pub west: String,
}

/// Places, and what their licence asks to say.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) found: Vec<Found>,
    pub(super) licence: Option<&'a Licence>,
}

/// The source of the data in the words of each dialect.
#[derive(Debug)]
pub(super) struct Licence {
    /// In HTML.
    pub(super) html: &'static str,
    /// In plain words, on one line.
    pub(super) plain: &'static str,
    /// The home page of the source.
    pub(super) uri: &'static str,
}

impl Answer<'_> {
    /// The answer in the form of Google's legacy API, with its spacing.
    pub(super) fn google_legacy(&self) -> String {
        let attributions =
            self.licence.map_or("[]".to_owned(), |licence| format!("[ {} ]", quote(licence.html)));
        let results: Vec<String> = self.found.iter().map(result).collect();
        let (results, status) = match results.is_empty() {
            true => ("[]".to_owned(), "ZERO_RESULTS"),
            false => (format!("[\n{}\n   ]", results.join(",\n")), "OK"),
        };
        format!(
            "{{\n   \"html_attributions\" : {attributions},\n   \"results\" : {results},\n   \"status\" : \"{status}\"\n}}\n"
        )
    }

    /// The answer in the form of Google's Places API (New). Without places it is empty.
    pub(super) fn google(&self) -> String {
        if self.found.is_empty() {
            return "{}\n".to_owned();
        }
        let attributions = self.licence.map_or(String::new(), |licence| {
            let (provider, uri) = (quote(licence.plain), quote(licence.uri));
            format!(r#","attributions":[{{"provider":{provider},"providerUri":{uri}}}]"#)
        });
        let point =
            |latitude: &str, longitude: &str| format!(r#"{{"latitude":{latitude},"longitude":{longitude}}}"#);
        let place = |found: &Found| {
            let viewport = found.viewport.as_ref().map_or(String::new(), |area| {
                let (low, high) = (point(&area.south, &area.west), point(&area.north, &area.east));
                format!(r#","viewport":{{"low":{low},"high":{high}}}"#)
            });
            let vicinity = found
                .vicinity
                .as_ref()
                .map_or(String::new(), |vicinity| format!(r#","shortFormattedAddress":{}"#, quote(vicinity)));
            format!(
                r#"{{"id":{},"types":[{}],"location":{}{viewport},"displayName":{{"text":{}}}{vicinity}{attributions}}}"#,
                quote(&found.place_id),
                quoted(&found.types, ","),
                point(&found.latitude, &found.longitude),
                quote(&found.name)
            )
        };
        let places: Vec<String> = self.found.iter().map(place).collect();
        format!("{{\"places\":[\n{}\n]}}\n", places.join(",\n"))
    }

    /// The answer in the form of Photon, GeoJSON. It has no `osm_id`, since no place is one of OpenStreetMap's.
    pub(super) fn photon(&self) -> String {
        let feature = |found: &Found| {
            let extent = found.viewport.as_ref().map_or(String::new(), |area| {
                format!(r#","extent":[{},{},{},{}]"#, area.west, area.north, area.east, area.south)
            });
            let kind =
                found.types.first().map_or(String::new(), |kind| format!(r#","osm_value":{}"#, quote(kind)));
            let city =
                found.vicinity.as_ref().map_or(String::new(), |city| format!(r#","city":{}"#, quote(city)));
            format!(
                r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[{},{}]}},"properties":{{"name":{}{kind}{city}{extent}}}}}"#,
                found.longitude,
                found.latitude,
                quote(&found.name)
            )
        };
        let features: Vec<String> = self.found.iter().map(feature).collect();
        let licence = quote(self.licence.map_or("", |licence| licence.plain));
        format!(
            "{{\"type\":\"FeatureCollection\",\"licence\":{licence},\"features\":[\n{}\n]}}\n",
            features.join(",\n")
        )
    }
}

fn result(found: &Found) -> String {
    let viewport = found.viewport.as_ref().map_or(String::new(), |area| {
        format!(
            r#",
            "viewport" : {{
               "northeast" : {{
                  "lat" : {},
                  "lng" : {}
               }},
               "southwest" : {{
                  "lat" : {},
                  "lng" : {}
               }}
            }}"#,
            area.north, area.east, area.south, area.west
        )
    });
    let vicinity = found
        .vicinity
        .as_ref()
        .map_or(String::new(), |vicinity| format!(",\n         \"vicinity\" : {}", quote(vicinity)));
    format!(
        r#"      {{
         "geometry" : {{
            "location" : {{
               "lat" : {},
               "lng" : {}
            }}{viewport}
         }},
         "name" : {},
         "place_id" : {},
         "types" : [ {} ]{vicinity}
      }}"#,
        found.latitude,
        found.longitude,
        quote(&found.name),
        quote(&found.place_id),
        quoted(&found.types, ", "),
    )
}

fn quoted(texts: &[String], separator: &str) -> String {
    texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(separator)
}

/// `text` as a JSON string.
pub(super) fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
