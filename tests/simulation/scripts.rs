//! The random scripts of clients.

use std::collections::VecDeque;

use crate::chance::Chance;
use crate::world::{MILLISECOND, SECOND, Time, WALL_AT_START};

/// One act of a client.
#[derive(Clone, Debug)]
pub enum Act {
    Send(Vec<u8>),
    Wait(Time),
    /// The server carries out the line that has begun after this time without input.
    EndBySilence(Time),
    HalfClose,
    Read(Reading),
    /// Closes the connection, although replies may be pending.
    Close,
}

/// The reading of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    Nothing,
    /// So many bytes at a time.
    Slowly(usize),
    Everything,
}

/// The words of which commands are made.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    pub ids: Vec<Vec<u8>>,
    pub locations: Vec<&'static str>,
    /// The number of different times: few, so that there are ties.
    pub times: u64,
    pub max_line: usize,
    /// One command in so many is a WHATSAT.
    pub questions_one_in: u64,
    /// One of the other commands in so many is a NEAR.
    pub near_one_in: u64,
    /// One command in so many is invalid.
    pub garbage_one_in: u64,
}

impl Vocabulary {
    /// The script of a client.
    pub fn script(&self, chance: &mut Chance) -> VecDeque<Act> {
        let mut acts = VecDeque::new();
        let commands = chance.magnitude(1, 60);
        let pipelines = chance.one_in(2);
        let patience = chance.magnitude(MILLISECOND, 2 * SECOND);
        if chance.one_in(12) {
            acts.push_back(Act::Send(self.false_hello(chance)));
        }
        if chance.one_in(5) {
            let slowly = Reading::Slowly(chance.magnitude(1, 500) as usize);
            acts.push_back(Act::Read(if chance.one_in(2) { Reading::Nothing } else { slowly }));
        }
        for _ in 0..commands {
            let command = self.command(chance);
            if chance.one_in(15) {
                // The line is sent in two parts.
                let (half, rest) = command.split_at(chance.index(command.len()));
                acts.push_back(Act::Send(half.to_vec()));
                acts.push_back(Act::Wait(chance.below(patience)));
                acts.push_back(Act::Send(rest.to_vec()));
            } else {
                acts.push_back(Act::Send(command));
            }
            if !pipelines || chance.one_in(20) {
                acts.push_back(Act::Wait(chance.below(patience)));
            }
            if chance.one_in(60) {
                acts.push_back(Act::Read(Reading::Everything));
            }
        }
        match chance.below(6) {
            0 => acts.push_back(Act::Close),
            1 => {
                // The end of input ends the last line.
                let mut last = self.command(chance);
                last.pop();
                acts.push_back(Act::Send(last));
                acts.push_back(Act::HalfClose);
            }
            _ => acts.push_back(Act::HalfClose),
        }
        acts
    }

    fn command(&self, chance: &mut Chance) -> Vec<u8> {
        let id = chance.pick(&self.ids).clone();
        let location = chance.pick(&self.locations).to_string().into_bytes();
        let mut words = if chance.one_in(self.questions_one_in) {
            let radius = chance.pick(&RADII[..USUAL_RADII]).0.as_bytes().to_vec();
            let bound = chance.pick(&["0", "1", "2", "5", "20", "020"]).as_bytes().to_vec();
            vec![b"WHATSAT".to_vec(), id, radius, bound]
        } else if chance.one_in(self.near_one_in) {
            let centre = if chance.one_in(2) { id } else { location };
            let radius = chance.pick(&NEAR_RADII).as_bytes().to_vec();
            let bound = chance.pick(&["0", "1", "2", "3", "9", "1000", "0020"]).as_bytes().to_vec();
            vec![b"NEAR".to_vec(), centre, radius, bound]
        } else {
            vec![b"IAMAT".to_vec(), id, location, self.time(chance)]
        };
        if chance.one_in(self.garbage_one_in) {
            match chance.below(12) {
                0 => drop(words.pop()),
                1 => words.push(b"more".to_vec()),
                2 => words[0].make_ascii_lowercase(),
                3 => return b" \t\r\n".to_vec(),
                4 => words = vec![b"GET".to_vec(), b"/".to_vec(), b"HTTP/1.1".to_vec()],
                5 => words = vec![vec![b'x'; self.max_line - 2 + chance.below(40) as usize]],
                6 => words = vec![b"AT Riley +0.000000000 kiwi +1-1 5".to_vec()],
                7 => words[2] = chance.pick(&BAD_LOCATIONS).as_bytes().to_vec(),
                8 => words[3] = chance.pick(&BAD_TIMES).as_bytes().to_vec(),
                9 => words = vec![(0..chance.below(30)).map(|_| chance.number() as u8 | 0x80).collect()],
                10 => words = vec![b"HELLO".to_vec(), b"there".to_vec()],
                _ => words[1] = b"nobody".to_vec(),
            }
            if words.len() == 4 && words[0] == b"IAMAT" && words[1] == b"nobody" {
                words.pop();
            }
        }
        let mut line = Vec::new();
        for (number, word) in words.iter().enumerate() {
            if number > 0 {
                line.extend_from_slice(if chance.one_in(10) { b" \t\x0b\x0c " } else { b" " });
            }
            line.extend_from_slice(word);
        }
        line.extend_from_slice(if chance.one_in(4) { b"\r\n" } else { b"\n" });
        line
    }

    pub fn time(&self, chance: &mut Chance) -> Vec<u8> {
        let seconds = WALL_AT_START / SECOND + chance.below(self.times);
        // The same time may be written in several ways.
        let fraction = chance.pick(&["", "", ".0", ".000000000", ".5", ".959498503"]);
        format!("{seconds}{fraction}").into_bytes()
    }

    /// A HELLO that must be refused, and a statement after it that must not be stored.
    fn false_hello(&self, chance: &mut Chance) -> Vec<u8> {
        let hello = chance.pick(&[
            "HELLO herd/1 strangers Riley 0123456789abcdef",
            "HELLO herd/2 simulated Riley 0123456789abcdef",
            "HELLO herd/1 simulated nobody 0123456789abcdef",
            "HELLO herd/1 simulated",
        ]);
        format!("{hello}\nAT Riley +0.000000000 forged +1-1 9\n").into_bytes()
    }
}

/// More input than a server reads in one turn, with few replies: blank lines, or one over-long line.
pub fn burst(chance: &mut Chance) -> Vec<u8> {
    let length = chance.between(BURST_MIN, 2 * BURST_MIN) as usize;
    let byte = *chance.pick(b"\nx");
    let mut burst = vec![byte; length];
    burst.push(b'\n');
    burst
}

/// The radius in metres for Places, of a radius in kilometres.
pub fn metres(radius: &[u8]) -> Option<&'static str> {
    RADII.iter().find(|(kilometres, ..)| kilometres.as_bytes() == radius).map(|(_, metres, _)| *metres)
}

/// The radius in kilometres for Places, without needless zeros.
pub fn kilometres(radius: &[u8]) -> Option<&'static str> {
    RADII.iter().find(|(text, ..)| text.as_bytes() == radius).map(|(.., kilometres)| *kilometres)
}

/// Bytes that a server reads from one connection in one turn.
const BURST_MIN: u64 = 64 * 1024;
/// Radii in kilometres, the same in metres, and in kilometres without needless zeros.
pub const RADII: [(&str, &str, &str); 9] = [
    ("10", "10000", "10"),
    ("0", "0", "0"),
    ("1.25", "1250", "1.25"),
    ("0.0005", "0.5", "0.0005"),
    ("50.000", "50000", "50"),
    ("007", "7000", "7"),
    ("0.0", "0", "0"),
    ("2", "2000", "2"),
    ("3.5", "3500", "3.5"),
];
/// Those of them that random scripts have.
pub const USUAL_RADII: usize = 7;
/// Radii in kilometres of NEAR: nothing, the distance of two of the locations, any distance.
pub const NEAR_RADII: [&str; 7] = ["0", "0.000", "0.1", "1", "8000.5", "20015.2", "20100"];
const BAD_LOCATIONS: [&str; 7] =
    ["+91-118", "+34-180.1", "34-118", "+34.-118", "+34-118/", "+-", "+34,1-118"];
const BAD_TIMES: [&str; 6] = ["1e9", "-5", "99999999999", "1621464827.", "1.1234567890", "nan"];
