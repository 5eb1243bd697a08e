//! Google Places as a test wants it: an HTTP server on loopback with a script for each location.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::lab::{free_port, until};

/// What is done with a question.
#[derive(Clone)]
pub enum Play {
    /// It is answered with this JSON text.
    Answer(String),
    /// So it is, but not before [`FakePlaces::release`]; until then it hangs.
    WhenReleased(String),
    /// The connection is closed instead.
    Drop,
    /// So it is if it was asked before. On a new one this JSON text answers.
    DropKept(String),
    /// It is answered with these bytes, then this happens.
    Raw(Vec<u8>, Then),
    /// It is answered with these bytes, and then with those again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// It is answered with this JSON text, byte by byte, which takes longer than anybody waits.
    Trickle(String),
}

/// What happens to a connection after an answer.
#[derive(Clone, Copy)]
pub enum Then {
    Keep,
    Close,
    Reset,
}

pub struct FakePlaces {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<Script>,
    released: Condvar,
    ending: AtomicBool,
}

#[derive(Default)]
struct Script {
    plays: HashMap<String, Play>,
    /// The locations that were asked about.
    asked: Vec<String>,
    /// The head of the last request, as it came.
    last_head: String,
    released: bool,
    connections: Vec<TcpStream>,
    /// How many connections there have been.
    accepted: usize,
}

impl FakePlaces {
    pub fn start() -> FakePlaces {
        let port = free_port();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.ending.load(Ordering::SeqCst) {
                    return;
                }
                let (stream, shared) = (stream.unwrap(), Arc::clone(&of_thread));
                let mut script = shared.script.lock().unwrap();
                script.connections.push(stream.try_clone().unwrap());
                script.accepted += 1;
                drop(script);
                thread::spawn(move || {
                    let end = serve(&shared, &stream);
                    if !matches!(end, Then::Reset) {
                        // The copy that is kept would hold the connection open.
                        let _ = stream.shutdown(Shutdown::Both);
                    }
                });
            }
        });
        FakePlaces { port, shared }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What to do when this location (as an IAMAT has it) is asked about. Others are answered at once
    /// with no results.
    pub fn on(&self, location: &str, play: Play) {
        self.shared.script.lock().unwrap().plays.insert(as_asked(location), play);
    }

    /// How often this location was asked about.
    pub fn asked(&self, location: &str) -> usize {
        let location = as_asked(location);
        self.shared.script.lock().unwrap().asked.iter().filter(|asked| **asked == location).count()
    }

    /// Whether this text stood in the last request.
    pub fn was_sent(&self, text: &str) -> bool {
        self.shared.script.lock().unwrap().last_head.contains(text)
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.script.lock().unwrap().accepted
    }

    /// Lets answers go that wait for it, now and later.
    pub fn release(&self) {
        self.shared.script.lock().unwrap().released = true;
        self.shared.released.notify_all();
    }

    /// Waits until this location was asked about.
    pub fn await_question(&self, location: &str) {
        let location = as_asked(location);
        until("Places is asked", || self.shared.script.lock().unwrap().asked.contains(&location));
    }
}

impl Drop for FakePlaces {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::SeqCst);
        if let Ok(mut script) = self.shared.script.lock() {
            script.released = true;
            for connection in &script.connections {
                let _ = connection.shutdown(Shutdown::Both);
            }
        }
        self.shared.released.notify_all();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// An answer with so many results, `Place 0` and so on.
pub fn nearby(results: usize) -> String {
    let results: Vec<String> = (0..results).map(|n| format!("{{ \"name\" : \"Place {n}\" }}")).collect();
    format!(
        "{{\n  \"html_attributions\" : [],\n  \"results\" : [{}],\n  \"status\" : \"OK\"\n}}\n",
        results.join(",\n")
    )
}

/// `+34.0-118.4` as the question has it: `34.0,-118.4`.
fn as_asked(location: &str) -> String {
    let second = location.rfind(['+', '-']).unwrap();
    let without_plus = |text: &str| text.trim_start_matches('+').to_owned();
    format!("{},{}", without_plus(&location[..second]), without_plus(&location[second..]))
}

/// The whole response with this body.
pub fn response(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Answers one question after the other until the connection ends.
fn serve(shared: &Shared, mut stream: &TcpStream) -> Then {
    let mut questions = 0;
    while let Some((head, location)) = read_question(stream) {
        questions += 1;
        let mut script = shared.script.lock().unwrap();
        script.last_head = head;
        let play = script.plays.get(&location).cloned().unwrap_or_else(|| Play::Answer(nearby(0)));
        script.asked.push(location);
        let (answer, then) = match play {
            Play::Answer(body) => (response(&body).into_bytes(), Then::Keep),
            Play::WhenReleased(body) => {
                while !script.released {
                    script = shared.released.wait(script).unwrap();
                }
                (response(&body).into_bytes(), Then::Keep)
            }
            Play::DropKept(body) if questions == 1 => (response(&body).into_bytes(), Then::Keep),
            Play::Drop | Play::DropKept(_) => return Then::Close,
            Play::Raw(bytes, then) => (bytes, then),
            Play::Endless(head, piece) => {
                drop(script);
                let mut sent = stream.write_all(&head);
                while sent.is_ok() {
                    sent = stream.write_all(&piece);
                }
                return Then::Close;
            }
            Play::Trickle(body) => {
                drop(script);
                let mut bytes = response(&body).into_bytes().into_iter();
                while bytes.next().is_some_and(|byte| stream.write_all(&[byte]).is_ok()) {
                    thread::sleep(TRICKLE);
                }
                return Then::Close;
            }
        };
        drop(script);
        if stream.write_all(&answer).is_err() {
            return Then::Close;
        }
        match then {
            Then::Keep => {}
            Then::Close => return then,
            Then::Reset => {
                forget(shared, stream);
                return then;
            }
        }
    }
    Then::Close
}

/// Reads the head of a request. Gives it, and the location that it asks about.
fn read_question(mut stream: &TcpStream) -> Option<(String, String)> {
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).ok().filter(|&length| length > 0)?;
        received.extend_from_slice(&bytes[..length]);
    }
    let head = String::from_utf8(received).unwrap();
    let (_, location) = head.split_once("location=").unwrap();
    let location = location.split(['&', ' ']).next().unwrap().replace("%2C", ",");
    Some((head, location))
}

/// Leaves the connection to its thread alone, so that it is reset when that lets go of it.
fn forget(shared: &Shared, stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    let other_side = stream.peer_addr().ok();
    shared.script.lock().unwrap().connections.retain(|copy| copy.peer_addr().ok() != other_side);
}

/// Between two bytes.
const TRICKLE: Duration = Duration::from_millis(30);
