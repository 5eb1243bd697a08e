//! The areas by place: cubes of several sizes in space, in which areas are found from a spot.
//!
//! A cube knows no poles and no antimeridian, and its length is the same everywhere. An area is listed in cubes at least as long as it is wide, at most eight
//! of them. A spot is looked up in its cube of each size that is in use. The largest cubes have room for the whole
//! sphere, so that large areas need no list of their own.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::GroupId;
use super::area::{Area, Spot};
use crate::geo::EARTH_RADIUS_M;

/// The areas by their cubes.
#[derive(Debug, Default)]
pub(super) struct Cells {
    areas: HashMap<Cube, Vec<GroupId>, RandomState>,
    /// The number of areas in cubes of each size.
    sizes: [u32; SIZES],
    count: usize,
}

/// The size of a cube, and its place along each axis.
type Cube = (u8, [i32; 3]);

impl Cells {
    pub(super) fn add(&mut self, area: &Area, group: GroupId) {
        let (size, cubes) = cubes(area);
        for cube in cubes {
            self.areas.entry(cube).or_default().push(group);
        }
        self.sizes[size] += 1;
        self.count += 1;
    }

    pub(super) fn remove(&mut self, area: &Area, group: GroupId) {
        let (size, cubes) = cubes(area);
        for cube in cubes {
            if let Some(areas) = self.areas.get_mut(&cube) {
                areas.retain(|&other| other != group);
                if areas.is_empty() {
                    self.areas.remove(&cube);
                }
            }
        }
        self.sizes[size] -= 1;
        self.count -= 1;
    }

    /// The areas that may have this spot, or have it in their margin. Each occurs once.
    pub(super) fn near<'a>(&'a self, spot: &'a Spot) -> impl Iterator<Item = GroupId> + 'a {
        let in_use = (0..SIZES).filter(|&size| self.sizes[size] > 0);
        in_use.filter_map(|size| self.areas.get(&cube(size, &spot.vector))).flatten().copied()
    }
}

fn cube(size: usize, point: &[f64; 3]) -> Cube {
    let length = length(size);
    (size as u8, point.map(|coordinate| (coordinate / length).floor() as i32))
}

/// The length of a cube, on a sphere of radius 1.
fn length(size: usize) -> f64 {
    SMALLEST_M / EARTH_RADIUS_M * f64::from(GROWTH.pow(size as u32))
}

/// The size of the cubes for an area, and all cubes that it may reach into.
fn cubes(area: &Area) -> (usize, impl Iterator<Item = Cube> + use<>) {
    let size = (0..SIZES - 1).find(|&size| length(size) >= 2.0 * area.reach).unwrap_or(SIZES - 1);
    let least = cube(size, &area.centre.vector.map(|coordinate| coordinate - area.reach)).1;
    let most = cube(size, &area.centre.vector.map(|coordinate| coordinate + area.reach)).1;
    let cubes = (least[0]..=most[0]).flat_map(move |x| {
        (least[1]..=most[1]).flat_map(move |y| (least[2]..=most[2]).map(move |z| (size as u8, [x, y, z])))
    });
    (size, cubes)
}

/// The length of the smallest cubes, in metres: an area has at least the 20 m of its margin on each side.
const SMALLEST_M: f64 = 50.0;
/// Each size is so many times the one before.
const GROWTH: u32 = 4;
/// Sizes of cubes: the largest are longer than the sphere is wide.
const SIZES: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn area(latitude: f64, longitude: f64, km: f64) -> Area {
        Area::new(Spot::new(latitude, longitude), km)
    }

    proptest! {
        #[test]
        fn an_area_is_found_from_each_of_its_points(
            latitude in -90.0..=90.0_f64,
            longitude in -180.0..=180.0_f64,
            exponent in -3.0..4.4_f64,
            north in -1.0..=1.0_f64,
            east in -1.0..=1.0_f64,
        ) {
            let km = 10_f64.powf(exponent);
            let area = area(latitude, longitude, km);
            let mut cells = Cells::default();
            cells.add(&area, GroupId(7));
            let degrees = 1.2 * (km + 0.02) / 111.0;
            let spot = Spot::new(latitude + north * degrees, longitude + east * degrees);
            let found: Vec<GroupId> = cells.near(&spot).collect();
            prop_assert!(found.len() <= 1);
            if area.zone(&spot) != super::super::area::Zone::Outside {
                prop_assert_eq!(found, [GroupId(7)]);
            }
            prop_assert!(cubes(&area).1.count() <= 8);
            cells.remove(&area, GroupId(7));
            prop_assert!(cells.count == 0 && cells.areas.is_empty());
        }
    }

    #[test]
    fn a_small_area_is_not_found_from_far_away() {
        let mut cells = Cells::default();
        cells.add(&area(34.0, -118.0, 10.0), GroupId(0));
        assert_eq!(cells.near(&Spot::new(35.0, -118.0)).count(), 0);
    }
}
