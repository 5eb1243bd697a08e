//! The protocols of the servers: the same statement in a form that each server stores.

use std::time::{SystemTime, UNIX_EPOCH};

/// The protocol of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `IAMAT` and `WHATSAT`; the reply is the `AT` line.
    Herd,
    /// `IAMAT`, which the echo server returns unchanged.
    Echo,
    /// The `AT` line, which the relay returns and forwards.
    Relay,
    /// The `AT` line by `SET`.
    RedisSet,
    /// The location by `GEOADD`.
    RedisGeoadd,
    /// The `AT` line, published; with `verbose` each is acknowledged by `+OK`.
    Nats,
    /// The `AT` line by `set`.
    Memcached,
    /// A question to Places, as the herd asks it, in HTTP/1.1. It has no statements.
    Http,
    /// The herd's interface over HTTP: a statement is a `PUT /v1/clients/ID`, a question a `GET` of the same path.
    Web,
}

impl Dialect {
    /// The first byte of a correct reply.
    pub fn reply_begins_with(self) -> u8 {
        match self {
            Dialect::Herd | Dialect::Relay => b'A',
            Dialect::Echo => b'I',
            Dialect::RedisSet | Dialect::Nats => b'+',
            Dialect::RedisGeoadd => b':',
            Dialect::Memcached => b'S',
            Dialect::Http | Dialect::Web => b'H',
        }
    }

    /// The template of a statement, with the placeholders that [`Messages`] replaces.
    fn statement(self) -> String {
        let location = format!("+34.{LATITUDE}-118.{LONGITUDE}");
        let at = format!("AT Riley +0.263873386 {CLIENT} {location} {TIME}");
        let (key, length) = (CLIENT.len(), at.len());
        match self {
            Dialect::Herd | Dialect::Echo => format!("IAMAT {CLIENT} {location} {TIME}\n"),
            Dialect::Relay => format!("{at}\n"),
            Dialect::RedisSet => {
                format!("*3\r\n$3\r\nSET\r\n${key}\r\n{CLIENT}\r\n${length}\r\n{at}\r\n")
            }
            Dialect::RedisGeoadd => format!(
                "*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n$11\r\n-118.{LONGITUDE}\r\n$9\r\n34.{LATITUDE}\r\n\
                 ${key}\r\n{CLIENT}\r\n"
            ),
            Dialect::Nats => format!("PUB {CLIENT} {length}\r\n{at}\r\n"),
            Dialect::Memcached => format!("set {CLIENT} 0 0 {length}\r\n{at}\r\n"),
            Dialect::Http => String::new(),
            Dialect::Web => {
                let body = format!(
                    "{{\"latitude\":34.{LATITUDE},\"longitude\":-118.{LONGITUDE},\"time\":\"{TIME}\"}}"
                );
                let length = body.len();
                format!(
                    "PUT /v1/clients/{CLIENT} HTTP/1.1\r\n{WEB_FIELDS}Content-Type: application/json\r\n\
                     Content-Length: {length}\r\n\r\n{body}"
                )
            }
        }
    }

    /// The template of a question.
    fn question(self) -> String {
        match self {
            Dialect::Http => {}
            Dialect::Web => return format!("GET /v1/clients/{CLIENT} HTTP/1.1\r\n{WEB_FIELDS}\r\n"),
            _ => return format!("WHATSAT {CLIENT} 10 5\n"),
        }
        let digits = "#".repeat(CLIENT_DIGITS);
        format!(
            "GET /late/maps/api/place/nearbysearch/json?location=34.06{digits},-118.44&radius=10000 HTTP/1.1\r\n\
             Host: Places\r\nAccept: application/json\r\n\r\n"
        )
    }
}

// As long as kiwi.cs.ucla.edu, so that lines are as long as the example of the course.
const CLIENT: &str = "c#######.cs.ucla";
const CLIENT_DIGITS: usize = 7;
const TIME: &str = "@@@@@@@@@@.@@@@@@@@@";
const LATITUDE: &str = "%%%%%%";
const LONGITUDE: &str = "^^^^^^";
/// The fields that each request has.
const WEB_FIELDS: &str = "Host: localhost\r\nAccept: application/json\r\n";

/// A generator of messages of many clients, with increasing times.
pub struct Messages {
    statement: Template,
    whatsat: Template,
    /// The number of the first client.
    first: u32,
    clients: u32,
    /// The number of messages so far.
    number: u32,
    time: TimeText,
    /// Where in its block each client begins: another start for each generator, so that clients which two of them
    /// report about move, too.
    start: u32,
}

impl Messages {
    /// A generator of messages of a number of clients.
    pub fn new(dialect: Dialect, clients: u32) -> Messages {
        Messages::of_clients(dialect, 0, clients)
    }

    /// A generator of messages of a number of clients, from the client with the number `first`.
    pub fn of_clients(dialect: Dialect, first: u32, clients: u32) -> Messages {
        let time = TimeText::now();
        Messages {
            start: time.nanosecond_digits(),
            first,
            statement: Template::new(&dialect.statement()),
            whatsat: Template::new(&dialect.question()),
            clients,
            number: 0,
            time,
        }
    }

    /// Appends the next statement.
    pub fn statement(&mut self, output: &mut Vec<u8>) {
        let client = self.next_client();
        let moves = self.start.wrapping_add(self.number / self.clients);
        self.statement_of(client, moves, output);
    }

    /// Appends the next statement, one of this client, after a number of moves.
    pub fn statement_of(&mut self, client: u32, moves: u32, output: &mut Vec<u8>) {
        self.time.advance();
        self.statement.write(client, Spot::of(client, moves), &self.time.0, output);
    }

    /// Appends the next WHATSAT.
    pub fn whatsat(&mut self, output: &mut Vec<u8>) {
        let client = self.next_client();
        self.whatsat.write(client, Spot::default(), &self.time.0, output);
    }

    /// The ID of a client.
    pub fn client_name(client: u32) -> String {
        CLIENT.replace(&"#".repeat(CLIENT_DIGITS), &format!("{client:07}"))
    }

    /// The client of the message with this number, from 1.
    pub fn client_of(number: u32, clients: u32) -> u32 {
        // The stride is coprime to round numbers, so that all clients take turns, and consecutive messages
        // are not about neighbouring records in the memory of a server.
        (u64::from(number) * 7_919_317 % u64::from(clients)) as u32
    }

    fn next_client(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.first + Messages::client_of(self.number, self.clients)
    }
}

/// The digits after the points of a location.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Spot {
    latitude: u32,
    longitude: u32,
}

impl Spot {
    /// The location of a client after a number of moves. Each client has a block of its own, some hundred metres wide,
    /// in a region of some hundred kilometres, and moves within it, as a phone does between two reports. Any first so
    /// many clients are spread over the whole region.
    fn of(client: u32, moves: u32) -> Spot {
        let (number, moves) = (client % 1000, moves % 1000);
        // The factors are coprime to a thousand: each move changes both coordinates, and a million clients have a
        // million blocks.
        let block = [number * 753 % 1000, (number * 569 + client / 1000) % 1000];
        let within = [moves * 379 % 1000, moves * 617 % 1000];
        Spot { latitude: block[0] * 1000 + within[0], longitude: block[1] * 1000 + within[1] }
    }
}

/// A message with placeholders that are overwritten with digits, which is faster than formatting.
struct Template {
    text: Vec<u8>,
    /// The offsets of the placeholders.
    clients: Vec<usize>,
    times: Vec<usize>,
    latitudes: Vec<usize>,
    longitudes: Vec<usize>,
}

impl Template {
    fn new(text: &str) -> Template {
        let all = |mark: &str| text.match_indices(mark).map(|(at, _)| at).collect();
        Template {
            clients: all(&"#".repeat(CLIENT_DIGITS)),
            times: all(TIME),
            latitudes: all(LATITUDE),
            longitudes: all(LONGITUDE),
            text: text.into(),
        }
    }

    fn write(&self, client: u32, spot: Spot, time: &[u8; TIME.len()], output: &mut Vec<u8>) {
        let start = output.len();
        output.extend_from_slice(&self.text);
        let message = &mut output[start..];
        put(message, &self.clients, &digits::<CLIENT_DIGITS>(client));
        put(message, &self.times, time);
        // Each statement has another location: GEOADD of an unchanged location does no work.
        put(message, &self.latitudes, &digits::<{ LATITUDE.len() }>(spot.latitude));
        put(message, &self.longitudes, &digits::<{ LONGITUDE.len() }>(spot.longitude));
    }
}

fn put(message: &mut [u8], places: &[usize], text: &[u8]) {
    for &at in places {
        message[at..at + text.len()].copy_from_slice(text);
    }
}

/// The last decimal digits of a number, with leading zeros.
fn digits<const N: usize>(mut value: u32) -> [u8; N] {
    let mut digits = [0; N];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    digits
}

/// A POSIX time as text, incremented by one nanosecond for each message. It never overtakes the clock, so
/// that a later run begins with a later time than the last one of an earlier run.
struct TimeText([u8; TIME.len()]);

impl TimeText {
    fn now() -> TimeText {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
        let text = format!("{:010}.{:09}", now.as_secs(), now.subsec_nanos());
        TimeText(text.into_bytes().try_into().expect("a text of ten digits, a point and nine digits"))
    }

    /// The last digits as a number.
    fn nanosecond_digits(&self) -> u32 {
        self.0[TIME.len() - 3..].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'))
    }

    fn advance(&mut self) {
        for digit in self.0.iter_mut().rev().filter(|digit| **digit != b'.') {
            if *digit < b'9' {
                *digit += 1;
                return;
            }
            *digit = b'0';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_cover_all_clients_with_increasing_times() {
        let mut messages = Messages::new(Dialect::Herd, 1000);
        let (mut text, mut last) = (Vec::new(), Vec::new());
        for _ in 0..1000 {
            messages.statement(&mut text);
            let time = text[text.len() - TIME.len() - 1..].to_vec();
            assert!(time > last);
            last = time;
        }
        let mut names: Vec<_> =
            text.split(|&byte| byte == b'\n').filter_map(|line| line.get(6..22)).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1000);
        assert_eq!(names[17], Messages::client_name(17).as_bytes());
    }

    #[test]
    fn the_first_client_of_a_range_is_after_those_of_another() {
        let mut text = Vec::new();
        Messages::of_clients(Dialect::Herd, 1000, 1).statement(&mut text);
        assert_eq!(&text[6..22], Messages::client_name(1000).as_bytes());
    }

    /// The digits after the points of the location of each statement.
    fn spots(messages: &mut Messages, count: usize) -> Vec<(String, [u32; 2])> {
        let mut text = Vec::new();
        (0..count).for_each(|_| messages.statement(&mut text));
        let of_line = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            let location = fields[2].strip_prefix("+34.").unwrap();
            let digits: Vec<u32> = location.split("-118.").map(|digits| digits.parse().unwrap()).collect();
            assert_eq!(location.len(), 2 * LATITUDE.len() + "-118.".len());
            (fields[1].to_owned(), digits.try_into().unwrap())
        };
        String::from_utf8(text).unwrap().lines().map(of_line).collect()
    }

    #[test]
    fn each_statement_of_a_client_moves_it_within_its_block() {
        // Numbers of clients that go with the factors and the digits.
        for clients in [1, 379, 383, 621, 1000, 2000] {
            let mut last = std::collections::HashMap::new();
            for (client, spot) in spots(&mut Messages::new(Dialect::Herd, clients), 5 * clients as usize) {
                let Some(earlier) = last.insert(client, spot) else { continue };
                assert!(spot[0] != earlier[0] && spot[1] != earlier[1], "{spot:?}");
                assert_eq!(spot.map(|digits| digits / 1000), earlier.map(|digits| digits / 1000));
            }
            assert_eq!(last.len(), clients as usize);
        }
    }

    #[test]
    fn a_million_clients_have_a_million_blocks() {
        let mut blocks: Vec<_> = (0..1_000_000)
            .map(|client| Spot::of(client, 7))
            .map(|spot| (spot.latitude / 1000, spot.longitude / 1000))
            .collect();
        blocks.sort_unstable();
        blocks.dedup();
        assert_eq!(blocks.len(), 1_000_000);
        // Few clients are spread over the region, too.
        for part in 0..16 {
            let is_in =
                |spot: Spot| [spot.latitude / 250_000, spot.longitude / 250_000] == [part / 4, part % 4];
            let found = (0..160).filter(|&client| is_in(Spot::of(client, 0))).count();
            assert!((5..=15).contains(&found), "{found} of 160 clients in a sixteenth of the region");
        }
    }

    #[test]
    fn the_content_length_of_a_put_is_right() {
        let mut text = Vec::new();
        Messages::new(Dialect::Web, 1).statement(&mut text);
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("PUT /v1/clients/c0000000.cs.ucla HTTP/1.1\r\n"));
        assert!(head.ends_with(&format!("\r\nContent-Length: {}", body.len())));
    }

    #[test]
    fn the_nats_payload_length_is_right() {
        let mut text = Vec::new();
        Messages::new(Dialect::Nats, 1).statement(&mut text);
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n").unwrap();
        assert!(head.ends_with(&format!(" {}", body.trim_end().len())));
    }
}
