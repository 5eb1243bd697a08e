//! The geometry of a followed area: what is in it, and when a client that was in it has left it.

use crate::geo::{Centre, EARTH_RADIUS_M, cosine_of_latitude, degrees};
use crate::text::location::Location;

/// A location, as areas look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    latitude: f64,
    longitude: f64,
    /// The same on a sphere of radius 1, so that there are no poles and no antimeridian.
    pub(super) vector: [f64; 3],
}

impl Spot {
    pub(super) fn of(location: &Location<'_>) -> Spot {
        let (latitude, longitude) = degrees(location);
        Spot::new(latitude, longitude)
    }

    /// The spot at a latitude and a longitude in degrees.
    pub(super) fn new(latitude: f64, longitude: f64) -> Spot {
        let cosine = cosine_of_latitude(latitude);
        let (east, ahead) = longitude.to_radians().sin_cos();
        let vector = [cosine * ahead, cosine * east, latitude.to_radians().sin()];
        Spot { latitude, longitude, vector }
    }
}

/// The number of kilometres of a radius that a parser has accepted.
pub(super) fn kilometres(radius_km: &[u8]) -> f64 {
    std::str::from_utf8(radius_km).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// An area around a spot.
#[derive(Debug)]
pub(super) struct Area {
    pub(super) centre: Spot,
    distances: Centre,
    radius_m: f64,
    /// The distance beyond which a client that was in the area has left it.
    leaves_m: f64,
    /// The chord of that distance, on a sphere of radius 1.
    pub(super) reach: f64,
}

/// Where a spot lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Within the radius.
    Inside,
    /// Beyond the radius by at most a tenth or 20 m: a client that was in the area is still.
    Margin,
    /// Beyond that.
    Outside,
}

impl Area {
    pub(super) fn new(centre: Spot, radius_km: f64) -> Area {
        let radius_m = radius_km * 1000.0;
        let leaves_m = (radius_m * MARGIN_FACTOR).max(radius_m + MARGIN_M);
        let distances = Centre::new(centre.latitude, centre.longitude);
        Area { centre, distances, radius_m, leaves_m, reach: chord(leaves_m) }
    }

    pub(super) fn zone(&self, spot: &Spot) -> Zone {
        // As NEAR measures it: what it finds within the radius is in the area.
        let distance_m = self.distances.distance_m(spot.latitude, spot.longitude);
        if distance_m <= self.radius_m {
            Zone::Inside
        } else if distance_m <= self.leaves_m {
            Zone::Margin
        } else {
            Zone::Outside
        }
    }
}

/// An upper bound of the chord of a great-circle distance, on a sphere of radius 1.
fn chord(distance_m: f64) -> f64 {
    let half_angle = distance_m / (2.0 * EARTH_RADIUS_M);
    let chord = if half_angle >= std::f64::consts::FRAC_PI_2 { 2.0 } else { 2.0 * half_angle.sin() };
    // Far more than the rounding.
    chord + 1e-9
}

/// A client has left an area when its distance is greater than the radius by more than a tenth, and by more than 20 m
/// (docs/protocol.md, section 1): positions jitter.
const MARGIN_FACTOR: f64 = 1.1;
const MARGIN_M: f64 = 20.0;
