//! The parser of locations: decimal degrees after ISO 6709, `+34.068930-118.445127`. It computes no
//! distances.

use super::decimal::digits_at_front;
use super::simd::{EIGHT, leading_digits};

/// The greatest latitude, in degrees, north or south.
const LATITUDE_MAX: i32 = 90;
/// The greatest longitude, in degrees, east or west.
const LONGITUDE_MAX: i32 = 180;
/// ISO 6709 writes latitudes with two digits of degrees; one digit is accepted because existing clients send
/// it.
const LATITUDE_DIGITS_MAX: usize = 2;
/// ISO 6709 writes longitudes with three digits of degrees; fewer are accepted as well.
const LONGITUDE_DIGITS_MAX: usize = 3;

/// The greatest radius around a location that NEAR and FOLLOW take, in kilometres: a little more than half the
/// circumference of the earth.
pub const AREA_RADIUS_KM_MAX: u32 = 20_100;

/// A valid location, in the client's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    /// The whole text.
    pub text: &'a [u8],
    /// Where the longitude begins in the text.
    middle: u32,
    /// The latitude in units of 1e-7 degrees, without further digits.
    pub latitude_e7: i32,
    /// The longitude in units of 1e-7 degrees, without further digits.
    pub longitude_e7: i32,
}

impl<'a> Location<'a> {
    /// Parses `[+-]D{1,2}(.D+)?[+-]D{1,3}(.D+)?`, from -90 to 90 and from -180 to 180 degrees.
    pub fn parse(text: &'a [u8]) -> Option<Location<'a>> {
        let (middle, latitude_e7) = coordinate(text, LATITUDE_DIGITS_MAX, LATITUDE_MAX)?;
        let longitude = text.get(middle..)?;
        let (end, longitude_e7) = coordinate(longitude, LONGITUDE_DIGITS_MAX, LONGITUDE_MAX)?;
        // Lines are far shorter than 4 GiB.
        let middle = middle as u32;
        (end == longitude.len()).then_some(Location { text, middle, latitude_e7, longitude_e7 })
    }

    /// The latitude in degrees, with its sign; north is positive.
    pub fn latitude(&self) -> &'a [u8] {
        &self.text[..self.middle as usize]
    }

    /// The longitude in degrees, with its sign; east is positive.
    pub fn longitude(&self) -> &'a [u8] {
        &self.text[self.middle as usize..]
    }
}

/// Parses one signed coordinate at the front of `text`. Returns its end, and its value in units of 1e-7 degrees.
#[inline(always)]
fn coordinate(text: &[u8], digits_max: usize, limit: i32) -> Option<(usize, i32)> {
    let (sign @ (b'+' | b'-'), _) = text.split_first()? else {
        return None;
    };
    let (mut end, mut degrees) = (1, 0);
    while let Some(digit) = text.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit <= 9) {
        if end > digits_max {
            return None;
        }
        degrees = degrees * 10 + i32::from(digit);
        end += 1;
    }
    if end == 1 || degrees > limit {
        return None;
    }
    let mut value = degrees * UNITS_PER_DEGREE;
    if text.get(end) == Some(&b'.') {
        let start = end + 1;
        let (digits, first) = digits_at_front_of(text, start);
        end = start + digits;
        if digits == 0 || degrees == limit && text[start..end].iter().any(|&byte| byte != b'0') {
            return None;
        }
        // Eight decimals are one more than a unit has.
        value += (first / 10) as i32;
    }
    Some((end, if *sign == b'-' { -value } else { value }))
}

/// The number of digits from `start` on, and the value of the first eight of them, zeros after the last included.
#[inline(always)]
fn digits_at_front_of(text: &[u8], start: usize) -> (usize, u32) {
    let rest = &text[start..];
    let word = match (rest.first_chunk(), text.last_chunk()) {
        (Some(word), _) => u64::from_le_bytes(*word),
        // Fewer than eight bytes are left: those before them are shifted out.
        (None, Some(word)) if !rest.is_empty() => u64::from_le_bytes(*word) >> (8 * (EIGHT - rest.len())),
        // A loop over few bytes: a call would have registers saved for all coordinates.
        _ => rest.iter().rev().fold(0, |word, byte| word << u8::BITS | u64::from(*byte)),
    };
    let (digits, value) = leading_digits(word);
    if digits == EIGHT { (EIGHT + digits_at_front(&rest[EIGHT..]), value) } else { (digits, value) }
}

/// Units of 1e-7 degrees in a degree.
const UNITS_PER_DEGREE: i32 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn valid_forms_are_accepted() {
        let kiwi = Location::parse(b"+34.068930-118.445127").unwrap();
        assert_eq!((kiwi.latitude(), kiwi.longitude()), (&b"+34.068930"[..], &b"-118.445127"[..]));
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

    #[test]
    fn values_have_seven_decimals() {
        for (text, latitude, longitude) in [
            ("+34.068930-118.445127", 340_689_300, -1_184_451_270),
            ("-0+0", 0, 0),
            ("+1.2-3.4", 12_000_000, -34_000_000),
            ("-90.0+180.00000000000", -900_000_000, 1_800_000_000),
            ("+1.123456789-179.99999999999", 11_234_567, -1_799_999_999),
            ("+5-5.1234567", 50_000_000, -51_234_567),
        ] {
            let location = Location::parse(text.as_bytes()).unwrap();
            assert_eq!((location.latitude_e7, location.longitude_e7), (latitude, longitude), "{text}");
        }
    }

    proptest! {
        /// Against a parser that reads digit by digit.
        #[test]
        fn a_coordinate_is_read_as_digit_by_digit(text in "[+-][0-9]{0,4}(\\.[0-9]{0,12})?[-+x0-9.]{0,3}") {
            let naive = || {
                let number = &text[1..];
                let whole = number.bytes().take_while(u8::is_ascii_digit).count();
                let (degrees, rest) = number.split_at(whole);
                let fraction = rest.strip_prefix('.').map(|rest| {
                    &rest[..rest.bytes().take_while(u8::is_ascii_digit).count()]
                });
                if !(1..=3).contains(&whole) || fraction == Some("") {
                    return None;
                }
                let fraction_digits = format!("{:0<7}", fraction.unwrap_or(""));
                let value: i64 = format!("{degrees}{}", &fraction_digits[..7]).parse().unwrap();
                let is_above = value > 1_800_000_000
                    || value == 1_800_000_000 && fraction.is_some_and(|digits| digits.bytes().any(|d| d != b'0'));
                let end = 1 + whole + fraction.map_or(0, |digits| 1 + digits.len());
                (!is_above).then_some((end, if text.starts_with('-') { -value } else { value } as i32))
            };
            prop_assert_eq!(coordinate(text.as_bytes(), 3, 180), naive());
        }

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
                prop_assert_eq!([l.latitude(), l.longitude()].concat(), text.as_bytes());
            }
        }
    }
}
