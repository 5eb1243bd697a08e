//! Locations: decimal degrees after ISO 6709, `+34.068930-118.445127`.

use super::decimal::Decimal;
use super::simd::{NoDigit, Positions};

/// Greatest latitude, in degrees, north or south.
const LATITUDE_MAX: u32 = 90;
/// Greatest longitude, in degrees, east or west.
const LONGITUDE_MAX: u32 = 180;
/// ISO 6709 writes latitudes with two digits of degrees; one is accepted as the course's clients send it.
const LATITUDE_DIGITS_MAX: usize = 2;
/// ISO 6709 writes longitudes with three digits of degrees; fewer are accepted as well.
const LONGITUDE_DIGITS_MAX: usize = 3;

/// A valid location, as the client wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The whole text.
    pub text: &'a [u8],
    /// Degrees north, with sign.
    pub latitude: &'a [u8],
    /// Degrees east, with sign.
    pub longitude: &'a [u8],
}

impl<'a> Location<'a> {
    /// Reads `[+-]D{1,2}(.D+)?[+-]D{1,3}(.D+)?` within ±90 and ±180 degrees, both ends allowed.
    pub fn parse(text: &'a [u8]) -> Option<Location<'a>> {
        let mut others = Positions::<NoDigit>::of(text);
        if others.next_place() != 0 {
            return None;
        }
        let east = coordinate(text, 0, &mut others, LATITUDE_DIGITS_MAX, LATITUDE_MAX)?;
        let end = coordinate(text, east, &mut others, LONGITUDE_DIGITS_MAX, LONGITUDE_MAX)?;
        let (latitude, longitude) = text.split_at(east);
        (end == text.len()).then_some(Location { text, latitude, longitude })
    }
}

/// Reads one signed coordinate that begins at `start`, with `others` behind its sign. Gives where it ends.
#[inline]
fn coordinate(
    text: &[u8],
    start: usize,
    others: &mut Positions<'_, NoDigit>,
    digits_max: usize,
    limit: u32,
) -> Option<usize> {
    let (Some(b'+' | b'-'), point) = (text.get(start), others.next_place()) else {
        return None;
    };
    let whole = &text[start + 1..point];
    let (fraction, end) = match text.get(point) {
        Some(b'.') => {
            let end = others.next_place();
            (&text[point + 1..end], end)
        }
        _ => (&[][..], point),
    };
    let has_digits = !whole.is_empty() && (!fraction.is_empty() || end == point);
    let is_within = whole.len() <= digits_max && Decimal { whole, fraction }.at_most(limit);
    (has_digits && is_within).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_that_are_accepted() {
        let kiwi = Location::parse(b"+34.068930-118.445127").unwrap();
        assert_eq!((kiwi.latitude, kiwi.longitude), (&b"+34.068930"[..], &b"-118.445127"[..]));
        for text in ["+12-118", "+27.5916+086.5640", "-90.000-180.0", "+90+180", "-0+0", "+5.1-3.2"] {
            assert!(Location::parse(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn forms_that_are_not() {
        for text in [
            "",
            "+",
            "+-",
            "+34",
            "34-118",
            "+34.0",
            "+34118",
            "+34,0-118,4",
            "+1e1-1e1",
            "+nan-inf",
            "++34-118",
            "+34--118",
            "+34-118-5",
            "+34.-118",
            "+.5-118",
            "+34.0.0-118",
            "x+34-118",
            "+34-118x",
            "+034-118",
            "+34-0118",
            "+90.000001-118",
            "-91-118",
            "+34-180.5",
            "+34+181",
            "+27.5916+086.5640/",
            "+34-118/",
            "+27.5916+086.5640+8850/",
        ] {
            assert_eq!(Location::parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_numbers(lat in -95_000i64..95_000, lon in -185_000i64..185_000) {
            let part = |v: i64| format!("{}{}.{:03}", if v < 0 { '-' } else { '+' }, v.abs() / 1000, v.abs() % 1000);
            let text = part(lat) + &part(lon);
            let valid = lat.abs() <= 90_000 && lon.abs() <= 180_000;
            prop_assert_eq!(Location::parse(text.as_bytes()).is_some(), valid);
        }

        #[test]
        fn what_is_accepted_is_put_together_of_its_parts(text in "[+-][0-9.+-]{0,12}") {
            if let Some(l) = Location::parse(text.as_bytes()) {
                prop_assert_eq!([l.latitude, l.longitude].concat(), text.as_bytes());
            }
        }
    }
}
