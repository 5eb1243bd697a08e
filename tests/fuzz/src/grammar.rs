//! A second, naive implementation of the grammar of docs/protocol.md, as an oracle. It splits lines and
//! converts numbers where the herd parses bytes and compares digits, and shares no code with the herd.

use std::cmp::Reverse;

/// A line of a client.
#[derive(Debug, PartialEq)]
pub enum ClientLine<'a> {
    Blank,
    IamAt {
        id: &'a [u8],
        location: Location<'a>,
        time: i128,
        time_text: &'a [u8],
    },
    WhatsAt {
        id: &'a [u8],
        radius_km: &'a [u8],
        bound: usize,
    },
    Near {
        centre: NearCentre<'a>,
        radius_km: &'a [u8],
        bound: usize,
    },
    Forget {
        id: &'a [u8],
    },
    /// `from`: the epoch and the number, [`u64::MAX`] if it is greater.
    Follow {
        whom: Whom<'a>,
        from: Option<(&'a [u8], u64)>,
    },
    HttpRequest,
    Invalid,
}

/// The first operand of `NEAR`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NearCentre<'a> {
    Client(&'a [u8]),
    Location(Location<'a>),
}

/// The clients that a FOLLOW names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Whom<'a> {
    Client(&'a [u8]),
    Prefix(&'a [u8]),
    Area(Location<'a>, &'a [u8]),
}

/// `location`, with its two coordinates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location<'a> {
    pub text: &'a [u8],
    pub latitude: &'a [u8],
    pub longitude: &'a [u8],
}

/// `at-line` or `gone-line`, without its LF.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statement<'a> {
    pub server: &'a [u8],
    pub skew: i128,
    pub id: &'a [u8],
    /// `None`: the statement is a GONE.
    pub location: Option<Location<'a>>,
    pub time: i128,
    pub time_text: &'a [u8],
}

impl<'a> Statement<'a> {
    /// The sort key of statements of one client: the smaller one wins.
    pub fn rank(&self) -> impl Ord + use<'a> {
        let received = self.time + self.skew;
        let location = self.location.map(|location| location.text);
        (Reverse(self.time), location.is_some(), received, self.server, location, self.time_text)
    }
}

/// A valid HELLO.
#[derive(Debug, PartialEq)]
pub struct Hello<'a> {
    pub herd: &'a [u8],
    pub name: &'a [u8],
    pub epoch: u64,
}

/// A line of an acceptor.
#[derive(Debug, PartialEq)]
pub enum AcceptorLine<'a> {
    Welcome { name: &'a [u8], epoch: u64, since: u64 },
    Refused,
    Ack(u64),
}

pub fn words(line: &[u8]) -> Vec<&[u8]> {
    line.split(is_white).filter(|word| !word.is_empty()).collect()
}

pub fn is_white(byte: &u8) -> bool {
    b" \t\n\x0b\x0c\r".contains(byte)
}

pub fn trimmed(line: &[u8]) -> &[u8] {
    let mut rest = line;
    while let [first, after @ ..] = rest
        && is_white(first)
    {
        rest = after;
    }
    while let [before @ .., last] = rest
        && is_white(last)
    {
        rest = before;
    }
    rest
}

pub fn client_line(line: &[u8]) -> ClientLine<'_> {
    let words = words(line);
    match *words {
        [] => return ClientLine::Blank,
        [b"IAMAT", id, location, time_text] => {
            if let (Some(location), Some(time)) = (self::location(location), time(time_text)) {
                return ClientLine::IamAt { id, location, time, time_text };
            }
        }
        [b"WHATSAT", id, radius_km, bound] => {
            if let Some(bound) = bound_of_search(radius_km, 50, bound, 20) {
                return ClientLine::WhatsAt { id, radius_km, bound };
            }
        }
        [b"NEAR", centre, radius_km, bound] => {
            if let Some(bound) = bound_of_search(radius_km, 20_100, bound, 1000) {
                let centre = match location(centre) {
                    Some(location) => NearCentre::Location(location),
                    None => NearCentre::Client(centre),
                };
                return ClientLine::Near { centre, radius_km, bound };
            }
        }
        [b"FORGET", id] => return ClientLine::Forget { id },
        [b"FOLLOW", ref operands @ ..] => {
            if let Some((whom, from)) = follow(operands) {
                return ClientLine::Follow { whom, from };
            }
        }
        _ => {}
    }
    if is_http_request(line) { ClientLine::HttpRequest } else { ClientLine::Invalid }
}

/// The operands of a FOLLOW: whom, and the epoch and the number of FROM.
type Follow<'a> = (Whom<'a>, Option<(&'a [u8], u64)>);

fn follow<'a>(operands: &[&'a [u8]]) -> Option<Follow<'a>> {
    let by_id = |text: &'a [u8]| match text {
        [prefix @ .., b'*'] => Whom::Prefix(prefix),
        id => Whom::Client(id),
    };
    match *operands {
        [text] => Some((by_id(text), None)),
        [centre, radius_km] => {
            let (whole, _, fraction) = number(radius_km)?;
            at_most(whole, fraction, 20_100).then_some((Whom::Area(location(centre)?, radius_km), None))
        }
        [text, b"FROM", epoch, sequence] => {
            let (digits, ..) = number(sequence).filter(|(_, point, _)| !point)?;
            Some((by_id(text), Some((epoch, digits.parse().unwrap_or(u64::MAX)))))
        }
        _ => None,
    }
}

/// The bound of a search whose radius and bound are valid.
fn bound_of_search(radius_km: &[u8], radius_max: u32, bound: &[u8], bound_max: u32) -> Option<usize> {
    let (whole, _, fraction) = number(radius_km)?;
    let (bound, _, _) = number(bound).filter(|(whole, point, _)| !point && at_most(whole, "", bound_max))?;
    at_most(whole, fraction, radius_max).then(|| bound.trim_start_matches('0').parse().unwrap_or(0))
}

pub fn is_http_request(line: &[u8]) -> bool {
    const METHODS: &str = "GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH";
    let first = words(line).first().map(|word| word.to_vec());
    let begins = METHODS.split(' ').any(|method| first.as_deref() == Some(method.as_bytes()));
    begins || [Some(&&b"HTTP/1.0"[..]), Some(&&b"HTTP/1.1"[..])].contains(&words(line).last())
}

pub fn statement(line: &[u8]) -> Option<Statement<'_>> {
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    if parts.iter().any(|part| part.is_empty() || part.iter().any(is_white)) {
        return None;
    }
    let (server, skew, id, location, time_text) = match *parts {
        [b"AT", server, skew, id, location, time] => {
            (server, skew, id, Some(self::location(location)?), time)
        }
        [b"GONE", server, skew, id, time] if is_exact(time) => (server, skew, id, None, time),
        _ => return None,
    };
    Some(Statement { server, skew: self::skew(skew)?, id, location, time: time(time_text)?, time_text })
}

pub fn statement_line(statement: &Statement<'_>) -> Vec<u8> {
    let skew = skew_text(statement.skew);
    let mut words = vec![&b"GONE"[..], statement.server, skew.as_bytes(), statement.id];
    if let Some(location) = statement.location {
        words[0] = b"AT";
        words.push(location.text);
    }
    words.push(statement.time_text);
    [&words.join(&b' ')[..], b"\n"].concat()
}

/// The only text of a time that a GONE may have.
pub fn exact_time_text(time: i128) -> String {
    skew_text(time).trim_start_matches('+').to_owned()
}

fn is_exact(text: &[u8]) -> bool {
    time(text).is_some_and(|time| exact_time_text(time).as_bytes() == text)
}

pub fn is_hello(line: &[u8]) -> bool {
    matches!(words(line)[..], [b"HELLO", version, ..] if version.starts_with(b"herd/") && version.len() > 5)
}

/// Parses a line for which [`is_hello`] is true.
pub fn hello(line: &[u8]) -> Option<Hello<'_>> {
    let [_, b"herd/1", herd, name, epoch, ..] = words(line)[..] else { return None };
    Some(Hello { herd, name, epoch: self::epoch(epoch)? })
}

pub fn acceptor_line(line: &[u8]) -> Option<AcceptorLine<'_>> {
    match words(line)[..] {
        [b"WELCOME", name, epoch, since, ..] => {
            Some(AcceptorLine::Welcome { name, epoch: self::epoch(epoch)?, since: sequence(since)? })
        }
        [b"REFUSED", ..] if line.starts_with(b"REFUSED") => Some(AcceptorLine::Refused),
        [b"ACK", number, ..] if line.starts_with(b"ACK") => sequence(number).map(AcceptorLine::Ack),
        _ => None,
    }
}

pub fn mark(line: &[u8]) -> Option<u64> {
    match words(line)[..] {
        [b"MARK", number, ..] if line.starts_with(b"MARK") => sequence(number),
        _ => None,
    }
}

/// The only `skew` of a number of nanoseconds.
pub fn skew_text(nanoseconds: i128) -> String {
    let sign = if nanoseconds < 0 { '-' } else { '+' };
    let digits = format!("{:010}", nanoseconds.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - 9);
    format!("{sign}{whole}.{fraction}")
}

/// A decimal number times ten to the power of `power`, without needless zeros.
pub fn scaled(text: &str, power: usize) -> String {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction:0<power$}");
    let (whole, fraction) = digits.split_at(whole.len() + power);
    format!("{}.{}", whole.trim_start_matches('0'), fraction.trim_end_matches('0'))
}

/// The digits before the point, whether there is a point, and the digits after it.
fn number(text: &[u8]) -> Option<(&str, bool, &str)> {
    let text = std::str::from_utf8(text).ok()?;
    let (whole, point, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, true, fraction),
        None => (text, false, "0"),
    };
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (is_digits(whole) && is_digits(fraction)).then_some((whole, point, if point { fraction } else { "" }))
}

fn at_most(whole: &str, fraction: &str, limit: u32) -> bool {
    let whole = whole.trim_start_matches('0');
    let whole: u32 = if whole.len() > 5 { u32::MAX } else { whole.parse().unwrap_or(0) };
    whole < limit || whole == limit && fraction.trim_end_matches('0').is_empty()
}

fn location(text: &[u8]) -> Option<Location<'_>> {
    let second_sign = 1 + text.get(1..)?.iter().position(|byte| b"+-".contains(byte))?;
    let (latitude, longitude) = text.split_at(second_sign);
    let is_degrees = |text: &[u8], digits: usize, limit: u32| {
        let unsigned = text.strip_prefix(b"+").or(text.strip_prefix(b"-")).and_then(number);
        unsigned.is_some_and(|(whole, _, fraction)| whole.len() <= digits && at_most(whole, fraction, limit))
    };
    (is_degrees(latitude, 2, 90) && is_degrees(longitude, 3, 180)).then_some(Location {
        text,
        latitude,
        longitude,
    })
}

fn time(text: &[u8]) -> Option<i128> {
    let (whole, _, fraction) = number(text)?;
    (whole.len() <= 18 && fraction.len() <= 9).then(|| format!("{whole}{fraction:0<9}").parse().ok())?
}

fn skew(text: &[u8]) -> Option<i128> {
    let size = time(text.get(1..)?)?;
    [size, -size].into_iter().find(|&skew| skew_text(skew).as_bytes() == text)
}

pub fn epoch(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    (text.len() == 16 && !text.contains('+')).then(|| u64::from_str_radix(text, 16).ok())?
}

fn sequence(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok().filter(|text| !text.starts_with('+'))?.parse().ok()
}
