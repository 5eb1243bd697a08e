//! The embedded places: every town of 500 people or more, and the airports of the world. With them, or with a user's
//! own places, a herd answers WHATSAT without a key and without a network.
//!
//! There is no input or output here: the data is part of the program, a query is a string, and so is the
//! answer.

mod found;
mod grid;
mod local;
mod nearby;
mod own;
mod packed;
mod query;

pub use found::{Found, Viewport};
use grid::Grid;
pub use local::LocalPlaces;
pub use own::{BadLine, OwnPlaces};
pub use packed::{PackedError, Place, PlaceKind, Position};

/// The embedded places and their spatial index.
pub struct Gazetteer {
    records: packed::PlaceRecords,
    grid: Grid,
}

/// A place within the radius of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NearbyPlace<'a> {
    /// The index of the place among all: localities by GeoNames number, then airports by ICAO code.
    pub index: usize,
    /// The place.
    pub place: Place<'a>,
    /// The position of the place.
    pub position: Position,
    /// The great-circle distance from the centre of the search, in metres.
    pub distance_m: f64,
}

impl Gazetteer {
    /// Loads the places that are part of this program.
    ///
    /// Inflating and indexing them takes up to a tenth of a second.
    pub fn embedded() -> Result<Gazetteer, PackedError> {
        Gazetteer::from_packed(EMBEDDED)
    }

    fn from_packed(file: &[u8]) -> Result<Gazetteer, PackedError> {
        let (records, positions) = packed::unpack(file)?;
        Ok(Gazetteer { records, grid: Grid::new(&positions) })
    }

    /// The number of places.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no places.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns every place at most `radius_m` metres from the centre, unsorted, but in the same order for
    /// each equal search.
    ///
    /// Empty unless all three numbers are finite, the latitude is from -90 to 90 and the radius is not
    /// negative. A longitude beyond 180 degrees wraps around.
    pub fn within(
        &self,
        latitude_degrees: f64,
        longitude_degrees: f64,
        radius_m: f64,
    ) -> Vec<NearbyPlace<'_>> {
        let hits = self.grid.within(latitude_degrees, longitude_degrees, radius_m);
        let places = hits.into_iter().map(|hit| NearbyPlace {
            index: hit.index,
            place: self.records.get(hit.index),
            position: hit.position,
            distance_m: hit.distance_m,
        });
        places.collect()
    }
}

/// The file that data/build.py makes; its licences are in data/NOTICE.
static EMBEDDED: &[u8] = include_bytes!("../../../data/places.bin");

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    /// The embedded places, loaded once for all tests.
    pub fn local() -> &'static LocalPlaces {
        static SHARED: OnceLock<LocalPlaces> = OnceLock::new();
        SHARED.get_or_init(|| {
            LocalPlaces::Embedded(Gazetteer::embedded().expect("the embedded places are valid"))
        })
    }

    fn embedded() -> &'static Gazetteer {
        let LocalPlaces::Embedded(gazetteer) = local() else { unreachable!() };
        gazetteer
    }

    #[test]
    fn the_embedded_file_has_all_places() {
        assert_eq!(embedded().len(), 263_206);
    }

    #[test]
    fn searches_agree_with_a_linear_search() {
        // Counted by a linear search, without the index.
        for (name, latitude, longitude, counts) in [
            ("UCLA", 34.068930, -118.445127, [0, 6, 16, 178]),
            ("London", 51.507351, -0.127758, [3, 40, 99, 683]),
            ("Tokyo", 35.676192, 139.650311, [1, 16, 90, 369]),
            ("Sydney", -33.868820, 151.209296, [3, 57, 144, 608]),
            ("Nairobi", -1.292066, 36.821946, [0, 4, 5, 37]),
            ("Smith Center", 39.7792, -98.7851, [1, 2, 2, 16]),
            ("Longyearbyen", 78.2232, 15.6267, [1, 2, 2, 2]),
            ("In Salah", 27.1935, 2.4607, [0, 1, 2, 2]),
            ("Taveuni, across 180 degrees", -16.85, 179.97, [0, 0, 0, 2]),
            ("South Pole", -90.0, 0.0, [1, 1, 1, 1]),
        ] {
            let radii_m = [1_000.0, 5_000.0, 10_000.0, 50_000.0];
            let found = radii_m.map(|radius_m| embedded().within(latitude, longitude, radius_m).len());
            assert_eq!(found, counts, "{name}");
        }
    }

    #[test]
    fn the_nearest_places_have_names_and_distances() {
        let mut found = embedded().within(34.068930, -118.445127, 3_000.0);
        found.sort_by(|a, b| a.distance_m.total_cmp(&b.distance_m));
        let nearest: Vec<(&str, String)> =
            found.iter().map(|found| (found.place.name, format!("{:.1}", found.distance_m / 1e3))).collect();
        let expected = [("Bel Air", "1.6"), ("Westwood", "2.0"), ("Century City", "2.9")];
        assert_eq!(nearest, expected.map(|(name, km)| (name, km.to_string())));
        assert_eq!(found[0].place.vicinity, "California, United States");
    }

    #[test]
    fn an_airport_has_its_codes() {
        let found = embedded().within(33.9425, -118.408, 2_000.0);
        let codes: Vec<PlaceKind> = found.iter().map(|found| found.place.kind).collect();
        assert!(codes.contains(&PlaceKind::Airport { icao: *b"KLAX", iata: Some(*b"LAX") }), "{codes:?}");
    }

    #[test]
    fn a_damaged_or_truncated_file_is_refused() {
        // Only some bytes, because each case inflates the file. `packed` tries every bit of a small file.
        for at in [0, 9, 13, 21, 25, 31, EMBEDDED.len() / 2, EMBEDDED.len() - 1] {
            let mut damaged = EMBEDDED.to_vec();
            damaged[at] ^= 0x10;
            assert!(Gazetteer::from_packed(&damaged).is_err(), "byte {at}");
        }
        for length in [0, 8, 27, 28, EMBEDDED.len() / 2, EMBEDDED.len() - 1] {
            assert!(Gazetteer::from_packed(&EMBEDDED[..length]).is_err(), "the first {length} bytes");
        }
    }
}
