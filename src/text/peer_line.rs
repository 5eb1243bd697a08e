//! Parsers and writers of the lines between servers, except AT lines: HELLO, WELCOME, REFUSED, MARK, ACK
//! (docs/protocol.md, section 2). Fields after the known ones are ignored, so that a later version can add
//! some.

use std::fmt;

use super::decimal::integer;
use super::fields::{fields, is_white_space};

/// The version of the protocol between servers that this program implements.
pub const VERSION: &[u8] = b"1";
/// The greatest length of a HELLO, in bytes: five short fields, and room for those of a later version.
pub const HELLO_MAX: usize = 1024;

/// The incarnation of a server's store, chosen at random when the server starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    pub(super) fn parse(text: &[u8]) -> Option<Epoch> {
        /// Hexadecimal digits of a `u64`.
        const DIGITS: usize = 16;
        if text.len() != DIGITS || !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok().map(Epoch)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// The first line of a dialler: its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The name of the dialler's herd.
    pub herd: &'a [u8],
    /// The dialler's name.
    pub name: &'a [u8],
    /// The incarnation of the dialler's store.
    pub epoch: Epoch,
}

/// Whether a line is a HELLO of any version of this protocol: its first two fields are `HELLO` and `herd/`
/// with a version. True as soon as the first byte of the version has arrived.
pub fn is_hello(line: &[u8]) -> bool {
    let mut words = fields(line);
    words.next() == Some(b"HELLO") && words.next().and_then(version).is_some()
}

fn version(field: &[u8]) -> Option<&[u8]> {
    field.strip_prefix(b"herd/").filter(|version| !version.is_empty())
}

impl<'a> Hello<'a> {
    /// Parses a line for which [`is_hello`] is true. The error is the reason of the REFUSED.
    pub fn parse(line: &'a [u8]) -> Result<Hello<'a>, &'static str> {
        let mut words = fields(line).skip(1);
        if words.next().and_then(version) != Some(VERSION) {
            return Err("this server speaks herd/1");
        }
        let (Some(herd), Some(name), Some(epoch)) = (words.next(), words.next(), words.next()) else {
            return Err("a HELLO needs a version, a herd, a name and an epoch");
        };
        let epoch = Epoch::parse(epoch).ok_or("an epoch has 16 hexadecimal digits")?;
        Ok(Hello { herd, name, epoch })
    }

    /// Appends the line with its LF.
    pub fn write(&self, output: &mut Vec<u8>) {
        let epoch = self.epoch.to_string();
        let parts =
            [b"HELLO herd/", VERSION, b" ", self.herd, b" ", self.name, b" ", epoch.as_bytes(), b"\n"];
        parts.iter().for_each(|part| output.extend_from_slice(part));
    }
}

/// Parses a MARK of the dialler: the lines before it contain every change up to this sequence number.
pub fn parse_mark(line: &[u8]) -> Option<u64> {
    number_after(b"MARK", line)
}

/// Appends a MARK.
pub fn write_mark(sequence: u64, output: &mut Vec<u8>) {
    write_number(b"MARK ", sequence, output);
}

/// Appends an ACK.
pub fn write_ack(sequence: u64, output: &mut Vec<u8>) {
    write_number(b"ACK ", sequence, output);
}

/// Appends a WELCOME: the acceptor's name and epoch, and the last change of the dialler's epoch that it has.
pub fn write_welcome(name: &[u8], epoch: Epoch, since: u64, output: &mut Vec<u8>) {
    let epoch = epoch.to_string();
    let parts = [b"WELCOME ", name, b" ", epoch.as_bytes()];
    parts.iter().for_each(|part| output.extend_from_slice(part));
    write_number(b" ", since, output);
}

/// Appends a REFUSED.
pub fn write_refused(reason: &str, output: &mut Vec<u8>) {
    let parts = [b"REFUSED ", reason.as_bytes(), b"\n"];
    parts.iter().for_each(|part| output.extend_from_slice(part));
}

/// A line from the acceptor to the dialler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcceptorLine<'a> {
    /// The link is accepted.
    Welcome {
        /// The acceptor's name.
        name: &'a [u8],
        /// The incarnation of the acceptor's store.
        epoch: Epoch,
        /// The last change of the dialler's epoch that the acceptor has; 0: none.
        since: u64,
    },
    /// The link is refused, for this reason.
    Refused(&'a [u8]),
    /// The acceptor acknowledges every change up to this one.
    Ack(u64),
}

impl<'a> AcceptorLine<'a> {
    /// Parses a line without its LF.
    pub fn parse(line: &'a [u8]) -> Option<AcceptorLine<'a>> {
        let mut words = fields(line);
        match words.next()? {
            b"WELCOME" => {
                let (name, epoch, since) = (words.next()?, words.next()?, words.next()?);
                Some(AcceptorLine::Welcome { name, epoch: Epoch::parse(epoch)?, since: integer(since)? })
            }
            b"REFUSED" => Some(AcceptorLine::Refused(line.strip_prefix(b"REFUSED")?.trim_ascii())),
            b"ACK" => number_after(b"ACK", line).map(AcceptorLine::Ack),
            _ => None,
        }
    }
}

fn number_after(verb: &[u8], line: &[u8]) -> Option<u64> {
    let rest = line.strip_prefix(verb)?;
    if !is_white_space(*rest.first()?) {
        return None;
    }
    integer(fields(rest).next()?)
}

fn write_number(before: &[u8], number: u64, output: &mut Vec<u8>) {
    output.extend_from_slice(before);
    super::time::write_integer(number, output);
    output.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_hello_is_known_by_its_first_two_fields() {
        for line in
            ["HELLO herd/1 bruins Riley 0123456789abcdef", " HELLO\therd/2", "HELLO herd/1", "HELLO herd/x y"]
        {
            assert!(is_hello(line.as_bytes()), "{line}");
        }
        for line in
            ["HELLO there", "HELLO", "HELLO herd/", "hello herd/1", "HELLO x herd/1", "IAMAT a +1-1 5", ""]
        {
            assert!(!is_hello(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn a_hello_is_parsed_as_it_was_written() {
        let hello = Hello { herd: b"bruins", name: b"Riley", epoch: Epoch(0xabc) };
        let mut line = Vec::new();
        hello.write(&mut line);
        assert_eq!(line, b"HELLO herd/1 bruins Riley 0000000000000abc\n");
        assert_eq!(Hello::parse(&line), Ok(hello));
        assert_eq!(Hello::parse(b"HELLO herd/1 bruins Riley 0000000000000ABC more fields\r\n"), Ok(hello));
    }

    #[test]
    fn a_malformed_hello_is_refused_with_a_reason() {
        for (line, reason) in [
            ("HELLO herd/2 bruins Riley 0123456789abcdef", "herd/1"),
            ("HELLO herd/10 bruins Riley 0123456789abcdef", "herd/1"),
            ("HELLO herd/1", "needs"),
            ("HELLO herd/1 bruins Riley", "needs"),
            ("HELLO herd/1 bruins Riley 0123456789abcde", "16"),
            ("HELLO herd/1 bruins Riley 0123456789abcdeg", "16"),
            ("HELLO herd/1 bruins Riley +123456789abcdef", "16"),
        ] {
            assert!(Hello::parse(line.as_bytes()).unwrap_err().contains(reason), "{line}");
        }
    }

    #[test]
    fn lines_of_the_acceptor_are_parsed() {
        let mut lines = Vec::new();
        write_welcome(b"Jaquez", Epoch(1), 7, &mut lines);
        assert_eq!(lines, b"WELCOME Jaquez 0000000000000001 7\n");
        assert_eq!(
            AcceptorLine::parse(b"WELCOME Jaquez 0000000000000001 7 and more"),
            Some(AcceptorLine::Welcome { name: b"Jaquez", epoch: Epoch(1), since: 7 })
        );
        assert_eq!(
            AcceptorLine::parse(b"REFUSED not a neighbour\r"),
            Some(AcceptorLine::Refused(b"not a neighbour"))
        );
        assert_eq!(AcceptorLine::parse(b"ACK 5 more"), Some(AcceptorLine::Ack(5)));
        for line in [
            "",
            "WELCOME Jaquez 0000000000000001",
            "WELCOME Jaquez 1 7",
            "ACK",
            "ACK x",
            "ACK5",
            "ACK -1",
            "NO",
        ] {
            assert_eq!(AcceptorLine::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_mark_needs_a_64_bit_number() {
        assert_eq!(parse_mark(b"MARK 18446744073709551615"), Some(u64::MAX));
        assert_eq!(parse_mark(b"MARK 0 more\r"), Some(0));
        for line in ["MARK", "MARK ", "MARK x", "MARK 18446744073709551616", "MARKS 1", "mark 1", "MARK1"] {
            assert_eq!(parse_mark(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(line in proptest::collection::vec(any::<u8>(), 0..60)) {
            for verb in [&b""[..], b"HELLO herd/1 ", b"WELCOME ", b"MARK ", b"ACK ", b"REFUSED "] {
                let line = [verb, &line].concat();
                is_hello(&line);
                let _ = (Hello::parse(&line), AcceptorLine::parse(&line), parse_mark(&line));
            }
        }
    }
}
