//! Places as an actor: it answers over HTTP/1.1, quickly or slowly, or lies.

use std::collections::{BTreeMap, VecDeque};

use crate::chance::Chance;
use crate::connection::Side;
use crate::world::{Happening, MILLISECOND, SECOND, Time, World};

/// How Places behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    Fast,
    Slow,
    /// It takes questions and never answers.
    Silent,
    Lying,
}

pub struct PlacesActor {
    pub mood: Mood,
    talks: BTreeMap<usize, Talk>,
}

/// One accepted connection.
#[derive(Default)]
struct Talk {
    input: Vec<u8>,
    output: VecDeque<u8>,
    /// What is sent later, at which time, and whether the connection is closed after it.
    answers: VecDeque<(Time, Vec<u8>, bool)>,
    is_closing: bool,
    is_kept: bool,
}

impl PlacesActor {
    pub fn new() -> PlacesActor {
        PlacesActor { mood: Mood::Fast, talks: BTreeMap::new() }
    }

    /// Takes the connections that wait.
    pub fn accept(&mut self, world: &mut World) {
        while let Ok((connection, _)) = world.accept(world.places()) {
            self.talks.insert(connection, Talk::default());
            self.step(world, connection);
        }
    }

    /// Something happened on this connection, or an answer is due.
    pub fn step(&mut self, world: &mut World, connection: usize) {
        let Some(talk) = self.talks.get_mut(&connection) else {
            return;
        };
        let mut buffer = [0; 4096];
        let mut is_over;
        loop {
            match world.read(connection, Side::Acceptor, &mut buffer) {
                Ok(0) => is_over = true,
                Ok(length) => {
                    talk.input.extend_from_slice(&buffer[..length]);
                    continue;
                }
                Err(error) => is_over = error.kind() != std::io::ErrorKind::WouldBlock,
            }
            break;
        }
        while let Some(end) = find(&talk.input, b"\r\n\r\n") {
            let head: Vec<u8> = talk.input.drain(..end + 4).collect();
            let target = target_of(&head);
            let mood = self.mood;
            let is_first = !std::mem::replace(&mut talk.is_kept, true);
            let answer = answer(&mut world.chance, mood, &target, is_first);
            world.say(|| format!("Places is asked {target} and is {mood:?}"));
            if let Some((delay, bytes, closes)) = answer {
                let at = world.now + delay;
                talk.answers.push_back((at, bytes, closes));
                world.schedule(at, Happening::PlacesActs { connection });
            }
        }
        while talk.answers.front().is_some_and(|answer| answer.0 <= world.now) {
            if let Some((_, bytes, closes)) = talk.answers.pop_front() {
                talk.output.extend(bytes);
                talk.is_closing |= closes;
            }
        }
        while !talk.output.is_empty() {
            match world.write(connection, Side::Acceptor, talk.output.make_contiguous()) {
                Ok(sent) => drop(talk.output.drain(..sent)),
                Err(error) => {
                    is_over |= error.kind() != std::io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        if is_over || talk.is_closing && talk.output.is_empty() {
            self.talks.remove(&connection);
            world.close(connection, Side::Acceptor);
        }
    }
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

fn target_of(head: &[u8]) -> String {
    let head = String::from_utf8_lossy(head);
    let first = head.lines().next().unwrap_or("");
    let has_host = head.lines().any(|line| line.starts_with("Host: "));
    match first.strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1")) {
        Some(target) if has_host => target.to_owned(),
        _ => format!("bad request {first}"),
    }
}

/// When which bytes are sent, and whether the connection is closed after them.
fn answer(chance: &mut Chance, mood: Mood, target: &str, is_first: bool) -> Option<(Time, Vec<u8>, bool)> {
    // An answer must not repeat the key.
    let body = Near::to(target.strip_suffix(KEY_SENT).unwrap_or("without the key")).body;
    let good = |chance: &mut Chance| {
        let closes = chance.one_in(4);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n";
        let bytes = match chance.below(3) {
            0 if closes => [format!("{head}Connection: close\r\n\r\n").as_bytes(), &body].concat(),
            0 | 1 => [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat(),
            _ => chunked(chance, head, &body),
        };
        (bytes, closes)
    };
    match mood {
        Mood::Fast => {
            // A web server may close a connection that it kept at any time.
            if !is_first && chance.one_in(6) {
                return Some((0, Vec::new(), true));
            }
            let (bytes, closes) = good(chance);
            Some((chance.below(20 * MILLISECOND), bytes, closes))
        }
        Mood::Slow => {
            let (bytes, closes) = good(chance);
            Some((chance.below(8 * SECOND), bytes, closes))
        }
        Mood::Silent => None,
        Mood::Lying => {
            let (mut bytes, mut closes) = good(chance);
            match chance.below(9) {
                0 => bytes = b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
                1 => {
                    bytes = b"HTTP/1.1 302 There\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n".to_vec()
                }
                2 => {
                    bytes.truncate(chance.index(bytes.len()));
                    closes = true;
                }
                3 => bytes = b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
                4 => bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"resul\":[]}".to_vec(),
                5 => bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{".to_vec(),
                6 => bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
                7 => bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"results\":[\xff}".to_vec(),
                _ => bytes = vec![b'x'; 20_000],
            }
            Some((chance.below(SECOND), bytes, closes))
        }
    }
}

/// What a question ends with.
const KEY_SENT: &str = "&key=se%20cret%26key";

fn chunked(chance: &mut Chance, head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    let size = chance.between(1, 100) as usize;
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// What is near a place: made from what was asked, so that a client knows what it has to get.
pub struct Near {
    before: String,
    results: Vec<String>,
    after: String,
    body: Vec<u8>,
}

impl Near {
    pub fn to(target: &str) -> Near {
        let mut chance = Chance::new(
            target
                .bytes()
                .fold(7, |sum: u64, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)),
        );
        let newlines = |chance: &mut Chance| "\n".repeat(chance.below(4) as usize);
        let padding = ["", "\n\n", " \n\t", "\r\n"];
        let before = format!(
            "{{{}\"html_attributions\":[],{}\"asked\":\"{target}\",\"results\" : [",
            newlines(&mut chance),
            newlines(&mut chance)
        );
        let count = *chance.pick(&[0, 1, 2, 5, 20, 20]);
        let results: Vec<String> = (0..count)
            .map(|number| {
                let comma = if number > 0 { "," } else { "" };
                let gap = newlines(&mut chance);
                format!("{comma}{gap} {{\"name\":\"] {number}é\\u00e9\",\"rating\":4.{number}0}}")
            })
            .collect();
        let after = format!("{}],{}\"status\":\"OK\"}}", newlines(&mut chance), newlines(&mut chance));
        let (first, last) = (*chance.pick(&padding), *chance.pick(&padding));
        let body = format!("{first}{before}{}{after}{last}", results.concat()).into_bytes();
        Near { before, results, after, body }
    }

    /// What a client gets that wants so many.
    pub fn cut(&self, bound: usize) -> Vec<u8> {
        let kept = self.results.iter().take(bound).map(String::as_str).collect::<String>();
        let whole = format!("{}{kept}{}", self.before, self.after);
        let mut text = Vec::new();
        for byte in whole.bytes() {
            if byte != b'\n' || text.last() != Some(&b'\n') {
                text.push(byte);
            }
        }
        text
    }
}
