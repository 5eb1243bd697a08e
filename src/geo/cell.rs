//! Cells of the sphere: the halves of halves of it, alternately by longitude and by latitude.
//!
//! A [`Key`] is the path to a point: a bit for each halving, the first one in the highest bit. Points that are
//! near each other mostly have keys with a common beginning, and a beginning is a [`Cell`]. 180° east and 180°
//! west, and the longitudes of a pole, are different keys of one point. Bounds of distances take care of that.

use std::f64::consts::{FRAC_PI_2, PI, TAU};

use wide::u64x2;

use super::distance::{Centre, EARTH_RADIUS_M};
use crate::text::location::Location;

/// The path to a point, rounded to about a centimetre.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub u64);

impl Key {
    /// The key of a location.
    #[inline]
    pub fn of(location: &Location<'_>) -> Key {
        let latitude = ORIGIN.latitude.wrapping_add_signed(location.latitude_e7) * 2;
        let longitude = ORIGIN.longitude.wrapping_add_signed(location.longitude_e7);
        Key(interleave(longitude, latitude))
    }
}

/// All points whose keys have the same first `bits` bits, of 64, as `prefix`; its other bits are not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The first bits of the keys.
    pub prefix: u64,
    /// The number of first bits.
    pub bits: u32,
}

impl Cell {
    /// A lower bound of the haversine of the distances between a centre and the points of this cell. Small
    /// cells have good bounds.
    pub fn haversine_min(&self, from: &Bounds) -> f64 {
        let (longitude_bits, latitude_bits) = (self.bits.div_ceil(2), self.bits / 2);
        let first =
            |coordinate: u64, bits: u32| (f64::from(gather(coordinate)), (1_u64 << (32 - bits)) as f64);
        let prefix = self.prefix & u64::MAX.checked_shl(64 - self.bits).unwrap_or(0);
        let (west, width) = first(prefix >> 1, longitude_bits);
        let (south, height) = first(prefix, latitude_bits);
        // The edges, as seen from the centre.
        let west = (west - from.west) * LONGITUDE_UNIT;
        let east = west + width * LONGITUDE_UNIT;
        let south = (south - from.south) * LATITUDE_UNIT - MARGIN;
        let north = south + height * LATITUDE_UNIT + 2.0 * MARGIN;
        let latitude = south.max(-north).max(0.0);
        let longitude = if west > 0.0 {
            west.min(TAU - east)
        } else if east < 0.0 {
            (-east).min(TAU + west)
        } else {
            0.0
        };
        let longitude = (longitude - MARGIN).max(0.0);
        let (south, north) = (south + from.latitude, north + from.latitude);
        let cosine = cosine_min(north.max(-south));
        let bound = haversine_of(latitude) + from.cosine * cosine * haversine_of(longitude);
        if longitude > 0.0 && cosine < UNEVEN && cosine < UNEVEN * cosine_min(south.max(-north).max(0.0)) {
            return bound.max(from.meridian_min(south, north, longitude));
        }
        bound
    }
}

/// The centre of a search, in the units of keys.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    latitude: f64,
    south: f64,
    west: f64,
    cosine: f64,
}

impl Bounds {
    /// The bounds of distances from a centre.
    pub fn of(centre: &Centre) -> Bounds {
        Bounds {
            latitude: centre.latitude_degrees().to_radians(),
            south: (centre.latitude_degrees() + 90.0) * 2.0 * UNITS_PER_DEGREE,
            west: (centre.longitude_degrees() + 180.0) * UNITS_PER_DEGREE,
            cosine: centre.cosine(),
        }
    }

    /// A lower bound of the haversine of the distances to a part of a meridian this far to the east or the west:
    /// a good one also near a pole.
    fn meridian_min(&self, south: f64, north: f64, longitude: f64) -> f64 {
        let exact = if longitude < FRAC_PI_2 {
            // Of all points of the meridian, the nearest one.
            let sine = self.cosine * longitude.sin();
            sine * sine / (2.0 + 2.0 * (1.0 - sine * sine).max(0.0).sqrt())
        } else {
            // The nearest one is beyond a pole, so that of this part an end is the nearest.
            let end = |latitude: f64| {
                let latitude = latitude.clamp(-FRAC_PI_2, FRAC_PI_2);
                let [across, along] =
                    [latitude - self.latitude, longitude].map(|angle| (angle / 2.0).sin().powi(2));
                across + self.cosine * latitude.cos() * along
            };
            end(south).min(end(north))
        };
        exact * (1.0 - SLACK)
    }

    /// A haversine that [`Cell::haversine_min`] does not exceed for a cell with a point at this distance, or
    /// nearer.
    pub fn haversine_max(distance_m: f64) -> f64 {
        let angle = distance_m / EARTH_RADIUS_M + MARGIN;
        if angle >= PI { f64::INFINITY } else { (angle / 2.0).sin().powi(2) * (1.0 + SLACK) }
    }
}

/// A lower bound of the haversine, sin²(x/2), of an angle from 0 to pi: the first terms of its series, of which
/// the last is negative.
fn haversine_of(angle: f64) -> f64 {
    let square = angle * angle;
    square * (1.0 / 4.0 - square * (1.0 / 48.0 - square * (1.0 / 1440.0 - square / 80_640.0)))
}

/// A lower bound of the cosine of an angle of 0 or more; 0 from pi/2 on.
fn cosine_min(angle: f64) -> f64 {
    if angle >= FRAC_PI_2 {
        return 0.0;
    }
    let square = angle * angle;
    (1.0 - square * (1.0 / 2.0 - square * (1.0 / 24.0 - square / 720.0))).max(0.0)
}

/// The bits of two numbers in turn, from the highest on; the first bit is one of `odd`.
#[inline]
fn interleave(odd: u32, even: u32) -> u64 {
    // Puts a zero before each bit, in both at once.
    let mut bits = u64x2::from([odd, even].map(u64::from));
    for (shift, mask) in SPREADING {
        bits = (bits | bits << shift) & u64x2::splat(mask);
    }
    let [odd, even] = bits.to_array();
    odd << 1 | even
}

/// Every second bit, from the lowest on: `even` of [`interleave`].
#[inline]
fn gather(bits: u64) -> u32 {
    let mut bits = bits & SPREADING[4].1;
    for step in (0..SPREADING.len()).rev() {
        let mask = if step == 0 { u64::from(u32::MAX) } else { SPREADING[step - 1].1 };
        bits = (bits | bits >> SPREADING[step].0) & mask;
    }
    bits as u32
}

/// The steps of [`interleave`]: how far the upper half of each group of bits moves, and the bits that stay.
const SPREADING: [(u32, u64); 5] = [
    (16, 0x0000_ffff_0000_ffff),
    (8, 0x00ff_00ff_00ff_00ff),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (2, 0x3333_3333_3333_3333),
    (1, 0x5555_5555_5555_5555),
];

struct Origin {
    latitude: u32,
    longitude: u32,
}

/// The south pole and 180° west, in units from the equator and from Greenwich.
const ORIGIN: Origin = Origin { latitude: 900_000_000, longitude: 1_800_000_000 };
/// Units of a key in a degree: one is 1.1 cm, and 360 degrees of them fit 32 bits.
const UNITS_PER_DEGREE: f64 = 1e7;
/// A unit of longitude in a key, in radians.
const LONGITUDE_UNIT: f64 = PI / 180.0 / UNITS_PER_DEGREE;
/// A unit of latitude in a key: half as much, so that both coordinates fill 32 bits.
const LATITUDE_UNIT: f64 = LONGITUDE_UNIT / 2.0;
/// Taken from each angle in a lower bound, in radians, 5 cm: more than truncation and rounding errors, so that
/// no point is missed.
const MARGIN: f64 = 8e-9;
/// The cosines of the latitudes of a cell's edges differ by more than this factor: the cell is large, or near a
/// pole.
const UNEVEN: f64 = 0.8;
/// More than the relative rounding errors of haversines.
const SLACK: f64 = 1e-9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geo::degrees;
    use proptest::prelude::*;

    fn key(text: &str) -> Key {
        Key::of(&Location::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn a_key_is_the_path_to_a_point() {
        assert_eq!(key("-90-180"), Key(0));
        assert_eq!(key("+90+180"), Key(0xf33c_c30f_cc30_0000));
        assert_eq!(key("-89.9999999-180"), Key(0b100), "a unit of latitude is half as large");
        assert_eq!(key("-90-179.9999999"), Key(0b10));
        assert_eq!(key("-0.00+000.0"), key("+0-0"));
        assert_eq!(key("+34.068930-118.445127"), key("+34.06893-118.4451270000"));
        assert_eq!(
            key("+34.06893001-118.4451270999"),
            key("+34.06893-118.4451270"),
            "further digits are truncated"
        );
    }

    /// A point, often at a pole, the equator or 180 degrees.
    fn point() -> impl Strategy<Value = String> {
        let latitude = prop_oneof![-90.0..=90.0, Just(90.0), Just(-90.0), 89.99..90.0, -0.001..0.001];
        let longitude =
            prop_oneof![-180.0..=180.0, Just(180.0), Just(-180.0), 179.99..180.0, -180.0..-179.99];
        (latitude, longitude, 0..10usize)
            .prop_map(|(latitude, longitude, digits)| format!("{latitude:+.digits$}{longitude:+.digits$}"))
    }

    proptest! {
        #[test]
        fn interleaving_is_undone_by_gathering(odd: u32, even: u32) {
            prop_assert_eq!(gather(interleave(odd, even)), even);
            prop_assert_eq!(gather(interleave(odd, even) >> 1), odd);
        }

        /// Whatever the cell, a point in it is at least as far away as the bound says.
        #[test]
        fn no_point_of_a_cell_is_nearer_than_its_bound(centre in point(), there in point(), bits in 0..=64_u32) {
            let of = |text: &str| degrees(&Location::parse(text.as_bytes()).unwrap());
            let centre = Centre::new(of(&centre).0, of(&centre).1);
            let distance_m = centre.distance_m(of(&there).0, of(&there).1);
            let cell = Cell { prefix: key(&there).0, bits };
            let bound = cell.haversine_min(&Bounds::of(&centre));
            prop_assert!(bound <= Bounds::haversine_max(distance_m), "{bound} {distance_m}");
        }

        /// The bound of a small cell is close to the distance.
        #[test]
        fn the_bound_of_a_small_cell_is_good(centre in point(), there in point()) {
            let of = |text: &str| degrees(&Location::parse(text.as_bytes()).unwrap());
            let (here, there_at) = (of(&centre), of(&there));
            let centre = Centre::new(here.0, here.1);
            let distance_m = centre.distance_m(there_at.0, there_at.1);
            if distance_m < 2e6 && here.0.abs() < 75.0 && there_at.0.abs() < 75.0 {
                let bound = Cell { prefix: key(&there).0, bits: 64 }.haversine_min(&Bounds::of(&centre));
                prop_assert!(bound >= Bounds::haversine_max((distance_m * 0.99 - 1.0).max(0.0)) * 0.99 - 1e-13, "{bound} {distance_m}");
            }
        }
    }
}
