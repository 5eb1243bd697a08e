//! The embedded places: every town of 500 people or more and the airports of the world.
//!
//! They let a herd answer WHATSAT without a key and without a network. Nothing here does any input
//! or output: the data is part of the program, a question is a string, and so is the answer.

mod grid;
mod nearby;
mod packed;
mod question;

use grid::Grid;
pub use packed::{Error, Kind, Place, Position};

/// The places and their index.
pub struct Gazetteer {
    records: packed::Records,
    grid: Grid,
}

/// A place within a radius.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found<'a> {
    /// Place of the record among all: localities by their number at GeoNames, then airports by their
    /// ICAO code.
    pub index: usize,
    /// The place.
    pub place: Place<'a>,
    /// Where it is.
    pub position: Position,
    /// From the centre of the search along the ground, in metres.
    pub distance_m: f64,
}

impl Gazetteer {
    /// The places that are part of this program.
    ///
    /// Inflating and indexing them takes a good part of a tenth of a second: make one, and only when
    /// it is needed.
    pub fn embedded() -> Result<Gazetteer, Error> {
        Gazetteer::from_packed(EMBEDDED)
    }

    fn from_packed(file: &[u8]) -> Result<Gazetteer, Error> {
        let (records, positions) = packed::unpack(file)?;
        Ok(Gazetteer { records, grid: Grid::new(&positions) })
    }

    /// Number of places.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are no places at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every place at most `radius_m` metres from the centre, in no order that means anything but the
    /// same each time.
    ///
    /// Nothing unless all three are finite, the latitude is from −90 to 90 and the radius is not
    /// negative. A longitude may go around the earth.
    pub fn within(&self, latitude_degrees: f64, longitude_degrees: f64, radius_m: f64) -> Vec<Found<'_>> {
        let hits = self.grid.within(latitude_degrees, longitude_degrees, radius_m);
        let found = hits.into_iter().map(|hit| Found {
            index: hit.index,
            place: self.records.get(hit.index),
            position: hit.position,
            distance_m: hit.distance_m,
        });
        found.collect()
    }
}

/// Made by data/build.py; the licences are in data/NOTICE.
static EMBEDDED: &[u8] = include_bytes!("../../../data/places.bin");

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    /// One for all tests, for it takes its time.
    pub fn embedded() -> &'static Gazetteer {
        static SHARED: OnceLock<Gazetteer> = OnceLock::new();
        SHARED.get_or_init(|| Gazetteer::embedded().expect("the embedded places are whole"))
    }

    #[test]
    fn all_places_are_there() {
        assert_eq!(embedded().len(), 263_206);
    }

    #[test]
    fn around_known_places_there_are_as_many_as_were_counted() {
        // Counted by going through all records, without an index.
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
    fn the_nearest_are_known() {
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
        let codes: Vec<Kind> = found.iter().map(|found| found.place.kind).collect();
        assert!(codes.contains(&Kind::Airport { icao: *b"KLAX", iata: Some(*b"LAX") }), "{codes:?}");
    }

    #[test]
    fn a_damaged_or_cut_file_is_refused() {
        // Only a few: each costs an inflation. Every bit of a small file is tried beside its reader.
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
