//! The geometry of a followed area: which points are in it, and when one that was in it has left it.

use crate::text::location::Location;

/// A point on the sphere: its unit vector, so that there are no poles and no antimeridian.
pub(super) type Point = [f64; 3];

/// The point of a location.
pub(super) fn point(location: &Location<'_>) -> Point {
    let (sine, cosine) = degrees(location.latitude).to_radians().sin_cos();
    let (east, ahead) = degrees(location.longitude).to_radians().sin_cos();
    [cosine * ahead, cosine * east, sine]
}

/// The number of a text of ASCII digits with sign and point, as a parser has accepted it.
pub(super) fn degrees(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// An area around a point.
#[derive(Debug)]
pub(super) struct Area {
    pub(super) centre: Point,
    /// The chord of the radius, squared: comparing it compares distances.
    enters: f64,
    /// The same of the distance beyond which a client that was in the area has left it.
    leaves: f64,
    /// The length of the chord of that distance.
    pub(super) reach: f64,
}

/// Where a point lies.
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
    pub(super) fn new(centre: Point, radius_km: f64) -> Area {
        let leaves_km = (radius_km * 1.1).max(radius_km + 0.02);
        let reach = chord(leaves_km);
        Area { centre, enters: chord(radius_km).powi(2), leaves: reach.powi(2), reach }
    }

    pub(super) fn zone(&self, point: &Point) -> Zone {
        let distance = distance(&self.centre, point);
        if distance <= self.enters {
            Zone::Inside
        } else if distance <= self.leaves {
            Zone::Margin
        } else {
            Zone::Outside
        }
    }
}

/// The chord between two points, squared.
fn distance(one: &Point, other: &Point) -> f64 {
    one.iter().zip(other).map(|(one, other)| (one - other).powi(2)).sum()
}

/// The chord of a great-circle distance, on a sphere of radius 1. Half the circumference and more: longer than any.
fn chord(km: f64) -> f64 {
    let half_angle = km / (2.0 * EARTH_RADIUS_KM);
    if half_angle >= std::f64::consts::FRAC_PI_2 { LONGER_THAN_ANY } else { 2.0 * half_angle.sin() }
}

/// The mean radius of the earth in kilometres (docs/protocol.md, section 1).
pub(super) const EARTH_RADIUS_KM: f64 = 6371.0088;
const LONGER_THAN_ANY: f64 = 2.1;
