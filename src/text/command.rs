//! The parser of client commands: one line to one [`ClientCommand`], which borrows from the line. It executes
//! nothing.

use super::decimal::{Decimal, integer};
use super::fields::{Fields, fields};
use super::follow::Follow;
use super::location::{AREA_RADIUS_KM_MAX, Location};
use super::time::Time;

/// The greatest radius of a WHATSAT, in kilometres: the limit of Google Places.
pub const RADIUS_KM_MAX: u32 = 50;
/// The greatest number of results of a WHATSAT: one page of Google Places.
pub const RESULTS_MAX: u64 = 20;
/// The greatest number of results of a NEAR.
pub const NEAR_RESULTS_MAX: u64 = 1000;

/// A line from a client (docs/protocol.md, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCommand<'a> {
    /// A line of white space only. It gets no reply.
    Blank,
    /// `IAMAT`: the client reports its location.
    IamAt(IamAt<'a>),
    /// `WHATSAT`: the client asks for places near a client.
    WhatsAt(WhatsAt<'a>),
    /// `FOLLOW`: the client wants the changes of clients as they happen.
    Follow(Follow<'a>),
    /// `NEAR`: the client asks for clients near a client or a location.
    Near(Near<'a>),
    /// `FORGET`: the client has a client forgotten.
    Forget(Forget<'a>),
    /// A line that begins or ends like the first line of an HTTP request. Web pages can make a browser send it,
    /// so nothing after it is executed.
    HttpRequest,
    /// Any other line.
    Invalid,
}

/// The operands of an IAMAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IamAt<'a> {
    /// The client's ID: any field.
    pub id: &'a [u8],
    /// The client's location.
    pub location: Location<'a>,
    /// The time of sending, by the client's clock.
    pub time: Time,
    /// `time` in the client's own bytes.
    pub time_text: &'a [u8],
}

/// The operands of a WHATSAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WhatsAt<'a> {
    /// The ID of the client at the centre of the search.
    pub id: &'a [u8],
    /// The radius in km, `D+(.D+)?`, 0 to [`RADIUS_KM_MAX`].
    pub radius_km: &'a [u8],
    /// The upper bound of results, 0 to [`RESULTS_MAX`].
    pub bound: usize,
}

/// The operands of a NEAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Near<'a> {
    /// The centre of the search.
    pub centre: NearCentre<'a>,
    /// The radius in km, `D+(.D+)?`, 0 to [`AREA_RADIUS_KM_MAX`].
    pub radius_km: &'a [u8],
    /// The upper bound of results, 0 to [`NEAR_RESULTS_MAX`].
    pub bound: usize,
}

/// The centre of a NEAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NearCentre<'a> {
    /// The location of this client. It is not among the results.
    Client(&'a [u8]),
    /// This location.
    Location(Location<'a>),
}

/// The operand of a FORGET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forget<'a> {
    /// The ID of the client to forget.
    pub id: &'a [u8],
}

impl<'a> ClientCommand<'a> {
    /// Parses a line, with or without its LF.
    pub fn parse(line: &'a [u8]) -> ClientCommand<'a> {
        let mut words = fields(line);
        let command = match words.next() {
            None => return ClientCommand::Blank,
            Some(b"IAMAT") => iam_at(words.clone()),
            Some(b"WHATSAT") => whats_at(words.clone()),
            Some(b"FOLLOW") => Follow::parse(words.clone()).map(ClientCommand::Follow),
            Some(b"NEAR") => near(words.clone()),
            Some(b"FORGET") => forget(words.clone()),
            Some(_) => None,
        };
        match command {
            Some(command) => command,
            None => {
                let is_request = fields(line).next().is_some_and(is_http_method)
                    || fields(line).last().is_some_and(is_http_version);
                if is_request { ClientCommand::HttpRequest } else { ClientCommand::Invalid }
            }
        }
    }
}

/// Whether `field` is the method at the start of a request line (RFC 9110, section 9; RFC 5789).
pub fn is_http_method(field: &[u8]) -> bool {
    matches!(
        field,
        b"GET" | b"HEAD" | b"POST" | b"PUT" | b"DELETE" | b"CONNECT" | b"OPTIONS" | b"TRACE" | b"PATCH"
    )
}

/// Whether `field` is the HTTP version at the end of a request line (RFC 9112, section 3).
pub fn is_http_version(field: &[u8]) -> bool {
    matches!(field, b"HTTP/1.0" | b"HTTP/1.1")
}

fn iam_at<'a>(mut words: Fields<'a>) -> Option<ClientCommand<'a>> {
    let (id, location, time_text) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    let (location, time) = (Location::parse(location)?, Time::parse(time_text)?);
    Some(ClientCommand::IamAt(IamAt { id, location, time, time_text }))
}

fn whats_at<'a>(mut words: Fields<'a>) -> Option<ClientCommand<'a>> {
    let (id, radius_km, bound) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !Decimal::parse(radius_km)?.at_most(RADIUS_KM_MAX) {
        return None;
    }
    let bound = integer(bound).filter(|&bound| bound <= RESULTS_MAX)? as usize;
    Some(ClientCommand::WhatsAt(WhatsAt { id, radius_km, bound }))
}

fn near<'a>(mut words: Fields<'a>) -> Option<ClientCommand<'a>> {
    let (centre, radius_km, bound) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !Decimal::parse(radius_km)?.at_most(AREA_RADIUS_KM_MAX) {
        return None;
    }
    let bound = integer(bound).filter(|&bound| bound <= NEAR_RESULTS_MAX)? as usize;
    let centre = Location::parse(centre).map_or(NearCentre::Client(centre), NearCentre::Location);
    Some(ClientCommand::Near(Near { centre, radius_km, bound }))
}

fn forget<'a>(mut words: Fields<'a>) -> Option<ClientCommand<'a>> {
    let id = words.next()?;
    words.next().is_none().then_some(ClientCommand::Forget(Forget { id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forget() {
        for line in ["FORGET kiwi", " FORGET\tkiwi \r\n", "FORGET kiwi\x0b"] {
            assert_eq!(ClientCommand::parse(line.as_bytes()), ClientCommand::Forget(Forget { id: b"kiwi" }));
        }
    }

    #[test]
    fn iamat() {
        let ClientCommand::IamAt(c) =
            ClientCommand::parse(b"  IAMAT\tkiwi  +34.068930-118.445127\x0b1621464827.959498503 \r\n")
        else {
            panic!("no IAMAT");
        };
        assert_eq!((c.id, c.location.text), (&b"kiwi"[..], &b"+34.068930-118.445127"[..]));
        assert_eq!(c.time_text, b"1621464827.959498503");
        assert_eq!(c.time.nanoseconds(), 1_621_464_827_959_498_503);
    }

    #[test]
    fn whatsat() {
        let parse = |radius: &str, bound: &str| {
            ClientCommand::parse(format!("WHATSAT kiwi {radius} {bound}").as_bytes().to_vec().leak())
        };
        assert_eq!(
            parse("10", "5"),
            ClientCommand::WhatsAt(WhatsAt { id: b"kiwi", radius_km: b"10", bound: 5 })
        );
        for (radius, bound) in [
            ("0", "0"),
            ("50", "20"),
            ("50.000", "020"),
            ("0.0", "1"),
            ("000049.99", "00000000000000000000005"),
        ] {
            assert!(matches!(parse(radius, bound), ClientCommand::WhatsAt(_)), "{radius} {bound}");
        }
        for (radius, bound) in [
            ("10", "21"),
            ("51", "5"),
            ("50.1", "5"),
            ("nan", "5"),
            ("inf", "5"),
            ("1e1", "5"),
            ("+1", "5"),
            ("-1", "5"),
            (".5", "5"),
            ("5.", "5"),
            ("1,5", "5"),
            ("10", "5.0"),
            ("10", "x"),
            ("10", "+5"),
            ("10", "-1"),
            ("10", "\u{661}"),
        ] {
            assert_eq!(parse(radius, bound), ClientCommand::Invalid, "{radius} {bound}");
        }
    }

    #[test]
    fn near_takes_a_client_or_a_location() {
        let parse = |text: &str| ClientCommand::parse(text.as_bytes().to_vec().leak());
        let centre = |text: &str| match parse(text) {
            ClientCommand::Near(near) => Some((near.centre, near.radius_km, near.bound)),
            _ => None,
        };
        assert_eq!(centre(" NEAR\tkiwi 10 5 \r\n"), Some((NearCentre::Client(b"kiwi"), &b"10"[..], 5)));
        let location = Location::parse(b"+1-1").unwrap();
        assert_eq!(
            centre("NEAR +1-1 20100.0 1000"),
            Some((NearCentre::Location(location), &b"20100.0"[..], 1000))
        );
        assert_eq!(centre("NEAR +91-1 0 0"), Some((NearCentre::Client(b"+91-1"), &b"0"[..], 0)));
        for text in [
            "NEAR",
            "NEAR a",
            "NEAR a 1",
            "NEAR a 1 1 1",
            "near a 1 1",
            "NEAR a 20100.1 1",
            "NEAR a 20101 1",
            "NEAR a 1 1001",
            "NEAR a -1 1",
            "NEAR a 1. 1",
            "NEAR a 1e1 1",
            "NEAR a x 1",
            "NEAR a 1 +1",
            "NEAR a 1 4294967301",
        ] {
            assert_eq!(parse(text), ClientCommand::Invalid, "{text}");
        }
    }

    #[test]
    fn other_lines_are_invalid_blank_or_http() {
        for line in [
            "IAMAT",
            "IAMAT a",
            "IAMAT a +1-1",
            "IAMAT a +1-1 5 6",
            "iamat a +1-1 5",
            "WHATSAT",
            "WHATSAT a 1",
            "WHATSAT a 1 1 1",
            "FORGET",
            "FORGET a b",
            "forget a",
            "GONE Riley +0.000000000 a 5.000000000",
            "AT Riley +0.000000000 a +1-1 5",
            "?",
            "HELLO there",
            "HTTP/1.1x",
            "HTTP/1.1 GET",
            "get / x",
            "GETS / x",
            "PROPFIND /",
        ] {
            assert_eq!(ClientCommand::parse(line.as_bytes()), ClientCommand::Invalid, "{line}");
        }
        assert_eq!(ClientCommand::parse(b" \r\n\x0c"), ClientCommand::Blank);
        for line in [
            "GET / HTTP/1.1\r",
            "POST /x HTTP/1.0",
            "IAMAT a HTTP/1.1",
            "HTTP/1.1",
            "GET /x",
            " HEAD",
            "POST a b c",
            "PUT x",
            "DELETE x",
            "CONNECT x:1",
            "OPTIONS *",
            "TRACE /",
            "PATCH /x y",
        ] {
            assert_eq!(ClientCommand::parse(line.as_bytes()), ClientCommand::HttpRequest, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_white_space_separates_fields(id in "[!-~]{1,20}", gaps in proptest::collection::vec("[ \t\r\x0b\x0c]{1,3}", 5)) {
            let line = format!("{}IAMAT{}{id}{}+1-1{}5{}", gaps[0], gaps[1], gaps[2], gaps[3], gaps[4]);
            let ClientCommand::IamAt(c) = ClientCommand::parse(line.as_bytes()) else { panic!("{line:?}") };
            prop_assert_eq!(c.id, id.as_bytes());
        }

        #[test]
        fn no_input_panics(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            ClientCommand::parse(&line);
            ClientCommand::parse(&[&b"IAMAT "[..], &line].concat());
            ClientCommand::parse(&[&b"WHATSAT "[..], &line].concat());
            ClientCommand::parse(&[&b"FOLLOW "[..], &line].concat());
            ClientCommand::parse(&[&b"NEAR "[..], &line].concat());
            ClientCommand::parse(&[&b"FORGET "[..], &line].concat());
        }
    }
}
