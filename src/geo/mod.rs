//! Points on the sphere: their distances, and cells of all sizes. It knows no client and no place.

mod cell;
mod distance;

pub use cell::{Bounds, Cell, Key};
pub use distance::{Centre, EARTH_RADIUS_M, cosine_of_latitude};

use crate::text::location::Location;

/// The latitude and the longitude of a location in degrees, each the nearest double to the digits.
pub fn degrees(location: &Location<'_>) -> (f64, f64) {
    (coordinate(location.latitude()), coordinate(location.longitude()))
}

fn coordinate(text: &[u8]) -> f64 {
    // A coordinate is a sign, digits and at most one point: always a number.
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn degrees_are_the_nearest_doubles() {
        let of = |text: &str| degrees(&Location::parse(text.as_bytes()).unwrap());
        assert_eq!(of("+34.068930-118.445127"), (34.068_930, -118.445_127));
        assert_eq!(of("-0+0.0"), (0.0, 0.0));
        assert_eq!(of("+90.0-180"), (90.0, -180.0));
    }

    proptest! {
        #[test]
        fn every_location_is_two_numbers(text in "[+-][0-9]{1,2}(\\.[0-9]{1,30})?[+-][0-9]{1,3}(\\.[0-9]{1,30})?") {
            if let Some(location) = Location::parse(text.as_bytes()) {
                let (latitude, longitude) = degrees(&location);
                prop_assert!(latitude.abs() <= 90.0 && longitude.abs() <= 180.0);
            }
        }
    }
}
