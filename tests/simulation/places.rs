//! The simulated Places: it answers over HTTP/1.1 in its dialect, quickly, slowly, not at all, or with invalid
//! responses.

use std::collections::{BTreeMap, VecDeque};

use herd::places::dialect::Dialect;

use crate::chance::Chance;
use crate::connection::Side;
use crate::services::{Answer, Asked};
use crate::world::{Happening, MILLISECOND, Port, SECOND, Time, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    Fast,
    Slow,
    /// It accepts questions and never answers.
    Silent,
    /// It sends invalid responses.
    Invalid,
    /// It answers, and leaves it to its clients to close their connections.
    Patient,
    /// The same, a second late.
    Late,
    /// It says that it is broken.
    Broken,
    /// It wants to be asked once more, a second later.
    Busy,
}

pub struct PlacesActor {
    pub behaviour: Behaviour,
    /// The number of questions so far.
    pub asked: usize,
    dialect: Dialect,
    exchanges: BTreeMap<usize, Exchange>,
}

/// One accepted connection.
#[derive(Default)]
struct Exchange {
    input: Vec<u8>,
    output: VecDeque<u8>,
    /// Responses that are sent later: when, the bytes, and whether the connection is closed after them.
    responses: VecDeque<(Time, Vec<u8>, bool)>,
    is_closing: bool,
    /// It has had a question.
    was_used: bool,
}

impl PlacesActor {
    pub fn new(dialect: Dialect) -> PlacesActor {
        PlacesActor { behaviour: Behaviour::Fast, asked: 0, dialect, exchanges: BTreeMap::new() }
    }

    /// Accepts the connections in the backlog.
    pub fn accept(&mut self, world: &mut World) {
        while let Ok((connection, _)) = world.accept(world.places(), Port::Lines) {
            self.exchanges.insert(connection, Exchange::default());
            self.step(world, connection);
        }
    }

    /// Continues with a connection: something has arrived, or a response is due.
    pub fn step(&mut self, world: &mut World, connection: usize) {
        let Some(exchange) = self.exchanges.get_mut(&connection) else {
            return;
        };
        let mut buffer = [0; 4096];
        let mut is_over;
        loop {
            match world.read(connection, Side::Acceptor, &mut buffer) {
                Ok(0) => is_over = self.behaviour != Behaviour::Patient,
                Ok(length) => {
                    exchange.input.extend_from_slice(&buffer[..length]);
                    continue;
                }
                Err(error) => is_over = error.kind() != std::io::ErrorKind::WouldBlock,
            }
            break;
        }
        while let Some((head, body)) = take_request(&mut exchange.input) {
            let port = world.connections[connection].port;
            let Some(asked) = Asked::of_request(self.dialect, &head, &body, port) else {
                return world.violate(|| format!("Places at port {port} received {head:?} and {body:?}"));
            };
            self.asked += 1;
            let behaviour = self.behaviour;
            let is_first = !std::mem::replace(&mut exchange.was_used, true);
            let response = response(&mut world.chance, behaviour, self.dialect, &asked, is_first);
            world.print(|| format!("Places is asked {asked:?} and is {behaviour:?}"));
            if let Some((delay, bytes, closes)) = response {
                let at = world.now + delay;
                exchange.responses.push_back((at, bytes, closes));
                world.schedule(at, Happening::PlacesActs { connection });
            }
        }
        while exchange.responses.front().is_some_and(|response| response.0 <= world.now) {
            if let Some((_, bytes, closes)) = exchange.responses.pop_front() {
                exchange.output.extend(bytes);
                exchange.is_closing |= closes;
            }
        }
        while !exchange.output.is_empty() {
            match world.write(connection, Side::Acceptor, exchange.output.make_contiguous()) {
                Ok(sent) => drop(exchange.output.drain(..sent)),
                Err(error) => {
                    is_over |= error.kind() != std::io::ErrorKind::WouldBlock;
                    break;
                }
            }
        }
        if is_over || exchange.is_closing && exchange.output.is_empty() {
            self.exchanges.remove(&connection);
            world.close(connection, Side::Acceptor);
        }
    }
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|part| part == pattern)
}

/// Takes a request that has arrived: its head, and its body.
fn take_request(input: &mut Vec<u8>) -> Option<(String, String)> {
    let body_at = find(input, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&input[..body_at]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let end = body_at + length.and_then(|length| length.parse().ok()).unwrap_or(0);
    let body = String::from_utf8_lossy(input.get(body_at..end)?).into_owned();
    input.drain(..end);
    Some((head, body))
}

/// The response to a request: the delay, the bytes, and whether the connection is closed after them.
fn response(
    chance: &mut Chance,
    behaviour: Behaviour,
    dialect: Dialect,
    asked: &Asked,
    is_first: bool,
) -> Option<(Time, Vec<u8>, bool)> {
    let body = Answer::to(dialect, asked).body;
    let valid = |chance: &mut Chance| {
        let closes = chance.one_in(4);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n";
        let bytes = match chance.below(3) {
            0 if closes => [format!("{head}Connection: close\r\n\r\n").as_bytes(), &body].concat(),
            0 | 1 => [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat(),
            _ => chunked(chance, head, &body),
        };
        (bytes, closes)
    };
    match behaviour {
        Behaviour::Fast => {
            // A web server may close an idle connection at any time.
            if !is_first && chance.one_in(6) {
                return Some((0, Vec::new(), true));
            }
            let (bytes, closes) = valid(chance);
            Some((chance.below(20 * MILLISECOND), bytes, closes))
        }
        Behaviour::Patient | Behaviour::Late => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n";
            let delay = if behaviour == Behaviour::Late { SECOND } else { chance.below(20 * MILLISECOND) };
            Some((delay, chunked(chance, head, &body), false))
        }
        Behaviour::Busy => {
            let bytes = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
            Some((0, bytes.to_vec(), false))
        }
        Behaviour::Broken => Some((0, b"HTTP/1.1 502 Oh\r\nContent-Length: 0\r\n\r\n".to_vec(), false)),
        Behaviour::Slow => {
            let (bytes, closes) = valid(chance);
            Some((chance.below(8 * SECOND), bytes, closes))
        }
        Behaviour::Silent => None,
        Behaviour::Invalid => {
            let (mut bytes, mut closes) = valid(chance);
            match chance.below(10) {
                9 => {
                    let after = chance.below(4);
                    let head =
                        format!("HTTP/1.1 503 Busy\r\nRetry-After: {after}\r\nContent-Length: 0\r\n\r\n");
                    bytes = head.into_bytes();
                }
                0 => bytes = b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\n{}".to_vec(),
                1 => {
                    bytes = b"HTTP/1.1 302 There\r\nLocation: http://x/\r\nContent-Length: 0\r\n\r\n".to_vec()
                }
                2 => {
                    bytes.truncate(chance.index(bytes.len()));
                    closes = true;
                }
                3 => bytes = b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
                // No dialect has an answer like that.
                4 => bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"places\":7}".to_vec(),
                5 => bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n{".to_vec(),
                6 => bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec(),
                7 => bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"results\":[\xff}".to_vec(),
                _ => bytes = vec![b'x'; 20_000],
            }
            Some((chance.below(SECOND), bytes, closes))
        }
    }
}

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
