//! The parser of locations: decimal degrees after ISO 6709, `+34.068930-118.445127`. It computes no
//! distances.

use super::decimal::Decimal;

/// The greatest latitude, in degrees, north or south.
const LATITUDE_MAX: u32 = 90;
/// The greatest longitude, in degrees, east or west.
const LONGITUDE_MAX: u32 = 180;
/// ISO 6709 writes latitudes with two digits of degrees; one digit is accepted because existing clients send
/// it.
const LATITUDE_DIGITS_MAX: usize = 2;
/// ISO 6709 writes longitudes with three digits of degrees; fewer are accepted as well.
const LONGITUDE_DIGITS_MAX: usize = 3;

/// A valid location, in the client's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The whole text.
    pub text: &'a [u8],
    /// The latitude in degrees, with its sign; north is positive.
    pub latitude: &'a [u8],
    /// The longitude in degrees, with its sign; east is positive.
    pub longitude: &'a [u8],
}

impl<'a> Location<'a> {
    /// Parses `[+-]D{1,2}(.D+)?[+-]D{1,3}(.D+)?`, from -90 to 90 and from -180 to 180 degrees.
    pub fn parse(text: &'a [u8]) -> Option<Location<'a>> {
        let middle = coordinate(text, LATITUDE_DIGITS_MAX, LATITUDE_MAX)?;
        let (latitude, longitude) = text.split_at_checked(middle)?;
        let end = coordinate(longitude, LONGITUDE_DIGITS_MAX, LONGITUDE_MAX)?;
        (end == longitude.len()).then_some(Location { text, latitude, longitude })
    }
}

/// Parses one signed coordinate at the front of `text`. Returns its end.
#[inline]
fn coordinate(text: &[u8], digits_max: usize, limit: u32) -> Option<usize> {
    let (b'+' | b'-', number) = text.split_first()? else {
        return None;
    };
    let (degrees, rest) = Decimal::prefix(number)?;
    (degrees.whole.len() <= digits_max && degrees.at_most(limit)).then_some(text.len() - rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn valid_forms_are_accepted() {
        let kiwi = Location::parse(b"+34.068930-118.445127").unwrap();
        assert_eq!((kiwi.latitude, kiwi.longitude), (&b"+34.068930"[..], &b"-118.445127"[..]));
        for text in ["+12-118", "+27.5916+086.5640", "-90.000-180.0", "+90+180", "-0+0", "+5.1-3.2"] {
            assert!(Location::parse(text.as_bytes()).is_some(), "{text}");
        }
    }

    #[test]
    fn invalid_forms_are_rejected() {
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
        fn bounds_agree_with_integer_arithmetic(lat in -95_000i64..95_000, lon in -185_000i64..185_000) {
            let part = |v: i64| format!("{}{}.{:03}", if v < 0 { '-' } else { '+' }, v.abs() / 1000, v.abs() % 1000);
            let text = part(lat) + &part(lon);
            let valid = lat.abs() <= 90_000 && lon.abs() <= 180_000;
            prop_assert_eq!(Location::parse(text.as_bytes()).is_some(), valid);
        }

        #[test]
        fn an_accepted_location_is_its_latitude_and_longitude(text in "[+-][0-9.+-]{0,12}") {
            if let Some(l) = Location::parse(text.as_bytes()) {
                prop_assert_eq!([l.latitude, l.longitude].concat(), text.as_bytes());
            }
        }
    }
}
