//! The operands of FOLLOW: which clients, and from which change on (docs/protocol.md, section 1).

use super::decimal::{Decimal, integer};
use super::fields::Fields;
use super::location::{AREA_RADIUS_KM_MAX, Location};
use super::peer_line::Epoch;

/// The operands of a FOLLOW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Follow<'a> {
    /// The clients that are followed.
    pub whom: Whom<'a>,
    /// The position of an earlier stream; `None`: the whole snapshot is asked for.
    pub from: Option<Position>,
}

/// The clients that a FOLLOW names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom<'a> {
    /// The client of this ID.
    Client(&'a [u8]),
    /// Each client whose ID has this prefix; an empty one is that of every client.
    Prefix(&'a [u8]),
    /// Each client within a radius of a location.
    Area {
        /// The location.
        centre: Location<'a>,
        /// The radius in km, `D+(.D+)?`, 0 to [`AREA_RADIUS_KM_MAX`].
        radius_km: &'a [u8],
    },
}

/// A position in the changes of a server, as a MARK of a stream names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The epoch of the server; `None`: the text is that of no server of this version.
    pub epoch: Option<Epoch>,
    /// The number of the last change that was received; [`u64::MAX`]: a greater one.
    pub sequence: u64,
}

impl<'a> Follow<'a> {
    /// Parses the fields after the verb.
    pub(super) fn parse(mut words: Fields<'a>) -> Option<Follow<'a>> {
        let first = words.next()?;
        let whom = || first.strip_suffix(b"*").map_or(Whom::Client(first), Whom::Prefix);
        let follow = match (words.next(), words.next(), words.next()) {
            (None, ..) => Follow { whom: whom(), from: None },
            (Some(radius_km), None, _) => {
                let centre = Location::parse(first)?;
                if !Decimal::parse(radius_km)?.at_most(AREA_RADIUS_KM_MAX) {
                    return None;
                }
                Follow { whom: Whom::Area { centre, radius_km }, from: None }
            }
            (Some(b"FROM"), Some(epoch), Some(sequence)) => {
                Follow { whom: whom(), from: Some(Position::parse(epoch, sequence)?) }
            }
            _ => return None,
        };
        words.next().is_none().then_some(follow)
    }
}

impl Position {
    /// Parses the epoch and the number of a MARK.
    pub fn parse(epoch: &[u8], sequence: &[u8]) -> Option<Position> {
        if !sequence.iter().all(u8::is_ascii_digit) {
            return None;
        }
        Some(Position { epoch: Epoch::parse(epoch), sequence: integer(sequence).unwrap_or(u64::MAX) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::fields::fields;

    fn parse(operands: &str) -> Option<Follow<'_>> {
        Follow::parse(fields(operands.as_bytes()))
    }

    #[test]
    fn a_single_operand_is_a_client_or_a_prefix() {
        for (operand, whom) in [
            ("kiwi", Whom::Client(b"kiwi")),
            ("kiwi*", Whom::Prefix(b"kiwi")),
            ("*", Whom::Prefix(b"")),
            ("**", Whom::Prefix(b"*")),
            ("ki*wi", Whom::Client(b"ki*wi")),
            ("+34-118", Whom::Client(b"+34-118")),
            ("+34-118*", Whom::Prefix(b"+34-118")),
        ] {
            assert_eq!(parse(operand), Some(Follow { whom, from: None }), "{operand}");
        }
    }

    #[test]
    fn a_location_and_a_radius_are_an_area() {
        for radius in ["0", "10", "10.5", "20100", "20100.000", "00020100"] {
            let operands = format!("+34-118 {radius}");
            let Some(Follow { whom: Whom::Area { centre, radius_km }, from: None }) = parse(&operands) else {
                panic!("{operands}");
            };
            assert_eq!((centre.text, radius_km), (&b"+34-118"[..], radius.as_bytes()));
        }
    }

    #[test]
    fn an_earlier_stream_is_resumed_at_its_position() {
        let position = |operands| parse(operands).and_then(|follow| follow.from).unwrap();
        let epoch = Some(Epoch(0x18db_914f_4d50_75d3));
        assert_eq!(position("* FROM 18db914f4d5075d3 1042"), Position { epoch, sequence: 1042 });
        assert_eq!(position("kiwi FROM x 007"), Position { epoch: None, sequence: 7 });
        let most = "kiwi FROM 18db914f4d5075d3 99999999999999999999";
        assert_eq!(position(most), Position { epoch, sequence: u64::MAX });
    }

    #[test]
    fn other_operands_are_invalid() {
        for operands in [
            "",
            "a b",
            "a 10",
            "a* 10",
            "+91+0 10",
            "+0+181 10",
            "+0+0 20100.1",
            "+0+0 -1",
            "+0+0 1.",
            "+0+0 10 5",
            "+0+0 10 FROM 18db914f4d5075d3 5",
            "a FROM",
            "a FROM 18db914f4d5075d3",
            "a FROM 18db914f4d5075d3 x",
            "a FROM 18db914f4d5075d3 -1",
            "a FROM 18db914f4d5075d3 1 1",
            "a from 18db914f4d5075d3 1",
            "a b c",
        ] {
            assert_eq!(parse(operands), None, "{operands}");
        }
    }
}
