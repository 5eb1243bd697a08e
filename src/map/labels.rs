//! The names of large places for the live map. The build script compiles this file too and calls it, so that a server
//! does not inflate all places for some names.

use std::collections::HashSet;

/// A town.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locality<'a> {
    /// The name, without control characters.
    pub name: &'a str,
    /// The number of inhabitants.
    pub population: u32,
    /// The latitude in 1e-5 degrees.
    pub latitude_e5: i32,
    /// The longitude in 1e-5 degrees.
    pub longitude_e5: i32,
}

/// The largest places of the world that have a name on the map.
const LARGEST: usize = 1400;

/// The edge in degrees of a cell whose largest place has a name too, so that no country is without one.
const CELL_DEGREES: i32 = 3;

/// A smaller place has no name on the map, even where there is no other.
const POPULATION_MIN: u32 = 10_000;

const UNITS_PER_DEGREE: i32 = 100_000;

/// The units of the JSON: about a kilometre.
const JSON_UNITS_PER_DEGREE: i32 = 100;

/// Returns the places that have a name on the map, the largest first.
pub fn largest(mut places: Vec<Locality<'_>>) -> Vec<Locality<'_>> {
    places.sort_by(|a, b| b.population.cmp(&a.population).then(a.name.cmp(b.name)));
    let mut cells = HashSet::new();
    let mut rank = 0;
    places.retain(|place| {
        rank += 1;
        let cell =
            [place.latitude_e5, place.longitude_e5].map(|e5| e5.div_euclid(CELL_DEGREES * UNITS_PER_DEGREE));
        let is_first = cells.insert(cell);
        rank <= LARGEST || is_first && place.population >= POPULATION_MIN
    });
    places
}

/// Returns the places as the JSON that `page/labels.mjs` reads: one column after the other, which compresses well.
pub fn to_json(places: &[Locality<'_>]) -> String {
    let names: Vec<String> =
        places.iter().map(|place| place.name.replace('\\', "\\\\").replace('"', "\\\"")).collect();
    let column = |of: fn(&Locality<'_>) -> i32| {
        let unit = UNITS_PER_DEGREE / JSON_UNITS_PER_DEGREE;
        let rounded = places.iter().map(|place| (of(place) + unit / 2).div_euclid(unit).to_string());
        rounded.collect::<Vec<_>>().join(",")
    };
    format!(
        "{{\"units_per_degree\":{JSON_UNITS_PER_DEGREE},\"names\":\"{}\",\"latitudes\":[{}],\"longitudes\":[{}]}}",
        names.join("\\n"),
        column(|place| place.latitude_e5),
        column(|place| place.longitude_e5)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, population: u32, latitude_e5: i32, longitude_e5: i32) -> Locality<'_> {
        Locality { name, population, latitude_e5, longitude_e5 }
    }

    #[test]
    fn the_largest_place_comes_first() {
        let places = [place("a", 12_000, 0, 0), place("b", 19_000, 5, 5), place("c", 19_000, 5, 5)];
        let names: Vec<&str> = largest(places.to_vec()).iter().map(|place| place.name).collect();
        assert_eq!(names, ["b", "c", "a"]);
    }

    #[test]
    fn the_largest_place_of_a_region_has_a_name() {
        let mut places: Vec<Locality> = (0..LARGEST).map(|_| place("city", 1_000_000, 0, 0)).collect();
        places.push(place("second", 50_000, 100, 100));
        places.push(place("alone", 10_000, -100, 100));
        places.push(place("village", 9999, 9_000_000, 100));
        let found = largest(places);
        assert_eq!(found.len(), LARGEST + 1);
        assert_eq!(found.last().unwrap().name, "alone");
    }

    #[test]
    fn the_json_has_one_column_after_the_other() {
        let places = [place("A \"b\" \\", 9, 3_406_893, -11_844_512), place("Ü", 8, -1499, 1500)];
        let json: serde_json::Value = serde_json::from_str(&to_json(&places)).unwrap();
        assert_eq!(json["names"], "A \"b\" \\\nÜ");
        assert_eq!(json["latitudes"], serde_json::json!([3407, -1]));
        assert_eq!(json["longitudes"], serde_json::json!([-11845, 2]));
        assert_eq!(json["units_per_degree"], 100);
    }
}
