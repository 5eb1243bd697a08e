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
            Dialect::Http => b'H',
        }
    }

    /// The template of a statement, with the placeholders that [`Messages`] replaces.
    fn statement(self) -> String {
        let location = format!("+34.06{PLACE}-118.44{PLACE}");
        let at = format!("AT Riley +0.263873386 {CLIENT} {location} {TIME}");
        let (key, length) = (CLIENT.len(), at.len());
        match self {
            Dialect::Herd | Dialect::Echo => format!("IAMAT {CLIENT} {location} {TIME}\n"),
            Dialect::Relay => format!("{at}\n"),
            Dialect::RedisSet => {
                format!("*3\r\n$3\r\nSET\r\n${key}\r\n{CLIENT}\r\n${length}\r\n{at}\r\n")
            }
            Dialect::RedisGeoadd => format!(
                "*5\r\n$6\r\nGEOADD\r\n$4\r\nherd\r\n$11\r\n-118.44{PLACE}\r\n$9\r\n34.06{PLACE}\r\n\
                 ${key}\r\n{CLIENT}\r\n"
            ),
            Dialect::Nats => format!("PUB {CLIENT} {length}\r\n{at}\r\n"),
            Dialect::Memcached => format!("set {CLIENT} 0 0 {length}\r\n{at}\r\n"),
            Dialect::Http => String::new(),
        }
    }

    /// The template of a question.
    fn question(self) -> String {
        if self != Dialect::Http {
            return format!("WHATSAT {CLIENT} 10 5\n");
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
const PLACE: &str = "%%%%";

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
}

impl Messages {
    /// A generator of messages of a number of clients.
    pub fn new(dialect: Dialect, clients: u32) -> Messages {
        Messages::of_clients(dialect, 0, clients)
    }

    /// A generator of messages of a number of clients, from the client with the number `first`.
    pub fn of_clients(dialect: Dialect, first: u32, clients: u32) -> Messages {
        Messages {
            first,
            statement: Template::new(&dialect.statement()),
            whatsat: Template::new(&dialect.question()),
            clients,
            number: 0,
            time: TimeText::now(),
        }
    }

    /// Appends the next statement.
    pub fn statement(&mut self, output: &mut Vec<u8>) {
        self.time.advance();
        let client = self.next_client();
        self.statement.write(client, &self.time.0, output);
    }

    /// Appends the next WHATSAT.
    pub fn whatsat(&mut self, output: &mut Vec<u8>) {
        let client = self.next_client();
        self.whatsat.write(client, &self.time.0, output);
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

/// A message with placeholders that are overwritten with digits, which is faster than formatting.
struct Template {
    text: Vec<u8>,
    /// The offsets of the placeholders.
    clients: Vec<usize>,
    times: Vec<usize>,
    places: Vec<usize>,
}

impl Template {
    fn new(text: &str) -> Template {
        let all = |mark: &str| text.match_indices(mark).map(|(at, _)| at).collect();
        Template {
            clients: all(&"#".repeat(CLIENT_DIGITS)),
            times: all(TIME),
            places: all(PLACE),
            text: text.into(),
        }
    }

    fn write(&self, client: u32, time: &[u8; TIME.len()], output: &mut Vec<u8>) {
        let start = output.len();
        output.extend_from_slice(&self.text);
        let message = &mut output[start..];
        let mut digits = [0; CLIENT_DIGITS];
        let mut rest = client;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        for &at in &self.clients {
            message[at..at + CLIENT_DIGITS].copy_from_slice(&digits);
        }
        for &at in &self.times {
            message[at..at + TIME.len()].copy_from_slice(time);
        }
        // Each statement has another location: GEOADD of an unchanged location does no work.
        for &at in &self.places {
            message[at..at + PLACE.len()].copy_from_slice(&time[TIME.len() - PLACE.len()..]);
        }
    }
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

    #[test]
    fn the_nats_payload_length_is_right() {
        let mut text = Vec::new();
        Messages::new(Dialect::Nats, 1).statement(&mut text);
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n").unwrap();
        assert!(head.ends_with(&format!(" {}", body.trim_end().len())));
    }
}
