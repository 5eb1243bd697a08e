//! The simulated Places: it answers over HTTP/1.1, quickly, slowly, not at all, or with invalid responses.

use std::collections::{BTreeMap, VecDeque};

use crate::chance::Chance;
use crate::connection::Side;
use crate::world::{Happening, MILLISECOND, SECOND, Time, World};

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
}

pub struct PlacesActor {
    pub behaviour: Behaviour,
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
    pub fn new() -> PlacesActor {
        PlacesActor { behaviour: Behaviour::Fast, exchanges: BTreeMap::new() }
    }

    /// Accepts the connections in the backlog.
    pub fn accept(&mut self, world: &mut World) {
        while let Ok((connection, _)) = world.accept(world.places()) {
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
        while let Some(end) = find(&exchange.input, b"\r\n\r\n") {
            let head: Vec<u8> = exchange.input.drain(..end + 4).collect();
            let port = world.connections[connection].port;
            let Some(target) = target_of(&head, port) else {
                let head = String::from_utf8_lossy(&head).into_owned();
                return world.violate(|| format!("Places at port {port} received the request {head:?}"));
            };
            let behaviour = self.behaviour;
            let is_first = !std::mem::replace(&mut exchange.was_used, true);
            let response = response(&mut world.chance, behaviour, &target, is_first);
            world.print(|| format!("Places is asked {target} and is {behaviour:?}"));
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

/// The target of a request that is valid and meant for this port.
fn target_of(head: &[u8], port: u16) -> Option<String> {
    let head = String::from_utf8_lossy(head);
    let host_end = format!(":{port}");
    let has_host = head.lines().any(|line| line.starts_with("Host: ") && line.ends_with(&host_end));
    let target = head.lines().next()?.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    has_host.then(|| target.to_owned())
}

/// The response to a request: the delay, the bytes, and whether the connection is closed after them.
fn response(
    chance: &mut Chance,
    behaviour: Behaviour,
    target: &str,
    is_first: bool,
) -> Option<(Time, Vec<u8>, bool)> {
    // An answer must not repeat the key.
    let body = Answer::to(target.strip_suffix(KEY_SENT).unwrap_or("without the key")).body;
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
        Behaviour::Patient => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n";
            Some((chance.below(20 * MILLISECOND), chunked(chance, head, &body), false))
        }
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

/// The end of each target.
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

/// The answer to a question. It is derived from the target, so that a client knows which one to expect.
pub struct Answer {
    before: String,
    results: Vec<String>,
    after: String,
    body: Vec<u8>,
}

impl Answer {
    pub fn to(target: &str) -> Answer {
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
        Answer { before, results, after, body }
    }

    /// The answer that a client receives with so many results.
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
