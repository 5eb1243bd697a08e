//! Great-circle distances.

use std::f64::consts::PI;

/// The mean radius of the earth, in metres (IUGG). Distances on this sphere are at most about 0.56 % off.
pub const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// The centre of a search, and values that each distance from it needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Centre {
    latitude_degrees: f64,
    longitude_degrees: f64,
    cosine: f64,
}

impl Centre {
    /// The centre at a latitude and a longitude in degrees.
    pub fn new(latitude_degrees: f64, longitude_degrees: f64) -> Centre {
        Centre { latitude_degrees, longitude_degrees, cosine: cosine_of_latitude(latitude_degrees) }
    }

    /// The latitude in degrees.
    pub fn latitude_degrees(&self) -> f64 {
        self.latitude_degrees
    }

    /// The longitude in degrees.
    pub fn longitude_degrees(&self) -> f64 {
        self.longitude_degrees
    }

    /// The cosine of the latitude.
    pub fn cosine(&self) -> f64 {
        self.cosine
    }

    /// The great-circle distance of a point, in metres.
    pub fn distance_m(&self, latitude_degrees: f64, longitude_degrees: f64) -> f64 {
        // Whole turns are removed first: sin(pi) is not exactly 0 in floating point, so that +180 and -180
        // would not be the same meridian.
        let longitude = (longitude_degrees - self.longitude_degrees) % 360.0;
        let latitude_sine = half_sine(latitude_degrees - self.latitude_degrees);
        let longitude_sine = half_sine(longitude);
        let cosines = self.cosine * cosine_of_latitude(latitude_degrees);
        let haversine = latitude_sine * latitude_sine + cosines * longitude_sine * longitude_sine;
        if haversine <= 0.5 {
            return 2.0 * EARTH_RADIUS_M * haversine.sqrt().asin();
        }
        // More than a quarter of the circumference away: from the antipode of the centre. Near the antipode
        // the haversine hardly changes with the distance.
        let latitude_sine = half_sine(latitude_degrees + self.latitude_degrees);
        let longitude_sine = half_sine(180.0 - longitude.abs());
        let haversine = latitude_sine * latitude_sine + cosines * longitude_sine * longitude_sine;
        EARTH_RADIUS_M * (PI - 2.0 * haversine.sqrt().min(1.0).asin())
    }
}

/// The sine of half an angle in degrees.
fn half_sine(degrees: f64) -> f64 {
    (degrees.to_radians() / 2.0).sin()
}

/// The cosine of a latitude, computed from the distance to the pole: exactly 0 at the pole, where all
/// longitudes are one point.
pub fn cosine_of_latitude(latitude_degrees: f64) -> f64 {
    (90.0 - latitude_degrees.abs()).to_radians().sin()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn distance(one: (f64, f64), other: (f64, f64)) -> f64 {
        Centre::new(one.0, one.1).distance_m(other.0, other.1)
    }

    #[test]
    fn one_point_has_no_distance_however_it_is_written() {
        for (one, other) in [
            ((0.0, 180.0), (-0.0, -180.0)),
            ((90.0, 12.0), (90.0, -100.0)),
            ((-90.0, 0.0), (-90.0, 180.0)),
            ((34.06893, -118.445127), (34.06893, -118.445127)),
        ] {
            assert_eq!(distance(one, other), 0.0, "{one:?} {other:?}");
        }
    }

    #[test]
    fn an_antipode_is_half_the_circumference_away() {
        for (latitude, longitude) in [(0.0, 0.0), (34.06893, -118.44513), (90.0, 7.0), (80.4593, 127.43321)] {
            let there = (-latitude, longitude + 180.0);
            assert!((distance((latitude, longitude), there) - PI * EARTH_RADIUS_M).abs() < 1e-6);
        }
        // A metre short of it.
        let short = (PI * EARTH_RADIUS_M - distance((0.0, 0.0), (0.0, 180.0 - 9e-6)) - 1.0007).abs();
        assert!(short < 1e-3, "{short}");
    }

    proptest! {
        /// Against Vincenty's formula for the sphere, which is exact at all distances.
        #[test]
        fn distances_agree_with_another_formula(
            one in (-90.0..=90.0, -180.0..=180.0), other in (-90.0..=90.0, -180.0..=180.0)
        ) {
            let [(p, l), (q, m)]: [(f64, f64); 2] = [one, other];
            let (p, q, d) = (p.to_radians(), q.to_radians(), (m - l).to_radians());
            let across = (q.cos() * d.sin()).hypot(p.cos() * q.sin() - p.sin() * q.cos() * d.cos());
            let angle = across.atan2(p.sin() * q.sin() + p.cos() * q.cos() * d.cos());
            prop_assert!((distance(one, other) - EARTH_RADIUS_M * angle).abs() < 1e-5);
            prop_assert!((distance(one, other) - distance(other, one)).abs() < 1e-7);
        }
    }
}
