//! A fake Google Places that takes little processor time: it gives the same answer to each question.
//!
//! The first segment of the path selects the behaviour: `/kept` keeps the connection open, `/closed` closes it after
//! each answer, `/late` answers after 5 ms, `/later` after a second, `/lying` sends no JSON, `/hanging` never answers.
//! `/count` returns the number of questions, `/connections` those of TLS connections, and of resumed ones among them.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::ServerConfig;
use slab::Slab;

use crate::wire::{Keys, Wire};

struct Connection {
    stream: Wire<TcpStream>,
    is_secured: bool,
    input: Vec<u8>,
    /// The number of the question that is answered later, of all questions.
    pending: u64,
}

/// What the fake has counted.
#[derive(Default)]
struct Counts {
    questions: u64,
    connections: u64,
    resumed: u64,
}

/// The answers that are due later. Each delay has a thread, since a poll sleeps for whole milliseconds only.
struct Later {
    delays: Vec<(Duration, Sender<Question>)>,
    due: Receiver<(usize, u64)>,
}

/// When it is due, the token of its connection, and its number on it.
type Question = (Instant, usize, u64);

impl Later {
    fn new(poll: &Poll) -> io::Result<Later> {
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let (sender, due) = channel();
        let delays = [LATE, LATER].map(|delay| {
            let (questions, pending) = channel::<Question>();
            let (sender, waker) = (sender.clone(), waker.clone());
            thread::spawn(move || {
                for (at, token, number) in pending {
                    thread::sleep(at.saturating_duration_since(Instant::now()));
                    if sender.send((token, number)).is_err() || waker.wake().is_err() {
                        return;
                    }
                }
            });
            (delay, questions)
        });
        Ok(Later { delays: delays.into(), due })
    }

    fn answer_in(&self, delay: Duration, token: usize, number: u64) {
        if let Some((_, questions)) = self.delays.iter().find(|(known, _)| *known == delay) {
            let _ = questions.send((Instant::now() + delay, token, number));
        }
    }
}

/// Serves until it is killed. `secured`: also over TLS at this address, with the keys of the server `Places` in the folder.
pub fn serve(address: SocketAddr, secured: Option<(SocketAddr, &Path)>) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listeners: Vec<(TcpListener, Option<Arc<ServerConfig>>)> =
        vec![(TcpListener::bind(address)?, None)];
    if let Some((address, folder)) = secured {
        let config = Keys::in_folder(folder).accepting("Places")?;
        listeners.push((TcpListener::bind(address)?, Some(config)));
    }
    for (number, (listener, _)) in listeners.iter_mut().enumerate() {
        poll.registry().register(listener, Token(LISTENERS + number), Interest::READABLE)?;
    }
    let mut connections: Slab<Connection> = Slab::new();
    let (answers, later, mut counts) = (Answers::new(), Later::new(&poll)?, Counts::default());
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            let token = event.token().0;
            if event.token() == WAKER {
                for (token, number) in later.due.try_iter() {
                    if let Some(connection) = connections.get_mut(token)
                        && connection.pending == number
                        && connection.send(&answers.kept).is_err()
                    {
                        connections.remove(token);
                    }
                }
            } else if token >= LISTENERS {
                let (listener, config) = &listeners[token - LISTENERS];
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let entry = connections.vacant_entry();
                    poll.registry().register(&mut stream, Token(entry.key()), Interest::READABLE)?;
                    let stream = Wire::accepted(stream, config.as_ref())?;
                    let is_secured = config.is_some();
                    counts.connections += u64::from(is_secured);
                    entry.insert(Connection { stream, is_secured, input: Vec::new(), pending: 0 });
                }
            } else if let Some(connection) = connections.get_mut(token)
                && connection.ready(token, &answers, &later, &mut counts).is_err()
            {
                connections.remove(token);
            }
        }
    }
}

impl Connection {
    fn ready(
        &mut self,
        token: usize,
        answers: &Answers,
        later: &Later,
        counts: &mut Counts,
    ) -> io::Result<()> {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if !self.input.ends_with(b"\r\n\r\n") {
                continue;
            }
            let target = self.input.split(|&byte| byte == b' ').nth(1).unwrap_or_default();
            let segment = target.split(|byte| b"/?".contains(byte)).nth(1).unwrap_or_default().to_vec();
            self.input.clear();
            if std::mem::take(&mut self.is_secured) {
                counts.resumed += u64::from(self.stream.is_resumed());
            }
            counts.questions += u64::from(!matches!(&*segment, b"count" | b"connections"));
            match &*segment {
                b"count" => self.send(&text(&counts.questions.to_string()))?,
                b"connections" => {
                    self.send(&text(&format!("{} {}", counts.connections, counts.resumed)))?;
                }
                b"closed" => {
                    self.send(&answers.closed)?;
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                b"late" | b"later" => {
                    self.pending = counts.questions;
                    later.answer_in(if *segment == *b"late" { LATE } else { LATER }, token, self.pending);
                }
                b"lying" => self.send(&text("<html>all is well</html>"))?,
                b"hanging" => {}
                _ => self.send(&answers.kept)?,
            }
        }
    }

    /// Sends an answer. It fits the socket buffer, so that the write does not block.
    fn send(&mut self, answer: &[u8]) -> io::Result<()> {
        self.stream.write_all(answer)?;
        self.stream.flush()
    }
}

fn text(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

struct Answers {
    kept: Vec<u8>,
    closed: Vec<u8>,
}

impl Answers {
    fn new() -> Answers {
        let body = body();
        let answer = |connection: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=UTF-8\r\n\
                 Content-Length: {}\r\nConnection: {connection}\r\n\r\n{body}",
                body.len()
            )
            .into_bytes()
        };
        Answers { kept: answer("keep-alive"), closed: answer("close") }
    }
}

/// An answer with twenty results, formatted like Google's and about as long. It ends with an empty line, so that the load
/// generator finds the end of a response.
fn body() -> String {
    let result = |number: u32| {
        format!(
            "      {{\n         \"geometry\" : {{\n            \"location\" : {{\n               \
             \"lat\" : 34.0{number:02}6893,\n               \"lng\" : -118.4{number:02}5127\n            }},\n            \
             \"viewport\" : {{\n               \"northeast\" : {{ \"lat\" : 34.07, \"lng\" : -118.44 }},\n               \
             \"southwest\" : {{ \"lat\" : 34.06, \"lng\" : -118.45 }}\n            }}\n         }},\n         \
             \"icon\" : \"https://maps.gstatic.com/mapfiles/place_api/icons/v1/png_71/school-71.png\",\n         \
             \"name\" : \"Place number {number} [in the \\\"middle\\\" of the herd]\",\n         \
             \"opening_hours\" : {{ \"open_now\" : true }},\n         \
             \"place_id\" : \"ChIJ7aVxnOTHwoARx{number:02}IssO2AVyQ\",\n         \
             \"plus_code\" : {{ \"compound_code\" : \"3H94+C2 Los Angeles, California\", \"global_code\" : \
             \"85633H94+C2\" }},\n         \"rating\" : 4.{},\n         \"reference\" : \
             \"ChIJ7aVxnOTHwoARx{number:02}IssO2AVyQ\",\n         \"types\" : [ \"university\", \
             \"point_of_interest\", \"establishment\" ],\n         \"vicinity\" : \"Los Angeles\"\n      }}",
            number % 10
        )
    };
    let results: Vec<_> = (0..20).map(result).collect();
    format!(
        "{{\n   \"html_attributions\" : [],\n   \"next_page_token\" : \"CpQCAgEAAFxg8o\",\n   \
         \"results\" : [\n{}\n   ],\n   \"status\" : \"OK\"\n}}\n\n",
        results.join(",\n")
    )
}

/// The token of the first listener.
const LISTENERS: usize = usize::MAX - 8;
const WAKER: Token = Token(LISTENERS - 1);
const LATE: Duration = Duration::from_millis(5);
const LATER: Duration = Duration::from_secs(1);
