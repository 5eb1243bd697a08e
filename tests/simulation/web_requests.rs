//! Requests over HTTP, with what each of them asks for.

use crate::chance::Chance;
use crate::followers::Marked;
use crate::phones::{App, Point};
use crate::rules::Whom;

/// What a request asks for.
#[derive(Clone, Debug)]
pub enum Ask {
    Get {
        id: Vec<u8>,
        is_geojson: bool,
    },
    /// An empty `time_text`: the time of receipt.
    Put {
        id: Vec<u8>,
        location: Vec<u8>,
        time_text: Vec<u8>,
    },
    Delete {
        id: Vec<u8>,
    },
    /// A page of a list. `is_first`: the list begins with it.
    List {
        is_first: bool,
    },
    Near {
        centre: Vec<u8>,
        radius: Vec<u8>,
        bound: usize,
    },
    Places {
        id: Vec<u8>,
        radius: Vec<u8>,
        bound: usize,
    },
    /// `text` are the operands of the FOLLOW.
    Changes {
        whom: Whom,
        text: Vec<u8>,
        from: Option<Marked>,
    },
    /// A page for operators, by its path.
    Page(&'static str),
    /// The points of a phone.
    Report(App, Vec<Point>),
    /// Something that has to get this status.
    Refused(u16),
    /// A request that was not sent whole; with the status that it may get besides 400.
    Cut(u16),
}

#[derive(Clone, Debug)]
pub struct Request {
    pub ask: Ask,
    pub bytes: Vec<u8>,
    /// Its beginning, for complaints.
    shown: Vec<u8>,
    /// The bytes of the head.
    pub head: usize,
    pub is_head: bool,
    /// The connection ends after its response.
    pub is_last: bool,
    pub expects_continue: bool,
}

impl Request {
    /// A request in one of the forms that mean the same.
    pub fn new(ask: Ask, method: &str, target: &str, chance: &mut Chance) -> Request {
        Request::with_body(ask, (method, target, ""), None, chance)
    }

    /// The same with further fields, each with its CRLF, and with a body.
    pub fn with_body(
        ask: Ask,
        (method, target, more): (&str, &str, &str),
        body: Option<&str>,
        chance: &mut Chance,
    ) -> Request {
        let is_stream = matches!(ask, Ask::Changes { .. });
        let is_old = chance.one_in(25);
        let closes = !is_old && chance.one_in(20);
        let version = if is_old { "HTTP/1.0" } else { "HTTP/1.1" };
        let absolute = if chance.one_in(10) { "http://localhost" } else { "" };
        let mut head = format!("{method} {absolute}{target} {version}\r\nHost: localhost\r\n{more}");
        if closes {
            head.push_str(chance.pick::<&str>(&["Connection: close\r\n", "connection:  Close , x\r\n"]));
        }
        let mut coded = Vec::new();
        let expects_continue = body.is_some() && !is_old && chance.one_in(6);
        if expects_continue {
            head.push_str("Expect: 100-continue\r\n");
        }
        if let Some(body) = body {
            if !is_old && chance.one_in(4) {
                head.push_str("Transfer-Encoding: chunked\r\n");
                coded = chunked(body.as_bytes(), chance);
            } else {
                head.push_str(&format!("Content-Length: {}\r\n", body.len()));
                coded.extend_from_slice(body.as_bytes());
            }
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        let head = bytes.len();
        bytes.append(&mut coded);
        let is_last = is_stream || is_old || closes;
        let shown = bytes[..bytes.len().min(SHOWN_MAX)].to_vec();
        Request { ask, bytes, shown, head, is_head: method == "HEAD", is_last, expects_continue }
    }

    /// Its beginning, for complaints.
    pub fn title(&self) -> String {
        self.shown.escape_ascii().to_string()
    }

    /// Something that has to get this status. `is_last`: the connection ends after that.
    pub fn refused(status: u16, bytes: &[u8], is_last: bool) -> Request {
        let is_head = bytes.starts_with(b"HEAD ");
        Request {
            ask: Ask::Refused(status),
            bytes: bytes.to_vec(),
            shown: bytes[..bytes.len().min(SHOWN_MAX)].to_vec(),
            head: bytes.len(),
            is_head,
            is_last,
            expects_continue: false,
        }
    }
}

fn chunked(body: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut coded = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let length = chance.between(1, rest.len() as u64) as usize;
        let extension = if chance.one_in(5) { ";x=\"y\"" } else { "" };
        coded.extend_from_slice(format!("{length:x}{extension}\r\n").as_bytes());
        coded.extend_from_slice(&rest[..length]);
        coded.extend_from_slice(b"\r\n");
        rest = &rest[length..];
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    coded
}

/// An ID as a segment of a path, or the value of a parameter. `more`: bytes are encoded that need not be.
pub fn encoded(text: &[u8], more: bool) -> String {
    let is_plain = |byte: u8| !more && (byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte));
    let of_byte = |&byte: &u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02x}"),
    };
    text.iter().map(of_byte).collect()
}

/// A location as it is written with JSON numbers: without needless zeros. Returns latitude and longitude.
pub fn json_degrees(location: &str) -> (String, String) {
    let second_sign = location[1..].find(['+', '-']).map_or(location.len(), |at| at + 1);
    let (latitude, longitude) = location.split_at(second_sign);
    let number = |text: &str| {
        let (sign, digits) = text.split_at(1);
        let whole = digits.find('.').unwrap_or(digits.len());
        let zeros = digits[..whole.saturating_sub(1)].bytes().take_while(|&byte| byte == b'0').count();
        format!("{}{}", if sign == "-" { "-" } else { "" }, &digits[zeros..])
    };
    (number(latitude), number(longitude))
}

/// The location that these numbers say, in the form of a line.
pub fn of_degrees(latitude: &str, longitude: &str) -> String {
    let signed = |text: &str| if text.starts_with('-') { text.to_owned() } else { format!("+{text}") };
    signed(latitude) + &signed(longitude)
}

/// Bytes of a request that complaints show.
const SHOWN_MAX: usize = 400;
