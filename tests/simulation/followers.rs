//! Clients that follow others: their scripts, and what they make of a stream. Whatever is cut, paused or coalesced,
//! a stream ends with what its server knows.

use std::collections::{BTreeMap, VecDeque};

use crate::chance::Chance;
use crate::oracle::Oracle;
use crate::rules::{Lifetimes, Record, Whom, Zone};
use crate::scripts::{Act, Reading, Vocabulary};
use crate::simulation::Simulation;
use crate::world::{MILLISECOND, SECOND, Time};

/// The clients that a stream takes to match.
pub type Known = BTreeMap<Vec<u8>, Record>;

/// A position of a stream, and what was known there.
#[derive(Clone, Debug)]
pub struct Marked {
    pub epoch: Vec<u8>,
    pub sequence: u64,
    pub known: Known,
}

/// A stream, as far as its client has received it.
#[derive(Clone, Debug)]
pub struct Stream {
    pub whom: Whom,
    /// The stream that it resumes. Whether that was possible shows its first MARK.
    from: Option<Marked>,
    known: Known,
    pub marked: Option<(Vec<u8>, u64)>,
}

/// The server of a stream.
pub struct Streamer<'a> {
    pub oracle: &'a Oracle,
    pub server: usize,
    pub incarnation: u32,
    /// What its clock shows.
    pub wall: u64,
}

impl Streamer<'_> {
    /// The statements of a client that the server has stored, in that order. Of those of one turn it has the last.
    fn stored(&self, id: &[u8]) -> impl DoubleEndedIterator<Item = &Record> + ExactSizeIterator {
        let history = self.oracle.records_since(self.server, self.incarnation, id, 0);
        history.iter().map(|(_, record)| record)
    }

    fn is_over(&self, record: &Record) -> bool {
        record.is_over(self.oracle.lifetimes, self.wall)
    }

    /// Whether the server has stored `record` after `known`. Which may replace which, the oracle checks at the store:
    /// an older statement may, after a winner that came between them, was never sent, and ended before `known`.
    fn stored_later(&self, record: &Record, known: &Record) -> bool {
        let first = self.stored(&known.id).position(|stored| stored == known);
        let last = self.stored(&known.id).rposition(|stored| stored == record);
        match (first, last) {
            (Some(first), Some(last)) => first < last,
            // One of them was replaced in its turn.
            _ => record.beats(known) || self.is_over(known),
        }
    }

    /// Whether the server has stored a record that it has sent, or a newer one.
    pub fn has_stored(&self, record: &Record) -> bool {
        if self.oracle.lifetimes.are_short() {
            return self.oracle.has_had(self.server, self.incarnation, record, 0);
        }
        let best = self.oracle.best(self.server, self.incarnation, &record.id);
        best.is_some_and(|best| !record.beats(best))
    }

    /// Whether a statement that a resumed stream had is over, or was replaced by one that is: a server keeps no trace
    /// of either.
    fn has_no_trace(&self, known: &Record) -> bool {
        self.is_over(known) || self.stored(&known.id).next_back().is_some_and(|newest| self.is_over(newest))
    }
}

/// What a line of a stream was.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    Line,
    Mark,
    End,
}

impl Stream {
    pub fn new(whom: Whom, from: Option<Marked>) -> Stream {
        Stream { whom, from, known: Known::new(), marked: None }
    }

    /// What it knows: what it was sent, and what the resumed stream had.
    pub fn knows(&self) -> Known {
        self.known.clone()
    }

    /// Takes a line with its LF.
    pub fn receive(&mut self, line: &[u8], server: &Streamer<'_>) -> Result<Received, String> {
        if line == b"\n" {
            return if self.marked.is_some() { Ok(Received::End) } else { Err("no MARK came before".into()) };
        }
        if let Some(record) = Record::parse(line).filter(|record| !record.is_gone()) {
            if self.whom.zone(&record.id, &record.location) == Zone::Outside {
                return Err("it does not match".into());
            }
            if let Some(known) =
                self.known.get(&record.id).filter(|known| !server.stored_later(&record, known))
            {
                return Err(format!("'{}' was sent before", known.line.escape_ascii()));
            }
            self.known.insert(record.id.clone(), record);
            return Ok(Received::Line);
        }
        let words: Vec<&[u8]> = line.split(|&byte| byte == b' ' || byte == b'\n').collect();
        match words[..] {
            [b"LEFT", id, b""] => {
                let is_area = matches!(self.whom, Whom::Area { .. });
                let was_known = self.known.remove(id).is_some();
                if let Some(from) = &mut self.from {
                    from.known.remove(id);
                }
                if is_area && !was_known { Err("it was never sent".into()) } else { Ok(Received::Line) }
            }
            [b"MARK", epoch, number, b""] => {
                let text = String::from_utf8_lossy(number);
                let sequence: u64 = text.parse().map_err(|_| "it has no number".to_owned())?;
                if self.marked.as_ref().is_some_and(|marked| marked.0 != epoch || marked.1 > sequence) {
                    return Err("MARKs go back".into());
                }
                if let Some(from) = self.from.take()
                    && from.epoch == epoch
                    && from.sequence <= sequence
                {
                    // The server has sent only what is new. What has expired meanwhile is dropped by the client.
                    for (id, record) in from.known {
                        if !server.has_no_trace(&record) {
                            self.known.entry(id).or_insert(record);
                        }
                    }
                }
                self.marked = Some((epoch.to_vec(), sequence));
                Ok(Received::Mark)
            }
            _ => Err("it is no line of a stream".into()),
        }
    }

    /// Why this is not what the server knows; `None`: it is. A statement that has expired within [`LEFT_WITHIN`], or is
    /// about to, may be known or not.
    /// `counts`: whether a client is looked at.
    pub fn difference(
        &self,
        content: &Known,
        lifetimes: Lifetimes,
        wall: u64,
        counts: impl Fn(&[u8]) -> bool,
    ) -> Option<String> {
        let shown = |what: &str, record: &Record| Some(format!("it {what} '{}'", record.line.escape_ascii()));
        for (id, record) in self.known.iter().filter(|(id, _)| counts(id)) {
            let expires = record.is_over(lifetimes, wall) && !record.is_over(lifetimes, wall - LEFT_WITHIN);
            let is_stored = content.get(id) == Some(record) && !record.is_over(lifetimes, wall);
            if !expires && !is_stored {
                return shown("has", record);
            }
        }
        let must_be_known = |record: &Record| {
            !record.is_gone()
                && !record.is_over(lifetimes, wall + LEFT_WITHIN)
                && self.whom.zone(&record.id, &record.location) == Zone::Inside
        };
        let lacks = content
            .values()
            .filter(|record| counts(&record.id))
            .find(|record| must_be_known(record) && !self.known.contains_key(&record.id));
        lacks.and_then(|record| shown("lacks", record))
    }
}

/// The script of a client that follows others.
pub fn script(vocabulary: &Vocabulary, oracle: &Oracle, server: usize, chance: &mut Chance) -> VecDeque<Act> {
    let mut acts = VecDeque::new();
    let streams = chance.between(1, 4);
    for number in 1..=streams {
        if chance.one_in(4) {
            acts.push_back(Act::Read(Reading::Nothing));
        } else if chance.one_in(4) {
            acts.push_back(Act::Read(Reading::Slowly(chance.magnitude(1, 300) as usize)));
        }
        let (whom, text) = whom(vocabulary, chance);
        let mut line = [b"FOLLOW ", &text[..]].concat();
        // A tombstone that is dropped before the stream is resumed leaves no trace.
        let is_remembered = oracle.lifetimes.remember_gone_s == Lifetimes::default().remember_gone_s;
        let is_resumable = is_remembered && !matches!(whom, Whom::Area { .. });
        // Mostly one of the newest positions.
        let marks = oracle.marked(server, &text);
        let newest = marks.len().saturating_sub(1 + chance.magnitude(1, 20) as usize);
        if let Some(marked) = marks.get(newest).filter(|_| is_resumable)
            && chance.one_in(2)
        {
            line.extend_from_slice(b" FROM ");
            line.extend_from_slice(&marked.epoch);
            // A number that is too great makes the server send everything.
            let sequence = if chance.one_in(8) { marked.sequence + (1 << 40) } else { marked.sequence };
            line.extend_from_slice(format!(" {sequence}").as_bytes());
        }
        line.push(b'\n');
        acts.push_back(Act::Send(line));
        if chance.one_in(3) {
            // A list.
            acts.push_back(Act::Send(b"\n".to_vec()));
        }
        acts.push_back(Act::Wait(chance.magnitude(MILLISECOND, 5 * SECOND)));
        acts.push_back(Act::Read(Reading::Everything));
        acts.push_back(Act::Wait(chance.magnitude(MILLISECOND, 2 * SECOND)));
        if number < streams {
            let end = chance.pick(&["\n", " \t\r\n", "FOO\n", "IAMAT kiwi +0-0 5\n"]).as_bytes().to_vec();
            acts.push_back(Act::Send(end));
        }
    }
    match chance.below(4) {
        0 => acts.push_back(Act::Close),
        // A half-close does not end the stream.
        1 => acts.push_back(Act::HalfClose),
        // The stream goes on until all clients are asked to end.
        _ => {}
    }
    acts
}

/// Clients to follow, and the operands that name them.
pub fn whom(vocabulary: &Vocabulary, chance: &mut Chance) -> (Whom, Vec<u8>) {
    let id = chance.pick(&vocabulary.ids).clone();
    let text = match chance.below(6) {
        0 | 1 => b"*".to_vec(),
        2 => id,
        3 => [&id[..chance.index(id.len())], b"*"].concat(),
        4 => b"nobody".to_vec(),
        _ => {
            let radius = chance.pick(&["0", "0.001", "1", "20100", "7000.5"]);
            format!("{} {radius}", chance.pick(&vocabulary.locations)).into_bytes()
        }
    };
    (Whom::parse(&text.split(|&byte| byte == b' ').collect::<Vec<_>>()).expect("valid operands"), text)
}

impl Simulation {
    /// The servers agree, and no report is in flight: each stream must end with what its server knows. Then the
    /// streams end, too.
    pub fn check_streams(&mut self) -> Result<(), String> {
        let now = self.world.borrow().now;
        self.run_until(now + READ_WITHIN)?;
        let web_streams = self.check_web_streams()?;
        let streams = std::mem::take(&mut self.streaming);
        for &number in &streams {
            let world = self.world.borrow();
            if let Some(difference) = self.clients[number].stream_difference(&world, &self.oracle) {
                return Err(format!("client {number}: {difference}"));
            }
        }
        self.streams_go_on = false;
        if streams.is_empty() && !web_streams { Ok(()) } else { self.settle().map(drop) }
    }
}

/// One seed in so many has clients that follow; there, one client in so many does.
pub const FOLLOWERS_ONE_IN: u64 = 3;
/// The longest time from the end of a statement until a client that reads has its LEFT: a pass every second, and the way
/// to the client.
const LEFT_WITHIN: u64 = 10 * SECOND;
/// The time in which a client that reads gets what its stream lacks.
const READ_WITHIN: Time = 40 * SECOND;
