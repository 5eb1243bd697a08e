//! Google Places as a test wants it: an HTTP server on loopback with a script for each location.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

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
    released: bool,
    connections: Vec<TcpStream>,
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
                shared.script.lock().unwrap().connections.push(stream.try_clone().unwrap());
                thread::spawn(move || {
                    serve(&shared, &stream);
                    // The copy that is kept would hold the connection open.
                    let _ = stream.shutdown(Shutdown::Both);
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

/// Answers one question after the other until the connection ends.
fn serve(shared: &Shared, mut stream: &TcpStream) {
    let mut received = Vec::new();
    loop {
        let head_end = loop {
            if let Some(end) = received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break end + 4;
            }
            let mut bytes = [0; 4096];
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(length) => received.extend_from_slice(&bytes[..length]),
            }
        };
        let head = String::from_utf8(received.drain(..head_end).collect()).unwrap();
        let (_, location) = head.split_once("location=").unwrap();
        let location = location.split(['&', ' ']).next().unwrap().replace("%2C", ",");
        let mut script = shared.script.lock().unwrap();
        let play = script.plays.get(&location).cloned().unwrap_or_else(|| Play::Answer(nearby(0)));
        script.asked.push(location);
        let body = match play {
            Play::Answer(body) => body,
            Play::WhenReleased(body) => {
                while !script.released {
                    script = shared.released.wait(script).unwrap();
                }
                body
            }
            Play::Drop => return,
        };
        drop(script);
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
