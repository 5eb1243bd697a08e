//! One position that a phone reports, in the form of an IAMAT.

use super::time::PhoneTime;
use crate::text::decimal::written_out;
use crate::text::location::Location;

/// What a message says about a phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    /// The ID of the client; `None`: the message has none.
    pub(super) id: Option<Vec<u8>>,
    /// Its position, or why there is none.
    pub(super) position: Result<Position, NoPosition>,
}

/// A location and a time in the forms of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) location: String,
    /// POSIX seconds; `None`: the time at which the server received the message.
    pub(super) time: Option<String>,
}

/// Why a message that was understood has no position to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoPosition {
    /// It is of a type that has none, or not in the form of the app.
    OtherMessage,
    /// It says only that the phone is there.
    Heartbeat,
    /// Its position is none on the globe.
    BadLocation,
    /// Its time is in none of the forms.
    BadTime,
}

impl Position {
    /// The position of a latitude, a longitude and a time, as they were sent.
    pub(super) fn read(
        latitude: Option<&[u8]>,
        longitude: Option<&[u8]>,
        time: Option<&[u8]>,
    ) -> Result<Position, NoPosition> {
        let (latitude, longitude) = match (latitude, longitude) {
            (None, None) => return Err(NoPosition::Heartbeat),
            (Some(latitude), Some(longitude)) => (latitude, longitude),
            _ => return Err(NoPosition::BadLocation),
        };
        let degrees = |text| degrees(text).ok_or(NoPosition::BadLocation);
        let location = degrees(latitude)? + &degrees(longitude)?;
        if Location::parse(location.as_bytes()).is_none() {
            return Err(NoPosition::BadLocation);
        }
        match PhoneTime::read(time) {
            PhoneTime::Absent => Ok(Position { location, time: None }),
            PhoneTime::At(time) => Ok(Position { location, time: Some(time) }),
            PhoneTime::Wrong => Err(NoPosition::BadTime),
        }
    }
}

/// A coordinate with the phone's own digits and a sign; `None`: it is no number, or has more than [`TEXT_MAX`] bytes, as
/// sent or written out.
fn degrees(text: &[u8]) -> Option<String> {
    let text = str::from_utf8(text).ok().filter(|text| text.len() <= TEXT_MAX)?;
    let number = written_out(text, TEXT_MAX)?;
    let signed = if number.starts_with(['+', '-']) { number } else { format!("+{number}") };
    (signed.len() <= TEXT_MAX).then_some(signed)
}

/// The ID of a client: white space and control bytes become `%XX`. `None`: it is empty, or longer than [`ID_MAX`].
pub(super) fn id(text: &[u8]) -> Option<Vec<u8>> {
    let mut id = Vec::with_capacity(text.len());
    for &byte in text {
        if byte <= b' ' || byte == 0x7f {
            id.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            id.push(byte);
        }
    }
    (!id.is_empty() && id.len() <= ID_MAX).then_some(id)
}

/// Bytes of a coordinate. No phone has more than 20 digits.
const TEXT_MAX: usize = 64;
/// Bytes of an ID.
const ID_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn location(latitude: &str, longitude: &str) -> Option<String> {
        let read = Position::read(Some(latitude.as_bytes()), Some(longitude.as_bytes()), None);
        assert!(!matches!(read, Err(NoPosition::BadTime | NoPosition::Heartbeat)));
        read.ok().map(|position| position.location)
    }

    #[test]
    fn a_location_has_the_digits_of_the_phone() {
        for (text, expected) in [
            ("52.20030", "+52.20030"),
            ("-0.0", "-0.0"),
            ("+7", "+7"),
            ("1e-05", "+0.00001"),
            ("5.22003E1", "+52.2003"),
            ("052.2", "+52.2"),
            (".5", "+0.5"),
            ("5.", "+5"),
            ("52.20030000000000000000001", "+52.20030000000000000000001"),
        ] {
            assert_eq!(location(text, text), Some([expected, expected].concat()), "{text}");
        }
        assert_eq!(location("90.000", "-180.0"), Some("+90.000-180.0".to_owned()));
        let most = format!("1.{}", "0".repeat(TEXT_MAX - 3));
        assert_eq!(location(&most, "1"), Some(format!("+{most}+1")));
        assert_eq!(location(&format!("{most}0"), "1"), None);
        for (latitude, longitude) in [
            ("NaN", "1"),
            ("1", "Infinity"),
            ("52,2", "1"),
            ("90.0000001", "0"),
            ("0", "-180.1"),
            ("1e3", "0"),
            ("1e-70", "0"),
            ("0x10", "1"),
            ("1+1", "1"),
            ("1 ", "1"),
        ] {
            assert_eq!(location(latitude, longitude), None, "{latitude} {longitude}");
        }
    }

    #[test]
    fn half_a_position_is_none() {
        assert_eq!(Position::read(None, None, None), Err(NoPosition::Heartbeat));
        assert_eq!(Position::read(Some(b"1"), None, None), Err(NoPosition::BadLocation));
        assert_eq!(Position::read(Some(b"1"), Some(b"1"), Some(b"x")), Err(NoPosition::BadTime));
        assert_eq!(Position::read(Some(b"\xff"), Some(b"1"), None), Err(NoPosition::BadLocation));
    }

    #[test]
    fn an_id_has_no_white_space() {
        assert_eq!(id(b"a b\t\x7f\0%\xff\xc3\xa9").unwrap(), b"a%20b%09%7F%00%\xff\xc3\xa9");
        assert_eq!((id(b""), id(&[b'x'; 1024]).is_some(), id(&[b'x'; 1025])), (None, true, None));
        assert_eq!(id(&[b' '; 342]), None);
    }
}
