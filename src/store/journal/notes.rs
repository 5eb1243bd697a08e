//! The frames of a file that are no changes: its header, and the notes about the server's numbers.
//!
//! ```text
//! HERD 1 graders Riley 7 4711 250000                         the first frame of each file
//! STATE 00c0ffee00c0ffee 41 Jaquez 1badb002deadbeef 99       how far the server was
//! END 00c0ffee00c0ffee 41 Jaquez 1badb002deadbeef 99         the same, and it ended in order
//! WHOLE                                                      the last frame of a snapshot
//! ```

use std::fmt::Write;

use crate::text::peer_line::Epoch;

/// The version of the files that this program writes, and the greatest that it reads.
pub const VERSION: u64 = 1;

/// The content of the last frame of a snapshot.
pub const WHOLE: &[u8] = b"WHOLE\n";

/// The first frame of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// The version of the format.
    pub version: u64,
    /// The name of the herd.
    pub herd: String,
    /// The name of the server.
    pub server: String,
    /// The generation of the file.
    pub generation: u64,
    /// In a log, the length of the log before it, in bytes, without zeros at its end: a file that is cut between two
    /// records looks whole. 0: it is unknown.
    pub before: u64,
    /// The number of records that the store had when the file was begun: a start makes room for them at once. 0: it is
    /// unknown.
    pub records: u64,
}

impl Header {
    /// Appends the line with its LF.
    pub fn write(&self, output: &mut Vec<u8>) {
        let Header { version, herd, server, generation, before, records } = self;
        let line = format!("HERD {version} {herd} {server} {generation} {before} {records}\n");
        output.extend_from_slice(line.as_bytes());
    }

    /// Reads a line with its LF. A later version has at least the fields of this one.
    pub fn parse(line: &[u8]) -> Option<Header> {
        let mut words = words(line)?;
        (words.next()? == "HERD").then_some(())?;
        let version = words.next()?.parse().ok()?;
        let (herd, server) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut number = || words.next()?.parse().ok();
        let (generation, before, records) = (number()?, number()?, number()?);
        Some(Header { version, herd, server, generation, before, records })
    }
}

/// How far the changes of a neighbour were received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The name of the neighbour.
    pub name: String,
    /// The epoch that counts its changes.
    pub epoch: Epoch,
    /// The last change of which it and all before were received.
    pub received: u64,
}

impl Position {
    /// Its name, its epoch, and the number.
    pub fn parts(&self) -> (&str, Epoch, u64) {
        (&self.name, self.epoch, self.received)
    }
}

/// The numbers of a server at the moment of one of its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The server has ended in order after this change.
    pub is_end: bool,
    /// The server's epoch.
    pub epoch: Epoch,
    /// The number of the change.
    pub sequence: u64,
    /// How far the changes of each neighbour were received.
    pub positions: Vec<Position>,
}

impl State {
    /// Appends the line with its LF.
    pub fn write(&self, output: &mut Vec<u8>) {
        let mut text = String::from(if self.is_end { "END" } else { "STATE" });
        let _ = write!(text, " {} {}", self.epoch, self.sequence);
        for Position { name, epoch, received } in &self.positions {
            let _ = write!(text, " {name} {epoch} {received}");
        }
        text.push('\n');
        output.extend_from_slice(text.as_bytes());
    }

    /// Reads a line with its LF.
    pub fn parse(line: &[u8]) -> Option<State> {
        let mut words = words(line)?;
        let is_end = match words.next()? {
            "STATE" => false,
            "END" => true,
            _ => return None,
        };
        let (epoch, sequence) = (parse_epoch(words.next()?)?, words.next()?.parse().ok()?);
        let mut positions = Vec::new();
        while let Some(name) = words.next() {
            let (epoch, received) = (parse_epoch(words.next()?)?, words.next()?.parse().ok()?);
            positions.push(Position { name: name.to_owned(), epoch, received });
        }
        Some(State { is_end, epoch, sequence, positions })
    }
}

fn words(line: &[u8]) -> Option<impl Iterator<Item = &str>> {
    Some(std::str::from_utf8(line).ok()?.strip_suffix('\n')?.split(' '))
}

fn parse_epoch(text: &str) -> Option<Epoch> {
    u64::from_str_radix(text, 16).ok().map(Epoch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_are_written() {
        let mut line = Vec::new();
        let (herd, server) = ("graders".into(), "Riley".into());
        let header = Header { version: 1, herd, server, generation: 7, before: 4711, records: 250 };
        header.write(&mut line);
        assert_eq!(line, b"HERD 1 graders Riley 7 4711 250\n");
        assert_eq!(Header::parse(&line), Some(header));
        for is_end in [false, true] {
            let position = Position { name: "Jaquez".into(), epoch: Epoch(5), received: 99 };
            let positions = vec![position.clone(), position];
            let state = State { is_end, epoch: Epoch(u64::MAX), sequence: 41, positions };
            line.clear();
            state.write(&mut line);
            assert_eq!(State::parse(&line), Some(state));
        }
    }

    #[test]
    fn other_lines_are_no_notes() {
        for line in
            ["", "\n", "STATE\n", "STATE 1\n", "STATE 1 2 A\n", "STATE 1 2 A 3\n", "STATE x 2\n", "END 1 2"]
        {
            assert_eq!(State::parse(line.as_bytes()), None, "{line}");
        }
        for line in ["HERD 1 a b\n", "HERD 1 a b 1 0\n", "HERD x a b 1 0 0\n", "END 1 2\n"] {
            assert_eq!(Header::parse(line.as_bytes()), None, "{line}");
        }
    }
}
