//! A spatial index of fixed positions: finds all positions within a radius. It does not know what is at a
//! position.
//!
//! The index is a grid of boxes. The earth is divided into bands of equal height, and each band into columns
//! about as wide as the band is high, so that there are fewer columns near the poles. The points of a box are
//! contiguous, and so are the boxes of a band. A search reads the boxes that the circle may touch and
//! computes the distance of each point in them.

use std::f64::consts::PI;

use super::packed::{Position, UNITS_PER_DEGREE};
use crate::geo::{Centre, EARTH_RADIUS_M, cosine_of_latitude};

/// A result of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    /// The index of the position in the list that the grid was built from.
    pub index: usize,
    /// The position.
    pub position: Position,
    /// The great-circle distance from the centre, in metres.
    pub distance_m: f64,
}

/// The spatial index.
pub struct Grid {
    bands: Vec<Band>,
    /// The index in `points` of the first point of each box, and finally the number of points.
    starts: Vec<u32>,
    /// All points, box by box, and within a box in the order of the list.
    points: Vec<Point>,
}

#[derive(Clone, Copy)]
struct Band {
    first_box: u32,
    columns: u32,
}

/// An indexed position. It has a copy of the position, so that a search reads memory sequentially.
#[derive(Clone, Copy)]
struct Point {
    position: Position,
    index: u32,
}

impl Grid {
    /// Builds the index of at most `u32::MAX` positions.
    pub fn new(positions: &[Position]) -> Grid {
        let mut bands = Vec::with_capacity(BANDS);
        let mut boxes = 0;
        for band in 0..BANDS {
            let columns = columns_of(band);
            bands.push(Band { first_box: boxes, columns });
            boxes += columns;
        }

        let boxes_of: Vec<u32> = positions.iter().map(|&position| box_of(&bands, position)).collect();
        let mut starts = vec![0; boxes as usize + 1];
        for &number in &boxes_of {
            starts[number as usize + 1] += 1;
        }
        for number in 1..starts.len() {
            starts[number] += starts[number - 1];
        }

        let placeholder = Point { position: Position { latitude_e5: 0, longitude_e5: 0 }, index: 0 };
        let mut points = vec![placeholder; positions.len()];
        let mut next_free = starts.clone();
        for (index, (&position, &number)) in positions.iter().zip(&boxes_of).enumerate() {
            let next = &mut next_free[number as usize];
            points[*next as usize] = Point { position, index: index as u32 };
            *next += 1;
        }
        Grid { bands, starts, points }
    }

    /// Returns every position at most `radius_m` metres from the centre, in the same order for each equal
    /// search. Empty unless all three numbers are finite, the latitude is from -90 to 90 and the radius is
    /// not negative. A longitude beyond 180 degrees wraps around.
    pub fn within(&self, latitude_degrees: f64, longitude_degrees: f64, radius_m: f64) -> Vec<Hit> {
        let mut hits = Vec::new();
        let is_valid = (-90.0..=90.0).contains(&latitude_degrees)
            && longitude_degrees.is_finite()
            && (0.0..f64::INFINITY).contains(&radius_m);
        if !is_valid {
            return hits;
        }
        let centre = Centre::new(latitude_degrees, longitude_degrees);
        let (reach_degrees, half_width_degrees) = reach(latitude_degrees, radius_m);
        let first = band_of(latitude_degrees - reach_degrees);
        let last = band_of(latitude_degrees + reach_degrees);
        for band in &self.bands[first..=last] {
            let mut search = |columns: std::ops::Range<u32>| {
                let start = self.starts[(band.first_box + columns.start) as usize];
                let end = self.starts[(band.first_box + columns.end) as usize];
                for point in &self.points[start as usize..end as usize] {
                    let latitude_off = point.position.latitude_degrees() - latitude_degrees;
                    if latitude_off.abs() > reach_degrees {
                        continue;
                    }
                    let position = point.position;
                    let distance_m =
                        centre.distance_m(position.latitude_degrees(), position.longitude_degrees());
                    if distance_m <= radius_m {
                        let index = point.index as usize;
                        hits.push(Hit { index, position, distance_m });
                    }
                }
            };
            match columns_within(band.columns, longitude_degrees, half_width_degrees) {
                Columns::All => search(0..band.columns),
                Columns::From(first, last) if first <= last => search(first..last + 1),
                Columns::From(first, last) => {
                    search(first..band.columns);
                    search(0..last + 1);
                }
            }
        }
        hits
    }
}

/// The extent of a circle in degrees: to the north and the south, and to the east and the west.
fn reach(latitude_degrees: f64, radius_m: f64) -> (f64, f64) {
    let reach = radius_m / EARTH_RADIUS_M + MARGIN_RADIANS;
    let to_pole = (90.0 - latitude_degrees.abs()).to_radians();
    if reach >= to_pole {
        // A circle that contains a pole has points of every longitude.
        return (reach.min(PI).to_degrees(), 180.0);
    }
    // The longitude at which the circle touches a meridian. The simpler reach/cos(latitude) is too small near
    // the poles. The quotient is below 1, because reach is less than the distance to the pole.
    let half_width = (reach.sin() / to_pole.sin()).min(1.0).asin();
    (reach.to_degrees(), half_width.to_degrees())
}

/// A range of columns of a band.
enum Columns {
    All,
    /// The first and the last column, eastward. Across 180 degrees the first is the greater number.
    From(u32, u32),
}

/// The columns, in a band of `columns`, from `half_width_degrees` west to `half_width_degrees` east of a
/// longitude.
fn columns_within(columns: u32, longitude_degrees: f64, half_width_degrees: f64) -> Columns {
    let from_west = (longitude_degrees + 180.0).rem_euclid(360.0);
    let column = |degrees: f64| (degrees / 360.0 * f64::from(columns)).floor() as i64;
    let west = column(from_west - half_width_degrees);
    let east = column(from_west + half_width_degrees);
    let columns = i64::from(columns);
    if east - west + 1 >= columns {
        return Columns::All;
    }
    // Both remainders fit: `columns` was a u32.
    Columns::From(west.rem_euclid(columns) as u32, east.rem_euclid(columns) as u32)
}

/// The band of a latitude; of a latitude beyond a pole, the band at that pole.
fn band_of(latitude_degrees: f64) -> usize {
    // The cast turns negative numbers into 0.
    (((latitude_degrees + 90.0) / BAND_DEGREES) as usize).min(BANDS - 1)
}

/// The number of columns of a band.
fn columns_of(band: usize) -> u32 {
    let south = band as f64 * BAND_DEGREES - 90.0;
    let north = south + BAND_DEGREES;
    let widest = if south < 0.0 && north > 0.0 { 0.0 } else { south.abs().min(north.abs()) };
    ((360.0 / BAND_DEGREES * cosine_of_latitude(widest)) as u32).max(1)
}

/// The number of the box of a position.
fn box_of(bands: &[Band], position: Position) -> u32 {
    let band = bands[band_of(position.latitude_degrees())];
    // Exact integers, modulo a turn: +180 and -180 are one meridian and one column.
    let turn = 360 * i64::from(UNITS_PER_DEGREE);
    let from_west = (i64::from(position.longitude_e5) + turn / 2).rem_euclid(turn);
    band.first_box + (from_west * i64::from(band.columns) / turn) as u32
}

/// The height of a band: half a degree, 56 km. The largest circle of a Nearby Search touches about nine
/// boxes, and all boxes together take less than a megabyte.
const BAND_DEGREES: f64 = 0.5;
const BANDS: usize = 360;
/// Added to the radius when boxes are selected, about a metre: more than all rounding errors, so that no
/// point is missed.
const MARGIN_RADIANS: f64 = 2e-7;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(latitude_e5: i32, longitude_e5: i32) -> Position {
        Position { latitude_e5, longitude_e5 }
    }

    fn found(grid: &Grid, latitude: f64, longitude: f64, radius_m: f64) -> Vec<usize> {
        let mut found: Vec<usize> =
            grid.within(latitude, longitude, radius_m).iter().map(|hit| hit.index).collect();
        found.sort_unstable();
        found
    }

    /// The same distance computed from the chord through the earth, without special cases at the poles and at
    /// 180 degrees.
    fn chord_distance_m(latitude: f64, longitude: f64, to: Position) -> f64 {
        let vector = |latitude: f64, longitude: f64| {
            let (latitude, longitude) = (latitude.to_radians(), longitude.to_radians());
            [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
        };
        let from = vector(latitude, longitude);
        let to = vector(to.latitude_degrees(), to.longitude_degrees());
        let square: f64 = from.iter().zip(to).map(|(from, to)| (from - to).powi(2)).sum();
        2.0 * EARTH_RADIUS_M * (square.sqrt() / 2.0).min(1.0).asin()
    }

    /// Compares a search with the distances of all positions. Distances within `tolerance_m` of the radius
    /// may differ by rounding.
    fn check_against_all(positions: &[Position], grid: &Grid, latitude: f64, longitude: f64, radius_m: f64) {
        // Near the antipode the chord determines the great-circle distance badly.
        let tolerance_m = if radius_m > 0.49 * PI * EARTH_RADIUS_M { 1.0 } else { 1e-3 };
        let found = found(grid, latitude, longitude, radius_m);
        assert!(found.windows(2).all(|pair| pair[0] < pair[1]), "a point twice");
        for (index, &at) in positions.iter().enumerate() {
            let distance_m = chord_distance_m(latitude, longitude, at);
            if (distance_m - radius_m).abs() > tolerance_m {
                assert_eq!(
                    found.binary_search(&index).is_ok(),
                    distance_m < radius_m,
                    "{at:?} is {distance_m} m from {latitude}, {longitude}, radius {radius_m} m"
                );
            }
        }
    }

    /// Positions, about half of them at a pole, the equator or 180 degrees.
    fn positions() -> impl Strategy<Value = Position> {
        let latitude = prop_oneof![
            -9_000_000..=9_000_000,
            Just(9_000_000),
            Just(-9_000_000),
            8_900_000..=9_000_000,
            -9_000_000..=-8_900_000,
            -100_000..=100_000
        ];
        let longitude = prop_oneof![
            -18_000_000..=18_000_000,
            Just(18_000_000),
            Just(-18_000_000),
            17_900_000..=18_000_000,
            -18_000_000..=-17_900_000
        ];
        (latitude, longitude).prop_map(|(latitude_e5, longitude_e5)| Position { latitude_e5, longitude_e5 })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn a_search_finds_exactly_the_positions_within_the_radius(
            positions in proptest::collection::vec(positions(), 0..200),
            centre in positions(),
            radius_m in prop_oneof![
                Just(0.0), 0.0..2e3, 0.0..5e4, 0.0..3e5, 0.0..2.1e7, Just(PI * EARTH_RADIUS_M)
            ],
        ) {
            let grid = Grid::new(&positions);
            let (latitude, longitude) = (centre.latitude_degrees(), centre.longitude_degrees());
            check_against_all(&positions, &grid, latitude, longitude, radius_m);
        }
    }

    #[test]
    fn circles_near_a_pole_are_wide_in_longitude() {
        // At 89.5 degrees a circle of 55 km, just short of the pole, is 164 degrees wide.
        let positions: Vec<Position> = (0..3600)
            .flat_map(|tenth| {
                let longitude = tenth * 10_000 - 18_000_000;
                [
                    position(8_990_000, longitude),
                    position(8_998_000, longitude),
                    position(-8_999_000, longitude),
                ]
            })
            .collect();
        let grid = Grid::new(&positions);
        for radius_m in [0.0, 1e3, 4e4, 5e4, 5.5e4, 5.55e4, 5.56e4, 5.6e4, 1.2e5] {
            for latitude in [89.5, -89.5, 89.99, 90.0, -90.0] {
                check_against_all(&positions, &grid, latitude, -179.95, radius_m);
                check_against_all(&positions, &grid, latitude, 10.0, radius_m);
            }
        }
        assert!(found(&grid, 89.5, 0.0, 5.5e4).len() > 1000);
    }

    #[test]
    fn a_radius_of_zero_finds_all_notations_of_a_point() {
        let grid = Grid::new(&[
            position(0, 18_000_000),
            position(0, -18_000_000),
            position(9_000_000, 1_234_567),
            position(-9_000_000, 0),
            position(3_406_893, -11_844_513),
        ]);
        assert_eq!(found(&grid, 0.0, 180.0, 0.0), [0, 1]);
        assert_eq!(found(&grid, 0.0, -180.0, 0.0), [0, 1]);
        assert_eq!(found(&grid, 0.0, 540.0, 0.0), [0, 1]);
        assert_eq!(found(&grid, 90.0, -77.0, 0.0), [2]);
        assert_eq!(found(&grid, -90.0, 180.0, 0.0), [3]);
        assert_eq!(found(&grid, 34.06893, -118.44513, 0.0), [4]);
    }

    #[test]
    fn distances_across_180_degrees_are_short() {
        let grid = Grid::new(&[position(-1_690_000, 17_990_000), position(-1_690_000, -17_990_000)]);
        let hits = grid.within(-16.9, -179.9, 50_000.0);
        assert_eq!(hits.len(), 2);
        let far = hits.iter().find(|hit| hit.index == 0).unwrap();
        assert!((far.distance_m - 21_278.0).abs() < 1.0, "{}", far.distance_m);
    }

    #[test]
    fn a_radius_of_half_the_circumference_finds_everything() {
        let positions = [position(-9_000_000, 0), position(9_000_000, 0), position(0, 9_000_000)];
        let grid = Grid::new(&positions);
        assert_eq!(found(&grid, 90.0, 0.0, PI * EARTH_RADIUS_M), [0, 1, 2]);
        assert_eq!(found(&grid, 0.0, -90.0, 1e12), [0, 1, 2]);
    }

    #[test]
    fn invalid_searches_find_nothing() {
        let grid = Grid::new(&[position(0, 0)]);
        for (latitude, longitude, radius_m) in [
            (0.0, 0.0, -1.0),
            (0.0, 0.0, f64::NAN),
            (0.0, 0.0, f64::INFINITY),
            (f64::NAN, 0.0, 1.0),
            (0.0, f64::INFINITY, 1.0),
            (90.1, 0.0, 1e9),
        ] {
            assert!(grid.within(latitude, longitude, radius_m).is_empty());
        }
        assert!(Grid::new(&[]).within(0.0, 0.0, 1e9).is_empty());
    }
}
