//! A fake Google Places: an HTTP server on loopback with a scripted behaviour for each location.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::lab::{free_port, until};

/// The behaviour for a question.
#[derive(Clone)]
pub enum Play {
    /// Answers with this JSON text.
    Answer(String),
    /// Answers with this JSON text after [`FakePlaces::release`].
    WhenReleased(String),
    /// Closes the connection.
    Drop,
    /// Answers the first question of a connection with this JSON text, and closes the connection on any
    /// further one.
    DropKept(String),
    /// Sends these bytes, then does this to the connection.
    Raw(Vec<u8>, Then),
    /// Sends the first bytes once, then the second bytes for ever.
    Endless(Vec<u8>, Vec<u8>),
    /// Asks once to be asked again at once, then answers with this JSON text.
    BusyOnce(String),
    /// Answers with this JSON text byte by byte, which takes longer than any timeout.
    Trickle(String),
}

/// The state of a connection after an answer.
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
    /// The locations of all questions.
    asked: Vec<String>,
    /// The head of the last request.
    last_head: String,
    released: bool,
    connections: Vec<TcpStream>,
    /// The number of accepted connections.
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
                        // Explicit, because the copy in the script keeps the connection open.
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

    /// Sets the behaviour for questions about this location, in the format of an IAMAT. The default is an
    /// answer without results.
    pub fn on(&self, location: &str, play: Play) {
        self.shared.script.lock().unwrap().plays.insert(as_asked(location), play);
    }

    /// The number of questions about this location.
    pub fn asked(&self, location: &str) -> usize {
        let location = as_asked(location);
        self.shared.script.lock().unwrap().asked.iter().filter(|asked| **asked == location).count()
    }

    /// Whether the last request contains this text.
    pub fn was_sent(&self, text: &str) -> bool {
        self.shared.script.lock().unwrap().last_head.contains(text)
    }

    /// The number of accepted connections.
    pub fn connections(&self) -> usize {
        self.shared.script.lock().unwrap().accepted
    }

    /// Sends all answers that wait for it, now and later.
    pub fn release(&self) {
        self.shared.script.lock().unwrap().released = true;
        self.shared.released.notify_all();
    }

    /// Waits for a question about this location.
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
        // Wakes the accepting thread.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

/// An answer with this number of results, `Place 0` and so on.
pub fn nearby(results: usize) -> String {
    let results: Vec<String> = (0..results).map(|n| format!("{{ \"name\" : \"Place {n}\" }}")).collect();
    format!(
        "{{\n  \"html_attributions\" : [],\n  \"results\" : [{}],\n  \"status\" : \"OK\"\n}}\n",
        results.join(",\n")
    )
}

/// An answer with this number of results in each dialect.
pub fn in_every_dialect(results: usize) -> String {
    let all = |place: &str| vec![place; results].join(",");
    format!(
        r#"{{ "results": [{}], "status": "OK", "places": [{}], "features": [{}] }}"#,
        all(r#"{ "name": "Place" }"#),
        all(r#"{ "displayName": { "text": "Place" }, "location": { "latitude": 1, "longitude": 2 } }"#),
        all(r#"{ "geometry": { "coordinates": [1, 2] }, "properties": { "name": "Place" } }"#)
    )
}

/// Converts `+34.0-118.4` to the format of a question, `34.0,-118.4`.
fn as_asked(location: &str) -> String {
    let second = location.rfind(['+', '-']).unwrap();
    let without_plus = |text: &str| text.trim_start_matches('+').to_owned();
    format!("{},{}", without_plus(&location[..second]), without_plus(&location[second..]))
}

/// An HTTP response with this body.
pub fn response(body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
}

/// Answers the questions of a connection until it ends.
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
            Play::BusyOnce(body) => {
                let location = script.asked.last().cloned().unwrap_or_default();
                script.plays.insert(location, Play::Answer(body));
                let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";
                (busy.as_bytes().to_vec(), Then::Keep)
            }
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

/// Reads a request in any dialect. Returns it and the location in it.
fn read_question(mut stream: &TcpStream) -> Option<(String, String)> {
    let mut received = String::new();
    loop {
        if let Some((head, body)) = received.split_once("\r\n\r\n") {
            let length = head
                .split_once("Content-Length: ")
                .map_or(0, |(_, rest)| rest.lines().next().unwrap().parse::<usize>().unwrap());
            if body.len() == length {
                break;
            }
        }
        let mut bytes = [0; 4096];
        let length = stream.read(&mut bytes).ok().filter(|&length| length > 0)?;
        received.push_str(str::from_utf8(&bytes[..length]).unwrap());
    }
    let value = |name: &str| {
        let (_, value) = received.split_once(name)?;
        Some(value.split(['&', ' ', '}']).next()?.to_owned())
    };
    let location = match value("location=") {
        Some(location) => location.replace("%2C", ","),
        None => match value("lat=") {
            Some(latitude) => format!("{latitude},{}", value("lon=").unwrap()),
            None => value("\"latitude\":").unwrap().replace("\"longitude\":", ""),
        },
    };
    Some((received, location))
}

/// Drops the script's copy of a connection, so that it is reset when its thread drops it.
fn forget(shared: &Shared, stream: &TcpStream) {
    SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    let other_side = stream.peer_addr().ok();
    shared.script.lock().unwrap().connections.retain(|copy| copy.peer_addr().ok() != other_side);
}

/// The delay between two bytes.
const TRICKLE: Duration = Duration::from_millis(30);
